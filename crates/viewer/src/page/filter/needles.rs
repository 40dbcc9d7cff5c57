//! Texts that a visitor searches for.
//!
//! In: a text. Out: finders of the bytes that it may mean.

use memchr::memmem::Finder;

/// Returns finders of a text in lower case and, if it has escapes, of the text with its escapes
/// undone. Their time is in proportion to the searched bytes, whatever the text is.
pub(super) fn needles(text: &str) -> Vec<Finder<'static>> {
    let plain = text.as_bytes().to_ascii_lowercase();
    let unescaped = unescape(text).to_ascii_lowercase();
    let mut needles = vec![plain];
    if unescaped != needles[0] {
        needles.push(unescaped);
    }
    let mut finders = Vec::new();
    for needle in needles {
        if !needle.is_empty() {
            finders.push(Finder::new(&needle).into_owned());
        }
    }
    finders
}

/// Undoes the escapes of [`printable`](crate::bytes::printable), so that what a page shows can be
/// searched for.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (escape, more) = one_escape(after).unwrap_or((b"\\".to_vec(), after));
        bytes.extend(escape);
        rest = more;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Reads the escape after a backslash. Returns the bytes that it means, and the rest of the text.
fn one_escape(after: &str) -> Option<(Vec<u8>, &str)> {
    let (kind, rest) = after.split_at_checked(1)?;
    match kind {
        "n" => Some((b"\n".to_vec(), rest)),
        "r" => Some((b"\r".to_vec(), rest)),
        "t" => Some((b"\t".to_vec(), rest)),
        "x" => {
            let (digits, rest) = rest.split_at_checked(2)?;
            Some((vec![u8::from_str_radix(digits, 16).ok()?], rest))
        }
        "u" => {
            let (digits, rest) = rest.strip_prefix('{')?.split_once('}')?;
            let char = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
            Some((char.to_string().into_bytes(), rest))
        }
        _ => None,
    }
}
