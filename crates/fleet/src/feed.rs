//! The task of one sensor at a hub: reads the sensor's messages, and hands the requests on.
//!
//! In: the messages of one sensor. Out: records, each with one of the permits that all sensors
//! share. A message that is not a request is counted, logged and skipped.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::jetstream;
use forever200_ring::Record;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::warn;

use crate::message::{self, Delivery};
use crate::ring_writer::{Arrival, WINDOW};
use crate::sensor::Sensor;
use crate::sensor_messages::SensorMessages;

/// For each sensor, the number in the stream of the last message that was read.
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
    /// How many messages were not requests.
    pub(crate) unusable: u64,
}

impl Feed {
    /// Reads the sensor's messages for ever.
    pub(crate) async fn run(mut self, mut messages: SensorMessages) -> anyhow::Result<Infallible> {
        // One receiver for each record in flight between here and the history, in their order.
        let mut in_flight = VecDeque::with_capacity(WINDOW);
        loop {
            let (message, delivery) = messages.next().await?;
            self.last_read.set(&self.sensor, delivery.sequence);
            let Some(record) = self.read(&message, delivery) else {
                continue;
            };
            // After a restart, the last `WINDOW` + 1 messages that the history has are read again
            // (`Ledger::stream_position`). So a record waits here until the record `WINDOW` places
            // before it is in the history. Permits alone do not suffice: newer records may arrive
            // while an older one does not.
            if in_flight.len() == WINDOW
                && let Some(oldest) = in_flight.pop_front()
            {
                let oldest: oneshot::Receiver<()> = oldest;
                // The sender is dropped without a value when the record is in the history, or given
                // up.
                let _ = oldest.await;
            }
            let (done, end) = oneshot::channel();
            in_flight.push_back(end);
            // First come, first served: this sensor waits behind the others that already wait.
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

    /// Returns the record of a message; `None` where the message is not a request.
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
                // A line for the first, the tenth, the hundredth, and so on.
                self.unusable += 1;
                if self.unusable == 10_u64.pow(self.unusable.ilog10()) {
                    let (sensor, refused) = (&self.sensor, self.unusable);
                    warn!(%sensor, refused, %error, "a message that is no request");
                }
                None
            }
        }
    }
}
