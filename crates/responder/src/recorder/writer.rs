//! The store's end of the recorder: numbers records, writes them to memcached, and puts back what
//! memcached has lost.
//!
//! In: the records and counts of the inbox, once each turn. Out: the ring in memcached. `run`
//! decides when a turn begins, and what happens after one that failed.

use std::time::Duration;

use forever200_ring::{Counts, KnownRing, Ring, SilentPorts, Store, StoreError};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};
use tracing::info;

use super::inbox::{Pending, Recorder};

/// How often numbers are drawn in one turn at most. They are drawn again if memcached was emptied
/// meanwhile.
const MAX_DRAWS: usize = 4;
/// Shortest time between two writes of the silent connections by port: each write is one more
/// round trip to memcached.
const PORTS_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait until a running viewer has restored a memcached that was emptied. The viewer polls
/// at least twice a second. No answer waits for this.
const RESTORE_TIME: Duration = Duration::from_secs(2);
/// Time between two polls for a cursor in memcached.
const RESTORE_INTERVAL: Duration = Duration::from_millis(20);

/// The store's end of the recorder: everything that memcached should hold, as far as this responder
/// knows.
pub(super) struct Writer {
    store: Store,
    /// Whether a viewer restores memcached from a history.
    has_history: bool,
    /// The last 101 records, kept to put them back if memcached loses them.
    ring: Ring,
    pub(super) cursor: u64,
    counts: Counts,
    silent_ports: SilentPorts,
    /// When the silent ports were last written.
    ports_written: Option<Instant>,
    since: Timestamp,
    /// Time of the first request ever.
    first: Option<Timestamp>,
    agreement: Agreement,
}

/// Whether memcached is known to hold what this responder holds.
#[derive(PartialEq, Eq)]
enum Agreement {
    /// memcached may lack anything. So it is at the start, after an error, and after memcached was
    /// emptied.
    Unknown,
    /// Records were written since memcached was last compared with memory.
    Written,
    /// memcached held everything at the last comparison, and nothing was written since.
    Compared,
}

impl Writer {
    pub(super) fn new(store: Store, has_history: bool) -> Self {
        Self {
            store,
            has_history,
            ring: Ring::default(),
            cursor: 0,
            counts: Counts::default(),
            silent_ports: SilentPorts::default(),
            ports_written: None,
            since: Timestamp::now(),
            first: None,
            agreement: Agreement::Unknown,
        }
    }

    /// Writes what is pending and returns the number of records written. If nothing is pending,
    /// checks whether memcached has lost anything.
    ///
    /// # Errors
    /// memcached did not do what was asked. Records without a number are pending again. Records
    /// with a number are in memory, and a later turn puts them into memcached.
    pub(super) async fn turn(&mut self, recorder: &Recorder) -> Result<usize, StoreError> {
        if self.agreement == Agreement::Unknown {
            self.reconcile().await?;
        }
        let pending = recorder.take();
        if pending.is_empty() {
            self.check().await?;
            return self.write_ports_in_time().await.map(|()| 0);
        }
        let last = match self.draw_numbers(pending.requests).await {
            Ok(last) => last,
            Err(error) => {
                self.put_off(recorder, pending);
                return Err(error);
            }
        };
        // Requests whose record was dropped from the full inbox get the lower numbers.
        let first = last + 1 - pending.records.len() as u64;
        let numbered = (first..=last).zip(pending.records);
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
        self.silent_ports.add(&pending.silent_ports);
        let written = self.store.write(&records, &pending.counts).await;
        self.agreement = if written.is_ok() {
            Agreement::Written
        } else {
            Agreement::Unknown
        };
        written?;
        self.write_ports_in_time().await.map(|()| records.len())
    }

    fn put_off(&mut self, recorder: &Recorder, pending: Pending) {
        self.agreement = Agreement::Unknown;
        recorder.untake(pending);
    }

    async fn write_ports_in_time(&mut self) -> Result<(), StoreError> {
        let last = self.ports_written;
        if last.is_some_and(|last| last.elapsed() < PORTS_INTERVAL) {
            return Ok(());
        }
        self.write_ports().await
    }

    /// Writes the silent connections by port, if memcached may lack some of them.
    ///
    /// # Errors
    /// memcached did not do what was asked. A later turn writes them.
    pub(super) async fn write_ports(&mut self) -> Result<(), StoreError> {
        if !self.silent_ports.is_due() {
            return Ok(());
        }
        self.ports_written = Some(Instant::now());
        self.store.add_silent_ports(&mut self.silent_ports).await
    }

    /// Advances the cursor by `count` and returns it.
    ///
    /// memcached never answers with a lower cursor than before, unless it was restarted. Then its
    /// values are put back first, and the numbers are drawn again.
    ///
    /// # Errors
    /// memcached did not do what was asked, or keeps answering with less than it should.
    async fn draw_numbers(&mut self, count: u64) -> Result<u64, StoreError> {
        if count == 0 {
            return Ok(self.cursor);
        }
        for _ in 0..MAX_DRAWS {
            let last = self.store.advance(count).await?;
            if last >= self.cursor + count {
                self.cursor = last;
                return Ok(last);
            }
            self.reconcile().await?;
        }
        Err(self.store.too_small_numbers())
    }

    async fn check(&mut self) -> Result<(), StoreError> {
        if self.agreement != Agreement::Compared {
            return self.reconcile().await;
        }
        match self.store.cursor().await {
            // Others draw numbers too. Remember theirs, so that they are not drawn again after
            // memcached was emptied.
            Ok(cursor) if cursor >= self.cursor => {
                self.cursor = cursor;
                Ok(())
            }
            Ok(_) => self.reconcile().await,
            Err(error) => {
                self.agreement = Agreement::Unknown;
                Err(error)
            }
        }
    }

    /// Compares memcached with memory, and copies to each what only the other has.
    async fn reconcile(&mut self) -> Result<(), StoreError> {
        let lost_track =
            std::mem::replace(&mut self.agreement, Agreement::Unknown) == Agreement::Unknown;
        let mut snapshot = self.store.snapshot().await?;
        let restarted = snapshot.cursor < self.cursor;
        if restarted {
            info!(
                cursor = self.cursor,
                found = snapshot.cursor,
                "memcached was restarted, putting the ring back"
            );
        }
        if restarted && snapshot.cursor == 0 && self.has_history {
            // Others may have drawn numbers since this responder last read the cursor, as a hub's
            // collector does all the time. The history has these numbers, so its cursor is put back
            // first.
            let _ = timeout(RESTORE_TIME, until_restored(&self.store)).await;
            snapshot = self.store.snapshot().await?;
        }
        self.cursor = self.cursor.max(snapshot.cursor);
        self.since = snapshot.since.unwrap_or(self.since);
        self.first = snapshot.first.or(self.first);
        self.counts.expire(Timestamp::now());
        // The counts have a key for each minute of 25 hours (`MINUTE_TTL`), so they are compared
        // only when some may be missing.
        let counts = (lost_track || restarted || snapshot.silent < self.counts.silent)
            .then_some(&self.counts);
        let held = KnownRing {
            cursor: self.cursor,
            ring: &self.ring,
            counts,
            since: self.since,
            first: self.first,
        };
        self.store.put_back(&snapshot, held).await?;
        for record in snapshot.ring.newest_first() {
            self.ring.insert(record.clone());
        }
        self.counts.silent = self.counts.silent.max(snapshot.silent);
        self.silent_ports.ask_to_compare();
        self.agreement = Agreement::Compared;
        Ok(())
    }
}

/// Waits until memcached has a cursor.
pub(super) async fn until_restored(store: &Store) {
    while !store.has_cursor().await.unwrap_or(false) {
        sleep(RESTORE_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use forever200_testkit::Memcached;

    use super::*;

    async fn record(writer: &mut Writer, recorder: &Recorder) -> anyhow::Result<u64> {
        drop(recorder.record(forever200_testkit::record(0, "")));
        writer.turn(recorder).await?;
        Ok(writer.cursor)
    }

    #[tokio::test]
    async fn numbers_that_others_drew_are_not_drawn_again_after_memcached_was_emptied()
    -> anyhow::Result<()> {
        let mut memcached = Memcached::start().await?;
        let store = || Store::new(memcached.address());
        let (recorder, mut writer, others) =
            (Recorder::default(), Writer::new(store(), false), store());
        assert_eq!(record(&mut writer, &recorder).await?, 1);
        // This turn compares what was written; the next one only reads the cursor.
        writer.turn(&recorder).await?;
        assert_eq!(others.advance(1000).await?, 1001);
        writer.turn(&recorder).await?;
        memcached.restart().await?;
        assert_eq!(record(&mut writer, &recorder).await?, 1002);
        Ok(())
    }

    #[tokio::test]
    async fn where_there_is_a_history_its_cursor_comes_first() -> anyhow::Result<()> {
        let mut memcached = Memcached::start().await?;
        let store = || Store::new(memcached.address());
        let (recorder, mut writer, viewer) =
            (Recorder::default(), Writer::new(store(), true), store());
        assert_eq!(record(&mut writer, &recorder).await?, 1);
        memcached.restart().await?;
        let (number, restored) = tokio::join!(record(&mut writer, &recorder), async {
            // The responder has seen an empty memcached by then, and still waits.
            sleep(RESTORE_TIME / 4).await;
            let history = KnownRing {
                cursor: 5000,
                ring: &Ring::default(),
                counts: None,
                since: Timestamp::now(),
                first: None,
            };
            let empty = viewer.snapshot().await?;
            viewer.put_back(&empty, history).await
        });
        restored?;
        assert_eq!(number?, 5001);
        Ok(())
    }
}
