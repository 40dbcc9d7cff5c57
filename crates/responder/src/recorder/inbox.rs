//! The connections' end of the recorder: takes records and counts at once, and holds them until the
//! writer takes them.
//!
//! In: records and counts from connections. Out: what is pending, for the writer, and for each
//! record a future that ends when waiting for memcached is over. The inbox is bounded. A record
//! that does not fit any more is counted and not kept: the ring would have rolled over it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forever200_ring::{ByPort, Counts, Record, SLOTS};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

/// With so many records pending, the writer begins to write at once. At twice as many, fewer
/// requests a second are answered.
pub(super) const ENOUGH_RECORDS: usize = 16;

/// The connections' end: takes records without waiting.
#[derive(Clone, Debug, Default)]
pub struct Recorder(pub(super) Arc<Inbox>);

#[derive(Debug, Default)]
pub(super) struct Inbox {
    pending: Mutex<Pending>,
    /// Connections that wait for what is being written.
    writing: Mutex<Waiters>,
    /// memcached did not take what it was last given, or not in time.
    pub(super) away: AtomicBool,
    pub(super) wake: Notify,
    /// Notified when [`ENOUGH_RECORDS`] are pending.
    pub(super) enough: Notify,
}

/// Dropped when no connection needs to wait any more: memcached has the records, takes too long, or
/// did not take them.
///
/// One timer for all of them, in [`Recorder::run`]: tokio wakes its own thread, by a system call,
/// for each timer that ends sooner than all others, as each of theirs would.
pub(super) type Waiters = watch::Sender<()>;

/// The sequence number of one record, once it has one: by it, a later record names an earlier one.
/// A record that falls out of the full inbox never learns its number.
#[derive(Clone, Debug, Default)]
pub struct Number(Arc<AtomicU64>);

impl Number {
    /// Returns the number; `None` while there is none.
    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&seq| seq > 0)
    }

    fn set(&self, seq: u64) {
        self.0.store(seq, Ordering::Relaxed);
    }
}

/// A record on its way to a number.
#[derive(Debug)]
pub(super) struct Unnumbered {
    record: Record,
    /// Is told the number of this record.
    number: Option<Number>,
    /// The number of the record that it continues.
    continues: Option<Number>,
}

impl Unnumbered {
    pub(super) fn with_number(self, seq: u64) -> Record {
        if let Some(number) = &self.number {
            number.set(seq);
        }
        let continues = self.continues.and_then(|first| first.get());
        Record {
            seq,
            continues,
            ..self.record
        }
    }
}

/// What was taken from connections and not yet by the writer.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The newest records, at most [`SLOTS`], the oldest first.
    pub(super) records: VecDeque<Unnumbered>,
    /// Number of requests, including those whose record fell out.
    pub(super) requests: u64,
    pub(super) counts: Counts,
    /// Silent connections by port.
    pub(super) silent_ports: ByPort,
    pub(super) waiters: Waiters,
}

impl Pending {
    fn push(&mut self, unnumbered: Unnumbered) {
        self.requests += 1;
        self.counts.request(unnumbered.record.timestamp);
        self.records.push_back(unnumbered);
        self.trim();
    }

    fn trim(&mut self) {
        while self.records.len() as u64 > SLOTS {
            self.records.pop_front();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests == 0 && self.counts == Counts::default()
    }
}

impl Recorder {
    /// Takes a record at once. The future ends when memcached has it, or when waiting for that is
    /// over: after 20 ms at most, and at once while memcached is away.
    ///
    /// So a client that is answered after it normally has a record that outlives this process. The
    /// exceptions are a turn of the writer that takes more than 9 ms, and a memcached that is away:
    /// then the record is only in this process until a turn succeeds.
    pub fn record(&self, record: Record) -> impl Future<Output = ()> + use<> {
        self.push(Unnumbered {
            record,
            number: None,
            continues: None,
        })
    }

    /// The same; `number` tells the record's sequence number as soon as it has one.
    pub fn record_numbered(
        &self,
        record: Record,
        number: &Number,
    ) -> impl Future<Output = ()> + use<> {
        self.push(Unnumbered {
            record,
            number: Some(number.clone()),
            continues: None,
        })
    }

    /// Takes a record that continues another one, which was taken before. No connection waits for
    /// it.
    pub fn record_continuation(&self, record: Record, first: &Number) {
        drop(self.push(Unnumbered {
            record,
            number: None,
            continues: Some(first.clone()),
        }));
    }

    fn push(&self, unnumbered: Unnumbered) -> impl Future<Output = ()> + use<> {
        let mut settled = {
            let mut pending = self.pending();
            pending.push(unnumbered);
            if pending.records.len() == ENOUGH_RECORDS {
                self.0.enough.notify_one();
            }
            pending.waiters.subscribe()
        };
        self.0.wake.notify_one();
        let away = self.0.away.load(Ordering::Relaxed);
        async move {
            if !away {
                // Nothing is ever sent: this ends when the sender is dropped.
                let _ = settled.changed().await;
            }
        }
    }

    /// Counts a connection to this port that never sent a byte.
    pub fn silent(&self, port: u16) {
        let mut pending = self.pending();
        pending.counts.silent += 1;
        *pending.silent_ports.entry(port).or_default() += 1;
        drop(pending);
        self.0.wake.notify_one();
    }

    pub(super) fn take(&self) -> Pending {
        let mut taken = std::mem::take(&mut *self.pending());
        *self.writing() = std::mem::take(&mut taken.waiters);
        taken
    }

    /// Puts back what could not be numbered, in front of what was taken from connections meanwhile.
    pub(super) fn untake(&self, mut older: Pending) {
        let mut pending = self.pending();
        older.records.append(&mut pending.records);
        older.trim();
        older.requests += pending.requests;
        older.counts.add(&pending.counts);
        older.counts.expire(Timestamp::now());
        for (port, count) in older.silent_ports {
            *pending.silent_ports.entry(port).or_default() += count;
        }
        (pending.records, pending.requests, pending.counts) =
            (older.records, older.requests, older.counts);
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn writing(&self) -> MutexGuard<'_, Waiters> {
        self.0
            .writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Recorder {
    /// A recorder that makes no client wait, as while memcached is away.
    pub(crate) fn without_store() -> Self {
        let recorder = Self::default();
        recorder.0.away.store(true, Ordering::Relaxed);
        recorder
    }

    /// Numbers all that was taken, from 1 on, and returns it.
    pub(crate) fn numbered(&self) -> Vec<Record> {
        let taken = self.take();
        let numbered = (1..).zip(taken.records);
        numbered
            .map(|(seq, record)| record.with_number(seq))
            .collect()
    }
}
