//! Words that only stored objects and program text have, also where base64 hides them.
//!
//! In: a text in lower case. Out: the kind of attack, and the word. Base64 turns a word into one of
//! three texts, by what stands before it: all three are looked for, so that it is found in whatever
//! it is wrapped in.

mod words;

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use self::words::{HIDDEN, WORDS};
use super::names::Attack;

/// Shortest base64 of a word that is looked for; shorter ones are in any base64.
const MIN_BASE64_BYTES: usize = 9;

/// Longest word that is also a piece of other base64.
const MAX_SHORT_BYTES: usize = 5;

/// Longest name of a class that is read.
const MAX_CLASS_BYTES: usize = 120;
/// What is read of a tag before the name of an attribute.
const MAX_TAG_BYTES: usize = 256;

struct Words {
    finder: AhoCorasick,
    kinds: Vec<(Attack, bool)>,
}

static KNOWN: LazyLock<Option<Words>> = LazyLock::new(|| {
    let plain = WORDS
        .iter()
        .flat_map(|(kind, words)| words.iter().map(|word| (*kind, false, (*word).to_owned())));
    let hidden = HIDDEN.iter().flat_map(|(kind, words)| {
        let forms = words.iter().flat_map(|word| in_base64(word));
        forms.map(|form| (*kind, true, form))
    });
    let all: Vec<_> = plain.chain(hidden).collect();
    Some(Words {
        finder: AhoCorasick::new(all.iter().map(|(.., word)| word)).ok()?,
        kinds: all
            .iter()
            .map(|(kind, is_hidden, _)| (*kind, *is_hidden))
            .collect(),
    })
});

/// Calls `found` with each kind of which a word is in the text, and where; stops when there are
/// `most`.
pub(crate) fn find(text: &[u8], most: usize, mut found: impl FnMut(Attack, Range<usize>)) {
    let Some(known) = KNOWN.as_ref() else {
        return;
    };
    let mut words = known.finder.find_iter(text).filter(|word| {
        let (kind, is_hidden) = known.kinds[word.pattern().as_usize()];
        is_hidden || is_apart(kind, text, word.range())
    });
    for word in words.by_ref().take(most) {
        found(known.kinds[word.pattern().as_usize()].0, word.range());
    }
}

/// The word is not the end of a longer one, such as `example.java.io`, nor a piece of any base64.
fn is_apart(kind: Attack, text: &[u8], word: Range<usize>) -> bool {
    let before = word.start.checked_sub(1).map(|before| text[before]);
    let is_of_word =
        before.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"_.-/+".contains(&byte));
    let is_code = matches!(kind, Attack::JavaCode | Attack::PhpCode);
    let is_piece = is_of_word && (is_code || word.len() <= MAX_SHORT_BYTES);
    let is_name = || is_of_trace(text, word.clone()) || is_attribute(text, word.clone());
    !(is_piece || kind == Attack::JavaCode && is_name())
}

/// The name of an attribute in a tag of XML: `<a java.lang.Runtime="x">`. It is the name of
/// nothing that a program looks up.
fn is_attribute(text: &[u8], word: Range<usize>) -> bool {
    let near = word.start.saturating_sub(MAX_TAG_BYTES);
    let before = &text[near..word.start];
    let is_in_tag = || {
        let mark = memchr::memrchr2(b'<', b'>', before);
        mark.is_some_and(|mark| before[mark] == b'<')
    };
    let name = name_at(text, word.start);
    let behind = &text[word.start + name.len()..];
    let is_given = behind.starts_with(b"=\"") || behind.starts_with(b"='");
    let is_quoted = before.iter().filter(|&&byte| byte == b'"').count() % 2 == 1;
    before.last().is_some_and(u8::is_ascii_whitespace) && is_given && !is_quoted && is_in_tag()
}

/// The name of a class that begins here.
fn name_at(text: &[u8], start: usize) -> &[u8] {
    let is_of_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"._$".contains(byte);
    let rest = text[start..].iter().take(MAX_CLASS_BYTES);
    &text[start..start + rest.take_while(is_of_name).count()]
}

/// A line of a stack trace, or the name of an error: programs report both.
fn is_of_trace(text: &[u8], word: Range<usize>) -> bool {
    let name = name_at(text, word.start);
    let ends = [&b"exception"[..], b"error", b"throwable"];
    text[..word.start].ends_with(b"at ") || ends.iter().any(|end| name.ends_with(end))
}

/// The letters that a word makes in base64, whatever stands before and behind it, in lower case.
fn in_base64(word: &str) -> impl Iterator<Item = String> {
    let words = [word.to_owned(), word.to_ascii_lowercase()];
    let forms = words
        .into_iter()
        .flat_map(|word| (0..3).map(move |before| aligned(&word, before)));
    forms.filter(|form| form.len() >= MIN_BASE64_BYTES)
}

fn aligned(word: &str, before: usize) -> String {
    let text = encoded(&[&b"\0\0"[..before], word.as_bytes(), b"\0\0"].concat());
    // Letters that also hold bits of the bytes before and behind.
    let first = [0, 2, 3][before];
    let last = (before + word.len()) * 8 / 6;
    text[first..last].to_ascii_lowercase()
}

/// Whole groups of three bytes in base64.
fn encoded(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.chunks_exact(3).map(|group| {
        group
            .iter()
            .fold(0, |bits, &byte| bits << 8 | usize::from(byte))
    });
    let letters = groups.flat_map(|bits| [18, 12, 6, 0].map(|shift| LETTERS[bits >> shift & 63]));
    letters.map(char::from).collect()
}
