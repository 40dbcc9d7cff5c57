//! All that is said about one request: what the page of a request is given.
//!
//! In: an entry. Out: its parts as pieces of visible text, tables, commands.

use std::fmt::Write;
use std::ops::Range;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use forever200_decode::{Kind, Part, multipart, parameters};
use forever200_identify::tls::version_name;
use forever200_identify::{Indicator, Origin, http};
use minijinja::Value;
use serde::Serialize;

use crate::bytes::form::is_said;
use crate::bytes::http2;
use crate::bytes::indent::indent;
use crate::bytes::printable;
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
use crate::reader::tls_parts::TlsParts;

/// Most headers, parameters and the like that are laid out. Beyond, the bytes say it better.
const MAX_FIELDS: usize = 500;
/// Most of a value that a link searches for: enough to tell it from others, and fit for an address.
const MAX_SEARCH_BYTES: usize = 200;

/// Longest base64 in an address that carries bytes. haproxy takes a head of 8 kB for a request for
/// a page, of which a browser uses up to 1 kB for its own headers.
const MAX_LINK_CHARS: usize = 7000;

/// One request, laid out.
#[derive(Debug, Serialize)]
pub struct Detail<'a> {
    dest: String,
    version: Value,
    /// Text for a link that filters by it; empty where there is none.
    path: String,
    headers: Fields,
    query: Fields,
    form: Fields,
    parts: FormParts,
    tls: Option<Hello>,
    /// Why the handshake came to nothing.
    tls_failed: Option<&'a str>,
    asked_for: Option<&'a AskedFor>,
    claims: &'a [Claim],
    sensor: Option<SentBy<'a>>,
    labels: Vec<json::Label<'a>>,
    /// Attacks that are in what it quotes and nowhere else.
    quoted: Vec<json::Label<'a>>,
    indicators: &'a [Indicator],
    actions: &'a [Action],
    /// For each request of HTTP/2 the names and values of its fields.
    http2: Vec<Vec<(Value, Value)>>,
    origin: Option<&'a Origin>,
    /// The body as it is meant, and how it was decoded; empty where it is as it came.
    body: Value,
    body_steps: String,
    /// What came behind the whole request, and how many bytes that were.
    extra: Value,
    extra_bytes: u64,
    /// The request after whose answer this came.
    continues: Option<u64>,
    indented: Option<Value>,
    decoded: Vec<Decoded>,
    raw: Value,
    /// Its bytes are text, or its head is: otherwise the hex dump says more and comes first.
    is_text: bool,
    /// The bytes as text to be copied.
    text: Value,
    hex_dump: Value,
    hex: String,
    base64: String,
    /// The bytes as the address of a page has them that is made from it; `None` where they are too
    /// many for one.
    link: Option<String>,
    replay: Replay,
    truncated: bool,
    ended: &'static str,
}

/// The sensor that sent a request, and what it was there.
#[derive(Debug, Serialize)]
struct SentBy<'a> {
    name: &'a str,
    seq: u64,
    era: Option<String>,
    version: &'a str,
}

/// Names and values, as many as anybody reads.
#[derive(Debug, Serialize)]
struct Fields {
    shown: Vec<Field>,
    /// Number of those that are left out.
    more: usize,
}

#[derive(Debug, Serialize)]
struct Field {
    name: Value,
    value: Value,
    /// What to search for to find it.
    search: String,
}

/// The parts of a multipart body, as many as anybody reads.
#[derive(Debug, Serialize)]
struct FormParts {
    shown: Vec<FormPart>,
    /// Number of those that are left out.
    more: usize,
}

#[derive(Debug, Serialize)]
struct FormPart {
    field: Field,
    /// The name of the file; empty where it is none.
    file_name: Value,
}

/// What an encoding hid.
#[derive(Debug, Serialize)]
struct Decoded {
    what: String,
    kind: &'static str,
    bytes: usize,
    text: Value,
}

/// A ClientHello in words.
#[derive(Debug, Serialize)]
struct Hello {
    /// What both sides agreed on: version and cipher suite.
    agreed: Option<(String, String)>,
    versions: Vec<String>,
    server_name: Option<Field>,
    alpn: Vec<Value>,
    more_alpn: usize,
    ciphers: Vec<String>,
    cipher_count: usize,
    extensions: usize,
    ja4: Option<String>,
}

impl<'a> Detail<'a> {
    /// Lays out a request. `host` is the name by which the visitor knows this machine.
    #[must_use]
    pub fn new(entry: &'a Entry, host: &str, describer: &Describer) -> Self {
        let record = &entry.record;
        let http = entry.request();
        let raw_address = format!("http://{host}/home/requests/{}/raw", record.seq);
        let of_http = |part: for<'b> fn(&http::Request<'b>) -> &'b [u8]| {
            http.as_ref()
                .map(|http| record.raw.slice_ref(part(http)))
                .unwrap_or_default()
        };
        let decoded = entry.decoded(describer);
        let (body, body_steps) = match decoded.iter().find(|part| part.is_body) {
            Some(part) => (part.bytes.clone().into(), steps_of_body(part)),
            None => (of_http(|http| http.body), String::new()),
        };
        let (path, query) = http
            .as_ref()
            .map(http::Request::path_and_query)
            .unwrap_or_default();
        let headers = http.iter().flat_map(|http| &http.headers);
        let head_bytes = head_bytes(&record.raw, http.as_ref());
        let evidence = evidence(entry);
        Self {
            dest: dest(entry),
            version: visible::sent(of_http(|http| http.version)),
            path: text(path),
            headers: Fields::new(
                headers.map(|it| (it.name.to_vec(), it.plain_value().into_owned())),
            ),
            query: Fields::new(parameters(query)),
            form: Fields::new(
                http.as_ref()
                    .map(|http| form(http, &body))
                    .unwrap_or_default(),
            ),
            parts: FormParts::new(&body),
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
            body: visible::folded(body),
            body_steps,
            extra: visible::folded(of_http(|http| http.extra)),
            extra_bytes: record.extra,
            continues: record.continues,
            decoded: decoded
                .into_iter()
                .filter(|part| !part.is_body)
                .map(Decoded::new)
                .collect(),
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

impl Fields {
    fn new(all: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let mut all = all.into_iter();
        let shown = all.by_ref().take(MAX_FIELDS);
        let shown = shown.map(|(name, value)| Field::new(name, value)).collect();
        Self {
            shown,
            more: all.count(),
        }
    }
}

impl Field {
    fn new(name: Vec<u8>, value: Vec<u8>) -> Self {
        let search = printable::line(&value[..value.len().min(MAX_SEARCH_BYTES)], usize::MAX);
        Self {
            name: visible::sent(name.into()),
            value: visible::sent(value.into()),
            search,
        }
    }
}

impl FormParts {
    fn new(body: &[u8]) -> Self {
        let all = if Kind::is_multipart(body) {
            multipart::fields(body)
        } else {
            Vec::new()
        };
        Self {
            shown: all.iter().take(MAX_FIELDS).map(FormPart::new).collect(),
            more: all.len().saturating_sub(MAX_FIELDS),
        }
    }
}

impl FormPart {
    fn new(part: &multipart::Field<'_>) -> Self {
        let file_name = part.file_name.unwrap_or_default().to_vec();
        Self {
            field: Field::new(part.name.to_vec(), part.value.to_vec()),
            file_name: visible::sent(file_name.into()),
        }
    }
}

impl Decoded {
    fn new(part: Part) -> Self {
        let (what, kind, bytes) = (part.what(), part.kind().name(), part.bytes.len());
        let text = match indent(&part.bytes) {
            Some(text) => visible::indented(text.into()),
            None => visible::folded(part.bytes.into()),
        };
        Self {
            what,
            kind,
            bytes,
            text,
        }
    }
}

impl Hello {
    fn new(tls: &TlsParts) -> Self {
        let versions = tls.versions.iter().map(|&it| version_name(it).into());
        let names = tls.alpn.iter().map(|name| name.clone().into());
        let ciphers = tls.ciphers.iter().map(|cipher| format!("{cipher:04x}"));
        let server_name = tls.server_name.clone();
        let agreed = tls.agreed.as_ref();
        Self {
            agreed: agreed.map(|it| (it.version.clone(), it.cipher.clone())),
            versions: versions.collect(),
            server_name: server_name.map(|name| Field::new(Vec::new(), name)),
            alpn: names.map(visible::sent).collect(),
            more_alpn: tls.more_alpn,
            ciphers: ciphers.collect(),
            cipher_count: tls.cipher_count,
            extensions: tls.extension_count,
            ja4: tls.ja4().map(str::to_owned),
        }
    }
}

/// How long the head is; what has none is taken for one.
pub(crate) fn head_bytes(raw: &[u8], http: Option<&http::Request<'_>>) -> usize {
    let behind = http.map_or(0, |http| http.behind_head.len());
    raw.len().saturating_sub(behind)
}

/// The bytes that say what a request is.
pub(crate) fn evidence(entry: &Entry) -> Vec<Range<usize>> {
    let of_labels = entry.labels.iter().flat_map(|label| &label.evidence);
    of_labels
        .chain(entry.indicators.iter().map(|it| &it.evidence))
        .cloned()
        .collect()
}

/// How a body was decoded, to go on with the title.
fn steps_of_body(part: &Part) -> String {
    let steps = part.steps.iter().skip(1).map(ToString::to_string);
    steps.collect::<Vec<_>>().join(", ")
}

/// A body that is a form, or that is said to be one and is nothing else: curl says so of whatever
/// it sends.
fn form(http: &http::Request<'_>, body: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    match Kind::of(body) {
        Kind::Form => parameters(body.trim_ascii()),
        Kind::Text | Kind::Binary if is_said(http) => parameters(body.trim_ascii()),
        _ => Vec::new(),
    }
}

fn fields_of_http2(request: &http2::Request) -> Vec<(Value, Value)> {
    let sent = |text: &String| visible::sent(text.clone().into());
    let pseudo = [
        (":method", &request.method),
        (":path", &request.path),
        (":authority", &request.authority),
    ];
    let pseudo = pseudo.into_iter().filter(|(_, value)| !value.is_empty());
    let pseudo = pseudo.map(|(name, value)| (sent(&name.to_owned()), sent(value)));
    let headers = request.headers.iter().take(MAX_FIELDS);
    let headers = headers.map(|(name, value)| (sent(name), visible::sent(value.clone())));
    pseudo.chain(headers).collect()
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

    /// What the page is given of a request.
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
        // What curl says of all that it sends.
        let found = detail(form, br#"{"a":"b=c&d"}"#);
        assert_eq!(names(&found), [""; 0]);
        assert_eq!(text(&found["indented"]), "{\n  \"a\": \"b=c&d\"\n}");
    }

    #[test]
    fn the_parts_of_a_form_have_names_and_file_names() {
        let head = "Content-Disposition: form-data; name=\"f\"; filename=\"x.php\"";
        let body = format!("--b\r\n{head}\r\n\r\n<?php\r\n--b--\r\n");
        let found = detail("", body.as_bytes());
        let part = &found["parts"]["shown"][0];
        let field = &part["field"];
        let shown = [&field["name"], &part["file_name"], &field["value"]];
        assert_eq!(shown.map(text), ["f", "x.php", "<?php"]);
    }
}
