//! The thread that writes the history: nobody else waits for the disk.
//!
//! In: records and gaps, through a bounded queue. Out: rows, in transactions. What cannot be written is tried
//! again; when the queue is full meanwhile, the reader keeps what it has as long as the ring does.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use forever200_identify::Category;
use forever200_ring::Record;
use rusqlite::{Connection, Transaction, params};
use sha2::{Digest, Sha256};

use crate::history::keeper::Gap;
use crate::history::kind::Kind;
use crate::history::retention;
use crate::history::row::{ended_name, integer, via_name};
use crate::history::state::State;

/// Records that wait to be written, at most: two rings, 13 MiB of the longest.
const MOST_WAITING: usize = 202;
/// Records of one transaction, at most.
const MOST_AT_ONCE: usize = 101;
/// How long the first record of a transaction waits for others: a transaction costs as much as a dozen records.
const GATHER_TIME: Duration = Duration::from_millis(100);
/// Pause after a transaction that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Kinds whose row is remembered; without labels there are as many as protocols.
const MOST_KINDS: usize = 4096;
/// Bytes of a SHA-256 by which payloads are told apart.
const HASH_BYTES: usize = 16;
/// Writing gives way to all else.
const NICENESS: i32 = 10;

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Item {
    /// A request, as it came.
    Request(Record, Kind),
    /// Requests that nobody saw.
    Gap(Gap),
    /// A number by its name.
    Number(&'static str, i64),
}

/// The reader's end of the queue.
pub(crate) struct Inbox(SyncSender<Item>);

impl Inbox {
    /// Puts something into the queue. Returns it where there is no room, at once.
    pub(crate) fn offer(&self, item: Item) -> Result<(), Item> {
        self.0.try_send(item).map_err(|full| match full {
            std::sync::mpsc::TrySendError::Full(item)
            | std::sync::mpsc::TrySendError::Disconnected(item) => item,
        })
    }
}

/// Starts the thread. It ends, when all is written, once the inbox is dropped.
pub(super) fn start(
    file: Connection,
    most_bytes: u64,
    state: Arc<State>,
) -> std::io::Result<Inbox> {
    let (sender, waiting) = sync_channel(MOST_WAITING);
    let writer = Writer {
        file,
        most_bytes,
        state,
        kinds: HashMap::new(),
    };
    thread::Builder::new()
        .name("history".into())
        .spawn(move || writer.run(&waiting))?;
    Ok(Inbox(sender))
}

struct Writer {
    file: Connection,
    most_bytes: u64,
    state: Arc<State>,
    /// Rows of the kinds that were written lately, by their name.
    kinds: HashMap<String, i64>,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Item>) {
        // Not being nice is no failure.
        let _ = rustix::process::nice(NICENESS);
        while let Ok(first) = waiting.recv() {
            let items = gather(first, waiting);
            while let Err(error) = self.write(&items) {
                self.state.failed(&error);
                self.kinds.clear();
                thread::sleep(RETRY_DELAY);
            }
            self.state.works();
        }
    }

    /// Writes all of it, or nothing; then makes room where there is too much.
    fn write(&mut self, items: &[Item]) -> rusqlite::Result<()> {
        let transaction = self.file.transaction()?;
        for item in items {
            match item {
                Item::Request(record, kind) => {
                    write_request(&transaction, record, kind, &mut self.kinds)?;
                }
                Item::Gap(gap) => write_gap(&transaction, gap)?,
                Item::Number(name, value) => write_number(&transaction, name, *value)?,
            }
        }
        transaction.commit()?;
        retention::make_room(&self.file, self.most_bytes)
    }
}

/// Waits a moment for more of it.
fn gather(first: Item, waiting: &Receiver<Item>) -> Vec<Item> {
    let deadline = std::time::Instant::now() + GATHER_TIME;
    let mut items = vec![first];
    while items.len() < MOST_AT_ONCE {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        match waiting.recv_timeout(left) {
            Ok(item) => items.push(item),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    items
}

fn write_request(
    to: &Transaction<'_>,
    record: &Record,
    kind: &Kind,
    kinds: &mut HashMap<String, i64>,
) -> rusqlite::Result<()> {
    let seq = integer(record.seq);
    let mut is_there = to.prepare_cached("SELECT 1 FROM request WHERE seq = ?1")?;
    if is_there.exists([seq])? {
        return Ok(());
    }
    let kind = row_of_kind(to, kind, kinds)?;
    let payload = row_of_payload(to, &record.raw)?;
    let source = row_of_source(to, &record.src_ip.to_string())?;
    let mut insert = to.prepare_cached(
        "INSERT INTO request (seq, time, payload, kind, source, source_port, dest, dest_port, via, \
         bytes, extra, truncated, ended, continues, responder) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;
    insert.execute(params![
        seq,
        record.timestamp.as_microsecond(),
        payload,
        kind,
        source,
        record.src_port,
        record.dest_ip.to_string(),
        record.dest_port,
        via_name(record.via),
        integer(record.bytes),
        integer(record.extra),
        record.truncated,
        ended_name(record.ended),
        record.continues.map(integer),
        record.responder,
    ])?;
    Ok(())
}

fn row_of_kind(
    to: &Transaction<'_>,
    kind: &Kind,
    known: &mut HashMap<String, i64>,
) -> rusqlite::Result<i64> {
    if let Some(&row) = known.get(&kind.name) {
        return Ok(row);
    }
    // A title may be put better by a later version.
    let mut insert = to.prepare_cached(
        "INSERT INTO kind (name, title, category) VALUES (?1, ?2, ?3) \
         ON CONFLICT (name) DO UPDATE SET title = excluded.title, category = excluded.category \
         RETURNING id",
    )?;
    let category = kind.category.map(Category::name);
    let row = insert.query_row(params![kind.name, kind.title, category], |row| row.get(0))?;
    if known.len() >= MOST_KINDS {
        known.clear();
    }
    known.insert(kind.name.clone(), row);
    Ok(row)
}

fn row_of_payload(to: &Transaction<'_>, bytes: &[u8]) -> rusqlite::Result<i64> {
    let digest = Sha256::digest(bytes);
    let hash = digest.get(..HASH_BYTES).unwrap_or_default();
    let mut again = to.prepare_cached(
        "UPDATE payload SET requests = requests + 1 WHERE hash = ?1 RETURNING id",
    )?;
    let mut rows = again.query([hash])?;
    if let Some(row) = rows.next()? {
        return row.get(0);
    }
    let mut insert = to.prepare_cached(
        "INSERT INTO payload (hash, bytes, requests) VALUES (?1, ?2, 1) RETURNING id",
    )?;
    insert.query_row(params![hash, bytes], |row| row.get(0))
}

fn row_of_source(to: &Transaction<'_>, address: &str) -> rusqlite::Result<i64> {
    let mut insert = to.prepare_cached(
        "INSERT INTO source (address, requests) VALUES (?1, 1) \
         ON CONFLICT (address) DO UPDATE SET requests = requests + 1 RETURNING id",
    )?;
    insert.query_row([address], |row| row.get(0))
}

fn write_gap(to: &Transaction<'_>, gap: &Gap) -> rusqlite::Result<()> {
    let mut insert = to.prepare_cached(
        "INSERT OR REPLACE INTO gap (first_seq, last_seq, requests, since, until) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    insert.execute(params![
        integer(gap.first),
        integer(gap.last),
        integer(gap.requests),
        gap.since.as_microsecond(),
        gap.until.as_microsecond(),
    ])?;
    Ok(())
}

fn write_number(to: &Transaction<'_>, name: &str, value: i64) -> rusqlite::Result<()> {
    let mut insert =
        to.prepare_cached("INSERT OR REPLACE INTO number (name, value) VALUES (?1, ?2)")?;
    insert.execute(params![name, value])?;
    Ok(())
}
