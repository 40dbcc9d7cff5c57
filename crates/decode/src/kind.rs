//! Tells what bytes are, by the bytes themselves and not by what a header claims.

use memchr::memchr;

use crate::multipart::{self, Piece};

/// How the first header of a part of a multipart body begins.
const HEADER: &[u8] = b"content-";

/// Values of JSON that are words.
const WORDS_OF_JSON: [&[u8]; 3] = [b"true", b"false", b"null"];

/// What kind of content bytes are. This is not a kind of the collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// Names and values of `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data`, or another multipart.
    Multipart,
    /// JSON: one value, or one on each line; whole or not.
    Json,
    /// XML or HTML.
    Xml,
    /// Text of any other kind.
    Text,
    /// Anything else.
    Binary,
}

impl ContentKind {
    /// Tells what bytes are.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let text = without_mark(bytes).trim_ascii_start();
        if Self::is_multipart(bytes) {
            Self::Multipart
        } else if !is_text(bytes) {
            Self::Binary
        } else if is_json(text) {
            Self::Json
        } else if matches!(text, [b'<', b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'?', ..]) {
            Self::Xml
        } else if is_form(text.trim_ascii_end()) {
            Self::Form
        } else {
            Self::Text
        }
    }

    /// Tells whether bytes are multipart: they begin with a line of two hyphens and a name, then a
    /// header, and have a part that can be read.
    #[must_use]
    pub fn is_multipart(bytes: &[u8]) -> bool {
        let text = bytes.trim_ascii_start();
        let Some(line) = memchr(b'\n', text).filter(|_| text.starts_with(b"--")) else {
            return false;
        };
        let header = text[line + 1..].get(..HEADER.len());
        text[..line].trim_ascii_end().len() > 2
            && header.is_some_and(|found| found.eq_ignore_ascii_case(HEADER))
            && multipart::pieces(text).any(|piece| matches!(piece, Piece::Part(_)))
    }

    /// Returns the kind's name, for a person.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Multipart => "multipart",
            Self::Json => "JSON",
            Self::Xml => "XML",
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }
}

/// Returns text without the byte order mark of UTF-8, which editors of Windows write.
#[must_use]
pub fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Tells whether all bytes are UTF-8 without control characters other than tabs and line ends. The
/// last character may be cut.
#[must_use]
pub fn is_text(bytes: &[u8]) -> bool {
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    bytes.is_empty() || !valid.is_empty() && valid.chars().all(is_visible)
}

/// Tells whether a character is a tab, part of a line end, or no control character at all.
pub(crate) fn is_visible(char: char) -> bool {
    !char.is_control() || matches!(char, '\n' | '\r' | '\t')
}

/// Tells by its beginning whether text is meant as JSON, which may be cut or have errors.
fn is_json(text: &[u8]) -> bool {
    match text {
        [b'{', rest @ ..] => matches!(rest.trim_ascii_start(), [b'"' | b'}', ..]),
        [b'[', rest @ ..] => {
            let rest = rest.trim_ascii_start();
            let is_word = WORDS_OF_JSON.iter().any(|word| rest.starts_with(word));
            is_word || matches!(rest, [b'{' | b'[' | b']' | b'"' | b'-' | b'0'..=b'9', ..])
        }
        _ => false,
    }
}

/// Tells whether text is a form: a name, an `=`, a value, and no character that a form encodes.
fn is_form(text: &[u8]) -> bool {
    let Some(equals) = memchr(b'=', text) else {
        return false;
    };
    let (name, value) = text.split_at(equals);
    // Base64 ends with `=`, behind which there is no value.
    let has_value = value.iter().any(|&byte| byte != b'=');
    let is_named = !name.is_empty() && name.iter().all(|&byte| is_of_name(byte));
    is_named && has_value && value.iter().all(|&byte| is_of_form(byte))
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"&_.-[]%+:$@*".contains(&byte)
}

fn is_of_form(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"<>\"{}\\^`|".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_they_are() {
        for (bytes, kind) in [
            (&b"a=b&c=%41"[..], ContentKind::Form),
            (b"a[]=1+2", ContentKind::Form),
            (
                b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\xff\r\n--x--",
                ContentKind::Multipart,
            ),
            (b"\xef\xbb\xbf {\"a\": 1", ContentKind::Json),
            (b"{\"a\":1}\n{\"a\":2}\n", ContentKind::Json),
            (b"[true]", ContentKind::Json),
            (b"<?xml version='1.0'?>", ContentKind::Xml),
            (b"<a>", ContentKind::Xml),
            (b"YWRtaW46YWRtaW4=", ContentKind::Text),
            (b"{a=b}", ContentKind::Text),
            (b"a = b", ContentKind::Text),
            (b"-- x\nselect", ContentKind::Text),
            (b"--x\nContent-=1&a=b", ContentKind::Text),
            (b"\xff\xfe", ContentKind::Binary),
            (b"a\0", ContentKind::Binary),
            ("Mü".as_bytes(), ContentKind::Text),
            (b"M\xc3", ContentKind::Text),
            (b"", ContentKind::Text),
        ] {
            assert_eq!(ContentKind::of(bytes), kind, "{}", bytes.escape_ascii());
        }
    }
}
