//! The thread that writes the history: nobody else waits for the disk.
//!
//! In: requests and gaps, through a bounded queue. Out: rows, in transactions. What cannot be written is
//! tried again; when the queue is full meanwhile, the reader keeps what it has as long as the ring does.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use forever200_ring::Record;
use rusqlite::{Connection, Transaction, params};

use crate::history::collection;
use crate::history::found::Found;
use crate::history::keeper::Gap;
use crate::history::retention;
use crate::history::row::integer;
use crate::history::rows::Rows;
use crate::history::state::State;

/// Records that wait to be written, at most: two rings, 13 MiB of the longest.
const MOST_WAITING: usize = 202;
/// Records of one transaction, at most.
const MOST_AT_ONCE: usize = 101;
/// How long the first record of a transaction waits for others: a transaction costs as much as a dozen records.
const GATHER_TIME: Duration = Duration::from_millis(100);
/// Pause after a transaction that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Writing gives way to all else.
const NICENESS: i32 = 10;

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Item {
    /// A request, as it came, with what was found out about it.
    Request(Box<(Record, Found)>),
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
            TrySendError::Full(item) | TrySendError::Disconnected(item) => item,
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
        rows: Rows::default(),
        version: 0,
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
    rows: Rows,
    /// Another one once somebody else has changed the file.
    version: i64,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Item>) {
        // Not being nice is no failure.
        let _ = rustix::process::nice(NICENESS);
        while let Ok(first) = waiting.recv() {
            let items = gather(first, waiting);
            while let Err(error) = self.write(&items) {
                self.state.failed(&error);
                self.rows.forget();
                thread::sleep(RETRY_DELAY);
            }
            self.state.works();
        }
    }

    /// Writes all of it, or nothing; then makes room where there is too much.
    fn write(&mut self, items: &[Item]) -> rusqlite::Result<()> {
        self.forget_what_others_changed()?;
        let transaction = self.file.transaction()?;
        let mut written = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::Request(request) => {
                    let (record, found) = request.as_ref();
                    let rows = self.rows.write(&transaction, record, found)?;
                    written.extend(rows.map(|rows| (record, found, rows)));
                }
                Item::Gap(gap) => write_gap(&transaction, gap)?,
                Item::Number(name, value) => write_number(&transaction, name, *value)?,
            }
        }
        collection::add(&transaction, &written, self.most_bytes)?;
        transaction.commit()?;
        if retention::make_room(&self.file, self.most_bytes)? {
            self.rows.forget();
        }
        Ok(())
    }

    /// A person may have deleted rows: https://www.sqlite.org/pragma.html#pragma_data_version
    fn forget_what_others_changed(&mut self) -> rusqlite::Result<()> {
        let read = |row: &rusqlite::Row<'_>| row.get(0);
        let version = self
            .file
            .prepare_cached("PRAGMA data_version")?
            .query_row([], read)?;
        if version != self.version {
            self.version = version;
            self.rows.forget();
        }
        Ok(())
    }
}

/// Waits a moment for more of it.
fn gather(first: Item, waiting: &Receiver<Item>) -> Vec<Item> {
    let deadline = Instant::now() + GATHER_TIME;
    let mut items = vec![first];
    while items.len() < MOST_AT_ONCE {
        let left = deadline.saturating_duration_since(Instant::now());
        match waiting.recv_timeout(left) {
            Ok(item) => items.push(item),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    items
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
