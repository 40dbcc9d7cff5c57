//! Words that are only in serialised objects and in program text, also if base64 hides them.
//!
//! In: a text in lower case. Out: the kind of attack, and the range of the word. Base64 turns a
//! word into one of three texts, depending on the bytes before it. All three are looked for, so the
//! word is found wherever it stands in the encoded bytes.

mod words;

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use self::words::{HIDDEN, WORDS};
use super::names::Attack;
use crate::slice::{ends_with_one, first, last, run};

/// Shortest base64 of a word that is looked for; shorter ones occur in any base64 by chance.
const MIN_BASE64_BYTES: usize = 9;

/// Longest word that may also be a piece of other base64 by chance.
const MAX_SHORT_BYTES: usize = 5;

/// Longest name of a class that is read.
const MAX_CLASS_BYTES: usize = 120;
/// Most bytes of a tag that are read before the name of an attribute.
const MAX_TAG_BYTES: usize = 256;

struct Words {
    finder: AhoCorasick,
    /// What each word of the finder shows, by its number.
    markers: Vec<Marker>,
}

/// What a word shows.
struct Marker {
    attack: Attack,
    /// True if the word is in base64.
    is_hidden: bool,
}

static KNOWN: LazyLock<Option<Words>> = LazyLock::new(Words::new);

impl Words {
    fn new() -> Option<Self> {
        let mut words = Vec::new();
        let mut markers = Vec::new();
        for &(attack, plain) in &WORDS {
            for word in plain {
                words.push((*word).to_owned());
                markers.push(Marker {
                    attack,
                    is_hidden: false,
                });
            }
        }
        for &(attack, hidden) in &HIDDEN {
            for form in hidden.iter().flat_map(|word| in_base64(word)) {
                words.push(form);
                markers.push(Marker {
                    attack,
                    is_hidden: true,
                });
            }
        }
        let finder = AhoCorasick::new(words).ok()?;
        Some(Self { finder, markers })
    }
}

/// Calls `found` with the kind and the range of each word in the text, at most `most` times.
pub(crate) fn find(text: &[u8], most: usize, mut found: impl FnMut(Attack, Range<usize>)) {
    let Some(known) = KNOWN.as_ref() else {
        return;
    };
    let mut left = most;
    for word in known.finder.find_iter(text) {
        if left == 0 {
            return;
        }
        let marker = &known.markers[word.pattern().as_usize()];
        if marker.is_hidden || is_apart(marker.attack, text, word.range()) {
            found(marker.attack, word.range());
            left -= 1;
        }
    }
}

/// Tells whether the word stands alone: it is not the end of a longer one, such as
/// `example.java.io`, nor a piece of any base64.
fn is_apart(kind: Attack, text: &[u8], word: Range<usize>) -> bool {
    let is_of_word = match text[..word.start].last() {
        Some(byte) => byte.is_ascii_alphanumeric() || b"_.-/+".contains(byte),
        None => false,
    };
    let is_code = matches!(kind, Attack::JavaCode | Attack::PhpCode);
    if is_of_word && (is_code || word.len() <= MAX_SHORT_BYTES) {
        return false;
    }
    kind != Attack::JavaCode || !is_of_trace(text, word.start) && !is_attribute(text, word.start)
}

/// Tells whether the word is the name of an XML attribute: `<a java.lang.Runtime="x">`. No program
/// looks up such a name.
fn is_attribute(text: &[u8], start: usize) -> bool {
    let before = last(&text[..start], MAX_TAG_BYTES);
    let name = name_at(text, start);
    let behind = &text[start + name.len()..];
    let is_given = behind.starts_with(b"=\"") || behind.starts_with(b"='");
    let is_behind_space = before.last().is_some_and(u8::is_ascii_whitespace);
    is_given && is_behind_space && !is_quoted(before) && is_in_tag(before)
}

/// Tells whether the bytes behind `before` are in quotes.
fn is_quoted(before: &[u8]) -> bool {
    memchr::memchr_iter(b'"', before).count() % 2 == 1
}

/// Tells whether the bytes behind `before` are in an open tag.
fn is_in_tag(before: &[u8]) -> bool {
    match memchr::memrchr2(b'<', b'>', before) {
        Some(mark) => before[mark] == b'<',
        None => false,
    }
}

/// Returns the name of the class that begins here.
fn name_at(text: &[u8], start: usize) -> &[u8] {
    let rest = first(&text[start..], MAX_CLASS_BYTES);
    let length = run(rest, |byte| {
        byte.is_ascii_alphanumeric() || b"._$".contains(byte)
    });
    &rest[..length]
}

/// Tells whether the word is in a line of a stack trace or is the name of an error: programs report
/// both.
fn is_of_trace(text: &[u8], start: usize) -> bool {
    text[..start].ends_with(b"at ")
        || ends_with_one(name_at(text, start), &["exception", "error", "throwable"])
}

/// Returns the base64 letters of a word that do not depend on the bytes before and behind it, in
/// lower case.
fn in_base64(word: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for word in [word, &word.to_ascii_lowercase()] {
        for before in 0..3 {
            forms.push(aligned(word, before));
        }
    }
    forms.retain(|form| form.len() >= MIN_BASE64_BYTES);
    forms
}

fn aligned(word: &str, before: usize) -> String {
    let text = encoded(&[&b"\0\0"[..before], word.as_bytes(), b"\0\0"].concat());
    // Letters that also hold bits of the bytes before and behind are left out.
    let first = [0, 2, 3][before];
    let last = (before + word.len()) * 8 / 6;
    text[first..last].to_ascii_lowercase()
}

/// Returns whole groups of three bytes in base64.
fn encoded(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len() / 3 * 4);
    for group in bytes.chunks_exact(3) {
        let mut bits = 0;
        for byte in group {
            bits = bits << 8 | usize::from(*byte);
        }
        for shift in [18, 12, 6, 0] {
            text.push(char::from(LETTERS[bits >> shift & 63]));
        }
    }
    text
}
