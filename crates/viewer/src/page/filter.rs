//! Which requests a visitor wants to see: conditions that are asked of entries.
//!
//! In: a [`FilterQuery`]. Out: whether an entry is meant.

mod host;
mod narrow;
mod query;

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use forever200_identify::{Category, Protocol};
use forever200_ring::{Record, Sent};
use ipnet::IpNet;
use memchr::memmem::Finder;

use crate::history::Kind;
use crate::reader::Entry;
use crate::reader::entry::HttpParts;
use crate::reader::tls_parts::TlsParts;
use host::Host;

pub use query::{Chip, Condition, Field, FilterQuery, is_condition};

/// By this name a query calls what no label has a category for.
pub const UNRECOGNISED: &str = "unrecognised";
/// By this name a visitor's own address may be asked for.
const ME: &str = "me";

/// Conditions that a request must all meet.
#[derive(Clone, Debug, Default)]
pub struct Filter(Vec<Term>);

/// One of them.
#[derive(Clone, Debug)]
struct Term {
    test: Test,
    /// It must not be met.
    excludes: bool,
}

/// What TLS a request came through.
#[derive(Clone, Debug)]
enum Tls {
    /// Any.
    Ended,
    /// None: the handshake failed.
    Failed,
    /// This version.
    Version(String),
}

/// What a request is asked.
#[derive(Clone, Debug)]
enum Test {
    /// Any of these, in lower case: the text as it is, and with its escapes undone.
    Text(Vec<Finder<'static>>),
    Method(String),
    Source(IpNet),
    Claims(IpNet),
    Sensor(String),
    Protocol(Protocol),
    /// `None` stands for [`UNRECOGNISED`].
    Category(Option<Category>),
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

impl Filter {
    /// Reads a query; `visitor` is the address of who asks.
    ///
    /// # Errors
    /// A field does not say what it should; the error is a sentence for the visitor.
    pub fn new(query: &FilterQuery, visitor: IpAddr) -> Result<Self, String> {
        let mut terms = Vec::new();
        for Condition {
            field,
            value,
            excludes,
        } in query.conditions()
        {
            let excludes = *excludes;
            terms.extend(test(*field, value, visitor)?.map(|test| Term { test, excludes }));
        }
        Ok(Self(terms))
    }

    /// Tells whether a request meets all conditions.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        self.0
            .iter()
            .all(|term| term.test.is_met_by(entry) != term.excludes)
    }

    /// Tells whether there is any condition.
    #[must_use]
    pub fn chooses(&self) -> bool {
        !self.0.is_empty()
    }

    /// Tells whether text is searched for, which takes longer than all other conditions.
    #[must_use]
    pub fn searches(&self) -> bool {
        self.0.iter().any(|term| matches!(term.test, Test::Text(_)))
    }
}

impl Test {
    fn is_met_by(&self, entry: &Entry) -> bool {
        let signatures = || entry.labels.iter().map(|label| &label.signature);
        let origin = entry.origin.as_ref();
        let http = |is_met: &dyn Fn(&HttpParts) -> bool| entry.http.as_ref().is_some_and(is_met);
        match self {
            Self::Text(needles) => needles.iter().any(|needle| {
                let texts = [&entry.searched, &entry.searched_inside];
                texts.into_iter().any(|text| needle.find(text).is_some())
            }),
            Self::Method(method) => {
                http(&|http| http.method.eq_ignore_ascii_case(method.as_bytes()))
            }
            Self::Source(source) => source.contains(&source_of(&entry.record)),
            Self::Claims(network) => entry.claims.iter().any(|it| network.contains(&it.ip)),
            Self::Sensor(name) => entry.sensor.as_ref().is_some_and(|it| it.name == *name),
            Self::Protocol(protocol) => *protocol == entry.protocol,
            Self::Category(None) => entry.category().is_none(),
            // An attack by a program that names itself is no ordinary visit.
            Self::Category(Some(Category::Ordinary)) => {
                !entry.labels.is_empty()
                    && signatures().all(|it| it.categories().all(|it| it == Category::Ordinary))
            }
            Self::Category(Some(category)) => {
                signatures().any(|it| it.categories().any(|it| it == *category))
            }
            Self::Label(id) => signatures().any(|it| it.id == *id),
            Self::Kind(name) => Kind::new(entry).name == *name,
            Self::Cve(cve) => {
                signatures().any(|it| it.cve.iter().any(|it| it.eq_ignore_ascii_case(cve)))
            }
            Self::Country(code) => origin
                .and_then(|origin| origin.country.as_deref())
                .is_some_and(|country| country.eq_ignore_ascii_case(code)),
            Self::Network(asn) => origin.and_then(|origin| origin.asn) == Some(*asn),
            Self::Path(beginning) => http(&|http| begins_with(&http.target, beginning)),
            Self::Host(host) => host.is_asked_for(entry.asked_for.as_ref()),
            Self::Ja4(ja4) => {
                let found = entry.tls.as_ref().and_then(TlsParts::ja4);
                found.is_some_and(|found| found.eq_ignore_ascii_case(ja4))
            }
            Self::Port(ports) => ports.contains(&entry.record.dest_port),
            Self::Tls(tls) => tls.is_that_of(entry),
            Self::Incomplete => entry.incomplete,
            Self::Body => http(&|http| !http.body.is_empty()),
        }
    }
}

impl Tls {
    fn new(value: &str) -> Result<Self, String> {
        Ok(match &*value.to_ascii_lowercase() {
            "on" | "true" | "1" => Self::Ended,
            "failed" => Self::Failed,
            version @ ("1.0" | "1.1" | "1.2" | "1.3") => Self::Version(format!("TLS {version}")),
            _ => return Err("tls: expected on, failed, 1.0, 1.1, 1.2 or 1.3".to_owned()),
        })
    }

    fn is_that_of(&self, entry: &Entry) -> bool {
        let agreed = entry.tls.as_ref().and_then(|tls| tls.agreed.as_ref());
        match self {
            Self::Ended => agreed.is_some(),
            Self::Failed => entry.tls_failed.is_some(),
            Self::Version(version) => agreed.is_some_and(|it| it.version == *version),
        }
    }
}

/// Reads one condition; `None` when all requests meet it.
fn test(field: Field, value: &str, visitor: IpAddr) -> Result<Option<Test>, String> {
    let trimmed = value.trim();
    if trimmed.is_empty() && field != Field::Text {
        return Ok(None);
    }
    Ok(Some(match field {
        Field::Text => Test::Text(needles(value)),
        Field::Method => Test::Method(trimmed.to_owned()),
        Field::Source => Test::Source(network(trimmed, visitor)?),
        Field::Claims => Test::Claims(network(trimmed, visitor).map_err(|_| {
            "claims: expected an address or a network, such as 203.0.113.0/24".to_owned()
        })?),
        Field::Sensor => Test::Sensor(sensor(trimmed)?),
        Field::Protocol => {
            Test::Protocol(named("protocol", trimmed, Protocol::ALL, Protocol::name)?)
        }
        Field::Category => Test::Category(category(trimmed)?),
        Field::Label => Test::Label(trimmed.to_owned()),
        Field::Kind => Test::Kind(trimmed.to_owned()),
        Field::Cve => Test::Cve(trimmed.to_owned()),
        Field::Country => Test::Country(trimmed.to_owned()),
        Field::Network => Test::Network(asn(trimmed)?),
        Field::Path => Test::Path(trimmed.to_owned()),
        Field::Host => Test::Host(Host::new(trimmed)),
        Field::Ja4 => Test::Ja4(trimmed.to_owned()),
        Field::Port => Test::Port(ports(trimmed)?),
        Field::Tls => Test::Tls(Tls::new(trimmed)?),
        Field::Incomplete if !switch("incomplete", trimmed)? => return Ok(None),
        Field::Incomplete => Test::Incomplete,
        Field::Body if !switch("body", trimmed)? => return Ok(None),
        Field::Body => Test::Body,
    }))
}

/// Tells whether the [`text`](crate::reader::entry::text) of bytes begins with another, without
/// making it: all watchers ask that of all requests.
fn begins_with(bytes: &[u8], beginning: &str) -> bool {
    let as_utf8 = bytes.starts_with(beginning.as_bytes());
    let mut chars = beginning.chars();
    let as_iso = bytes
        .iter()
        .zip(&mut chars)
        .all(|(&byte, char)| char::from(byte) == char)
        && chars.next().is_none();
    if as_utf8 == as_iso {
        as_utf8
    } else {
        as_utf8 == std::str::from_utf8(bytes).is_ok()
    }
}

/// Reads the name of a sensor.
fn sensor(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    if Sent::is_name(&name) {
        Ok(name)
    } else {
        Err("sensor: expected a name, 1 to 40 of a-z, 0-9 and -".to_owned())
    }
}

/// Reads a port, or a range of them.
fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.trim().parse::<u16>();
    match (number(first), number(last)) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => Err("port: expected a number, such as 8080, or a range, such as 2300-2399".to_owned()),
    }
}

/// An address alone is a network of one, with or without a port. `::ffff:203.0.113.7` is
/// `203.0.113.7`.
pub(crate) fn network(source: &str, visitor: IpAddr) -> Result<IpNet, String> {
    let host = |ip: IpAddr| IpNet::from(ip.to_canonical());
    let network = if source.eq_ignore_ascii_case(ME) {
        return Ok(host(visitor));
    } else if let Ok(address) = source.parse::<SocketAddr>() {
        return Ok(host(address.ip()));
    } else {
        source.parse().or_else(|_| source.parse().map(host))
    };
    network
        .map_err(|_| "source: expected an address or a network, such as 203.0.113.0/24".to_owned())
}

fn source_of(record: &Record) -> IpAddr {
    record.src_ip.to_canonical()
}

/// Reads the name of a category; `None` for what no label has one for.
pub(crate) fn category(name: &str) -> Result<Option<Category>, String> {
    if name.eq_ignore_ascii_case(UNRECOGNISED) {
        return Ok(None);
    }
    named("category", name, &Category::ALL, Category::name)
        .map(Some)
        .map_err(|error| format!("{error}, {UNRECOGNISED}"))
}

/// Finds what has a name, in any case.
fn named<T: Copy>(
    field: &str,
    name: &str,
    all: &[T],
    name_of: fn(T) -> &'static str,
) -> Result<T, String> {
    let is_it = |it: &T| name_of(*it).eq_ignore_ascii_case(name);
    all.iter().copied().find(is_it).ok_or_else(|| {
        let names: Vec<_> = all.iter().copied().map(name_of).collect();
        format!("{field}: expected one of {}", names.join(", "))
    })
}

pub(crate) fn asn(number: &str) -> Result<u32, String> {
    let digits = number
        .strip_prefix("AS")
        .or_else(|| number.strip_prefix("as"))
        .unwrap_or(number);
    digits
        .parse()
        .map_err(|_| "as: expected a number, such as AS64496".to_owned())
}

/// Reads a switch of a query: `on`, `1` or `true`, in any case; nothing is `off`.
///
/// # Errors
/// It is none; the error is a sentence for the visitor.
pub fn switch(name: &str, value: &str) -> Result<bool, String> {
    match &*value.to_ascii_lowercase() {
        "on" | "true" | "1" => Ok(true),
        "" | "off" | "false" | "0" => Ok(false),
        _ => Err(format!("{name}: expected on or off")),
    }
}

/// Finders, for they take time in proportion to what they search, whatever a visitor asks for.
fn needles(q: &str) -> Vec<Finder<'static>> {
    let mut needles = vec![
        q.as_bytes().to_ascii_lowercase(),
        unescape(q).to_ascii_lowercase(),
    ];
    needles.dedup();
    needles.retain(|needle| !needle.is_empty());
    needles
        .iter()
        .map(|needle| Finder::new(needle).into_owned())
        .collect()
}

/// Undoes the escapes of [`printable`](crate::bytes::printable), so that what a page shows can be
/// searched for.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (escape, more) = one_escape(after).unwrap_or((b"\\".to_vec(), after));
        bytes.extend(escape);
        rest = more;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Reads what follows a backslash: what it stands for, and the rest.
fn one_escape(after: &str) -> Option<(Vec<u8>, &str)> {
    let (kind, rest) = after.split_at_checked(1)?;
    match kind {
        "n" => Some((b"\n".to_vec(), rest)),
        "r" => Some((b"\r".to_vec(), rest)),
        "t" => Some((b"\t".to_vec(), rest)),
        "x" => {
            let (digits, rest) = rest.split_at_checked(2)?;
            Some((vec![u8::from_str_radix(digits, 16).ok()?], rest))
        }
        "u" => {
            let (digits, rest) = rest.strip_prefix('{')?.split_once('}')?;
            let char = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
            Some((char.to_string().into_bytes(), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
