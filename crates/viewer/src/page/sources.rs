//! Sources to pages and to JSON: what may be shown of who came.
//!
//! In: what the history says, with whole addresses and texts that clients sent. Out: pages and
//! values without what is to be hidden. Links that lead elsewhere are no more than links, and only
//! for addresses of the internet.

use std::net::IpAddr;

use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;
use serde::{Deserialize, Serialize};

use crate::bytes::printable::{self, is_visible};
use crate::history::found::MAX_CHARS;
use crate::history::one_source::{MOST_LOOKED_AT, Named, OneSource};
use crate::history::sensors::SeenBy;
use crate::history::sources::{SentKind, Sort, SortKey, Source, SourcesPage, WantedSources};
use crate::page::filter;
use crate::page::global::is_global;
use crate::page::pages::Pages;
use crate::page::row::span;
use crate::reader::privacy::{Privacy, TitleShown};
use crate::rfc3339;

/// What stands between an address and the length of its network in the path of a page, where `/`
/// has its own meaning.
const NETWORK_MARK: char = '_';
/// In place of a text that may not be shown.
pub(crate) const UNSAID: &str = "something that is not shown";

/// What a visitor asks the list for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct SourcesQuery {
    /// `last`, `often` or `new`.
    sort: String,
    /// The name of a category.
    category: String,
    /// The code of a country, in any case.
    country: String,
    /// The number of a network, with or without `AS`.
    #[serde(rename = "as")]
    network: String,
    /// An address, or a network as `203.0.113.0/24`.
    source: String,
    /// Where the page begins, as the one before says.
    before: String,
}

/// The sources that were asked for, as JSON.
#[derive(Debug, Serialize)]
struct List {
    sources: Vec<ShownSource>,
    /// What `before` has to be for the next page.
    next: Option<String>,
}

/// A source, as it may be shown.
#[derive(Debug, Serialize)]
struct ShownSource {
    /// An address, or a network.
    address: String,
    country: Option<String>,
    country_name: Option<String>,
    asn: Option<u32>,
    as_name: Option<String>,
    requests: u64,
    /// RFC 3339, microseconds.
    first: String,
    last: String,
    /// How many kinds it sent, and the most telling.
    kinds: u64,
    kind: Option<ShownKind>,
    /// How many of the sensors saw it; null where there are none.
    seen_by: Option<SeenBy>,
}

/// A kind, as it may be shown.
#[derive(Debug, Serialize)]
struct ShownKind {
    kind: String,
    title: String,
    category: Option<String>,
    requests: u64,
    first: String,
    last: String,
}

/// One source, as it may be shown.
#[derive(Debug, Serialize)]
struct Whole {
    #[serde(flatten)]
    source: ShownSource,
    sent: Vec<ShownKind>,
    /// How many of its requests the following is from: the last ones.
    looked_at: usize,
    ports: Vec<Counted<u16>>,
    hosts: Vec<Counted<String>>,
    user_agents: Vec<Counted<String>>,
    ja4: Vec<Counted<String>>,
    neighbours: Vec<ShownSource>,
    more_neighbours: usize,
}

/// Something with how often it was sent.
#[derive(Debug, Serialize)]
struct Counted<T> {
    value: T,
    requests: u64,
}

/// A source in a template, with what only people read.
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

impl SourcesQuery {
    /// Reads what is asked for.
    ///
    /// # Errors
    /// A value is none; the error is a sentence for the visitor.
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
    fn sorted_by(&self, sort: &str) -> String {
        let query = Self {
            sort: sort.to_owned(),
            before: String::new(),
            ..self.clone()
        };
        query.encoded()
    }

    /// Returns the query string of the page that begins there.
    fn beginning_at(&self, before: String) -> String {
        let query = Self {
            before,
            ..self.clone()
        };
        query.encoded()
    }

    /// Tells whether not all sources are asked for.
    fn is_filtered(&self) -> bool {
        !self.category.is_empty()
            || !self.country.is_empty()
            || !self.network.is_empty()
            || !self.source.is_empty()
    }

    /// Returns the query string, without what says nothing.
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

/// Returns what a visitor wrote; `None` where that is nothing.
fn given(text: &str) -> Option<&str> {
    let text = text.trim();
    if text.is_empty() { None } else { Some(text) }
}

/// Reads where a page begins, as [`SourcesQuery`] has it.
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

/// Reads the path of a page: an address, or a network as `203.0.113.0_24` where addresses are
/// masked. `None` where there can be no such page.
pub(crate) fn address_of(path: &str, privacy: &Privacy) -> Option<IpAddr> {
    let (address, prefix) = match path.split_once(NETWORK_MARK) {
        Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
        None => (path, None),
    };
    let address = address.parse::<IpAddr>().ok()?.to_canonical();
    // So that nobody finds out by asking which address it was.
    (privacy.source(address) == (address, prefix)).then_some(address)
}

/// Returns the path of the page of a source that is shown so.
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

    fn whole(&self, one: &OneSource) -> Whole {
        let mut sent = Vec::new();
        for kind in &one.kinds {
            sent.push(self.shown_kind(kind));
        }
        let mut ports = Vec::new();
        for &(value, requests) in &one.ports {
            ports.push(Counted { value, requests });
        }
        Whole {
            source: self.shown(&one.source),
            sent,
            looked_at: one.looked_at,
            ports,
            hosts: self.shown_texts(&one.hosts),
            user_agents: self.shown_texts(&one.user_agents),
            ja4: self.shown_texts(&one.ja4),
            neighbours: self.all_shown(&one.neighbours),
            more_neighbours: one.more_neighbours,
        }
    }

    fn all_shown(&self, sources: &[Source]) -> Vec<ShownSource> {
        sources.iter().map(|source| self.shown(source)).collect()
    }

    fn shown(&self, source: &Source) -> ShownSource {
        let address = match source.prefix {
            Some(bits) => format!("{}/{bits}", source.address),
            None => source.address.to_string(),
        };
        ShownSource {
            address,
            country: source.country.as_deref().map(clean),
            country_name: self.country_name(source),
            asn: source.asn,
            as_name: source.as_name.as_deref().map(clean),
            requests: source.requests,
            first: rfc3339::micros(source.first),
            last: rfc3339::micros(source.last),
            kinds: source.kinds,
            kind: source.kind.as_ref().map(|kind| self.shown_kind(kind)),
            seen_by: source.seen_by,
        }
    }

    /// The history has the code of a country alone, of the time when the source was first seen.
    fn country_name(&self, source: &Source) -> Option<String> {
        let origin = self.describer.locations.find(source.address)?;
        if origin.country.is_some() && origin.country == source.country {
            origin.country_name
        } else {
            None
        }
    }

    /// The title of a kind without a label is the beginning of what a client sent.
    fn shown_kind(&self, sent: &SentKind) -> ShownKind {
        ShownKind {
            kind: clean(&sent.name),
            title: match sent.title_shown {
                TitleShown::Whole => clean(&sent.title),
                TitleShown::Cut | TitleShown::Named => UNSAID.to_owned(),
            },
            category: sent.category.as_deref().map(clean),
            requests: sent.requests,
            first: rfc3339::micros(sent.first),
            last: rfc3339::micros(sent.last),
        }
    }

    /// Texts that name what is hidden, or a masked address of one who sent them, are left out; so
    /// are those that may have been cut in the middle of that.
    fn shown_texts(&self, named: &Named) -> Vec<Counted<String>> {
        let privacy = &self.describer.privacy;
        let mut shown = Vec::new();
        for (text, count) in &named.texts {
            if !privacy.may_be_cut(text, MAX_CHARS) && !privacy.is_named_in(&count.senders, text) {
                shown.push(Counted {
                    value: clean(text),
                    requests: count.requests,
                });
            }
        }
        shown
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

/// A person may have changed the file: what the page cannot show is escaped again.
fn clean(text: &str) -> String {
    if text.chars().all(is_visible) && text.chars().count() <= MAX_CHARS {
        text.to_owned()
    } else {
        printable::line(text.as_bytes(), MAX_CHARS)
    }
}

/// Who else knows an address. Nobody is asked: these are links for a person to follow.
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
    fn a_place_is_two_numbers() {
        assert_eq!(place("17-4"), Ok(SortKey { value: 17, id: 4 }));
        for text in ["17", "-4", "17-", "a-b", "17-4-1", "99999999999999999999-1"] {
            assert!(place(text).is_err(), "{text}");
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
