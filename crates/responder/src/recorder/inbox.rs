//! The connections' end of the recorder: takes records and counts at once, and holds them until the
//! writer takes them.
//!
//! In: records and counts from connections. Out: what is pending, for the writer, and for each
//! record a future that ends when its connection need not wait for memcached any longer. The inbox
//! is bounded. If it is full, the oldest record is dropped and only counted: the ring would have
//! overwritten it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forever200_ring::{ByPort, Counts, Record, SLOTS};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

/// When this many records are pending, the writer begins at once. With twice this number, fewer
/// requests a second were answered.
pub(super) const ENOUGH_RECORDS: usize = 16;

/// The connections' end: takes records without waiting.
#[derive(Clone, Debug, Default)]
pub struct Recorder(pub(super) Arc<Inbox>);

#[derive(Debug, Default)]
pub(super) struct Inbox {
    pending: Mutex<Pending>,
    /// Releases the connections whose records are being written.
    writing: Mutex<Release>,
    /// memcached did not take the last turn, or not in time.
    pub(super) away: AtomicBool,
    pub(super) wake: Notify,
    /// Notified when [`ENOUGH_RECORDS`] are pending.
    pub(super) enough: Notify,
}

/// A connection that subscribes to this sender waits until the sender is dropped. That is when
/// memcached has the records, takes too long, or did not take them.
///
/// All connections share one timer, in `Recorder::in_time`. With a timer for each connection, tokio
/// would wake its own thread for each of them, by a system call.
pub(super) type Release = watch::Sender<()>;

/// The sequence number of one record, which is known once the writer has numbered the record. A
/// record that continues it refers to this number. A record that is dropped from the full inbox
/// never gets a number.
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

/// A record that has no number yet.
#[derive(Debug)]
pub(super) struct Unnumbered {
    record: Record,
    /// Gets the number of this record.
    number: Option<Number>,
    /// The number of the record that this one continues.
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

/// Records and counts that came from connections, and that the writer has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The newest records, at most [`SLOTS`], the oldest first.
    pub(super) records: VecDeque<Unnumbered>,
    /// Number of requests, including those whose record was dropped.
    pub(super) requests: u64,
    pub(super) counts: Counts,
    /// Silent connections by port.
    pub(super) silent_ports: ByPort,
    /// Releases the connections whose records are pending.
    pub(super) release: Release,
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
    /// Takes a record at once. Returns a future that ends when memcached has the record, or after
    /// 20 ms at most. While memcached is away, it ends at once.
    ///
    /// So the record of an answered request normally outlives this process. It does not if a turn
    /// of the writer takes more than 9 ms, or while memcached is away. Then only this process has
    /// the record until a turn succeeds.
    pub fn record(&self, record: Record) -> impl Future<Output = ()> + use<> {
        self.push(Unnumbered {
            record,
            number: None,
            continues: None,
        })
    }

    /// Takes a record as [`record`](Self::record) does, and writes its sequence number into
    /// `number` as soon as it is known.
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

    /// Takes a record that continues an earlier one, whose number is `first`. No connection waits
    /// for it.
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
            pending.release.subscribe()
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
        *self.writing() = std::mem::take(&mut taken.release);
        taken
    }

    /// Puts back records and counts that could not be numbered, before those that came meanwhile.
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

    pub(super) fn writing(&self) -> MutexGuard<'_, Release> {
        self.0
            .writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Recorder {
    /// Returns a recorder without memcached, so that no client waits for it.
    pub(crate) fn without_store() -> Self {
        let recorder = Self::default();
        recorder.0.away.store(true, Ordering::Relaxed);
        recorder
    }

    /// Numbers all pending records, from 1 on, and returns them.
    pub(crate) fn numbered(&self) -> Vec<Record> {
        let taken = self.take();
        let numbered = (1..).zip(taken.records);
        numbered
            .map(|(seq, record)| record.with_number(seq))
            .collect()
    }
}
