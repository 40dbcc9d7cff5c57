//! What a sensor in a stranger's hands may send. The hub goes on collecting, from the others and
//! from that sensor.

use std::time::Duration;

use anyhow::Context;
use forever200_ring::{Record, Store};
use forever200_testkit::until;

use crate::open::Open;
use crate::site::{Fleet, publish, publish_first, record, sensor};

/// Bytes of a request that a hub keeps by default.
const KEPT_BYTES: usize = 65_536;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_longer_than_the_hub_keeps_is_cut_there() -> anyhow::Result<()> {
    const LONG_BYTES: usize = 1_000_000;
    let fleet = Fleet::start(1, &["one"]).await?;
    let hub = fleet.site("--hub").await?;
    let (client, one) = (fleet.client("one").await?, sensor("one")?);
    let long = record(1, vec![b'x'; LONG_BYTES]);
    publish_first(&client, &one, &long).await?;
    publish(&client, &one, &record(2, b"short".to_vec())).await?;
    hub.until_has("one", 2).await?;
    let store = Store::new(hub.stack.at(11211).to_string());
    let held = store.record(1).await?.context("not in the ring")?;
    assert_eq!(held.raw, long.raw[..KEPT_BYTES]);
    assert_eq!((held.bytes, held.truncated), (LONG_BYTES as u64, true));
    let kept: (i64, i64) = hub.file()?.query_row(
        "SELECT request.bytes, length(payload.bytes) FROM request JOIN payload \
         ON payload.id = payload WHERE truncated",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    assert_eq!(kept, (LONG_BYTES as i64, KEPT_BYTES as i64));
    Ok(())
}

fn get(seq: u64) -> Record {
    record(seq, b"GET / HTTP/1.1\r\n\r\n".to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_not_valid_do_not_end_collecting() -> anyhow::Result<()> {
    let open = Open::start("").await?;
    let hub = open.hub(&[]).await?;
    let (mut hostile, mut honest) = (open.raw("hostile").await?, open.raw("honest").await?);
    let odd = [
        "NATS/1.0\r\nX: a\rb\r\n\r\n",
        "NATS/1.0\r\nno name\r\n\r\n",
        "NATS/1.0\r\na name: a\r\n\r\n",
        "NATS/9.9\r\nX: a\r\n\r\n",
        "NATS/1.0 12\r\n\r\n",
        "NATS/1.0\r\nX: a\rb\r\n\r\n",
    ];
    let count = odd.len() as u64;
    for (seq, headers) in (1..).zip(odd) {
        hostile.send(headers, b"x").await?;
        honest.send_request("NATS/1.0", &get(seq)).await?;
        hub.until_has("honest", usize::try_from(seq)?).await?;
    }
    let all: Vec<u64> = (1..=count).collect();
    assert_eq!(hub.numbers()?["honest"], all);
    Ok(())
}

const NOT_VALID: &str = "NATS/1.0\r\nno name\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn many_headers_that_are_not_valid_hold_up_the_others_once() -> anyhow::Result<()> {
    /// More than the hub deletes at once.
    const MANY: usize = 2500;
    let open = Open::start("").await?;
    let hub = open.hub(&[]).await?;
    let (mut hostile, mut honest) = (open.raw("hostile").await?, open.raw("honest").await?);
    hub.stack.supervisorctl(&["stop", "collector"])?;
    // Valid messages come before the invalid ones, and have arrived when the connection ends.
    for seq in 1..=10 {
        hostile.send_request("NATS/1.0", &get(seq)).await?;
    }
    let subject = sensor("hostile")?.subject();
    hostile.send_many(&subject, NOT_VALID, b"x", MANY).await?;
    hostile.send_request("NATS/1.0", &get(11)).await?;
    honest.send_request("NATS/1.0", &get(1)).await?;
    hub.stack.supervisorctl(&["start", "collector"])?;
    hub.until_has("honest", 1).await?;
    let all: Vec<u64> = (1..=11).collect();
    assert_eq!(hub.until_has("hostile", all.len()).await?, all);
    let log = hub.stack.log();
    let deleted = log.matches("headers are not valid were deleted").count();
    assert!((2..=4).contains(&deleted), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sensor_says_beside_the_stream_does_not_end_collecting() -> anyhow::Result<()> {
    let name = sensor("hostile")?;
    for subject in [name.alive_subject(), name.kinds_subject()] {
        says_beside_the_stream(&subject).await.context(subject)?;
    }
    Ok(())
}

async fn says_beside_the_stream(subject: &str) -> anyhow::Result<()> {
    let open = Open::start("").await?;
    let seen_by = [("FOREVER200_FLEET_SEEN_BY", "on".to_owned())];
    let hub = open.hub(&seen_by).await?;
    let mut honest = open.raw("honest").await?;
    honest.send_request("NATS/1.0", &get(1)).await?;
    hub.until_has("honest", 1).await?;
    until("a connection is broken off", || async {
        let mut hostile = open.raw("hostile").await.ok()?;
        hostile.send_many(subject, NOT_VALID, b"x", 1).await.ok()?;
        hub.stack.log().contains("disconnected").then_some(())
    })
    .await?;
    honest.send_request("NATS/1.0", &get(2)).await?;
    assert_eq!(hub.until_has("honest", 2).await?, [1, 2]);
    let file = hub.file()?;
    let heard = || file.query_row("SELECT heard FROM sensor", [], |row| row.get::<_, i64>(0));
    let before = heard()?;
    let alive = sensor("honest")?.alive_subject();
    until("a sensor is heard of again", || async {
        let mut honest = open.raw("honest").await.ok()?;
        let says = honest.send_many(&alive, "NATS/1.0\r\n\r\n", b"", 1);
        says.await.ok()?;
        (heard().ok()? > before).then_some(())
    })
    .await?;
    let log = hub.stack.log();
    assert!(!log.contains("nothing can be collected"), "{log}");
    Ok(())
}

/// Statuses that a server sends for a request for messages, here as headers of a message.
const STATUSES: [&str; 8] = [
    "NATS/1.0 503",
    "NATS/1.0 100 Idle Heartbeat",
    "NATS/1.0 404 No Messages",
    "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: x",
    "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 99999999999",
    "NATS/1.0 409 Consumer Deleted",
    "NATS/1.0 200",
    "NATS/1.0 999 odd",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_a_message_has_is_not_taken_for_one_of_the_server() -> anyhow::Result<()> {
    let open = Open::start("").await?;
    let hub = open.hub(&[]).await?;
    let mut hostile = open.raw("hostile").await?;
    let mut seq = 0;
    for line in STATUSES {
        // A message that is not a request, a request with this status, and a request without.
        hostile.send(&format!("{line}\r\n\r\n"), b"x").await?;
        for line in [line, "NATS/1.0"] {
            seq += 1;
            hostile.send_request(line, &get(seq)).await?;
        }
    }
    let all: Vec<u64> = (1..=seq).collect();
    let came = hub.until_has("hostile", usize::try_from(seq)?).await?;
    assert_eq!(came, all);
    let log = hub.stack.log();
    assert!(!log.contains("collecting is tried again"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_with_a_status_count_in_the_share_of_a_sensor() -> anyhow::Result<()> {
    const STREAM_BYTES: u64 = 64 << 20;
    const NOISE_BYTES: usize = 64 << 10;
    /// A mebibyte a second, once the stream is almost full.
    const PACE: Duration = Duration::from_millis(1000 / 16);
    let bytes = [("FOREVER200_FLEET_BYTES", STREAM_BYTES.to_string())];
    let open = Open::start("").await?;
    let hub = open.hub(&bytes).await?;
    let (mut loud, mut quiet) = (open.raw("loud").await?, open.raw("quiet").await?);
    for seq in 1..=20 {
        quiet.send_request("NATS/1.0", &get(seq)).await?;
    }
    hub.until_has("quiet", 20).await?;
    let noise = vec![0xff; NOISE_BYTES];
    let messages = STREAM_BYTES / NOISE_BYTES as u64;
    let mut pace = tokio::time::interval(PACE);
    for (number, line) in (0..messages + messages / 16).zip(STATUSES.iter().cycle()) {
        if number > messages / 16 * 15 {
            pace.tick().await;
        }
        loud.send(&format!("{line}\r\n\r\n"), &noise).await?;
    }
    // A hub that comes later gets all requests of the quiet sensor from the stream.
    let second = open.hub(&[]).await?;
    let all: Vec<u64> = (1..=20).collect();
    assert_eq!(second.until_has("quiet", 20).await?, all);
    let log = hub.stack.log();
    assert!(log.contains("the stream is almost full"), "{log}");
    assert!(!log.contains("no room can be made"), "{log}");
    Ok(())
}
