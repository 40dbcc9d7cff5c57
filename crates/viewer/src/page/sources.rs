//! Renders sources as pages and as JSON.
//!
//! In: sources from the history, with whole addresses and texts that clients sent. Out: pages and
//! values without what must be hidden. Links to other sites are there only for addresses that are
//! used on the internet; the viewer itself asks none of these sites.

use std::net::IpAddr;

use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;

use crate::history::one_source::{MOST_LOOKED_AT, OneSource};
use crate::history::sources::SourcesPage;
use crate::page::global::is_global;
use crate::page::pages::Pages;
use crate::page::row::span;
use crate::reader::privacy::Privacy;

pub(crate) use self::query::SourcesQuery;
use self::shown::ShownSource;
pub(crate) use self::shown::UNSAID;

mod query;
mod shown;

/// The sign between an address and the length of its network in the path of a page, where `/` has
/// its own meaning.
const NETWORK_MARK: char = '_';

/// The sources that were asked for, as JSON.
#[derive(Debug, Serialize)]
struct List {
    sources: Vec<ShownSource>,
    /// The value of `before` for the next page.
    next: Option<String>,
}

/// A source in a template, with texts that are only for people.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    source: &'a ShownSource,
    path: String,
    first_ago: String,
    last_ago: String,
}

/// A place to read more about an address.
#[derive(Serialize)]
struct Elsewhere {
    name: &'static str,
    address: String,
}

/// Reads the path of a page: an address or, if addresses are masked, a network, such as
/// `203.0.113.0_24`. `None` if there can be no such page.
pub(crate) fn address_of(path: &str, privacy: &Privacy) -> Option<IpAddr> {
    let (address, prefix) = match path.split_once(NETWORK_MARK) {
        Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
        None => (path, None),
    };
    let address = address.parse::<IpAddr>().ok()?.to_canonical();
    // If addresses are masked, there is no page of an address: a visitor could try all addresses of
    // a network.
    (privacy.source(address) == (address, prefix)).then_some(address)
}

/// Returns the path of the page of a source. `shown` is its address as it is shown.
fn path_of(shown: &str) -> String {
    shown.replace('/', &NETWORK_MARK.to_string())
}

impl Pages {
    /// Renders a page of the list of sources.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn sources(
        &self,
        query: &SourcesQuery,
        page: &SourcesPage,
    ) -> anyhow::Result<String> {
        let list = self.list(page);
        let lines: Vec<_> = list.sources.iter().map(Line::new).collect();
        let sorts = [
            ("last", "seen last", query.sorted_by("last")),
            ("often", "the most frequent", query.sorted_by("often")),
            ("new", "the newest", query.sorted_by("new")),
        ];
        let next = list.next.map(|before| query.beginning_at(before));
        let sort = if query.sort.is_empty() {
            "last"
        } else {
            query.sort.trim()
        };
        let is_filtered = query.is_filtered();
        let is_first = query.before.is_empty();
        let masked = self.describer.privacy.mask_sources;
        let (lines, sorts, query) = (Serde(&lines), Serde(&sorts), Serde(query));
        self.render(
            "sources.html",
            context! { lines, sorts, sort, next, query, is_filtered, is_first, masked },
        )
    }

    /// Returns a page of the list of sources as JSON.
    #[must_use]
    pub(crate) fn sources_json(&self, page: &SourcesPage) -> Vec<u8> {
        serde_json::to_vec(&self.list(page)).unwrap_or_default()
    }

    /// Renders the page of one source.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn source(&self, one: &OneSource) -> anyhow::Result<String> {
        let whole = self.whole(one);
        let line = Line::new(&whole.source);
        let neighbours: Vec<_> = whole.neighbours.iter().map(Line::new).collect();
        let address = one.source.address;
        let mut origin = None;
        let mut links = Vec::new();
        if one.source.prefix.is_none() {
            origin = self.describer.locations.find(address);
            links = elsewhere(address);
        }
        let most = MOST_LOOKED_AT;
        let (whole, line, neighbours) = (Serde(&whole), Serde(&line), Serde(&neighbours));
        let (elsewhere, origin) = (Serde(&links), Serde(&origin));
        self.render(
            "source.html",
            context! { whole, line, neighbours, elsewhere, origin, most },
        )
    }

    /// Returns one source as JSON.
    #[must_use]
    pub(crate) fn source_json(&self, one: &OneSource) -> Vec<u8> {
        serde_json::to_vec(&self.whole(one)).unwrap_or_default()
    }

    fn list(&self, page: &SourcesPage) -> List {
        List {
            sources: self.all_shown(&page.sources),
            next: page.next.map(|next| format!("{}-{}", next.value, next.id)),
        }
    }
}

impl<'a> Line<'a> {
    fn new(source: &'a ShownSource) -> Self {
        Self {
            path: path_of(&source.address),
            first_ago: ago(&source.first),
            last_ago: ago(&source.last),
            source,
        }
    }
}

fn ago(time: &str) -> String {
    match time.parse::<Timestamp>() {
        Ok(time) => span(Timestamp::now().as_second() - time.as_second()),
        Err(_) => span(0),
    }
}

/// Returns links to other sites that know more about an address. They are for people; the viewer
/// asks none of these sites.
fn elsewhere(address: IpAddr) -> Vec<Elsewhere> {
    if !is_global(address) {
        return Vec::new();
    }
    let beginnings = [
        ("RIPEstat", "https://stat.ripe.net/"),
        ("Shodan", "https://www.shodan.io/host/"),
        ("GreyNoise", "https://viz.greynoise.io/ip/"),
    ];
    let mut links = Vec::new();
    for (name, beginning) in beginnings {
        links.push(Elsewhere {
            name,
            address: format!("{beginning}{address}"),
        });
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_an_address_or_where_these_are_masked_a_network() {
        let masked = Privacy {
            mask_sources: true,
            ..Privacy::default()
        };
        let plain = Privacy::default();
        for (path, whole, network) in [
            ("203.0.113.7", Some("203.0.113.7"), None),
            ("::ffff:203.0.113.7", Some("203.0.113.7"), None),
            ("2001:DB8::1", Some("2001:db8::1"), None),
            ("203.0.113.0_24", None, Some("203.0.113.0")),
            ("203.0.113.7_24", None, None),
            ("203.0.113.0_25", None, None),
            ("203.0.113.0_32", None, None),
            ("2001:db8:1::_48", None, Some("2001:db8:1::")),
            ("2001:db8:1::1_48", None, None),
            ("2002:c000:200::_40", None, Some("2002:c000:200::")),
            ("203.0.113.0_", None, None),
            ("_24", None, None),
            ("x", None, None),
            ("0.0.0.0", Some("0.0.0.0"), Some("0.0.0.0")),
        ] {
            let read = |privacy: &Privacy| address_of(path, privacy).map(|it| it.to_string());
            assert_eq!(read(&plain).as_deref(), whole, "{path}");
            assert_eq!(read(&masked).as_deref(), network, "{path}, masked");
        }
    }

    #[test]
    fn nobody_is_led_elsewhere_with_an_address_of_nobody() {
        assert!(elsewhere("192.168.1.1".parse().unwrap()).is_empty());
        assert!(elsewhere("203.0.113.7".parse().unwrap()).is_empty());
        let links = elsewhere("2600::1".parse().unwrap());
        assert_eq!(links.len(), 3);
        assert_eq!(links[1].address, "https://www.shodan.io/host/2600::1");
    }
}
