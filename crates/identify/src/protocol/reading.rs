//! Helpers that read bytes, which may be anything and may end anywhere.
//!
//! In: bytes, and places in them. Out: numbers, lines, fields; `None` if there are none. No panic.

use std::ops::Range;

/// Longest detail, in characters.
pub(super) const MAX_DETAIL_CHARS: usize = 120;
/// How many bytes are searched for a word that may stand anywhere.
const MAX_SEARCHED_BYTES: usize = 4096;

/// What a recogniser found.
#[derive(Debug)]
pub(super) struct Found {
    /// The bytes that show the protocol.
    pub(super) evidence: Range<usize>,
    /// What these bytes tell; `None` if nothing.
    pub(super) detail: Option<String>,
}

/// Returns a [`Found`] with the first `length` bytes as evidence.
pub(super) fn found(length: usize) -> Option<Found> {
    Some(Found {
        evidence: 0..length,
        detail: None,
    })
}

/// Returns a [`Found`] with the first `length` bytes as evidence, and a detail; `None` as detail if
/// it is empty.
pub(super) fn found_with(length: usize, detail: impl AsRef<[u8]>) -> Option<Found> {
    let detail = printable(detail.as_ref());
    Some(Found {
        evidence: 0..length,
        detail: (!detail.is_empty()).then_some(detail),
    })
}

/// Returns a [`Found`] with the first line as evidence and as detail.
pub(super) fn found_line(bytes: &[u8]) -> Option<Found> {
    let line = line(bytes);
    found_with(line.len(), line)
}

/// Returns `None` unless a condition holds, so that `?` ends the recogniser.
pub(super) fn need(holds: bool) -> Option<()> {
    holds.then_some(())
}

/// Returns bytes as one line of ASCII; it ends in `...` if it was cut.
pub(super) fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        let shown = match byte {
            b' '..=b'~' => char::from(byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        };
        if text.len() + shown.len() > MAX_DETAIL_CHARS - 3 {
            return text + "...";
        }
        text.push_str(&shown);
    }
    text
}

/// Reads a big-endian number of up to four bytes.
pub(super) fn big(bytes: &[u8], at: Range<usize>) -> Option<usize> {
    Some(
        bytes
            .get(at)?
            .iter()
            .fold(0, |number, &byte| number << 8 | usize::from(byte)),
    )
}

/// Reads a little-endian number of up to four bytes.
pub(super) fn little(bytes: &[u8], at: Range<usize>) -> Option<usize> {
    Some(
        bytes
            .get(at)?
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | usize::from(byte)),
    )
}

/// Reads a number in groups of seven bits, the lowest group first. Also returns the bytes behind
/// it.
pub(super) fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let last = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)?;
    let (number, rest) = bytes.split_at_checked(last + 1)?;
    Some((
        number
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 7 | usize::from(byte & 0x7f)),
        rest,
    ))
}

/// Reads an element of BER: its tag, its content as far as it was received, and the bytes behind
/// it.
///
/// Reads only tags of one byte and lengths of up to four (ITU-T X.690, 8.1).
pub(super) fn ber(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let size = usize::from(first & 0x7f);
            (big(rest, 0..size)?, rest.get(size..)?)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    Some((tag, content, rest))
}

/// Reads an element of BER with the expected tag: its content, and the bytes behind it.
pub(super) fn ber_of(bytes: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = ber(bytes)?;
    (tag == expected).then_some((content, rest))
}

/// Splits off a string that begins with its length, a big-endian number of `length_bytes` bytes.
pub(super) fn counted(bytes: &[u8], length_bytes: usize) -> Option<(&[u8], &[u8])> {
    let length = big(bytes, 0..length_bytes)?;
    bytes.get(length_bytes..)?.split_at_checked(length)
}

/// Splits at the first NUL, which belongs to neither part.
pub(super) fn split_nul(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// Returns the bytes before the first NUL, or all.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Returns the first line, without its line end.
pub(super) fn line(bytes: &[u8]) -> &[u8] {
    lines(bytes).next().unwrap_or_default()
}

/// Returns all lines, without their line ends.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Returns the words of the first line.
pub(super) fn words(bytes: &[u8]) -> Vec<&[u8]> {
    line(bytes)
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty())
        .collect()
}

/// Tells whether the first line is the expected one and only empty lines follow.
pub(super) fn is_only_line(bytes: &[u8], expected: &[u8]) -> bool {
    let mut lines = lines(bytes);
    lines.next() == Some(expected) && lines.all(<[u8]>::is_empty)
}

/// Tells whether a word is one of these; case does not matter.
pub(super) fn is_one_of(word: &[u8], expected: &[&str]) -> bool {
    expected
        .iter()
        .any(|expected| word.eq_ignore_ascii_case(expected.as_bytes()))
}

/// Tells whether the bytes are visible ASCII characters, at least one.
pub(super) fn is_graphic(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_graphic)
}

/// Tells whether all bytes belong to a text in ASCII.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n'))
}

/// Tells whether the bytes are digits, at least one.
pub(super) fn is_number(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

/// Returns where a word begins, within the first [`MAX_SEARCHED_BYTES`].
pub(super) fn find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes
        .get(..MAX_SEARCHED_BYTES)
        .unwrap_or(bytes)
        .windows(word.len().max(1))
        .position(|window| window == word)
}

/// Converts little-endian UTF-16 to ISO 8859-1; `None` if a character is not in it.
pub(super) fn latin_of_utf16(bytes: &[u8]) -> Option<Vec<u8>> {
    bytes
        .chunks_exact(2)
        .map(|pair| matches!(pair, [_, 0]).then(|| pair.first().copied())?)
        .collect()
}
