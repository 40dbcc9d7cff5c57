//! The history as another program reads it beside the viewer that writes it: at a sensor to send it
//! on, at a hub to know what has arrived.
//!
//! In: the folder of the history. Out: records in the order of their numbers, and the names of
//! kinds; whether one of another machine is there, and how many sensors saw a kind. Writes nothing,
//! and makes the writer wait for nothing (<https://www.sqlite.org/wal.html>).

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use forever200_ring::{Record, Sent};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::history::row::{self, REQUESTS, integer};
use crate::history::wal::{FileId, file_id};
use crate::history::writer::data_version;
use crate::history::{file, questions, sensors, sent};

/// Longest wait for somebody who has the file locked.
const LOCK_TIME: Duration = Duration::from_secs(1);
/// Requests that are looked at for those of a machine's own, at most: some tenths of a second's work.
const MOST_LOOKED_AT: u64 = 100_000;
/// SQLite's cache of pages of the file, in KiB.
const CACHE_KIB: i32 = 512;

/// The history of a sensor, to be sent.
#[derive(Debug)]
pub struct Outbox(OpenedFile);

/// The history of a hub, as a list of what has arrived: of the file that is there now, which may be
/// another than before.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    opened: Option<OpenedFile>,
}

/// A state of a [`Ledger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Which file it is: its device, and its inode there.
    pub file: (u64, u64),
    changes: i64,
}

/// A file, and which one it was when it was opened.
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
    /// There is none yet, or it cannot be read.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        OpenedFile::open(folder).map(Self)
    }

    /// Returns when the history began, in microseconds since 1970, by which one is told from the
    /// next; `None` before that is written.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn era(&self) -> rusqlite::Result<Option<u64>> {
        let since = questions::number(&self.0.connection, "since")?;
        Ok(since.map(i64::unsigned_abs))
    }

    /// Returns the newest number that was drawn; 0 when none was.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn newest(&self) -> rusqlite::Result<u64> {
        questions::newest(&self.0.connection).map(i64::unsigned_abs)
    }

    /// Returns another number whenever the viewer has written.
    ///
    /// # Errors
    /// The file cannot be read, or another one is in its place: a broken one is set aside, and a
    /// person may remove it.
    pub fn version(&self) -> anyhow::Result<i64> {
        self.0.check()?;
        Ok(data_version(&self.0.connection)?)
    }

    /// Returns the records behind number `seq`, the oldest first, at most `most` of them.
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

    /// Returns the number behind which the last `count` requests up to number `last` stand that came
    /// to this machine itself: that of the one before them, so that what is missing between shows.
    /// Where none is there, it is `last`.
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
                // There are not so many, or there are others of other machines between.
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
    /// Makes a ledger of the history in `folder`, which may come later.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            opened: None,
        }
    }

    /// Returns another version whenever the viewer has written, or begun another file; `None` where
    /// there is none.
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

    /// Tells whether this request of a sensor has arrived; also where a person has deleted it since.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn has(&mut self, sent: &Sent) -> anyhow::Result<bool> {
        match self.current()? {
            Some(OpenedFile { connection, .. }) => {
                Ok(sent::number(connection, sent)?.is_some()
                    || sent::is_forgotten(connection, sent)?)
            }
            None => Ok(false),
        }
    }

    /// Returns the number here of a request of a sensor; `None` where it has not arrived.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn number_of(&mut self, sent: &Sent) -> anyhow::Result<Option<u64>> {
        match self.current()? {
            Some(file) => Ok(sent::number(&file.connection, sent)?),
            None => Ok(None),
        }
    }

    /// Returns the number here of the newest request that a sensor sent; 0 where there is none.
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

    /// Returns how many sensors there are; 0 where there is no history.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn sensors(&mut self) -> anyhow::Result<u64> {
        match self.current()? {
            Some(file) => Ok(sensors::count(&file.connection)?),
            None => Ok(0),
        }
    }

    /// Returns how many sensors saw a kind; `None` where it never came.
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

    /// Returns the file that is there now.
    fn current(&mut self) -> anyhow::Result<Option<&OpenedFile>> {
        let opened = self.opened.take();
        self.opened = match opened.filter(|file| file.check().is_ok()) {
            Some(file) => Some(file),
            None if self.folder.join(file::NAME).exists() => Some(OpenedFile::open(&self.folder)?),
            None => None,
        };
        Ok(self.opened.as_ref())
    }

    /// Returns where to begin reading the messages of a sensor, so that none is missed that was on
    /// its way here: at the first in the stream of those that came last. Behind its newest message
    /// when none is here any more; `None` when nothing ever came.
    ///
    /// What came last is told by the numbers here. The clock of a sensor may be set back between two
    /// of its histories, and a stream that is made anew counts from 1. What a person deleted counts
    /// as if it were here, but for what would have left the history by itself since.
    ///
    /// Only what came behind request `behind` of this history counts: where that is not 0, what is
    /// before it came from another stream.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn stream_position(&mut self, sensor: &str, behind: u64) -> anyhow::Result<Option<u64>> {
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
        // One more than can have overtaken: what came before it has arrived.
        let last = integer(sent::WINDOW as u64 + 1);
        let found: Option<i64> =
            statement.query_row(params![sensor, last, integer(behind)], |row| row.get(0))?;
        Ok(found.map(i64::unsigned_abs))
    }
}

impl OpenedFile {
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(file::NAME);
        // Before it is opened: should another one come between, the first look notices.
        let id = file_id(&path);
        let connection =
            connect(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self {
            connection,
            path,
            id,
        })
    }

    /// Fails where another one is there now.
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
