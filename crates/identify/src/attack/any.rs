//! Whether one of many words is in a value, told in one pass over it.
//!
//! In: words, then values. Out: yes or no. A parser that looks for forty words one after the other
//! takes a microsecond for a short value, which hardly ever has one.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// Knows some words.
pub(super) struct AnyOf(LazyLock<Option<AhoCorasick>>);

impl AnyOf {
    /// Takes the finder of the words, which is made when first needed.
    pub(super) const fn new(make: fn() -> Option<AhoCorasick>) -> Self {
        Self(LazyLock::new(make))
    }

    /// Tells whether one of them is there.
    pub(super) fn is_in(&self, value: &[u8]) -> bool {
        self.0.as_ref().is_none_or(|finder| finder.is_match(value))
    }
}

/// Makes a finder of the kind that is the fastest for some dozen words.
pub(super) fn finder<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<AhoCorasick> {
    AhoCorasick::new(words).ok()
}
