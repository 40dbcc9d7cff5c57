//! The values in a body: strings of JSON, texts of XML, parts of a form.
//!
//! In: the body of a request, as sent. Out: its values. A broken body is read as far as possible:
//! attackers break what filters read, and programs are lenient.

use std::ops::Range;

use memchr::memmem;

use super::scan::{Kind, Scan, Value};
use super::{MAX_VALUES, Place};
use crate::sample::Sample;
use crate::text::Text;

/// Longest head of a part of a form.
const MAX_PART_HEAD_BYTES: usize = 512;
/// Most parts of a form that are read.
const MAX_PARTS: usize = 64;

/// Gives a body, and the strings in it, to the parsers.
pub(super) fn visit(sample: &Sample<'_>, scan: &mut Scan) {
    let (Some(sent), Some(text)) = (sample.body().first(), sample.body().last()) else {
        return;
    };
    scan.value(Value {
        text,
        name: b"",
        kind: Kind::Whole,
        place: Place::Body,
    });
    let bytes = &sent.bytes;
    match bytes.trim_ascii_start().first() {
        Some(b'{' | b'[') => strings(sent, scan),
        Some(b'<') => texts(sent, scan),
        _ if !bytes.contains(&b'=') && !bytes.starts_with(b"--") => {
            scan.value(Value {
                text,
                name: b"",
                kind: Kind::Value,
                place: Place::Body,
            });
        }
        _ => {}
    }
}

/// Gives the strings of JSON to the parsers, each with the name before it.
fn strings(text: &Text, scan: &mut Scan) {
    let bytes = &text.bytes;
    let (mut at, mut name) = (0, 0..0);
    for _ in 0..MAX_VALUES * 2 {
        let Some(quote) = memchr::memchr(b'"', &bytes[at..]).map(|found| at + found) else {
            break;
        };
        let end = end_of_string(bytes, quote + 1);
        let inside = quote + 1..end;
        at = (end + 1).min(bytes.len());
        if bytes[at..].trim_ascii_start().first() == Some(&b':') {
            name = inside;
            continue;
        }
        let value = text.part(inside);
        let value = value.unescaped().unwrap_or(value);
        let value = value.decoded(false).unwrap_or(value);
        scan.value(Value {
            text: &value,
            name: &bytes[name.clone()],
            kind: Kind::Text,
            place: Place::Body,
        });
    }
}

fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
    {
        if bytes[at + found] == b'"' {
            return at + found;
        }
        at += found + 2;
    }
    bytes.len()
}

/// Gives the texts between the tags of XML, and the values of attributes, to the parsers.
pub(super) fn texts(text: &Text, scan: &mut Scan) {
    let bytes = &text.bytes;
    let mut start = 0;
    for at in memchr::memchr3_iter(b'<', b'>', b'"', bytes).take(MAX_VALUES * 4) {
        let inside = &bytes[start..at];
        if !inside.trim_ascii().is_empty() && bytes[at] != b'>' {
            let value = text.part(start..at);
            let value = value.without_entities().unwrap_or(value);
            let value = value.decoded(false).unwrap_or(value);
            let name = b"";
            scan.value(Value {
                text: &value,
                name,
                kind: Kind::Text,
                place: Place::Body,
            });
        }
        start = at + 1;
    }
}

/// Gives the heads of the parts of a form to the parsers. Returns the ranges of the uploaded files,
/// which are no values.
pub(super) fn parts(sample: &Sample<'_>, scan: &mut Scan) -> Vec<Range<usize>> {
    let Some(text) = sample
        .body()
        .first()
        .filter(|text| text.bytes.starts_with(b"--"))
    else {
        return Vec::new();
    };
    let bytes = &text.bytes;
    let mut files = Vec::new();
    for start in memmem::find_iter(bytes, b"content-disposition").take(MAX_PARTS) {
        let near = &bytes[start..bytes.len().min(start + MAX_PART_HEAD_BYTES)];
        let length = memmem::find(near, b"\r\n\r\n").unwrap_or(near.len());
        let head = &text.part(start..start + length);
        scan.head_of_part(Value {
            text: head,
            name: b"",
            kind: Kind::Whole,
            place: Place::Body,
        });
        if memmem::find(&near[..length], b"filename").is_some() {
            let end = memmem::find(&bytes[start + length..], b"\r\n--")
                .unwrap_or(bytes.len() - start - length);
            files.push(text.raw_range(start + length..start + length + end));
        }
    }
    files
}
