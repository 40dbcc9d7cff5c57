//! A record as a row of the history, and back.

use std::net::IpAddr;

use forever200_ring::{Ended, Record, Via};
use jiff::Timestamp;
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Error, Row};

/// Requests with all that they name; [`record`] reads a row of it.
pub(super) const REQUESTS: &str = "SELECT seq, time, source.address, source_port, dest, dest_port, via, \
     request.bytes, extra, truncated, ended, continues, responder, payload.bytes, payload.tls, \
     (SELECT json_object('name', name, 'era', era, 'seq', number, 'stream', stream, 'version', version) \
     FROM sent JOIN sensor ON sensor.id = sensor WHERE sent.request = request.seq) FROM request \
     JOIN payload ON payload.id = payload JOIN source ON source.id = source JOIN way ON way.id = way";
/// The same of specimens.
pub(super) const SPECIMENS: &str = "SELECT seq, time, kind.source, source_port, dest, dest_port, via, \
     kind.bytes, extra, truncated, ended, continues, responder, payload.bytes, payload.tls, \
     (SELECT json_object('name', name, 'era', era, 'seq', number, 'stream', stream, 'version', version) \
     FROM sent JOIN sensor ON sensor.id = sensor WHERE sent.request = kind.seq) FROM kind \
     JOIN payload ON payload.id = payload JOIN way ON way.id = way";

/// Reads a row of [`REQUESTS`] or [`SPECIMENS`].
///
/// # Errors
/// A column does not hold what a record has.
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let via: String = row.get(6)?;
    let ended: String = row.get(10)?;
    let raw: Vec<u8> = row.get(13)?;
    let tls: Option<String> = row.get(14)?;
    let sensor: Option<String> = row.get(15)?;
    Ok(Record {
        seq: number(row, 0)?,
        timestamp: time(row.get(1)?).ok_or_else(|| foreign(1))?,
        src_ip: address(row, 2)?,
        src_port: row.get(3)?,
        dest_ip: address(row, 4)?,
        dest_port: row.get(5)?,
        via: VIAS
            .iter()
            .find(|(name, _)| *name == via)
            .ok_or_else(|| foreign(6))?
            .1,
        bytes: number(row, 7)?,
        extra: number(row, 8)?,
        truncated: row.get(9)?,
        ended: ENDS
            .iter()
            .find(|(name, _)| *name == ended)
            .ok_or_else(|| foreign(10))?
            .1,
        continues: row.get::<_, Option<i64>>(11)?.map(i64::unsigned_abs),
        tls: tls.and_then(|json| serde_json::from_str(&json).ok()),
        sensor: sensor.and_then(|json| serde_json::from_str(&json).ok()),
        responder: row.get(12)?,
        raw: raw.into(),
    })
}

/// How the addresses were learned, by the name in the line of JSON.
const VIAS: [(&str, Via); 5] = [
    ("proxy_v2", Via::ProxyV2),
    ("proxy_v1", Via::ProxyV1),
    ("peer", Via::Peer),
    ("http", Via::Http),
    ("tls", Via::Tls),
];

/// Why reading ended, by the name in the line of JSON.
const ENDS: [(&str, Ended); 5] = [
    ("complete", Ended::Complete),
    ("quiet", Ended::Quiet),
    ("eof", Ended::Eof),
    ("limit", Ended::Limit),
    ("deadline", Ended::Deadline),
];

/// Returns the name of how the addresses were learned.
pub(super) fn via_name(via: Via) -> &'static str {
    let found = VIAS.iter().find(|(_, known)| *known == via);
    found.map_or("peer", |(name, _)| name)
}

/// Returns the name of why reading ended.
pub(super) fn ended_name(ended: Ended) -> &'static str {
    let found = ENDS.iter().find(|(_, known)| *known == ended);
    found.map_or("complete", |(name, _)| name)
}

/// Returns a time of the file; `None` where no calendar reaches.
pub(super) fn time(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}

/// Returns a number as SQLite has numbers; ours are all far below its greatest.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a number that is never negative.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}

fn address(row: &Row<'_>, column: usize) -> rusqlite::Result<IpAddr> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| foreign(column))
}

fn foreign(column: usize) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, Box::new(FromSqlError::InvalidType))
}
