//! Writes what arrives into the hub's ring, not faster than the hub's history takes it from there.
//!
//! In: records, each with a permit. Out: the same in memcached, as a responder writes them. The
//! permit is free again when the history has the record. What is lost in between, because
//! memcached or the viewer was killed, is written again.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::bail;
use forever200_ring::{Counts, Record, SLOTS, Sent, Store, StoreError};
use forever200_viewer::history::{self, Ledger, Version};
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tracing::warn;

/// Records in the ring that the history does not have yet, at most: as many as may be in flight
/// of one sensor. The rest of the slots is for what comes to the hub itself.
pub(crate) const WINDOW: usize = history::WINDOW;
const _: () = assert!((WINDOW as u64) < SLOTS);
/// Time between two looks at the history while something is awaited from it.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// A record that the history does not have after this time may have left the ring: usually it takes
/// a tenth of it.
const OVERDUE: Duration = Duration::from_secs(2);
/// How often a record is written again that leaves the ring each time, though the history takes
/// others. Then it is given up: it would keep one of the permits that all sensors share for ever.
const MOST_LOSSES: u32 = 10;
/// Pause where memcached is away, or has just been emptied and not been given its numbers back.
const MEMCACHED_PAUSE: Duration = Duration::from_millis(200);

/// A record for the ring, with one of the [`WINDOW`] permits.
pub(crate) struct Arrival {
    pub(crate) record: Record,
    #[expect(dead_code, reason = "it is free again when this is dropped")]
    pub(crate) permit: OwnedSemaphorePermit,
    #[expect(dead_code, reason = "its other end is told when this is dropped")]
    pub(crate) done: oneshot::Sender<()>,
    /// How often it was lost from the ring, though the history took others.
    pub(crate) losses: u32,
}

/// The history was removed or replaced.
#[derive(Debug, thiserror::Error)]
#[error("the history is another file than before: all that the stream has is collected again")]
pub(crate) struct AnotherHistory;

/// Knows what was written and is not in the history yet.
pub(crate) struct RingWriter {
    store: Store,
    ledger: Ledger,
    awaited: Vec<Awaited>,
    /// Version of the history at the last look; `None` where there was none.
    version: Option<Version>,
    /// Which file it was when there last was one.
    file: Option<(u64, u64)>,
    is_away: bool,
    /// How often the history had changed at a look.
    changes: u64,
    given_up: u64,
}

struct Awaited {
    arrival: Arrival,
    since: Instant,
    /// How often the history had changed when it was written.
    changes: u64,
}

impl RingWriter {
    /// Makes a writer for the ring in `store`, and the history that follows it.
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

    /// Writes what comes, for ever.
    ///
    /// # Errors
    /// The history cannot be read any more, or another one has begun: then all is to be collected
    /// again.
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
                () = sleep(LOOK_INTERVAL), if !self.awaited.is_empty() => {
                    self.settle()?;
                    let lost = self.take_lost().await?;
                    self.write(lost).await;
                }
            }
        }
    }

    /// Drops what the history has already, or will have: a sensor that begins anew repeats a
    /// little.
    fn without_known(&mut self, due: Vec<Arrival>) -> anyhow::Result<Vec<Arrival>> {
        let mut unknown: Vec<Arrival> = Vec::with_capacity(due.len());
        for arrival in due {
            let id = sent(&arrival.record);
            let awaited = self.awaited.iter().map(|it| &it.arrival);
            let is_in_flight = awaited.chain(&unknown).any(|it| sent(&it.record) == id);
            if !is_in_flight && !self.has(&arrival.record)? {
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

    /// Writes records, each under a number of this ring; tries again until memcached takes them.
    async fn write(&mut self, mut due: Vec<Arrival>) {
        while !due.is_empty() {
            match self.write_once(&mut due).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) if self.is_away => drop(error),
                Err(error) => warn!(%error, "collecting waits for memcached"),
            }
            self.is_away = true;
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

    /// Writes records, each under a number of this ring. Returns `false`, and writes nothing, where
    /// memcached was emptied: it gets its cursor back from the viewer.
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
        // A minute of years ago would be a key that nobody reads.
        counts.expire(Timestamp::now());
        let mut records: Vec<Record> = due.iter().map(|it| it.record.clone()).collect();
        for record in &mut records {
            record.continues = self.number_here(record, due);
        }
        self.store.write(&records, &counts).await?;
        Ok(true)
    }

    /// Returns the number here of the request that a record continues, which has that of the
    /// sensor; `None` where it has not come.
    fn number_here(&mut self, record: &Record, due: &[Arrival]) -> Option<u64> {
        let of_sensor = Sent {
            seq: record.continues?,
            ..record.sensor.as_deref()?.clone()
        };
        let id = (&*of_sensor.name, of_sensor.era, of_sensor.seq);
        let awaited = self.awaited.iter().map(|it| &it.arrival);
        let in_flight = awaited
            .chain(due)
            .find(|it| sent(&it.record) == Some(id))
            .map(|it| it.record.seq);
        in_flight.or_else(|| self.ledger.number_of(&of_sensor).ok().flatten())
    }

    /// Lets go of what the history has.
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
        for awaited in std::mem::take(&mut self.awaited) {
            if !self.has(&awaited.arrival.record)? {
                self.awaited.push(awaited);
            }
        }
        Ok(())
    }

    /// Takes out what is overdue and not in the ring any more, or went into a history that is gone.
    /// What is in neither place is lost, or between the two: then it is written twice, and the
    /// history takes it once.
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
                // It is asked for again.
                Err(_) => self.awaited.push(awaited),
            }
        }
        Ok(lost)
    }

    /// Returns what is lost, to be written again; `None` where that was tried often enough. A loss
    /// counts where the history has changed since: a viewer that does not run takes nothing.
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
            let id = sent(&arrival.record);
            warn!(
                ?id,
                given_up, "the history does not take a request: it is given up"
            );
        }
        None
    }
}

/// What a request is known by.
fn sent(record: &Record) -> Option<(&str, u64, u64)> {
    let Sent { name, era, seq, .. } = record.sensor.as_deref()?;
    Some((name, *era, *seq))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use forever200_ring::{KnownRing, Ring};
    use tokio::sync::Semaphore;

    use super::*;

    /// Its line is too long to be read again. `message::read` refuses such a record.
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
        // The viewer does not run: that costs nothing.
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
