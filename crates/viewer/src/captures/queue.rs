//! The queue of requests that wait to be written as lines. Its bytes are bounded.
//!
//! In: requests and gaps from the viewer's reader, which never waits. Out: requests and gaps for
//! the thread that writes, and counts of written and dropped requests.

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

/// Most bytes of memory that wait: about 4,000 ordinary requests, or 120 of 65,536 bytes,
/// the default limit.
const MOST_WAITING_BYTES: usize = 16 * 1024 * 1024;
/// After requests were dropped, further requests are dropped until at most this many bytes wait.
/// Otherwise there would be a gap after every line.
const RESUME_BYTES: usize = MOST_WAITING_BYTES / 2;
/// About how many bytes of memory a request takes in addition to its own bytes.
const ENTRY_BYTES: usize = 4096;
/// About how many bytes of memory a gap takes.
const GAP_BYTES: usize = 128;

/// An item of the queue.
pub(super) enum Item {
    Request(Arc<Entry>),
    Gap(Missing),
    /// Wakes the thread, so that it reopens the file.
    Wake,
    /// The thread drops the sender when all items before this one are written.
    Flush(oneshot::Sender<()>),
}

/// How many lines were written and dropped, and how much waits.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counted {
    /// Lines of requests that were written since the start.
    pub written: u64,
    /// Requests without a line: too much waited, or the line could not be made, or the thread that
    /// writes has ended.
    pub dropped: u64,
    /// Bytes of memory of all items that wait.
    #[serde(skip)]
    pub waiting_bytes: u64,
}

/// State that both ends of the queue share.
#[derive(Debug, Default)]
pub(super) struct State {
    waiting_bytes: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    /// The newest sequence number whose line was written.
    up_to: AtomicU64,
    reopen: AtomicBool,
    has_failed: AtomicBool,
}

/// A handle to the thread that writes lines, and to its state.
#[derive(Clone)]
pub struct Captures {
    sender: Sender<Item>,
    state: Arc<State>,
}

/// The end of the queue at which the viewer's reader adds requests.
pub(crate) struct Offers {
    captures: Captures,
    /// Missed and dropped requests for which no gap was put into the queue yet. The missed requests
    /// are joined to one gap, and so are the dropped ones.
    missed: Option<Gap>,
    dropped: Option<Gap>,
}

impl Captures {
    /// Starts the thread that writes. With `raw`, each line has the request's bytes. Returns `None`
    /// where lines are off.
    ///
    /// If the file cannot be opened, the thread tries again each second.
    ///
    /// # Errors
    /// The thread cannot be started.
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

    /// Has the thread reopen the file before the next line.
    pub fn reopen(&self) {
        self.state.reopen.store(true, Relaxed);
        let _ = self.sender.send(Item::Wake);
    }

    /// Returns how many lines were written and dropped, and how much waits.
    #[must_use]
    pub fn counted(&self) -> Counted {
        Counted {
            written: self.state.written.load(Relaxed),
            dropped: self.state.dropped.load(Relaxed),
            waiting_bytes: self.state.waiting_bytes.load(Relaxed) as u64,
        }
    }

    /// Returns the newest number whose line was written since the start; 0 if none was.
    pub(crate) fn up_to(&self) -> u64 {
        self.state.up_to.load(Relaxed)
    }

    /// Waits until all offered requests are written.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let _ = self.sender.send(Item::Flush(done));
        // The thread drops the sender and sends nothing.
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

    /// Puts a request or a gap into the queue. Where there is no room, counts the request as
    /// dropped, or keeps the gap for later.
    pub(crate) fn offer(&mut self, event: &Event) {
        match event {
            Event::Request(entry) => self.offer_request(entry),
            Event::Gap(gap) => {
                add(&mut self.missed, *gap);
                self.queue_gaps();
            }
        }
    }

    /// Puts the gaps of missed and dropped requests into the queue, if there is room. The reader
    /// calls this with each look, so that it also happens while no requests come.
    pub(crate) fn queue_gaps(&mut self) {
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
        self.queue_gaps();
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
        // While there is a sender, the thread ends only by a panic.
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
    /// Tells whether the file must be reopened, and clears this request.
    pub(super) fn take_reopen(&self) -> bool {
        self.reopen.swap(false, Relaxed)
    }

    /// Counts a request without a line.
    pub(super) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    /// Counts written requests, and takes their bytes out of those that wait.
    pub(super) fn wrote(&self, bytes: usize, requests: u64, up_to: u64) {
        self.waiting_bytes.fetch_sub(bytes, Relaxed);
        self.written.fetch_add(requests, Relaxed);
        self.up_to.fetch_max(up_to, Relaxed);
    }

    /// Notes that writing failed. Only the first failure is logged.
    pub(super) fn failed(&self, error: &std::io::Error) {
        if !self.has_failed.swap(true, Relaxed) {
            warn!(%error, "lines cannot be written");
        }
    }

    /// Notes that writing succeeded. Logs it after a failure.
    pub(super) fn works(&self) {
        if self.has_failed.swap(false, Relaxed) {
            info!("lines can be written again");
        }
    }
}

impl Item {
    /// Returns how many bytes of memory the item counts for.
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

/// Returns how many bytes of memory a request counts for. An entry has its bytes twice, the second
/// time in lower case, and the decoded parts.
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

    /// Takes all items out of the queue. Returns first number, last number and count of each gap,
    /// and for a request its number twice and 0.
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
        offers.queue_gaps();
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
        offers.queue_gaps();
        let then = told(&waiting, &captures.state);
        assert_eq!(then, [(3, 999, 997), (2, 2, 1)]);
    }
}
