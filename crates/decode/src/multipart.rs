//! The parts of a multipart body: RFC 7578 and RFC 2046, 5.1.
//!
//! In: a body. Out: its parts with their names and file names, as slices of the body. The boundary
//! is the first line, as in the programs that attackers aim at; no header is read for it.

use std::ops::Range;

use memchr::{memchr, memmem};

/// Most pieces that are read: parts, and what else stands between two boundaries.
const MAX_PIECES: usize = 512;
/// Shortest boundary, with its hyphens.
const MIN_BOUNDARY_BYTES: usize = 3;
/// What follows the last boundary.
const CLOSING: &[u8] = b"--";
/// Longest head of a part, in bytes.
const MAX_HEAD_BYTES: usize = 4096;

/// A part of a multipart body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field<'a> {
    /// The part's name, as it is written between the quotes.
    pub name: &'a [u8],
    /// The name of the file, where the part is one.
    pub file_name: Option<&'a [u8]>,
    /// How the part is encoded: the value of `Content-Transfer-Encoding`.
    pub encoding: &'a [u8],
    /// The content of the part.
    pub value: &'a [u8],
    /// What stands between the boundary and the blank line before the value.
    pub head: &'a [u8],
}

/// The first boundary, or what stands between two boundaries or behind the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A part.
    Part(Field<'a>),
    /// Anything else: the first boundary itself, a piece without a head, what is behind the
    /// boundary that closes the body, and all that follows the last piece that is read.
    Other(&'a [u8]),
}

/// Returns the parts of a body, in the order sent.
#[must_use]
pub fn fields(body: &[u8]) -> Vec<Field<'_>> {
    let part = |piece| match piece {
        Piece::Part(field) => Some(field),
        Piece::Other(_) => None,
    };
    pieces(body).filter_map(part).collect()
}

/// Takes a body apart, at its boundaries and in the order sent.
pub(crate) fn pieces(body: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let body = body.trim_ascii_start();
    let first = body.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let boundary = first.trim_ascii_end();
    let delimiter = [b"\n", boundary].concat();
    let finder = memmem::Finder::new(&delimiter).into_owned();
    let mut rest = if boundary.len() < MIN_BOUNDARY_BYTES {
        &[]
    } else {
        &body[boundary.len()..]
    };
    let mut read = 0;
    let pieces = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if read == MAX_PIECES {
            return Some(Piece::Other(std::mem::take(&mut rest)));
        }
        read += 1;
        let end = finder.find(rest);
        // The piece keeps the LF before the boundary; `field` cuts the line end off the value.
        let piece = &rest[..end.map_or(rest.len(), |end| end + 1)];
        rest = end.map_or(&[], |end| &rest[end + delimiter.len()..]);
        Some(field(piece).map_or(Piece::Other(piece), Piece::Part))
    });
    std::iter::once(Piece::Other(boundary)).chain(pieces)
}

/// Reads the part between two boundaries; `None` where it has no head, or where the boundary before
/// it closes the body.
fn field(all: &[u8]) -> Option<Field<'_>> {
    if all.starts_with(CLOSING) {
        return None;
    }
    let start = memchr(b'\n', all)? + 1;
    let part = &all[start..];
    let near = &part[..part.len().min(MAX_HEAD_BYTES)];
    let blank = blank_line(near)?;
    let value = &part[blank.end..];
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let mut field = Field {
        value: value.strip_suffix(b"\r").unwrap_or(value),
        head: &all[..start + blank.start],
        ..Field::default()
    };
    for line in part[..blank.start].split(|&byte| byte == b'\n') {
        let colon = memchr(b':', line).unwrap_or(line.len());
        let (name, value) = (
            line[..colon].trim_ascii(),
            line.get(colon + 1..).unwrap_or_default(),
        );
        if name.eq_ignore_ascii_case(b"content-disposition") {
            field.name = parameter(value, b"name").unwrap_or_default();
            field.file_name =
                parameter(value, b"filename").or_else(|| parameter(value, b"filename*"));
        } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            field.encoding = value.trim_ascii();
        }
    }
    Some(field)
}

/// Returns the place of the first empty line. Lines may end with LF alone.
fn blank_line(text: &[u8]) -> Option<Range<usize>> {
    let mut start = 0;
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let end = start + line.len();
        if matches!(line, b"\n" | b"\r\n") {
            return Some(start..end);
        }
        start = end;
    }
    None
}

/// Returns the value of `name=value` or `name="value"` behind a semicolon.
fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = value;
    loop {
        rest = rest.get(end_of_parameter(rest) + 1..)?;
        let parameter = &rest[..end_of_parameter(rest)];
        let equals = memchr(b'=', parameter).unwrap_or(parameter.len());
        let (found, value) = parameter.split_at(equals);
        if found.trim_ascii().eq_ignore_ascii_case(name) && !value.is_empty() {
            return Some(match value[1..].trim_ascii() {
                [b'"', quoted @ ..] => &quoted[..end_of_quote(quoted)],
                plain => plain,
            });
        }
    }
}

/// Returns the place of the next semicolon, or the end of the text. A semicolon in a quoted value
/// is part of the value.
fn end_of_parameter(text: &[u8]) -> usize {
    let end_from = |start: usize| {
        let end = memchr(b';', &text[start..]);
        end.map_or(text.len(), |end| start + end)
    };
    let end = end_from(0);
    let Some(equals) = memchr(b'=', &text[..end]) else {
        return end;
    };
    let value = text[equals + 1..].trim_ascii_start();
    let Some(quoted) = value.strip_prefix(b"\"") else {
        return end;
    };
    let start = text.len() - quoted.len();
    end_from(start + end_of_quote(quoted))
}

/// Returns the place of the closing quote, or the end of the text. A quote behind a backslash is
/// part of the value.
fn end_of_quote(quoted: &[u8]) -> usize {
    let mut is_escaped = false;
    for (at, &byte) in quoted.iter().enumerate() {
        if byte == b'"' && !is_escaped {
            return at;
        }
        is_escaped = byte == b'\\' && !is_escaped;
    }
    quoted.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_names_and_file_names() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\r\n\
            --b\r\ncontent-disposition: form-data; filename=\"x\\\".php\"; name=\"f\"\r\n\
            Content-Transfer-Encoding: base64\r\n\r\nPD9waHA=\r\n--b--\r\n";
        let found = fields(body);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name, found[0].value), (&b"a"[..], &b"1\r\n2"[..]));
        assert_eq!(found[0].file_name, None);
        let file = Field {
            name: b"f",
            file_name: Some(b"x\\\".php"),
            encoding: b"base64",
            value: b"PD9waHA=",
            head: b"\r\ncontent-disposition: form-data; filename=\"x\\\".php\"; name=\"f\"\r\n\
                Content-Transfer-Encoding: base64\r\n",
        };
        assert_eq!(found[1], file);
    }

    #[test]
    fn what_is_not_whole_is_read_as_far_as_it_goes() {
        let body = b"--b\nContent-Disposition: form-data; name=a\n\nx";
        assert_eq!(fields(body)[0].name, b"a");
        assert_eq!(fields(body)[0].value, b"x");
        for body in [
            &b""[..],
            b"--",
            b"--b",
            b"--b\r\n",
            b"--b\r\nx: y",
            b"a=b&c=d",
        ] {
            assert_eq!(fields(body), [], "{}", body.escape_ascii());
        }
        let many = b"--b\n\n\n".repeat(2000);
        assert_eq!(fields(&many).len(), MAX_PIECES);
    }

    #[test]
    fn a_boundary_is_at_the_beginning_of_a_line() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx--b\r\ny\r\n--b--";
        let found = fields(body);
        assert_eq!((found.len(), found[0].value), (1, &b"x--b\r\ny"[..]));
    }

    #[test]
    fn a_head_ends_at_its_first_empty_line() {
        for (part, value) in [
            (&b"A: b\n\nx\r\n\r\ny"[..], &b"x\r\n\r\ny"[..]),
            (b"A: b\n\r\nx\n\ny", b"x\n\ny"),
            (b"A: b\r\n\nx\n\ny", b"x\n\ny"),
            (b"\nx\n\ny", b"x\n\ny"),
        ] {
            let body = [b"--b\n", part].concat();
            assert_eq!(fields(&body)[0].value, value, "{}", part.escape_ascii());
        }
    }

    #[test]
    fn what_is_quoted_is_no_parameter() {
        for (value, name, file_name) in [
            (
                r#"form-data; name="a;filename=x.php""#,
                "a;filename=x.php",
                None,
            ),
            (
                r#"form-data; name="a\";filename=x"; filename="b""#,
                r#"a\";filename=x"#,
                Some("b"),
            ),
            (r#"form-data; name=a"b; filename="x""#, "a\"b", Some("x")),
            (r#"form-data; NAME = "a" ; filename = x "#, "a", Some("x")),
            (r#"form-data; x; name="a"#, "a", None),
        ] {
            let body = format!("--b\nContent-Disposition: {value}\n\n1");
            let found = fields(body.as_bytes())[0];
            let expected = (name.as_bytes(), file_name.map(str::as_bytes));
            assert_eq!((found.name, found.file_name), expected, "{value}");
        }
    }
}
