//! Escapes of programming languages: `\u0041`, `\x41`, `\u{41}`, `\101`, and `\n` or `\/` beside
//! these.
//!
//! In: bytes. Out: the characters that are meant. Half of all JSON has `\n` or `\/`, and so have
//! paths of Windows: these are undone only where there is also an escape with a number.

use memchr::memchr;

use crate::escape;
use crate::utf16;

/// Digits behind `\U`.
const LONG_DIGITS: usize = 8;

/// Undoes escapes; `None` where there is no escape with a number.
///
/// `\xfc` is a byte in a shell and a character in JavaScript. It is read as a byte or, if that
/// makes valid UTF-8 invalid, as a character.
#[must_use]
pub(crate) fn undo(bytes: &[u8]) -> Option<Vec<u8>> {
    let plain = undo_to(bytes, false)?;
    if std::str::from_utf8(&plain).is_err() && std::str::from_utf8(bytes).is_ok() {
        return undo_to(bytes, true);
    }
    Some(plain)
}

fn undo_to(bytes: &[u8], characters: bool) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut found = false;
    while let Some(at) = memchr(b'\\', rest) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let length = match coded(rest, characters, &mut plain) {
            Some(length) => {
                found = true;
                length
            }
            None => simple(rest, &mut plain),
        };
        rest = &rest[length..];
    }
    plain.extend_from_slice(rest);
    found.then_some(plain)
}

/// Reads an escape that has a number; returns its length.
fn coded(rest: &[u8], characters: bool, plain: &mut Vec<u8>) -> Option<usize> {
    let mut push = |char: char| plain.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    if let Some((char, length)) = long(rest).or_else(|| short(rest)) {
        push(char);
        return Some(length);
    }
    match rest {
        // `\.` and `\-` belong to a regular expression.
        [b'\\', b'.' | b'-', ..] => return None,
        // An octal escape needs three digits here: `\10` may be a number in a path of Windows.
        [b'\\', b'0'..=b'7', ..] if !is_octal(rest) => return None,
        _ => {}
    }
    let (byte, length) = escape::language(rest)?;
    match rest[1] {
        b'u' | b'U' => push(char::from(byte)),
        _ if characters => push(char::from(byte)),
        _ => plain.push(byte),
    }
    Some(length)
}

/// Reads `\U0001f600`.
fn long(rest: &[u8]) -> Option<(char, usize)> {
    let digits = rest.strip_prefix(b"\\U")?.get(..LONG_DIGITS)?;
    let digits = std::str::from_utf8(digits).ok()?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let char = char::from_u32(u32::from_str_radix(digits, 16).ok()?);
    Some((char.filter(|_| is_hex)?, LONG_DIGITS + 2))
}

/// Reads `\u0041`, or two such escapes that make one character.
fn short(rest: &[u8]) -> Option<(char, usize)> {
    let (char, length) = utf16::escaped(rest.get(1..)?, b"\\u")?;
    Some((char, length + 1))
}

fn is_octal(rest: &[u8]) -> bool {
    matches!(rest, [_, b'0'..=b'3', b'0'..=b'7', b'0'..=b'7', ..])
}

/// Reads an escape of one letter, or the backslash alone; returns the length.
fn simple(rest: &[u8], plain: &mut Vec<u8>) -> usize {
    let byte = match rest.get(1) {
        Some(b'n') => b'\n',
        Some(b'r') => b'\r',
        Some(b't') => b'\t',
        Some(&byte @ (b'/' | b'"' | b'\'' | b'\\')) => byte,
        _ => {
            plain.push(b'\\');
            return 1;
        }
    };
    plain.push(byte);
    2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_characters() {
        for (escaped, plain) in [
            (r"\u0041\u00fc\ud83d\ude00", Some("Aü\u{1f600}")),
            (r"\x77\x67et", Some("wget")),
            (r"\u{77}\U00000067\145\164", Some("wget")),
            (r#"{"a":"\u003cb\/\n\"\\"}"#, Some("{\"a\":\"<b/\n\"\\\"}")),
            (r"\\u0041", None),
            (r#"{"a":"b\/c\n"}"#, None),
            (r"C:\new\table\10", None),
            (r"M\xfcller", Some("Müller")),
            (r"M\xc3\xbcller", Some("Müller")),
            (r"\d+\.\d", None),
            ("\\", None),
        ] {
            let found = undo(escaped.as_bytes());
            assert_eq!(found.as_deref(), plain.map(str::as_bytes), "{escaped}");
        }
    }
}
