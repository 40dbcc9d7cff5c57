//! Each sensor's share of the stream. When the stream is almost full, the sensors that take more
//! than their share lose their oldest messages.
//!
//! In: the stream. Out: room in the stream. NATS limits the messages of a subject and the bytes of
//! a stream, but not the bytes of a subject. Without these shares, a sensor that sends long
//! messages without end would push out the messages of all others.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context;
use async_nats::Client;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::{Info, Stream};
use async_nats::jetstream::{self, Message};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::warn;

use crate::message::MAX_BODY_BYTES;
use crate::patience::LastSaid;
use crate::pull::{Messages, most_ahead};
use crate::sensor::{ALL_REQUESTS, Sensor};
use crate::unreadable;

/// Time between two checks of how full the stream is.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Longest time for making room. 4 GiB of short messages are read in a few minutes.
const MOST_TIME: Duration = Duration::from_secs(600);
/// If no message comes for this long, there are no more.
const QUIET_TIME: Duration = Duration::from_secs(10);
/// Most messages in one request for messages.
const FETCHED_AHEAD: i64 = 200;
/// Most messages that were received but not read.
const MOST_AHEAD: usize = most_ahead(FETCHED_AHEAD);
/// Header with the length of a body that the server does not send.
const BODY_BYTES: &str = "Nats-Msg-Size";
/// Bytes that the server's file has for a message beside subject, headers and body: length, number,
/// time and hash.
const MESSAGE_OVERHEAD: u64 = 30;

/// Checks the stream for ever, and makes room when it is almost full. A failure is logged, and does
/// not delay the next check.
pub(crate) async fn keep<F: Future<Output = Client>>(
    stream: &Stream,
    client: &Client,
    connect: &impl Fn() -> F,
) -> Infallible {
    let mut ticks = interval(CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_error = LastSaid::default();
    let reading = Reading {
        stream,
        client,
        connect,
    };
    loop {
        ticks.tick().await;
        match check(&reading).await {
            Ok(()) => last_error = LastSaid::default(),
            Err(error) => {
                let error = format!("{error:#}");
                if last_error.is_new(&error) {
                    warn!(error, "no room can be made in the stream");
                }
            }
        }
    }
}

/// The handles to read all messages of the stream. Each reading has a connection of its own,
/// because a message with invalid headers ends the connection that reads it.
struct Reading<'a, C> {
    stream: &'a Stream,
    /// The connection for questions and commands.
    client: &'a Client,
    connect: &'a C,
}

async fn check<F: Future<Output = Client>, C: Fn() -> F>(
    reading: &Reading<'_, C>,
) -> anyhow::Result<()> {
    let info = reading.stream.get_info().await?;
    if is_almost_full(&info) {
        let deleted = timeout(MOST_TIME, delete_excess(reading, &info)).await;
        deleted.context("the stream was not read in time")??;
    }
    Ok(())
}

/// Tells whether seven eighths of the stream are full. The last eighth is for messages that come
/// between two checks, or while room is made. That takes a while, because all messages are read
/// twice.
fn is_almost_full(info: &Info) -> bool {
    most_bytes(info).is_some_and(|most| info.state.bytes > most / 8 * 7)
}

/// Returns the most bytes that the stream may hold; `None` where it has no limit.
fn most_bytes(info: &Info) -> Option<u64> {
    u64::try_from(info.config.max_bytes)
        .ok()
        .filter(|&most| most > 0)
}

/// Deletes the oldest messages of the sensors that take more than their share, until a quarter of
/// the stream is free. Deleting stops before the message that uses up the excess, so the newest
/// message of a sensor always stays: it tells the sensor where to go on sending.
async fn delete_excess<F: Future<Output = Client>, C: Fn() -> F>(
    reading: &Reading<'_, C>,
    info: &Info,
) -> anyhow::Result<()> {
    let last_sequence = info.state.last_sequence;
    let taken = bytes_by_sensor(reading, last_sequence).await?;
    // Another hub may have made room meanwhile.
    if !is_almost_full(&reading.stream.get_info().await?) {
        return Ok(());
    }
    let share = fair_share(taken.values().copied().collect(), room(info, &taken));
    let mut excess_bytes: HashMap<Sensor, u64> = taken
        .into_iter()
        .filter(|(_, bytes)| *bytes > share)
        .map(|(sensor, bytes)| (sensor, bytes - share))
        .collect();
    let mut sizes = MessageSizes::open(reading, last_sequence).await?;
    while !excess_bytes.is_empty()
        && let Some(message) = sizes.next().await?
    {
        let Some(excess) = excess_bytes.get_mut(&message.sensor) else {
            continue;
        };
        *excess = excess.saturating_sub(message.bytes);
        if *excess == 0 {
            excess_bytes.remove(&message.sensor);
            delete_older(reading.stream, &message).await?;
        }
    }
    Ok(())
}

/// Returns how many bytes all messages together may take, in the measure of `taken`. [`bytes_of`]
/// counts more than the file has (reply subject and header [`BODY_BYTES`]), so the limit is
/// multiplied by the same ratio.
fn room(info: &Info, taken: &HashMap<Sensor, u64>) -> u64 {
    let most = most_bytes(info).unwrap_or(u64::MAX) / 4 * 3;
    let added_up: u128 = taken.values().map(|&bytes| u128::from(bytes)).sum();
    let in_file = u128::from(info.state.bytes.max(1));
    u64::try_from(u128::from(most) * added_up / in_file).unwrap_or(u64::MAX)
}

/// Deletes the messages of a sensor that are older than this one.
async fn delete_older(stream: &Stream, message: &MessageSize) -> anyhow::Result<()> {
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
async fn bytes_by_sensor<F: Future<Output = Client>, C: Fn() -> F>(
    reading: &Reading<'_, C>,
    last_sequence: u64,
) -> anyhow::Result<HashMap<Sensor, u64>> {
    let mut sizes = MessageSizes::open(reading, last_sequence).await?;
    let mut taken = HashMap::<_, u64>::new();
    while let Some(message) = sizes.next().await? {
        let bytes = taken.entry(message.sensor).or_default();
        *bytes = bytes.saturating_add(message.bytes);
    }
    Ok(taken)
}

/// How many bytes a message takes.
struct MessageSize {
    sensor: Sensor,
    sequence: u64,
    bytes: u64,
}

/// The sizes of all messages, the oldest first. Their bodies are not sent.
struct MessageSizes<'a, C> {
    reading: &'a Reading<'a, C>,
    connection: Client,
    messages: Messages,
    /// Number in the stream of the last message that was read.
    read: u64,
    /// Number in the stream of the last message to read.
    last_sequence: u64,
    has_ended: bool,
}

impl<'a, F: Future<Output = Client>, C: Fn() -> F> MessageSizes<'a, C> {
    async fn open(reading: &'a Reading<'a, C>, last_sequence: u64) -> anyhow::Result<Self> {
        let connection = (reading.connect)().await;
        Ok(Self {
            reading,
            messages: messages_after(&connection, reading.stream, 0).await?,
            connection,
            read: 0,
            last_sequence,
            has_ended: false,
        })
    }

    async fn next(&mut self) -> anyhow::Result<Option<MessageSize>> {
        while !self.has_ended {
            // The rest may have been deleted meanwhile. Then no message tells that it is the last.
            let Ok(message) = timeout(QUIET_TIME, self.messages.next()).await else {
                break;
            };
            let message = match message {
                Ok(message) => message,
                Err(error) => {
                    self.step_over(error).await?;
                    continue;
                }
            };
            let info = message.info().map_err(anyhow::Error::from_boxed)?;
            self.read = info.stream_sequence;
            self.has_ended = info.pending == 0 || self.read >= self.last_sequence;
            if let Some(sensor) = Sensor::of_subject(&message.subject) {
                return Ok(Some(MessageSize {
                    sensor,
                    sequence: self.read,
                    bytes: bytes_of(&message),
                }));
            }
        }
        Ok(None)
    }

    /// Deletes a message with invalid headers, at which the library ended the connection, and goes
    /// on after the last message that was read.
    async fn step_over(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        let client = self.reading.client;
        let deleted =
            unreadable::delete_next(client, ALL_REQUESTS, self.read, MOST_AHEAD + 1).await?;
        if deleted == 0 {
            return Err(error);
        }
        self.connection = (self.reading.connect)().await;
        self.messages = messages_after(&self.connection, self.reading.stream, self.read).await?;
        Ok(())
    }
}

/// Asks for all messages whose number in the stream is greater than this one.
async fn messages_after(
    connection: &Client,
    stream: &Stream,
    number: u64,
) -> anyhow::Result<Messages> {
    let config = OrderedConfig {
        filter_subject: ALL_REQUESTS.into(),
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: number + 1,
        },
        headers_only: true,
        max_batch: FETCHED_AHEAD,
        ..OrderedConfig::default()
    };
    let context = jetstream::new(connection.clone());
    Messages::open(&context, stream, config).await
}

/// Returns a little more than the number of bytes that the server's file has for a message.
fn bytes_of(message: &Message) -> u64 {
    let headers = message.headers.as_ref();
    // The sensor may have sent such a header too; the server adds its own at the end.
    let body: Option<u64> = headers
        .and_then(|headers| headers.get_last(BODY_BYTES))
        .and_then(|bytes| bytes.as_str().parse().ok());
    let body = body.unwrap_or(0).min(MAX_BODY_BYTES as u64);
    message.length as u64 + body + MESSAGE_OVERHEAD
}

/// Returns the most bytes that a sensor may keep, so that all sensors together fit into `room`. A
/// sensor that takes less leaves the rest to the others (max-min fairness).
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
