//! One record and its description, made once.
//!
//! In: a record. Out: what lists, filters and pages need again and again, made only from what may
//! be shown of the record. Makes no HTML.

mod describe;
mod likeness;
mod summary;

use std::net::IpAddr;
use std::sync::OnceLock;

use bytes::Bytes;
use forever200_decode::{Limits, Part, decode};
use forever200_identify::{Category, Indicator, Label, Origin, Protocol, http};
use forever200_ring::{Record, Via};

use crate::bytes::http2;
use crate::bytes::shell::Action;
use crate::history::Kind;
use crate::reader::asked_for::AskedFor;
use crate::reader::claims::Claim;
use crate::reader::describer::Describer;
use crate::reader::excerpt::Excerpt;
use crate::reader::privacy::Senders;
use crate::reader::sensor::Sensor;
use crate::reader::tls_parts::TlsParts;

pub use summary::summary;

/// A record, described.
#[derive(Debug)]
pub struct Entry {
    /// The record, as it may be shown.
    pub record: Record,
    /// Length of the network that the client's address was cut to, in bits; `None` for a whole
    /// address.
    pub src_prefix: Option<u8>,
    /// Number of bytes that were replaced because they name something hidden.
    pub blanked: usize,
    /// Version of the view in which it first appeared. Sequence numbers need not appear in their
    /// order: another responder may still be writing a smaller one.
    pub appeared: u64,
    /// The protocol of the request.
    pub protocol: Protocol,
    /// What the request is for and who sent it, the most specific label first.
    pub labels: Vec<Label>,
    /// Labels of attacks that the request only quotes.
    pub quoted: Vec<Label>,
    /// Addresses in the payload.
    pub indicators: Vec<Indicator>,
    /// What the command lines in the request would do.
    pub actions: Vec<Action>,
    /// The requests of HTTP/2 in it.
    pub http2: Vec<http2::Request>,
    /// What is known of the client's address.
    pub origin: Option<Origin>,
    /// One printable line: method and target, what a TLS hello says, or a start of the bytes.
    pub summary: String,
    /// The header or the body with the evidence, where method and target do not have it.
    pub excerpt: Option<Excerpt>,
    /// The client's address and port, or the network that is shown instead, or `unknown`.
    pub source: String,
    /// The parts of an HTTP request; `None` for other protocols.
    pub http: Option<HttpParts>,
    /// The parts of the TLS hello that the request is, or that haproxy answered before it; `None`
    /// where there is no hello.
    pub tls: Option<TlsParts>,
    /// Why the TLS handshake failed, if it did.
    pub tls_failed: Option<String>,
    /// The name that the request asks for; `None` where it has none.
    pub asked_for: Option<AskedFor>,
    /// Addresses from which the request claims to come, in its head.
    pub claims: Vec<Claim>,
    /// The sensor that recorded the request; `None` for requests to this machine.
    pub sensor: Option<Sensor>,
    /// The client sent, or announced, more than was read or kept.
    pub incomplete: bool,
    /// The request is so long, or takes so much work, that not all of it was examined.
    pub is_looked_at_in_part: bool,
    /// A number that is equal for requests that share a row. Requests of HTTP share one if they
    /// differ only in digits, headers and body; TLS hellos, if fingerprint and server name are
    /// equal; other requests, if their first 16 bytes are equal.
    pub likeness: u64,
    /// All bytes of the request in lower case (ASCII), for searches.
    pub(crate) searched: Bytes,
    /// The decoded parts that may be shown, in lower case, for searches: at most 64 KiB.
    pub(crate) searched_inside: Bytes,
    /// The addresses that must be hidden in parts that are decoded later; shown nowhere.
    pub(crate) senders: Senders,
    /// The entry's JSON, if it is short, and its rows: made when first needed.
    pub(crate) json: OnceLock<Bytes>,
    pub(crate) row: OnceLock<Bytes>,
    pub(crate) wall_row: OnceLock<Bytes>,
    /// The kind of the request, found out when first needed.
    pub(crate) kind: OnceLock<Kind>,
}

/// The parts of an HTTP request that are needed again and again. They share the bytes of the
/// record.
#[derive(Clone, Debug)]
pub struct HttpParts {
    /// Up to the first white space.
    pub method: Bytes,
    /// Between method and version.
    pub target: Bytes,
    /// The body, as far as it was received.
    pub body: Bytes,
}

impl Entry {
    /// Parses the whole head of an HTTP request again; `None` for other protocols.
    #[must_use]
    pub fn request(&self) -> Option<http::Request<'_>> {
        match self.http {
            Some(_) => http::parse(&self.record.raw),
            None => None,
        }
    }

    /// Returns the decoded parts of the request that may be shown. `describer` must be the one that
    /// made this entry.
    #[must_use]
    pub fn decoded(&self, describer: &Describer) -> Vec<Part> {
        let limits = Limits::SHOWN;
        let parts = decode(&self.record.raw, self.http.is_some(), limits);
        describer.privacy.show_decoded(&self.senders, parts, limits)
    }

    /// Returns the category of the first label, which says what the request is for.
    #[must_use]
    pub fn category(&self) -> Option<Category> {
        self.labels.first().map(|label| label.signature.category)
    }

    /// Returns the hello, if the request is only a hello, or if no request followed the handshake.
    #[must_use]
    pub fn hello(&self) -> Option<&TlsParts> {
        let tls = self.tls.as_ref();
        tls.filter(|tls| is_hello(tls, &self.record.raw))
    }

    /// Returns the client's address; `None` where it is unknown.
    #[must_use]
    pub fn source_ip(&self) -> Option<IpAddr> {
        Some(self.record.src_ip).filter(|ip| !ip.is_unspecified())
    }

    /// Returns the client's address, or the network that is shown instead; `None` where the address
    /// is unknown.
    #[must_use]
    pub fn network(&self) -> Option<String> {
        let ip = self.source_ip()?;
        Some(match self.src_prefix {
            Some(bits) => format!("{ip}/{bits}"),
            None => ip.to_string(),
        })
    }

    /// Returns from where the client's address is known.
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

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::LazyLock;

    use forever200_identify::Labeller;
    use forever200_ring::Ended;

    use super::*;
    use crate::reader::locations::Locations;
    use crate::reader::privacy::Privacy;

    /// A describer with the built-in signatures and without a database of locations.
    pub(crate) fn describer(privacy: Privacy) -> Describer {
        Describer {
            labeller: Labeller::built_in().into(),
            locations: Locations::default(),
            privacy,
        }
    }

    /// The entry of a record, with the built-in signatures and without a location.
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
        // Nor does the kind tell whether an address is the one to which the request came.
        let open = Describer {
            privacy: Privacy {
                mask_sources: false,
                hidden: "198.51.100.1".parse().unwrap(),
            },
            ..describer
        };
        for authority in ["192.0.2.1", "192.0.2.2"] {
            let kind = asked_for(authority, &open).kind;
            assert_eq!(kind, crate::reader::asked_for::NameKind::OtherAddress);
        }
        assert_eq!(asked_for("xxxx.example", &open).name, "xxxx.example");
    }

    #[test]
    fn an_address_that_a_request_claims_is_hidden_in_what_is_decoded() {
        let encoded: String = "198.51.100.9"
            .bytes()
            .map(|it| format!("&#{it};"))
            .collect();
        let raw = format!(
            "POST /a HTTP/1.1\r\nX-Forwarded-For: 198.51.100.9\r\nContent-Length: {}\r\n\r\n{encoded}",
            encoded.len()
        );
        for mask_sources in [false, true] {
            let describer = describer(Privacy {
                mask_sources,
                ..Privacy::default()
            });
            let entry = Entry::new(&record(raw.as_bytes()), 1, &describer);
            let decoded = entry.decoded(&describer);
            let parts = decoded.iter().map(|part| &part.bytes[..]);
            for bytes in parts.chain([&entry.searched_inside[..]]) {
                let text = text(bytes);
                assert_eq!(text.contains("198.51.100.9"), !mask_sources, "{text}");
            }
            assert!(!decoded.is_empty());
        }
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
