//! Helpers of the parsers: how many bytes at an end of a slice meet a test, and which words it has.
//!
//! In: bytes. Out: a length, or yes or no. Nothing is allocated.

use memchr::memmem;

/// Returns how many bytes at the beginning meet a test.
pub(crate) fn run(bytes: &[u8], is_part: impl Fn(&u8) -> bool) -> usize {
    let end = bytes.iter().position(|byte| !is_part(byte));
    end.unwrap_or(bytes.len())
}

/// Returns how many bytes at the end meet a test.
pub(crate) fn run_at_end(bytes: &[u8], is_part: impl Fn(&u8) -> bool) -> usize {
    for (count, byte) in bytes.iter().rev().enumerate() {
        if !is_part(byte) {
            return count;
        }
    }
    bytes.len()
}

/// Returns the first `most` bytes, or all if there are fewer.
pub(crate) fn first(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[..bytes.len().min(most)]
}

/// Returns the last `most` bytes, or all if there are fewer.
pub(crate) fn last(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[bytes.len().saturating_sub(most)..]
}

/// Tells whether a word is in the bytes.
pub(crate) fn contains(bytes: &[u8], word: &[u8]) -> bool {
    memmem::find(bytes, word).is_some()
}

/// Tells whether at least one of some words is in the bytes.
pub(crate) fn contains_one<W: AsRef<[u8]>>(bytes: &[u8], words: &[W]) -> bool {
    words.iter().any(|word| contains(bytes, word.as_ref()))
}

/// Tells whether the bytes are one of some words.
pub(crate) fn equals_one<W: AsRef<[u8]>>(bytes: &[u8], words: &[W]) -> bool {
    words.iter().any(|word| word.as_ref() == bytes)
}

/// Tells whether the bytes begin with one of some words.
pub(crate) fn starts_with_one<W: AsRef<[u8]>>(bytes: &[u8], words: &[W]) -> bool {
    words.iter().any(|word| bytes.starts_with(word.as_ref()))
}

/// Tells whether the bytes end with one of some words.
pub(crate) fn ends_with_one<W: AsRef<[u8]>>(bytes: &[u8], words: &[W]) -> bool {
    words.iter().any(|word| bytes.ends_with(word.as_ref()))
}
