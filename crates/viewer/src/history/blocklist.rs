//! Sources for a blocklist: those that attacked, and never those who say who they are.
//!
//! In: which kinds of request count. Out: addresses of the internet, each with its reasons. All sources are looked
//! through; those that are left are held, up to a bound.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::history::Questions;
use crate::history::row;
use crate::history::sources::{known_address, list};
use crate::page::global::is_global;

/// Addresses of one list: those that were seen last.
pub(crate) const MOST_LISTED: usize = 20_000;
/// Reasons of one address: the kinds that it sent the most often.
const MOST_REASONS: usize = 8;

/// What is wanted.
pub(crate) struct Wanted<'a> {
    /// Tells by the name of a kind and that of its category whether it is a reason to block.
    pub(crate) is_reason: &'a dyn Fn(&str, Option<&str>) -> bool,
    /// Least number of requests of these kinds.
    pub(crate) min: u64,
    /// One of them came at this time or later.
    pub(crate) since: Option<Timestamp>,
    /// Not these, though they did: the owner's own.
    pub(crate) is_own: &'a dyn Fn(IpAddr) -> bool,
}

/// An address to block.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) address: IpAddr,
    pub(crate) country: Option<String>,
    pub(crate) asn: Option<u32>,
    pub(crate) as_name: Option<String>,
    /// How often it sent what is a reason, and when.
    pub(crate) requests: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) reasons: Vec<Reason>,
}

/// A kind for which an address is listed.
#[derive(Clone, Debug)]
pub(crate) struct Reason {
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) category: String,
    pub(crate) requests: u64,
    pub(crate) last: Timestamp,
}

/// What is known of kinds, by their rows.
struct KnownKind {
    name: String,
    title: String,
    category: String,
    is_reason: bool,
    /// Who sends this says who they are.
    is_polite: bool,
}

/// A source while its kinds are read.
struct Candidate {
    id: i64,
    address: IpAddr,
    origin: (Option<String>, Option<u32>, Option<String>),
    requests: u64,
    first: i64,
    last: i64,
    kinds: Vec<(u64, i64, i64)>,
    is_polite: bool,
}

impl Questions {
    /// Returns the addresses to block, in their order, at most [`MOST_LISTED`]; and whether these are all. `is_polite` tells
    /// by its name whether a category is of those who say who they are.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn blocklist(
        &self,
        wanted: &Wanted<'_>,
        is_polite: impl Fn(&str) -> bool,
    ) -> rusqlite::Result<(Vec<Listed>, bool)> {
        self.ask(|file| {
            let kinds = known_kinds(file, wanted, &is_polite)?;
            let found = polite_found(file, &kinds, &is_polite)?;
            let mut best = BTreeMap::new();
            let mut is_whole = true;
            each_candidate(file, &kinds, &found, |candidate| {
                if !is_listed(&candidate, wanted) {
                    return;
                }
                best.insert(Reverse((candidate.last, candidate.id)), candidate);
                if best.len() > MOST_LISTED {
                    best.pop_last();
                    is_whole = false;
                }
            })?;
            let mut listed: Vec<_> = best
                .into_values()
                .map(|candidate| candidate.finish(&kinds))
                .collect();
            listed.sort_by_key(|it| it.address);
            Ok((listed, is_whole))
        })
    }
}

fn is_listed(candidate: &Candidate, wanted: &Wanted<'_>) -> bool {
    let since = wanted.since.map_or(i64::MIN, Timestamp::as_microsecond);
    candidate.requests >= wanted.min.max(1)
        && candidate.last >= since
        && !candidate.is_polite
        && is_global(candidate.address)
        && !(wanted.is_own)(candidate.address)
}

fn known_kinds(
    file: &Connection,
    wanted: &Wanted<'_>,
    is_polite: &impl Fn(&str) -> bool,
) -> rusqlite::Result<HashMap<i64, KnownKind>> {
    let mut statement = file
        .prepare_cached("SELECT id, name, title, category FROM kind WHERE category IS NOT NULL")?;
    let rows = statement.query_map([], |row| {
        let (name, category): (String, String) = (row.get(1)?, row.get(3)?);
        let kind = KnownKind {
            is_reason: (wanted.is_reason)(&name, Some(&category)),
            is_polite: is_polite(&category),
            title: row.get(2)?,
            name,
            category,
        };
        Ok((row.get(0)?, kind))
    })?;
    rows.collect()
}

/// Returns what was found out about requests that have a label of those who say who they are behind another one: whose kind
/// does not tell.
fn polite_found(
    file: &Connection,
    kinds: &HashMap<i64, KnownKind>,
    is_polite: &impl Fn(&str) -> bool,
) -> rusqlite::Result<String> {
    let names: std::collections::HashSet<&str> = kinds
        .values()
        .filter(|kind| kind.is_polite)
        .map(|kind| kind.name.as_str())
        .collect();
    let mut statement = file.prepare_cached("SELECT id, labels, categories FROM found")?;
    let mut rows = statement.query([])?;
    let mut polite = Vec::new();
    while let Some(row) = rows.next()? {
        let (labels, categories): (String, String) = (row.get(1)?, row.get(2)?);
        let first = labels.split_whitespace().next().unwrap_or_default();
        if categories.split_whitespace().any(is_polite) && !names.contains(first) {
            polite.push(row.get::<_, i64>(0)?);
        }
    }
    Ok(list(&polite))
}

/// Reads each source with its kinds. Addresses that requests came to are this machine's own.
fn each_candidate(
    file: &Connection,
    kinds: &HashMap<i64, KnownKind>,
    found: &str,
    mut give: impl FnMut(Candidate),
) -> rusqlite::Result<()> {
    let mut statement = file.prepare_cached(
        "SELECT source.id, kind, kind_source.requests, kind_source.first, kind_source.last, address, country, asn, as_name, \
         source.id IN (SELECT source FROM request WHERE found IN (SELECT value FROM json_each(?1))) \
         FROM source CROSS JOIN kind_source ON kind_source.source = source.id \
         WHERE address NOT IN (SELECT dest FROM way) ORDER BY source.id",
    )?;
    let mut rows = statement.query(params![found])?;
    let mut held: Option<Candidate> = None;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if held.as_ref().is_none_or(|held| held.id != id) {
            held.take().into_iter().for_each(&mut give);
            held = Candidate::read(row, id)?;
        }
        if let Some(held) = &mut held {
            held.add(row, kinds)?;
        }
    }
    held.into_iter().for_each(give);
    Ok(())
}

impl Candidate {
    /// `None` where nobody knows the address.
    fn read(row: &Row<'_>, id: i64) -> rusqlite::Result<Option<Self>> {
        let Some(address) = known_address(row.get_ref(5)?.as_str().unwrap_or_default()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            id,
            address: address.to_canonical(),
            origin: (row.get(6)?, row.get(7)?, row.get(8)?),
            requests: 0,
            first: i64::MAX,
            last: i64::MIN,
            kinds: Vec::new(),
            is_polite: row.get(9)?,
        }))
    }

    fn add(&mut self, row: &Row<'_>, kinds: &HashMap<i64, KnownKind>) -> rusqlite::Result<()> {
        let kind: i64 = row.get(1)?;
        let Some(known) = kinds.get(&kind) else {
            return Ok(());
        };
        self.is_polite |= known.is_polite;
        if !known.is_reason {
            return Ok(());
        }
        let requests = row.get::<_, i64>(2)?.unsigned_abs();
        let last: i64 = row.get(4)?;
        self.requests = self.requests.saturating_add(requests);
        self.first = self.first.min(row.get(3)?);
        self.last = self.last.max(last);
        self.kinds.push((requests, kind, last));
        if self.kinds.len() > 2 * MOST_REASONS {
            self.cut();
        }
        Ok(())
    }

    fn cut(&mut self) {
        self.kinds
            .sort_unstable_by_key(|&(requests, kind, _)| (Reverse(requests), kind));
        self.kinds.truncate(MOST_REASONS);
    }

    fn finish(mut self, kinds: &HashMap<i64, KnownKind>) -> Listed {
        self.cut();
        let reason = |&(requests, kind, last): &(u64, i64, i64)| {
            let known = kinds.get(&kind)?;
            Some(Reason {
                kind: known.name.clone(),
                title: known.title.clone(),
                category: known.category.clone(),
                requests,
                last: row::time(last).unwrap_or_default(),
            })
        };
        let (country, asn, as_name) = self.origin;
        Listed {
            address: self.address,
            country,
            asn,
            as_name,
            requests: self.requests,
            first: row::time(self.first).unwrap_or_default(),
            last: row::time(self.last).unwrap_or_default(),
            reasons: self.kinds.iter().filter_map(reason).collect(),
        }
    }
}
