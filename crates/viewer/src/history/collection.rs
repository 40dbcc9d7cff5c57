//! The collection: a row for each kind, with one specimen. The row stays when the requests of the
//! kind are deleted.
//!
//! In: the requests of one transaction. Out: counts, and specimens of new kinds, within bounds that
//! hold for any bytes. Counts are added up and written once for each transaction: a flood of one
//! kind changes one row.

use std::collections::{BTreeSet, HashMap};

use forever200_identify::Category;
use forever200_ring::Record;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::history::found::Found;
use crate::history::row::integer;
use crate::history::rows::{PayloadTexts, ReferencedRows, payload_with, row_of_payload};
use crate::history::sent;

/// Most kinds without a label that are kept. Without this limit, random requests would fill the
/// file, because each has a kind of its own.
const MOST_UNLABELLED: i64 = 2000;
/// How many of the [`MOST_UNLABELLED`] places are kept free for kinds that were seen once. Without
/// them, no new kind would stay until it is seen twice.
const PLACES_FOR_ONCE: i64 = 200;
/// Longest specimen, in bytes.
pub(super) const SPECIMEN_BYTES: usize = 64 * 1024;
/// Most bytes of all specimens together. In a small history, they take at most one part in
/// [`SPECIMENS_SHARE`] of the bytes that it may hold.
const SPECIMENS_BYTES: u64 = 64 * 1024 * 1024;
const SPECIMENS_SHARE: u64 = 8;
/// The longest specimens are cut to this length when all specimens take too much. Specimens of this
/// length fit, even for the largest number of kinds.
const CUT_BYTES: usize = 4 * 1024;
/// Most days for which a kind has counts. When a kind gets a new day, its days that are this number
/// of days older are deleted.
pub(crate) const MOST_DAYS: i64 = 400;
pub(super) const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// A request that was written.
pub(super) struct WrittenRequest<'a> {
    /// The record, unchanged.
    pub(super) record: &'a Record,
    /// What was found out about the record.
    pub(super) found: &'a Found,
    /// The rows that its row references.
    pub(super) rows: ReferencedRows,
}

/// What one transaction adds to a kind.
struct Addition<'a> {
    found: &'a Found,
    tally: Tally,
    sources: HashMap<i64, Tally>,
    days: HashMap<i64, i64>,
    countries: BTreeSet<&'a str>,
    sensors: BTreeSet<i64>,
    /// The request with the smallest number.
    first: &'a WrittenRequest<'a>,
    /// The request with the shortest payload.
    shortest: &'a WrittenRequest<'a>,
}

/// The number of some requests, and the times of the first and the last of them.
#[derive(Clone, Copy)]
struct Tally {
    requests: i64,
    first: i64,
    last: i64,
}

impl Tally {
    /// Makes a tally without requests. `time` is the time of the request that is added first.
    fn none_at(time: i64) -> Self {
        Self {
            requests: 0,
            first: time,
            last: time,
        }
    }

    fn add(&mut self, time: i64) {
        self.requests += 1;
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }
}

/// Bytes that new specimens may still take before the bytes of all specimens are counted again.
/// Counting goes through all kinds, which takes 0.3 ms when there are thousands.
#[derive(Default)]
pub(super) struct SpecimenBudget(i64);

impl SpecimenBudget {
    fn take(&mut self, addition: &Addition<'_>) {
        let length = addition.first.record.raw.len().min(SPECIMEN_BYTES);
        self.0 -= integer(length as u64);
    }
}

/// Adds the requests of a transaction to the counts of sources and kinds. `most_bytes` is what the
/// whole history may hold.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn add(
    to: &Connection,
    written: &[WrittenRequest<'_>],
    most_bytes: u64,
    budget: &mut SpecimenBudget,
) -> rusqlite::Result<()> {
    let mut additions: HashMap<&str, Addition<'_>> = HashMap::new();
    let mut sources: HashMap<i64, Tally> = HashMap::new();
    for request in written {
        let WrittenRequest {
            record,
            found,
            rows,
        } = request;
        let time = record.timestamp.as_microsecond();
        count(&mut sources, rows.source, time);
        match additions.get_mut(found.kind.name.as_str()) {
            Some(addition) => addition.add(request),
            None => {
                additions.insert(&found.kind.name, Addition::new(request));
            }
        }
    }
    let mut seen = BTreeSet::new();
    for WrittenRequest { rows, .. } in written {
        if let Some(sensor) = rows.sensor {
            seen.insert((sensor, rows.source));
        }
    }
    for (sensor, source) in seen {
        sent::saw_source(to, sensor, source)?;
    }
    for (source, tally) in sources {
        add_to_source(to, source, tally)?;
    }
    let specimens_bytes = SPECIMENS_BYTES.min(most_bytes / SPECIMENS_SHARE);
    let mut has_new = false;
    for addition in additions.values() {
        if add_to_kind(to, addition, specimens_bytes)? {
            budget.take(addition);
            has_new = true;
        }
    }
    if has_new {
        drop_unlabelled(to)?;
    }
    if budget.0 < 0 {
        *budget = cut_specimens(to, specimens_bytes)?;
    }
    Ok(())
}

impl<'a> Addition<'a> {
    fn new(request: &'a WrittenRequest<'a>) -> Self {
        let time = request.record.timestamp.as_microsecond();
        let mut addition = Self {
            found: request.found,
            tally: Tally::none_at(time),
            sources: HashMap::new(),
            days: HashMap::new(),
            countries: BTreeSet::new(),
            sensors: BTreeSet::new(),
            first: request,
            shortest: request,
        };
        addition.add(request);
        addition
    }

    fn add(&mut self, request: &'a WrittenRequest<'a>) {
        let WrittenRequest {
            record,
            found,
            rows,
        } = request;
        let time = record.timestamp.as_microsecond();
        self.tally.add(time);
        count(&mut self.sources, rows.source, time);
        *self.days.entry(time.div_euclid(DAY_MICROS)).or_default() += 1;
        self.countries.extend(found.country.as_deref());
        self.sensors.extend(rows.sensor);
        if record.raw.len() < self.shortest.record.raw.len() {
            self.shortest = request;
        }
        if record.seq < self.first.record.seq {
            self.first = request;
        }
    }
}

fn count(tallies: &mut HashMap<i64, Tally>, row: i64, time: i64) {
    let tally = tallies.entry(row).or_insert(Tally::none_at(time));
    tally.add(time);
}

fn add_to_source(to: &Connection, source: i64, tally: Tally) -> rusqlite::Result<()> {
    to.prepare_cached(
        "UPDATE source SET requests = requests + ?2, first = min(first, ?3), last = max(last, ?4) WHERE id = ?1",
    )?
    .execute(params![source, tally.requests, tally.first, tally.last])?;
    Ok(())
}

/// Counts requests of a kind, and inserts the kind if it is missing. Tells whether the kind has a
/// new specimen.
fn add_to_kind(
    to: &Connection,
    addition: &Addition<'_>,
    specimens_bytes: u64,
) -> rusqlite::Result<bool> {
    let kind = &addition.found.kind;
    let mut find = to.prepare_cached("SELECT id, kept FROM kind WHERE name = ?1")?;
    let held: Option<(i64, i64)> = find
        .query_row([&kind.name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (row, is_new) = match held {
        None => (insert_kind(to, addition)?, true),
        Some((row, kept)) => (
            row,
            replace_by_shorter(to, addition, row, kept, specimens_bytes)?,
        ),
    };
    let tally = addition.tally;
    let category = kind.category.map(Category::name);
    let new_sources = add_sources(to, row, addition)?;
    // A later version may have a better title for a label. Without a label, the title is made from
    // the specimen, so it stays.
    to.prepare_cached(
        "UPDATE kind SET title = iif(?3 IS NULL, title, ?2), category = ?3, requests = requests + ?4, sources = sources + ?5, \
         first = min(first, ?6), last = max(last, ?7) WHERE id = ?1",
    )?
    .execute(params![row, kind.title, category, tally.requests, new_sources, tally.first, tally.last])?;
    add_days(to, row, addition)?;
    let mut insert =
        to.prepare_cached("INSERT OR IGNORE INTO kind_country (kind, country) VALUES (?1, ?2)")?;
    for country in &addition.countries {
        insert.execute(params![row, country])?;
    }
    for sensor in &addition.sensors {
        sent::saw_kind(to, *sensor, row)?;
    }
    Ok(is_new)
}

/// Counts requests of a kind by source. Returns how many of the sources are new for the kind.
fn add_sources(to: &Connection, row: i64, addition: &Addition<'_>) -> rusqlite::Result<i64> {
    let mut known = to.prepare_cached(
        "UPDATE kind_source SET requests = requests + ?3, first = min(first, ?4), last = max(last, ?5) \
         WHERE kind = ?1 AND source = ?2",
    )?;
    let mut insert = to.prepare_cached(
        "INSERT INTO kind_source (kind, source, requests, first, last) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut new_sources = 0;
    for (source, tally) in &addition.sources {
        let values = params![row, source, tally.requests, tally.first, tally.last];
        if known.execute(values)? == 0 {
            insert.execute(values)?;
            new_sources += 1;
        }
    }
    Ok(new_sources)
}

fn add_days(to: &Connection, row: i64, addition: &Addition<'_>) -> rusqlite::Result<()> {
    let mut add = to.prepare_cached(
        "UPDATE kind_day SET requests = requests + ?3 WHERE kind = ?1 AND day = ?2",
    )?;
    for (day, requests) in &addition.days {
        if add.execute(params![row, day, requests])? > 0 {
            continue;
        }
        to.prepare_cached("INSERT INTO kind_day (kind, day, requests) VALUES (?1, ?2, ?3)")?
            .execute(params![row, day, requests])?;
        // Days may come in any order, from a clock that was set or a sensor that lies.
        to.prepare_cached(
            "DELETE FROM kind_day WHERE kind = ?1 AND (day <= ?2 OR day <= \
             (SELECT day FROM kind_day WHERE kind = ?1 ORDER BY day DESC LIMIT 1 OFFSET ?3))",
        )?
        .execute(params![row, day - MOST_DAYS, MOST_DAYS])?;
    }
    Ok(())
}

fn insert_kind(to: &Connection, addition: &Addition<'_>) -> rusqlite::Result<i64> {
    let WrittenRequest {
        record,
        found,
        rows,
    } = addition.first;
    let kind = &found.kind;
    let kept = record.raw.len().min(SPECIMEN_BYTES);
    let payload = if kept < record.raw.len() {
        row_of_payload(to, record, &record.raw[..kept], found)?
    } else {
        rows.payload
    };
    let mut insert = to.prepare_cached(
        "INSERT INTO kind (name, title, category, requests, sources, first, last, \
         seq, time, payload, kept, source, source_port, way, bytes, extra, truncated, continues) \
         VALUES (?1, ?2, ?3, 0, 0, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) RETURNING id",
    )?;
    insert.query_row(
        params![
            kind.name,
            kind.title,
            kind.category.map(Category::name),
            addition.tally.first,
            integer(record.seq),
            record.timestamp.as_microsecond(),
            payload,
            integer(kept as u64),
            record.src_ip.to_string(),
            record.src_port,
            rows.way,
            integer(record.bytes),
            integer(record.extra),
            record.truncated || kept < record.raw.len(),
            record.continues.map(integer),
        ],
        |row| row.get(0),
    )
}

/// Replaces a long specimen of a kind by a shorter one when all specimens take more than half of
/// their budget. Tells whether it did.
fn replace_by_shorter(
    to: &Connection,
    addition: &Addition<'_>,
    row: i64,
    kept: i64,
    specimens_bytes: u64,
) -> rusqlite::Result<bool> {
    let WrittenRequest {
        record,
        found,
        rows,
    } = addition.shortest;
    let length = integer(record.raw.len() as u64);
    let is_long = kept > integer(CUT_BYTES as u64);
    if !is_long || length >= kept || bytes_of_specimens(to)? <= specimens_bytes / 2 {
        return Ok(false);
    }
    let mut update = to.prepare_cached(
        "UPDATE kind SET seq = ?2, time = ?3, payload = ?4, kept = ?5, source = ?6, source_port = ?7, way = ?8, \
         bytes = ?9, extra = ?10, truncated = ?11, continues = ?12, \
         title = iif(category IS NULL, ?13, title) WHERE id = ?1",
    )?;
    update.execute(params![
        row,
        integer(record.seq),
        record.timestamp.as_microsecond(),
        rows.payload,
        length,
        record.src_ip.to_string(),
        record.src_port,
        rows.way,
        integer(record.bytes),
        integer(record.extra),
        record.truncated,
        record.continues.map(integer),
        found.kind.title,
    ])?;
    Ok(true)
}

/// Returns the bytes of all specimens.
fn bytes_of_specimens(file: &Connection) -> rusqlite::Result<u64> {
    let mut sum = file.prepare_cached("SELECT coalesce(sum(kept), 0) FROM kind")?;
    sum.query_row([], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// Deletes surplus kinds without a label. At most 1,800 stay that were seen more than once. Kinds
/// that were seen once stay in the places that are left. In both groups, the kinds whose last
/// request is the oldest go first.
///
/// But in each group, kinds whose last request has a time in the future (a clock was ahead) go
/// first. Otherwise they would never become the oldest, and would keep new kinds out.
fn drop_unlabelled(to: &Connection) -> rusqlite::Result<()> {
    let mut count = to.prepare_cached(
        "SELECT count(*), coalesce(sum(requests > 1), 0) FROM kind WHERE category IS NULL",
    )?;
    let (all, often): (i64, i64) = count.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let surplus_often = (often - (MOST_UNLABELLED - PLACES_FOR_ONCE)).max(0);
    let surplus_once = (all - surplus_often - MOST_UNLABELLED).max(0);
    let mut drop = to.prepare_cached(
        "DELETE FROM kind WHERE id IN (SELECT id FROM kind \
         WHERE category IS NULL AND (requests > 1) = ?1 AND last > ?2 ORDER BY last LIMIT ?3)",
    )?;
    // A time that is less than a day ahead will be over by tomorrow, so its kind becomes old like
    // any other.
    let future = Timestamp::now().as_microsecond() + DAY_MICROS;
    for (is_often, surplus) in [(true, surplus_often), (false, surplus_once)] {
        if surplus > 0 {
            let dropped = drop.execute(params![is_often, future, surplus])?;
            let left = surplus - integer(dropped as u64);
            drop.execute(params![is_often, i64::MIN, left])?;
        }
    }
    Ok(())
}

/// Cuts the longest specimens if all specimens take too much. Returns the bytes that are left for
/// new ones.
fn cut_specimens(to: &Connection, most_bytes: u64) -> rusqlite::Result<SpecimenBudget> {
    let mut held = bytes_of_specimens(to)?;
    if held <= most_bytes {
        return Ok(SpecimenBudget(integer(most_bytes - held)));
    }
    let mut longest = to.prepare_cached(
        "SELECT kind.id, kept, payload.bytes FROM kind JOIN payload ON payload.id = payload \
         WHERE kept > ?1 ORDER BY kept DESC LIMIT 64",
    )?;
    let rows: Vec<(i64, i64, Vec<u8>)> = longest
        .query_map([integer(CUT_BYTES as u64)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (kind, kept, bytes) in rows {
        if held <= most_bytes {
            break;
        }
        let short = bytes.get(..CUT_BYTES).unwrap_or(&bytes);
        cut(to, kind, short)?;
        held = held.saturating_sub(kept.unsigned_abs() - short.len() as u64);
    }
    Ok(SpecimenBudget(integer(most_bytes.saturating_sub(held))))
}

fn cut(to: &Connection, kind: i64, short: &[u8]) -> rusqlite::Result<()> {
    let mut find = to.prepare_cached(
        "SELECT shape, host, user_agent, ja4, tls FROM kind JOIN payload ON payload.id = payload WHERE kind.id = ?1",
    )?;
    let texts: PayloadTexts<String> = find.query_row([kind], |row| {
        Ok(PayloadTexts {
            shape: row.get("shape")?,
            host: row.get("host")?,
            user_agent: row.get("user_agent")?,
            ja4: row.get("ja4")?,
            tls: row.get("tls")?,
        })
    })?;
    let payload = payload_with(to, short, &texts)?;
    to.prepare_cached("UPDATE kind SET payload = ?2, kept = ?3, truncated = 1 WHERE id = ?1")?
        .execute(params![kind, payload, integer(short.len() as u64)])?;
    Ok(())
}
