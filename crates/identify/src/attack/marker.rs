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
use crate::slice::{ends_with_one, first, last, run};

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
    /// What each of its words says.
    markers: Vec<Marker>,
}

/// What a word says.
struct Marker {
    attack: Attack,
    /// It is a word in base64.
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

/// Calls `found` with each kind of which a word is in the text, and where; stops when there are
/// `most`.
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

/// The word is not the end of a longer one, such as `example.java.io`, nor a piece of any base64.
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

/// The name of an attribute in a tag of XML: `<a java.lang.Runtime="x">`. It is the name of
/// nothing that a program looks up.
fn is_attribute(text: &[u8], start: usize) -> bool {
    let before = last(&text[..start], MAX_TAG_BYTES);
    let name = name_at(text, start);
    let behind = &text[start + name.len()..];
    let is_given = behind.starts_with(b"=\"") || behind.starts_with(b"='");
    let is_behind_space = before.last().is_some_and(u8::is_ascii_whitespace);
    is_given && is_behind_space && !is_quoted(before) && is_in_tag(before)
}

/// What follows these bytes of a tag is in quotes.
fn is_quoted(before: &[u8]) -> bool {
    memchr::memchr_iter(b'"', before).count() % 2 == 1
}

/// What follows these bytes is in a tag that is open.
fn is_in_tag(before: &[u8]) -> bool {
    match memchr::memrchr2(b'<', b'>', before) {
        Some(mark) => before[mark] == b'<',
        None => false,
    }
}

/// The name of a class that begins here.
fn name_at(text: &[u8], start: usize) -> &[u8] {
    let rest = first(&text[start..], MAX_CLASS_BYTES);
    let length = run(rest, |byte| {
        byte.is_ascii_alphanumeric() || b"._$".contains(byte)
    });
    &rest[..length]
}

/// A line of a stack trace, or the name of an error: programs report both.
fn is_of_trace(text: &[u8], start: usize) -> bool {
    text[..start].ends_with(b"at ")
        || ends_with_one(name_at(text, start), &["exception", "error", "throwable"])
}

/// The letters that a word makes in base64, whatever stands before and behind it, in lower case.
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
    // Letters that also hold bits of the bytes before and behind.
    let first = [0, 2, 3][before];
    let last = (before + word.len()) * 8 / 6;
    text[first..last].to_ascii_lowercase()
}

/// Whole groups of three bytes in base64.
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
