//! Turns a record into values of the history's columns, and a row into a record.

use std::net::IpAddr;

use forever200_ring::{Ended, Record, Via};
use jiff::Timestamp;
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Error, Row, RowIndex};
use serde::de::value::{Error as NameError, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};

/// Selects requests with the rows that they reference. [`record`] reads a row of the result, each
/// column by its name.
pub(super) const REQUESTS: &str = "SELECT seq, time, source.address AS src_ip, source_port, \
     dest, dest_port, via, request.bytes AS length, extra, truncated, ended, continues, responder, \
     payload.bytes AS raw, payload.tls AS tls, \
     (SELECT json_object('name', name, 'era', era, 'seq', number, 'stream', stream, 'version', version) \
     FROM sent JOIN sensor ON sensor.id = sensor WHERE sent.request = request.seq) AS sensor FROM request \
     JOIN payload ON payload.id = payload JOIN source ON source.id = source JOIN way ON way.id = way";
/// Selects specimens, with the same columns as [`REQUESTS`].
pub(super) const SPECIMENS: &str = "SELECT seq, time, kind.source AS src_ip, source_port, \
     dest, dest_port, via, kind.bytes AS length, extra, truncated, ended, continues, responder, \
     payload.bytes AS raw, payload.tls AS tls, \
     (SELECT json_object('name', name, 'era', era, 'seq', number, 'stream', stream, 'version', version) \
     FROM sent JOIN sensor ON sensor.id = sensor WHERE sent.request = kind.seq) AS sensor FROM kind \
     JOIN payload ON payload.id = payload JOIN way ON way.id = way";

/// Reads a row of [`REQUESTS`] or [`SPECIMENS`].
///
/// Columns are looked up by name, which takes 2.5 µs for all columns of a row. This is little:
/// SQLite takes another 2.5 µs to find the row, and the viewer takes far more to describe it.
///
/// # Errors
/// A column has a value that no record can have.
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let timestamp = time(row.get("time")?);
    let continues: Option<i64> = row.get("continues")?;
    let tls: Option<String> = row.get("tls")?;
    let sensor: Option<String> = row.get("sensor")?;
    let raw: Vec<u8> = row.get("raw")?;
    Ok(Record {
        seq: number(row, "seq")?,
        timestamp: timestamp.ok_or_else(|| foreign(row, "time"))?,
        src_ip: address(row, "src_ip")?,
        src_port: row.get("source_port")?,
        dest_ip: address(row, "dest")?,
        dest_port: row.get("dest_port")?,
        via: named(row, "via")?,
        bytes: number(row, "length")?,
        extra: number(row, "extra")?,
        truncated: row.get("truncated")?,
        ended: named(row, "ended")?,
        continues: continues.map(i64::unsigned_abs),
        tls: tls.and_then(|json| serde_json::from_str(&json).ok()),
        sensor: sensor.and_then(|json| serde_json::from_str(&json).ok()),
        responder: row.get("responder")?,
        raw: raw.into(),
    })
}

/// Returns the name of a [`Via`], as in the record's line of JSON.
pub(super) const fn via_name(via: Via) -> &'static str {
    match via {
        Via::ProxyV2 => "proxy_v2",
        Via::ProxyV1 => "proxy_v1",
        Via::Peer => "peer",
        Via::Http => "http",
        Via::Tls => "tls",
    }
}

/// Returns the name of an [`Ended`], as in the record's line of JSON.
pub(super) const fn ended_name(ended: Ended) -> &'static str {
    match ended {
        Ended::Complete => "complete",
        Ended::Quiet => "quiet",
        Ended::Eof => "eof",
        Ended::Limit => "limit",
        Ended::Deadline => "deadline",
    }
}

/// Converts a time of the file; `None` if it is outside the range of [`Timestamp`].
pub(super) fn time(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}

/// Converts a number to the signed integers of SQLite. All numbers here are far below their
/// maximum.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a number that is never negative.
pub(super) fn number(row: &Row<'_>, column: impl RowIndex) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    Ok(number.unsigned_abs())
}

fn address(row: &Row<'_>, column: &str) -> rusqlite::Result<IpAddr> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| foreign(row, column))
}

/// Reads a column whose value is a name from the record's line of JSON.
fn named<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    let name: StrDeserializer<'_, NameError> = text.as_str().into_deserializer();
    T::deserialize(name).map_err(|_| foreign(row, column))
}

fn foreign(row: &Row<'_>, column: &str) -> Error {
    match row.as_ref().column_index(column) {
        Ok(index) => {
            let error = Box::new(FromSqlError::InvalidType);
            Error::FromSqlConversionFailure(index, Type::Text, error)
        }
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_line_of_json() {
        for via in [Via::ProxyV2, Via::ProxyV1, Via::Peer, Via::Http, Via::Tls] {
            assert_eq!(serde_json::to_value(via).unwrap(), via_name(via));
        }
        for ended in [
            Ended::Complete,
            Ended::Quiet,
            Ended::Eof,
            Ended::Limit,
            Ended::Deadline,
        ] {
            assert_eq!(serde_json::to_value(ended).unwrap(), ended_name(ended));
        }
    }
}
