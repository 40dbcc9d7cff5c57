//! Writes arriving records into the hub's ring, not faster than the hub's history takes them from
//! there.
//!
//! In: records, each with a permit. Out: these records in memcached, as a responder writes them.
//! The permit is free again when the history has the record. A record that is lost in between,
//! because memcached or the viewer was killed, is written again.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::bail;
use forever200_ring::{Counts, Record, SLOTS, Sent, Store, StoreError};
use forever200_viewer::history::{self, Ledger, Version};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tracing::warn;

/// Most records of all sensors together in the ring that the history does not have yet. The other
/// slots are for requests that come to the hub itself. This is also the most records of one sensor
/// in flight.
pub(crate) const WINDOW: usize = history::WINDOW;
const _: () = assert!((WINDOW as u64) < SLOTS);
/// Time between two polls of the history while it does not have all records.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// A record that the history does not have after this time is overdue: it may have left the ring.
/// Usually the history takes a record within a tenth of this time.
const OVERDUE: Duration = Duration::from_secs(2);
/// How often a record is written again if it leaves the ring each time while the history takes
/// others. Then it is given up. Otherwise it would for ever hold one of the permits, which all
/// sensors share.
const MOST_LOSSES: u32 = 10;
/// Pause while memcached is away, or is empty and the viewer has not restored its cursor yet.
const MEMCACHED_PAUSE: Duration = Duration::from_millis(200);

/// A record for the ring, with one of the [`WINDOW`] permits.
pub(crate) struct Arrival {
    pub(crate) record: Record,
    #[expect(dead_code, reason = "the permit is free again when this is dropped")]
    pub(crate) permit: OwnedSemaphorePermit,
    #[expect(dead_code, reason = "the receiver is woken when this is dropped")]
    pub(crate) done: oneshot::Sender<()>,
    /// How often the record was lost from the ring while the history took others.
    pub(crate) losses: u32,
}

/// The history was removed or replaced.
#[derive(Debug, thiserror::Error)]
#[error("the history is not the same file as before: all of the stream is collected again")]
pub(crate) struct AnotherHistory;

/// Writes records into the ring, and remembers those that are not in the history yet.
pub(crate) struct RingWriter {
    store: Store,
    ledger: Ledger,
    awaited: Vec<Awaited>,
    /// Version of the history at the last poll; `None` where there was no history.
    version: Option<Version>,
    /// Device and inode of the history's file, at the last poll that found one.
    file: Option<(u64, u64)>,
    /// memcached does not take records now, which was logged. While this is set, failures are not
    /// logged.
    is_away: bool,
    /// At how many polls the history had changed.
    changes: u64,
    given_up: u64,
}

struct Awaited {
    arrival: Arrival,
    since: Instant,
    /// The writer's `changes` when the record was written.
    changes: u64,
}

impl RingWriter {
    /// Makes a writer for the ring in `store`, and for the history that is filled from this ring.
    #[must_use]
    pub(crate) fn new(store: Store, ledger: Ledger) -> Self {
        Self {
            store,
            ledger,
            awaited: Vec::with_capacity(WINDOW),
            version: None,
            file: None,
            is_away: false,
            changes: 0,
            given_up: 0,
        }
    }

    /// Writes arriving records for ever.
    ///
    /// # Errors
    /// The history cannot be read any more, or another one has begun. Then everything has to be
    /// collected again.
    pub(crate) async fn run(
        mut self,
        mut arrivals: mpsc::Receiver<Arrival>,
    ) -> anyhow::Result<Infallible> {
        loop {
            tokio::select! {
                arrival = arrivals.recv() => {
                    let Some(first) = arrival else { bail!("no task is left") };
                    let mut due = vec![first];
                    while let Ok(more) = arrivals.try_recv() {
                        due.push(more);
                    }
                    let due = self.without_known(due)?;
                    self.write(due).await;
                }
                () = sleep(POLL_INTERVAL), if !self.awaited.is_empty() => {
                    self.settle()?;
                    let lost = self.take_lost().await?;
                    self.write(lost).await;
                }
            }
        }
    }

    /// Returns the records that the history does not have, and that are not in flight to it. Drops
    /// the others: a task that starts again hands on a few records twice.
    fn without_known(&mut self, due: Vec<Arrival>) -> anyhow::Result<Vec<Arrival>> {
        let arrived = self.ledger.has_each(due.iter().map(|it| &it.record))?;
        let mut unknown: Vec<Arrival> = Vec::with_capacity(due.len());
        for (arrival, has_arrived) in due.into_iter().zip(arrived) {
            let id = id_at_sensor(&arrival.record);
            let awaited = self.awaited.iter().map(|it| &it.arrival);
            let is_in_flight = awaited
                .chain(&unknown)
                .any(|it| id_at_sensor(&it.record) == id);
            if !is_in_flight && !has_arrived {
                unknown.push(arrival);
            }
        }
        Ok(unknown)
    }

    fn has(&mut self, record: &Record) -> anyhow::Result<bool> {
        match &record.sensor {
            Some(sent) => self.ledger.has(sent),
            None => Ok(false),
        }
    }

    /// Writes records, each under a number of this ring, and tries again until memcached takes
    /// them.
    async fn write(&mut self, mut due: Vec<Arrival>) {
        while !due.is_empty() {
            match self.write_once(&mut due).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => {
                    if !self.is_away {
                        warn!(%error, "collecting waits for memcached");
                    }
                    self.is_away = true;
                }
            }
            sleep(MEMCACHED_PAUSE).await;
        }
        if !due.is_empty() {
            self.is_away = false;
        }
        let (since, changes) = (Instant::now(), self.changes);
        self.awaited.extend(due.into_iter().map(|arrival| Awaited {
            arrival,
            since,
            changes,
        }));
    }

    /// Writes records, each under a number of this ring. Returns `false`, and writes no record,
    /// where memcached was emptied: first the viewer has to restore the cursor.
    ///
    /// # Errors
    /// memcached did not take them.
    async fn write_once(&mut self, due: &mut [Arrival]) -> Result<bool, StoreError> {
        let last = self.store.advance(due.len() as u64).await?;
        if last < due.len() as u64 {
            return Ok(false);
        }
        let first = last + 1 - due.len() as u64;
        let mut counts = Counts::default();
        for (seq, arrival) in (first..).zip(due.iter_mut()) {
            arrival.record.seq = seq;
            counts.request(arrival.record.timestamp);
        }
        // Counts of minutes that are long past would be keys that nobody reads.
        counts.expire(Timestamp::now());
        let mut records: Vec<Record> = due.iter().map(|it| it.record.clone()).collect();
        for record in &mut records {
            record.continues = self.number_here(record, due);
        }
        self.store.write(&records, &counts).await?;
        Ok(true)
    }

    /// Returns the number that the hub gave to the request that a record continues; `None` where
    /// that request has not come. `record.continues` is its number at the sensor.
    fn number_here(&mut self, record: &Record, due: &[Arrival]) -> Option<u64> {
        let of_sensor = Sent {
            seq: record.continues?,
            ..record.sensor.as_deref()?.clone()
        };
        let id = (&*of_sensor.name, of_sensor.era, of_sensor.seq);
        let awaited = self.awaited.iter().map(|it| &it.arrival);
        let in_flight = awaited
            .chain(due)
            .find(|it| id_at_sensor(&it.record) == Some(id))
            .map(|it| it.record.seq);
        in_flight.or_else(|| self.ledger.number_of(&of_sensor).ok().flatten())
    }

    /// Forgets the records that the history has, which frees their permits.
    fn settle(&mut self) -> anyhow::Result<()> {
        let version = self.ledger.version()?;
        if std::mem::replace(&mut self.version, version) == version {
            return Ok(());
        }
        self.changes += 1;
        if let Some(now) = version {
            let before = self.file.replace(now.file);
            if before.is_some_and(|file| file != now.file) {
                return Err(AnotherHistory.into());
            }
        }
        let awaited = std::mem::take(&mut self.awaited);
        let records = awaited.iter().map(|it| &it.arrival.record);
        let arrived = self.ledger.has_each(records)?;
        for (awaited, has_arrived) in awaited.into_iter().zip(arrived) {
            if !has_arrived {
                self.awaited.push(awaited);
            }
        }
        Ok(())
    }

    /// Removes and returns overdue records that are neither in the ring nor in the history; without
    /// a history, all overdue ones. The viewer may have read such a record and not stored it yet.
    /// Then it is written twice, and the history takes it once.
    async fn take_lost(&mut self) -> anyhow::Result<Vec<Arrival>> {
        let mut lost = Vec::new();
        for mut awaited in std::mem::take(&mut self.awaited) {
            if awaited.since.elapsed() < OVERDUE {
                self.awaited.push(awaited);
                continue;
            }
            awaited.since = Instant::now();
            let record = awaited.arrival.record.clone();
            let has_history = self.version.is_some();
            match self.store.record(record.seq).await {
                Ok(Some(held)) if has_history && held.sensor == record.sensor => {
                    self.awaited.push(awaited);
                }
                Ok(_) if self.has(&record)? => {}
                Ok(_) => lost.extend(self.unless_given_up(awaited)),
                // memcached does not answer. The record is looked for again later.
                Err(_) => self.awaited.push(awaited),
            }
        }
        Ok(lost)
    }

    /// Returns a lost record, which is to be written again; `None` after too many losses. A loss
    /// counts only if the history has changed since the record was written: a viewer that does not
    /// run stores nothing.
    fn unless_given_up(&mut self, awaited: Awaited) -> Option<Arrival> {
        let mut arrival = awaited.arrival;
        if awaited.changes != self.changes {
            arrival.losses += 1;
        }
        if arrival.losses <= MOST_LOSSES {
            return Some(arrival);
        }
        self.given_up += 1;
        let given_up = self.given_up;
        if given_up == 10_u64.pow(given_up.ilog10()) {
            let id = id_at_sensor(&arrival.record);
            warn!(
                ?id,
                given_up, "the history does not take a request: it is given up"
            );
        }
        None
    }
}

/// Returns the name, era and number by which the hub recognises a record; `None` where no sensor
/// sent it.
fn id_at_sensor(record: &Record) -> Option<(&str, u64, u64)> {
    let Sent { name, era, seq, .. } = record.sensor.as_deref()?;
    Some((name, *era, *seq))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use forever200_ring::{KnownRing, Ring};
    use tokio::sync::Semaphore;

    use super::*;

    /// Returns a record whose line is too long to be read again. `message::read` refuses such a
    /// record.
    fn unreadable() -> Record {
        let tls = forever200_ring::Tls {
            sni: Some("x".repeat(forever200_ring::record::MAX_LINE_BYTES)),
            ..forever200_ring::Tls::default()
        };
        Record {
            tls: Some(Box::new(tls)),
            ..forever200_testkit::record(1, b"GET / HTTP/1.1\r\n\r\n")
        }
    }

    #[tokio::test]
    async fn what_the_history_never_takes_frees_its_permit_after_some_attempts() {
        let memcached = forever200_testkit::Memcached::start().await.unwrap();
        let store = Store::new(memcached.address());
        let empty = store.snapshot().await.unwrap();
        let numbers = KnownRing {
            cursor: 1,
            ring: &Ring::default(),
            counts: None,
            since: Timestamp::now(),
            first: None,
        };
        store.put_back(&empty, numbers).await.unwrap();
        let mut writer = RingWriter::new(store, Ledger::new("/nowhere".into()));
        let window = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&window).acquire_owned().await.unwrap();
        let (done, _end) = oneshot::channel();
        let mut due = vec![Arrival {
            record: unreadable(),
            permit,
            done,
            losses: 0,
        }];
        let mut attempts = 0;
        // At first the viewer does not run: these attempts do not count.
        let mut changes = std::iter::repeat_n(0, 20).chain(std::iter::repeat(1));
        while !due.is_empty() {
            attempts += 1;
            assert!(
                attempts <= 20 + MOST_LOSSES + 1,
                "it keeps its permit for ever"
            );
            writer.write(std::mem::take(&mut due)).await;
            writer.awaited[0].since -= OVERDUE;
            writer.changes += changes.next().unwrap();
            due = writer.take_lost().await.unwrap();
        }
        assert_eq!(attempts, 20 + MOST_LOSSES + 1);
        assert_eq!(window.available_permits(), 1);
    }
}
