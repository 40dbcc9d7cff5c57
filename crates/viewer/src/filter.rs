//! Which requests a visitor wants to see: the query string as conditions.
//!
//! In: the query of a page, a list, an export or an event stream. Out: whether an entry is meant.

use std::net::IpAddr;

use forever200_identify::Protocol;
use ipnet::IpNet;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use crate::entry::{Entry, text};

/// The query string as it came; a field that is empty says nothing, as forms send all of theirs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct FilterQuery {
    /// Text that the raw bytes contain, in any case (ASCII); `\xff`, `\r` and the like stand for bytes.
    pub q: String,
    /// The method, in any case.
    pub method: String,
    /// An address, or a network as `203.0.113.0/24`.
    pub source: String,
    /// The name of a protocol.
    pub protocol: String,
    /// What the target begins with.
    pub path: String,
    /// `on`: only requests that are not whole.
    pub incomplete: String,
    /// `on`: only requests with a body.
    pub body: String,
}

impl FilterQuery {
    /// Returns the fields that say something, by name.
    #[must_use]
    pub fn given(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("q", &self.q),
            ("method", &self.method),
            ("source", &self.source),
            ("protocol", &self.protocol),
            ("path", &self.path),
            ("incomplete", &self.incomplete),
            ("body", &self.body),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.as_str())).collect()
    }
}

/// Conditions that a request must all meet.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Any of these, in lower case: the text as it is, and with its escapes undone.
    needles: Vec<Finder<'static>>,
    method: String,
    source: Option<IpNet>,
    protocol: Option<Protocol>,
    path: String,
    incomplete: bool,
    body: bool,
}

impl Filter {
    /// Reads a query.
    ///
    /// # Errors
    /// A field does not say what it should; the error is a sentence for the visitor.
    pub fn new(query: &FilterQuery) -> Result<Self, String> {
        Ok(Self {
            needles: needles(&query.q),
            method: query.method.trim().to_owned(),
            source: network(query.source.trim())?,
            protocol: protocol(query.protocol.trim())?,
            path: query.path.trim().to_owned(),
            incomplete: switch("incomplete", &query.incomplete)?,
            body: switch("body", &query.body)?,
        })
    }

    /// Tells whether a request meets all conditions.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        let of_http = self.body || !self.method.is_empty() || !self.path.is_empty();
        (!self.incomplete || entry.incomplete)
            && self.protocol.is_none_or(|protocol| protocol == entry.protocol)
            && self.source.is_none_or(|source| source.contains(&canonical(entry.record.src_ip)))
            && (!of_http || self.matches_http(entry))
            && self.matches_text(&entry.record.raw)
    }

    fn matches_text(&self, raw: &[u8]) -> bool {
        self.needles.is_empty() || {
            let raw = raw.to_ascii_lowercase();
            self.needles.iter().any(|needle| needle.find(&raw).is_some())
        }
    }

    fn matches_http(&self, entry: &Entry) -> bool {
        entry.http().is_some_and(|http| {
            (!self.body || !http.body.is_empty())
                && (self.method.is_empty() || http.method.eq_ignore_ascii_case(self.method.as_bytes()))
                && text(http.target).starts_with(&self.path)
        })
    }
}

/// An address alone is a network of one. `::ffff:203.0.113.7` is `203.0.113.7`.
fn network(source: &str) -> Result<Option<IpNet>, String> {
    if source.is_empty() {
        return Ok(None);
    }
    let network = source.parse().or_else(|_| source.parse().map(|ip| IpNet::from(canonical(ip))));
    network.map(Some).map_err(|_| "source: expected an address or a network, as 203.0.113.0/24".to_owned())
}

fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

fn protocol(name: &str) -> Result<Option<Protocol>, String> {
    let found = Protocol::ALL.into_iter().find(|protocol| protocol.name() == name);
    match found {
        None if !name.is_empty() => {
            Err(format!("protocol: expected one of {}", Protocol::ALL.map(Protocol::name).join(", ")))
        }
        found => Ok(found),
    }
}

fn switch(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "on" | "true" | "1" => Ok(true),
        "" | "false" | "0" => Ok(false),
        _ => Err(format!("{name}: expected on, or nothing")),
    }
}

/// Finders, for they take time in proportion to what they search, whatever a visitor asks for.
fn needles(q: &str) -> Vec<Finder<'static>> {
    let mut needles = vec![q.as_bytes().to_ascii_lowercase(), unescape(q).to_ascii_lowercase()];
    needles.dedup();
    needles.retain(|needle| !needle.is_empty());
    needles.iter().map(|needle| Finder::new(needle).into_owned()).collect()
}

/// Undoes the escapes of [`printable`](crate::printable), so that what a page shows can be searched for.
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
mod tests {
    use super::*;
    use crate::entry::tests::record;
    use crate::printable;

    fn matches(query: FilterQuery, raw: &[u8]) -> bool {
        Filter::new(&query).unwrap().matches(&Entry::new(record(raw), 1))
    }

    const POST: &[u8] = b"POST /a/b?c=d HTTP/1.1\r\nHost: Example\r\nContent-Length: 4\r\n\r\n\xff\\x4";

    #[test]
    fn each_condition_is_met_or_not() {
        let all = FilterQuery::default;
        assert!(matches(all(), POST) && matches(all(), b"\x16\x03\x01"));
        for (query, met) in [
            (FilterQuery { method: "post".into(), ..all() }, true),
            (FilterQuery { method: "GET".into(), ..all() }, false),
            (FilterQuery { source: "203.0.113.7".into(), ..all() }, true),
            (FilterQuery { source: " 203.0.113.0/24 ".into(), ..all() }, true),
            (FilterQuery { source: "::ffff:203.0.113.7".into(), ..all() }, true),
            (FilterQuery { source: "203.0.113.8".into(), ..all() }, false),
            (FilterQuery { source: "2001:db8::/32".into(), ..all() }, false),
            (FilterQuery { protocol: "http".into(), ..all() }, true),
            (FilterQuery { protocol: "tls".into(), ..all() }, false),
            (FilterQuery { path: "/a/".into(), ..all() }, true),
            (FilterQuery { path: "/b".into(), ..all() }, false),
            (FilterQuery { incomplete: "on".into(), ..all() }, false),
            (FilterQuery { body: "on".into(), ..all() }, true),
            (FilterQuery { method: "POST".into(), path: "/x".into(), ..all() }, false),
        ] {
            assert_eq!(matches(query.clone(), POST), met, "{query:?}");
        }
        assert!(!matches(FilterQuery { path: "/".into(), ..all() }, b"\x16\x03\x01"));
    }

    #[test]
    fn text_is_found_as_sent_and_as_shown() {
        let shown = printable::line(POST, 1000);
        for (q, found) in [
            ("EXAMPLE", true),
            (r"\r\nHost: ex", true),
            (r"\xff", true),
            (r"\x4", true),
            (r"\xfe", false),
            ("é", false),
            (&*shown, true),
        ] {
            assert_eq!(matches(FilterQuery { q: q.into(), ..FilterQuery::default() }, POST), found, "{q}");
        }
        let bidi = "a\u{202e}b".as_bytes();
        assert!(matches(FilterQuery { q: r"a\u{202e}B".into(), ..FilterQuery::default() }, bidi));
    }

    #[test]
    fn odd_escapes_are_text() {
        for q in [r"\", r"\x", r"\xé", r"\u{}", r"\u{110000}", r"\u{d800}", r"\q", r"\\"] {
            assert_eq!(unescape(q), q.as_bytes(), "{q}");
        }
    }

    #[test]
    fn a_bad_field_is_named() {
        for (query, reason) in [
            (FilterQuery { source: "here".into(), ..FilterQuery::default() }, "source: "),
            (FilterQuery { source: "10.0.0.0/33".into(), ..FilterQuery::default() }, "source: "),
            (
                FilterQuery { protocol: "gopher".into(), ..FilterQuery::default() },
                "protocol: expected one of http, tls",
            ),
            (FilterQuery { body: "maybe".into(), ..FilterQuery::default() }, "body: "),
        ] {
            let error = Filter::new(&query).unwrap_err();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
