//! Requests as JSON, for programs.
//!
//! In: entries. Out: serializable values, as README.md and docs/api.schema.json document them. Exact
//! bytes travel as base64 only; text in JSON is for reading.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_identify::{Protocol, http};
use forever200_ring::{Record, SLOTS};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::entry::{Entry, text};
use crate::feed::View;

/// The list of requests.
#[derive(Debug, Serialize)]
pub struct List {
    /// Number of requests recorded since the beginning.
    pub total: u64,
    /// Number of slots, 101.
    pub capacity: u64,
    /// Time of the first start, RFC 3339.
    pub since: Option<String>,
    /// Number of connections that never sent a byte.
    pub silent: u64,
    /// [`Request`]s, the newest first.
    pub requests: Vec<Box<RawValue>>,
}

/// One request: the record's fields, and what can be read from its bytes.
#[derive(Debug, Serialize)]
pub struct Request<'a> {
    /// The record.
    #[serde(flatten)]
    pub record: &'a Record,
    /// What it speaks.
    pub protocol: Protocol,
    /// The parts of an HTTP request; null for other protocols.
    pub http: Option<Http>,
    /// One printable line.
    pub summary: &'a str,
    /// What the request is, in words.
    pub labels: [(); 0],
    /// The bytes as they came, as far as they were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
}

/// The parts of an HTTP request as text.
#[derive(Debug, Serialize)]
pub struct Http {
    /// As sent.
    pub method: String,
    /// As sent.
    pub target: String,
    /// As sent; empty for HTTP/0.9, which has none.
    pub version: String,
    /// Name and value, in the order sent.
    pub headers: Vec<(String, String)>,
    /// Length of what follows the head, in bytes, as far as it was kept.
    pub body_bytes: usize,
}

impl List {
    /// Lays out entries; `raw` adds their bytes as base64.
    #[must_use]
    pub fn new<'a>(view: &View, entries: impl Iterator<Item = &'a Entry>, raw: bool) -> Self {
        Self {
            total: view.snapshot.cursor,
            capacity: SLOTS,
            since: view.snapshot.since.map(|since| format!("{since:.6}")),
            silent: view.snapshot.silent,
            requests: entries.map(|entry| json(entry, raw)).collect(),
        }
    }
}

impl<'a> Request<'a> {
    fn new(entry: &'a Entry, raw: bool) -> Self {
        Self {
            record: &entry.record,
            protocol: entry.protocol,
            http: entry.http().map(|http| Http::new(&http)),
            summary: &entry.summary,
            labels: [],
            raw_base64: raw.then(|| BASE64_STANDARD.encode(&entry.record.raw)),
        }
    }
}

impl Http {
    fn new(request: &http::Request<'_>) -> Self {
        Self {
            method: text(request.method),
            target: text(request.target),
            version: text(request.version),
            headers: request.headers.iter().map(|&(name, value)| (text(name), text(value))).collect(),
            body_bytes: request.body.len(),
        }
    }
}

/// Returns a [`Request`] as JSON on one line; `raw` adds the bytes as base64.
///
/// # Panics
/// Never: a request has string keys only.
#[must_use]
pub fn json(entry: &Entry, raw: bool) -> Box<RawValue> {
    let json = || to_raw_value(&Request::new(entry, raw)).expect("a request has string keys only");
    if raw { json() } else { entry.json.get_or_init(json).clone() }
}
