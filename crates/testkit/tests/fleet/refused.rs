//! What the servers refuse. A request that is too long is skipped; for a stream that is full, the
//! publisher waits.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use forever200_fleet::sensor::{ALL_REQUESTS, STREAM};
use forever200_testkit::until;

use crate::open::Open;
use crate::site::{Site, record};

/// Longest message that a server or a stream of these tests takes, in bytes.
const MOST_BYTES: i32 = 4096;

/// Returns how many requests of the hub's only sensor the hub counts as missing.
fn missing(hub: &Site) -> anyhow::Result<i64> {
    let missing = "SELECT missing FROM sensor";
    Ok(hub.file()?.query_row(missing, [], |row| row.get(0))?)
}

fn stream() -> Config {
    Config {
        name: STREAM.into(),
        subjects: vec![ALL_REQUESTS.into()],
        allow_direct: true,
        ..Config::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_for_a_server_is_missing_and_the_rest_arrives() -> anyhow::Result<()> {
    let open = Open::start(&format!("max_payload: {MOST_BYTES}")).await?;
    what_is_too_long_is_missing(&open).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_for_the_stream_is_missing_and_the_rest_arrives() -> anyhow::Result<()> {
    let open = Open::start("").await?;
    let stream = Config {
        max_message_size: MOST_BYTES,
        ..stream()
    };
    open.context().await?.create_stream(stream).await?;
    what_is_too_long_is_missing(&open).await
}

async fn what_is_too_long_is_missing(open: &Open) -> anyhow::Result<()> {
    let (hub, sensor) = (open.hub(&[]).await?, open.sensor("one").await?);
    sensor.ask(1..=1).await?;
    let body = "x".repeat(2 * MOST_BYTES.unsigned_abs() as usize);
    let long = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    sensor.stack.send(long.as_bytes()).await?;
    sensor.stack.send(long.as_bytes()).await?;
    sensor.ask(4..=20).await?;
    let rest: Vec<u64> = (1..=20).filter(|seq| ![2, 3].contains(seq)).collect();
    assert_eq!(hub.until_has("one", rest.len()).await?, rest);
    assert_eq!(missing(&hub)?, 2);
    let said = sensor
        .stack
        .log()
        .matches("too long for the servers")
        .count();
    assert_eq!(said, 1, "{}", sensor.stack.log());
    // A publisher that starts again tries these requests again, and the hub does not count them
    // twice as missing.
    sensor.stack.kill("publisher").await?;
    sensor.ask(21..=21).await?;
    hub.until_has("one", rest.len() + 1).await?;
    assert_eq!(missing(&hub)?, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_is_waited_for() -> anyhow::Result<()> {
    let open = Open::start("").await?;
    let context = open.context().await?;
    let mut full = Config {
        max_messages: 3,
        discard: DiscardPolicy::New,
        ..stream()
    };
    context.create_stream(&full).await?;
    let (hub, sensor) = (open.hub(&[]).await?, open.sensor("one").await?);
    sensor.ask(1..=5).await?;
    hub.until_has("one", 3).await?;
    until("the publisher says that it waits", || async {
        let log = sensor.stack.log();
        log.contains("nothing can be sent to the servers")
            .then_some(())
    })
    .await?;
    assert_eq!(hub.numbers()?["one"], [1, 2, 3]);
    full.max_messages = 100;
    context.update_stream(&full).await?;
    assert_eq!(hub.until_has("one", 5).await?, [1, 2, 3, 4, 5]);
    assert_eq!(missing(&hub)?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_keep_no_ids_of_messages_for_long() -> anyhow::Result<()> {
    for is_there_before in [false, true] {
        let open = Open::start("").await?;
        let context = open.context().await?;
        if is_there_before {
            context.create_stream(stream()).await?;
        }
        let _hub = open.hub(&[]).await?;
        until("the window is short", || async {
            let stream = context.get_stream(STREAM).await.ok()?;
            let window = stream.cached_info().config.duplicate_window;
            (window <= Duration::from_millis(100)).then_some(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_made_anew_is_read_from_its_beginning() -> anyhow::Result<()> {
    /// More requests than a hub reads again before the newest one.
    const FIRST: u64 = 100;
    const THEN: u64 = 60;
    let open = Open::start("").await?;
    let hub = open.hub(&[]).await?;
    let mut one = open.raw("one").await?;
    let request = |seq| record(seq, b"GET / HTTP/1.1\r\n\r\n".to_vec());
    for seq in 1..=FIRST {
        one.send_request("NATS/1.0", &request(seq)).await?;
    }
    hub.until_has("one", FIRST as usize).await?;
    hub.stack.supervisorctl(&["stop", "collector"])?;
    let context = open.context().await?;
    context.delete_stream(STREAM).await?;
    context.create_stream(stream()).await?;
    for seq in FIRST + 1..=FIRST + THEN {
        one.send_request("NATS/1.0", &request(seq)).await?;
    }
    hub.stack.supervisorctl(&["start", "collector"])?;
    let all: Vec<u64> = (1..=FIRST + THEN).collect();
    assert_eq!(hub.until_has("one", all.len()).await?, all);
    // The same while the hub collects, and nobody but the hub makes the stream.
    context.delete_stream(STREAM).await?;
    until("the hub has made it", || async {
        context.get_stream(STREAM).await.ok().map(drop)
    })
    .await?;
    Ok(())
}
