//! ASCII letters in lower case, for what is searched whatever the case.
//!
//! In: bytes. Out: as many bytes. Every byte of a request, and of all payloads that a search of the
//! history reads, goes through here. The programs are compiled for size, without vector
//! instructions for loops, so the standard library takes a nanosecond a byte in them, which was
//! half the time of a search. Eight bytes at a time take an eighth of it.

/// A word with 1 in each byte.
const ONES: u64 = u64::MAX / 0xff;
/// The highest bit of each byte.
const HIGH: u64 = ONES * 0x80;

/// Returns the bytes with ASCII letters in lower case.
#[must_use]
pub fn lower(bytes: &[u8]) -> Vec<u8> {
    let mut lower = Vec::with_capacity(bytes.len());
    push(&mut lower, bytes);
    lower
}

/// Appends the bytes to `lower`, with ASCII letters in lower case.
pub fn push(lower: &mut Vec<u8>, bytes: &[u8]) {
    let start = lower.len();
    lower.resize(start + bytes.len(), 0);
    let (words, rest) = bytes.as_chunks();
    let (lower_words, lower_rest) = lower[start..].as_chunks_mut();
    for (to, word) in lower_words.iter_mut().zip(words) {
        *to = eight(u64::from_ne_bytes(*word)).to_ne_bytes();
    }
    for (to, byte) in lower_rest.iter_mut().zip(rest) {
        *to = byte.to_ascii_lowercase();
    }
}

/// The same for eight bytes. Each is looked at without its highest bit, so that no sum is carried
/// into the next.
fn eight(word: u64) -> u64 {
    let low = word & !HIGH;
    // The highest bit of each byte tells.
    let from_a = low + ONES * u64::from(0x80 - b'A');
    let behind_z = low + ONES * u64::from(0x7f - b'Z');
    let is_upper = (from_a & !behind_z) & !word & HIGH;
    // From 0x80 to 0x20, which lower-case letters have and upper-case ones have not.
    word | is_upper >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_lowered_and_all_else_stays() {
        let all: Vec<u8> = (0..=255).collect();
        // Each byte at each place of a word, next to others.
        for start in 0..all.len() {
            for length in [0, 1, 7, 8, 9, 16, 100] {
                let bytes = &all[start..all.len().min(start + length)];
                assert_eq!(lower(bytes), bytes.to_ascii_lowercase());
            }
        }
        for byte in 0..=255 {
            assert_eq!(lower(&[byte; 8]), [byte; 8].to_ascii_lowercase());
            let edges = [byte, 0xff, byte, 0, byte, b'Z', b'@', byte];
            assert_eq!(lower(&edges), edges.to_ascii_lowercase());
        }
    }

    #[test]
    fn what_was_there_stays() {
        let mut lower = b"A".to_vec();
        push(&mut lower, b"ABCDEFGHIJ");
        assert_eq!(lower, b"Aabcdefghij");
    }
}
