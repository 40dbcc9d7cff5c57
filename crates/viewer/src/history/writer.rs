//! The thread that writes the history: nobody else waits for the disk.
//!
//! In: requests and gaps, through a bounded queue. Out: rows, in transactions. What cannot be
//! written is tried again; when the queue is full meanwhile, the reader keeps what it has as long
//! as the ring does.

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
use crate::history::{blocks, collection, file, questions, sensors};

/// Records that wait in the queue, at most: two rings, 13 MiB of the longest. Those of the transaction
/// come on top.
const MOST_WAITING: usize = 202;
/// Records of one transaction, at most.
const MOST_AT_ONCE: usize = 101;
/// The same where another machine sent the first of them: whoever writes these into the ring waits
/// until they are kept, and the ring has more of them than this.
const MOST_SENT_AT_ONCE: usize = 32;
/// How long the first record of a transaction waits for others: a transaction costs as much as a
/// dozen records.
const GATHER_TIME: Duration = Duration::from_millis(100);
/// Pause after a transaction that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Writing gives way to all else.
const NICENESS: i32 = 10;

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Item {
    /// A request that was seen.
    Request(Box<SeenRequest>),
    /// Requests that nobody saw.
    Gap(Gap),
    /// A request that cannot be written.
    LeftOut(LeftOut),
    /// A number by its name.
    Number(&'static str, i64),
    /// Silent connections by port, in the place of those that were written before.
    SilentPorts(ByPort),
    /// Sensors that said lately that they run.
    Alive(Alive),
    /// A visitor's question has found that this file is broken.
    Broken(u64),
    /// Is dropped once all before it is written.
    Flush(
        #[expect(dead_code, reason = "whoever has the other end notices the drop")]
        oneshot::Sender<()>,
    ),
}

/// A request, and what was found out about it.
#[derive(Debug)]
pub(crate) struct SeenRequest {
    /// As it came.
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

/// The reader's end of the queue.
#[derive(Clone)]
pub(crate) struct QueueEnd {
    sender: SyncSender<Item>,
    state: Arc<State>,
}

impl QueueEnd {
    /// Puts something into the queue. Returns it where there is no room, at once.
    pub(crate) fn offer(&self, item: Item) -> Result<(), Item> {
        // Before the writer can have written it, for the number not to fall below 0.
        self.state.count_waiting();
        self.sender.try_send(item).map_err(|full| {
            self.state.count_written(1);
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

/// Starts the thread. It ends, when all is written, once the inboxes are dropped. It opens the file
/// in `folder` anew where that is missing or broken.
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
    /// As they were last written: another file needs them as well.
    numbers: BTreeMap<&'static str, i64>,
}

/// The file that is written.
pub(super) struct OpenFile {
    file: Connection,
    id: Option<FileId>,
    wal: Wal,
    known: Known,
    path: PathBuf,
    /// Another one once somebody else has changed the file.
    version: i64,
}

/// What is known of the file as long as nobody else changes it.
#[derive(Default)]
struct Known {
    rows: KnownRows,
    specimens: SpecimenBudget,
    /// How many requests it holds; `None` before they were counted.
    requests: Option<u64>,
}

impl OpenFile {
    /// Goes on with a file that was opened just now.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn new(
        folder: &std::path::Path,
        file: Connection,
        state: &State,
    ) -> anyhow::Result<Self> {
        let path = folder.join(file::NAME);
        match retention::drop_unreferenced(&file) {
            Err(error) if file::says_broken(&error) => return Err(error.into()),
            // A full disk is no reason not to read it.
            Err(error) => warn!(%error, "what no request names stays in the history"),
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
        // Not being nice is no failure.
        let _ = rustix::process::nice(NICENESS);
        while let Ok(first) = waiting.recv() {
            let items = gather(first, waiting);
            self.remember_numbers(&items);
            self.state.begins();
            self.write_all(&items);
            self.state.works();
            self.state.count_written(items.len());
            if let Some(open) = &self.file {
                self.state
                    .set_size(open.known.requests.unwrap_or_default(), open.bytes());
            }
        }
    }

    /// Writes all of it, however often that has to be tried. Where something in it cannot be
    /// written, that is left out and counted.
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

    /// Writes, and survives a panic. The connection goes with it, so that nothing that is half done
    /// is used again; SQLite takes back what was not committed.
    fn write_or_catch(&mut self, items: &[Item]) -> anyhow::Result<()> {
        match catch_unwind(AssertUnwindSafe(|| self.write(items))) {
            Ok(written) => written,
            Err(_) => {
                self.file = None;
                Err(Panicked.into())
            }
        }
    }

    /// Writes a note in the place of a request that cannot be written.
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
        // Behind that, for a file that is opened anew says what it knows of.
        self.state.count_gap(gap, now);
    }

    fn write(&mut self, items: &[Item]) -> anyhow::Result<()> {
        let is_broken =
            |item: &Item| matches!(item, Item::Broken(file) if *file == self.state.file_number());
        if items.iter().any(is_broken) {
            let error = anyhow::anyhow!("a question has found that it is malformed");
            self.begin_anew(&error);
        }
        if self.file.as_ref().is_some_and(|open| self.is_gone(open)) {
            // A person has removed it, or put another in its place.
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

    /// Lets go of a file that has gone.
    fn leave(&mut self) -> std::io::Result<()> {
        warn!("the history was removed or replaced, the file that is there now is used");
        if let Some(open) = self.file.take() {
            drop(open.file);
            open.wal.remove()?;
        }
        Ok(())
    }

    /// Sets the file aside and begins another one. Where the disk refuses that, it is tried with
    /// the next write again.
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
                self.state.failed(&error.context("no new file"));
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

    /// Returns what the file and its log take of the disk.
    fn bytes(&self) -> u64 {
        let file = self.path.metadata().map_or(0, |found| found.len());
        file.saturating_add(self.wal.bytes())
    }

    /// Writes all of it, or nothing; then makes room where there is too much.
    fn write(&mut self, items: &[Item], most_bytes: u64) -> rusqlite::Result<()> {
        // Nobody else writes from here on; to begin as a reader would fail when somebody has
        // written meanwhile.
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

/// Counts the requests of a file: 1,000,000 take some 20 ms, once.
fn count(file: &Connection) -> rusqlite::Result<u64> {
    let count = "SELECT count(*) FROM request";
    let requests: i64 = file.query_row(count, [], |row| row.get(0))?;
    Ok(requests.unsigned_abs())
}

/// Another number once somebody else has changed the file, who may have deleted rows:
/// <https://www.sqlite.org/pragma.html#pragma_data_version>
pub(super) fn data_version(file: &Connection) -> rusqlite::Result<i64> {
    let mut version = file.prepare_cached("PRAGMA data_version")?;
    version.query_row([], |row| row.get(0))
}

/// Waits a moment for more of it.
fn gather(first: Item, waiting: &Receiver<Item>) -> Vec<Item> {
    let deadline = Instant::now() + GATHER_TIME;
    let is_last = matches!(first, Item::Flush(_));
    let most = if first.is_of_sensor() {
        MOST_SENT_AT_ONCE
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

/// Numbers as well, at most as many as memcached holds: `silent:22`.
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
