//! All that is said about one request: what the page of a request is given.
//!
//! In: an entry. Out: its parts as pieces of visible text, tables, commands.

use std::fmt::Write;
use std::ops::Range;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use forever200_decode::{Decoded, decode, parameters};
use forever200_identify::tls::version_name;
use forever200_identify::{Indicator, Origin, http};
use minijinja::Value;
use serde::Serialize;

use crate::bytes::form::form;
use crate::bytes::indent::indent;
use crate::bytes::printable;
use crate::bytes::shell::Action;
use crate::bytes::text::is_text;
use crate::export::json;
use crate::export::replay::{Replay, replay};
use crate::page::visible;
use crate::reader::asked_for::AskedFor;
use crate::reader::entry::{Entry, text};
use crate::reader::tls_parts::TlsParts;

/// Most headers, parameters and the like that are laid out. Beyond, the bytes say it better.
const MAX_FIELDS: usize = 500;
/// Most of a value that a link searches for: enough to tell it from others, and fit for an address.
const MAX_SEARCH_BYTES: usize = 200;

/// Longest base64 in an address that carries bytes. haproxy takes a head of 8 kB for a request for a page, of which a browser uses up
/// to 1 kB for its own headers.
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
    tls: Option<Hello>,
    asked_for: Option<&'a AskedFor>,
    labels: Vec<json::Label<'a>>,
    indicators: &'a [Indicator],
    actions: &'a [Action],
    origin: Option<&'a Origin>,
    body: Value,
    /// What came behind the whole request, and how many bytes that were.
    extra: Value,
    extra_bytes: u64,
    /// The request after whose answer this came.
    continues: Option<u64>,
    indented: Option<Value>,
    decoded: Vec<Part>,
    raw: Value,
    /// Its bytes are text, or its head is: otherwise the hex dump says more and comes first.
    is_text: bool,
    /// The bytes as text to be copied.
    text: Value,
    hex_dump: Value,
    hex: String,
    base64: String,
    /// The bytes as the address of a page has them that is made from it; `None` where they are too many for one.
    link: Option<String>,
    replay: Replay,
    truncated: bool,
    ended: &'static str,
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

#[derive(Debug, Serialize)]
struct Part {
    what: String,
    text: Value,
}

/// A ClientHello in words.
#[derive(Debug, Serialize)]
struct Hello {
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
    pub fn new(entry: &'a Entry, host: &str) -> Self {
        let record = &entry.record;
        let http = entry.request();
        let raw_address = format!("http://{host}/home/requests/{}/raw", record.seq);
        let of_http = |part: for<'b> fn(&http::Request<'b>) -> &'b [u8]| {
            http.as_ref()
                .map(|http| record.raw.slice_ref(part(http)))
                .unwrap_or_default()
        };
        let body = of_http(|http| http.body);
        let (path, query) = http
            .as_ref()
            .map(http::Request::path_and_query)
            .unwrap_or_default();
        let headers = http.iter().flat_map(|http| &http.headers);
        let decoded = decode(&record.raw, http.is_some()).into_iter();
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
            form: Fields::new(http.as_ref().map(form).unwrap_or_default()),
            tls: entry.tls.as_ref().map(Hello::new),
            asked_for: entry.asked_for.as_ref(),
            labels: entry.labels.iter().map(json::Label::new).collect(),
            indicators: &entry.indicators,
            actions: &entry.actions,
            origin: entry.origin.as_ref(),
            indented: indent(&body).map(|text| visible::indented(text.into())),
            body: visible::folded(body),
            extra: visible::folded(of_http(|http| http.extra)),
            extra_bytes: record.extra,
            continues: record.continues,
            decoded: decoded.map(Part::new).collect(),
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

impl Part {
    fn new(decoded: Decoded) -> Self {
        let text = match indent(&decoded.bytes) {
            Some(text) => visible::indented(text.into()),
            None => visible::folded(decoded.bytes.into()),
        };
        Self {
            what: decoded.what,
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
        Self {
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
