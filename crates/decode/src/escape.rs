//! Escapes that mean one byte each, as URLs, forms and programming languages have them.
//!
//! In: bytes. Out: the bytes that are meant, each with the place where it is written, so that
//! another byte can be written there. Undoes one level: `%252e` becomes `%2e`.

use std::ops::Range;

/// Reads an escape at the beginning of these bytes; returns the byte that it means, and its length.
pub type Reader = fn(&[u8]) -> Option<(u8, usize)>;

/// Most digits of `\u{…}`: the six of U+10FFFF, and two zeros before them.
const MAX_BRACED_DIGITS: usize = 8;

/// Calls `put` with each byte that is meant and its place; returns whether there was an escape.
pub fn undo(bytes: &[u8], read: Reader, mut put: impl FnMut(u8, Range<usize>)) -> bool {
    let mut found = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (meant, length) = match byte {
            b'%' | b'\\' | b'+' => match read(&bytes[at..]) {
                Some(escape) => {
                    found = true;
                    escape
                }
                None => (byte, 1),
            },
            _ => (byte, 1),
        };
        put(meant, at..at + length);
        at += length;
    }
    found
}

/// Reads `%2e`: RFC 3986, 2.1.
pub fn percent(rest: &[u8]) -> Option<(u8, usize)> {
    match rest {
        [b'%', digits @ ..] => Some((number(digits, 2, 16)?, 3)),
        _ => None,
    }
}

/// Reads `%2e`, or `+` for a space: WHATWG URL, application/x-www-form-urlencoded.
pub fn form(rest: &[u8]) -> Option<(u8, usize)> {
    match rest {
        [b'+', ..] => Some((b' ', 1)),
        _ => percent(rest),
    }
}

/// Reads the escapes of C, JSON, JavaScript, Java, Python, Rust and shells, `%u002e`, or `%2e`.
pub fn language(rest: &[u8]) -> Option<(u8, usize)> {
    let found = match rest {
        [b'%', b'u' | b'U', digits @ ..] => (number(digits, 4, 16)?, 6),
        [b'%', ..] => percent(rest)?,
        [b'\\', b'x' | b'X', digits @ ..] => (number(digits, 2, 16)?, 4),
        [b'\\', b'u' | b'U', b'{', digits @ ..] => {
            let length = digits
                .iter()
                .take(MAX_BRACED_DIGITS + 1)
                .position(|&byte| byte == b'}')?;
            (number(digits, length, 16)?, length + 4)
        }
        [b'\\', b'U', digits @ ..] if number(digits, 8, 16).is_some() => {
            (number(digits, 8, 16)?, 10)
        }
        // The JLS, 3.3, allows several `u`.
        [b'\\', b'u' | b'U', digits @ ..] => {
            let more = digits.iter().take_while(|&&byte| byte == b'u').count();
            (number(&digits[more..], 4, 16)?, more + 6)
        }
        [b'\\', b'0'..=b'3', b'0'..=b'7', b'0'..=b'7', ..] => (number(&rest[1..], 3, 8)?, 4),
        [b'\\', b'0'..=b'7', b'0'..=b'7', ..] => (number(&rest[1..], 2, 8)?, 3),
        // `\.` and `\-`, as in regular expressions. Names and addresses need no other of these.
        [b'\\', byte @ (b'.' | b'-'), next, ..] if next.is_ascii_alphanumeric() => (*byte, 2),
        _ => return None,
    };
    Some(found)
}

/// Writes another byte into a place, which keeps its length: by the same escape where possible,
/// otherwise as the byte repeated.
pub fn rewrite(place: &mut [u8], byte: u8) {
    match place {
        [] => {}
        [one] => *one = byte,
        [b'\\', digits @ ..] if digits.len() == 3 && digits.iter().all(u8::is_ascii_digit) => {
            digits.copy_from_slice(format!("{byte:03o}").as_bytes());
        }
        [b'%', rest @ ..] | [b'\\', b'x' | b'X' | b'u' | b'U', rest @ ..] => {
            let end = rest.len() - usize::from(rest.ends_with(b"}"));
            if end >= 2 && number(&rest[end - 2..], 2, 16).is_some() {
                rest[end - 2..end].copy_from_slice(format!("{byte:02x}").as_bytes());
            } else {
                place.fill(byte);
            }
        }
        _ => place.fill(byte),
    }
}

/// Reads a number of `length` digits; `None` where it is no number, or is larger than a byte.
fn number(digits: &[u8], length: usize, radix: u32) -> Option<u8> {
    let digits = digits.get(..length).filter(|digits| !digits.is_empty())?;
    let value = digits.iter().try_fold(0_u32, |value, &digit| {
        let digit = char::from(digit).to_digit(radix)?;
        value.checked_mul(radix)?.checked_add(digit)
    });
    u8::try_from(value?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_escape_is_read_and_written_in_its_own_way() {
        for (escape, written) in [
            ("%2e", "%78"),
            ("%u002E", "%u0078"),
            (r"\x2e", r"\x78"),
            (r"\u002e", r"\u0078"),
            (r"\uu002e", r"\uu0078"),
            (r"\U0000002e", r"\U00000078"),
            (r"\u{2e}", r"\u{78}"),
            (r"\u{00002e}", r"\u{000078}"),
            (r"\056", r"\170"),
            (r"\56", "xxx"),
        ] {
            let found = language(escape.as_bytes());
            assert_eq!(found, Some((b'.', escape.len())), "{escape}");
            let mut place = escape.as_bytes().to_vec();
            rewrite(&mut place, b'x');
            assert_eq!(place, written.as_bytes(), "{escape}");
        }
    }

    #[test]
    fn what_is_no_escape_stays() {
        for text in [
            r"\", "%", "%2", "%zz", r"\xz", r"\u12", r"\u0100", r"\u{}", r"\u{2e", r"\n",
        ] {
            assert_eq!(language(text.as_bytes()), None, "{text}");
        }
    }
}
