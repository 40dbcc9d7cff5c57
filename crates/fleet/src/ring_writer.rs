//! Writes what arrives into the hub's ring, not faster than the hub's history takes it from there.
//!
//! In: records, each with a place in the window. Out: the same in memcached, as a responder writes
//! them. A place is free again when the history has the record. What gets lost on the way, because
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

/// Records in the ring that the history does not have yet, at most: as many as may be on their way
/// of one sensor. The rest of the slots is for what comes to the hub itself.
pub(crate) const WINDOW: usize = history::WINDOW;
const _: () = assert!((WINDOW as u64) < SLOTS);
/// Time between two looks at the history while something is awaited from it.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// A record that the history does not have after this time may have left the ring: usually it takes
/// a tenth of it.
const OVERDUE: Duration = Duration::from_secs(2);
/// Pause where memcached is away, or has just been emptied and not been given its numbers back.
const MEMCACHED_PAUSE: Duration = Duration::from_millis(200);

/// A record on its way into the ring, with its place in the window.
pub(crate) struct Arrival {
    pub(crate) record: Record,
    #[expect(dead_code, reason = "it is free again when this is dropped")]
    pub(crate) place: OwnedSemaphorePermit,
    #[expect(dead_code, reason = "its other end is told when this is dropped")]
    pub(crate) way: oneshot::Sender<()>,
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
}

struct Awaited {
    arrival: Arrival,
    since: Instant,
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
            let is_on_its_way = awaited.chain(&unknown).any(|it| sent(&it.record) == id);
            if !is_on_its_way && !self.has(&arrival.record)? {
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
        let since = Instant::now();
        let written = due.into_iter();
        self.awaited
            .extend(written.map(|arrival| Awaited { arrival, since }));
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
        let on_its_way = awaited
            .chain(due)
            .find(|it| sent(&it.record) == Some(id))
            .map(|it| it.record.seq);
        on_its_way.or_else(|| self.ledger.number_of(&of_sensor).ok().flatten())
    }

    /// Lets go of what the history has.
    fn settle(&mut self) -> anyhow::Result<()> {
        let version = self.ledger.version()?;
        if std::mem::replace(&mut self.version, version) == version {
            return Ok(());
        }
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
                Ok(_) => lost.push(awaited.arrival),
                // It is asked for again.
                Err(_) => self.awaited.push(awaited),
            }
        }
        Ok(lost)
    }
}

/// What a request is known by.
fn sent(record: &Record) -> Option<(&str, u64, u64)> {
    let Sent { name, era, seq, .. } = record.sensor.as_deref()?;
    Some((name, *era, *seq))
}
