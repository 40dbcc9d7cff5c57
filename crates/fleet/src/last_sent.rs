//! Asks the hub for the last message of a sensor.

use anyhow::{Context, bail};
use async_nats::{Client, StatusCode};
use tokio::time::timeout;

use crate::message::{ID, Position};
use crate::publish::ACK_TIME;
use crate::sensor::Sensor;
use crate::stream::STREAM;

/// Returns where the hub is with a sensor; `None` when it has nothing of it.
///
/// # Errors
/// The hub does not answer, or there is no stream.
///
/// Protocol: NATS ADR-31, JetStream direct get.
pub(crate) async fn last_sent(
    client: &Client,
    sensor: &Sensor,
) -> anyhow::Result<Option<Position>> {
    let subject = format!("$JS.API.DIRECT.GET.{STREAM}.{}", sensor.subject());
    let answer = timeout(ACK_TIME, client.request(subject, "".into()))
        .await
        .context("the hub does not say what it has")?
        .context("the hub does not say what it has: is there a stream, and is this sensor's key on its list?")?;
    match answer.status {
        Some(StatusCode::NOT_FOUND) => return Ok(None),
        None | Some(StatusCode::OK) => {}
        Some(status) => bail!("the hub does not say what it has: status {status}"),
    }
    let headers = answer.headers.context("the hub's answer has no headers")?;
    let id = headers.get(ID).map(async_nats::HeaderValue::as_str);
    // One that another program has written under this name is as good as none.
    Ok(id.and_then(|id| Position::of_id(id, sensor)))
}
