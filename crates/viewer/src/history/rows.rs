//! Writes the rows of one request: its payload, what was found out about it, its source and its way
//! (how it came and ended).
//!
//! In: a record with what was found out about it. Out: the row of the request, and the rows that it
//! references, which are inserted if they are missing.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use forever200_ring::{Ended, Record, Tls, Via};
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use sha2::{Digest, Sha256};

use crate::history::found::Found;
use crate::history::row::{ended_name, integer, via_name};
use crate::history::sent;

/// How many bytes of the SHA-256 identify a payload.
const HASH_BYTES: usize = 16;
/// Most ids of rows that are remembered for each table.
const MOST_KNOWN: usize = 4096;

/// Ids of rows that were referenced lately.
#[derive(Default)]
pub(super) struct KnownRows {
    found: Known<(&'static str, String)>,
    sources: Known<IpAddr>,
    ways: Known<Way>,
}

/// How a request came and ended.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Way {
    dest: IpAddr,
    dest_port: u16,
    via: Via,
    ended: Ended,
    responder: String,
}

/// The rows that a request's row references.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReferencedRows {
    pub(super) payload: i64,
    pub(super) source: i64,
    pub(super) way: i64,
    /// The sensor that sent the request; `None` if it came to this machine.
    pub(super) sensor: Option<i64>,
}

/// The texts in the row of a payload.
pub(super) struct PayloadTexts<T> {
    /// The value of the column `shape`: the name of the request's kind; `None` if the request has a
    /// label.
    pub(super) shape: Option<T>,
    /// Name or address of the host that the request asks for.
    pub(super) host: Option<T>,
    pub(super) user_agent: Option<T>,
    pub(super) ja4: Option<T>,
    /// The TLS connection that the request came through, in JSON.
    pub(super) tls: Option<T>,
}

impl KnownRows {
    /// Forgets all ids, because rows may have been deleted.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Writes the row of a request, and returns the rows that it references. Returns `None` if its
    /// number has a row already, or if its sensor has sent it before.
    ///
    /// # Errors
    /// The disk refuses, or somebody has the file locked.
    pub(super) fn write(
        &mut self,
        to: &Connection,
        record: &Record,
        found: &Found,
    ) -> rusqlite::Result<Option<ReferencedRows>> {
        let seq = integer(record.seq);
        let mut is_there = to.prepare_cached("SELECT 1 FROM request WHERE seq = ?1")?;
        if is_there.exists([seq])? {
            return Ok(None);
        }
        let sent = record.sensor.as_deref();
        if let Some(sent) = sent
            && sent::number(to, sent)?.is_some()
        {
            return Ok(None);
        }
        let rows = ReferencedRows {
            payload: row_of_payload(to, record, &record.raw, found)?,
            source: self.row_of_source(to, record, found)?,
            way: self.row_of_way(to, record)?,
            sensor: sent.map(|sent| sent::write(to, record, sent)).transpose()?,
        };
        let found = self.row_of_found(to, found)?;
        let mut insert = to.prepare_cached(
            "INSERT INTO request (seq, time, payload, found, source, source_port, way, bytes, extra, truncated, continues) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        insert.execute(params![
            seq,
            record.timestamp.as_microsecond(),
            rows.payload,
            found,
            rows.source,
            record.src_port,
            rows.way,
            integer(record.bytes),
            integer(record.extra),
            record.truncated,
            record.continues.map(integer),
        ])?;
        Ok(Some(rows))
    }

    fn row_of_found(&mut self, to: &Connection, found: &Found) -> rusqlite::Result<i64> {
        let key = (found.protocol, found.labels.clone());
        self.found.get(key, |(protocol, labels)| {
            let mut insert = to.prepare_cached(
                "INSERT INTO found (protocol, labels, categories) VALUES (?1, ?2, ?3) \
                 ON CONFLICT DO UPDATE SET categories = excluded.categories RETURNING id",
            )?;
            insert.query_row(params![protocol, labels, found.categories], |row| {
                row.get(0)
            })
        })
    }

    fn row_of_source(
        &mut self,
        to: &Connection,
        record: &Record,
        found: &Found,
    ) -> rusqlite::Result<i64> {
        self.sources.get(record.src_ip, |address| {
            let address = address.to_string();
            let mut find = to.prepare_cached(
                "SELECT id, country IS ?2 AND asn IS ?3 AND as_name IS ?4 FROM source WHERE address = ?1",
            )?;
            let values = params![address, found.country, found.asn, found.as_name];
            let held = find.query_row(values, |row| Ok((row.get(0)?, row.get(1)?)));
            match held.optional()? {
                Some((id, true)) => Ok(id),
                Some((id, false)) => {
                    to.prepare_cached(
                        "UPDATE source SET country = ?2, asn = ?3, as_name = ?4 WHERE address = ?1",
                    )?
                    .execute(values)?;
                    Ok(id)
                }
                None => insert_source(to, &address, record, found),
            }
        })
    }

    fn row_of_way(&mut self, to: &Connection, record: &Record) -> rusqlite::Result<i64> {
        let way = Way {
            dest: record.dest_ip,
            dest_port: record.dest_port,
            via: record.via,
            ended: record.ended,
            responder: record.responder.clone(),
        };
        self.ways.get(way, |way| {
            let mut insert = to.prepare_cached(
                "INSERT INTO way (dest, dest_port, via, ended, responder) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT DO UPDATE SET dest = dest RETURNING id",
            )?;
            insert.query_row(
                params![
                    way.dest.to_string(),
                    way.dest_port,
                    via_name(way.via),
                    ended_name(way.ended),
                    way.responder,
                ],
                |row| row.get(0),
            )
        })
    }
}

/// Returns the id of the payload that has these bytes of a record, and inserts it if it is missing.
/// The same bytes have a row for each TLS connection that differs.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn row_of_payload(
    to: &Connection,
    record: &Record,
    bytes: &[u8],
    found: &Found,
) -> rusqlite::Result<i64> {
    let tls = record.tls.as_deref().and_then(|tls| tls_text(tls, found));
    let has_label = found.kind.category.is_some();
    let texts = PayloadTexts {
        shape: (!has_label).then_some(found.kind.name.as_str()),
        host: found.host.as_deref(),
        user_agent: found.user_agent.as_deref(),
        ja4: found.ja4.as_deref(),
        tls: tls.as_deref(),
    };
    payload_with(to, bytes, &texts)
}

/// Returns the JSON of the TLS connection that a request came through. It has no hello, which is
/// different each time.
fn tls_text(tls: &Tls, found: &Found) -> Option<String> {
    let kept = Tls {
        hello: None,
        ja4: found.ja4.clone(),
        ..tls.clone()
    };
    serde_json::to_string(&kept).ok()
}

/// Returns the id of the payload that has these bytes. Inserts it with these texts if it is
/// missing.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn payload_with<T: ToSql + AsRef<str>>(
    to: &Connection,
    bytes: &[u8],
    texts: &PayloadTexts<T>,
) -> rusqlite::Result<i64> {
    let mut digest = Sha256::new_with_prefix(bytes);
    if let Some(tls) = &texts.tls {
        digest.update(tls.as_ref());
    }
    let digest = digest.finalize();
    let hash = digest.get(..HASH_BYTES).unwrap_or_default();
    let mut again = to.prepare_cached("SELECT id, shape IS NULL FROM payload WHERE hash = ?1")?;
    let held = again.query_row([hash], |row| Ok((row.get(0)?, row.get(1)?)));
    if let Some((id, has_no_shape)) = held.optional()? {
        // It has no shape if the same bytes had a label before.
        if has_no_shape && texts.shape.is_some() {
            to.prepare_cached("UPDATE payload SET shape = ?2 WHERE id = ?1")?
                .execute(params![id, texts.shape])?;
        }
        return Ok(id);
    }
    let mut insert = to.prepare_cached(
        "INSERT INTO payload (hash, shape, host, user_agent, ja4, bytes, tls) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    // Without RETURNING, for which SQLite would make a table for the one number, and a journal for
    // the statement.
    insert.insert(params![
        hash,
        texts.shape,
        texts.host,
        texts.user_agent,
        texts.ja4,
        bytes,
        texts.tls
    ])
}

/// Inserts a source, and returns its id.
fn insert_source(
    to: &Connection,
    address: &str,
    record: &Record,
    found: &Found,
) -> rusqlite::Result<i64> {
    let mut insert = to.prepare_cached(
        "INSERT INTO source (address, country, asn, as_name, requests, first, last) \
         VALUES (?1, ?2, ?3, ?4, 0, ?5, ?5)",
    )?;
    insert.insert(params![
        address,
        found.country,
        found.asn,
        found.as_name,
        record.timestamp.as_microsecond(),
    ])
}

/// Ids of rows, each by what its row holds.
struct Known<K>(HashMap<K, i64>);

impl<K> Default for Known<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Known<K> {
    fn get(
        &mut self,
        key: K,
        find: impl FnOnce(&K) -> rusqlite::Result<i64>,
    ) -> rusqlite::Result<i64> {
        if let Some(&row) = self.0.get(&key) {
            return Ok(row);
        }
        let row = find(&key)?;
        if self.0.len() >= MOST_KNOWN {
            self.0.clear();
        }
        self.0.insert(key, row);
        Ok(row)
    }
}
