//! The task of one sensor at a hub: reads its messages, and hands on what is a request.
//!
//! In: the messages of one subject, from a number in the stream. Out: records, when there is a
//! permit of those that all sensors share. What is no request is counted, logged, and passed over.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::Stream;
use forever200_ring::Record;
use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::warn;

use crate::message::{self, Delivery};
use crate::pull::{Messages, most_ahead};
use crate::ring_writer::{Arrival, WINDOW};
use crate::sensor::Sensor;

/// Messages of one sensor that are asked for at once.
const FETCHED_AHEAD: i64 = 8;
/// Messages of one sensor that may have come and not been read, at most.
pub(crate) const MOST_AHEAD: usize = most_ahead(FETCHED_AHEAD);

/// Number in the stream of the last message of each sensor that came here.
#[derive(Clone, Default)]
pub(crate) struct LastRead(Arc<Mutex<HashMap<Sensor, u64>>>);

impl LastRead {
    pub(crate) fn set(&self, sensor: &Sensor, sequence: u64) {
        self.lock().insert(sensor.clone(), sequence);
    }

    pub(crate) fn all(&self) -> HashMap<Sensor, u64> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Sensor, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task of one sensor.
pub(crate) struct Feed {
    pub(crate) sensor: Sensor,
    pub(crate) last_read: LastRead,
    pub(crate) window: Arc<Semaphore>,
    pub(crate) arrivals: mpsc::Sender<Arrival>,
    /// Longest request that is kept here, in bytes.
    pub(crate) most_request_bytes: usize,
    /// Messages that are no request.
    pub(crate) refused: u64,
}

impl Feed {
    /// Reads the messages of the sensor from this number in the stream, or all.
    pub(crate) async fn run(
        mut self,
        context: &jetstream::Context,
        stream: &Stream,
        from: Option<u64>,
    ) -> anyhow::Result<Infallible> {
        let deliver_policy = match from {
            None => DeliverPolicy::All,
            Some(start_sequence) => DeliverPolicy::ByStartSequence { start_sequence },
        };
        let config = OrderedConfig {
            filter_subject: self.sensor.subject(),
            deliver_policy,
            max_batch: FETCHED_AHEAD,
            ..OrderedConfig::default()
        };
        let mut messages = Messages::open(context, stream, config).await?;
        // One for each that is in flight between here and the history, in their order.
        let mut in_flight = VecDeque::with_capacity(WINDOW);
        loop {
            let message = messages.next().await?;
            let delivery = delivery(&message)?;
            self.last_read.set(&self.sensor, delivery.sequence);
            let Some(record) = self.read(&message, delivery) else {
                continue;
            };
            // One that is lost in flight is written again. A collector that starts again reads from
            // the 64th newest of the history: one that is older than that must not be in flight.
            if in_flight.len() == WINDOW
                && let Some(oldest) = in_flight.pop_front()
            {
                let oldest: oneshot::Receiver<()> = oldest;
                // It is dropped, not used.
                let _ = oldest.await;
            }
            let (done, end) = oneshot::channel();
            in_flight.push_back(end);
            // First come, first served: behind the other sensors that wait.
            let permit = Arc::clone(&self.window).acquire_owned().await?;
            let arrival = Arrival {
                record,
                permit,
                done,
                losses: 0,
            };
            self.arrivals.send(arrival).await?;
        }
    }

    /// Reads a message; `None` where it is no request.
    fn read(&mut self, message: &jetstream::Message, delivery: Delivery) -> Option<Record> {
        let headers = message.headers.as_ref();
        let most_bytes = self.most_request_bytes;
        match message::read(
            &self.sensor,
            headers,
            &message.payload,
            delivery,
            most_bytes,
        ) {
            Ok(record) => Some(record),
            Err(error) => {
                // One line for the first, and for each tenfold.
                self.refused += 1;
                if self.refused == 10_u64.pow(self.refused.ilog10()) {
                    let (sensor, refused) = (&self.sensor, self.refused);
                    warn!(%sensor, refused, %error, "a message that is no request");
                }
                None
            }
        }
    }
}

/// Returns what the stream says of a message.
fn delivery(message: &jetstream::Message) -> anyhow::Result<Delivery> {
    let info = message.info().map_err(anyhow::Error::from_boxed)?;
    Ok(Delivery {
        sequence: info.stream_sequence,
        published: Timestamp::from_nanosecond(info.published.unix_timestamp_nanos())?,
    })
}
