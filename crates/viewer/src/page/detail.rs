//! All that is said about one request: what the page of a request is given.
//!
//! In: an entry. Out: its parts as pieces of visible text, tables, commands.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_identify::{Indicator, Origin, http, tls};
use serde::Serialize;

use crate::bytes::decode::{decode, parameters};
use crate::bytes::indent::indent;
use crate::bytes::printable::{self, Piece};
use crate::export::json;
use crate::export::replay::{Replay, replay};
use crate::reader::entry::{Entry, text};

/// Bytes on a line of the hex dump.
const HEX_COLUMNS: usize = 16;
/// Most of a value that a link searches for: enough to tell it from others, and fit for an address.
const MAX_SEARCH_BYTES: usize = 200;

/// One request, laid out.
#[derive(Debug, Serialize)]
pub struct Detail<'a> {
    dest: String,
    version: Vec<Piece>,
    /// Text for a link that filters by it; empty where there is none.
    path: String,
    headers: Vec<Field>,
    query: Vec<Field>,
    form: Vec<Field>,
    tls: Option<Hello>,
    labels: Vec<json::Label<'a>>,
    indicators: &'a [Indicator],
    origin: Option<&'a Origin>,
    body: Vec<Piece>,
    /// What came behind the whole request, and how many bytes that were.
    extra: Vec<Piece>,
    extra_bytes: u64,
    /// The request after whose answer this came.
    continues: Option<u64>,
    indented: Option<Vec<Piece>>,
    decoded: Vec<Part>,
    raw: Vec<Piece>,
    hex_dump: String,
    hex: String,
    base64: String,
    replay: Replay,
    truncated: bool,
    ended: &'static str,
}

#[derive(Debug, Serialize)]
struct Field {
    name: Vec<Piece>,
    value: Vec<Piece>,
    /// What to search for to find it.
    search: String,
}

#[derive(Debug, Serialize)]
struct Part {
    what: String,
    text: Vec<Piece>,
}

/// A ClientHello in words.
#[derive(Debug, Serialize)]
struct Hello {
    versions: Vec<String>,
    server_name: Option<Field>,
    alpn: Vec<Vec<Piece>>,
    ciphers: Vec<String>,
    extensions: usize,
    ja4: String,
    whole: bool,
}

impl<'a> Detail<'a> {
    /// Lays out a request. `host` is the name by which the visitor knows this machine.
    #[must_use]
    pub fn new(entry: &'a Entry, host: &str) -> Self {
        let record = &entry.record;
        let http = entry.http();
        let raw_address = format!("http://{host}/home/requests/{}/raw", record.seq);
        let body = http.as_ref().map_or(&[][..], |http| http.body);
        let decoded = decode(&record.raw, http.as_ref()).into_iter();
        let part = |bytes: &[u8]| {
            indent(bytes).map_or_else(|| printable::pieces(bytes), |text| printable::text(&text))
        };
        let (path, query) = http
            .as_ref()
            .map(http::Request::path_and_query)
            .unwrap_or_default();
        let labels = entry.labels.iter().flat_map(|label| &label.evidence);
        let evidence: Vec<_> = labels
            .chain(entry.indicators.iter().map(|it| &it.evidence))
            .cloned()
            .collect();
        Self {
            dest: dest(entry),
            version: http
                .as_ref()
                .map(|http| printable::pieces(http.version))
                .unwrap_or_default(),
            path: text(path),
            headers: http
                .iter()
                .flat_map(|http| &http.headers)
                .map(|header| Field::new(header.name, &header.plain_value()))
                .collect(),
            query: parameters(query)
                .iter()
                .map(|(name, value)| Field::new(name, value))
                .collect(),
            form: http.as_ref().map(form).unwrap_or_default(),
            tls: tls::parse(&record.raw).map(Hello::new),
            labels: entry.labels.iter().map(json::Label::new).collect(),
            indicators: &entry.indicators,
            origin: entry.origin.as_ref(),
            body: printable::pieces(body),
            extra: http
                .as_ref()
                .map(|http| printable::pieces(http.extra))
                .unwrap_or_default(),
            extra_bytes: record.extra,
            continues: record.continues,
            indented: indent(body).map(|text| printable::text(&text)),
            decoded: decoded
                .map(|it| Part {
                    text: part(&it.bytes),
                    what: it.what,
                })
                .collect(),
            raw: printable::marked(&record.raw, &evidence),
            hex_dump: hex_dump(&record.raw),
            hex: record
                .raw
                .iter()
                .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")),
            base64: BASE64_STANDARD.encode(&record.raw),
            replay: replay(&record.raw, host, &raw_address),
            truncated: record.truncated,
            ended: ended(entry),
        }
    }
}

impl Field {
    fn new(name: &[u8], value: &[u8]) -> Self {
        let search = printable::line(&value[..value.len().min(MAX_SEARCH_BYTES)], usize::MAX);
        Self {
            name: printable::pieces(name),
            value: printable::pieces(value),
            search,
        }
    }
}

impl Hello {
    fn new(hello: tls::ClientHello) -> Self {
        let versions = if hello.versions.is_empty() {
            vec![hello.legacy_version]
        } else {
            hello.versions.clone()
        };
        Self {
            versions: versions
                .into_iter()
                .map(|version| tls::version_name(version).into())
                .collect(),
            server_name: hello.server_name.as_ref().map(|name| Field::new(b"", name)),
            alpn: hello
                .alpn
                .iter()
                .map(|name| printable::pieces(name))
                .collect(),
            ciphers: hello
                .ciphers
                .iter()
                .map(|cipher| format!("{cipher:04x}"))
                .collect(),
            extensions: hello.extensions.len(),
            ja4: hello.ja4(),
            whole: hello.whole,
        }
    }
}

fn form(http: &http::Request<'_>) -> Vec<Field> {
    let is_form = |value: &[u8]| {
        value
            .to_ascii_lowercase()
            .starts_with(b"application/x-www-form-urlencoded")
    };
    if !http.values(b"content-type").any(is_form) {
        return Vec::new();
    }
    parameters(http.body.trim_ascii())
        .iter()
        .map(|(name, value)| Field::new(name, value))
        .collect()
}

/// Nobody connects to the unspecified address: it stands for one that is not known or not shown.
fn dest(entry: &Entry) -> String {
    match (entry.record.dest_ip, entry.record.dest_port) {
        (ip, port) if ip.is_unspecified() => format!("port {port}"),
        (ip, port) => format!("{ip} port {port}"),
    }
}

fn ended(entry: &Entry) -> &'static str {
    use forever200_ring::Ended;
    match entry.record.ended {
        Ended::Complete => "complete",
        Ended::Quiet => "nothing more came",
        Ended::Eof => "the client closed its side",
        Ended::Limit => "too long to be read to its end",
        Ended::Deadline => "its time was over",
    }
}

/// Returns offset, bytes and their ASCII characters, 16 bytes a line, as `hexdump -C` lays it out.
fn hex_dump(bytes: &[u8]) -> String {
    let mut dump = String::with_capacity(bytes.len() / HEX_COLUMNS * 79);
    for (line, chunk) in bytes.chunks(HEX_COLUMNS).enumerate() {
        let half = |half: &[u8]| {
            half.iter()
                .map(|byte| format!("{byte:02x} "))
                .collect::<String>()
        };
        let (left, right) = chunk.split_at(chunk.len().min(HEX_COLUMNS / 2));
        let ascii: String = chunk
            .iter()
            .map(|&byte| {
                if matches!(byte, b' '..=b'~') {
                    char::from(byte)
                } else {
                    '.'
                }
            })
            .collect();
        writeln!(
            dump,
            "{:08x}  {:<24} {:<24} |{ascii}|",
            line * HEX_COLUMNS,
            half(left),
            half(right)
        )
        .expect("a String takes every write");
    }
    dump
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hex_dump_looks_like_that_of_hexdump() {
        let dump = hex_dump(b"GET / HTTP/1.1\r\n\0\xff<");
        assert_eq!(
            dump,
            "00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|\n\
             00000010  00 ff 3c                                          |..<|\n"
        );
    }
}
