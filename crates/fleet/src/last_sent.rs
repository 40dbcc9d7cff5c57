//! Asks the servers for the last message of a sensor that is in the stream.

use anyhow::{Context, bail};
use async_nats::{Client, StatusCode};
use tokio::time::timeout;

use crate::message::{ID, Position};
use crate::publish::ACK_TIME;
use crate::sensor::Sensor;

/// The error where another history has sent the last message.
pub(crate) const ANOTHER_HISTORY: &str = "the stream's last message of this sensor is from another \
    history: another machine has the same name, or this one's history was deleted";

/// Returns the position of the last message of a sensor in the stream; `None` where there is none.
///
/// # Errors
/// The servers do not answer, or there is no stream.
pub(crate) async fn last_sent(
    client: &Client,
    sensor: &Sensor,
) -> anyhow::Result<Option<Position>> {
    let question = client.request(sensor.last_message(), "".into());
    let answer = timeout(ACK_TIME, question)
        .await
        .context("the servers do not say what the stream has")?
        .context(
            "the servers do not say what the stream has: is there a stream, do they know this key?",
        )?;
    match answer.status {
        Some(StatusCode::NOT_FOUND) => return Ok(None),
        None | Some(StatusCode::OK) => {}
        Some(status) => bail!("the servers do not say what the stream has: status {status}"),
    }
    let headers = answer
        .headers
        .context("the servers' answer has no headers")?;
    let id = headers.get(ID).map(async_nats::HeaderValue::as_str);
    // A message that another program wrote under this name counts as none.
    Ok(id.and_then(|id| Position::of_id(id, sensor)))
}
