//! The messages of one sensor at a hub, in their order.
//!
//! In: a number in the stream. Out: the sensor's messages from there on, for ever. A consumer of
//! the sensor's own reads the earlier ones, so that a sensor with many of them does not delay the
//! others. The newest come by the consumer that all sensors share ([`Tail`]).

use std::sync::Arc;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, Message};
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::message::Delivery;
use crate::pull::{Messages, most_ahead};
use crate::sensor::Sensor;
use crate::tail::{Queued, Tail};

/// Most messages of one sensor in one request for messages.
const FETCHED_AHEAD: i64 = 8;
/// Most messages of one sensor that a consumer of its own has received, and that were not read.
pub(crate) const MOST_AHEAD: usize = most_ahead(FETCHED_AHEAD);

/// The messages of one sensor, read with [`next`](Self::next).
pub(crate) struct SensorMessages {
    sensor: Sensor,
    /// The number in the stream from which messages are read.
    from: u64,
    context: jetstream::Context,
    stream: Stream,
    tail: Arc<Tail>,
    consumer: Consumer,
}

/// The consumer by which the next message is read.
enum Consumer {
    /// One of the sensor's own, which is not open yet.
    Unopened,
    Own(Box<Messages>),
    Shared(mpsc::Receiver<Queued<Message>>),
}

impl SensorMessages {
    /// Begins with the number `from` in the stream, or with the sensor's first message if `from` is
    /// `None`.
    pub(crate) fn new(
        sensor: Sensor,
        from: Option<u64>,
        context: jetstream::Context,
        stream: Stream,
        tail: Arc<Tail>,
    ) -> Self {
        Self {
            sensor,
            from: from.unwrap_or_default(),
            context,
            stream,
            tail,
            consumer: Consumer::Unopened,
        }
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// The sensor's own consumer or its server is gone, or a message was lost on the way.
    pub(crate) async fn next(&mut self) -> anyhow::Result<(Message, Delivery)> {
        loop {
            match &mut self.consumer {
                Consumer::Unopened => self.consumer = Consumer::Own(Box::new(self.open().await?)),
                Consumer::Own(messages) => {
                    let message = messages.next().await?;
                    let delivery = delivery(&message)?;
                    self.from = delivery.sequence + 1;
                    if let Some(shared) = self.tail.join(&self.sensor, delivery.sequence) {
                        // Nobody reads the sensor's own consumer any more: the server removes it.
                        self.consumer = Consumer::Shared(shared);
                    }
                    return Ok((message, delivery));
                }
                Consumer::Shared(shared) => {
                    let Some(Queued { message, .. }) = shared.recv().await else {
                        self.consumer = Consumer::Unopened;
                        continue;
                    };
                    let delivery = delivery(&message)?;
                    // The first ones may have been read by the sensor's own consumer.
                    if delivery.sequence >= self.from {
                        self.from = delivery.sequence + 1;
                        return Ok((message, delivery));
                    }
                }
            }
        }
    }

    async fn open(&self) -> anyhow::Result<Messages> {
        let deliver_policy = match self.from {
            0 => DeliverPolicy::All,
            start_sequence => DeliverPolicy::ByStartSequence { start_sequence },
        };
        let config = OrderedConfig {
            filter_subject: self.sensor.subject(),
            deliver_policy,
            max_batch: FETCHED_AHEAD,
            ..OrderedConfig::default()
        };
        Messages::open(&self.context, &self.stream, config).await
    }
}

/// Returns what the stream says about a message.
fn delivery(message: &jetstream::Message) -> anyhow::Result<Delivery> {
    let info = message.info().map_err(anyhow::Error::from_boxed)?;
    Ok(Delivery {
        sequence: info.stream_sequence,
        published: Timestamp::from_nanosecond(info.published.unix_timestamp_nanos())?,
    })
}
