//! The sensor's side: follows the history, and sends what is new to the stream.
//!
//! In: the history. Out: messages to one subject. After a start it asks the servers where to go on,
//! and stores nothing itself. Requests that left the history before they could be sent are counted,
//! and so are those that the servers refuse because they are too long. No client waits for any of
//! this.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::context::{PublishAckFuture, PublishError};
use bytes::Bytes;
use forever200_ring::Store;
use forever200_viewer::history::Outbox;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::ask;
use crate::last_sent::{ANOTHER_HISTORY, last_sent};
use crate::message::{self, Position};
use crate::patience::Patience;
use crate::sensor::Sensor;
use crate::too_long::{TooLong, is_too_long};
use crate::unsent::{Due, MOST_IN_FLIGHT, Unsent};

/// Longest wait for an acknowledgement. A cluster took 8 s to choose a new leader.
pub const ACK_TIME: Duration = Duration::from_secs(15);
/// Time between two polls of the history.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two checks whether another machine sends under the same name.
const NAME_INTERVAL: Duration = Duration::from_secs(60);
/// Time between two heartbeats. A sensor that gets no requests sends nothing else.
const ALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// Sends what the history in a folder has, for ever.
pub struct Publisher {
    sensor: Sensor,
    folder: PathBuf,
    client: Client,
    context: jetstream::Context,
    store: Store,
}

impl Publisher {
    /// Makes a publisher for one sensor. `memcached` is the address of the sensor's own memcached.
    #[must_use]
    pub fn new(sensor: Sensor, folder: &Path, client: Client, memcached: String) -> Self {
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ACK_TIME);
        Self {
            sensor,
            folder: folder.to_owned(),
            client,
            context,
            store: Store::new(memcached),
        }
    }

    /// Sends what is new, and asks how many sensors saw the kinds that came here, until it is
    /// dropped.
    pub async fn run(&self) -> Infallible {
        let asking = ask::ask(&self.client, &self.sensor, &self.folder, &self.store);
        tokio::select! {
            never = self.send_forever() => never,
            never = asking => never,
        }
    }

    /// Sends what is new until it is dropped. After a failure it asks the servers again where to go
    /// on, at growing intervals.
    async fn send_forever(&self) -> Infallible {
        let mut patience = Patience::new("nothing can be sent to the servers");
        let mut progress = Progress::default();
        loop {
            let begun = Instant::now();
            let Err(error) = self.follow(&mut progress).await;
            patience.wait(&error, begun.elapsed()).await;
        }
    }

    /// Sends the requests after the last one in the stream, until something fails. `progress` tells
    /// how far this program had sent at its last failure.
    async fn follow(&self, progress: &mut Progress) -> anyhow::Result<Infallible> {
        let outbox = Outbox::open(&self.folder)?;
        let era = self.era(&outbox).await?;
        let last_in_stream = last_sent(&self.client, &self.sensor).await?;
        let mut is_of_another_history = self.tell_if_of_another_history(last_in_stream, era);
        // If the last message is from another history (another machine's, or an earlier one of this
        // machine), it does not tell where to go on. Without `progress.reached`, two machines under
        // one name would both send their whole history after each failure.
        let sent = if is_of_another_history {
            progress.reached
        } else {
            last_in_stream
        };
        let last = sent.filter(|sent| sent.era == era).map(|sent| sent.seq);
        let mut unsent = Unsent::resume_after(last, &outbox)?;
        info!(sensor = %self.sensor, ?last, "sending to the servers");
        progress.longest_taken = 0;
        let mut version = None;
        let mut name_checked = Instant::now();
        let mut alive_said: Option<Instant> = None;
        loop {
            if alive_said.is_none_or(|said| said.elapsed() >= ALIVE_INTERVAL) {
                self.say_alive().await?;
                alive_said = Some(Instant::now());
            }
            let now = outbox.version()?;
            let has_changed = version.replace(now) != Some(now);
            if has_changed || unsent.is_waiting() {
                self.send_all(&outbox, era, &mut unsent, progress).await?;
                progress.reached = unsent.seq.map(|seq| Position { era, seq });
            }
            if has_changed && !is_of_another_history && name_checked.elapsed() > NAME_INTERVAL {
                let last = last_sent(&self.client, &self.sensor).await?;
                is_of_another_history = self.tell_if_of_another_history(last, era);
                name_checked = Instant::now();
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Tells whether the last message under this name is from another history, and if so logs it: a
    /// hub takes both histories for one sensor. Sending goes on nevertheless.
    fn tell_if_of_another_history(&self, last: Option<Position>, era: u64) -> bool {
        let is_of_another_history = last.is_some_and(|last| last.era != era);
        if is_of_another_history {
            warn!(sensor = %self.sensor, "{ANOTHER_HISTORY}");
        }
        is_of_another_history
    }

    /// Sends what is due, and waits until the stream has all of it. A message that is longer than
    /// every message that the servers took so far is sent alone: the servers may refuse it, and
    /// then the next message reports it as missing.
    async fn send_all(
        &self,
        outbox: &Outbox,
        era: u64,
        unsent: &mut Unsent,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let mut in_flight = FuturesOrdered::new();
        loop {
            let due = unsent.due(outbox)?;
            if due.is_empty() {
                break;
            }
            for mut message in due {
                if in_flight.len() >= MOST_IN_FLIGHT {
                    acknowledged(in_flight.next().await)?;
                }
                message.missing += unsent.take_refused();
                if message.body.len() > progress.longest_taken {
                    self.send_longest(era, &message, unsent, progress).await?;
                } else {
                    let sent = self.send(era, &message).await.context("cannot send")?;
                    in_flight.push_back(sent.into_future());
                }
            }
        }
        while !in_flight.is_empty() {
            acknowledged(in_flight.next().await)?;
        }
        Ok(())
    }

    /// Sends a message that is longer than all before, and waits until the stream has it or the
    /// servers refuse it. If it is too long for them, counts it and skips it.
    async fn send_longest(
        &self,
        era: u64,
        message: &Due,
        unsent: &mut Unsent,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        match self.send_and_wait(era, message).await {
            Ok(()) => progress.longest_taken = message.body.len(),
            Err(error) if is_too_long(&error) => {
                unsent.refuse(message);
                progress.too_long.add(message, error);
            }
            Err(error) => return Err(not_taken(error)),
        }
        Ok(())
    }

    /// Sends a message, and waits until the stream has it.
    async fn send_and_wait(&self, era: u64, message: &Due) -> Result<(), PublishError> {
        self.send(era, message).await?.await.map(drop)
    }

    /// Sends a heartbeat. The hub does not acknowledge it, because the next one comes soon.
    async fn say_alive(&self) -> anyhow::Result<()> {
        let subject = self.sensor.alive_subject();
        let said = self.client.publish(subject, Bytes::new()).await;
        said.context("cannot say that this sensor runs")
    }

    /// Waits until the history has an era, and returns it.
    async fn era(&self, outbox: &Outbox) -> anyhow::Result<u64> {
        loop {
            if let Some(era) = outbox.era()? {
                return Ok(era);
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn send(&self, era: u64, due: &Due) -> Result<PublishAckFuture, PublishError> {
        let position = Position { era, seq: due.seq };
        let headers = message::headers(&self.sensor, position, due.missing);
        let body = due.body.clone().into();
        self.context
            .publish_with_headers(self.sensor.subject(), headers, body)
            .await
    }
}

/// What is still known after a failure.
#[derive(Default)]
struct Progress {
    /// How far this program had sent.
    reached: Option<Position>,
    /// Length of the longest body that the servers took since the last failure.
    longest_taken: usize,
    too_long: TooLong,
}

/// Fails if the servers did not take the message that this answers.
fn acknowledged<T>(answer: Option<Result<T, PublishError>>) -> anyhow::Result<()> {
    match answer {
        Some(Err(error)) => Err(not_taken(error)),
        _ => Ok(()),
    }
}

/// Returns the error of a message that the servers did not take.
fn not_taken(error: PublishError) -> anyhow::Error {
    anyhow::Error::new(error).context("the servers did not take a message")
}
