//! Splits a request into values.
//!
//! In: a request as signatures see it. Out: its values, each decoded. The declared type of the body
//! does not count: attackers declare anything, and the first byte of a body shows what it is.

use std::ops::Range;

use super::body::{parts, texts, visit as visit_body};
use super::scan::{Kind, Scan, Value};
use super::{Attack, Place, token};
use crate::sample::Sample;
use crate::text::Text;

/// Headers with the client's properties and wishes, in a syntax of their own; they are not parsed.
const OWN_HEADERS: [&str; 16] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "connection",
    "content-length",
    "date",
    "content-type",
    "if-modified-since",
    "if-none-match",
    "cache-control",
    "range",
    "te",
    "upgrade",
    "signature",
    "authorization",
    "digest",
];
/// Most parts of a cookie, or of an address, that are read.
const MAX_PARTS: usize = 64;

/// Gives all values to the parsers.
pub(super) fn visit(sample: &Sample<'_>, scan: &mut Scan) {
    if !sample.is_inside() {
        head(sample, scan);
    }
    let files = parts(sample, scan);
    fields(sample, scan, &files);
    visit_body(sample, scan);
}

fn head(sample: &Sample<'_>, scan: &mut Scan) {
    let Some(http) = sample.http else {
        return;
    };
    if let Some(range) = token::find(sample.raw) {
        let is_in_body =
            !http.behind_head.is_empty() && range.start >= sample.offset(http.behind_head);
        scan.push(
            Attack::Token,
            if is_in_body {
                Place::Body
            } else {
                Place::Header
            },
            range,
        );
    }
    for text in sample.path() {
        scan.value(Value {
            text,
            name: b"",
            kind: Kind::Path,
            place: Place::Target,
        });
    }
    if let Some(path) = sample.path().last().filter(|text| text.bytes.len() > 1) {
        let last = memchr::memrchr(b'/', &path.bytes).map_or(0, |slash| slash + 1);
        let text = &path.part(last..path.bytes.len());
        scan.value(Value {
            text,
            name: b"",
            kind: Kind::Value,
            place: Place::Target,
        });
    }
    if let Some(text) = sample.query().last() {
        scan.value(Value {
            text,
            name: b"",
            kind: Kind::Whole,
            place: Place::Target,
        });
        names(sample, text, scan);
    }
    headers(sample, scan);
}

/// Gives the names of parameters to the parsers, because programs write them into queries and pages
/// too. A query that is a single name, with its `=` encoded, is also read as a value.
fn names(sample: &Sample<'_>, text: &Text, scan: &mut Scan) {
    let sent = sample.query().first().map_or(&[][..], |sent| &sent.bytes);
    let is_one = !sent.contains(&b'=') && !sent.contains(&b'&');
    let has_signs = memchr::memchr3(b'\'', b'<', b'"', &text.bytes).is_some();
    let name = b"";
    if is_one {
        scan.value(Value {
            text,
            name,
            kind: Kind::Value,
            place: Place::Target,
        });
        if let Some(equals) = memchr::memchr(b'=', &text.bytes) {
            let text = &text.part(equals + 1..text.bytes.len());
            scan.value(Value {
                text,
                name,
                kind: Kind::Value,
                place: Place::Target,
            });
        }
    } else if has_signs || text.bytes.first().is_some_and(u8::is_ascii_whitespace) {
        scan.value(Value {
            text,
            name,
            kind: Kind::Path,
            place: Place::Target,
        });
    }
}

fn headers(sample: &Sample<'_>, scan: &mut Scan) {
    for (name, forms) in sample.headers() {
        let is_own =
            OWN_HEADERS.iter().any(|own| own.as_bytes() == name) || name.starts_with(b"sec-");
        let Some(text) = forms.last().filter(|_| !is_own) else {
            continue;
        };
        scan.value(Value {
            text,
            name,
            kind: Kind::Whole,
            place: Place::Header,
        });
        let (separator, first) = match name.as_slice() {
            b"cookie" => (b';', 0),
            b"referer" => (
                b'&',
                memchr::memchr(b'?', &text.bytes).map_or(0, |mark| mark + 1),
            ),
            b"x-filename" | b"x-file-name" | b"x_filename" | b"x.filename" => {
                scan.file_name(Value {
                    text,
                    name,
                    kind: Kind::Header,
                    place: Place::Header,
                });
                continue;
            }
            _ => {
                scan.value(Value {
                    text,
                    name,
                    kind: Kind::Header,
                    place: Place::Header,
                });
                continue;
            }
        };
        for range in apart(&text.bytes, first, separator) {
            let equals = memchr::memchr(b'=', &text.bytes[range.clone()]).map_or(0, |at| at + 1);
            let text = &text.part(range.start + equals..range.end);
            scan.value(Value {
                text,
                name: b"",
                kind: Kind::Header,
                place: Place::Header,
            });
        }
    }
}

/// Returns the ranges between separators.
fn apart(bytes: &[u8], first: usize, separator: u8) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = first.min(bytes.len());
    for at in memchr::memchr_iter(separator, bytes)
        .filter(|&at| at >= first)
        .take(MAX_PARTS)
    {
        ranges.push(start..at);
        start = at + 1;
    }
    ranges.push(start..bytes.len());
    ranges
}

/// Gives the parameters of the query and the fields of a form to the parsers.
fn fields(sample: &Sample<'_>, scan: &mut Scan, files: &[Range<usize>]) {
    let body = sample
        .http
        .map_or(usize::MAX, |http| match http.behind_head {
            [] => usize::MAX,
            behind => sample.offset(behind),
        });
    let is_form = sample
        .body()
        .first()
        .is_some_and(|text| !is_structured(&text.bytes));
    for (name, forms) in sample.parameters() {
        let (Some(sent), Some(text)) = (forms.first(), forms.last()) else {
            continue;
        };
        if sent.bytes.is_empty() {
            continue;
        }
        let start = sent.raw_range(0..1).start;
        let is_in_body = sample.is_inside() || start >= body;
        let place = if is_in_body {
            Place::Body
        } else {
            Place::Target
        };
        let is_file = files.iter().any(|file| file.contains(&start));
        if is_in_body && !is_form && !sent.bytes.is_empty() && !is_multipart(sample) || is_file {
            continue;
        }
        if is_in_body && text.bytes.starts_with(b"<") {
            texts(text, scan);
        }
        scan.value(Value {
            text,
            name,
            kind: Kind::Value,
            place,
        });
    }
}

fn is_multipart(sample: &Sample<'_>) -> bool {
    sample
        .body()
        .first()
        .is_some_and(|text| text.bytes.starts_with(b"--"))
}

/// Tells whether the body is JSON, XML or multipart; a plain form begins with a name.
fn is_structured(body: &[u8]) -> bool {
    matches!(
        body.trim_ascii_start().first(),
        Some(b'{' | b'[' | b'<' | b'-')
    )
}
