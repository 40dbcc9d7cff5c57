//! What waits to be written as lines: so many bytes, and not more.
//!
//! In: requests and gaps, from the reader, which never waits. Out: the same for the thread that
//! writes, and numbers of what was written and what was not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SendError, Sender, channel};

use anyhow::Context;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::captures::line::{Missing, Reason};
use crate::captures::target::Target;
use crate::captures::writer;
use crate::history::keeper::Gap;
use crate::reader::Entry;
use crate::reader::once::Event;

/// Most that waits, in bytes of memory: some 4,000 ordinary requests, or 110 of the longest.
const MOST_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// Once requests were dropped, none is taken before no more than this waits: or each line would
/// have a gap for a neighbour.
const RESUME_BYTES: usize = MOST_WAITING_BYTES / 2;
/// What a request takes beside its bytes, and a gap, about.
const ENTRY_BYTES: usize = 4096;
const GAP_BYTES: usize = 128;

/// What the thread is given.
pub(super) enum Item {
    Request(Arc<Entry>),
    Gap(Missing),
    /// Something else than a line is to be looked at: the file is to be opened anew.
    Wake,
    /// Is dropped once all before it is written.
    Flush(oneshot::Sender<()>),
}

/// How many lines there were, and what waits.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counted {
    /// Lines of requests that were written since the start.
    pub written: u64,
    /// Requests that have none: too much waited, or the line could not be made, or the thread that
    /// writes has ended.
    pub dropped: u64,
    /// Bytes of memory that wait.
    #[serde(skip)]
    pub waiting_bytes: u64,
}

/// What both ends of the queue know.
#[derive(Debug, Default)]
pub(super) struct State {
    waiting_bytes: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    /// The newest number whose line was written.
    up_to: AtomicU64,
    reopen: AtomicBool,
    has_failed: AtomicBool,
}

/// The lines, for those who ask how they are.
#[derive(Clone)]
pub struct Captures {
    sender: Sender<Item>,
    state: Arc<State>,
}

/// The reader's end of the queue.
pub(crate) struct Offers {
    captures: Captures,
    /// What was missed, and what was dropped, since there was room to tell it: of each, all as one.
    missed: Option<Gap>,
    dropped: Option<Gap>,
}

impl Captures {
    /// Starts the thread that writes; `raw` has each request's bytes in its line. `None` where
    /// there are to be no lines.
    ///
    /// A file that cannot be opened is tried again each second.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(target: Target, raw: bool) -> anyhow::Result<Option<Self>> {
        if target == Target::Off {
            return Ok(None);
        }
        let (captures, waiting) = Self::queue();
        let state = Arc::clone(&captures.state);
        writer::start(target, raw, waiting, state)
            .context("cannot start the thread of the lines")?;
        Ok(Some(captures))
    }

    fn queue() -> (Self, Receiver<Item>) {
        let (sender, waiting) = channel();
        let state = Arc::default();
        (Self { sender, state }, waiting)
    }

    /// Has the file opened anew, before the next line.
    pub fn reopen(&self) {
        self.state.reopen.store(true, Relaxed);
        let _ = self.sender.send(Item::Wake);
    }

    /// Returns how many lines there were.
    #[must_use]
    pub fn counted(&self) -> Counted {
        Counted {
            written: self.state.written.load(Relaxed),
            dropped: self.state.dropped.load(Relaxed),
            waiting_bytes: self.state.waiting_bytes.load(Relaxed) as u64,
        }
    }

    /// Returns the newest number whose line was written since the start; 0 when none was.
    pub(crate) fn up_to(&self) -> u64 {
        self.state.up_to.load(Relaxed)
    }

    /// Waits until all that was offered is written.
    pub(crate) async fn flush(&self) {
        let (begun, written) = oneshot::channel();
        let _ = self.sender.send(Item::Flush(begun));
        // It is dropped, not used.
        let _ = written.await;
    }
}

impl Offers {
    pub(crate) fn new(captures: Captures) -> Self {
        Self {
            captures,
            missed: None,
            dropped: None,
        }
    }

    /// Puts something into the queue, or counts it where there is no room.
    pub(crate) fn offer(&mut self, event: &Event) {
        match event {
            Event::Request(entry) => self.offer_request(entry),
            Event::Gap(gap) => {
                add(&mut self.missed, *gap);
                self.tell();
            }
        }
    }

    /// Tells of what was missed and dropped, once there is room, also while nothing comes.
    pub(crate) fn tell(&mut self) {
        let has_dropped = self.dropped.is_some();
        let most_bytes = if has_dropped {
            RESUME_BYTES
        } else {
            MOST_WAITING_BYTES - 2 * GAP_BYTES
        };
        if self.waiting_bytes() > most_bytes {
            return;
        }
        if let Some(gap) = self.missed.take() {
            let reason = Reason::LeftTheRing;
            self.send(Item::Gap(Missing { reason, gap }), GAP_BYTES);
        }
        if let Some(gap) = self.dropped.take() {
            info!(requests = gap.requests, "lines are written again");
            let reason = Reason::SlowReader;
            self.send(Item::Gap(Missing { reason, gap }), GAP_BYTES);
        }
    }

    fn offer_request(&mut self, entry: &Arc<Entry>) {
        self.tell();
        let bytes = bytes_of(entry);
        let is_behind = self.dropped.is_some() || self.missed.is_some();
        if is_behind || self.waiting_bytes() + bytes > MOST_WAITING_BYTES {
            self.drop_request(entry.record.seq);
        } else {
            self.send(Item::Request(Arc::clone(entry)), bytes);
        }
    }

    fn drop_request(&mut self, seq: u64) {
        let gap = Gap::of_one(seq, Timestamp::now());
        self.captures.state.count_dropped();
        if self.dropped.is_none() {
            warn!("lines are dropped, their reader is too slow");
        }
        add(&mut self.dropped, gap);
    }

    fn waiting_bytes(&self) -> usize {
        self.captures.state.waiting_bytes.load(Relaxed)
    }

    fn send(&self, item: Item, bytes: usize) {
        let state = &self.captures.state;
        state.waiting_bytes.fetch_add(bytes, Relaxed);
        // The thread ends when the senders have gone; before that, a panic ends it.
        if let Err(SendError(item)) = self.captures.sender.send(item) {
            state.waiting_bytes.fetch_sub(bytes, Relaxed);
            if matches!(item, Item::Request(_)) {
                state.count_dropped();
            }
            if !state.has_failed.swap(true, Relaxed) {
                error!("lines are not written any more: the thread that writes them has ended");
            }
        }
    }
}

impl State {
    /// Tells, once, that the file is to be opened anew.
    pub(super) fn take_reopen(&self) -> bool {
        self.reopen.swap(false, Relaxed)
    }

    /// Counts a request that has no line.
    pub(super) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    /// Counts what was written.
    pub(super) fn wrote(&self, bytes: usize, requests: u64, up_to: u64) {
        self.waiting_bytes.fetch_sub(bytes, Relaxed);
        self.written.fetch_add(requests, Relaxed);
        self.up_to.fetch_max(up_to, Relaxed);
    }

    /// Says that writing failed, once in the log however often it fails.
    pub(super) fn failed(&self, error: &std::io::Error) {
        if !self.has_failed.swap(true, Relaxed) {
            warn!(%error, "lines cannot be written");
        }
    }

    /// Says that writing succeeded.
    pub(super) fn works(&self) {
        if self.has_failed.swap(false, Relaxed) {
            info!("lines can be written again");
        }
    }
}

impl Item {
    /// Returns as how many bytes of memory it counts.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Request(entry) => bytes_of(entry),
            Self::Gap(_) => GAP_BYTES,
            Self::Wake | Self::Flush(_) => 0,
        }
    }
}

fn add(gap: &mut Option<Gap>, next: Gap) {
    match gap {
        Some(gap) => gap.swallow(&next),
        none => *none = Some(next),
    }
}

/// A request is held as it came, in lower case, and with what it hides.
fn bytes_of(entry: &Entry) -> usize {
    ENTRY_BYTES + 2 * entry.record.raw.len() + entry.searched_inside.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::entry::tests::{entry, record};

    fn request(seq: u64, bytes: usize) -> Event {
        let mut record = record(&vec![b'a'; bytes]);
        record.seq = seq;
        Event::Request(Arc::new(entry(record)))
    }

    /// The numbers of requests, and of gaps the first, the last and how many.
    fn told(waiting: &Receiver<Item>, state: &State) -> Vec<(u64, u64, u64)> {
        let mut told = Vec::new();
        while let Ok(item) = waiting.try_recv() {
            state.wrote(item.bytes(), 0, 0);
            match item {
                Item::Request(entry) => told.push((entry.record.seq, entry.record.seq, 0)),
                Item::Gap(Missing { gap, .. }) => told.push((gap.first, gap.last, gap.requests)),
                Item::Wake | Item::Flush(_) => {}
            }
        }
        told
    }

    #[test]
    fn what_finds_no_room_is_counted_and_told_once_there_is_some() {
        let (captures, waiting) = Captures::queue();
        let mut offers = Offers::new(captures.clone());
        let long = MOST_WAITING_BYTES / 4;
        for seq in 1..=9 {
            offers.offer(&request(seq, long / 2));
        }
        let counted = captures.counted();
        assert_eq!(counted.dropped, 6);
        assert!(counted.waiting_bytes <= MOST_WAITING_BYTES as u64);
        let first = told(&waiting, &captures.state);
        assert_eq!(first, [(1, 1, 0), (2, 2, 0), (3, 3, 0)]);
        assert_eq!(captures.counted().waiting_bytes, 0);
        offers.tell();
        offers.offer(&request(10, 1));
        let then = told(&waiting, &captures.state);
        assert_eq!(then, [(4, 9, 6), (10, 10, 0)]);
    }

    #[test]
    fn where_the_thread_has_ended_requests_are_counted_and_nothing_waits() {
        let (captures, waiting) = Captures::queue();
        let mut offers = Offers::new(captures.clone());
        drop(waiting);
        for seq in 1..=3 {
            offers.offer(&request(seq, MOST_WAITING_BYTES / 5));
        }
        let counted = captures.counted();
        assert_eq!((counted.waiting_bytes, counted.dropped), (0, 3));
        assert!(captures.state.has_failed.load(Relaxed));
    }

    #[test]
    fn gaps_that_nobody_reads_become_one() {
        let (captures, waiting) = Captures::queue();
        let mut offers = Offers::new(captures.clone());
        offers.offer(&request(1, MOST_WAITING_BYTES / 2 - ENTRY_BYTES));
        assert!(captures.counted().waiting_bytes > RESUME_BYTES as u64);
        offers.offer(&request(2, 1_000));
        for first in 3..1_000 {
            let now = Timestamp::UNIX_EPOCH;
            offers.offer(&Event::Gap(Gap {
                first,
                last: first,
                requests: 1,
                since: now,
                until: now,
            }));
        }
        assert!(captures.counted().waiting_bytes <= MOST_WAITING_BYTES as u64);
        let first = told(&waiting, &captures.state);
        assert_eq!(first, [(1, 1, 0)]);
        offers.tell();
        let then = told(&waiting, &captures.state);
        assert_eq!(then, [(3, 999, 997), (2, 2, 1)]);
    }
}
