//! Finds the numbers of the requests of a time, from the first and the last time of each block of
//! 256 numbers.
//!
//! Numbers grow with time, but not strictly: clocks are set, and requests of sensors come late. An
//! index of the times would take 17 bytes a request; this takes 0.1.

use std::collections::BTreeMap;

use forever200_ring::Record;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::history::row::integer;

/// How many numbers a block has. The number of a request, divided by this, is the `id` of its
/// block.
const NUMBERS: i64 = 256;

/// Notes the times of new requests.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn add<'a>(
    to: &Connection,
    records: impl Iterator<Item = &'a Record>,
) -> rusqlite::Result<()> {
    let mut blocks = BTreeMap::new();
    for record in records {
        let time = record.timestamp.as_microsecond();
        let block = integer(record.seq) / NUMBERS;
        let (first, last) = blocks.entry(block).or_insert((time, time));
        *first = time.min(*first);
        *last = time.max(*last);
    }
    let mut insert = to.prepare_cached(
        "INSERT INTO block (id, first, last) VALUES (?1, ?2, ?3) \
         ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last)",
    )?;
    for (block, (first, last)) in blocks {
        insert.execute([block, first, last])?;
    }
    Ok(())
}

/// Deletes the blocks before the block of the first request.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn drop_gone(file: &Connection) -> rusqlite::Result<()> {
    let mut delete = file.prepare_cached(
        "DELETE FROM block WHERE id < coalesce((SELECT min(seq) FROM request) / ?1, ?2)",
    )?;
    delete.execute([NUMBERS, i64::MAX])?;
    Ok(())
}

/// Returns the smallest and the largest number of the requests from `since` on and before `until`.
/// If there are none, the first number is greater than the second.
///
/// # Errors
/// The file cannot be read, or not in time.
pub(super) fn range(
    file: &Connection,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> rusqlite::Result<(i64, i64)> {
    if since.is_none() && until.is_none() {
        return Ok((0, i64::MAX));
    }
    let since = since.map_or(i64::MIN, Timestamp::as_microsecond);
    let until = until.map_or(i64::MAX, Timestamp::as_microsecond);
    let mut blocks =
        file.prepare_cached("SELECT min(id), max(id) FROM block WHERE last >= ?1 AND first < ?2")?;
    let (first, last): (Option<i64>, Option<i64>) =
        blocks.query_row([since, until], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (lowest, highest) = match (first, last) {
        (Some(first), Some(last)) => (first * NUMBERS, last * NUMBERS + NUMBERS - 1),
        _ => return Ok((1, 0)),
    };
    let edge = |order: &str| -> rusqlite::Result<Option<i64>> {
        let query = format!(
            "SELECT seq FROM request WHERE seq BETWEEN ?1 AND ?2 AND time >= ?3 AND time < ?4 \
             ORDER BY seq {order} LIMIT 1"
        );
        let mut statement = file.prepare_cached(&query)?;
        let parameters = params![lowest, highest, since, until];
        statement.query_row(parameters, |row| row.get(0)).optional()
    };
    Ok((edge("ASC")?.unwrap_or(1), edge("DESC")?.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::file;
    use crate::reader::entry::tests::record as record_of;

    fn of(seq: u64, seconds: i64) -> Record {
        Record {
            seq,
            timestamp: at(seconds),
            ..record_of(b"GET / HTTP/1.1\r\n\r\n")
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// Makes a file with these requests. Columns that do not matter here are made up.
    fn file_with(records: &[Record]) -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let file = file::open(folder.path()).unwrap();
        file.pragma_update(None, "foreign_keys", false).unwrap();
        for record in records {
            let micros = record.timestamp.as_microsecond();
            file.execute(
                "INSERT INTO request VALUES (?1, ?2, 1, 1, 1, 1, 1, 1, 0, 0, NULL)",
                [integer(record.seq), micros],
            )
            .unwrap();
        }
        add(&file, records.iter()).unwrap();
        (folder, file)
    }

    #[test]
    fn times_lead_to_the_numbers_between_them_however_the_clock_went() {
        // The clock was set back by a thousand seconds at number 700, and far ahead for one.
        let mut records: Vec<Record> = (1..=2000)
            .map(|seq| of(seq, seq as i64 - if seq < 700 { 0 } else { 1000 }))
            .collect();
        records[1499].timestamp = at(1_000_000);
        let (_folder, file) = file_with(&records);
        let spans = [
            (Some(0), Some(1)),
            (Some(1), Some(2)),
            (Some(250), Some(260)),
            (Some(650), None),
            (None, Some(-100)),
            (Some(699), Some(701)),
            (Some(5000), None),
            (Some(2_000_000), None),
            (Some(10), Some(10)),
        ];
        for (since, until) in spans {
            let inside = |record: &&Record| {
                since.is_none_or(|since| record.timestamp >= at(since))
                    && until.is_none_or(|until| record.timestamp < at(until))
            };
            let within: Vec<i64> = records
                .iter()
                .filter(inside)
                .map(|record| integer(record.seq))
                .collect();
            let expected = match (within.first(), within.last()) {
                (Some(&first), Some(&last)) => (first, last),
                _ => (1, 0),
            };
            let found = range(&file, since.map(at), until.map(at)).unwrap();
            assert_eq!(found, expected, "{since:?} {until:?}");
        }
    }

    #[test]
    fn blocks_go_with_their_requests() {
        let records: Vec<Record> = (1..=1000).map(|seq| of(seq, seq as i64)).collect();
        let (_folder, file) = file_with(&records);
        let ids = || -> Vec<i64> {
            let mut statement = file.prepare("SELECT id FROM block ORDER BY id").unwrap();
            let ids = statement.query_map([], |row| row.get(0)).unwrap();
            ids.map(Result::unwrap).collect()
        };
        assert_eq!(ids(), [0, 1, 2, 3]);
        file.execute("DELETE FROM request WHERE seq < 512", [])
            .unwrap();
        drop_gone(&file).unwrap();
        assert_eq!(ids(), [2, 3]);
        file.execute("DELETE FROM request", []).unwrap();
        drop_gone(&file).unwrap();
        assert_eq!(ids(), [0; 0]);
    }
}
