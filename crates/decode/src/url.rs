//! URL encoding: `%41` (RFC 3986, 2.1), and `%u0041`, which Microsoft's servers read as well.
//!
//! In: bytes. Out: the bytes that are meant. Undoes one level, so `%252e` becomes `%2e`. Also reads
//! the names and values of a form.

use memchr::memchr;

use crate::escape;
use crate::utf16;

/// Undoes URL encoding; `None` where there is none.
#[must_use]
pub(crate) fn undo(bytes: &[u8]) -> Option<Vec<u8>> {
    let first = memchr(b'%', bytes)?;
    let mut plain = Vec::with_capacity(bytes.len());
    plain.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    let mut found = false;
    while let Some((&byte, behind)) = rest.split_first() {
        if byte != b'%' {
            let end = memchr(b'%', rest).unwrap_or(rest.len());
            plain.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        } else if let Some((byte, length)) = escape::percent(rest) {
            plain.push(byte);
            rest = &rest[length..];
            found = true;
        } else if let Some((char, length)) = utf16::escaped(behind, b"%u") {
            plain.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &behind[length..];
            found = true;
        } else {
            plain.push(byte);
            rest = behind;
        }
    }
    found.then_some(plain)
}

/// Returns the names and values of a query or form, decoded, in the order sent.
#[must_use]
pub fn parameters(encoded: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = encoded
        .split(|&byte| byte == b'&')
        .filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| match memchr(b'=', pair) {
            Some(equals) => (plain(&pair[..equals]), plain(&pair[equals + 1..])),
            None => (plain(pair), Vec::new()),
        })
        .collect()
}

/// Undoes the encoding of a name or value of a form.
fn plain(part: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(part.len());
    escape::undo(part, escape::form, |byte, _| plain.push(byte));
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_level_is_undone() {
        for (encoded, plain) in [
            ("/?c=%2565cho%20x", Some("/?c=%65cho x")),
            ("M%C3%BCller", Some("Müller")),
            ("%u0041%u00fc%uD83D%uDE00", Some("Aü\u{1f600}")),
            ("%%41%", Some("%A%")),
            ("100%", None),
            ("%zz%u12", None),
            ("", None),
        ] {
            let found = undo(encoded.as_bytes());
            assert_eq!(found.as_deref(), plain.map(str::as_bytes), "{encoded}");
        }
    }

    #[test]
    fn parameters_keep_their_order_and_bytes() {
        let expected: [(&[u8], &[u8]); 5] = [
            (b"b", b"1 2"),
            (b"a", b"\xff="),
            (b"b", b""),
            (b"", b"x"),
            (b"%zz", b"%"),
        ];
        let found = parameters(b"b=1+2&a=%ff=&&b&=x&%zz=%");
        let found: Vec<_> = found
            .iter()
            .map(|(name, value)| (&name[..], &value[..]))
            .collect();
        assert_eq!(found, expected);
    }
}
