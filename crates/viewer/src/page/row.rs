//! Makes rows from entries: what the list shows of a request, and which requests fold into one.

use std::collections::HashSet;
use std::sync::Arc;

use forever200_identify::{Category, Confidence, Label, Protocol};
use forever200_ring::Via;
use jiff::Timestamp;
use serde::Serialize;

use crate::bytes::printable;
use crate::reader::asked_for::NameKind;
use crate::reader::entry::Entry;
use crate::reader::excerpt::Excerpt;
use crate::rfc3339;

/// Longest method in a row, in characters. The parser accepts no longer method (`MAX_METHOD_BYTES`
/// in `forever200-head`), so none is cut: its link needs all of it.
const MAX_METHOD_CHARS: usize = 32;
/// Longest target in a row, in characters; the page of the request has all of it.
const MAX_TARGET_CHARS: usize = 160;

/// What the list shows of a request.
#[derive(Debug, Serialize)]
pub struct Row {
    seq: u64,
    /// RFC 3339, microseconds.
    time: String,
    age: String,
    /// The day and the time of day, UTC.
    at: String,
    /// The client's address and port, or the network that is shown instead.
    source: String,
    /// The value by which the filter `source` finds the client: its address, or its network if that
    /// is shown instead. Empty if it is unknown.
    source_filter: String,
    /// `source` without the port.
    source_host: String,
    /// The client's port, with a colon before it; empty if it is not shown.
    source_port: String,
    /// The port that the request came to.
    dest_port: u16,
    /// The name of the sensor that sent the request.
    sensor: Option<String>,
    via: &'static str,
    protocol: Protocol,
    label: Option<RowLabel>,
    /// ISO 3166-1 alpha-2, and the English name.
    country: Option<(String, String)>,
    method: Option<String>,
    /// The target of an HTTP request, or the summary of another request.
    what: String,
    /// The host that the request asks for, if it is a DNS name. A client that scans addresses asks
    /// for no name.
    asked_for: Option<String>,
    /// The part of the request that says what it is, if method and target do not.
    excerpt: Option<Excerpt>,
    bytes: u64,
    incomplete: bool,
    /// Only a part of the request was examined.
    in_part: bool,
    truncated: bool,
    /// The request after whose answer this came.
    continues: Option<u64>,
    rewritten: bool,
    /// The version of TLS that the request came through, or `TLS failed`; `None` if no TLS was
    /// decrypted here.
    tls: Option<String>,
    blanked: bool,
    likeness: String,
}

/// What the list shows of the first label.
#[derive(Debug, Serialize)]
struct RowLabel {
    category: Category,
    title: String,
    cve: Option<String>,
    guess: bool,
}

/// Requests that came one after the other and are alike.
#[derive(Debug, Serialize)]
pub struct Group {
    count: usize,
    sources: usize,
    rows: Vec<Row>,
}

impl Row {
    /// Makes the row of a request, with its age at the time `now`.
    #[must_use]
    pub fn new(entry: &Entry, now: Timestamp) -> Self {
        let record = &entry.record;
        let http = entry.http.as_ref();
        let what = http.map(|http| printable::line(&http.target, MAX_TARGET_CHARS));
        let source_filter = entry.network().unwrap_or_default();
        let mut source_port = String::new();
        if !source_filter.is_empty() && entry.src_prefix.is_none() {
            source_port = format!(":{}", record.src_port);
        }
        let source_host = entry
            .source
            .strip_suffix(&source_port)
            .unwrap_or(&entry.source);
        Self {
            seq: record.seq,
            time: rfc3339::micros(record.timestamp),
            at: record.timestamp.strftime("%-d %b %H:%M:%S").to_string(),
            age: age(now.as_second() - record.timestamp.as_second()),
            source: entry.source.clone(),
            source_host: source_host.to_owned(),
            source_port,
            source_filter,
            dest_port: record.dest_port,
            sensor: entry.sensor.as_ref().map(|sensor| sensor.name.clone()),
            via: entry.via(),
            protocol: entry.protocol,
            label: entry.labels.first().map(RowLabel::new),
            country: entry
                .origin
                .as_ref()
                .and_then(|origin| origin.country.clone().zip(origin.country_name.clone())),
            method: http.map(|http| printable::line(&http.method, MAX_METHOD_CHARS)),
            what: what.unwrap_or_else(|| entry.summary.clone()),
            asked_for: name_of(entry),
            excerpt: entry.excerpt.clone(),
            bytes: record.bytes,
            incomplete: entry.incomplete,
            in_part: entry.is_looked_at_in_part,
            truncated: record.truncated,
            continues: record.continues,
            rewritten: record.via == Via::Http,
            tls: tls_of(entry),
            blanked: entry.blanked > 0,
            likeness: format!("{:x}", entry.likeness),
        }
    }
}

fn tls_of(entry: &Entry) -> Option<String> {
    if entry.tls_failed.is_some() {
        return Some("TLS failed".to_owned());
    }
    let agreed = entry.tls.as_ref()?.agreed.as_ref()?;
    Some(agreed.version.clone())
}

fn name_of(entry: &Entry) -> Option<String> {
    let asked_for = entry.asked_for.as_ref();
    let named = asked_for.filter(|it| it.kind == NameKind::Name)?;
    Some(named.name.clone())
}

impl RowLabel {
    fn new(label: &Label) -> Self {
        let signature = &label.signature;
        Self {
            category: signature.category,
            title: signature.title.clone(),
            cve: signature.cve.first().cloned(),
            guess: signature.confidence == Confidence::Guess,
        }
    }
}

/// Groups neighbouring requests with the same likeness.
#[must_use]
pub fn groups(entries: &[Arc<Entry>], now: Timestamp) -> Vec<Group> {
    let alike = entries.chunk_by(|a, b| a.likeness == b.likeness);
    let group = |alike: &[Arc<Entry>]| Group {
        count: alike.len(),
        sources: alike
            .iter()
            .map(|entry| entry.record.src_ip)
            .collect::<HashSet<_>>()
            .len(),
        rows: alike.iter().map(|entry| Row::new(entry, now)).collect(),
    };
    alike.map(group).collect()
}

/// Returns how long ago something was, in its largest unit.
fn age(seconds: i64) -> String {
    if seconds < 1 {
        "now".to_owned()
    } else {
        format!("{} ago", span(seconds))
    }
}

/// Returns a time in its largest unit.
#[must_use]
pub fn span(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{} s", seconds.max(0)),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::entry::tests::{entry as described, record};

    #[test]
    fn an_age_has_one_unit() {
        for (seconds, shown) in [
            (-5, "now"),
            (0, "now"),
            (1, "1 s ago"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (3599, "59 min ago"),
            (3600, "1 h ago"),
            (86_399, "23 h ago"),
            (86_400, "1 d ago"),
            (864_000, "10 d ago"),
        ] {
            assert_eq!(age(seconds), shown);
        }
    }

    #[test]
    fn neighbours_that_are_alike_fold() {
        let entry = |raw: &[u8], ip: u8| {
            let record = forever200_ring::Record {
                src_ip: [203, 0, 113, ip].into(),
                ..record(raw)
            };
            Arc::new(described(record))
        };
        let entries = [
            entry(b"GET /a1\r\n", 1),
            entry(b"GET /a2\r\n", 2),
            entry(b"x", 1),
            entry(b"GET /a1\r\n", 1),
        ];
        let groups = groups(&entries, Timestamp::now());
        let counts: Vec<_> = groups
            .iter()
            .map(|group| (group.count, group.sources))
            .collect();
        assert_eq!(counts, [(2, 2), (1, 1), (1, 1)]);
    }
}
