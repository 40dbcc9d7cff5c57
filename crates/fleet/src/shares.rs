//! Each sensor's share of the stream: when the stream is almost full, the oldest messages of those
//! sensors go that take more than their share.
//!
//! In: the stream. Out: the same with room in it. NATS limits the messages of a subject and the
//! bytes of a stream, but not the bytes of a subject: without this, a sensor that sends long
//! messages without end pushes out what all others have sent.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::stream::{Info, Stream};
use futures_util::TryStreamExt;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::patience::LastSaid;
use crate::sensor::{ALL_SUBJECTS, Sensor};

/// Time between two looks at how full the stream is.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Header in which the server gives the length of a body that it does not send.
const BODY_BYTES: &str = "Nats-Msg-Size";
/// What the server keeps of a message beside subject, headers and body, in bytes: length, number,
/// time and hash, as its file has them.
const MESSAGE_OVERHEAD: u64 = 30;

/// Looks at the stream for ever, and makes room when it is almost full. A failure is logged, and
/// the next look comes as ever.
pub(crate) async fn keep(stream: Stream) -> Infallible {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_error = LastSaid::default();
    loop {
        looks.tick().await;
        if let Err(error) = look(&stream).await {
            let error = format!("{error:#}");
            if last_error.is_new(&error) {
                warn!(error, "no room can be made in the stream");
            }
        }
    }
}

async fn look(stream: &Stream) -> anyhow::Result<()> {
    let info = stream.get_info().await?;
    if is_almost_full(&info) {
        make_room(stream, &info).await?;
    }
    Ok(())
}

/// The rest, a sixteenth, is for what comes between two looks, and while room is made.
fn is_almost_full(info: &Info) -> bool {
    most_bytes(info).is_some_and(|most| info.state.bytes > most / 16 * 15)
}

/// The most bytes that the stream holds; `None` where it has no limit.
fn most_bytes(info: &Info) -> Option<u64> {
    u64::try_from(info.config.max_bytes)
        .ok()
        .filter(|&most| most > 0)
}

/// Deletes the oldest messages of those that take more than their share, until an eighth of the
/// stream is free. Of each sensor the newest message stays: it says where to go on sending.
async fn make_room(stream: &Stream, info: &Info) -> anyhow::Result<()> {
    let newest = info.state.last_sequence;
    let taken = bytes_by_sensor(stream, newest).await?;
    let room = most_bytes(info).unwrap_or(u64::MAX) / 8 * 7;
    let share = fair_share(taken.values().copied().collect(), room);
    let mut too_many: HashMap<Sensor, u64> = taken
        .into_iter()
        .filter(|(_, bytes)| *bytes > share)
        .map(|(sensor, bytes)| (sensor, bytes - share))
        .collect();
    let mut sizes = Sizes::read(stream, newest).await?;
    while !too_many.is_empty()
        && let Some(size) = sizes.next().await?
    {
        let Some(excess) = too_many.get_mut(&size.sensor) else {
            continue;
        };
        *excess = excess.saturating_sub(size.bytes);
        if *excess == 0 {
            too_many.remove(&size.sensor);
            delete_older(stream, &size).await?;
        }
    }
    Ok(())
}

/// Deletes the messages of a sensor that are older than this one.
async fn delete_older(stream: &Stream, message: &Size) -> anyhow::Result<()> {
    let purge = stream.purge().filter(message.sensor.subject());
    let deleted = purge.sequence(message.sequence).await?.purged;
    warn!(
        sensor = %message.sensor,
        deleted,
        "the stream is almost full: the oldest messages of a sensor that takes most of it were deleted"
    );
    Ok(())
}

/// Returns how many bytes of the stream each sensor takes.
async fn bytes_by_sensor(stream: &Stream, newest: u64) -> anyhow::Result<HashMap<Sensor, u64>> {
    let mut sizes = Sizes::read(stream, newest).await?;
    let mut taken = HashMap::new();
    while let Some(size) = sizes.next().await? {
        *taken.entry(size.sensor).or_default() += size.bytes;
    }
    Ok(taken)
}

/// What a message takes.
struct Size {
    sensor: Sensor,
    sequence: u64,
    bytes: u64,
}

/// The sizes of all messages, the oldest first. Their bodies are not sent.
struct Sizes {
    messages: Ordered,
    /// The number of the last.
    newest: u64,
    has_ended: bool,
}

impl Sizes {
    async fn read(stream: &Stream, newest: u64) -> anyhow::Result<Self> {
        let config = OrderedConfig {
            filter_subject: ALL_SUBJECTS.into(),
            deliver_policy: DeliverPolicy::All,
            headers_only: true,
            ..OrderedConfig::default()
        };
        let consumer = stream.create_consumer(config).await?;
        Ok(Self {
            messages: consumer.messages().await?,
            newest,
            has_ended: false,
        })
    }

    async fn next(&mut self) -> anyhow::Result<Option<Size>> {
        while !self.has_ended {
            let message = self
                .messages
                .try_next()
                .await?
                .context("no more messages")?;
            let info = message.info().map_err(anyhow::Error::from_boxed)?;
            let sequence = info.stream_sequence;
            self.has_ended = info.pending == 0 || sequence >= self.newest;
            if let Some(sensor) = Sensor::of_subject(&message.subject) {
                let bytes = bytes_of(&message);
                return Ok(Some(Size {
                    sensor,
                    sequence,
                    bytes,
                }));
            }
        }
        Ok(None)
    }
}

/// What the server's file holds for a message, about.
fn bytes_of(message: &Message) -> u64 {
    let headers = message.headers.as_ref();
    let body: Option<u64> = headers
        .and_then(|headers| headers.get(BODY_BYTES))
        .and_then(|bytes| bytes.as_str().parse().ok());
    message.length as u64 + body.unwrap_or(0) + MESSAGE_OVERHEAD
}

/// Returns the most bytes that a sensor may take for all to have room: who takes less leaves the
/// rest to the others (max-min fairness).
fn fair_share(mut taken: Vec<u64>, mut room: u64) -> u64 {
    taken.sort_unstable();
    let sensors = taken.len() as u64;
    for (rest, bytes) in (1..=sensors).rev().zip(taken) {
        if bytes > room / rest {
            return room / rest;
        }
        room -= bytes;
    }
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_less_than_a_share_keeps_it() {
        assert_eq!(fair_share(vec![], 100), u64::MAX);
        assert_eq!(fair_share(vec![40, 60], 100), u64::MAX);
        assert_eq!(fair_share(vec![90, 90], 100), 50);
        assert_eq!(fair_share(vec![1000, 10, 20], 100), 70);
        assert_eq!(fair_share(vec![1000, 10, 2000], 100), 45);
        assert_eq!(fair_share(vec![1], 0), 0);
    }
}
