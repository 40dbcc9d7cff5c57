//! A thousand sensors and one hub.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use forever200_testkit::client::get;
use forever200_testkit::process::quantile;
use forever200_testkit::report::{at_length, milliseconds, row};
use forever200_testkit::until;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::site::{Fleet, publish, record, sensor};

/// Time between two polls of the hub's history.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Each sensor sends one request a second, and every `BURST_EVERY` seconds `BURST` of them at once.
const BURST_EVERY: u64 = 20;
const BURST: u64 = 5;
/// Most greater numbers that the history may have before a number comes.
const MOST_BEHIND: i64 = 2000;
/// Pages of the hub that a visitor opens in turn, one every `VISIT_INTERVAL`.
const PAGES: [&str; 5] = [
    "/home",
    "/home/sensors",
    "/home/history?sensor=sensor-1",
    "/home/collection",
    "/home/sources",
];
const VISIT_INTERVAL: Duration = Duration::from_millis(500);
/// Longest time in which half of these pages arrive, and 99 %, as under attack (visitors.rs).
const PAGE_TIMES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(500));

/// Size of the fleet.
struct Size {
    servers: usize,
    sensors: usize,
    /// Requests of each sensor.
    requests: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_many_sensors_send_arrives_once_in_order_and_soon() -> anyhow::Result<()> {
    let (sensors, requests) = if at_length() { (1000, 200) } else { (30, 10) };
    send_all(Size {
        servers: 1,
        sensors,
        requests,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_many_sensors_send_to_three_servers_arrives_once_in_order_and_soon()
-> anyhow::Result<()> {
    let (sensors, requests) = if at_length() { (100, 200) } else { (10, 10) };
    send_all(Size {
        servers: 3,
        sensors,
        requests,
    })
    .await
}

async fn send_all(size: Size) -> anyhow::Result<()> {
    let Size {
        servers,
        sensors,
        requests,
    } = size;
    let names: Vec<String> = (0..sensors)
        .map(|number| format!("sensor-{number}"))
        .collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let fleet = Fleet::start_alone(servers, &all).await?;
    let hub = fleet.site("--hub").await?;
    until("there is a stream", || async {
        let check = fleet.check("--hub", &[]).ok()?;
        check.status.success().then_some(())
    })
    .await?;
    // The first request of each sensor: the hub does not know the sensors yet, and asks for all of
    // their messages.
    let started = Instant::now();
    let mut clients = Vec::with_capacity(sensors);
    for name in &names {
        let sensor = sensor(name)?;
        let client = fleet.client(name).await?;
        publish(&client, &sensor, &record(1, request(1))).await?;
        clients.push((sensor, client));
    }
    let file = hub.file()?;
    let mut seen = BTreeSet::new();
    until_all(&file, &mut seen, sensors).await?;
    let known_after = started.elapsed();
    let mut sending = JoinSet::new();
    for (number, (sensor, client)) in clients.into_iter().enumerate() {
        sending.spawn(async move {
            // So that not all send in the same moment.
            sleep(Duration::from_micros(
                1_000_000 * number as u64 / sensors as u64,
            ))
            .await;
            let mut seconds = interval(Duration::from_secs(1));
            let mut seq = 1;
            while seq < requests {
                seconds.tick().await;
                let many = if seq % BURST_EVERY == 0 { BURST } else { 1 };
                for _ in 0..many.min(requests - seq) {
                    seq += 1;
                    publish(&client, &sensor, &record(seq, request(seq))).await?;
                }
            }
            anyhow::Ok(())
        });
    }
    let (stop, stopped) = watch::channel(false);
    let visitor = tokio::spawn(visit(hub.stack.front(), stopped));
    let begun = Instant::now();
    let expected = sensors * (usize::try_from(requests)? - 1);
    let mut waits = Vec::with_capacity(expected);
    while waits.len() < expected {
        let new = new_times(&file, &mut seen)?;
        let now = Timestamp::now();
        let wait = |time: Timestamp| now.duration_since(time).unsigned_abs();
        waits.extend(new.into_iter().map(wait));
        while let Some(sent) = sending.try_join_next() {
            sent??;
        }
        if begun.elapsed() > Duration::from_secs(30 + 3 * requests) {
            let log = hub.stack.log();
            anyhow::bail!("{} of {expected} arrived\n{log}", waits.len());
        }
        sleep(POLL_INTERVAL).await;
    }
    stop.send(true)?;
    let page_times = visitor.await??;
    let in_order: Vec<u64> = (1..=requests).collect();
    let numbers = hub.numbers()?;
    for name in &names {
        assert_eq!(
            numbers.get(name).context("a sensor is missing")?,
            &in_order,
            "{name}"
        );
    }
    assert_eq!(waits.len(), expected);
    waits.sort_unstable();
    let page_times = [0.5, 0.99].map(|share| quantile(&page_times, share));
    row(
        "fleet load",
        &[
            &servers,
            &sensors,
            &milliseconds(known_after),
            &(expected + sensors),
            &milliseconds(quantile(&waits, 0.5)),
            &milliseconds(quantile(&waits, 0.99)),
            &milliseconds(page_times[0]),
            &milliseconds(page_times[1]),
        ],
    );
    if at_length() {
        assert!(page_times[0] <= PAGE_TIMES.0 && page_times[1] <= PAGE_TIMES.1);
    }
    Ok(())
}

/// Opens the hub's pages until it is told to stop. Returns how long each page took, the
/// shortest time first.
async fn visit(
    front: SocketAddr,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for path in PAGES.iter().cycle() {
        let begun = Instant::now();
        let page = get(front, path).await?;
        anyhow::ensure!(page.status == 200, "{path}: {}", page.status);
        times.push(begun.elapsed());
        let is_over = stopped.wait_for(|stopped| *stopped);
        if timeout(VISIT_INTERVAL, is_over).await.is_ok() {
            break;
        }
    }
    times.sort_unstable();
    Ok(times)
}

fn request(number: u64) -> Vec<u8> {
    format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

/// Waits until this many requests have come.
async fn until_all(
    file: &Connection,
    seen: &mut BTreeSet<i64>,
    count: usize,
) -> anyhow::Result<()> {
    let mut came = 0;
    until("the first of each sensor is there", || {
        came += new_times(file, seen).map_or(0, |times| times.len());
        std::future::ready((came >= count).then_some(()))
    })
    .await
}

/// Returns the times of new requests. A request that was written again comes after others with
/// greater numbers.
fn new_times(file: &Connection, seen: &mut BTreeSet<i64>) -> anyhow::Result<Vec<Timestamp>> {
    let newest = seen.last().copied().unwrap_or_default();
    let mut statement = file.prepare_cached("SELECT seq, time FROM request WHERE seq > ?1")?;
    let rows = statement.query_map([newest - MOST_BEHIND], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?))
    })?;
    let mut times = Vec::new();
    for row in rows {
        let (seq, time) = row?;
        if seen.insert(seq) {
            times.push(Timestamp::from_microsecond(time)?);
        }
    }
    Ok(times)
}
