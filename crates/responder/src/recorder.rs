//! Moves records to the store, and makes memcached whole again when it has lost them.
//!
//! In: records and counts from connections, through a bounded inbox that takes them at once; whoever
//! likes can wait until memcached has them. Out: the ring in memcached. A record that falls out of the
//! full inbox is still counted: memcached would have rolled over it anyway.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forever200_ring::{Counts, Record, Ring, SLOTS, Store, StoreError};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

/// How often a quiet recorder looks whether memcached still has what it should.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest and longest wait before memcached is tried again.
const RETRY_DELAY: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_secs(1);
/// A delay that is reached only when memcached is away for longer than it takes to start beside us.
const WORTH_REPORTING: Duration = Duration::from_millis(150);
/// How often numbers are drawn in one turn while memcached turns out to have been emptied meanwhile.
const MAX_DRAWS: usize = 4;

/// Longest turn for whose end answers wait. It takes a fraction of a millisecond; who is answered 20 ms late
/// notices, and a record may have to wait for one turn's end, for its own to begin, and then for its end.
const STORE_TIME: Duration = Duration::from_millis(9);
/// Shortest time from the beginning of a turn that wrote several records to the next. A turn wakes memcached twice and
/// this program twice: with one for each few requests, they took half as much CPU time again at half of the full rate,
/// or beside other programs. tokio's timers take up to a millisecond more.
const TURN_INTERVAL: Duration = Duration::from_millis(1);
/// So many records are worth a turn at once. With twice as many, fewer requests a second are answered.
const ENOUGH_RECORDS: usize = 16;

/// The connections' end: takes records without waiting.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Inbox>);

#[derive(Debug, Default)]
struct Inbox {
    pending: Mutex<Pending>,
    /// Those who wait for what is being written.
    writing: Mutex<Waiters>,
    /// memcached did not take what it was last given, or not in time.
    away: AtomicBool,
    wake: Notify,
    /// [`ENOUGH_RECORDS`] wait.
    enough: Notify,
}

/// Dropped when nobody needs to wait any more: memcached has it, or takes too long, or did not take it.
///
/// One timer for all of them, in [`Recorder::run`]: tokio wakes its own thread, by a system call, for each timer
/// that ends sooner than all others, as each of theirs would.
type Waiters = watch::Sender<()>;

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
struct Unnumbered {
    record: Record,
    /// Is told the number of this record.
    number: Option<Number>,
    /// The number of the record that it continues.
    continues: Option<Number>,
}

impl Unnumbered {
    fn with_number(self, seq: u64) -> Record {
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

/// What waits for memcached.
#[derive(Debug, Default)]
struct Pending {
    /// The newest records, at most [`SLOTS`], the oldest first.
    records: VecDeque<Unnumbered>,
    /// Number of requests, including those whose record fell out.
    requests: u64,
    counts: Counts,
    waiters: Waiters,
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

    fn is_empty(&self) -> bool {
        self.requests == 0 && self.counts == Counts::default()
    }
}

impl Recorder {
    /// Takes a record at once. The future ends when memcached has it, or when waiting for that is over: after
    /// 20 ms, or at once while memcached is away.
    ///
    /// A client that is answered after it normally has a record that outlives this process. Not
    /// when memcached took longer than that, or is away.
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

    /// Takes a record that continues another one, which was taken before. Nobody waits for it.
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
                let _ = settled.changed().await;
            }
        }
    }

    /// Counts a connection that never sent a byte.
    pub fn silent(&self) {
        self.pending().counts.silent += 1;
        self.0.wake.notify_one();
    }

    /// Writes to the store until `stop` turns true, then once more, and returns.
    ///
    /// Trouble with memcached is logged once when it begins and once when it ends.
    pub async fn run(self, store: Store, mut stop: watch::Receiver<bool>) {
        let mut writer = Writer::new(store);
        let mut retry_delay = None;
        let mut reported = false;
        loop {
            let (stopping, begun) = (*stop.borrow_and_update(), Instant::now());
            let turn = self.in_time(writer.turn(&self)).await;
            let pressed = matches!(turn, Ok(2..));
            match turn {
                Ok(_) => {
                    self.0.away.store(false, Ordering::Relaxed);
                    drop(std::mem::take(&mut *self.writing()));
                    retry_delay = None;
                    if std::mem::take(&mut reported) {
                        info!(cursor = writer.cursor, "memcached is back");
                    }
                }
                Err(error) => {
                    self.nobody_waits();
                    let doubled =
                        retry_delay.map_or(*RETRY_DELAY.start(), |delay: Duration| delay * 2);
                    if doubled > WORTH_REPORTING && !std::mem::replace(&mut reported, true) {
                        warn!(%error, "memcached is away, the last {SLOTS} requests are kept in memory");
                    }
                    retry_delay = Some(doubled.min(*RETRY_DELAY.end()));
                }
            }
            if stopping {
                break;
            }
            tokio::select! {
                _ = stop.changed() => {}
                () = tokio::time::sleep(retry_delay.unwrap_or_default()), if retry_delay.is_some() => {}
                _ = timeout(CHECK_INTERVAL, self.0.wake.notified()), if retry_delay.is_none() => {}
            }
            if pressed && self.pending().records.len() < ENOUGH_RECORDS {
                let _ = timeout_at(begun + TURN_INTERVAL, self.0.enough.notified()).await;
            }
        }
        let lost = self.pending().requests;
        if lost > 0 {
            warn!(lost, "stopped while memcached was away");
        }
    }

    /// Waits for a turn's end; those who wait with it, for no longer than they should.
    async fn in_time<T>(
        &self,
        turn: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut turn = pin!(turn);
        if let Ok(done) = timeout(STORE_TIME, &mut turn).await {
            return done;
        }
        self.nobody_waits();
        turn.await
    }

    /// Lets those go who wait, and whoever comes until a turn succeeds: also those who came during the turn, whom the
    /// next may not even take.
    fn nobody_waits(&self) {
        self.0.away.store(true, Ordering::Relaxed);
        drop((
            std::mem::take(&mut *self.writing()),
            std::mem::take(&mut self.pending().waiters),
        ));
    }

    fn take(&self) -> Pending {
        let mut taken = std::mem::take(&mut *self.pending());
        *self.writing() = std::mem::take(&mut taken.waiters);
        taken
    }

    /// Puts back what could not be numbered, in front of what came meanwhile.
    fn untake(&self, mut older: Pending) {
        let mut pending = self.pending();
        older.records.append(&mut pending.records);
        older.trim();
        older.requests += pending.requests;
        older.counts.add(&pending.counts);
        older.counts.expire(Timestamp::now());
        (pending.records, pending.requests, pending.counts) =
            (older.records, older.requests, older.counts);
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, Waiters> {
        self.0
            .writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store's end: what memcached should hold, as far as this responder knows.
struct Writer {
    store: Store,
    /// The last 101 records, to put back should memcached lose them.
    ring: Ring,
    cursor: u64,
    counts: Counts,
    since: Timestamp,
    /// Time of the first request ever.
    first: Option<Timestamp>,
    sync: Sync,
}

#[derive(PartialEq, Eq)]
enum Sync {
    /// memcached may lack anything: at the start, after an error, after it was emptied.
    Unknown,
    /// Records were written since memcached was last compared with memory.
    Written,
    /// memcached held all of it when last compared.
    Compared,
}

impl Writer {
    fn new(store: Store) -> Self {
        Self {
            store,
            ring: Ring::default(),
            cursor: 0,
            counts: Counts::default(),
            since: Timestamp::now(),
            first: None,
            sync: Sync::Unknown,
        }
    }

    /// Writes what is pending; where nothing is, looks whether memcached still has the rest. Returns the number of records
    /// that were written.
    async fn turn(&mut self, recorder: &Recorder) -> Result<usize, StoreError> {
        if self.sync == Sync::Unknown {
            self.reconcile().await?;
        }
        let pending = recorder.take();
        if pending.is_empty() {
            return self.check().await.map(|()| 0);
        }
        let last = match self.draw_numbers(pending.requests).await {
            Ok(Some(last)) => last,
            not_drawn => {
                self.sync = Sync::Unknown;
                recorder.untake(pending);
                return not_drawn.map(|_| 0);
            }
        };
        let first_to_last = last + 1 - pending.records.len() as u64..=last;
        let numbered = first_to_last.zip(pending.records);
        let records: Vec<_> = numbered
            .map(|(seq, record)| record.with_number(seq))
            .collect();
        records
            .iter()
            .for_each(|record| self.ring.insert(record.clone()));
        self.first = self
            .first
            .or(self.ring.get(1).map(|record| record.timestamp));
        self.counts.add(&pending.counts);
        let written = self.store.write(&records, &pending.counts).await;
        self.sync = if written.is_ok() {
            Sync::Written
        } else {
            Sync::Unknown
        };
        written.map(|()| records.len())
    }

    /// Moves the cursor on by `count` and returns it; `None` when memcached keeps answering with less
    /// than it should, for a later turn.
    ///
    /// memcached never answers with less than before, unless it was restarted: then what it had is
    /// put back first, and the numbers are drawn again.
    async fn draw_numbers(&mut self, count: u64) -> Result<Option<u64>, StoreError> {
        if count == 0 {
            return Ok(Some(self.cursor));
        }
        for _ in 0..MAX_DRAWS {
            let last = self.store.advance(count).await?;
            if last >= self.cursor + count {
                self.cursor = last;
                return Ok(Some(last));
            }
            self.reconcile().await?;
        }
        Ok(None)
    }

    async fn check(&mut self) -> Result<(), StoreError> {
        let checked = match self.sync {
            Sync::Compared => self
                .store
                .cursor()
                .await
                .map(|cursor| cursor >= self.cursor),
            _ => Ok(false),
        };
        match checked {
            Ok(true) => Ok(()),
            Ok(false) => self.reconcile().await,
            Err(error) => {
                self.sync = Sync::Unknown;
                Err(error)
            }
        }
    }

    /// Compares memcached with memory and gives each what only the other has.
    async fn reconcile(&mut self) -> Result<(), StoreError> {
        let lost_track = std::mem::replace(&mut self.sync, Sync::Unknown) == Sync::Unknown;
        let snapshot = self.store.snapshot().await?;
        let restarted = snapshot.cursor < self.cursor;
        if restarted {
            info!(
                cursor = self.cursor,
                found = snapshot.cursor,
                "memcached was restarted, putting the ring back"
            );
        }
        self.cursor = self.cursor.max(snapshot.cursor);
        self.since = snapshot.since.unwrap_or(self.since);
        self.first = snapshot.first.or(self.first);
        self.counts.expire(Timestamp::now());
        // Up to 1,500 minutes, so only when some may be missing.
        let counts = (lost_track || restarted || snapshot.silent < self.counts.silent)
            .then_some(&self.counts);
        self.store
            .put_back(
                &snapshot,
                self.cursor,
                &self.ring,
                counts,
                self.since,
                self.first,
            )
            .await?;
        for record in snapshot.ring.newest_first() {
            self.ring.insert(record.clone());
        }
        self.counts.silent = self.counts.silent.max(snapshot.silent);
        self.sync = Sync::Compared;
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use forever200_ring::{Ended, Via};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    fn record() -> Record {
        Record {
            seq: 0,
            timestamp: Timestamp::UNIX_EPOCH,
            src_ip: Ipv4Addr::LOCALHOST.into(),
            src_port: 1,
            dest_ip: Ipv4Addr::LOCALHOST.into(),
            dest_port: 80,
            via: Via::Peer,
            bytes: 0,
            extra: 0,
            truncated: false,
            ended: Ended::Complete,
            continues: None,
            responder: "r".into(),
            raw: bytes::Bytes::new(),
        }
    }

    #[tokio::test]
    async fn who_comes_while_memcached_goes_away_waits_no_longer_than_others() -> anyhow::Result<()>
    {
        let memcached = TcpListener::bind("127.0.0.1:0").await?;
        let store = Store::new(memcached.local_addr()?.to_string());
        let (recorder, (stop, stopping)) = (Recorder::default(), watch::channel(false));
        let running = tokio::spawn(recorder.clone().run(store, stopping));
        let first = recorder.record(record());
        let (mut connection, _) = memcached.accept().await?;
        connection.read_u8().await?;
        // In the middle of the first one's turn, which now fails as every one that follows.
        let second = recorder.record(record());
        drop((connection, memcached));
        timeout(Duration::from_secs(1), async {
            tokio::join!(first, second)
        })
        .await?;
        stop.send(true)?;
        Ok(running.await?)
    }
}
