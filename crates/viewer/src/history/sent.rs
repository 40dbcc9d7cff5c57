//! Notes which number each request of a sensor had at that sensor.
//!
//! In: records with their sensor. Out: rows by which a request is written only once, and counts for
//! each sensor.

use forever200_ring::{Record, Sent};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::history::row::integer;

/// Most requests of one sensor that may be in flight to this machine at a time. So a request
/// overtakes at most the `WINDOW` - 1 requests before it. The program that writes them into the
/// ring keeps to this limit, and `Ledger::stream_position` relies on it.
pub const WINDOW: usize = 64;

/// How many of the newest requests of a sensor stay known when a person deletes them, so that they
/// are not written again. After a restart, a hub may read again the [`WINDOW`] + 1 messages that it
/// stored last, and up to [`WINDOW`] - 1 messages that follow the first of these in the stream but
/// were stored earlier. Together these are two windows. The third is a reserve.
const MOST_NOTED: i64 = 3 * WINDOW as i64;
/// Deletes the notes of a sensor except the newest.
const DROP_NOTED: &str = "DELETE FROM forgotten WHERE sensor = ?1 AND request <= \
    (SELECT request FROM forgotten WHERE sensor = ?1 ORDER BY request DESC LIMIT 1 OFFSET ?2)";

/// Returns the number that a request of a sensor has here; `None` if the request is not here.
///
/// # Errors
/// The file cannot be read.
pub(super) fn number(file: &Connection, sent: &Sent) -> rusqlite::Result<Option<u64>> {
    let mut find = file.prepare_cached(
        "SELECT request FROM sent \
         WHERE sensor = (SELECT id FROM sensor WHERE name = ?1) AND era = ?2 AND number = ?3",
    )?;
    let id = params![sent.name, integer(sent.era), integer(sent.seq)];
    let found = find.query_row(id, |row| row.get::<_, i64>(0)).optional()?;
    Ok(found.map(i64::unsigned_abs))
}

/// Tells whether a request of a sensor is noted as deleted: it was here when a person last deleted
/// something, or it could not be written.
///
/// # Errors
/// The file cannot be read.
pub(super) fn is_forgotten(file: &Connection, sent: &Sent) -> rusqlite::Result<bool> {
    let mut find = file
        .prepare_cached("SELECT 1 FROM forgotten WHERE sensor = ?1 AND era = ?2 AND number = ?3")?;
    find.exists(params![sent.name, integer(sent.era), integer(sent.seq)])
}

/// Notes the newest requests of each sensor, so that they stay known when a person deletes them.
/// Older notes are deleted.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn note_newest(file: &Connection) -> rusqlite::Result<()> {
    let names = "SELECT name FROM sensor UNION SELECT sensor FROM forgotten";
    let mut names = file.prepare(names)?;
    let names: Vec<String> = names
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut note = file.prepare(
        "INSERT OR REPLACE INTO forgotten SELECT ?1, era, number, stream, request FROM sent \
         WHERE sensor = (SELECT id FROM sensor WHERE name = ?1) ORDER BY request DESC LIMIT ?2",
    )?;
    let mut drop = file.prepare(DROP_NOTED)?;
    for name in names {
        note.execute(params![name, MOST_NOTED])?;
        drop.execute(params![name, MOST_NOTED])?;
    }
    Ok(())
}

/// Writes which number a request had at its sensor, and counts the request for the sensor. Returns
/// the id of the sensor.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn write(to: &Connection, record: &Record, sent: &Sent) -> rusqlite::Result<i64> {
    let mut count = to.prepare_cached(
        "INSERT INTO sensor (name, version, requests, missing, heard, first, last, newest) \
         VALUES (?1, ?2, 1, ?3, ?4, ?5, ?5, ?6) \
         ON CONFLICT DO UPDATE SET version = excluded.version, requests = requests + 1, \
         missing = missing + min(excluded.missing, ?7 - max(missing, 0)), heard = excluded.heard, \
         first = min(first, excluded.first), last = max(last, excluded.last), \
         newest = max(newest, excluded.newest) RETURNING id",
    )?;
    let counted = params![
        sent.name,
        sent.version,
        integer(sent.missing),
        Timestamp::now().as_microsecond(),
        record.timestamp.as_microsecond(),
        integer(sent.stream),
        // A larger sum would become a floating point number, which the table refuses.
        i64::MAX,
    ];
    let sensor: i64 = count.query_row(counted, |row| row.get(0))?;
    let mut insert = to.prepare_cached(
        "INSERT OR REPLACE INTO sent (sensor, era, number, stream, request) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![
        sensor,
        integer(sent.era),
        integer(sent.seq),
        integer(sent.stream),
        integer(record.seq),
    ])?;
    Ok(sensor)
}

/// Notes a request that cannot be written, as if a person had deleted it. Otherwise its sensor
/// would send it again and again.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn note_left_out(to: &Connection, seq: u64, sent: &Sent) -> rusqlite::Result<()> {
    to.prepare_cached(
        "INSERT OR REPLACE INTO forgotten (sensor, era, number, stream, request) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        sent.name,
        integer(sent.era),
        integer(sent.seq),
        integer(sent.stream),
        integer(seq),
    ])?;
    to.prepare_cached(DROP_NOTED)?
        .execute(params![sent.name, MOST_NOTED])?;
    Ok(())
}

/// Notes that a sensor has seen this source.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn saw_source(to: &Connection, sensor: i64, source: i64) -> rusqlite::Result<()> {
    to.prepare_cached("INSERT OR IGNORE INTO source_sensor (source, sensor) VALUES (?1, ?2)")?
        .execute([source, sensor])?;
    Ok(())
}

/// Notes that a sensor has seen this kind.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn saw_kind(to: &Connection, sensor: i64, kind: i64) -> rusqlite::Result<()> {
    to.prepare_cached("INSERT OR IGNORE INTO kind_sensor (kind, sensor) VALUES (?1, ?2)")?
        .execute([kind, sensor])?;
    Ok(())
}
