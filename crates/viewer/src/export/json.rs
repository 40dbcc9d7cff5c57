//! Requests as JSON, for programs.
//!
//! In: entries. Out: serializable values, as docs/api.md and docs/api.schema.json document them.
//! Exact bytes travel as base64 only; text in JSON is for reading.

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

/// JSON that is shorter is kept with its request. Of an ordinary one it is a tenth of that.
pub const SHORT_BYTES: usize = 16 * 1024;

/// What stands in a list before its requests.
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
    /// Length of the network that `src_ip` was cut to, in bits; absent where it is whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_prefix: Option<u8>,
    /// Number of bytes that stand in the place of a hidden text; absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blanked: Option<usize>,
    /// Not all of it was looked at; absent where it was.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub looked_at_in_part: bool,
    /// What it speaks.
    pub protocol: Protocol,
    /// The parts of an HTTP request; null for other protocols.
    pub http: Option<Http>,
    /// What a TLS hello offers; null where there is none.
    pub tls: Option<Tls>,
    /// The name that it asks for; null where it says none.
    pub asked_for: Option<&'a AskedFor>,
    /// Addresses that its head claims it is from.
    pub claims: &'a [Claim],
    /// The sensor that sent it; null where it came to this machine.
    pub sensor: Option<&'a str>,
    /// Its number there, and when the history began there that counts so: with the name, its id;
    /// absent where there is no sensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensor_seq: Option<u64>,
    /// See `sensor_seq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensor_era: Option<String>,
    /// One printable line.
    pub summary: &'a str,
    /// What the request is, in words, the most specific first.
    pub labels: Vec<Label<'a>>,
    /// Attacks that are in what it quotes and nowhere else.
    pub quoted: Vec<Label<'a>>,
    /// What it is an example of: the id of the first label; without labels, its protocol and a hash
    /// of its shape.
    pub kind: &'a str,
    /// Addresses that its payload would have the victim fetch or call, defanged.
    pub indicators: &'a [Indicator],
    /// What each of its command lines would do, in words, hosts defanged.
    pub actions: Vec<String>,
    /// What is known of the client's address; null where that is nothing.
    pub origin: Option<&'a Origin>,
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
    /// Name and value, in the order sent; a fold is one space.
    pub headers: Vec<(String, String)>,
    /// Length of the body in bytes, as far as it was kept; what came behind the request is no part
    /// of it.
    pub body_bytes: usize,
}

/// What a TLS hello offers, as text.
#[derive(Debug, Default, Serialize)]
pub struct Tls {
    /// The version that both sides agreed on; without an answer, the highest that was offered.
    pub version: String,
    /// The cipher suite that both sides agreed on; absent where nobody answered the hello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The name of the host that the client wants.
    pub sni: Option<String>,
    /// Names of the protocols to speak inside TLS, in the order sent.
    pub alpn: Vec<String>,
    /// The fingerprint of the client; null where the hello is not whole.
    pub ja4: Option<String>,
    /// Why the handshake came to nothing; absent where it was not tried, or came to an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// What a request is, in words, with the bytes that say so.
#[derive(Debug, Serialize)]
pub struct Label<'a> {
    /// Name of the signature.
    pub id: &'a str,
    /// A few words.
    pub title: &'a str,
    /// What the request is for.
    pub category: Category,
    /// Further categories.
    pub also: &'a [Category],
    /// How sure that is.
    pub confidence: Confidence,
    /// What it is after, where that is known.
    pub product: Option<&'a str>,
    /// For people who are no specialists.
    pub explanation: &'a str,
    /// CVE numbers.
    pub cve: &'a [String],
    /// When it became known.
    pub year: Option<u16>,
    /// Where to read more.
    pub references: Vec<String>,
    /// The decoded part that it was found in, by the steps that led to it; null where it is in the
    /// bytes as they came.
    pub found_in: Option<&'a str>,
    /// It names a weakness of another product than the label that leads, and fits the same bytes.
    pub also_fits: bool,
    /// Ranges of the raw bytes: first, and first after.
    pub evidence: Vec<[usize; 2]>,
}

impl<'a> Label<'a> {
    /// Lays out a label.
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

/// Returns the list of requests; `raw` adds their bytes as base64.
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

/// What stands in a page of the history before its requests.
#[derive(Debug, Serialize)]
struct PageHead {
    /// `before` (or `after`, where that was asked for) of the next page; null at the end.
    next: Option<u64>,
    /// The oldest payloads were not searched, for want of time.
    partial: bool,
}

/// Returns a page of the history; `raw` adds bytes as base64.
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
            // Of a handshake whose hello is not known, only that.
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

/// Returns a [`Request`] as JSON on one line; `raw` adds the bytes as base64.
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

/// Tells whether the JSON of a request is made in no time.
#[must_use]
pub fn is_short(entry: &Entry) -> bool {
    entry.json.get().is_some() || told_bytes(entry) <= SHORT_BYTES / 8
}

/// Returns more bytes than the JSON of a request has, whatever it holds, without or with `raw`: an
/// escape takes six for a byte, and base64 less than two.
#[must_use]
pub fn most_bytes(entry: &Entry, raw: bool) -> usize {
    let raw_bytes = if raw { 2 * entry.record.raw.len() } else { 0 };
    let of_actions = entry.actions.iter().map(|it| it.sentence().len());
    // In a sentence, only quotes and backslashes are escaped.
    let of_actions = 2 * of_actions.sum::<usize>();
    let labels = entry.labels.len() + entry.quoted.len();
    8 * told_bytes(entry) + raw_bytes + of_actions + 4096 * (1 + labels)
}

/// Returns of how many bytes the JSON tells beside the labels: of HTTP, those of the head; and some
/// for a summary and for addresses, which may be in the body; and of what is told a second time,
/// the name that is asked for and a TLS hello's texts.
fn told_bytes(entry: &Entry) -> usize {
    let bytes = entry.record.raw.len();
    let head = entry
        .http
        .as_ref()
        .map_or(0, |http| bytes.saturating_sub(http.body.len()));
    let asked_for = entry.asked_for.as_ref().map_or(0, |it| it.name.len());
    let tls = entry.tls.as_ref().map_or(0, TlsParts::text_bytes);
    head + (bytes - head).min(1024) + asked_for + tls
}

/// Returns a value as JSON in which nothing is invisible, turns the writing round, or is obeyed by
/// a terminal: such characters are `\u` escapes, which stand for the same text.
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
