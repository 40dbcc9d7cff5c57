//! Requests as JSON, for programs.
//!
//! In: entries. Out: serializable values, as documented in docs/api.md and docs/api.schema.json.
//! Only base64 has the exact bytes; text in JSON is for reading.

use std::io;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use forever200_identify::{Category, Confidence, Indicator, Origin, Protocol, http};
use forever200_ring::{Record, SLOTS};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use crate::bytes::printable;
use crate::bytes::shell::Action;
use crate::export::Listing;
use crate::history::Kind;
use crate::reader::View;
use crate::reader::asked_for::AskedFor;
use crate::reader::claims::Claim;
use crate::reader::entry::{Entry, text};
use crate::reader::sensor::Sensor;
use crate::reader::tls_parts::TlsParts;
use crate::rfc3339;

/// JSON shorter than this is cached in the entry. The JSON of an ordinary request has a tenth of
/// this length.
pub const SHORT_BYTES: usize = 16 * 1024;

/// The fields of a list before its requests.
#[derive(Debug, Serialize)]
struct Counters {
    /// Number of requests recorded since the beginning.
    total: u64,
    /// Number of slots, 101.
    capacity: u64,
    /// Time of the first start, RFC 3339.
    since: Option<String>,
    /// Number of connections that never sent a byte.
    silent: u64,
}

/// One request: the record's fields, and what can be read from its bytes.
#[derive(Debug, Serialize)]
pub struct Request<'a> {
    /// The record.
    #[serde(flatten)]
    pub record: &'a Record,
    /// Length of the network to which `src_ip` was cut, in bits; absent where `src_ip` is a whole
    /// address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_prefix: Option<u8>,
    /// Number of bytes that were replaced because they name something hidden; absent where there
    /// are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blanked: Option<usize>,
    /// Not the whole request was examined; absent where it was.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub looked_at_in_part: bool,
    /// The protocol of the request.
    pub protocol: Protocol,
    /// The parts of an HTTP request; null for other protocols.
    pub http: Option<Http>,
    /// The parts of the TLS hello; null where there is none.
    pub tls: Option<Tls>,
    /// The name that the request asks for; null where it has none.
    pub asked_for: Option<&'a AskedFor>,
    /// Addresses from which the request claims to come, in its head.
    pub claims: &'a [Claim],
    /// The sensor that sent the request; null where the request came to this machine.
    pub sensor: Option<&'a str>,
    /// The request's sequence number on the sensor. Name, number and era together identify the
    /// request. Absent where there is no sensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensor_seq: Option<u64>,
    /// When the sensor's sequence numbers began at 1; absent where there is no sensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensor_era: Option<String>,
    /// One printable line.
    pub summary: &'a str,
    /// What the request is, in words, the most specific first.
    pub labels: Vec<Label<'a>>,
    /// Labels of attacks that the request only quotes.
    pub quoted: Vec<Label<'a>>,
    /// The kind of the request: the id of its first label or, without labels, its protocol and a
    /// hash of its shape.
    pub kind: &'a str,
    /// Addresses that the victim would fetch or call if the payload worked, defanged.
    pub indicators: &'a [Indicator],
    /// What each command line in the request would do, in words, with hosts defanged.
    pub actions: Vec<String>,
    /// What is known of the client's address; null where nothing is known.
    pub origin: Option<&'a Origin>,
    /// The bytes that were kept and may be shown.
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
    /// Name and value, in the order sent; a fold is one space.
    pub headers: Vec<(String, String)>,
    /// Length of the body in bytes, as far as it was kept, without bytes after the end of the
    /// request.
    pub body_bytes: usize,
}

/// The parts of a TLS hello, and what both sides agreed on, as text.
#[derive(Debug, Default, Serialize)]
pub struct Tls {
    /// The version that both sides agreed on; without an answer, the highest that was offered.
    pub version: String,
    /// The cipher suite that both sides agreed on; absent where the hello was not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The name of the host that the client asks for.
    pub sni: Option<String>,
    /// Names of the protocols to speak inside TLS, in the order sent.
    pub alpn: Vec<String>,
    /// The JA4 fingerprint of the client; null where the hello is incomplete.
    pub ja4: Option<String>,
    /// Why the handshake failed; absent where there was none, or where it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// What a request is, in words, with the evidence.
#[derive(Debug, Serialize)]
pub struct Label<'a> {
    /// Name of the signature.
    pub id: &'a str,
    /// Title, a few words.
    pub title: &'a str,
    /// What the request is for.
    pub category: Category,
    /// Further categories.
    pub also: &'a [Category],
    /// How sure the label is.
    pub confidence: Confidence,
    /// The product that the request is aimed at, where it is known.
    pub product: Option<&'a str>,
    /// Explanation for people who are no specialists.
    pub explanation: &'a str,
    /// CVE numbers.
    pub cve: &'a [String],
    /// The year in which the attack became known.
    pub year: Option<u16>,
    /// Where to read more.
    pub references: Vec<String>,
    /// The decoded part in which the label was found, named by the steps of decoding; null where it
    /// was found in the bytes themselves.
    pub found_in: Option<&'a str>,
    /// True if the first label with a CVE is for another product, and this label fits the same
    /// bytes.
    pub also_fits: bool,
    /// Ranges of the raw bytes: the first position, and the first one after the range.
    pub evidence: Vec<[usize; 2]>,
}

impl<'a> Label<'a> {
    /// Returns the JSON form of a label.
    #[must_use]
    pub fn new(label: &'a forever200_identify::Label) -> Self {
        let signature = &label.signature;
        Self {
            id: &signature.id,
            title: &signature.title,
            category: signature.category,
            also: &signature.also,
            confidence: signature.confidence,
            product: signature.product.as_deref(),
            explanation: &signature.explanation,
            cve: &signature.cve,
            year: signature.year,
            references: signature.links().collect(),
            found_in: label.found_in.as_deref(),
            also_fits: label.also_fits,
            evidence: label
                .evidence
                .iter()
                .map(|range| [range.start, range.end])
                .collect(),
        }
    }
}

/// Returns a list of the ring's requests. With `raw`, each has its bytes as base64.
#[must_use]
pub fn list(view: &View, raw: bool) -> Listing {
    let counters = to_string(&Counters {
        total: view.snapshot.cursor,
        capacity: SLOTS,
        since: view.snapshot.since.map(rfc3339::micros),
        silent: view.snapshot.silent,
    });
    let begin = format!("{},\"requests\":[", counters.trim_end_matches('}'));
    listing(begin, raw)
}

fn listing(begin: String, raw: bool) -> Listing {
    Listing {
        begin: begin.into(),
        between: b",",
        end: "]}".into(),
        newest_first: true,
        most: Box::new(move |entry| most_bytes(entry, raw)),
        one: Box::new(move |entry| Some(request(entry, raw))),
    }
}

/// The fields of a page of the history before its requests.
#[derive(Debug, Serialize)]
struct PageHead {
    /// The parameter `before` of the next page (or `after`, if this page was asked for with it);
    /// null at the end.
    next: Option<u64>,
    /// The oldest payloads were not searched, because time was up.
    partial: bool,
}

/// Returns a page of the history. With `raw`, each request has its bytes as base64.
#[must_use]
pub fn page(next: Option<u64>, partial: bool, raw: bool) -> Listing {
    let head = to_string(&PageHead { next, partial });
    let begin = format!("{},\"requests\":[", head.trim_end_matches('}'));
    listing(begin, raw)
}

impl<'a> Request<'a> {
    fn new(entry: &'a Entry, raw: bool) -> Self {
        Self {
            record: &entry.record,
            src_prefix: entry.src_prefix,
            blanked: Some(entry.blanked).filter(|&bytes| bytes > 0),
            looked_at_in_part: entry.is_looked_at_in_part,
            protocol: entry.protocol,
            http: entry.request().map(|http| Http::new(&http)),
            tls: Tls::new(entry),
            asked_for: entry.asked_for.as_ref(),
            claims: &entry.claims,
            sensor: entry.sensor.as_ref().map(|it| &*it.name),
            sensor_seq: entry.sensor.as_ref().map(|it| it.seq),
            sensor_era: entry.sensor.as_ref().and_then(Sensor::era_text),
            summary: &entry.summary,
            labels: entry.labels.iter().map(Label::new).collect(),
            quoted: entry.quoted.iter().map(Label::new).collect(),
            kind: &Kind::of(entry).name,
            indicators: &entry.indicators,
            actions: entry.actions.iter().map(Action::sentence).collect(),
            origin: entry.origin.as_ref(),
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
            headers: request
                .headers
                .iter()
                .map(|header| (text(header.name), text(&header.plain_value())))
                .collect(),
            body_bytes: request.body.len(),
        }
    }
}

impl Tls {
    fn new(entry: &Entry) -> Option<Self> {
        let failed = entry.tls_failed.clone();
        let Some(tls) = &entry.tls else {
            // The hello is unknown: only the failure of the handshake can be told.
            return failed.map(|failed| Self {
                failed: Some(failed),
                ..Self::default()
            });
        };
        Some(Self {
            version: tls.version_name(),
            cipher: tls.agreed.as_ref().map(|agreed| agreed.cipher.clone()),
            sni: tls.server_name.as_deref().map(text),
            alpn: tls.alpn.iter().map(|name| text(name)).collect(),
            ja4: tls.ja4().map(str::to_owned),
            failed,
        })
    }
}

/// Returns a [`Request`] as JSON on one line. With `raw`, it has the bytes as base64.
#[must_use]
pub fn request(entry: &Entry, raw: bool) -> Bytes {
    if let Some(kept) = entry.json.get().filter(|_| !raw) {
        return kept.clone();
    }
    let json = Bytes::from(to_string(&Request::new(entry, raw)));
    if !raw && json.len() < SHORT_BYTES {
        let _ = entry.json.set(json.clone());
    }
    json
}

/// Tells whether the JSON of a request is cached, or short enough to be made quickly.
#[must_use]
pub fn is_short(entry: &Entry) -> bool {
    entry.json.get().is_some() || text_bytes(entry) <= SHORT_BYTES / 8
}

/// Returns an upper limit for the bytes of a request's JSON, without or with `raw`. An escape takes
/// six bytes for one. The limit is eight, because the summary and addresses repeat some of the
/// bytes. Base64 takes less than two bytes for one.
#[must_use]
pub fn most_bytes(entry: &Entry, raw: bool) -> usize {
    let raw_bytes = if raw { 2 * entry.record.raw.len() } else { 0 };
    let action_bytes = entry.actions.iter().map(|it| it.sentence().len());
    // In a sentence, only quotes and backslashes are escaped.
    let action_bytes = 2 * action_bytes.sum::<usize>();
    let labels = entry.labels.len() + entry.quoted.len();
    8 * text_bytes(entry) + raw_bytes + action_bytes + 4096 * (1 + labels)
}

/// Returns how many bytes of the request are in its JSON as text, without labels: the head of HTTP;
/// up to 1024 other bytes, for a summary and for addresses; and texts that occur once more, which
/// are the name that is asked for and the texts of a TLS hello.
fn text_bytes(entry: &Entry) -> usize {
    let bytes = entry.record.raw.len();
    let head = entry
        .http
        .as_ref()
        .map_or(0, |http| bytes.saturating_sub(http.body.len()));
    let asked_for = entry.asked_for.as_ref().map_or(0, |it| it.name.len());
    let tls = entry.tls.as_ref().map_or(0, TlsParts::text_bytes);
    head + (bytes - head).min(1024) + asked_for + tls
}

/// Returns a value as JSON without invisible characters, changes of the writing direction, or
/// terminal codes. Such characters are written as `\u` escapes, which mean the same text.
///
/// # Panics
/// The value has keys that are no strings.
#[must_use]
pub fn to_string(value: &impl Serialize) -> String {
    let mut json = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut json, Visible))
        .expect("all keys are strings");
    String::from_utf8(json).expect("the serializer writes UTF-8")
}

struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|char| !printable::is_visible(char)) {
            let (before, after) = rest.split_at(at);
            let mut after = after.chars();
            writer.write_all(before.as_bytes())?;
            for unit in after.next().unwrap_or_default().encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = after.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_shows_what_it_holds() {
        let text = "a\u{9b}31m\u{202e}\u{feff}\u{e0041}\u{7f}\"\n\u{1f600}é";
        let json = to_string(&text);
        assert_eq!(json, r#""a\u009b31m\u202e\ufeff\udb40\udc41\u007f\"\n😀é""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }
}
