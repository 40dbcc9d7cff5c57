//! Runs of hexadecimal digits that are text: `0x77676574` as in SQL, and long runs without `0x`.
//!
//! In: bytes. Out: the runs, and their decoded bytes. Most numbers, hashes and keys are hexadecimal
//! as well, so a run counts only where all that it decodes to is visible text.

use std::ops::Range;

use crate::kind::is_visible;

/// Fewest digits of a run behind `0x`.
const MIN_MARKED_DIGITS: usize = 8;
/// Fewest digits of a run without `0x`.
const MIN_DIGITS: usize = 24;
/// A run without `0x` that has fewer different bytes is a pattern, not text.
const MIN_DIFFERENT: usize = 4;

/// Returns the place of each run of text, its `0x` included, and its decoded bytes.
pub(crate) fn runs(bytes: &[u8]) -> impl Iterator<Item = (Range<usize>, Vec<u8>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(run) = next(bytes, at) {
            at = run.end;
            if let Some(found) = text(bytes, run) {
                return Some(found);
            }
        }
        None
    })
}

/// Returns the next run of digits, from `at` on, that is long enough to be text.
fn next(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let mut start = at;
    while start < bytes.len() {
        let from = start + bytes[start..].iter().position(u8::is_ascii_hexdigit)?;
        let digits = bytes[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit());
        let end = from + digits.count();
        if end - from >= MIN_MARKED_DIGITS {
            return Some(from..end);
        }
        start = end;
    }
    None
}

fn text(bytes: &[u8], run: Range<usize>) -> Option<(Range<usize>, Vec<u8>)> {
    let before = &bytes[..run.start];
    let is_marked = before.ends_with(b"0x") || before.ends_with(b"0X");
    let digits = &bytes[run.clone()];
    if !digits.len().is_multiple_of(2) || !is_marked && digits.len() < MIN_DIGITS {
        return None;
    }
    let text = plain(digits)?;
    let is_pattern = !is_marked && is_pattern(&text);
    let is_text = std::str::from_utf8(&text).is_ok_and(|text| text.chars().all(is_visible));
    let start = run.start - if is_marked { 2 } else { 0 };
    (is_text && !is_pattern).then_some((start..run.end, text))
}

/// Tells whether the text has too few different bytes.
fn is_pattern(text: &[u8]) -> bool {
    let mut different = Vec::new();
    for byte in text {
        if !different.contains(byte) {
            different.push(*byte);
        }
        if different.len() == MIN_DIFFERENT {
            return false;
        }
    }
    true
}

fn plain(digits: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in digits.chunks_exact(2) {
        let pair = std::str::from_utf8(pair).ok()?;
        bytes.push(u8::from_str_radix(pair, 16).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let texts = runs(text.as_bytes()).map(|(_, text)| String::from_utf8(text).unwrap());
        texts.collect()
    }

    #[test]
    fn runs_of_text_are_found() {
        let sql = "1 UNION SELECT 0x7767657420687474703a2f2f, 0x61626364";
        assert_eq!(found(sql), ["wget http://", "abcd"]);
        let (place, _) = runs(sql.as_bytes()).next().unwrap();
        assert_eq!(&sql[place], "0x7767657420687474703a2f2f");
        assert_eq!(found("x=6563686f202468656c6c6f21"), ["echo $hello!"]);
    }

    #[test]
    fn numbers_and_hashes_are_none() {
        for text in [
            "d41d8cd98f00b204e9800998ecf8427e",
            "0x5f5e1000",
            "0x616263",
            "0x6162636",
            "6563686f",
            "414141414141414141414141414141414141",
            "202411271030000000000000000001",
            "550e8400-e29b-41d4-a716-446655440000",
            "",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }
}
