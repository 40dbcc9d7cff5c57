//! Counts the requests that are not kept, and reports them in a sentence. They are never listed one
//! by one.
//!
//! In: gaps that the reader finds, and gaps that the file has. Out: how many requests of the last
//! day are missing. The counts are held in memory, so the page shows them without reading the disk,
//! and even while the disk fails.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use crate::digits::grouped;
use crate::history::keeper::Gap;
use crate::history::row::{integer, number, time};
use crate::rfc3339;

/// Two gaps with less time than this between them belong to one flood, and share a row of the file.
const SAME_FLOOD: SignedDuration = SignedDuration::from_mins(1);
/// Longest time that the gaps in one row span.
const LONGEST_FLOOD: SignedDuration = SignedDuration::from_hours(1);
/// Gaps that ended longer ago are not reported.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Most floods that are held in memory. When there are more, the oldest two are joined.
const MOST_FLOODS: usize = 64;
/// Most rows that are read when a file is opened.
const MOST_READ: i64 = 1000;

const COLUMNS: &str = "SELECT first_seq, last_seq, requests, since, until FROM gap";

/// The floods of the last day, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Gaps(pub(super) VecDeque<Gap>);

/// Requests of the last day that are not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotKept {
    /// How many requests.
    pub requests: u64,
    /// The beginning of the time in which they came, RFC 3339.
    pub since: String,
    /// The end of the time in which they came, RFC 3339.
    pub until: String,
}

impl NotKept {
    /// Returns a sentence for the page.
    #[must_use]
    pub fn sentence(&self) -> String {
        let since = minute(&self.since);
        let until = minute(&self.until);
        let until_clock = match until.split_once(' ') {
            Some((day, clock)) if since.starts_with(day) => clock,
            _ => &until,
        };
        let when = if since == until {
            format!("at {since}")
        } else {
            format!("between {since} and {until_clock}")
        };
        let (noun, verb) = match self.requests {
            1 => ("request", "was"),
            _ => ("requests", "were"),
        };
        let requests = grouped(self.requests);
        format!("{requests} {noun} {when} UTC {verb} answered, but not kept in the history.")
    }
}

impl Gap {
    /// Returns both gaps as one; `None` if they do not belong to one flood, or if `next` does not
    /// come after this gap.
    fn joined(&self, next: &Self) -> Option<Self> {
        let is_soon = next.since.duration_since(self.until) < SAME_FLOOD;
        let is_short = next.until.duration_since(self.since) < LONGEST_FLOOD;
        let mut both = *self;
        both.swallow(next);
        (is_soon && is_short && next.first > self.last).then_some(both)
    }

    /// Returns the part of the gap after the number `known`; `None` if nothing is left. All numbers
    /// up to `known` are accounted for. If several gaps were joined, the count may be too large for
    /// this part, but it is never larger than the range.
    pub(crate) fn after(self, known: u64) -> Option<Self> {
        let first = self.first.max(known.saturating_add(1));
        let numbers = (self.last + 1).checked_sub(first).filter(|&it| it > 0)?;
        Some(Self {
            first,
            requests: self.requests.min(numbers),
            ..self
        })
    }

    /// Joins a later gap to this one. Some numbers between the two may be kept.
    pub(crate) fn swallow(&mut self, next: &Self) {
        self.last = next.last;
        self.requests = self.requests.saturating_add(next.requests);
        self.since = self.since.min(next.since);
        self.until = self.until.max(next.until);
    }
}

impl Gaps {
    /// Reads the gaps of the last day.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn read(file: &Connection, now: Timestamp) -> rusqlite::Result<Self> {
        let query = format!("{COLUMNS} ORDER BY first_seq DESC LIMIT ?1");
        let mut statement = file.prepare_cached(&query)?;
        let rows = statement.query_map([MOST_READ], gap)?;
        let mut newest_first: Vec<Gap> = rows.collect::<rusqlite::Result<_>>()?;
        newest_first.retain(|gap| is_recent(gap, now));
        let mut gaps = Self::default();
        for gap in newest_first.into_iter().rev() {
            gaps.add(gap, now);
        }
        Ok(gaps)
    }

    /// Adds a gap, and drops those that are too old.
    pub(crate) fn add(&mut self, gap: Gap, now: Timestamp) {
        self.0.retain(|gap| is_recent(gap, now));
        match self.0.back().and_then(|last| last.joined(&gap)) {
            Some(both) => {
                self.0.pop_back();
                self.0.push_back(both);
            }
            None => self.0.push_back(gap),
        }
        if self.0.len() > MOST_FLOODS
            && let Some(mut oldest) = self.0.pop_front()
            && let Some(next) = self.0.front_mut()
        {
            oldest.swallow(next);
            *next = oldest;
        }
    }

    /// Returns how many requests of the last day are missing; `None` when none is.
    pub(crate) fn of_last_day(&self, now: Timestamp) -> Option<NotKept> {
        let mut recent = self.0.iter().filter(|gap| is_recent(gap, now));
        let mut all = *recent.next()?;
        for gap in recent {
            all.swallow(gap);
        }
        Some(NotKept {
            requests: all.requests,
            since: rfc3339::micros(all.since),
            until: rfc3339::micros(all.until),
        })
    }
}

/// Returns a time without its seconds, like `2026-01-01 23:59`.
fn minute(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}

/// Tells whether a gap ended within the last day, or less than [`SAME_FLOOD`] in the future. If its
/// end is later than that, the clock was set back.
fn is_recent(gap: &Gap, now: Timestamp) -> bool {
    let age = now.duration_since(gap.until);
    age < DAY && age > -SAME_FLOOD
}

/// Writes a gap. If there is a row of the same flood, the gap is added to that row.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn write(to: &Transaction<'_>, new: &Gap) -> rusqlite::Result<()> {
    // This need not be the newest row: a request that could not be written may have a row with a
    // higher number.
    let before = format!("{COLUMNS} WHERE first_seq <= ?1 ORDER BY first_seq DESC LIMIT 1");
    let mut statement = to.prepare_cached(&before)?;
    let before = statement.query_row([integer(new.first)], gap).optional()?;
    // If the file has the gap already, its transaction was committed, and its items are written
    // again because of a later error.
    if before.is_some_and(|before| new.last <= before.last) {
        return Ok(());
    }
    let joined = before.and_then(|before| before.joined(new));
    insert(to, &joined.unwrap_or(*new))
}

/// Counts a single missing request: in the row whose range includes its number, or else in a new
/// row.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn write_one(to: &Transaction<'_>, one: &Gap) -> rusqlite::Result<()> {
    let mut add = to.prepare_cached(
        "UPDATE gap SET requests = min(requests + 1, last_seq - first_seq + 1) \
         WHERE first_seq <= ?1 AND last_seq >= ?1",
    )?;
    if add.execute([integer(one.first)])? == 0 {
        insert(to, one)?;
    }
    Ok(())
}

fn insert(to: &Transaction<'_>, row: &Gap) -> rusqlite::Result<()> {
    let mut insert = to.prepare_cached(
        "INSERT OR REPLACE INTO gap (first_seq, last_seq, requests, since, until) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![
        integer(row.first),
        integer(row.last),
        integer(row.requests),
        row.since.as_microsecond(),
        row.until.as_microsecond(),
    ])?;
    Ok(())
}

fn gap(row: &Row<'_>) -> rusqlite::Result<Gap> {
    Ok(Gap {
        first: number(row, "first_seq")?,
        last: number(row, "last_seq")?,
        requests: number(row, "requests")?,
        since: time(row.get("since")?).unwrap_or_default(),
        until: time(row.get("until")?).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute)
    }

    fn gap(first: u64, requests: u64, since: i64, until: i64) -> Gap {
        Gap {
            first,
            last: first + requests - 1,
            requests,
            since: at(since),
            until: at(until),
        }
    }

    #[test]
    fn the_gaps_of_a_flood_are_one_and_bounded() {
        let mut gaps = Gaps::default();
        for minute in 0..2 {
            gaps.add(
                gap(1 + minute * 10, 5, minute as i64, minute as i64 + 1),
                at(2),
            );
        }
        assert_eq!(gaps.0.len(), 1);
        let missing = gaps.of_last_day(at(2)).unwrap();
        assert_eq!(missing.requests, 10);
        assert_eq!(missing.until, "1970-01-01T00:02:00.000000Z");
        assert_eq!(
            missing.sentence(),
            "10 requests between 1970-01-01 00:00 and 00:02 UTC were answered, but not kept in the history."
        );
        for minute in (10..1000).step_by(5) {
            let first = minute as u64 * 100;
            gaps.add(gap(first, 5, minute, minute + 1), at(minute + 1));
        }
        assert_eq!(gaps.0.len(), MOST_FLOODS);
        let all = gaps.of_last_day(at(1000)).unwrap();
        assert_eq!(all.requests, 10 + 198 * 5);
        assert_eq!(gaps.of_last_day(at(4000)), None);
    }

    #[test]
    fn large_numbers_are_grouped_and_other_days_named() {
        let missing = NotKept {
            requests: 1_234_210,
            since: "2026-01-01T23:59:00.000000Z".into(),
            until: "2026-01-02T00:01:30.000000Z".into(),
        };
        let sentence = missing.sentence();
        assert!(
            sentence.starts_with(
                "1,234,210 requests between 2026-01-01 23:59 and 2026-01-02 00:01 UTC"
            ),
            "{sentence}"
        );
        assert_eq!([0, 12, 123, 1000].map(grouped), ["0", "12", "123", "1,000"]);
    }

    #[test]
    fn what_is_written_again_is_counted_once() {
        let mut file = Connection::open_in_memory().unwrap();
        let tables = include_str!("../../../../docs/history.sql");
        file.execute_batch(tables).unwrap();
        let transaction = file.transaction().unwrap();
        for new in [gap(1, 5, 0, 1), gap(11, 5, 1, 2), gap(11, 5, 1, 2)] {
            write(&transaction, &new).unwrap();
        }
        let sum = "SELECT sum(requests) FROM gap";
        let sum: i64 = transaction.query_row(sum, [], |row| row.get(0)).unwrap();
        assert_eq!(sum, 10);
    }

    #[test]
    fn a_gap_is_written_also_where_one_has_higher_numbers() {
        let mut file = Connection::open_in_memory().unwrap();
        let tables = include_str!("../../../../docs/history.sql");
        file.execute_batch(tables).unwrap();
        let transaction = file.transaction().unwrap();
        write_one(&transaction, &gap(500, 1, 5, 5)).unwrap();
        for new in [gap(400, 10, 4, 5), gap(420, 10, 5, 6), gap(490, 20, 8, 9)] {
            write(&transaction, &new).unwrap();
            write(&transaction, &new).unwrap();
        }
        let query = format!("{COLUMNS} ORDER BY first_seq");
        let mut statement = transaction.prepare(&query).unwrap();
        let rows = statement.query_map([], super::gap).unwrap();
        let rows: Vec<_> = rows
            .map(Result::unwrap)
            .map(|gap| (gap.first, gap.last, gap.requests))
            .collect();
        assert_eq!(rows, [(400, 429, 20), (490, 509, 20), (500, 500, 1)]);
    }

    #[test]
    fn a_clock_that_is_set_back_hides_what_is_to_come() {
        let mut gaps = Gaps::default();
        gaps.add(gap(1, 5, 1_000_000, 1_000_001), at(1_000_001));
        assert_eq!(gaps.of_last_day(at(5)), None);
        gaps.add(gap(6, 5, 4, 5), at(5));
        assert_eq!(gaps.of_last_day(at(5)).map(|it| it.requests), Some(5));
    }
}
