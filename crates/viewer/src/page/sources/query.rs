//! The query string of the list of sources.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::history::sources::{Sort, SortKey, WantedSources};
use crate::page::filter;

/// The parameters of the list.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct SourcesQuery {
    /// `last`, `often` or `new`.
    pub(super) sort: String,
    /// The name of a category.
    category: String,
    /// The code of a country, in upper or lower case.
    country: String,
    /// The number of a network, with or without `AS`.
    #[serde(rename = "as")]
    network: String,
    /// An address, or a network as `203.0.113.0/24`.
    source: String,
    /// Where the page begins: `next` of the page before it.
    pub(super) before: String,
}

impl SourcesQuery {
    /// Reads the parameters.
    ///
    /// # Errors
    /// A value cannot be read; the error is a sentence for the visitor.
    pub(crate) fn wanted(&self, visitor: IpAddr) -> Result<WantedSources, String> {
        let sort = match self.sort.trim() {
            "" | "last" => Sort::Last,
            "often" => Sort::Often,
            "new" => Sort::New,
            _ => return Err("sort: expected last, often or new".to_owned()),
        };
        let mut wanted = WantedSources {
            sort,
            ..WantedSources::default()
        };
        if let Some(text) = given(&self.before) {
            wanted.after = Some(place(text)?);
        }
        if let Some(name) = given(&self.category) {
            wanted.category = Some(filter::category(name)?);
        }
        if let Some(code) = given(&self.country) {
            wanted.country = Some(code.to_ascii_uppercase());
        }
        if let Some(number) = given(&self.network) {
            wanted.asn = Some(filter::asn(number)?);
        }
        if let Some(text) = given(&self.source) {
            wanted.network = Some(filter::network("source", text, visitor)?);
        }
        Ok(wanted)
    }

    /// Returns the query string of the first page in another order.
    pub(super) fn sorted_by(&self, sort: &str) -> String {
        let query = Self {
            sort: sort.to_owned(),
            before: String::new(),
            ..self.clone()
        };
        query.encoded()
    }

    /// Returns the query string of the page that begins at `before`.
    pub(super) fn beginning_at(&self, before: String) -> String {
        let query = Self {
            before,
            ..self.clone()
        };
        query.encoded()
    }

    /// Tells whether there is any condition.
    pub(super) fn is_filtered(&self) -> bool {
        !self.category.is_empty()
            || !self.country.is_empty()
            || !self.network.is_empty()
            || !self.source.is_empty()
    }

    /// Returns the query string, without empty parameters.
    fn encoded(&self) -> String {
        let pairs = [
            ("sort", &self.sort),
            ("category", &self.category),
            ("country", &self.country),
            ("as", &self.network),
            ("source", &self.source),
            ("before", &self.before),
        ];
        let mut said = Vec::new();
        for (name, value) in pairs {
            if !value.is_empty() {
                said.push((name, value));
            }
        }
        serde_urlencoded::to_string(said).unwrap_or_default()
    }
}

/// Returns a value without the spaces around it; `None` if it is empty.
fn given(text: &str) -> Option<&str> {
    let text = text.trim();
    if text.is_empty() { None } else { Some(text) }
}

/// Reads where a page begins, from `before` of [`SourcesQuery`].
fn place(text: &str) -> Result<SortKey, String> {
    if let Some((value, id)) = text.split_once('-')
        && let Ok(value) = value.parse()
        && let Ok(id) = id.parse()
    {
        Ok(SortKey { value, id })
    } else {
        Err("before: expected the value from the previous page".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_two_numbers() {
        assert_eq!(place("17-4"), Ok(SortKey { value: 17, id: 4 }));
        for text in ["17", "-4", "17-", "a-b", "17-4-1", "99999999999999999999-1"] {
            assert!(place(text).is_err(), "{text}");
        }
    }
}
