//! The loop between the two ends of the recorder: when a turn of the writer begins, and how long
//! connections wait for its end.
//!
//! In: the inbox and the writer. Out: one turn after the other, until the program stops.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use forever200_ring::{SLOTS, Store, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use super::inbox::{ENOUGH_RECORDS, Recorder};
use super::writer::{Writer, until_restored};

/// How often a recorder without new records checks whether memcached has lost anything.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest and longest wait before memcached is tried again.
const RETRY_DELAY: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_secs(1);
/// Failed turns are logged when the delay is longer than this. A memcached that starts at the same
/// time as the responder is away for less.
const WORTH_REPORTING: Duration = Duration::from_millis(150);

/// Longest wait of an answer for the end of a turn. A turn takes a fraction of a millisecond. A
/// client notices an answer that is 20 ms late, and a record may have to wait for the end of one
/// turn, and then for its own.
const STORE_TIME: Duration = Duration::from_millis(9);
/// Shortest time from the beginning of a turn that wrote several records to the next turn. A turn
/// wakes memcached twice and this program twice. Without this pause, the two together took
/// 50 % more CPU time when requests came at half of the highest rate, or when other programs used
/// the CPU. tokio's timers take up to a millisecond more.
const TURN_INTERVAL: Duration = Duration::from_millis(1);

/// Longest wait at the start until a viewer has put back the numbers from its history.
const START_TIME: Duration = Duration::from_secs(5);

/// Whether the last turns failed, and whether that was logged.
#[derive(Debug, Default)]
struct Trouble {
    /// How long the next turn is delayed; `None` when the last turn succeeded.
    retry_delay: Option<Duration>,
    reported: bool,
}

impl Trouble {
    fn begins_or_goes_on(&mut self, error: &StoreError) {
        let delay = match self.retry_delay {
            None => *RETRY_DELAY.start(),
            Some(last) => last * 2,
        };
        if delay > WORTH_REPORTING && !self.reported {
            warn!(%error, "memcached is unreachable, the last {SLOTS} requests are kept in memory");
            self.reported = true;
        }
        self.retry_delay = Some(delay.min(*RETRY_DELAY.end()));
    }

    fn ends(&mut self, cursor: u64) {
        if self.reported {
            info!(cursor, "memcached is reachable again");
        }
        *self = Self::default();
    }
}

impl Recorder {
    /// Writes to the store until `stop` turns true, then once more, and returns.
    ///
    /// Trouble with memcached is logged once when it begins and once when it ends. If there is a
    /// history, no number is drawn from an empty memcached until the viewer has put the numbers of
    /// the history back, or until `START_TIME` is over.
    pub async fn run(self, store: Store, has_history: bool, mut stop: watch::Receiver<bool>) {
        if has_history {
            self.restored_or_stopped(&store, &mut stop).await;
        }
        let mut writer = Writer::new(store, has_history);
        let mut trouble = Trouble::default();
        loop {
            let stopping = *stop.borrow_and_update();
            let begun = Instant::now();
            let turn = self.in_time(writer.turn(&self)).await;
            let wrote_several = matches!(turn, Ok(2..));
            match turn {
                Ok(_) => {
                    self.written();
                    trouble.ends(writer.cursor);
                }
                Err(error) => {
                    self.nobody_waits();
                    trouble.begins_or_goes_on(&error);
                }
            }
            if stopping {
                // There is no later turn that could write them.
                if let Err(error) = writer.write_ports().await {
                    warn!(%error, "silent connections by port were not written");
                }
                break;
            }
            self.until_worth_a_turn(&mut stop, trouble.retry_delay)
                .await;
            if wrote_several && self.pending().records.len() < ENOUGH_RECORDS {
                let _ = timeout_at(begun + TURN_INTERVAL, self.0.enough.notified()).await;
            }
        }
        let lost = self.pending().requests;
        if lost > 0 {
            warn!(lost, "stopped while memcached was away");
        }
    }

    /// Waits until memcached has a cursor, for [`START_TIME`] at most. Meanwhile, connections are
    /// answered, and their records wait in the inbox, as they do while memcached is away.
    async fn restored_or_stopped(&self, store: &Store, stop: &mut watch::Receiver<bool>) {
        self.nobody_waits();
        tokio::select! {
            _ = stop.wait_for(|stopping| *stopping) => {}
            restored = timeout(START_TIME, until_restored(store)) => {
                if restored.is_err() {
                    warn!("no viewer has restored the numbers from the history, they may start again at 1");
                }
            }
        }
    }

    /// Waits until something is pending or it is time to check memcached. After a failed turn,
    /// waits for `retry_delay` instead. Returns early when the program has to stop.
    async fn until_worth_a_turn(
        &self,
        stop: &mut watch::Receiver<bool>,
        retry_delay: Option<Duration>,
    ) {
        let next = async {
            match retry_delay {
                Some(delay) => tokio::time::sleep(delay).await,
                None => drop(timeout(CHECK_INTERVAL, self.0.wake.notified()).await),
            }
        };
        tokio::select! {
            _ = stop.changed() => {}
            () = next => {}
        }
    }

    /// Waits for the end of a turn. Releases the connections that wait for it after [`STORE_TIME`].
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

    /// Ends the wait of the connections whose records memcached has now.
    fn written(&self) {
        self.0.away.store(false, Ordering::Relaxed);
        drop(std::mem::take(&mut *self.writing()));
    }

    /// Releases all connections, and lets none wait until a turn succeeds. This includes
    /// connections that came during the turn, because the next turn may fail before it takes their
    /// records.
    fn nobody_waits(&self) {
        self.0.away.store(true, Ordering::Relaxed);
        drop(std::mem::take(&mut *self.writing()));
        drop(std::mem::take(&mut self.pending().release));
    }
}

#[cfg(test)]
mod tests {
    use forever200_ring::Record;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    fn record() -> Record {
        forever200_testkit::record(0, "")
    }

    #[tokio::test]
    async fn a_record_taken_while_memcached_goes_away_waits_no_longer_than_others()
    -> anyhow::Result<()> {
        let memcached = TcpListener::bind("127.0.0.1:0").await?;
        let store = Store::new(memcached.local_addr()?.to_string());
        let (recorder, (stop, stopping)) = (Recorder::default(), watch::channel(false));
        let running = tokio::spawn(recorder.clone().run(store, false, stopping));
        let first = recorder.record(record());
        let (mut connection, _) = memcached.accept().await?;
        connection.read_u8().await?;
        // The turn of the first record has begun. It fails now, and so does every later turn.
        let second = recorder.record(record());
        drop((connection, memcached));
        timeout(Duration::from_secs(1), async {
            tokio::join!(first, second)
        })
        .await?;
        stop.send(true)?;
        Ok(running.await?)
    }

    /// On paused time, the clock moves only while nothing but timers is left to wait for.
    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_20_ms_for_a_memcached_that_says_nothing() -> anyhow::Result<()> {
        let memcached = TcpListener::bind("127.0.0.1:0").await?;
        let store = Store::new(memcached.local_addr()?.to_string());
        let recorder = Recorder::default();
        let (_stop, stopping) = watch::channel(false);
        tokio::spawn(recorder.clone().run(store, false, stopping));
        let start = Instant::now();
        recorder.record(record()).await;
        let waited = start.elapsed();
        assert!(waited <= Duration::from_millis(20), "{waited:?}");
        // The turn still goes on, and the next record does not wait for it.
        recorder.record(record()).await;
        assert_eq!(start.elapsed(), waited);
        assert_eq!(recorder.pending().requests, 2);
        Ok(())
    }
}
