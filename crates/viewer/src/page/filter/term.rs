//! A condition that was read from its text, and whether an entry meets it.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use forever200_identify::{Category, Protocol, Signature};
use forever200_ring::Record;
use ipnet::IpNet;
use memchr::memmem::Finder;

use super::host::Host;
use crate::history::{Kind, WantedCategory};
use crate::reader::Entry;
use crate::reader::tls_parts::TlsParts;

/// A condition that was read from an [`AskedCondition`](super::AskedCondition).
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) test: Test,
    /// The condition must not be met.
    pub(super) excludes: bool,
}

/// The condition on the TLS that a request came through.
#[derive(Clone, Debug)]
pub(super) enum Tls {
    /// haproxy decrypted it, whatever the version.
    Decrypted,
    /// The handshake failed.
    Failed,
    /// haproxy decrypted it, and it has this version.
    Version(String),
}

/// What a condition tests.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// The request contains one of these texts, in lower case: the text as it was written, or with
    /// its escapes undone.
    Text(Vec<Finder<'static>>),
    Method(String),
    Source(IpNet),
    Claims(IpNet),
    Sensor(String),
    Protocol(Protocol),
    Category(WantedCategory),
    Label(String),
    Kind(String),
    Cve(String),
    Country(String),
    Network(u32),
    Path(String),
    Host(Host),
    Ja4(String),
    Port(RangeInclusive<u16>),
    Tls(Tls),
    Incomplete,
    Body,
}

impl Term {
    pub(super) fn is_met_by(&self, entry: &Entry) -> bool {
        self.test.is_met_by(entry) != self.excludes
    }
}

impl Test {
    fn is_met_by(&self, entry: &Entry) -> bool {
        match self {
            Self::Text(needles) => needles.iter().any(|needle| has_text(entry, needle)),
            Self::Source(source) => source.contains(&source_of(&entry.record)),
            Self::Claims(network) => entry.claims.iter().any(|it| network.contains(&it.ip)),
            Self::Sensor(name) => match &entry.sensor {
                Some(sensor) => sensor.name == *name,
                None => false,
            },
            Self::Protocol(protocol) => *protocol == entry.protocol,
            Self::Category(category) => is_of_category(entry, *category),
            Self::Label(id) => has_signature(entry, |it| it.id == *id),
            Self::Kind(name) => Kind::of(entry).name == *name,
            Self::Cve(cve) => has_signature(entry, |it| {
                it.cve.iter().any(|it| it.eq_ignore_ascii_case(cve))
            }),
            Self::Country(code) => is_in_country(entry, code),
            Self::Network(asn) => match &entry.origin {
                Some(origin) => origin.asn == Some(*asn),
                None => false,
            },
            Self::Host(host) => host.is_asked_for(entry.asked_for.as_ref()),
            Self::Ja4(ja4) => match entry.tls.as_ref().and_then(TlsParts::ja4) {
                Some(found) => found.eq_ignore_ascii_case(ja4),
                None => false,
            },
            Self::Port(ports) => ports.contains(&entry.record.dest_port),
            Self::Tls(tls) => tls.is_that_of(entry),
            Self::Incomplete => entry.incomplete,
            Self::Method(_) | Self::Path(_) | Self::Body => self.is_met_by_http(entry),
        }
    }

    fn is_met_by_http(&self, entry: &Entry) -> bool {
        let Some(http) = &entry.http else {
            return false;
        };
        match self {
            Self::Method(method) => http.method.eq_ignore_ascii_case(method.as_bytes()),
            Self::Path(beginning) => begins_with(&http.target, beginning),
            Self::Body => !http.body.is_empty(),
            _ => false,
        }
    }
}

impl Tls {
    fn is_that_of(&self, entry: &Entry) -> bool {
        let agreed = entry.tls.as_ref().and_then(|tls| tls.agreed.as_ref());
        match self {
            Self::Decrypted => agreed.is_some(),
            Self::Failed => entry.tls_failed.is_some(),
            Self::Version(version) => agreed.is_some_and(|it| it.version == *version),
        }
    }
}

fn has_text(entry: &Entry, needle: &Finder<'_>) -> bool {
    needle.find(&entry.searched).is_some() || needle.find(&entry.searched_inside).is_some()
}

fn is_of_category(entry: &Entry, wanted: WantedCategory) -> bool {
    match wanted {
        WantedCategory::Unrecognised => entry.category().is_none(),
        WantedCategory::Labelled(Category::Ordinary) => is_ordinary(entry),
        WantedCategory::Labelled(category) => {
            has_signature(entry, |it| it.categories().any(|it| it == category))
        }
    }
}

/// Tells whether a request has only ordinary labels. An attack by a program that names itself also
/// has another label.
fn is_ordinary(entry: &Entry) -> bool {
    let is_more = |signature: &Signature| signature.categories().any(|it| it != Category::Ordinary);
    !entry.labels.is_empty() && !has_signature(entry, is_more)
}

fn has_signature(entry: &Entry, is_meant: impl Fn(&Signature) -> bool) -> bool {
    entry.labels.iter().any(|label| is_meant(&label.signature))
}

fn is_in_country(entry: &Entry, code: &str) -> bool {
    let origin = entry.origin.as_ref();
    match origin.and_then(|origin| origin.country.as_deref()) {
        Some(country) => country.eq_ignore_ascii_case(code),
        None => false,
    }
}

fn source_of(record: &Record) -> IpAddr {
    record.src_ip.to_canonical()
}

/// Tells whether the [`text`](crate::reader::entry::text) of bytes begins with `beginning`.
/// Compares without making that text, because every watcher checks every request.
fn begins_with(bytes: &[u8], beginning: &str) -> bool {
    let as_utf8 = bytes.starts_with(beginning.as_bytes());
    let as_iso = begins_with_chars(bytes, beginning);
    if as_utf8 == as_iso {
        as_utf8
    } else {
        as_utf8 == std::str::from_utf8(bytes).is_ok()
    }
}

/// Tells whether bytes begin with `beginning` if each byte is read as one character (ISO 8859-1).
fn begins_with_chars(bytes: &[u8], beginning: &str) -> bool {
    let mut bytes = bytes.iter();
    for wanted in beginning.chars() {
        match bytes.next() {
            Some(&byte) if char::from(byte) == wanted => {}
            _ => return false,
        }
    }
    true
}
