//! Quoted-printable: RFC 2045, 6.7.
//!
//! In: bytes. Out: the bytes that are meant. Many queries have something like `=41`. So bytes count
//! as quoted-printable only if every `=` has a meaning in it, and something needed the encoding.

use memchr::{memchr, memmem};

/// An encoded `=`.
const EQUALS: &[u8] = b"=3D";
/// Without another sign of quoted-printable, so many encoded `=` are needed.
const MIN_EQUALS: usize = 2;

/// An escape, which begins with `=`.
enum Escape {
    /// A byte in two digits.
    Byte(u8),
    /// A line end that is not meant: the line goes on behind it.
    Break { length: usize },
}

/// Undoes quoted-printable in bytes that can be nothing else; `None` for other bytes.
#[must_use]
pub(crate) fn undo(bytes: &[u8]) -> Option<Vec<u8>> {
    memchr(b'=', bytes)?;
    let has_character = has_character(bytes)?;
    let has_break =
        memmem::find(bytes, b"=\r\n").is_some() || memmem::find(bytes, b"=\n").is_some();
    let is_needed = has_break
        || memmem::find_iter(bytes, EQUALS).take(MIN_EQUALS).count() == MIN_EQUALS
        || has_character;
    if is_needed { plain(bytes) } else { None }
}

/// Undoes quoted-printable in bytes that are known to be it. An `=` without a meaning stays. `None`
/// where there is nothing to undo.
#[must_use]
pub(crate) fn plain(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut found = false;
    while let Some(at) = memchr(b'=', rest) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        match Escape::read(rest) {
            Some(escape) => {
                found = true;
                plain.extend(escape.byte());
                rest = &rest[escape.length()..];
            }
            None => {
                plain.push(b'=');
                rest = &rest[1..];
            }
        }
    }
    plain.extend_from_slice(rest);
    found.then_some(plain)
}

impl Escape {
    /// Reads the escape that begins with an `=`; `None` where the `=` has no meaning.
    fn read(rest: &[u8]) -> Option<Self> {
        match rest {
            [b'=', b'\r', b'\n', ..] => Some(Self::Break { length: 3 }),
            [b'=', b'\n', ..] => Some(Self::Break { length: 2 }),
            [b'=', high, low, ..] => {
                let value = digit(*high)? * 16 + digit(*low)?;
                u8::try_from(value).ok().map(Self::Byte)
            }
            _ => None,
        }
    }

    /// Returns the byte that is meant; `None` for a line end.
    fn byte(&self) -> Option<u8> {
        match self {
            Self::Byte(byte) => Some(*byte),
            Self::Break { .. } => None,
        }
    }

    /// Returns the length of the escape.
    fn length(&self) -> usize {
        match self {
            Self::Byte(_) => 3,
            Self::Break { length } => *length,
        }
    }
}

/// Returns the value of a hexadecimal digit. Its letters must be in upper case.
fn digit(byte: u8) -> Option<u32> {
    match byte {
        b'a'..=b'f' => None,
        _ => char::from(byte).to_digit(16),
    }
}

/// Tells whether a character beyond ASCII is encoded; `None` where an `=` has no meaning.
fn has_character(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes;
    let mut previous = None;
    let mut found = false;
    while let Some(at) = memchr(b'=', rest) {
        let escape = Escape::read(&rest[at..])?;
        let is_behind = at == 0 && matches!(previous, Some(Escape::Byte(0xc2..=0xf4)));
        found |= is_behind && matches!(escape, Escape::Byte(0x80..=0xbf));
        rest = &rest[at + escape.length()..];
        previous = Some(escape);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_undone_where_it_can_be_nothing_else() {
        for (encoded, plain) in [
            ("M=C3=BCller", Some("Müller")),
            ("a=3D1; b=3D2", Some("a=1; b=2")),
            (
                "a long line =\r\nthat goes on=\n",
                Some("a long line that goes on"),
            ),
            ("/?id=10&x=20", None),
            ("/?dim=3D", None),
            ("a=3D&b=3D&c=x", None),
            ("====", None),
            ("", None),
        ] {
            let found = undo(encoded.as_bytes());
            assert_eq!(found.as_deref(), plain.map(str::as_bytes), "{encoded}");
        }
        assert_eq!(plain(b"=41=zz="), Some(b"A=zz=".to_vec()));
    }
}
