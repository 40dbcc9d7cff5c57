//! Lists sources, or their networks if addresses are masked. `collection` counts the requests of
//! each source.
//!
//! In: which sources a visitor wants to see. Out: a page of them, each with its most telling kind.
//! All sources are read, in constant memory. If that takes too long, [`Questions::ask`] aborts it.
//! Addresses are masked here and not on the page, because the sources of a network must be put
//! together before the list is cut into pages.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use forever200_identify::Category;
use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params, params};

use crate::history::row;
use crate::history::row_ids::RowIds;
use crate::history::secrets::Secrets;
use crate::history::sensors::SeenBy;
use crate::history::{Questions, WantedCategory};
use crate::reader::privacy::{Privacy, TitleShown};

/// Sources on a page of the list.
pub(crate) const PAGE_SOURCES: usize = 50;
/// Most sources of one network that are held. A /24 has no more; for a /48, the first that are
/// found are held.
pub(crate) const MOST_OF_NETWORK: usize = 256;
/// Most IPv6 networks that wait for the rest of their sources. Sources of one such network do not
/// follow each other in the order of texts.
const MOST_SPLIT: usize = 4096;
/// Columns that [`Group::read`] reads.
pub(super) const COLUMNS: &str = "id, address, country, asn, requests, first, last";

/// What a visitor wants to see of the sources.
#[derive(Debug, Default)]
pub(crate) struct WantedSources {
    pub(crate) sort: Sort,
    /// The place at which the page before ended.
    pub(crate) after: Option<SortKey>,
    /// Only sources that sent something of this category.
    pub(crate) category: Option<WantedCategory>,
    pub(crate) country: Option<String>,
    pub(crate) asn: Option<u32>,
    pub(crate) network: Option<IpNet>,
}

/// The order of the sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// By the last request, the newest first.
    #[default]
    Last,
    /// By the number of requests, the most first.
    Often,
    /// By the first request, the newest first.
    New,
}

/// The place of a source in the list: the value by which the list is sorted, and the id of the row
/// for equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SortKey {
    pub(crate) value: i64,
    pub(crate) id: i64,
}

/// A page of the list.
#[derive(Debug)]
pub(crate) struct SourcesPage {
    pub(crate) sources: Vec<Source>,
    /// Where this page ended, if another page follows.
    pub(crate) next: Option<SortKey>,
}

/// A source, or a network of them.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) address: IpAddr,
    /// Length of the network in bits; `None` for one address.
    pub(crate) prefix: Option<u8>,
    pub(crate) country: Option<String>,
    pub(crate) asn: Option<u32>,
    pub(crate) as_name: Option<String>,
    pub(crate) requests: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// How many kinds it sent.
    pub(crate) kinds: u64,
    /// The most telling kind.
    pub(crate) kind: Option<KindOfSource>,
    /// How many of the sensors saw it; `None` where there are none.
    pub(crate) seen_by: Option<SeenBy>,
}

/// A kind that a source sent.
#[derive(Debug)]
pub(crate) struct KindOfSource {
    pub(crate) name: String,
    /// Without a label, it is made of what a client sent.
    pub(crate) title: String,
    pub(crate) title_shown: TitleShown,
    pub(crate) category: Option<String>,
    /// How often this source sent the kind. `first` and `last` are the times of its first and last
    /// request of the kind.
    pub(crate) requests: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

/// Sources that are shown as one.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) address: IpAddr,
    pub(super) prefix: Option<u8>,
    /// Ids of their rows, at most [`MOST_OF_NETWORK`].
    pub(super) ids: Vec<i64>,
    country: Option<String>,
    asn: Option<u32>,
    requests: i64,
    first: i64,
    last: i64,
}

impl Questions {
    /// Returns a page of the sources that a visitor wants to see. `is_of` tells whether a kind is
    /// of the wanted category, by the name of the kind and the name of its category.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn sources(
        &self,
        wanted: &WantedSources,
        privacy: &Privacy,
        is_of: impl Fn(&str, Option<&str>) -> bool,
    ) -> rusqlite::Result<SourcesPage> {
        self.ask(|file| {
            let senders = match wanted.category {
                Some(_) => Some(senders(file, is_of)?),
                None => None,
            };
            let mut best = Best::new(wanted);
            let mut split = BTreeMap::new();
            each_group(file, wanted, senders.as_ref(), privacy, |group| {
                best.offer_or_wait(group, &mut split);
            })?;
            split.into_values().for_each(|group| best.offer(group));
            best.into_page(file, privacy)
        })
    }
}

/// Returns the ids of the sources that sent a wanted kind.
fn senders(
    file: &Connection,
    is_wanted: impl Fn(&str, Option<&str>) -> bool,
) -> rusqlite::Result<RowIds> {
    let mut kinds = file.prepare_cached("SELECT id, name, category FROM kind")?;
    let mut of_kind = file.prepare_cached("SELECT source FROM kind_source WHERE kind = ?1")?;
    let mut kinds = kinds.query([])?;
    let mut found = RowIds::default();
    while let Some(kind) = kinds.next()? {
        let (name, category): (String, Option<String>) = (kind.get(1)?, kind.get(2)?);
        if !is_wanted(&name, category.as_deref()) {
            continue;
        }
        let mut sources = of_kind.query([kind.get::<_, i64>(0)?])?;
        while let Some(source) = sources.next()? {
            found.insert(source.get(0)?);
        }
    }
    Ok(found)
}

/// Returns a JSON list of numbers, for `json_each`.
pub(super) fn json_list(numbers: &[i64]) -> String {
    let texts: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("[{}]", texts.join(","))
}

/// Passes each wanted source to `give`, or each network if addresses are masked. The sources of an
/// IPv4 network follow each other in the order of texts.
fn each_group(
    file: &Connection,
    wanted: &WantedSources,
    senders: Option<&RowIds>,
    privacy: &Privacy,
    mut give: impl FnMut(Group),
) -> rusqlite::Result<()> {
    let query = format!(
        "SELECT {COLUMNS} FROM source WHERE (:country IS NULL OR country = :country) \
         AND (:asn IS NULL OR asn = :asn) {}",
        if privacy.mask_sources {
            "ORDER BY address"
        } else {
            ""
        }
    );
    let mut statement = file.prepare_cached(&query)?;
    let mut rows = statement.query(named_params! {
        ":country": wanted.country,
        ":asn": wanted.asn,
    })?;
    let mut last: Option<Group> = None;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        if senders.is_some_and(|senders| !senders.contains(id)) {
            continue;
        }
        let Some(group) = Group::read(row, privacy)? else {
            continue;
        };
        if wanted
            .network
            .is_some_and(|network| !network.contains(&group.address))
        {
            continue;
        }
        match &mut last {
            Some(held) if held.is_of_same_network(&group) => held.add(&group),
            _ => {
                if let Some(whole) = last.replace(group) {
                    give(whole);
                }
            }
        }
    }
    last.into_iter().for_each(give);
    Ok(())
}

impl Group {
    /// Reads a row of [`COLUMNS`]; `None` if the address is not known.
    pub(super) fn read(row: &Row<'_>, privacy: &Privacy) -> rusqlite::Result<Option<Self>> {
        let Some(address) = known_address(row.get_ref(1)?.as_str().unwrap_or_default()) else {
            return Ok(None);
        };
        let (address, prefix) = privacy.source(address);
        Ok(Some(Self {
            address,
            prefix,
            ids: vec![row.get(0)?],
            country: row.get(2)?,
            asn: row.get(3)?,
            requests: row.get(4)?,
            first: row.get(5)?,
            last: row.get(6)?,
        }))
    }

    pub(super) fn is_of_same_network(&self, other: &Self) -> bool {
        self.prefix.is_some() && self.prefix == other.prefix && self.address == other.address
    }

    pub(super) fn add(&mut self, other: &Self) {
        let room = MOST_OF_NETWORK.saturating_sub(self.ids.len());
        self.ids.extend(other.ids.iter().take(room));
        self.requests = self.requests.saturating_add(other.requests);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// Returns the group as a source, with its network, kinds and sensors from other tables.
    pub(super) fn finish(
        self,
        file: &Connection,
        secrets: &Secrets<'_>,
    ) -> rusqlite::Result<Source> {
        let ids = json_list(&self.ids);
        let mut name = file.prepare_cached("SELECT as_name FROM source WHERE id = ?1")?;
        let as_name = match self.ids.first() {
            Some(id) => name.query_row([id], |row| row.get(0))?,
            None => None,
        };
        let (mut telling, kinds) = kinds_of(file, &ids, 1, secrets)?;
        Ok(Source {
            address: self.address,
            prefix: self.prefix,
            country: self.country,
            asn: self.asn,
            as_name,
            requests: self.requests.unsigned_abs(),
            first: row::time(self.first).unwrap_or_default(),
            last: row::time(self.last).unwrap_or_default(),
            kinds,
            kind: telling.pop(),
            seen_by: SeenBy::sources(file, &ids)?,
        })
    }
}

/// Reads an address of the file; `None` if it is not valid, or unspecified like 0.0.0.0, which
/// means that it is not known.
pub(super) fn known_address(text: &str) -> Option<IpAddr> {
    text.parse().ok().filter(|it: &IpAddr| !it.is_unspecified())
}

/// Returns the kinds that these sources sent, at most `most`, and how many there are. The most
/// telling kind goes first: the order is by the weight of the category, and then the rarest.
pub(super) fn kinds_of(
    file: &Connection,
    ids: &str,
    most: usize,
    secrets: &Secrets<'_>,
) -> rusqlite::Result<(Vec<KindOfSource>, u64)> {
    let weights: String = Category::ALL
        .iter()
        .enumerate()
        .map(|(weight, category)| format!("WHEN '{}' THEN {weight} ", category.name()))
        .collect();
    let query = format!(
        "SELECT name, title, category, kind.id, sum(kind_source.requests), min(kind_source.first), max(kind_source.last), \
         count(*) OVER () FROM kind_source JOIN kind ON kind.id = kind \
         WHERE kind_source.source IN (SELECT value FROM json_each(?1)) GROUP BY kind.id \
         ORDER BY CASE category {weights} ELSE 99 END, kind.requests, name LIMIT ?2"
    );
    let mut statement = file.prepare_cached(&query)?;
    let mut rows = statement.query(params![ids, row::integer(most as u64)])?;
    let (mut kinds, mut all) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let title: String = row.get(1)?;
        let category: Option<String> = row.get(2)?;
        all = row.get::<_, i64>(7)?.unsigned_abs();
        kinds.push(KindOfSource {
            name: row.get(0)?,
            title_shown: secrets.title(row.get(3)?, &title, category.as_deref())?,
            title,
            category,
            requests: row.get::<_, i64>(4)?.unsigned_abs(),
            first: row::time(row.get(5)?).unwrap_or_default(),
            last: row::time(row.get(6)?).unwrap_or_default(),
        });
    }
    Ok((kinds, all))
}

/// The first groups in the wanted order among all that are offered.
struct Best {
    sort: Sort,
    after: Option<SortKey>,
    held: BTreeMap<Reverse<SortKey>, Group>,
}

impl Best {
    fn new(wanted: &WantedSources) -> Self {
        Self {
            sort: wanted.sort,
            after: wanted.after,
            held: BTreeMap::new(),
        }
    }

    fn key(&self, group: &Group) -> SortKey {
        let value = match self.sort {
            Sort::Last => group.last,
            Sort::Often => group.requests,
            Sort::New => group.first,
        };
        let id = group.ids.iter().min().copied().unwrap_or_default();
        SortKey { value, id }
    }

    fn offer(&mut self, group: Group) {
        let key = self.key(&group);
        if self.after.is_some_and(|after| key >= after) {
            return;
        }
        // One more than a page is held, which tells whether there is another page.
        if self.held.len() > PAGE_SOURCES {
            let last = self.held.last_key_value();
            if last.is_some_and(|(last, _)| key <= last.0) {
                return;
            }
            self.held.pop_last();
        }
        self.held.insert(Reverse(key), group);
    }

    /// Offers a group, or holds it until all sources are read. An IPv6 network that has a zero may
    /// be written in several ways, so that its sources do not follow each other.
    fn offer_or_wait(&mut self, group: Group, split: &mut BTreeMap<IpAddr, Group>) {
        let has_zero = match group.address {
            IpAddr::V6(ip) => ip.segments().iter().take(3).any(|&segment| segment == 0),
            IpAddr::V4(_) => false,
        };
        if group.prefix.is_none() || !has_zero {
            return self.offer(group);
        }
        if let Some(held) = split.get_mut(&group.address) {
            held.add(&group);
        } else if split.len() < MOST_SPLIT {
            split.insert(group.address, group);
        } else {
            self.offer(group);
        }
    }

    fn into_page(mut self, file: &Connection, privacy: &Privacy) -> rusqlite::Result<SourcesPage> {
        let has_more = self.held.len() > PAGE_SOURCES;
        if has_more {
            self.held.pop_last();
        }
        let last = self.held.last_key_value().map(|(place, _)| place.0);
        let groups = self.held.into_values();
        let secrets = Secrets::new(file, privacy);
        Ok(SourcesPage {
            sources: groups
                .map(|group| group.finish(file, &secrets))
                .collect::<rusqlite::Result<_>>()?,
            next: last.filter(|_| has_more),
        })
    }
}

/// Returns the most frequent keys with their values, at most `most`.
pub(super) fn most_frequent<K: Ord, V>(
    counts: HashMap<K, V>,
    most: usize,
    requests: impl Fn(&V) -> u64,
) -> Vec<(K, V)> {
    let mut counts: Vec<(K, V)> = counts.into_iter().collect();
    counts
        .sort_by(|(name_a, a), (name_b, b)| requests(b).cmp(&requests(a)).then(name_a.cmp(name_b)));
    counts.truncate(most);
    counts
}

#[cfg(test)]
mod tests;
