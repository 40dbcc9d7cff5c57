//! Which requests a visitor wants to see: the query string as conditions.
//!
//! In: the query of a page, a list, an export or an event stream. Out: whether an entry is meant.

use std::net::IpAddr;

use forever200_identify::{Category, Label, Origin, Protocol};
use ipnet::IpNet;
use memchr::memmem::Finder;
use serde::{Deserialize, Serialize};

use crate::reader::Entry;

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
    /// The name of a category.
    pub category: String,
    /// The id of a signature.
    pub label: String,
    /// A CVE number, in any case.
    pub cve: String,
    /// The code of a country, in any case.
    pub country: String,
    /// The number of an autonomous system, with or without `AS`.
    #[serde(rename = "as")]
    pub asn: String,
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
            ("category", &self.category),
            ("label", &self.label),
            ("cve", &self.cve),
            ("country", &self.country),
            ("as", &self.asn),
            ("path", &self.path),
            ("incomplete", &self.incomplete),
            ("body", &self.body),
        ];
        all.into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, value.as_str()))
            .collect()
    }
}

/// Conditions that a request must all meet.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// There is a condition.
    chooses: bool,
    /// Any of these, in lower case: the text as it is, and with its escapes undone.
    needles: Vec<Finder<'static>>,
    method: String,
    source: Option<IpNet>,
    protocol: Option<Protocol>,
    category: Option<Category>,
    label: String,
    cve: String,
    country: String,
    asn: Option<u32>,
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
            chooses: !query.given().is_empty(),
            needles: needles(&query.q),
            method: query.method.trim().to_owned(),
            source: network(query.source.trim())?,
            protocol: protocol(query.protocol.trim())?,
            category: category(query.category.trim())?,
            label: query.label.trim().to_owned(),
            cve: query.cve.trim().to_owned(),
            country: query.country.trim().to_owned(),
            asn: asn(query.asn.trim())?,
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
            && self
                .protocol
                .is_none_or(|protocol| protocol == entry.protocol)
            && self
                .source
                .is_none_or(|source| source.contains(&canonical(entry.record.src_ip)))
            && self.matches_labels(&entry.labels)
            && self.matches_origin(entry.origin.as_ref())
            && (!of_http || self.matches_http(entry))
            && self.matches_text(&entry.searched)
    }

    fn matches_labels(&self, labels: &[Label]) -> bool {
        let mut signatures = labels.iter().map(|label| &label.signature);
        self.category.is_none_or(|category| {
            signatures
                .clone()
                .any(|it| it.categories().any(|it| it == category))
        }) && (self.label.is_empty() || signatures.clone().any(|it| it.id == self.label))
            && (self.cve.is_empty()
                || signatures
                    .any(|it| it.cve.iter().any(|cve| cve.eq_ignore_ascii_case(&self.cve))))
    }

    fn matches_origin(&self, origin: Option<&Origin>) -> bool {
        let country = origin.and_then(|origin| origin.country.as_deref());
        (self.country.is_empty()
            || country.is_some_and(|country| country.eq_ignore_ascii_case(&self.country)))
            && self
                .asn
                .is_none_or(|asn| origin.and_then(|origin| origin.asn) == Some(asn))
    }

    /// Tells whether there is any condition.
    #[must_use]
    pub fn chooses(&self) -> bool {
        self.chooses
    }

    /// Tells whether text is searched for, which takes longer than all other conditions.
    #[must_use]
    pub fn searches(&self) -> bool {
        !self.needles.is_empty()
    }

    fn matches_text(&self, searched: &[u8]) -> bool {
        self.needles.is_empty()
            || self
                .needles
                .iter()
                .any(|needle| needle.find(searched).is_some())
    }

    fn matches_http(&self, entry: &Entry) -> bool {
        entry.http.as_ref().is_some_and(|http| {
            (!self.body || !http.body.is_empty())
                && (self.method.is_empty()
                    || http.method.eq_ignore_ascii_case(self.method.as_bytes()))
                && begins_with(&http.target, &self.path)
        })
    }
}

/// Tells whether the [`text`](crate::reader::entry::text) of bytes begins with another, without making it: all watchers
/// ask that of all requests.
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

/// An address alone is a network of one. `::ffff:203.0.113.7` is `203.0.113.7`.
fn network(source: &str) -> Result<Option<IpNet>, String> {
    if source.is_empty() {
        return Ok(None);
    }
    let network = source
        .parse()
        .or_else(|_| source.parse().map(|ip| IpNet::from(canonical(ip))));
    network
        .map(Some)
        .map_err(|_| "source: expected an address or a network, as 203.0.113.0/24".to_owned())
}

fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

fn protocol(name: &str) -> Result<Option<Protocol>, String> {
    named("protocol", name, Protocol::ALL, Protocol::name)
}

fn category(name: &str) -> Result<Option<Category>, String> {
    named("category", name, &Category::ALL, Category::name)
}

fn named<T: Copy>(
    field: &str,
    name: &str,
    all: &[T],
    name_of: fn(T) -> &'static str,
) -> Result<Option<T>, String> {
    match all.iter().copied().find(|&it| name_of(it) == name) {
        None if !name.is_empty() => {
            let names: Vec<_> = all.iter().copied().map(name_of).collect();
            Err(format!("{field}: expected one of {}", names.join(", ")))
        }
        found => Ok(found),
    }
}

fn asn(number: &str) -> Result<Option<u32>, String> {
    let digits = number
        .strip_prefix("AS")
        .or_else(|| number.strip_prefix("as"))
        .unwrap_or(number);
    let parsed = digits.parse().map(Some);
    if number.is_empty() {
        Ok(None)
    } else {
        parsed.map_err(|_| "as: expected a number, as AS64496".to_owned())
    }
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

/// Undoes the escapes of [`printable`](crate::bytes::printable), so that what a page shows can be searched for.
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
