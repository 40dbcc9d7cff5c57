//! Answers visitors' questions from the history.
//!
//! In: a question. Out: records. Each question has a time limit, and none makes the writer wait:
//! SQLite's readers see the file as it was when they began (<https://www.sqlite.org/wal.html>).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use forever200_ring::counts::MINUTE_TTL;
use forever200_ring::silent::MOST_PORTS;
use forever200_ring::{ByPort, Counts, Record, SLOTS};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::history::blocks;
use crate::history::file::says_broken;
use crate::history::row::{self, REQUESTS, SPECIMENS, integer};
use crate::history::state::State;
use crate::history::writer::{Item, QueueEnd};

/// Longest time for one question.
const QUESTION_TIME: Duration = Duration::from_secs(2);
/// Instructions of SQLite between two checks of the clock: some hundred microseconds.
const INSTRUCTIONS_BETWEEN_CHECKS: i32 = 10_000;
/// Most connections that are kept open for the next question. This is also the most questions that
/// run at a time.
const MOST_CONNECTIONS: usize = 2;
/// SQLite's cache of pages of the file for each connection, in KiB.
const CACHE_KIB: i32 = 1024;
/// How many of the next numbers are searched for the request that continues another one. That
/// request is recorded at most three seconds after the answer (`CONTINUATION_TIME`), so it is among
/// these unless there is a flood.
const CONTINUED_WITHIN: i64 = 2000;

/// Asks the file questions.
pub struct Questions {
    path: PathBuf,
    /// Connections that no question uses now, each with the number of its file. A connection to an
    /// earlier file is closed.
    idle: Mutex<Vec<(u64, Connection)>>,
    queue: QueueEnd,
    state: Arc<State>,
}

/// The values that are put back into an empty memcached.
#[derive(Debug, Default)]
pub struct Restored {
    /// The newest number.
    pub cursor: u64,
    /// The newest records, at most as many as the ring holds.
    pub records: Vec<Record>,
    /// Requests by the minute, and silent connections.
    pub counts: Counts,
    /// Silent connections by port.
    pub silent_ports: ByPort,
    /// Time of the first start.
    pub since: Option<Timestamp>,
    /// Time of the first request.
    pub first: Option<Timestamp>,
}

impl Questions {
    pub(super) fn new(path: PathBuf, queue: QueueEnd, state: Arc<State>) -> Self {
        Self {
            path,
            idle: Mutex::default(),
            queue,
            state,
        }
    }

    /// Returns the record with this number, unchanged; `None` if neither a request nor a specimen
    /// has it.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub fn record(&self, seq: u64) -> rusqlite::Result<Option<Record>> {
        self.ask(|file| {
            for requests in [REQUESTS, SPECIMENS] {
                let mut statement = file.prepare_cached(&format!("{requests} WHERE seq = ?1"))?;
                let found = statement
                    .query_row([integer(seq)], row::record)
                    .optional()?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            Ok(None)
        })
    }

    /// Returns the number of the request that came after the answer to this one, on the same
    /// connection.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub fn continued_by(&self, seq: u64) -> rusqlite::Result<Option<u64>> {
        self.ask(|file| {
            let mut statement = file.prepare_cached(
                "SELECT seq FROM request WHERE seq BETWEEN ?1 + 1 AND ?1 + ?2 AND continues = ?1",
            )?;
            let parameters = [integer(seq), CONTINUED_WITHIN];
            let number = statement.query_row(parameters, |row| row.get::<_, i64>(0));
            Ok(number.optional()?.map(i64::unsigned_abs))
        })
    }

    /// Returns when the oldest request that is kept came; `None` when there is none.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub fn oldest(&self) -> rusqlite::Result<Option<Timestamp>> {
        self.ask(|file| {
            let mut statement =
                file.prepare_cached("SELECT time FROM request ORDER BY seq LIMIT 1")?;
            let micros: Option<i64> = statement.query_row([], |row| row.get(0)).optional()?;
            Ok(micros.and_then(row::time))
        })
    }

    /// Tells whether the file has a request with a smaller number.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub fn has_before(&self, seq: u64) -> rusqlite::Result<bool> {
        self.ask(|file| {
            let mut statement =
                file.prepare_cached("SELECT 1 FROM request WHERE seq < ?1 LIMIT 1")?;
            statement.exists([integer(seq)])
        })
    }

    /// Returns the values that are put back into an empty memcached.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub fn restore(&self, now: Timestamp) -> rusqlite::Result<Restored> {
        self.ask(|file| {
            let newest = newest(file)?;
            let query = format!("{REQUESTS} WHERE seq > ?1 ORDER BY seq DESC");
            let mut statement = file.prepare_cached(&query)?;
            let records = statement
                .query_map([newest - integer(SLOTS)], row::record)?
                .collect::<rusqlite::Result<_>>()?;
            let number = |name| number(file, name);
            Ok(Restored {
                cursor: newest.unsigned_abs(),
                records,
                counts: Counts {
                    silent: number("silent")?.unwrap_or_default().unsigned_abs(),
                    minutes: minutes(file, now)?,
                },
                silent_ports: silent_ports(file)?,
                since: number("since")?.and_then(row::time),
                first: number("first")?.and_then(row::time),
            })
        })
    }

    /// Returns the number with this name; `None` if it was never written.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn number(&self, name: &str) -> rusqlite::Result<Option<u64>> {
        let found = self.ask(|file| number(file, name))?;
        Ok(found.map(i64::unsigned_abs))
    }

    /// Runs a question on a connection that is read-only and that no other question uses meanwhile.
    /// The question is aborted after two seconds.
    ///
    /// # Errors
    /// The question fails, or takes too long.
    pub(crate) fn ask<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let file_number = self.state.file_number();
        let mut file = match self.lock().pop() {
            Some((its_number, file)) if its_number == file_number => file,
            _ => self.connect()?,
        };
        let deadline = Instant::now() + QUESTION_TIME;
        file.progress_handler(
            INSTRUCTIONS_BETWEEN_CHECKS,
            Some(move || Instant::now() > deadline),
        )?;
        let answer = question(&file);
        if let Err(error) = &answer
            && says_broken(error)
        {
            // If the queue is full, the next question reports it.
            let _ = self.queue.offer(Item::Broken(file_number));
        }
        let mut idle = self.lock();
        if answer.is_ok() && idle.len() < MOST_CONNECTIONS {
            idle.push((file_number, file));
        }
        answer
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = Connection::open_with_flags(&self.path, flags)?;
        file.busy_timeout(QUESTION_TIME)?;
        file.pragma_update(None, "cache_size", -CACHE_KIB)?;
        Ok(file)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Connection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the newest number that was ever given to a request, whether or not the request was seen,
/// or is still here.
pub(super) fn newest(file: &Connection) -> rusqlite::Result<i64> {
    let query = "SELECT max((SELECT coalesce(max(seq), 0) FROM request), \
                 (SELECT coalesce(max(last_seq), 0) FROM gap), \
                 (SELECT coalesce(max(value), 0) FROM number WHERE name = 'newest'))";
    file.prepare_cached(query)?.query_row([], |row| row.get(0))
}

/// Returns the numbers that the file does not account for, and that the ring may still have. There
/// may be some, because in a flood the newest request may be written first, and the program may be
/// killed before the others are written.
///
/// Numbers that a person has deleted, and numbers before all that are in the file, count as
/// accounted for.
pub(super) fn holes(file: &Connection, newest: i64) -> rusqlite::Result<BTreeSet<u64>> {
    let query = "SELECT max(?1, \
         (SELECT coalesce(max(value), 0) FROM number WHERE name = 'newest'), \
         min((SELECT coalesce(min(seq), ?2) FROM request), \
             (SELECT coalesce(min(first_seq), ?2) FROM gap)) - 1)";
    let last_lost = newest.saturating_sub(integer(SLOTS)).max(0);
    let settled: i64 = file.query_row(query, [last_lost, newest], |row| row.get(0))?;
    let mut holes: BTreeSet<i64> = (settled.saturating_add(1)..=newest).collect();
    let mut requests = file.prepare("SELECT seq FROM request WHERE seq > ?1")?;
    let mut rows = requests.query([settled])?;
    while let Some(row) = rows.next()? {
        holes.remove(&row.get(0)?);
    }
    let mut gaps = file.prepare("SELECT first_seq, last_seq FROM gap WHERE last_seq > ?1")?;
    let mut rows = gaps.query([settled])?;
    while let Some(row) = rows.next()? {
        let missing = row.get(0)?..=row.get(1)?;
        holes.retain(|seq| !missing.contains(seq));
    }
    Ok(holes.into_iter().map(i64::unsigned_abs).collect())
}

/// Returns the number with this name; `None` if there is none.
pub(super) fn number(file: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    let mut statement = file.prepare_cached("SELECT value FROM number WHERE name = ?1")?;
    statement.query_row([name], |row| row.get(0)).optional()
}

fn silent_ports(file: &Connection) -> rusqlite::Result<ByPort> {
    let query = "SELECT CAST(substr(name, 8) AS INTEGER), value FROM number WHERE name GLOB 'silent:*' \
                 ORDER BY value DESC LIMIT ?1";
    let mut statement = file.prepare_cached(query)?;
    let mut rows = statement.query([MOST_PORTS as i64])?;
    let mut ports = ByPort::new();
    while let Some(row) = rows.next()? {
        // A person may have changed the file.
        if let Ok(port) = u16::try_from(row.get::<_, i64>(0)?) {
            ports.insert(port, row::number(row, 1)?);
        }
    }
    Ok(ports)
}

fn minutes(
    file: &Connection,
    now: Timestamp,
) -> rusqlite::Result<std::collections::BTreeMap<i64, u64>> {
    let since = now - MINUTE_TTL;
    let (lowest, highest) = blocks::range(file, Some(since), None)?;
    let query = "SELECT time / 60000000, count(*) FROM request \
                 WHERE seq BETWEEN ?1 AND ?2 AND time >= ?3 GROUP BY 1";
    let mut statement = file.prepare_cached(query)?;
    let rows = statement.query_map([lowest, highest, since.as_microsecond()], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
    })?;
    rows.collect()
}
