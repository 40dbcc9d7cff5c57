//! Everything that the page of a request shows.
//!
//! In: an entry. Out: its parts as pieces of visible text, tables, commands.

mod fields;
mod hello;

use std::fmt::Write;
use std::ops::Range;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use forever200_decode::{Part, parameters};
use forever200_identify::{Indicator, Origin, http};
use forever200_ring::Ended;
use minijinja::Value;
use serde::Serialize;

use crate::bytes::indent::indent;
use crate::bytes::shell::Action;
use crate::bytes::text::is_text;
use crate::export::json;
use crate::export::replay::{Replay, replay};
use crate::page::visible;
use crate::reader::Describer;
use crate::reader::asked_for::AskedFor;
use crate::reader::claims::Claim;
use crate::reader::entry::{Entry, text};
use crate::reader::sensor::Sensor;
use fields::{Fields, FormParts, fields_of_http2, form};
use hello::Hello;

/// Longest base64 of bytes in a link. haproxy accepts a head of 8 kB in a request for a page, and a
/// browser uses up to 1 kB of it for its own headers.
const MAX_LINK_CHARS: usize = 7000;

/// One request, laid out.
#[derive(Debug, Serialize)]
pub struct Detail<'a> {
    dest: String,
    version: Value,
    /// The path as text, for a link that filters by it; empty if there is none.
    path: String,
    headers: Fields,
    query: Fields,
    form: Fields,
    form_parts: FormParts,
    tls: Option<Hello>,
    /// Why the TLS handshake failed.
    tls_failed: Option<&'a str>,
    asked_for: Option<&'a AskedFor>,
    /// Addresses from which the request claims to come.
    claims: &'a [Claim],
    sensor: Option<SentBy<'a>>,
    labels: Vec<json::Label<'a>>,
    /// Labels of attacks that the request only quotes.
    quoted: Vec<json::Label<'a>>,
    /// Addresses that the payload would make its victim fetch or call.
    indicators: &'a [Indicator],
    /// What the command lines in the request would do.
    actions: &'a [Action],
    /// The names and values of the fields of each HTTP/2 request.
    http2: Vec<Vec<(Value, Value)>>,
    origin: Option<&'a Origin>,
    /// The body, decoded if it was encoded.
    body: Value,
    /// How the body was decoded; empty if it was not.
    body_steps: String,
    /// The bytes that came after the end of the request.
    extra: Value,
    /// How many bytes came after the end of the request.
    extra_bytes: u64,
    /// The request after whose answer this came.
    continues: Option<u64>,
    indented: Option<Value>,
    decoded: Vec<Decoded>,
    raw: Value,
    /// The head is text or, without a head, the whole request is text. Otherwise the hex dump says
    /// more and comes first.
    is_text: bool,
    /// The request as text to be copied.
    text: Value,
    hex_dump: Value,
    hex: String,
    base64: String,
    /// The bytes in base64, for a link to a page that explains them; `None` if they are too long
    /// for a link.
    link: Option<String>,
    replay: Replay,
    truncated: bool,
    ended: &'static str,
}

/// The sensor that sent a request, and the number and era of the request there.
#[derive(Debug, Serialize)]
struct SentBy<'a> {
    name: &'a str,
    seq: u64,
    era: Option<String>,
    version: &'a str,
}

/// Bytes that were hidden by an encoding.
#[derive(Debug, Serialize)]
struct Decoded {
    what: String,
    kind: &'static str,
    bytes: usize,
    text: Value,
}

/// The pieces of an HTTP request; all are empty for other protocols.
#[derive(Default)]
struct HttpPieces {
    path: String,
    query: Vec<(Vec<u8>, Vec<u8>)>,
    version: Bytes,
    headers: Fields,
    body: Bytes,
    extra: Bytes,
}

impl HttpPieces {
    fn new(raw: &Bytes, http: &http::Request<'_>) -> Self {
        let (path, query) = http.path_and_query();
        Self {
            path: text(path),
            query: parameters(query),
            version: raw.slice_ref(http.version),
            headers: Fields::of_headers(&http.headers),
            body: raw.slice_ref(http.body),
            extra: raw.slice_ref(http.extra),
        }
    }
}

impl<'a> Detail<'a> {
    /// Lays out a request. `host` is the name by which the visitor knows this machine.
    #[must_use]
    pub fn new(entry: &'a Entry, host: &str, describer: &Describer) -> Self {
        let record = &entry.record;
        let http = entry.request();
        let raw_address = format!("http://{host}/home/requests/{}/raw", record.seq);
        let mut pieces = HttpPieces::default();
        if let Some(http) = &http {
            pieces = HttpPieces::new(&record.raw, http);
        }
        let mut body_steps = String::new();
        let mut decoded = Vec::new();
        for part in entry.decoded(describer) {
            if part.is_body {
                body_steps = steps_of_body(&part);
                pieces.body = part.bytes.into();
            } else {
                decoded.push(Decoded::new(part));
            }
        }
        let body = pieces.body;
        let form = match &http {
            Some(http) => form(http, &body),
            None => Vec::new(),
        };
        let head_bytes = head_bytes(&record.raw, http.as_ref());
        let evidence = evidence(entry);
        Self {
            dest: dest(entry),
            version: visible::as_sent(pieces.version),
            path: pieces.path,
            headers: pieces.headers,
            query: Fields::new(pieces.query),
            form: Fields::new(form),
            form_parts: FormParts::new(&body),
            tls: entry.tls.as_ref().map(Hello::new),
            tls_failed: entry.tls_failed.as_deref(),
            asked_for: entry.asked_for.as_ref(),
            claims: &entry.claims,
            sensor: entry.sensor.as_ref().map(SentBy::new),
            labels: entry.labels.iter().map(json::Label::new).collect(),
            quoted: entry.quoted.iter().map(json::Label::new).collect(),
            indicators: &entry.indicators,
            actions: &entry.actions,
            http2: entry.http2.iter().map(fields_of_http2).collect(),
            origin: entry.origin.as_ref(),
            indented: indent(&body).map(|text| visible::indented(text.into())),
            body: visible::runs_shortened(body),
            body_steps,
            extra: visible::runs_shortened(pieces.extra),
            extra_bytes: record.extra,
            continues: record.continues,
            decoded,
            raw: visible::request(&record.raw, head_bytes, &evidence),
            is_text: is_text(&record.raw[..head_bytes]),
            text: visible::copied(&record.raw, head_bytes),
            hex_dump: visible::hex_dump(record.raw.clone(), &evidence),
            hex: hex(&record.raw),
            base64: BASE64_STANDARD.encode(&record.raw),
            link: link(&record.raw),
            replay: replay(&record.raw, host, &raw_address),
            truncated: record.truncated,
            ended: ended(entry),
        }
    }
}

impl<'a> SentBy<'a> {
    fn new(sensor: &'a Sensor) -> Self {
        Self {
            name: &sensor.name,
            seq: sensor.seq,
            era: sensor.era_text(),
            version: &sensor.version,
        }
    }
}

impl Decoded {
    fn new(part: Part) -> Self {
        Self {
            what: part.what(),
            kind: part.kind().name(),
            bytes: part.bytes.len(),
            text: match indent(&part.bytes) {
                Some(text) => visible::indented(text.into()),
                None => visible::runs_shortened(part.bytes.into()),
            },
        }
    }
}

/// Returns the length of the head. Without a head, all bytes count as the head.
pub(crate) fn head_bytes(raw: &[u8], http: Option<&http::Request<'_>>) -> usize {
    let behind = http.map_or(0, |http| http.behind_head.len());
    raw.len().saturating_sub(behind)
}

/// Returns the bytes on which labels and indicators are based.
pub(crate) fn evidence(entry: &Entry) -> Vec<Range<usize>> {
    let mut evidence = Vec::new();
    for label in &entry.labels {
        evidence.extend_from_slice(&label.evidence);
    }
    for indicator in &entry.indicators {
        evidence.push(indicator.evidence.clone());
    }
    evidence
}

/// Returns how a body was decoded, as text that is appended to the title `Body`.
fn steps_of_body(part: &Part) -> String {
    let steps = part.steps.iter().skip(1).map(ToString::to_string);
    steps.collect::<Vec<_>>().join(", ")
}

/// Returns the address and port to which the request came. The unspecified address means one that
/// is not known or not shown.
fn dest(entry: &Entry) -> String {
    match (entry.record.dest_ip, entry.record.dest_port) {
        (ip, port) if ip.is_unspecified() => format!("port {port}"),
        (ip, port) => format!("{ip} port {port}"),
    }
}

fn ended(entry: &Entry) -> &'static str {
    match entry.record.ended {
        Ended::Complete => "complete",
        Ended::Quiet => "nothing more came",
        Ended::Eof => "the client closed its side",
        Ended::Limit => "too long, not read to the end",
        Ended::Deadline => "the time limit was reached",
    }
}

fn link(bytes: &[u8]) -> Option<String> {
    // Four characters for three bytes.
    let is_short = (1..=MAX_LINK_CHARS / 4 * 3).contains(&bytes.len());
    is_short.then(|| BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(hex, "{byte:02x}").expect("a String takes every write");
    }
    hex
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::LazyLock;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;
    use crate::reader::entry::tests::{describer, record};
    use crate::reader::privacy::Privacy;

    /// Returns the details of a request as JSON.
    fn detail(head: &str, body: &[u8]) -> serde_json::Value {
        static DESCRIBER: LazyLock<Describer> = LazyLock::new(|| describer(Privacy::default()));
        let head = format!("POST /x HTTP/1.1\r\n{head}\r\n");
        let raw = [head.as_bytes(), body].concat();
        let entry = Entry::new(&record(&raw), 1, &DESCRIBER);
        serde_json::to_value(Detail::new(&entry, "a.example", &DESCRIBER)).unwrap()
    }

    fn text(value: &serde_json::Value) -> String {
        let pieces = value.as_array().into_iter().flatten();
        pieces.filter_map(|piece| piece["text"].as_str()).collect()
    }

    #[test]
    fn a_form_is_read_from_the_body_as_it_is_meant() {
        let names = |detail: &serde_json::Value| -> Vec<String> {
            let shown = detail["form"]["shown"].as_array().unwrap();
            shown.iter().map(|field| text(&field["name"])).collect()
        };
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let chunked = format!("{form}Transfer-Encoding: chunked\r\n");
        let found = detail(&chunked, b"7\r\na=1&b=2\r\n0\r\n\r\n");
        assert_eq!(names(&found), ["a", "b"]);
        assert_eq!(found["body_steps"], "chunks joined");
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(b"a=1&b=2").unwrap();
        let packed = format!("{form}Content-Encoding: gzip\r\n");
        let found = detail(&packed, &gzip.finish().unwrap());
        assert_eq!(names(&found), ["a", "b"]);
        assert_eq!(found["decoded"].as_array().unwrap().len(), 0);
        // The content type that curl gives to every body.
        let found = detail(form, br#"{"a":"b=c&d"}"#);
        assert_eq!(names(&found), [""; 0]);
        assert_eq!(text(&found["indented"]), "{\n  \"a\": \"b=c&d\"\n}");
    }

    #[test]
    fn the_parts_of_a_form_have_names_and_file_names() {
        let head = "Content-Disposition: form-data; name=\"f\"; filename=\"x.php\"";
        let body = format!("--b\r\n{head}\r\n\r\n<?php\r\n--b--\r\n");
        let found = detail("", body.as_bytes());
        let part = &found["form_parts"]["shown"][0];
        let field = &part["field"];
        let shown = [&field["name"], &part["file_name"], &field["value"]];
        assert_eq!(shown.map(text), ["f", "x.php", "<?php"]);
    }
}
