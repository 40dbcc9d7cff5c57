//! The history: all requests that are kept, also after they have left the ring. It is an SQLite
//! file, which a person can open as well.
//!
//! In: each record that the reader has seen, unchanged, and what was found out about it. Out:
//! records by their number, and answers to visitors' questions. The reader never waits for the
//! disk, because a separate thread writes. Requests that it cannot write are counted.
//!
//! Read in this order:
//!
//! - `keeper`: which numbers the reader has handed over, and which are missing
//! - `found` and `kind`: what is kept in addition to the bytes
//! - `writer`: the thread that writes, with `rows` (a request), `sent` (a request of another
//!   machine), `blocks` (which numbers belong to which time), `collection` (kinds), `gaps`
//!   (requests that are not kept) and `refused` (requests that cannot be written)
//! - `retention`: what is deleted when the file is too large
//! - `wal`: the write-ahead log beside the file
//! - `questions`: what visitors read, with `search` (and `trigrams`), `kinds`, `label_counts`,
//!   `sources`, `one_source`, `sensors` and `blocklist`
//! - `forget`: what a person deletes
//! - `outbox`: what `forever200-fleet` reads
//! - `file` opens the file, `row` reads a record from it, and `row_ids` has sets of rows. The
//!   table `way` has how requests came and ended (port, responder, cause of the end), and `found`
//!   has what was found out about them (protocol, labels)
//! - `state`: what is known of the file without reading it
//! - `secrets`: which rows contain a text that must be hidden
//!
//! The schema is docs/history.sql.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::history::keeper::Gap;
use crate::history::state::State;
use crate::history::writer::{OpenFile, QueueEnd};
use crate::metrics::HistoryNow;

pub(crate) mod blocklist;
mod blocks;
mod collection;
mod file;
pub mod forget;
pub(crate) mod found;
mod gaps;
pub(crate) mod keeper;
pub(crate) mod kind;
pub(crate) mod kinds;
pub(crate) mod label_counts;
pub(crate) mod one_source;
mod outbox;
mod questions;
mod refused;
mod retention;
mod row;
mod row_ids;
mod rows;
mod search;
mod secrets;
pub(crate) mod sensors;
mod sent;
pub(crate) mod sources;
mod state;
mod trigrams;
mod wal;
mod writer;

pub(crate) use collection::MOST_DAYS;
pub use file::OpenError;
pub(crate) use found::MAX_CHARS;
pub use gaps::NotKept;
pub(crate) use kind::{Kind, WantedCategory};
pub use outbox::{Ledger, Outbox, Version};
pub use questions::{Questions, Restored};
pub(crate) use search::{Column, Condition, Page, Start, Wanted};
pub use sent::WINDOW;
pub(crate) use state::reason_of_sqlite;
pub(crate) use writer::Item;

/// Time between two attempts to find room in the queue.
const FULL_TIME: Duration = Duration::from_millis(10);

/// The handle to the history, for writing and for reading.
pub struct History {
    queue: QueueEnd,
    questions: Questions,
    state: Arc<State>,
}

impl History {
    /// Opens the history in `folder`, or begins one, and starts the thread that writes it. The file
    /// grows to about `most_bytes`. Then the oldest requests are deleted. If the disk is full or
    /// read-only, this succeeds nevertheless, and the thread tries again to open the file.
    ///
    /// # Errors
    /// The folder cannot be used, or holds a file that is not for this version: see [`OpenError`].
    pub fn open(folder: &Path, most_bytes: u64) -> anyhow::Result<Self> {
        let state = Arc::new(State::default());
        let opened = file::open(folder).and_then(|file| OpenFile::new(folder, file, &state));
        let file = match opened {
            Err(error) if file::is_refused(&error) => return Err(error),
            Err(error) => {
                state.failed(&error);
                None
            }
            Ok(file) => Some(file),
        };
        let queue = writer::start(folder.to_owned(), file, most_bytes, Arc::clone(&state))
            .context("cannot start the thread of the history")?;
        let path = folder.join(file::NAME);
        Ok(Self {
            questions: Questions::new(path, queue.clone(), Arc::clone(&state)),
            queue,
            state,
        })
    }

    /// Returns the newest number that the file had when it was opened; `None` as long as no file
    /// could be opened.
    #[must_use]
    pub(crate) fn newest_at_opening(&self) -> Option<u64> {
        self.state.newest_at_opening()
    }

    /// Returns the numbers that the file lacked when it was opened, and that the ring could still
    /// have.
    pub(crate) fn holes(&self) -> BTreeSet<u64> {
        self.state.holes()
    }

    /// Counts a gap in memory, before it is written to the file.
    pub(crate) fn count_gap(&self, gap: Gap, now: Timestamp) {
        self.state.count_gap(gap, now);
    }

    /// Returns how many requests of the last day are not kept; `None` when all are.
    #[must_use]
    pub fn not_kept(&self, now: Timestamp) -> Option<NotKept> {
        self.state.gaps().of_last_day(now)
    }

    /// Puts an item into the queue of the thread that writes. Does not wait: if the queue is full,
    /// returns the item at once.
    pub(crate) fn offer(&self, item: Item) -> Result<(), Item> {
        self.queue.offer(item)
    }

    /// Waits until all items that were offered before are written.
    pub(crate) async fn flush(&self) {
        let (dropped_when_written, written) = oneshot::channel();
        let mut item = Item::Flush(dropped_when_written);
        while let Err(again) = self.offer(item) {
            item = again;
            sleep(FULL_TIME).await;
        }
        // The writer drops the sender; nothing is sent.
        let _ = written.await;
    }

    /// Returns the handle for visitors' questions.
    #[must_use]
    pub fn questions(&self) -> &Questions {
        &self.questions
    }

    /// Returns the state of the history in numbers, for the metrics.
    #[must_use]
    pub(crate) fn now(&self) -> HistoryNow {
        let (requests, bytes) = self.state.size();
        HistoryNow {
            is_well: self.trouble().is_none(),
            requests,
            bytes,
            waiting: self.state.waiting() as u64,
            sensors: self.state.sensors().load(Ordering::Relaxed),
        }
    }

    /// Returns the number of sensors in the file. The writer keeps the number up to date.
    #[must_use]
    pub(crate) fn sensors(&self) -> Arc<AtomicU64> {
        self.state.sensors()
    }

    /// Returns a sentence for visitors that says why the history cannot be written; `None` when
    /// nothing is wrong.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.state.trouble()
    }
}

#[cfg(test)]
mod million;
#[cfg(test)]
mod tests;
