//! Watchers of the event stream.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, timeout_at};

use crate::hold::connect_from;
use crate::load::quantile;

/// HTTP/1.0, because with 1.1 the stream would come in chunks, and a chunk may end within an event.
const REQUEST: &[u8] = b"GET /home/events HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n";

/// The events that watchers got; ages in microseconds.
#[derive(Serialize)]
pub(crate) struct Watched {
    watchers: u32,
    events: usize,
    age_p50: f64,
    age_p99: f64,
    age_max: f64,
}

/// Watches the event stream from many addresses for `time`. The age of an event is the time since
/// the first byte of its request.
pub(crate) async fn watch(
    peer: SocketAddr,
    watchers: u32,
    time: Duration,
) -> anyhow::Result<Watched> {
    let until = Instant::now() + time;
    let watching = (0..watchers).map(|number| watch_one(number, peer, until));
    let mut ages = Vec::new();
    for seen in futures_util::future::join_all(watching).await {
        ages.extend(seen?);
    }
    ages.sort_unstable();
    Ok(Watched {
        watchers,
        events: ages.len(),
        age_p50: quantile(&ages, 0.5),
        age_p99: quantile(&ages, 0.99),
        age_max: quantile(&ages, 1.0),
    })
}

async fn watch_one(number: u32, peer: SocketAddr, until: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut stream = connect_from(number, peer).await?;
    stream.write_all(REQUEST).await?;
    let (mut lines, mut line, mut ages) = (BufReader::new(stream), Vec::new(), Vec::new());
    while let Ok(read) = timeout_at(until, lines.read_until(b'\n', &mut line)).await {
        anyhow::ensure!(read? > 0, "the event stream has ended");
        if let Some(data) = line.strip_prefix(b"data: {") {
            ages.push(age(data)?);
        }
        line.clear();
    }
    Ok(ages)
}

/// Returns how long ago the request of an event began. It does not parse the JSON, which would take
/// too long for a thousand watchers.
fn age(data: &[u8]) -> anyhow::Result<Duration> {
    const FIELD: &[u8] = b"\"timestamp\":\"";
    let at = data
        .windows(FIELD.len())
        .position(|name| name == FIELD)
        .context("an event without a time")?;
    let value = data[at + FIELD.len()..]
        .split(|&byte| byte == b'"')
        .next()
        .unwrap_or_default();
    let began: Timestamp = std::str::from_utf8(value)?.parse()?;
    let age = Timestamp::try_from(SystemTime::now())?.duration_since(began);
    Ok(age.unsigned_abs())
}

/// Returns a number from a JSON document.
pub(crate) fn number(json: &[u8], field: &str) -> anyhow::Result<u64> {
    serde_json::from_slice::<Value>(json)?[field]
        .as_u64()
        .with_context(|| format!("no {field}"))
}
