//! The query string of a filter.
//!
//! In: names and values. Out: conditions as text, and query strings for links, with a condition
//! removed, inverted or replaced.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::bytes::printable;

/// Most conditions of a query. Each is checked for each request and each watcher.
const MAX_CONDITIONS: usize = 24;
/// Longest value that a chip shows, in characters.
const MAX_CHIP_CHARS: usize = 80;
/// Longest query string that the links of rows repeat. A page has 600 of these links, and an
/// address may be 8 kB long.
const MAX_KEPT_BYTES: usize = 256;
/// Most bytes of the links of all chips.
const MAX_CHIPS_BYTES: usize = 16 * 1024;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Text in the raw bytes, or hidden in them by an encoding, in upper or lower case (ASCII).
    /// `\xff`, `\r` and the like mean bytes.
    Text,
    /// The method, in upper or lower case.
    Method,
    /// An address, a network as `203.0.113.0/24`, or `me`: the visitor's own.
    Source,
    /// An address that the head claims to be the source, written as for `Source`.
    Claims,
    /// The name of the sensor that sent the request, in upper or lower case.
    Sensor,
    /// The name of a protocol.
    Protocol,
    /// The name of a category, or `unrecognised` for requests without one.
    Category,
    /// The id of a signature.
    Label,
    /// The name of a kind: the id of the first label; without labels, its protocol and a hash of
    /// its shape.
    Kind,
    /// A CVE number, in upper or lower case.
    Cve,
    /// The code of a country, in upper or lower case.
    Country,
    /// The number of an autonomous system, with or without `AS`.
    Network,
    /// The beginning of the target as it was sent, which is usually path and query.
    Path,
    /// The name that is asked for, `.example.com` for a domain with all names below it, or the kind
    /// of name: `address`, `own-address`, `other-address`, `name`, `odd`, `hidden`, `none`.
    Host,
    /// The fingerprint (JA4) of a TLS client, in upper or lower case.
    Ja4,
    /// The port that the request came to, or a range, such as `2300-2399`.
    Port,
    /// The TLS that the request came through: `on` for any version, a version, such as `1.2`, or
    /// `failed`.
    Tls,
    /// `on`: the request is incomplete.
    Incomplete,
    /// `on`: the request has a body.
    Body,
}

/// A condition as it was asked for: a field, and its value as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedCondition {
    /// The field that the condition is about.
    pub field: Field,
    /// Never empty: an HTML form sends all of its fields, and an empty field is no condition.
    pub value: String,
    /// The condition must not be met. In the query string, its name has a `-` before it.
    pub excludes: bool,
}

/// The conditions of a query string, in their order. A request is shown if it meets all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilterQuery(Vec<AskedCondition>);

/// A condition on the page, with the query strings of its links.
#[derive(Debug, Serialize)]
pub struct Chip {
    name: &'static str,
    /// The value as visible text.
    shown: String,
    excludes: bool,
    /// The query string without this condition.
    without: String,
    /// The query string with this condition inverted.
    inverted: String,
}

impl Field {
    /// All fields.
    pub const ALL: [Self; 19] = [
        Self::Text,
        Self::Method,
        Self::Source,
        Self::Claims,
        Self::Sensor,
        Self::Protocol,
        Self::Category,
        Self::Label,
        Self::Kind,
        Self::Cve,
        Self::Country,
        Self::Network,
        Self::Path,
        Self::Host,
        Self::Ja4,
        Self::Port,
        Self::Tls,
        Self::Incomplete,
        Self::Body,
    ];

    /// Returns its name in the query string.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "q",
            Self::Method => "method",
            Self::Source => "source",
            Self::Claims => "claims",
            Self::Sensor => "sensor",
            Self::Protocol => "protocol",
            Self::Category => "category",
            Self::Label => "label",
            Self::Kind => "kind",
            Self::Cve => "cve",
            Self::Country => "country",
            Self::Network => "as",
            Self::Path => "path",
            Self::Host => "host",
            Self::Ja4 => "ja4",
            Self::Port => "port",
            Self::Tls => "tls",
            Self::Incomplete => "incomplete",
            Self::Body => "body",
        }
    }
}

impl AskedCondition {
    /// Reads a name and a value; `None` if they are no condition.
    fn new(name: &str, value: &str) -> Option<Self> {
        let (field, excludes) = field(name)?;
        // Space around a value is ignored, except in a text to search for.
        let value = match field {
            Field::Text => value,
            _ => value.trim(),
        };
        if value.is_empty() {
            return None;
        }
        Some(Self {
            field,
            value: value.to_owned(),
            excludes,
        })
    }

    fn name(&self) -> String {
        let sign = if self.excludes { "-" } else { "" };
        format!("{sign}{}", self.field.name())
    }
}

/// Reads the name of a condition, and whether it excludes.
fn field(name: &str) -> Option<(Field, bool)> {
    let (name, excludes) = match name.strip_prefix('-') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let field = Field::ALL.into_iter().find(|it| it.name() == name)?;
    Some((field, excludes))
}

/// Tells whether a parameter of this name is a condition.
#[must_use]
pub fn is_condition(name: &str) -> bool {
    field(name).is_some()
}

impl FilterQuery {
    /// Makes a query of names and values. Parameters that are no conditions are left out.
    #[must_use]
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        let mut conditions = Vec::new();
        for (name, value) in pairs {
            conditions.extend(AskedCondition::new(name, value));
        }
        Self(conditions)
    }

    /// Returns the conditions.
    #[must_use]
    pub fn conditions(&self) -> &[AskedCondition] {
        &self.0
    }

    /// Tells whether all requests are asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the query string.
    #[must_use]
    pub fn encoded(&self) -> String {
        encoded(self.0.iter())
    }

    /// Returns, by the name of each field, its first value; empty if the field is not asked for.
    #[must_use]
    pub fn values(&self) -> BTreeMap<&'static str, &str> {
        let mut values = BTreeMap::new();
        for field in Field::ALL {
            values.insert(field.name(), "");
        }
        // In reverse, so that the first value of a field is inserted last.
        for condition in self.0.iter().rev() {
            if !condition.excludes {
                values.insert(condition.field.name(), &condition.value);
            }
        }
        values
    }

    /// Returns the names and values that no input of a form shows: further values of a field, and
    /// all conditions that exclude. An input shows only the first value.
    #[must_use]
    pub fn further(&self) -> Vec<(String, &str)> {
        let mut has_input = Vec::new();
        let mut further = Vec::new();
        for condition in &self.0 {
            if condition.excludes || has_input.contains(&condition.field) {
                further.push((condition.name(), condition.value.as_str()));
            } else {
                has_input.push(condition.field);
            }
        }
        further
    }

    /// Returns, by the name of each field, this query string without the conditions that ask for
    /// that field. If it is not empty, it ends in `&`, so that a link can append `field=value`.
    /// `all` is the whole query string, and `at` the address of the page. A long query string is
    /// not repeated: the links then begin with an empty one.
    #[must_use]
    pub fn link_beginnings(&self) -> BTreeMap<&'static str, String> {
        if self.encoded().len() > MAX_KEPT_BYTES {
            return Self::default().link_beginnings();
        }
        let mut link_beginnings = BTreeMap::new();
        for field in Field::ALL {
            let others = self.0.iter().filter(|it| it.field != field || it.excludes);
            link_beginnings.insert(field.name(), begun(encoded(others)));
        }
        link_beginnings.insert("all", begun(self.encoded()));
        link_beginnings.insert("at", "/home".to_owned());
        link_beginnings
    }

    /// Returns the conditions as the page shows them; none if their links would be too long.
    #[must_use]
    pub fn chips(&self) -> Vec<Chip> {
        if self.encoded().len() * self.0.len() > MAX_CHIPS_BYTES {
            return Vec::new();
        }
        let mut chips = Vec::new();
        for (at, condition) in self.0.iter().enumerate() {
            let mut others = self.0.clone();
            others.remove(at);
            let without = encoded(others.iter());
            others.push(AskedCondition {
                excludes: !condition.excludes,
                ..condition.clone()
            });
            chips.push(Chip {
                name: condition.field.name(),
                shown: printable::line(condition.value.as_bytes(), MAX_CHIP_CHARS),
                excludes: condition.excludes,
                without,
                inverted: encoded(others.iter()),
            });
        }
        chips
    }
}

impl<'de> Deserialize<'de> for FilterQuery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = FilterQuery;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("names and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<FilterQuery, A::Error> {
                let mut conditions = Vec::new();
                while let Some((name, value)) = pairs.next_entry::<String, String>()? {
                    // The same condition twice takes time and changes nothing.
                    let condition = AskedCondition::new(&name, &value);
                    conditions.extend(condition.filter(|it| !conditions.contains(it)));
                    if conditions.len() > MAX_CONDITIONS {
                        return Err(A::Error::custom(format!(
                            "expected at most {MAX_CONDITIONS} conditions"
                        )));
                    }
                }
                Ok(FilterQuery(conditions))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

fn encoded<'a>(conditions: impl Iterator<Item = &'a AskedCondition>) -> String {
    let pairs: Vec<_> = conditions.map(|it| (it.name(), &*it.value)).collect();
    serde_urlencoded::to_string(pairs).expect("names and values can always be written")
}

/// Returns a query string to which a link can append.
fn begun(query: String) -> String {
    if query.is_empty() { query } else { query + "&" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> FilterQuery {
        serde_urlencoded::from_str(query).unwrap()
    }

    #[test]
    fn a_query_is_read_and_written() {
        for (query, written) in [
            ("", ""),
            ("q=&method=&format=html&after=3", ""),
            ("kind=K&kind=K+&kind=++K&kind=+&q=+a", "kind=K&q=+a"),
            ("q=a%26b&-category=ordinary", "q=a%26b&-category=ordinary"),
            (
                "category=exploit&-q=x&q=y&q=z",
                "category=exploit&-q=x&q=y&q=z",
            ),
            ("--q=x&-=y&-limit=3", ""),
        ] {
            assert_eq!(read(query).encoded(), written, "{query}");
        }
        let mut many = String::new();
        for number in 0..=MAX_CONDITIONS {
            many += &format!("q={number}&");
        }
        assert!(serde_urlencoded::from_str::<FilterQuery>(&many).is_err());
    }

    #[test]
    fn what_is_asked_twice_is_one_condition() {
        let many = "category=exploit&-q=a&".repeat(500) + "category=crawler&q=a&-q=A";
        assert_eq!(
            read(&many).encoded(),
            "category=exploit&-q=a&category=crawler&q=a&-q=A"
        );
    }

    #[test]
    fn a_form_has_what_has_no_input() {
        let query = read("category=exploit&-q=no&q=a+b&category=crawler&q=%22c&-category=recon");
        let further = [
            ("-q", "no"),
            ("category", "crawler"),
            ("q", "\"c"),
            ("-category", "recon"),
        ];
        assert_eq!(
            query.further(),
            further.map(|(name, value)| (name.to_owned(), value))
        );
        assert_eq!(read("q=a&kind=b&source=me").further(), []);
    }

    #[test]
    fn a_long_query_is_not_repeated_by_each_link() {
        let long = read(&format!("q={}&category=exploit", "%22".repeat(1000)));
        assert_eq!(
            long.link_beginnings(),
            FilterQuery::default().link_beginnings()
        );
        assert_eq!(long.chips().len(), 2);
        let many: String = (0..20).map(|number| format!("q={number}&")).collect();
        assert!(
            read(&format!("{many}q={}", "%22".repeat(1000)))
                .chips()
                .is_empty()
        );
    }

    #[test]
    fn links_narrow_replace_and_turn_round() {
        let query = read("category=exploit&-source=me&country=NL");
        let link_beginnings = query.link_beginnings();
        assert_eq!(link_beginnings["category"], "-source=me&country=NL&");
        assert_eq!(
            link_beginnings["source"],
            "category=exploit&-source=me&country=NL&"
        );
        assert_eq!(link_beginnings["all"], link_beginnings["method"]);
        assert_eq!(FilterQuery::default().link_beginnings()["q"], "");
        let chips = query.chips();
        assert_eq!(chips[1].without, "category=exploit&country=NL");
        assert_eq!(chips[0].inverted, "-source=me&country=NL&-category=exploit");
        assert_eq!(query.values()["country"], "NL");
        assert_eq!(query.values()["source"], "");
    }
}
