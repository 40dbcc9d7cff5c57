//! The JetStream stream that holds what all sensors send.
//!
//! In: a connection. Out: the stream. The first hub makes it.

use std::time::Duration;

use anyhow::Context;
use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType, Stream};
use clap::Args;
use tracing::warn;

use crate::message::MAX_BODY_BYTES;
use crate::sensor::{ALL_REQUESTS, STREAM, Sensor};

/// Room for the headers of a message, in bytes.
const HEADERS_BYTES: usize = 1024;
/// How long the servers remember the ids of messages (`Nats-Msg-Id`): the shortest time that they
/// allow. Our messages have no such id, and each id that a sensor sends takes some of the servers'
/// memory.
const DUPLICATE_WINDOW: Duration = Duration::from_millis(100);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings for a new stream. One that exists keeps its own.
#[derive(Args, Clone, Debug)]
pub struct StreamArgs {
    /// Number of servers that hold each message
    #[arg(long, value_name = "SERVERS", env = "FOREVER200_FLEET_REPLICAS", default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    /// Size of the stream on each server, in bytes, reserved when it is made; when it is full, the
    /// oldest messages are deleted
    #[arg(long, value_name = "BYTES", env = "FOREVER200_FLEET_BYTES", default_value_t = 4 << 30)]
    stream_bytes: i64,
    /// Most messages of one sensor in the stream; beyond that, its oldest are deleted
    #[arg(
        long,
        value_name = "MESSAGES",
        env = "FOREVER200_FLEET_MESSAGES",
        default_value_t = 250_000
    )]
    sensor_messages: i64,
    /// Days after which a message is deleted
    #[arg(long, value_name = "DAYS", env = "FOREVER200_FLEET_DAYS", default_value_t = 7,
        value_parser = clap::value_parser!(u32).range(1..))]
    stream_days: u32,
}

impl StreamArgs {
    fn config(&self) -> Config {
        Config {
            name: STREAM.into(),
            description: Some(
                "Requests that forever200 recorded, a subject for each sensor".into(),
            ),
            subjects: vec![ALL_REQUESTS.into()],
            max_bytes: self.stream_bytes,
            // A sensor that sends without end must not push out what the others have sent.
            max_messages_per_subject: self.sensor_messages,
            max_age: DAY * self.stream_days,
            max_message_size: i32::try_from(MAX_BODY_BYTES + HEADERS_BYTES).unwrap_or(i32::MAX),
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            num_replicas: self.replicas.into(),
            allow_direct: true,
            duplicate_window: DUPLICATE_WINDOW,
            ..Config::default()
        }
    }
}

/// Returns the stream, and makes it where there is none. A stream that exists stays as it is,
/// except for how long ids are remembered.
///
/// # Errors
/// Nobody answers, this key may not do so, or there is no room for it.
pub async fn open(context: &jetstream::Context, args: &StreamArgs) -> anyhow::Result<Stream> {
    let stream = context
        .get_or_create_stream(args.config())
        .await
        .context("cannot open the stream")?;
    let config = &stream.cached_info().config;
    if config.duplicate_window > DUPLICATE_WINDOW {
        let config = Config {
            duplicate_window: DUPLICATE_WINDOW,
            ..config.clone()
        };
        // If this fails, the stream can still be read and written.
        if let Err(error) = context.update_stream(config).await {
            warn!(%error, "the servers keep the ids of messages for longer than they need");
        }
    }
    Ok(stream)
}

/// Deletes all messages of a sensor from the stream, and returns how many were deleted.
///
/// # Errors
/// Nobody answers, this key may not do so, or there is no stream.
pub async fn purge(client: Client, sensor: &Sensor) -> anyhow::Result<u64> {
    let stream = jetstream::new(client)
        .get_stream(STREAM)
        .await
        .context("there is no stream")?;
    let purged = stream
        .purge()
        .filter(sensor.subject())
        .await
        .context("the servers did not delete them")?;
    Ok(purged.purged)
}
