//! The thread that writes the history. No other thread waits for the disk.
//!
//! In: requests and gaps, through a bounded queue. Out: rows, in transactions. A transaction that
//! fails is retried. If the queue is full meanwhile, records stay in the ring until there is room
//! in the queue, or until they have left the ring and are counted.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use forever200_ring::{Alive, ByPort, Record};
use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;
use tracing::warn;

use crate::history::collection::{SpecimenBudget, WrittenRequest};
use crate::history::found::Found;
use crate::history::gaps::{self, Gaps};
use crate::history::keeper::Gap;
use crate::history::refused::{self, LeftOut, Panicked};
use crate::history::retention;
use crate::history::row::integer;
use crate::history::rows::KnownRows;
use crate::history::state::State;
use crate::history::wal::{FileId, Wal, file_id};
use crate::history::{blocks, collection, file, questions, sensors, trigrams};

/// Most records that wait in the queue: two rings, which take 13 MiB if each record has 65,536
/// bytes, the default limit. The records of the current transaction are not in the queue any more.
const MOST_WAITING: usize = 202;
/// Most records of one transaction.
const MOST_AT_ONCE: usize = 101;
/// Most records of one transaction if a sensor sent the first of them. Half of
/// [`sent::WINDOW`](crate::history::sent::WINDOW), so that the collector can write new records into
/// the ring while these are being stored.
const MOST_OF_SENSORS_AT_ONCE: usize = 32;
/// How long the first record of a transaction waits for others. A transaction costs as much as a
/// dozen records, so it should have several.
const GATHER_TIME: Duration = Duration::from_millis(100);
/// Pause after a transaction that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Niceness of the thread, so that all other work goes first.
const NICENESS: i32 = 10;

/// An item of the queue.
#[derive(Debug)]
pub(crate) enum Item {
    /// A request that was seen.
    Request(Box<SeenRequest>),
    /// Requests that left the ring before they were handed over.
    Gap(Gap),
    /// A request that cannot be written.
    LeftOut(LeftOut),
    /// A named value of the table `number`.
    Number(&'static str, i64),
    /// Silent connections by port. They replace the ones that were written before.
    SilentPorts(ByPort),
    /// Sensors that reported lately that they run.
    Alive(Alive),
    /// A visitor's question has found that the file with this number is broken.
    Broken(u64),
    /// Asks the writer to write all items before it at once. It drops the sender when that is done.
    Flush(#[expect(dead_code, reason = "the receiver notices the drop")] oneshot::Sender<()>),
}

/// A request, and what was found out about it.
#[derive(Debug)]
pub(crate) struct SeenRequest {
    /// The record, unchanged. What must be hidden is left out when it is shown.
    pub(crate) record: Record,
    pub(crate) found: Found,
}

impl Item {
    pub(crate) fn request(record: Record, found: Found) -> Self {
        Self::Request(Box::new(SeenRequest { record, found }))
    }

    fn is_of_sensor(&self) -> bool {
        matches!(self, Self::Request(seen) if seen.record.sensor.is_some())
    }
}

/// The end of the queue at which items are offered.
#[derive(Clone)]
pub(crate) struct QueueEnd {
    sender: SyncSender<Item>,
    state: Arc<State>,
}

impl QueueEnd {
    /// Puts an item into the queue. Returns the item at once if there is no room, or if the thread
    /// has ended.
    pub(crate) fn offer(&self, item: Item) -> Result<(), Item> {
        // Counted before it is sent: the writer may write it at once, and the count must not fall
        // below 0.
        self.state.count_waiting();
        self.sender.try_send(item).map_err(|full| {
            self.state.count_no_longer_waiting(1);
            match full {
                TrySendError::Full(item) => item,
                TrySendError::Disconnected(item) => {
                    self.state.ended();
                    item
                }
            }
        })
    }
}

/// Starts the thread, and returns the end of its queue. The thread ends when all such ends are
/// dropped and all items are written. If the file in `folder` is missing or broken, the thread
/// opens another one.
pub(super) fn start(
    folder: PathBuf,
    file: Option<OpenFile>,
    most_bytes: u64,
    state: Arc<State>,
) -> std::io::Result<QueueEnd> {
    let (sender, waiting) = sync_channel(MOST_WAITING);
    let queue_end = QueueEnd {
        sender,
        state: Arc::clone(&state),
    };
    let writer = Writer {
        folder,
        file,
        most_bytes,
        state,
        numbers: BTreeMap::new(),
    };
    thread::Builder::new()
        .name("history".into())
        .spawn(move || writer.run(&waiting))?;
    Ok(queue_end)
}

struct Writer {
    folder: PathBuf,
    file: Option<OpenFile>,
    most_bytes: u64,
    state: Arc<State>,
    /// The last value of each named number. A new file needs these values as well.
    numbers: BTreeMap<&'static str, i64>,
}

/// The open file that the thread writes.
pub(super) struct OpenFile {
    file: Connection,
    id: Option<FileId>,
    wal: Wal,
    known: Known,
    path: PathBuf,
    /// The [`data_version`] at the last transaction. It changes when another connection has changed
    /// the file.
    version: i64,
}

/// What is known of the file as long as no other connection changes it.
#[derive(Default)]
struct Known {
    rows: KnownRows,
    specimens: SpecimenBudget,
    /// How many requests the file holds; `None` before they were counted.
    requests: Option<u64>,
    /// The first group of 256 payloads that may lack its Bloom filter (`trigrams`).
    next_filter: i64,
}

impl OpenFile {
    /// Takes a file that was opened just now: cleans it up, and reports to `state` what it has.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn new(
        folder: &std::path::Path,
        file: Connection,
        state: &State,
    ) -> anyhow::Result<Self> {
        let path = folder.join(file::NAME);
        match retention::drop_unreferenced(&file) {
            Err(error) if file::says_broken(&error) => return Err(error.into()),
            // The file can be read even if the disk is full.
            Err(error) => warn!(%error, "rows that no request references stay in the history"),
            Ok(()) => {}
        }
        let now = Timestamp::now();
        let newest = questions::newest(&file)?;
        let holes = questions::holes(&file, newest)?;
        let gaps = Gaps::read(&file, now)?;
        state.set_sensors(sensors::count(&file)?);
        state.opened(newest.unsigned_abs(), holes, gaps, now);
        Ok(Self {
            file,
            id: file_id(&path),
            wal: Wal::of(&path),
            known: Known::default(),
            path,
            version: 0,
        })
    }
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Item>) {
        // A failure does no harm: the thread only runs with normal priority.
        let _ = rustix::process::nice(NICENESS);
        while let Ok(first) = waiting.recv() {
            let items = gather(first, waiting);
            self.remember_numbers(&items);
            self.state.transaction_begins();
            self.write_all(&items);
            self.state.writing_succeeded();
            self.state.count_no_longer_waiting(items.len());
            if let Some(open) = &self.file {
                self.state
                    .set_size(open.known.requests.unwrap_or_default(), open.bytes());
            }
        }
    }

    /// Writes all items, and retries until it succeeds. An item that can never be written is left
    /// out and counted.
    fn write_all(&mut self, items: &[Item]) {
        while let Err(error) = self.write_or_catch(items) {
            if let Some(open) = &mut self.file {
                open.known = Known::default();
            }
            if refused::is_of_an_item(&error) {
                match items {
                    [item] => self.leave_out(item, &error),
                    _ => items.chunks(1).for_each(|item| self.write_all(item)),
                }
                return;
            }
            self.state.failed(&error);
            if file::is_broken(&error) {
                self.begin_anew(&error);
            } else {
                thread::sleep(RETRY_DELAY);
            }
        }
    }

    /// Writes the items, and turns a panic into an error. After a panic the connection is dropped,
    /// so that no unfinished state of it is used again. SQLite rolls back what was not committed.
    fn write_or_catch(&mut self, items: &[Item]) -> anyhow::Result<()> {
        match catch_unwind(AssertUnwindSafe(|| self.write(items))) {
            Ok(written) => written,
            Err(_) => {
                self.file = None;
                Err(Panicked.into())
            }
        }
    }

    /// Logs that an item cannot be written. If it is a request, writes a note in its place.
    fn leave_out(&mut self, item: &Item, error: &anyhow::Error) {
        let error = format!("{error:#}");
        let Item::Request(seen) = item else {
            warn!(%error, "something cannot be written to the history and is left out");
            return;
        };
        let seq = seen.record.seq;
        warn!(%error, seq, "a request cannot be written to the history and is left out");
        let now = Timestamp::now();
        let left_out = LeftOut::new(&seen.record, now);
        let gap = left_out.gap;
        self.write_all(&[Item::LeftOut(left_out)]);
        // The request is counted after writing, because writing may open a file anew. Then the gaps
        // of the file replace the counted gaps.
        self.state.count_gap(gap, now);
    }

    fn write(&mut self, items: &[Item]) -> anyhow::Result<()> {
        let is_broken =
            |item: &Item| matches!(item, Item::Broken(file) if *file == self.state.file_number());
        if items.iter().any(is_broken) {
            let error = anyhow::anyhow!("a question has found that the file is malformed");
            self.begin_anew(&error);
        }
        if self.file.as_ref().is_some_and(|open| self.is_gone(open)) {
            // A person has removed the file, or put another one in its place.
            self.leave()?;
        }
        let open = match &mut self.file {
            Some(open) => open,
            none => {
                let file = file::open(&self.folder)?;
                let open = none.insert(OpenFile::new(&self.folder, file, &self.state)?);
                open.write_numbers(&self.numbers)?;
                open
            }
        };
        open.wal.hold_short(&open.file)?;
        open.write(items, self.most_bytes)?;
        if items.iter().any(Item::is_of_sensor) {
            self.state.set_sensors(sensors::count(&open.file)?);
        }
        Ok(())
    }

    fn is_gone(&self, open: &OpenFile) -> bool {
        file_id(&self.folder.join(file::NAME)) != open.id
    }

    /// Closes a file that was removed or replaced, and removes its log.
    fn leave(&mut self) -> std::io::Result<()> {
        warn!("the history was removed or replaced, the file that is there now is used");
        if let Some(open) = self.file.take() {
            drop(open.file);
            open.wal.remove()?;
        }
        Ok(())
    }

    /// Sets the file aside and begins another one. If the disk refuses that, the next write tries
    /// again.
    fn begin_anew(&mut self, error: &anyhow::Error) {
        self.file = None;
        let begun = file::begin_anew(&self.folder, error)
            .and_then(|file| OpenFile::new(&self.folder, file, &self.state))
            .and_then(|mut open| {
                open.write_numbers(&self.numbers)?;
                Ok(open)
            });
        match begun {
            Ok(open) => self.file = Some(open),
            Err(error) => {
                self.state.failed(&error.context("cannot begin a new file"));
                thread::sleep(RETRY_DELAY);
            }
        }
    }

    fn remember_numbers(&mut self, items: &[Item]) {
        for item in items {
            if let Item::Number(name, value) = item {
                self.numbers.insert(name, *value);
            }
        }
    }
}

impl OpenFile {
    fn write_numbers(&mut self, numbers: &BTreeMap<&'static str, i64>) -> rusqlite::Result<()> {
        let transaction = self.file.transaction()?;
        for (name, value) in numbers {
            write_number(&transaction, name, *value)?;
        }
        transaction.commit()
    }

    /// Returns how many bytes the file and its log take on the disk.
    fn bytes(&self) -> u64 {
        let file = self.path.metadata().map_or(0, |found| found.len());
        file.saturating_add(self.wal.bytes())
    }

    /// Writes all items or none, in one transaction. Then deletes old requests if the file is too
    /// large.
    fn write(&mut self, items: &[Item], most_bytes: u64) -> rusqlite::Result<()> {
        // Immediate: from here on, no other connection can write. A transaction that begins as a
        // reader would fail if another connection had written meanwhile.
        let transaction = self
            .file
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = data_version(&transaction)?;
        if version != self.version {
            self.version = version;
            self.known = Known::default();
        }
        let before = match self.known.requests {
            Some(requests) => requests,
            None => count(&transaction)?,
        };
        let mut written = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Item::Request(seen) => {
                    let SeenRequest { record, found } = seen.as_ref();
                    #[cfg(test)]
                    super::tests::bounds::panic_if_asked(record);
                    if let Some(rows) = self.known.rows.write(&transaction, record, found)? {
                        written.push(WrittenRequest {
                            record,
                            found,
                            rows,
                        });
                    }
                }
                Item::Gap(gap) => gaps::write(&transaction, gap)?,
                Item::LeftOut(left_out) => left_out.write(&transaction)?,
                Item::Number(name, value) => write_number(&transaction, name, *value)?,
                Item::Alive(alive) => sensors::write_heard(&transaction, alive)?,
                Item::SilentPorts(ports) => write_silent_ports(&transaction, ports)?,
                Item::Broken(_) | Item::Flush(_) => {}
            }
        }
        blocks::add(&transaction, written.iter().map(|it| it.record))?;
        collection::add(
            &transaction,
            &written,
            most_bytes,
            &mut self.known.specimens,
        )?;
        trigrams::add_missing(&transaction, &mut self.known.next_filter)?;
        transaction.commit()?;
        let mut requests = before + written.len() as u64;
        if let Some(gone) = retention::make_room(&self.file, most_bytes)? {
            self.known.rows.forget();
            requests = requests.saturating_sub(gone);
        }
        self.known.requests = Some(requests);
        Ok(())
    }
}

/// Counts the requests of a file. This takes some 20 ms for 1,000,000, and is done once.
fn count(file: &Connection) -> rusqlite::Result<u64> {
    let count = "SELECT count(*) FROM request";
    let requests: i64 = file.query_row(count, [], |row| row.get(0))?;
    Ok(requests.unsigned_abs())
}

/// Returns a number that changes when another connection has changed the file, and may have deleted
/// rows: <https://www.sqlite.org/pragma.html#pragma_data_version>
pub(super) fn data_version(file: &Connection) -> rusqlite::Result<i64> {
    let mut version = file.prepare_cached("PRAGMA data_version")?;
    version.query_row([], |row| row.get(0))
}

/// Waits a moment for more items, and returns all of them. A flush ends the wait.
fn gather(first: Item, waiting: &Receiver<Item>) -> Vec<Item> {
    let deadline = Instant::now() + GATHER_TIME;
    let is_last = matches!(first, Item::Flush(_));
    let most = if first.is_of_sensor() {
        MOST_OF_SENSORS_AT_ONCE
    } else {
        MOST_AT_ONCE
    };
    let mut items = vec![first];
    while !is_last && items.len() < most {
        let left = deadline.saturating_duration_since(Instant::now());
        match waiting.recv_timeout(left) {
            Ok(item) => {
                let is_last = matches!(item, Item::Flush(_));
                items.push(item);
                if is_last {
                    break;
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    items
}

/// Writes each port as a number with a name like `silent:22`, and deletes those of earlier ports.
/// There are at most as many ports as memcached holds.
fn write_silent_ports(to: &Transaction<'_>, ports: &ByPort) -> rusqlite::Result<()> {
    to.prepare_cached("DELETE FROM number WHERE name GLOB 'silent:*'")?
        .execute([])?;
    for (port, &count) in ports {
        write_number(to, &format!("silent:{port}"), integer(count))?;
    }
    Ok(())
}

fn write_number(to: &Transaction<'_>, name: &str, value: i64) -> rusqlite::Result<()> {
    let mut insert =
        to.prepare_cached("INSERT OR REPLACE INTO number (name, value) VALUES (?1, ?2)")?;
    insert.execute(params![name, value])?;
    Ok(())
}
