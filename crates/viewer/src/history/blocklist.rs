//! Finds the sources for a blocklist: sources that attacked and do not say who they are.
//!
//! In: which kinds of request are a reason to block. Out: addresses of the internet, each with its
//! reasons. All sources are read. Sources that may be listed are held, up to a bound.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::net::IpAddr;

use jiff::Timestamp;
use rusqlite::Connection;

use crate::history::Questions;
use crate::history::row;
use crate::history::row_ids::RowIds;
use crate::history::sources::known_address;
use crate::page::global::is_global;

/// Most addresses of one list. If there are more, the addresses that were seen last are taken.
pub(crate) const MOST_LISTED: usize = 20_000;
/// Most sources whose requests are counted for a list. If there are more, the sources that came
/// last are taken. They need 14 MB.
const MOST_COUNTED: usize = 200_000;
/// Most reasons of one address: the kinds that it sent the most often.
const MOST_REASONS: usize = 8;

/// Which addresses are wanted.
pub(crate) struct WantedAddresses<'a> {
    /// Tells whether a kind is a reason to block, by the name of the kind and the name of its
    /// category.
    pub(crate) is_reason: &'a dyn Fn(&str, Option<&str>) -> bool,
    /// The least number of requests of such kinds that an address must have sent.
    pub(crate) min: u64,
    /// One of these requests came at this time or later.
    pub(crate) since: Option<Timestamp>,
    /// Tells whether an address is the owner's own, which is not listed.
    pub(crate) is_own: &'a dyn Fn(IpAddr) -> bool,
    /// Whether to read the reasons of each address, which takes as long again.
    pub(crate) with_reasons: bool,
}

/// An address to block.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) address: IpAddr,
    pub(crate) country: Option<String>,
    pub(crate) asn: Option<u32>,
    pub(crate) as_name: Option<String>,
    /// How many of its requests are a reason, and the times of the first and the last of them.
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

/// What is known of a kind.
struct KnownKind {
    name: String,
    title: String,
    category: String,
    is_reason: bool,
    /// Sources that send this kind say who they are.
    is_polite: bool,
}

/// The requests of a source that are a reason to block, and whether the source says who it is.
#[derive(Clone, Copy)]
struct Tally {
    requests: u64,
    first: i64,
    last: i64,
    is_polite: bool,
}

/// A source that may be listed.
struct Candidate {
    address: IpAddr,
    origin: (Option<String>, Option<u32>, Option<String>),
    tally: Tally,
    /// Kinds that are a reason: how many requests, the id of the kind, and the time of the last.
    kinds: Vec<(u64, i64, i64)>,
}

type Tallies = HashMap<i64, Tally>;

impl Questions {
    /// Returns at most [`MOST_LISTED`] addresses to block, in the order of addresses, and whether
    /// these are all. `is_polite` tells by the name of a category whether sources that send it say
    /// who they are.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn blocklist(
        &self,
        wanted: &WantedAddresses<'_>,
        is_polite: impl Fn(&str) -> bool,
    ) -> rusqlite::Result<(Vec<Listed>, bool)> {
        self.ask(|file| {
            let kinds = known_kinds(file, wanted, &is_polite)?;
            let latest = latest_sources(file, MOST_COUNTED)?;
            let mut tallies = tallies(file, &kinds, latest.as_ref())?;
            let mut is_whole = latest.is_none();
            mark_polite(file, &kinds, &is_polite, &mut tallies)?;
            let since = wanted.since.map_or(i64::MIN, Timestamp::as_microsecond);
            let min = wanted.min.max(1);
            tallies.retain(|_, it| !it.is_polite && it.requests >= min && it.last >= since);
            let mut listed = candidates(file, wanted, &tallies, &mut is_whole)?;
            drop(tallies);
            if wanted.with_reasons {
                add_reasons(file, &kinds, &mut listed)?;
            }
            let mut listed: Vec<_> = listed.into_values().map(|it| it.finish(&kinds)).collect();
            listed.sort_by_key(|it| it.address);
            Ok((listed, is_whole))
        })
    }
}

fn known_kinds(
    file: &Connection,
    wanted: &WantedAddresses<'_>,
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

/// Returns the `most` sources that came last; `None` if there are no more than `most`.
fn latest_sources(file: &Connection, most: usize) -> rusqlite::Result<Option<RowIds>> {
    let mut statement = file.prepare_cached("SELECT last, id FROM source")?;
    let mut rows = statement.query([])?;
    let mut latest = BinaryHeap::new();
    let mut is_whole = true;
    while let Some(row) = rows.next()? {
        let source: (i64, i64) = (row.get(0)?, row.get(1)?);
        latest.push(Reverse(source));
        if latest.len() > most {
            latest.pop();
            is_whole = false;
        }
    }
    let ids = latest.into_iter().map(|Reverse((_, id))| id);
    Ok((!is_whole).then(|| ids.collect()))
}

/// Counts the requests of each source that are a reason to block, and notes whether the source said
/// who it is. With `sources`, only these are counted. All rows are read in their order, because to
/// look them up source by source takes ten times as long.
fn tallies(
    file: &Connection,
    kinds: &HashMap<i64, KnownKind>,
    sources: Option<&RowIds>,
) -> rusqlite::Result<Tallies> {
    let mut statement =
        file.prepare_cached("SELECT kind, source, requests, first, last FROM kind_source")?;
    let mut rows = statement.query([])?;
    let mut tallies = Tallies::new();
    while let Some(row) = rows.next()? {
        let Some(kind) = kinds.get(&row.get(0)?) else {
            continue;
        };
        if !kind.is_reason && !kind.is_polite {
            continue;
        }
        let source = row.get(1)?;
        if sources.is_some_and(|sources| !sources.contains(source)) {
            continue;
        }
        let tally = tallies.entry(source).or_insert(Tally {
            requests: 0,
            first: i64::MAX,
            last: i64::MIN,
            is_polite: false,
        });
        tally.is_polite |= kind.is_polite;
        if kind.is_reason {
            let requests = row.get::<_, i64>(2)?.unsigned_abs();
            tally.requests = tally.requests.saturating_add(requests);
            tally.first = tally.first.min(row.get(3)?);
            tally.last = tally.last.max(row.get(4)?);
        }
    }
    Ok(tallies)
}

/// Marks sources that said who they are by a label that is not the first one. The kind of such a
/// request does not show it.
fn mark_polite(
    file: &Connection,
    kinds: &HashMap<i64, KnownKind>,
    is_polite: &impl Fn(&str) -> bool,
    tallies: &mut Tallies,
) -> rusqlite::Result<()> {
    let names: HashSet<&str> = kinds
        .values()
        .filter(|kind| kind.is_polite)
        .map(|kind| kind.name.as_str())
        .collect();
    let mut found = file.prepare_cached("SELECT id, labels, categories FROM found")?;
    let mut requests = file.prepare_cached("SELECT source FROM request WHERE found = ?1")?;
    let mut rows = found.query([])?;
    while let Some(row) = rows.next()? {
        let (labels, categories): (String, String) = (row.get(1)?, row.get(2)?);
        let first = labels.split_whitespace().next().unwrap_or_default();
        if names.contains(first) || !categories.split_whitespace().any(is_polite) {
            continue;
        }
        let mut sources = requests.query([row.get::<_, i64>(0)?])?;
        while let Some(source) = sources.next()? {
            if let Some(tally) = tallies.get_mut(&source.get(0)?) {
                tally.is_polite = true;
            }
        }
    }
    Ok(())
}

/// Returns the sources that have an address of the internet, not of this machine and not the
/// owner's own, by their ids. If there are too many, returns the ones that were seen last, and sets
/// `is_whole` to false.
fn candidates(
    file: &Connection,
    wanted: &WantedAddresses<'_>,
    tallies: &Tallies,
    is_whole: &mut bool,
) -> rusqlite::Result<HashMap<i64, Candidate>> {
    let own: HashSet<String> = file
        .prepare_cached("SELECT DISTINCT dest FROM way")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut statement =
        file.prepare_cached("SELECT id, address, country, asn, as_name FROM source")?;
    let mut rows = statement.query([])?;
    let mut best = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let Some(tally) = tallies.get(&id) else {
            continue;
        };
        let text = row.get_ref(1)?.as_str().unwrap_or_default();
        let address = known_address(text).filter(|it| is_global(*it) && !own.contains(text));
        let Some(address) = address.filter(|it| !(wanted.is_own)(*it)) else {
            continue;
        };
        let candidate = Candidate {
            address: address.to_canonical(),
            origin: (row.get(2)?, row.get(3)?, row.get(4)?),
            tally: *tally,
            kinds: Vec::new(),
        };
        best.insert(Reverse((tally.last, id)), candidate);
        if best.len() > MOST_LISTED {
            best.pop_last();
            *is_whole = false;
        }
    }
    Ok(best
        .into_iter()
        .map(|(place, candidate)| (place.0.1, candidate))
        .collect())
}

fn add_reasons(
    file: &Connection,
    kinds: &HashMap<i64, KnownKind>,
    listed: &mut HashMap<i64, Candidate>,
) -> rusqlite::Result<()> {
    let mut statement =
        file.prepare_cached("SELECT kind, source, requests, last FROM kind_source")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let kind: i64 = row.get(0)?;
        if !kinds.get(&kind).is_some_and(|kind| kind.is_reason) {
            continue;
        }
        if let Some(candidate) = listed.get_mut(&row.get(1)?) {
            let requests = row.get::<_, i64>(2)?.unsigned_abs();
            candidate.add(requests, kind, row.get(3)?);
        }
    }
    Ok(())
}

impl Candidate {
    fn add(&mut self, requests: u64, kind: i64, last: i64) {
        self.kinds.push((requests, kind, last));
        if self.kinds.len() > 2 * MOST_REASONS {
            self.cut();
        }
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
            requests: self.tally.requests,
            first: row::time(self.tally.first).unwrap_or_default(),
            last: row::time(self.tally.last).unwrap_or_default(),
            reasons: self.kinds.iter().filter_map(reason).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::file;

    #[test]
    fn those_that_came_last_are_counted_whatever_their_rows_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = file::open(folder.path()).unwrap();
        for id in 1..=20 {
            // The oldest rows came last.
            file.execute(
                "INSERT INTO source VALUES (?1, ?2, NULL, NULL, NULL, 1, 1, ?3)",
                (id, format!("8.8.4.{id}"), 1000 - id),
            )
            .unwrap();
        }
        let latest = latest_sources(&file, 5).unwrap().unwrap();
        let mut ids: Vec<i64> = latest.iter().collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3, 4, 5]);
        assert!(latest_sources(&file, 20).unwrap().is_none());
    }
}
