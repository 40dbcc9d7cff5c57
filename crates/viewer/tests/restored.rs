//! What the history restores to a memcached that lost everything, if the connection fails
//! meanwhile.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use forever200_identify::Labeller;
use forever200_ring::{Counts, KnownRing, Record, Ring, Snapshot, Store};
use forever200_testkit::proxy::{Between, Fault};
use forever200_testkit::{Memcached, get_json, loopback, record, until};
use forever200_viewer::history::History;
use forever200_viewer::reader::Describer;
use forever200_viewer::reader::locations::Locations;
use forever200_viewer::reader::privacy::Privacy;
use forever200_viewer::web::{self, Hosts};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// More requests than the ring holds, so that the counts are greater than the ring.
const REQUESTS: u64 = 150;
const MOST_BYTES: u64 = 1 << 30;

/// A viewer in this process, with a history.
struct Viewer {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Viewer {
    async fn start(memcached: String, folder: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((loopback(), 0)).await?;
        let address = listener.local_addr()?;
        let describer = Describer {
            labeller: Arc::new(Labeller::built_in()),
            locations: Locations::default(),
            privacy: Privacy::default(),
        };
        let history = Arc::new(History::open(folder, MOST_BYTES)?);
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(web::run(
            listener,
            Store::new(memcached),
            describer,
            Some(history),
            None,
            Hosts::default(),
            async { drop(stopped.await) },
        ));
        Ok(Self {
            address,
            stop,
            running,
        })
    }

    /// Stops the viewer. Afterwards, the history has everything that the viewer has seen.
    async fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.running.await?
    }
}

/// Returns the same requests each time, with times of the last quarter of an hour before `now`.
fn requests(now: Timestamp) -> Vec<Record> {
    let one = |seq| Record {
        timestamp: now - SignedDuration::from_secs(6 * (REQUESTS - seq) as i64),
        ..record(seq, b"GET / HTTP/1.1\r\n\r\n")
    };
    (1..=REQUESTS).map(one).collect()
}

/// Writes the requests in two parts, as a responder does, while a viewer writes them to the
/// history.
async fn fill(memcached: &Memcached, folder: &Path, now: Timestamp) -> anyhow::Result<()> {
    let store = Store::new(memcached.address());
    let ring = Ring::default();
    let counts = Counts {
        silent: 7,
        ..Counts::default()
    };
    let held = KnownRing {
        cursor: 0,
        ring: &ring,
        counts: Some(&counts),
        since: now - SignedDuration::from_hours(1),
        first: None,
    };
    store.put_back(&store.snapshot().await?, held).await?;
    let viewer = Viewer::start(memcached.address(), folder).await?;
    for records in requests(now).chunks(75) {
        let mut counts = Counts::default();
        records
            .iter()
            .for_each(|record| counts.request(record.timestamp));
        let last = store.advance(records.len() as u64).await?;
        store.write(records, &counts).await?;
        until("they are kept", async || {
            let kept = get_json(viewer.address, "/home/api/history?limit=1").await;
            let kept = kept.ok()?;
            (kept["requests"][0]["seq"] == last).then_some(())
        })
        .await?;
    }
    viewer.stop().await
}

/// Returns the sum of the counts by minute, and a snapshot of the ring.
async fn seen(store: &Store, now: Timestamp) -> anyhow::Result<(u64, Snapshot)> {
    let minute = now.as_second() / 60;
    let minutes = store.minutes(minute - 60..=minute).await?;
    Ok((minutes.values().sum(), store.snapshot().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_memcached_lost_is_put_back_though_it_fails_in_the_middle() -> anyhow::Result<()> {
    let (folder, now) = (TempDir::new()?, Timestamp::now());
    let mut memcached = Memcached::start().await?;
    fill(&memcached, folder.path(), now).await?;
    // Any of the writes may fail.
    for write in [
        "ms forever200:since",
        "ms forever200:silent",
        "ms forever200:minute:",
        "ms forever200:cursor",
        "ms forever200:slot:",
    ] {
        memcached.restart().await?;
        let between = Between::start(memcached.address()).await?;
        between.once(Fault::CutCommandWith(write));
        let viewer = Viewer::start(between.address(), folder.path()).await?;
        let store = Store::new(memcached.address());
        let is_restored = async || {
            let (counted, snapshot) = seen(&store, now).await.ok()?;
            let ring = snapshot.ring.newest_first().len();
            (counted == REQUESTS && ring == 101 && snapshot.cursor == REQUESTS).then_some(snapshot)
        };
        let snapshot = until(&format!("all is there though {write} failed"), is_restored).await?;
        assert_eq!(between.happened(), 1, "{write}");
        assert_eq!(snapshot.silent, 7, "{write}");
        ensure!(snapshot.since < Some(now), "{write}");
        // The page shows the same counts.
        until("the chart has them", async || {
            let stats = get_json(viewer.address, "/home/api/stats").await.ok()?;
            let minutes = stats["minutes"].as_array()?.iter();
            let shown: u64 = minutes.filter_map(serde_json::Value::as_u64).sum();
            (shown == REQUESTS).then_some(())
        })
        .await?;
        viewer.stop().await?;
    }
    Ok(())
}
