//! Answers visitors' questions about the collection.
//!
//! In: which kinds, or one of them, and what is hidden. Out: rows as the file has them, each list
//! bounded. Times and texts are as they were written, perhaps before anything was hidden. Each text
//! comes with the value that decides whether it may be shown.

use std::collections::BTreeMap;

use forever200_ring::Record;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::history::collection::MOST_DAYS;
use crate::history::questions::{newest, number};
use crate::history::row::{self, REQUESTS, SPECIMENS, integer};
use crate::history::secrets::{Secrets, address};
use crate::history::sensors::SeenBy;
use crate::history::{Questions, blocks};
use crate::reader::privacy::{Privacy, Senders, TitleShown};

/// Most kinds that are read: all labels that there are, all kinds without one, and as many again.
const MOST_KINDS: i64 = 12_000;
/// Most countries of a kind that a list names.
const LISTED_COUNTRIES: i64 = 4;
/// Most sources, networks and countries of one kind that are read. The ones with the most requests
/// are read first.
const MOST_SOURCES: i64 = 200;
const MOST_NETWORKS: i64 = 20;
const MOST_COUNTRIES: i64 = 300;
/// Most ports of a kind's newest requests that are read.
const MOST_PORTS: i64 = 20;
/// How many of a kind's newest requests are read for names and ports. For a label, the newest sets
/// of labels that begin with it are taken, and the newest requests of each set. For a shape, its
/// newest payloads are taken, and the newest requests of each payload.
const SETS_OF_LABELS: i64 = 8;
const REQUESTS_OF_SET: i64 = 250;
const PAYLOADS_OF_SHAPE: i64 = 500;
const REQUESTS_OF_PAYLOAD: i64 = 4;
/// SQL that tells whether the first of a request's labels is the kind `?1`.
const IS_FIRST_LABEL: &str = "substr(found.labels, 1, length(?1) + 2) = ' ' || ?1 || ' '";

/// What the file says of a kind.
#[derive(Clone, Debug)]
pub(crate) struct KindRow {
    pub(crate) id: i64,
    pub(crate) name: String,
    /// The title of the label; for a kind without a label, it is made of the specimen.
    pub(crate) title: String,
    pub(crate) title_shown: TitleShown,
    /// Name of the category; `None` without a label.
    pub(crate) category: Option<String>,
    pub(crate) requests: u64,
    pub(crate) sources: u64,
    /// Microseconds since 1970.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// Number of the specimen.
    pub(crate) seq: u64,
    /// For each country that was asked for, in that order: whether the kind came from there.
    pub(crate) sent_from: Vec<bool>,
}

/// Totals of the history, and when it began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// The newest number, which counts all requests that ever came, also those that are deleted.
    pub(crate) requests: u64,
    pub(crate) countries: u64,
    /// Time of the first start, microseconds since 1970.
    pub(crate) since: Option<i64>,
}

/// Some of the countries of a kind, and how many there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Countries {
    pub(crate) codes: Vec<String>,
    pub(crate) all: u64,
}

/// A source of a kind.
#[derive(Clone, Debug)]
pub(crate) struct KindSource {
    pub(crate) address: String,
    pub(crate) country: Option<String>,
    pub(crate) asn: Option<u32>,
    pub(crate) as_name: Option<String>,
    pub(crate) requests: u64,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// A network, by the number of its autonomous system.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) asn: u32,
    pub(crate) name: Option<String>,
}

/// The part of a kind's requests that came from one network or one country.
#[derive(Clone, Debug)]
pub(crate) struct Share<T> {
    pub(crate) of: T,
    pub(crate) requests: u64,
    pub(crate) sources: u64,
}

/// A name that requests of a kind ask for, and the senders whose addresses are hidden in it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) senders: Senders,
    pub(crate) requests: u64,
}

/// All that the file says of one kind.
#[derive(Clone, Debug)]
pub(crate) struct WholeKind {
    pub(crate) row: KindRow,
    pub(crate) specimen: Record,
    /// The newest request of the kind; `None` if it is not kept any more.
    pub(crate) newest: Option<Record>,
    /// Requests by day (days since 1970), the oldest first.
    pub(crate) days: Vec<(i64, u64)>,
    pub(crate) sources: Vec<KindSource>,
    pub(crate) networks: Vec<Share<Network>>,
    /// A country has no requests if its sources are deleted.
    pub(crate) countries: Vec<Share<String>>,
    /// How many of the sensors saw it; `None` where there are none.
    pub(crate) seen_by: Option<SeenBy>,
    /// Names that the newest requests ask for.
    pub(crate) asked: Vec<Asked>,
    /// How many of the newest requests came to each port, the most frequent port first.
    pub(crate) ports: Vec<(u16, u64)>,
}

impl Questions {
    /// Returns all kinds, the newest first, and the totals. Each kind tells whether it came from
    /// each of these countries.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn kinds(
        &self,
        countries: &[String],
        privacy: &Privacy,
    ) -> rusqlite::Result<(Vec<KindRow>, Totals)> {
        self.ask(|file| {
            let secrets = Secrets::new(file, privacy);
            let query = format!("{KINDS} ORDER BY first DESC, id DESC LIMIT ?1");
            let mut statement = file.prepare_cached(&query)?;
            let rows = statement.query_map([MOST_KINDS], |row| kind_row(row, &secrets))?;
            let mut kinds: Vec<KindRow> = rows.collect::<rusqlite::Result<_>>()?;
            for country in countries {
                mark_country(file, &mut kinds, country)?;
            }
            Ok((kinds, totals(file)?))
        })
    }

    /// Returns the newest kinds, at most `labelled` with a label and at most `unlabelled` without
    /// one.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn new_kinds(
        &self,
        labelled: usize,
        unlabelled: usize,
        privacy: &Privacy,
    ) -> rusqlite::Result<(Vec<KindRow>, Totals)> {
        self.ask(|file| {
            let secrets = Secrets::new(file, privacy);
            let mut kinds = Vec::new();
            for (condition, most) in [("IS NOT NULL", labelled), ("IS NULL", unlabelled)] {
                let query = format!(
                    "{KINDS} WHERE category {condition} ORDER BY first DESC, id DESC LIMIT ?1"
                );
                let mut statement = file.prepare_cached(&query)?;
                let mut rows = statement.query([integer(most as u64)])?;
                while let Some(row) = rows.next()? {
                    kinds.push(kind_row(row, &secrets)?);
                }
            }
            Ok((kinds, totals(file)?))
        })
    }

    /// Returns the countries of each of these kinds.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn countries_of(
        &self,
        kinds: impl Iterator<Item = i64>,
    ) -> rusqlite::Result<BTreeMap<i64, Countries>> {
        self.ask(|file| {
            let mut some = file.prepare_cached(
                "SELECT country FROM kind_country WHERE kind = ?1 ORDER BY country LIMIT ?2",
            )?;
            let mut all =
                file.prepare_cached("SELECT count(*) FROM kind_country WHERE kind = ?1")?;
            let mut found = BTreeMap::new();
            for kind in kinds {
                let codes = some.query_map([kind, LISTED_COUNTRIES], |row| row.get(0))?;
                let countries = Countries {
                    codes: codes.collect::<rusqlite::Result<_>>()?,
                    all: all.query_row([kind], |row| row::number(row, 0))?,
                };
                found.insert(kind, countries);
            }
            Ok(found)
        })
    }

    /// Returns all that the file says of the kind with this name; `None` when there is no such
    /// kind.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn kind(
        &self,
        name: &str,
        privacy: &Privacy,
    ) -> rusqlite::Result<Option<WholeKind>> {
        self.ask(|file| {
            let mut secrets = Secrets::new(file, privacy);
            let query = format!("{KINDS} WHERE name = ?1");
            let mut statement = file.prepare_cached(&query)?;
            let row = statement.query_row([name], |row| kind_row(row, &secrets));
            let Some(row) = row.optional()? else {
                return Ok(None);
            };
            let query = format!("{SPECIMENS} WHERE kind.id = ?1");
            let mut specimen = file.prepare_cached(&query)?;
            Ok(Some(WholeKind {
                specimen: specimen.query_row([row.id], row::record)?,
                newest: newest_of(file, &row)?,
                days: days(file, row.id)?,
                sources: sources(file, row.id)?,
                networks: networks(file, row.id)?,
                countries: countries(file, row.id)?,
                seen_by: SeenBy::kind_if_any(file, row.id)?,
                asked: asked(file, &row, &mut secrets)?,
                ports: ports(file, &row)?,
                row,
            }))
        })
    }
}

const KINDS: &str =
    "SELECT id, name, title, category, requests, sources, first, last, seq FROM kind";

/// Reads a row of [`KINDS`].
fn kind_row(row: &Row<'_>, secrets: &Secrets<'_>) -> rusqlite::Result<KindRow> {
    let id = row.get(0)?;
    let title: String = row.get(2)?;
    let category: Option<String> = row.get(3)?;
    Ok(KindRow {
        id,
        name: row.get(1)?,
        title_shown: secrets.title(id, &title, category.as_deref())?,
        title,
        category,
        requests: row::number(row, 4)?,
        sources: row::number(row, 5)?,
        first: row.get(6)?,
        last: row.get(7)?,
        seq: row::number(row, 8)?,
        sent_from: Vec::new(),
    })
}

fn mark_country(file: &Connection, kinds: &mut [KindRow], country: &str) -> rusqlite::Result<()> {
    let mut of_kind =
        file.prepare_cached("SELECT 1 FROM kind_country WHERE kind = ?1 AND country = upper(?2)")?;
    for kind in kinds {
        kind.sent_from
            .push(of_kind.exists(params![kind.id, country])?);
    }
    Ok(())
}

fn totals(file: &Connection) -> rusqlite::Result<Totals> {
    let mut countries = file.prepare_cached("SELECT count(DISTINCT country) FROM kind_country")?;
    Ok(Totals {
        requests: newest(file)?.unsigned_abs(),
        countries: countries.query_row([], |row| row::number(row, 0))?,
        since: number(file, "since")?,
    })
}

/// Returns the newest request of a kind; `None` if it is not kept any more. The row of the kind has
/// its time, and the blocks lead from that time to its number.
fn newest_of(file: &Connection, kind: &KindRow) -> rusqlite::Result<Option<Record>> {
    let next = row::time(kind.last.saturating_add(1));
    let (lowest, highest) = blocks::range(file, row::time(kind.last), next)?;
    let query = format!(
        "{REQUESTS} JOIN found ON found.id = found WHERE seq BETWEEN ?3 AND ?4 AND time = ?2 \
         AND ({IS_FIRST_LABEL} OR labels = ' ' AND payload.shape = ?1) ORDER BY seq DESC LIMIT 1"
    );
    let mut statement = file.prepare_cached(&query)?;
    statement
        .query_row(params![kind.name, kind.last, lowest, highest], row::record)
        .optional()
}

fn days(file: &Connection, kind: i64) -> rusqlite::Result<Vec<(i64, u64)>> {
    let mut statement = file.prepare_cached(
        "SELECT day, requests FROM kind_day WHERE kind = ?1 ORDER BY day DESC LIMIT ?2",
    )?;
    let rows = statement.query_map([kind, MOST_DAYS], |row| {
        Ok((row.get(0)?, row::number(row, 1)?))
    })?;
    let mut days: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    days.reverse();
    Ok(days)
}

fn sources(file: &Connection, kind: i64) -> rusqlite::Result<Vec<KindSource>> {
    let mut statement = file.prepare_cached(
        "SELECT address, country, asn, as_name, kind_source.requests, kind_source.first, kind_source.last \
         FROM kind_source JOIN source ON source.id = source WHERE kind = ?1 \
         ORDER BY kind_source.requests DESC, kind_source.last DESC LIMIT ?2",
    )?;
    let rows = statement.query_map([kind, MOST_SOURCES], |row| {
        Ok(KindSource {
            address: row.get(0)?,
            country: row.get(1)?,
            asn: row.get(2)?,
            as_name: row.get(3)?,
            requests: row::number(row, 4)?,
            first: row.get(5)?,
            last: row.get(6)?,
        })
    })?;
    rows.collect()
}

fn networks(file: &Connection, kind: i64) -> rusqlite::Result<Vec<Share<Network>>> {
    let mut statement = file.prepare_cached(
        "SELECT asn, max(as_name), sum(kind_source.requests) AS sent, count(*) \
         FROM kind_source JOIN source ON source.id = source WHERE kind = ?1 AND asn IS NOT NULL \
         GROUP BY asn ORDER BY sent DESC, asn LIMIT ?2",
    )?;
    let rows = statement.query_map([kind, MOST_NETWORKS], |row| {
        Ok(Share {
            of: Network {
                asn: row.get(0)?,
                name: row.get(1)?,
            },
            requests: row::number(row, 2)?,
            sources: row::number(row, 3)?,
        })
    })?;
    rows.collect()
}

/// Returns the countries of a kind, each with its requests and sources that are left. A country
/// stays when its sources leave the history.
fn countries(file: &Connection, kind: i64) -> rusqlite::Result<Vec<Share<String>>> {
    let mut statement = file.prepare_cached(
        "SELECT country, coalesce(sent, 0), coalesce(senders, 0) FROM kind_country LEFT JOIN \
         (SELECT country, sum(kind_source.requests) AS sent, count(*) AS senders \
          FROM kind_source JOIN source ON source.id = source WHERE kind = ?1 GROUP BY country) USING (country) \
         WHERE kind = ?1 ORDER BY 2 DESC, country LIMIT ?2",
    )?;
    let rows = statement.query_map([kind, MOST_COUNTRIES], |row| {
        Ok(Share {
            of: row.get(0)?,
            requests: row::number(row, 1)?,
            sources: row::number(row, 2)?,
        })
    })?;
    rows.collect()
}

/// Returns the names that the newest requests ask for.
fn asked(
    file: &Connection,
    kind: &KindRow,
    secrets: &mut Secrets<'_>,
) -> rusqlite::Result<Vec<Asked>> {
    let mut statement = file.prepare_cached(&format!(
        "SELECT host, address, payload.id, count(*) FROM ({}) AS newest \
         JOIN payload ON payload.id = newest.payload JOIN source ON source.id = newest.source \
         WHERE host IS NOT NULL GROUP BY host, address, payload.id",
        newest_requests(kind)
    ))?;
    let mut rows = statement.query([&kind.name])?;
    let mut asked = Vec::new();
    while let Some(row) = rows.next()? {
        let sender: String = row.get(1)?;
        asked.push(Asked {
            name: row.get(0)?,
            senders: secrets.senders(address(&sender), row.get(2)?)?,
            requests: row::number(row, 3)?,
        });
    }
    Ok(asked)
}

/// Returns the ports to which the newest requests came, and how many came to each.
fn ports(file: &Connection, kind: &KindRow) -> rusqlite::Result<Vec<(u16, u64)>> {
    let mut statement = file.prepare_cached(&format!(
        "SELECT dest_port, count(*) AS requests FROM ({}) AS newest JOIN way ON way.id = newest.way \
         GROUP BY dest_port ORDER BY requests DESC, dest_port LIMIT ?2",
        newest_requests(kind)
    ))?;
    let rows = statement.query_map(params![kind.name, MOST_PORTS], |row| {
        Ok((row.get(0)?, row::number(row, 1)?))
    })?;
    rows.collect()
}

/// Returns SQL that selects the newest requests of a kind, whose name is `?1`. All of its requests
/// would take seconds for a kind that comes a million times.
fn newest_requests(kind: &KindRow) -> String {
    if kind.category.is_some() {
        format!(
            "SELECT request.payload, request.source, request.way FROM found JOIN request ON request.seq IN \
              (SELECT seq FROM request WHERE found = found.id ORDER BY seq DESC LIMIT {REQUESTS_OF_SET}) \
             WHERE found.id IN (SELECT id FROM found WHERE {IS_FIRST_LABEL} ORDER BY id DESC LIMIT {SETS_OF_LABELS})"
        )
    } else {
        format!(
            "SELECT request.payload, request.source, request.way FROM \
             (SELECT id FROM payload WHERE shape = ?1 ORDER BY id DESC LIMIT {PAYLOADS_OF_SHAPE}) AS of \
             JOIN request ON request.seq IN \
              (SELECT seq FROM request WHERE payload = of.id AND found IN (SELECT id FROM found WHERE labels = ' ') \
               ORDER BY seq DESC LIMIT {REQUESTS_OF_PAYLOAD})"
        )
    }
}

#[cfg(test)]
pub(crate) mod tests;
