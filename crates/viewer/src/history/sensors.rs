//! The sensors whose requests came here, and how many of them saw a kind or a source.
//!
//! In: an order and a page, or ids of kinds and sources. Out: rows as the file has them. The page
//! decides what may be shown of a name.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use forever200_ring::Alive;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::history::Questions;
use crate::history::row::{self, integer};
use crate::reader::privacy::Privacy;
use crate::reader::sensor::shown_name;

/// Sensors on a page.
pub(crate) const PAGE_SENSORS: u64 = 200;
/// Most sensors that are sorted by shown names: far more than a fleet has.
const MOST_SENSORS: u64 = 100_000;
/// The columns that [`sensor_row`] reads.
const COLUMNS: &str = "SELECT name, version, requests, missing, heard, first, last FROM sensor";

/// The order of the sensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// The sensor that is silent for the longest time goes first.
    #[default]
    Silent,
    /// The sensor with the most requests goes first.
    Often,
    /// The sensor that misses the most requests goes first.
    Missing,
    /// By name.
    Name,
}

/// A sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SensorRow {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) requests: u64,
    /// Requests that it answered and could not send.
    pub(crate) missing: u64,
    /// When its last request was written here, or when it last reported that it runs.
    pub(crate) heard: Timestamp,
    /// Times of its first and its last request.
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

/// Totals of all sensors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AllSensors {
    pub(crate) sensors: u64,
    /// Sensors that were not heard of since the time that was asked for.
    pub(crate) silent: u64,
    pub(crate) requests: u64,
    pub(crate) missing: u64,
}

/// How many of the sensors saw something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SeenBy {
    pub(crate) sensors: u64,
    /// How many sensors there are.
    pub(crate) of: u64,
}

impl Questions {
    /// Returns a page of the sensors, of which the first is number 1, and the totals of all.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn sensors(
        &self,
        sort: Sort,
        page: u64,
        silent_since: Timestamp,
        privacy: &Privacy,
    ) -> rusqlite::Result<(Vec<SensorRow>, AllSensors)> {
        self.ask(|file| {
            let rows = if privacy.hides_texts() {
                page_by_shown_names(file, sort, page, privacy)?
            } else {
                let columns = format!("{COLUMNS} ORDER BY {}, name", sort.column());
                rows(file, &columns, PAGE_SENSORS, offset(page))?
            };
            Ok((rows, all_sensors(file, silent_since)?))
        })
    }

    /// Returns how many sensors saw each of these kinds, by the id of the kind; empty if there are
    /// no sensors.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn sensors_of_kinds(
        &self,
        kinds: impl Iterator<Item = i64>,
    ) -> rusqlite::Result<BTreeMap<i64, SeenBy>> {
        self.ask(|file| {
            let all = count(file)?;
            if all == 0 {
                return Ok(BTreeMap::new());
            }
            let of_one = |kind| Ok((kind, SeenBy::kind(file, kind, all)?));
            kinds.map(of_one).collect()
        })
    }
}

/// Returns sensors, at most `most` of them, after the first `offset`.
fn rows(
    file: &Connection,
    query: &str,
    most: u64,
    offset: u64,
) -> rusqlite::Result<Vec<SensorRow>> {
    let mut statement = file.prepare_cached(&format!("{query} LIMIT ?1 OFFSET ?2"))?;
    let rows = statement.query_map(params![integer(most), integer(offset)], sensor_row)?;
    rows.collect()
}

/// Returns a page in the order of shown names. In the order of the names themselves, a hidden name
/// could be guessed from its place.
fn page_by_shown_names(
    file: &Connection,
    sort: Sort,
    page: u64,
    privacy: &Privacy,
) -> rusqlite::Result<Vec<SensorRow>> {
    let all = rows(file, &format!("{COLUMNS} ORDER BY id"), MOST_SENSORS, 0)?;
    let mut all: Vec<_> = all
        .into_iter()
        .map(|row| (shown_name(&row.name, privacy), row))
        .collect();
    // Rows that are equal stay in the order in which they were first heard of.
    all.sort_by(|(name_a, a), (name_b, b)| sort.compare(a, b).then_with(|| name_a.cmp(name_b)));
    let first = usize::try_from(offset(page)).unwrap_or(usize::MAX);
    let page = all.into_iter().skip(first).take(PAGE_SENSORS as usize);
    Ok(page.map(|(_, row)| row).collect())
}

fn offset(page: u64) -> u64 {
    page.saturating_sub(1).saturating_mul(PAGE_SENSORS)
}

/// Notes when sensors reported that they run. A sensor of which no request came yet has no row, and
/// is left out.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn write_heard(to: &Connection, alive: &Alive) -> rusqlite::Result<()> {
    let mut write =
        to.prepare_cached("UPDATE sensor SET heard = ?2 WHERE name = ?1 AND heard < ?2")?;
    for (name, time) in alive {
        write.execute(params![name, time.as_microsecond()])?;
    }
    Ok(())
}

impl Sort {
    fn column(self) -> &'static str {
        match self {
            Self::Silent => "heard",
            Self::Often => "requests DESC",
            Self::Missing => "missing DESC",
            Self::Name => "name",
        }
    }

    /// Compares two sensors in the order of [`Self::column`], but not by name.
    fn compare(self, a: &SensorRow, b: &SensorRow) -> Ordering {
        match self {
            Self::Silent => a.heard.cmp(&b.heard),
            Self::Often => b.requests.cmp(&a.requests),
            Self::Missing => b.missing.cmp(&a.missing),
            Self::Name => Ordering::Equal,
        }
    }
}

impl SeenBy {
    /// Counts the sensors that saw a kind. `all` is the number of all sensors.
    fn kind(file: &Connection, kind: i64, all: u64) -> rusqlite::Result<Self> {
        let mut statement =
            file.prepare_cached("SELECT count(*) FROM kind_sensor WHERE kind = ?1")?;
        Ok(Self {
            sensors: statement.query_row([kind], |row| row::number(row, 0))?,
            of: all,
        })
    }

    /// Counts the sensors that saw a kind; `None` if there are no sensors.
    pub(super) fn kind_if_any(file: &Connection, kind: i64) -> rusqlite::Result<Option<Self>> {
        match count(file)? {
            0 => Ok(None),
            all => Self::kind(file, kind, all).map(Some),
        }
    }

    /// Counts the sensors that saw one of these sources, whose ids are a JSON list; `None` if there
    /// are no sensors.
    pub(super) fn sources(file: &Connection, ids: &str) -> rusqlite::Result<Option<Self>> {
        let of = count(file)?;
        if of == 0 {
            return Ok(None);
        }
        let mut statement = file.prepare_cached(
            "SELECT count(DISTINCT sensor) FROM source_sensor WHERE source IN (SELECT value FROM json_each(?1))",
        )?;
        let sensors = statement.query_row([ids], |row| row::number(row, 0))?;
        Ok(Some(Self { sensors, of }))
    }
}

/// Returns how many sensors there are. SQLite goes through all rows, which takes some microseconds
/// for a thousand.
pub(super) fn count(file: &Connection) -> rusqlite::Result<u64> {
    let mut statement = file.prepare_cached("SELECT count(*) FROM sensor")?;
    statement.query_row([], |row| row::number(row, 0))
}

fn all_sensors(file: &Connection, silent_since: Timestamp) -> rusqlite::Result<AllSensors> {
    // `total` adds floating point numbers, which do not overflow, whatever a person has written
    // into the file.
    let mut statement = file.prepare_cached(
        "SELECT count(*), coalesce(sum(heard < ?1), 0), CAST(total(requests) AS INTEGER), \
         CAST(total(missing) AS INTEGER) FROM sensor",
    )?;
    statement.query_row([silent_since.as_microsecond()], |row| {
        Ok(AllSensors {
            sensors: row::number(row, 0)?,
            silent: row::number(row, 1)?,
            requests: row::number(row, 2)?,
            missing: row::number(row, 3)?,
        })
    })
}

fn sensor_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<SensorRow> {
    let time = |column| {
        row.get(column)
            .map(|micros| row::time(micros).unwrap_or_default())
    };
    Ok(SensorRow {
        name: row.get(0)?,
        version: row.get(1)?,
        requests: row::number(row, 2)?,
        missing: row::number(row, 3)?,
        heard: time(4)?,
        first: time(5)?,
        last: time(6)?,
    })
}

#[cfg(test)]
mod tests;
