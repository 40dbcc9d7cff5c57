//! Requests as JSON, for programs.
//!
//! In: records. Out: serializable values, as README.md documents them. Exact bytes travel as base64
//! only; text in JSON is for reading.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_identify::{Protocol, http};
use forever200_ring::{Record, SLOTS, Snapshot};
use serde::Serialize;

use crate::printable;

/// Longest summary, in characters.
const MAX_SUMMARY_CHARS: usize = 200;

/// The list of requests.
#[derive(Debug, Serialize)]
pub struct List<'a> {
    /// Number of requests recorded since the beginning.
    pub total: u64,
    /// Number of slots, 101.
    pub capacity: u64,
    /// Time of the first start, RFC 3339.
    pub since: Option<String>,
    /// Number of connections that never sent a byte.
    pub silent: u64,
    /// The newest first.
    pub requests: Vec<Request<'a>>,
}

/// One request: the record's fields, and what can be read from its bytes.
#[derive(Debug, Serialize)]
pub struct Request<'a> {
    /// The record.
    #[serde(flatten)]
    pub record: &'a Record,
    /// `http`, `tls`, `ssh` or `unknown`.
    pub protocol: Protocol,
    /// The parts of an HTTP request; null for other protocols.
    pub http: Option<Http>,
    /// One printable line.
    pub summary: String,
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

impl<'a> List<'a> {
    /// Lays out the newest `limit` requests.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, limit: usize, raw: bool) -> Self {
        let records = snapshot.ring.newest_first().into_iter().take(limit);
        Self {
            total: snapshot.cursor,
            capacity: SLOTS,
            since: snapshot.since.map(|since| format!("{since:.6}")),
            silent: snapshot.silent,
            requests: records.map(|record| Request::new(record, raw)).collect(),
        }
    }
}

impl<'a> Request<'a> {
    /// Reads what the bytes of a record say; `raw` adds them as base64.
    #[must_use]
    pub fn new(record: &'a Record, raw: bool) -> Self {
        let http = http::parse(&record.raw);
        let summary = match &http {
            Some(http) => printable::line(&[http.method, b" ", http.target].concat(), MAX_SUMMARY_CHARS),
            None => printable::line(&record.raw, MAX_SUMMARY_CHARS),
        };
        Self {
            record,
            protocol: Protocol::of(&record.raw),
            http: http.map(|http| Http::new(&http)),
            summary,
            labels: [],
            raw_base64: raw.then(|| BASE64_STANDARD.encode(&record.raw)),
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

/// UTF-8, or else ISO 8859-1, in which every byte is a character: RFC 9110, 5.5.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}
