//! The loop between the two ends of the recorder: when a turn begins, and how long connections wait for its end.
//!
//! In: the inbox and the writer. Out: their turns, one after the other, until the program stops.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use forever200_ring::{SLOTS, Store, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use super::inbox::{ENOUGH_RECORDS, Recorder};
use super::writer::Writer;

/// How often a quiet recorder looks whether memcached still has what it should.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest and longest wait before memcached is tried again.
const RETRY_DELAY: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_secs(1);
/// A delay that is reached only when memcached is away for longer than it takes to start beside us.
const WORTH_REPORTING: Duration = Duration::from_millis(150);

/// Longest turn for whose end answers wait. It takes a fraction of a millisecond; who is answered 20 ms late
/// notices, and a record may have to wait for one turn's end, for its own to begin, and then for its end.
const STORE_TIME: Duration = Duration::from_millis(9);
/// Shortest time from the beginning of a turn that wrote several records to the next. A turn wakes memcached twice and
/// this program twice: with one for each few requests, they took half as much CPU time again at half of the full rate,
/// or beside other programs. tokio's timers take up to a millisecond more.
const TURN_INTERVAL: Duration = Duration::from_millis(1);

impl Recorder {
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
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use forever200_ring::{Ended, Record, Via};
    use jiff::Timestamp;
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
