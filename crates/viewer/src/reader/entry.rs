//! One record and what is read from its bytes, once.
//!
//! In: a record. Out: what lists, filters and pages ask of it again and again, made from what may
//! be shown of the record and from nothing else. Makes no HTML.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use bytes::Bytes;
use forever200_decode::{Limits, Part, decode};
use forever200_identify::labels::Description;
use forever200_identify::{Category, Indicator, Label, Origin, Protocol, http, tls};
use forever200_ring::{Ended, Record, Tls, Via};

use crate::bytes::http2;
use crate::bytes::printable;
use crate::bytes::shell::Action;
use crate::reader::actions::actions;
use crate::reader::asked_for::{AskedFor, authority};
use crate::reader::claims::{Claim, claims};
use crate::reader::describer::Describer;
use crate::reader::excerpt::Excerpt;
use crate::reader::privacy::Shown;
use crate::reader::sensor::Sensor;
use crate::reader::tls_parts::TlsParts;

/// Longest summary, in characters.
const MAX_SUMMARY_CHARS: usize = 200;
/// What is looked at of a longer request: as much as is kept of one by default, and describing
/// takes a time that is known.
const MAX_LOOKED_AT_BYTES: usize = 64 * 1024;
/// Most labels that a request is given. Real ones have a handful.
const MAX_LABELS: usize = 64;
/// Stands between decoded parts: in no text.
const SEPARATOR: u8 = 0xff;
/// Where a label was found, in place of what would name something that is hidden.
const UNSAID: &str = "what an encoding hides";
/// The label of a hello where nobody speaks TLS: not right where it was answered.
const TLS_IN_THE_WRONG_PLACE: &str = "protocol-tls";
/// In place of each byte of a name that is hidden.
const BLANK: u8 = b'x';
/// Bytes that two requests of an unknown protocol share when they are nearly identical.
const ALIKE_BYTES: usize = 16;

/// A record, described.
#[derive(Debug)]
pub struct Entry {
    /// The record, as it may be shown.
    pub record: Record,
    /// Length of the network that the client's address was cut to, in bits; `None` for a whole
    /// address.
    pub src_prefix: Option<u8>,
    /// Bytes that hide a text.
    pub blanked: usize,
    /// Version of the view in which it first appeared. Numbers need not appear in their order:
    /// another responder's may be on their way.
    pub appeared: u64,
    /// What it speaks.
    pub protocol: Protocol,
    /// What it is for and who sent it, the most specific first.
    pub labels: Vec<Label>,
    /// Attacks that are in what it quotes and nowhere else.
    pub quoted: Vec<Label>,
    /// Addresses in its payload.
    pub indicators: Vec<Indicator>,
    /// What the command lines in it would do.
    pub actions: Vec<Action>,
    /// What it asks for by HTTP/2.
    pub http2: Vec<http2::Request>,
    /// What is known of the client's address.
    pub origin: Option<Origin>,
    /// One printable line: method and target, what a TLS hello says, or a start of the bytes.
    pub summary: String,
    /// What says what it is, where method and target do not.
    pub excerpt: Option<Excerpt>,
    /// The client's address and port, the network that is shown of it, or that nobody knows them.
    pub source: String,
    /// The parts of an HTTP request; `None` for other protocols.
    pub http: Option<HttpParts>,
    /// The parts of a TLS hello: of the one that it is, or of the one that haproxy answered; `None`
    /// where there is none.
    pub tls: Option<TlsParts>,
    /// Why the handshake that it is came to nothing.
    pub tls_failed: Option<String>,
    /// The name that it asks for; `None` where it says none.
    pub asked_for: Option<AskedFor>,
    /// Addresses that its head claims it is from.
    pub claims: Vec<Claim>,
    /// The other machine that recorded it; `None` for what came to this one.
    pub sensor: Option<Sensor>,
    /// There was more than was read or kept.
    pub incomplete: bool,
    /// It is so long, or so laborious, that not all of it was looked at.
    pub is_looked_at_in_part: bool,
    /// The same for identical and nearly identical requests: those that differ in digits, headers
    /// and body only, or TLS hellos of one kind of client.
    pub likeness: u64,
    /// All of its bytes in lower case (ASCII), to be searched.
    pub(crate) searched: Bytes,
    /// What it hides in an encoding, as it may be shown, in lower case: at most 64 KiB.
    pub(crate) searched_inside: Bytes,
    /// Who sent it, to look through what is decoded later; shown nowhere.
    pub(crate) sender: Sender,
    /// Its JSON, where that is short, and its rows: made when first asked for.
    pub(crate) json: OnceLock<Bytes>,
    pub(crate) row: OnceLock<Bytes>,
    pub(crate) wall_row: OnceLock<Bytes>,
}

/// Where the parts of an HTTP request are that are asked for again and again: in the bytes of its
/// record.
#[derive(Clone, Debug)]
pub struct HttpParts {
    /// Up to the first white space.
    pub method: Bytes,
    /// Between method and version.
    pub target: Bytes,
    /// As far as it came.
    pub body: Bytes,
}

/// The whole address of who sent a request.
pub(crate) struct Sender(IpAddr);

impl fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sender")
    }
}

impl Entry {
    /// Describes a record that appeared in this version of the view.
    #[must_use]
    pub fn new(record: &Record, appeared: u64, describer: &Describer) -> Self {
        let (whole_source, sent) = (record.src_ip, &record.raw);
        // Country and network are those of the whole address, which they do not give away.
        let origin = describer.locations.find(record.src_ip);
        let through = record.tls.as_deref();
        let sent_by = record.sensor.as_deref();
        let sensor = sent_by.and_then(|sent| Sensor::new(sent, &describer.privacy));
        let Shown {
            record,
            src_prefix,
            blanked,
            unfinished,
            claims: masked_claims,
        } = describer.privacy.show(record);
        let looked_at = record
            .raw
            .slice(..record.raw.len().min(MAX_LOOKED_AT_BYTES));
        let mut description = describer
            .labeller
            .describe_once(&looked_at, origin.as_ref());
        // These undo encodings in which privacy finds nothing.
        let names = |text: &str| describer.privacy.is_named_in(whole_source, text);
        description
            .indicators
            .retain(|indicator| !names(&indicator.address));
        description.detail = description.detail.filter(|detail| !names(detail));
        let mut http2 = match description.protocol {
            Protocol::Http2 => http2::requests(&looked_at),
            _ => Vec::new(),
        };
        http2.retain(|request| !names(&request.text()));
        let summary = match (http2.first(), through) {
            (Some(first), _) => first.summary(MAX_SUMMARY_CHARS),
            (None, Some(tls)) if looked_at.is_empty() => {
                description.protocol = Protocol::Tls;
                summary_of_handshake(tls, names)
            }
            (None, _) => summary(&looked_at, &description),
        };
        let searched = in_lower_case(&record.raw);
        let mut actions = actions(&looked_at, &searched, &description);
        // A shell undoes quotes, in which privacy finds nothing.
        actions.retain(|it| !names(&it.command) && !names(&it.sentence()));
        let Description {
            protocol,
            mut labels,
            mut quoted,
            indicators,
            http,
            decoded,
            is_partial,
            ..
        } = description;
        let limits = Limits::DESCRIBED;
        let decoded = describer
            .privacy
            .show_decoded(whole_source, decoded, limits);
        if through.is_some() {
            labels.retain(|label| label.signature.id != TLS_IN_THE_WRONG_PLACE);
        }
        hide_places(&mut labels, &decoded);
        hide_places(&mut quoted, &decoded);
        labels.truncate(MAX_LABELS);
        quoted.truncate(MAX_LABELS);
        let mut tls = match through.filter(|tls| tls.failed.is_none()) {
            Some(through) => Some(TlsParts::ended(through)),
            None => tls_of(&looked_at, http.as_ref()),
        };
        let of_hello = tls.as_ref().filter(|it| is_hello(it, &looked_at));
        let likeness = likeness(&looked_at, http.as_ref(), of_hello);
        let asked_for = authority(http.as_ref(), tls.as_ref()).map(|shown| {
            let asked_for = AskedFor::new(&shown, record.dest_ip);
            let is_blanked = blanked > 0 && !asks_for(sent, &shown);
            if is_blanked || names(&asked_for.name) {
                AskedFor::HIDDEN
            } else {
                asked_for
            }
        });
        let claims = masked_claims.or_else(|| http.as_ref().map(claims));
        if let Some(tls) = &mut tls {
            let told = tls.server_name.iter_mut().chain(&mut tls.alpn);
            for name in told.filter(|name| names(&text(name))) {
                name.fill(BLANK);
            }
        }
        let excerpt = http
            .as_ref()
            .and_then(|http| Excerpt::find(&looked_at, http, &labels));
        let is_cut = looked_at.len() < record.raw.len();
        // Where the head ends in what was looked at, all behind it is the body.
        let http = match http {
            Some(http) if is_cut && !http.behind_head.is_empty() => http::parse(&record.raw),
            http => http,
        };
        Self {
            appeared,
            protocol,
            labels,
            quoted,
            indicators,
            actions,
            http2,
            origin,
            summary,
            excerpt,
            source: source(&record, src_prefix),
            src_prefix,
            blanked,
            incomplete: is_incomplete(&record, http.as_ref()),
            is_looked_at_in_part: is_cut || unfinished || is_partial,
            likeness,
            http: http.map(|http| HttpParts::new(&record.raw, &http)),
            tls,
            tls_failed: through.and_then(|tls| tls.failed.clone()),
            asked_for,
            claims: claims.unwrap_or_default(),
            sensor,
            searched,
            searched_inside: searched_inside(&decoded),
            sender: Sender(whole_source),
            record,
            json: OnceLock::new(),
            row: OnceLock::new(),
            wall_row: OnceLock::new(),
        }
    }

    /// Reads the whole head of an HTTP request, for those who show all of it; `None` for other
    /// protocols.
    #[must_use]
    pub fn request(&self) -> Option<http::Request<'_>> {
        self.http
            .as_ref()
            .and_then(|_| http::parse(&self.record.raw))
    }

    /// Returns what it hides in an encoding, as it may be shown; `describer` is the one that
    /// described it.
    #[must_use]
    pub fn decoded(&self, describer: &Describer) -> Vec<Part> {
        let limits = Limits::SHOWN;
        let parts = decode(&self.record.raw, self.http.is_some(), limits);
        describer.privacy.show_decoded(self.sender.0, parts, limits)
    }

    /// Returns what it is for: the category of the first label.
    #[must_use]
    pub fn category(&self) -> Option<Category> {
        self.labels.first().map(|label| label.signature.category)
    }

    /// Returns the TLS hello that it is, or that is all there is of it: no request came after it.
    #[must_use]
    pub fn hello(&self) -> Option<&TlsParts> {
        let tls = self.tls.as_ref();
        tls.filter(|tls| is_hello(tls, &self.record.raw))
    }

    /// Returns the client's address; `None` where nobody knows it.
    #[must_use]
    pub fn source_ip(&self) -> Option<IpAddr> {
        Some(self.record.src_ip).filter(|ip| !ip.is_unspecified())
    }

    /// Returns the client's address, or the network that is shown of it; `None` where nobody knows
    /// it.
    #[must_use]
    pub fn network(&self) -> Option<String> {
        let prefix = self
            .src_prefix
            .map(|bits| format!("/{bits}"))
            .unwrap_or_default();
        self.source_ip().map(|ip| format!("{ip}{prefix}"))
    }

    /// Returns how the client's address was learned.
    #[must_use]
    pub fn via(&self) -> &'static str {
        match self.record.via {
            Via::ProxyV2 | Via::Tls => "PROXY v2",
            Via::ProxyV1 => "PROXY v1",
            Via::Peer => "socket",
            Via::Http => "PROXY, http",
        }
    }
}

impl HttpParts {
    fn new(raw: &Bytes, http: &http::Request<'_>) -> Self {
        Self {
            method: raw.slice_ref(http.method),
            target: raw.slice_ref(http.target),
            body: raw.slice_ref(http.body),
        }
    }
}

/// A label says in which part it was found; not where the part is not shown in the same words.
fn hide_places(labels: &mut [Label], shown: &[Part]) {
    let whats: Vec<_> = shown.iter().map(Part::what).collect();
    for place in labels
        .iter_mut()
        .filter_map(|label| label.found_in.as_mut())
    {
        if !whats.contains(place) {
            UNSAID.clone_into(place);
        }
    }
}

/// All parts in lower case, with a byte between them that is in no text.
fn searched_inside(parts: &[Part]) -> Bytes {
    let mut all = Vec::with_capacity(parts.iter().map(|part| part.bytes.len() + 1).sum());
    for part in parts {
        all.extend(part.bytes.iter().map(u8::to_ascii_lowercase));
        all.push(SEPARATOR);
    }
    all.into()
}

fn in_lower_case(raw: &Bytes) -> Bytes {
    if raw.iter().any(u8::is_ascii_uppercase) {
        raw.to_ascii_lowercase().into()
    } else {
        raw.clone()
    }
}

/// Returns a request as one printable line: method and target, what other protocols say of
/// themselves, or a start of the bytes.
#[must_use]
pub fn summary(raw: &[u8], description: &Description<'_>) -> String {
    match (&description.http, &description.detail) {
        (Some(http), _) => printable::line(
            &[http.method, b" ", http.target].concat(),
            MAX_SUMMARY_CHARS,
        ),
        (_, Some(detail)) => printable::line(detail.as_bytes(), MAX_SUMMARY_CHARS),
        (_, None) => printable::line(raw, MAX_SUMMARY_CHARS),
    }
}

/// A handshake after which no request came, or whose hello is not known.
fn summary_of_handshake(tls: &Tls, is_hidden: impl Fn(&str) -> bool) -> String {
    let name = tls.sni.as_ref().filter(|name| !is_hidden(name));
    let said = match (&tls.failed, name) {
        (Some(_), _) => "TLS handshake that failed".to_owned(),
        (None, Some(name)) => format!("TLS handshake for {name}, no request"),
        (None, None) => "TLS handshake, no request".to_owned(),
    };
    printable::line(said.as_bytes(), MAX_SUMMARY_CHARS)
}

fn is_hello(tls: &TlsParts, raw: &[u8]) -> bool {
    tls.agreed.is_none() || raw.is_empty()
}

/// Returns bytes as UTF-8, or else as ISO 8859-1, in which every byte is a character: RFC 9110,
/// 5.5.
#[must_use]
pub fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

fn source(record: &Record, prefix: Option<u8>) -> String {
    match (record.src_ip, record.src_port, prefix) {
        (ip, 0, _) if ip.is_unspecified() => "unknown".to_owned(),
        (ip, _, Some(bits)) => format!("{ip}/{bits}"),
        (ip, port, None) => SocketAddr::new(ip, port).to_string(),
    }
}

/// Bytes that are not HTTP have no other end than that no more come, or that the client closes; nor
/// has HTTP whose length nothing tells.
fn is_incomplete(record: &Record, http: Option<&http::Request<'_>>) -> bool {
    record.truncated
        || match record.ended {
            Ended::Complete => false,
            Ended::Quiet | Ended::Eof => http.is_some_and(|http| http.unfinished),
            Ended::Limit | Ended::Deadline => true,
        }
}

/// What speaks HTTP has no hello.
fn tls_of(raw: &[u8], http: Option<&http::Request<'_>>) -> Option<TlsParts> {
    if http.is_some() {
        return None;
    }
    tls::parse(raw).map(TlsParts::new)
}

/// Tells whether a request, as it was sent, asks for this.
fn asks_for(sent: &[u8], shown: &[u8]) -> bool {
    let looked_at = &sent[..sent.len().min(MAX_LOOKED_AT_BYTES)];
    let http = http::parse(looked_at);
    let tls = tls_of(looked_at, http.as_ref());
    authority(http.as_ref(), tls.as_ref()).as_deref() == Some(shown)
}

fn likeness(raw: &[u8], http: Option<&http::Request<'_>>, tls: Option<&TlsParts>) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Some(http) = http {
        http.method.hash(&mut hasher);
        for word in http
            .target
            .split(u8::is_ascii_digit)
            .filter(|word| !word.is_empty())
        {
            word.hash(&mut hasher);
        }
    } else if let Some(tls) = tls {
        tls.fingerprint().hash(&mut hasher);
        tls.server_name.hash(&mut hasher);
    } else {
        raw[..raw.len().min(ALIKE_BYTES)].hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::LazyLock;

    use forever200_identify::Labeller;

    use super::*;
    use crate::reader::locations::Locations;
    use crate::reader::privacy::Privacy;

    /// Knows the built-in signatures, and of no address where it is.
    pub(crate) fn describer(privacy: Privacy) -> Describer {
        Describer {
            labeller: Labeller::built_in().into(),
            locations: Locations::default(),
            privacy,
        }
    }

    /// A record, described with the built-in signatures, from nobody knows where.
    pub(crate) fn entry(record: Record) -> Entry {
        static DESCRIBER: LazyLock<Describer> = LazyLock::new(|| describer(Privacy::default()));
        Entry::new(&record, 1, &DESCRIBER)
    }

    /// A record of these bytes, from a documentation address.
    pub(crate) fn record(raw: &[u8]) -> Record {
        forever200_testkit::record(7, raw)
    }

    #[test]
    fn requests_that_differ_in_digits_headers_or_body_are_alike() {
        let alike = |a: &[u8], b: &[u8]| entry(record(a)).likeness == entry(record(b)).likeness;
        assert!(alike(
            b"GET /a?id=1 HTTP/1.1\r\n\r\n",
            b"GET /a?id=23 HTTP/1.0\r\nHost: x\r\n\r\nbody"
        ));
        assert!(alike(
            b"\x03\x00\x00\x13\x0e\xe0abcdefghijk",
            b"\x03\x00\x00\x13\x0e\xe0abcdefghijklmnop"
        ));
        assert!(!alike(
            b"GET /a HTTP/1.1\r\n\r\n",
            b"POST /a HTTP/1.1\r\n\r\n"
        ));
        assert!(!alike(
            b"GET /a HTTP/1.1\r\n\r\n",
            b"GET /b HTTP/1.1\r\n\r\n"
        ));
        assert!(!alike(b"\0", b"\x01"));
    }

    #[test]
    fn what_is_asked_for_is_hidden_where_it_is_blanked() {
        let hidden = "192.0.2.1,honey.example.net";
        let describer = describer(Privacy {
            mask_sources: true,
            hidden: hidden.parse().unwrap(),
        });
        let asked_for = |authority: &str, describer: &Describer| {
            let raw = format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n");
            let entry = Entry::new(&record(raw.as_bytes()), 1, describer);
            entry.asked_for.unwrap()
        };
        for authority in [
            "192.0.2.1:80",
            "3221225985",
            "Honey.example.net",
            "www.honey.example.net",
            // The client's own.
            "203.0.113.7",
        ] {
            assert_eq!(asked_for(authority, &describer), AskedFor::HIDDEN);
        }
        // Nor does it tell whether an address is the one that the request came to.
        let open = Describer {
            privacy: Privacy {
                mask_sources: false,
                hidden: "198.51.100.1".parse().unwrap(),
            },
            ..describer
        };
        for authority in ["192.0.2.1", "192.0.2.2"] {
            let kind = asked_for(authority, &open).kind;
            assert_eq!(kind, crate::reader::asked_for::Kind::OtherAddress);
        }
        assert_eq!(asked_for("xxxx.example", &open).name, "xxxx.example");
    }

    #[test]
    fn what_is_not_whole_is_incomplete() {
        let is_incomplete = |raw: &[u8], ended, truncated| {
            entry(Record {
                ended,
                truncated,
                ..record(raw)
            })
            .incomplete
        };
        assert!(!is_incomplete(
            b"GET / HTTP/1.1\r\n\r\n",
            Ended::Complete,
            false
        ));
        assert!(is_incomplete(b"GET / HTTP/1.1\r\n", Ended::Quiet, false));
        assert!(is_incomplete(
            b"GET / HTTP/1.1\r\n\r\n",
            Ended::Complete,
            true
        ));
        assert!(!is_incomplete(
            b"POST / HTTP/1.1\r\n\r\nhello",
            Ended::Quiet,
            false
        ));
        assert!(!is_incomplete(b"GET /\r\n", Ended::Quiet, false));
        assert!(!is_incomplete(b"\x16\x03\x01", Ended::Quiet, false));
        assert!(!is_incomplete(b"\x16\x03\x01", Ended::Eof, false));
        assert!(is_incomplete(b"\x16\x03\x01", Ended::Deadline, false));
    }
}
