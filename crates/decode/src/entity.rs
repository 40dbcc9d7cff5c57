//! Character references of HTML and XML: `&#65;`, `&#x41;`, `&lt;`.
//!
//! In: bytes. Out: the characters that are meant. HTML (13.2.5.72) has two thousand names; only
//! those that hide a payload are known here.

use memchr::memchr;

/// Most digits of a number: enough for U+10FFFF and some zeros before it.
const MAX_DIGITS: usize = 10;
/// The `;` behind a name is looked for in so many bytes.
const MAX_NAME_BYTES: usize = 8;

/// Names, and the characters that they mean.
const NAMES: [(&[u8], char); 20] = [
    (b"amp", '&'),
    (b"lt", '<'),
    (b"gt", '>'),
    (b"quot", '"'),
    (b"apos", '\''),
    (b"nbsp", ' '),
    (b"Tab", '\t'),
    (b"NewLine", '\n'),
    (b"colon", ':'),
    (b"semi", ';'),
    (b"comma", ','),
    (b"period", '.'),
    (b"sol", '/'),
    (b"bsol", '\\'),
    (b"equals", '='),
    (b"lpar", '('),
    (b"rpar", ')'),
    (b"lbrace", '{'),
    (b"rbrace", '}'),
    (b"dollar", '$'),
];

/// Undoes character references; `None` where there are none.
#[must_use]
pub(crate) fn undo(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut found = false;
    while let Some(at) = memchr(b'&', rest) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        match reference(rest) {
            Some((char, length)) => {
                plain.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[length..];
                found = true;
            }
            None => plain.push(b'&'),
        }
    }
    plain.extend_from_slice(rest);
    found.then_some(plain)
}

/// Reads what is behind a `&`; returns the character, and the length of the reference.
fn reference(rest: &[u8]) -> Option<(char, usize)> {
    match rest {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16).map(|(char, end)| (char, 2 + end)),
        [b'#', digits @ ..] => number(digits, 10).map(|(char, end)| (char, 1 + end)),
        _ => {
            let end = rest
                .iter()
                .take(MAX_NAME_BYTES)
                .position(|&byte| byte == b';')?;
            let is_named = |(name, _): &&(&[u8], char)| *name == &rest[..end];
            let (_, char) = NAMES.iter().find(is_named)?;
            Some((*char, end + 1))
        }
    }
}

/// Reads a number; returns its character, and its length with a `;`, which browsers do not require.
fn number(digits: &[u8], radix: u32) -> Option<(char, usize)> {
    let mut value = 0_u32;
    let mut length = 0;
    for &digit in digits.iter().take(MAX_DIGITS) {
        let Some(digit) = char::from(digit).to_digit(radix) else {
            break;
        };
        value = value.saturating_mul(radix).saturating_add(digit);
        length += 1;
    }
    let char = char::from_u32(value).filter(|&char| length > 0 && char != '\0')?;
    Some((
        char,
        length + usize::from(digits.get(length) == Some(&b';')),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_become_characters() {
        for (encoded, plain) in [
            (
                "&lt;script&gt;alert(&#39;x&#x27;)",
                Some("<script>alert('x')".to_owned()),
            ),
            (
                "&#0000106avascript&colon;x",
                Some("javascript:x".to_owned()),
            ),
            ("&#x1f600;&amp;amp;", Some("\u{1f600}&amp;".to_owned())),
            ("a=1&b=2&lt=3", None),
            ("&#;&#x;&#x110000;&#0;&unknown;&", None),
            ("&#".repeat(1000).as_str(), None),
        ] {
            let found = undo(encoded.as_bytes());
            assert_eq!(found, plain.map(String::into_bytes), "{encoded}");
        }
    }
}
