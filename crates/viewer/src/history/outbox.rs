//! Lets another program read the history while the viewer writes it. At a sensor, that program
//! sends the requests on. At a hub, it finds out which requests have arrived.
//!
//! In: the folder of the history. Out: records in the order of their numbers, and the names of
//! kinds; whether a request of a sensor is there, and how many sensors saw a kind. Writes nothing,
//! and never makes the writer wait (<https://www.sqlite.org/wal.html>).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use forever200_ring::{Record, Sent};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::history::row::{self, REQUESTS, integer};
use crate::history::wal::{FileId, file_id};
use crate::history::writer::data_version;
use crate::history::{file, questions, sensors, sent};

/// Longest wait for another process that has the file locked.
const LOCK_TIME: Duration = Duration::from_secs(1);
/// Most requests that are read to find the ones that came to this machine itself. Reading them
/// takes some tenths of a second.
const MOST_LOOKED_AT: u64 = 100_000;
/// SQLite's cache of pages of the file, in KiB.
const CACHE_KIB: i32 = 512;

/// The history of a sensor, from which requests are sent.
#[derive(Debug)]
pub struct Outbox(OpenedFile);

/// The history of a hub, as a list of the requests that have arrived. It always reads the file that
/// is there now, even if that has replaced the file of the last call.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    opened: Option<OpenedFile>,
}

/// A version of the file of a [`Ledger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The device and the inode of the file.
    pub file: (u64, u64),
    changes: i64,
}

/// An open file, and the id that it had when it was opened.
#[derive(Debug)]
struct OpenedFile {
    connection: Connection,
    path: PathBuf,
    id: Option<FileId>,
}

impl Outbox {
    /// Opens the history in `folder`.
    ///
    /// # Errors
    /// There is no history yet, or it cannot be read.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        OpenedFile::open(folder).map(Self)
    }

    /// Returns when the history began, in microseconds since 1970; `None` before that is written.
    /// Two histories of a sensor have different eras.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn era(&self) -> rusqlite::Result<Option<u64>> {
        let since = questions::number(&self.0.connection, "since")?;
        Ok(since.map(i64::unsigned_abs))
    }

    /// Returns the newest number that was given to a request; 0 if no number was.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn newest(&self) -> rusqlite::Result<u64> {
        questions::newest(&self.0.connection).map(i64::unsigned_abs)
    }

    /// Returns a number that changes whenever the viewer has written.
    ///
    /// # Errors
    /// The file cannot be read, or another file is in its place: a broken one is set aside, and a
    /// person may remove it.
    pub fn version(&self) -> anyhow::Result<i64> {
        self.0.check()?;
        Ok(data_version(&self.0.connection)?)
    }

    /// Returns the records after number `seq`, the oldest first, at most `most` of them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn after(&self, seq: u64, most: usize) -> rusqlite::Result<Vec<Record>> {
        let query = format!("{REQUESTS} WHERE seq > ?1 ORDER BY seq LIMIT ?2");
        let mut statement = self.0.connection.prepare_cached(&query)?;
        let most = integer(most as u64);
        let rows = statement.query_map([integer(seq), most], row::record)?;
        rows.collect()
    }

    /// Skips the newest `count` requests of this machine itself up to number `last`, and returns
    /// the number of the one before them. The caller goes on with the next number. If there are
    /// fewer requests of this machine, returns the number before the oldest request that was read;
    /// `last` if there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn before(&self, last: u64, count: usize) -> rusqlite::Result<u64> {
        let mut statement = self.0.connection.prepare_cached(
            "WITH seen AS (SELECT seq FROM request WHERE seq <= ?1 ORDER BY seq DESC LIMIT ?3), \
             own AS (SELECT seq FROM seen \
             WHERE NOT EXISTS (SELECT 1 FROM sent WHERE sent.request = seq) \
             ORDER BY seq DESC LIMIT ?2) \
             SELECT (SELECT count(*) FROM own), (SELECT min(seq) FROM own), \
             (SELECT min(seq) FROM seen)",
        )?;
        let most = integer(count as u64 + 1);
        let values = params![integer(last), most, integer(MOST_LOOKED_AT)];
        statement.query_row(values, |row| {
            let (found, own): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
            let oldest: Option<i64> = row.get(2)?;
            let before = match own {
                Some(own) if found == most => own,
                // There are fewer own requests, or too many requests of sensors are between them.
                _ => oldest.map_or(integer(last), |oldest| oldest - 1),
            };
            Ok(before.unsigned_abs())
        })
    }

    /// Returns the names of the kinds that came last, at most `most` of them.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn kinds(&self, most: usize) -> rusqlite::Result<Vec<String>> {
        let query = "SELECT name FROM kind ORDER BY last DESC LIMIT ?1";
        let mut statement = self.0.connection.prepare_cached(query)?;
        let names = statement.query_map([integer(most as u64)], |row| row.get(0))?;
        names.collect()
    }
}

impl Ledger {
    /// Makes a ledger of the history in `folder`, which need not exist yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            opened: None,
        }
    }

    /// Returns a version that changes whenever the viewer has written, or has begun another file;
    /// `None` if there is no file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn version(&mut self) -> anyhow::Result<Option<Version>> {
        let Some(file) = self.current()? else {
            return Ok(None);
        };
        let changes = data_version(&file.connection)?;
        Ok(file.id.map(|id| Version {
            file: (id.device, id.inode),
            changes,
        }))
    }

    /// Tells whether this request of a sensor has arrived, even if a person has deleted it since.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn has(&mut self, sent: &Sent) -> anyhow::Result<bool> {
        match self.current()? {
            Some(file) => Ok(has_arrived(&file.connection, sent)?),
            None => Ok(false),
        }
    }

    /// Tells for each of these records whether [the history has](Self::has) it; `false` for one
    /// that no sensor sent. All are looked for in one read transaction.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn has_each<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record>,
    ) -> anyhow::Result<Vec<bool>> {
        let Some(file) = self.current()? else {
            return Ok(records.map(|_| false).collect());
        };
        let reading = file.connection.unchecked_transaction()?;
        records
            .map(|record| match &record.sensor {
                Some(sent) => Ok(has_arrived(&reading, sent)?),
                None => Ok(false),
            })
            .collect()
    }

    /// Returns the number that a request of a sensor has here; `None` if it has not arrived.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn number_of(&mut self, sent: &Sent) -> anyhow::Result<Option<u64>> {
        match self.current()? {
            Some(file) => Ok(sent::number(&file.connection, sent)?),
            None => Ok(None),
        }
    }

    /// Returns the number here of the newest request of any sensor; 0 if there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn newest_sent(&mut self) -> anyhow::Result<u64> {
        let Some(file) = self.current()? else {
            return Ok(0);
        };
        let newest = "SELECT coalesce(max(request), 0) FROM sent";
        let mut statement = file.connection.prepare_cached(newest)?;
        let newest: i64 = statement.query_row([], |row| row.get(0))?;
        Ok(newest.unsigned_abs())
    }

    /// Returns how many sensors there are; 0 if there is no history.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn sensors(&mut self) -> anyhow::Result<u64> {
        match self.current()? {
            Some(file) => Ok(sensors::count(&file.connection)?),
            None => Ok(0),
        }
    }

    /// Returns how many sensors saw a kind; `None` if the history does not have the kind.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn seen_by(&mut self, kind: &str) -> anyhow::Result<Option<u64>> {
        let Some(file) = self.current()? else {
            return Ok(None);
        };
        let mut statement = file.connection.prepare_cached(
            "SELECT (SELECT count(*) FROM kind_sensor WHERE kind = kind.id) FROM kind WHERE name = ?1",
        )?;
        let sensors = statement.query_row([kind], |row| row::number(row, 0));
        Ok(sensors.optional()?)
    }

    /// Returns the history's file, and opens it first if it is new or another one than before;
    /// `None` if there is none.
    fn current(&mut self) -> anyhow::Result<Option<&OpenedFile>> {
        let opened = self.opened.take();
        self.opened = match opened.filter(|file| file.check().is_ok()) {
            Some(file) => Some(file),
            None if self.folder.join(file::NAME).exists() => Some(OpenedFile::open(&self.folder)?),
            None => None,
        };
        Ok(self.opened.as_ref())
    }

    /// Returns the number of the message at which to begin reading the stream of a sensor, so that
    /// no message that was in flight is missed. It is the smallest number in the stream among the
    /// newest `WINDOW` + 1 messages of this sensor that are here. If none of them is here any more,
    /// it is the number after the newest message. `None` when nothing ever came.
    ///
    /// The newest messages are those whose requests have the highest numbers here. Times do not
    /// tell which are the newest: the clock of a sensor may be set back between two of its
    /// histories. Numbers of messages do not tell either: a stream that is made anew counts from 1.
    /// A request that a person deleted counts as if it were here, unless it would have left the
    /// history by itself since.
    ///
    /// Only requests after number `after` of this history count. If `after` is not 0, the requests
    /// up to it came from another stream.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn stream_position(&mut self, sensor: &str, after: u64) -> anyhow::Result<Option<u64>> {
        let Some(file) = self.current()? else {
            return Ok(None);
        };
        let mut statement = file.connection.prepare_cached(
            "WITH own AS (SELECT id, newest FROM sensor WHERE name = ?1), \
             here AS (SELECT stream, request FROM sent WHERE sensor = (SELECT id FROM own) \
             AND request > ?3 ORDER BY request DESC LIMIT ?2), \
             known AS (SELECT stream, request FROM here UNION \
             SELECT stream, request FROM forgotten WHERE sensor = ?1 \
             AND request > ?3 AND request >= (SELECT coalesce(min(seq), 0) FROM request) \
             ORDER BY request DESC LIMIT ?2) \
             SELECT coalesce((SELECT min(stream) FROM known), (SELECT newest + 1 FROM own WHERE ?3 = 0), \
             (SELECT max(stream) + 1 FROM forgotten WHERE sensor = ?1 AND request > ?3))",
        )?;
        // One more than can be in flight: everything before the oldest of them has arrived.
        let last = integer(sent::WINDOW as u64 + 1);
        let found: Option<i64> =
            statement.query_row(params![sensor, last, integer(after)], |row| row.get(0))?;
        Ok(found.map(i64::unsigned_abs))
    }
}

fn has_arrived(file: &Connection, sent: &Sent) -> rusqlite::Result<bool> {
    Ok(sent::number(file, sent)?.is_some() || sent::is_forgotten(file, sent)?)
}

impl OpenedFile {
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(file::NAME);
        // Read before the file is opened. If another file takes its place meanwhile, the first
        // check notices.
        let id = file_id(&path);
        let connection =
            connect(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self {
            connection,
            path,
            id,
        })
    }

    /// Fails if another file is there now.
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            file_id(&self.path) == self.id,
            "{} is another file than before",
            self.path.display()
        );
        Ok(())
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_TIME)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}
