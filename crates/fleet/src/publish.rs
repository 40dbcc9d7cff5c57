//! A sensor's end: follows its history, and sends what is new to the hub.
//!
//! In: the history. Out: messages to one subject. Where to go on it asks the hub: nothing is kept
//! here. What has left the history before it could be sent is counted. Nothing here is on the way
//! of an answer.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::context::PublishAckFuture;
use bytes::Bytes;
use forever200_ring::SLOTS;
use forever200_viewer::history::Outbox;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::last_sent::{ANOTHER_HISTORY, last_sent};
use crate::message::{self, Position};
use crate::patience::Patience;
use crate::sensor::Sensor;

/// Messages that are sent and not acknowledged yet, at most: 4 MiB of the longest that are kept by
/// default.
const MOST_IN_FLIGHT: usize = 64;
/// Longest wait for an acknowledgement: a cluster that chooses a new leader took 8 s.
pub const ACK_TIME: Duration = Duration::from_secs(15);
/// Time between two looks at the history.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two questions whether another machine sends under the same name.
const NAME_INTERVAL: Duration = Duration::from_secs(60);
/// Time between two messages that say that this sensor runs: where nothing comes, the hub hears
/// nothing else of it.
const ALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// Longest wait for a number whose record is not in the history, though later ones are: a slot may
/// be written late.
const LATE_TIME: Duration = Duration::from_secs(5);

/// Sends what the history in a folder has, for ever.
pub struct Publisher {
    sensor: Sensor,
    folder: PathBuf,
    client: Client,
    context: jetstream::Context,
}

impl Publisher {
    /// Makes a publisher for one sensor.
    #[must_use]
    pub fn new(sensor: Sensor, folder: &Path, client: Client) -> Self {
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ACK_TIME);
        Self {
            sensor,
            folder: folder.to_owned(),
            client,
            context,
        }
    }

    /// Sends until it is dropped. After a failure it asks the hub anew where to go on, at growing
    /// intervals.
    pub async fn run(&self) -> Infallible {
        let mut patience = Patience::new("nothing can be sent to the hub");
        let mut reached = None;
        loop {
            let begun = Instant::now();
            let Err(error) = self.follow(&mut reached).await;
            patience.wait(&error, begun.elapsed()).await;
        }
    }

    /// Sends from where the hub is. `reached` is how far this program was when it last failed.
    async fn follow(&self, reached: &mut Option<Position>) -> anyhow::Result<Infallible> {
        let outbox = Outbox::open(&self.folder)?;
        let era = self.era(&outbox).await?;
        let last_in_stream = last_sent(&self.client, &self.sensor).await?;
        let mut is_shared = self.tell_if_shared(last_in_stream, era);
        // Where another machine sends under this name, its last message says nothing of what is
        // here: without what was reached, each would send its whole history after each failure.
        let sent = if is_shared { *reached } else { last_in_stream };
        let last = sent.filter(|sent| sent.era == era).map(|sent| sent.seq);
        let mut cursor = Cursor::behind(last);
        info!(sensor = %self.sensor, ?last, "sending to the hub");
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
            if has_changed || cursor.is_waiting() {
                self.send_all(&outbox, era, &mut cursor).await?;
                *reached = cursor.seq.map(|seq| Position { era, seq });
            }
            if has_changed && !is_shared && name_checked.elapsed() > NAME_INTERVAL {
                let last = last_sent(&self.client, &self.sensor).await?;
                is_shared = self.tell_if_shared(last, era);
                name_checked = Instant::now();
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Tells whether another history sends under this name, and logs it: two machines with one name
    /// would be one sensor that is at two places. Nothing is kept back for that.
    fn tell_if_shared(&self, last: Option<Position>, era: u64) -> bool {
        let is_shared = last.is_some_and(|last| last.era != era);
        if is_shared {
            warn!(sensor = %self.sensor, "{ANOTHER_HISTORY}");
        }
        is_shared
    }

    /// Sends what is due, and waits until the hub has it.
    async fn send_all(&self, outbox: &Outbox, era: u64, cursor: &mut Cursor) -> anyhow::Result<()> {
        let mut in_flight = FuturesOrdered::new();
        loop {
            let due = cursor.due(outbox)?;
            if due.is_empty() {
                break;
            }
            for message in due {
                if in_flight.len() >= MOST_IN_FLIGHT {
                    acknowledged(in_flight.next().await)?;
                }
                let acknowledgement = self.send(era, &message).await?;
                in_flight.push_back(acknowledgement.into_future());
            }
        }
        while !in_flight.is_empty() {
            acknowledged(in_flight.next().await)?;
        }
        Ok(())
    }

    /// Says that this sensor runs. Nobody acknowledges it: the next one comes soon.
    async fn say_alive(&self) -> anyhow::Result<()> {
        let subject = self.sensor.alive_subject();
        let said = self.client.publish(subject, Bytes::new()).await;
        said.context("cannot say that this sensor runs")
    }

    /// Waits until the history says when it began.
    async fn era(&self, outbox: &Outbox) -> anyhow::Result<u64> {
        loop {
            if let Some(era) = outbox.era()? {
                return Ok(era);
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    async fn send(&self, era: u64, due: &Due) -> anyhow::Result<PublishAckFuture> {
        let position = Position { era, seq: due.seq };
        let headers = message::headers(&self.sensor, position, due.missing);
        self.context
            .publish_with_headers(self.sensor.subject(), headers, due.body.clone().into())
            .await
            .context("cannot send")
    }
}

fn acknowledged<T, E: std::error::Error + Send + Sync + 'static>(
    answer: Option<Result<T, E>>,
) -> anyhow::Result<()> {
    match answer {
        Some(Err(error)) => {
            Err(anyhow::Error::new(error).context("the hub did not take a message"))
        }
        _ => Ok(()),
    }
}

/// What is to be sent next.
struct Due {
    seq: u64,
    missing: u64,
    body: Vec<u8>,
}

/// How far the history was read.
struct Cursor {
    /// The newest number that the hub has: what is missing before it is not missing there.
    confirmed: Option<u64>,
    /// The newest number that was read; `None` before the first of a history that the hub has
    /// nothing of.
    seq: Option<u64>,
    /// Since when a number is awaited whose record is late.
    late: Option<Instant>,
}

impl Cursor {
    /// Begins behind what the hub has last, a little earlier: of messages that were on their way
    /// together, a later one may have arrived alone. What the hub has twice it takes once.
    fn behind(last: Option<u64>) -> Self {
        let seq = last.map(|last| last.saturating_sub(MOST_IN_FLIGHT as u64));
        Self {
            confirmed: last,
            seq,
            late: None,
        }
    }

    /// Tells whether something may be due though the history has not changed.
    fn is_waiting(&self) -> bool {
        self.late.is_some()
    }

    /// Returns what comes next, and moves behind it; nothing when all is sent, or the next number
    /// is late.
    fn due(&mut self, outbox: &Outbox) -> anyhow::Result<Vec<Due>> {
        let newest = outbox.newest()?;
        let mut due = Vec::new();
        while due.is_empty() {
            let records = outbox.after(self.seq.unwrap_or(0), MOST_IN_FLIGHT)?;
            if records.is_empty() {
                break;
            }
            for record in records {
                let next = self.seq.map_or(record.seq, |seq| seq + 1);
                if record.seq > next && !self.gives_up(next, newest) {
                    return Ok(due);
                }
                self.late = None;
                self.seq = Some(record.seq);
                // What came here from another machine is that one's to send.
                if record.sensor.is_none() {
                    due.push(Due {
                        seq: record.seq,
                        missing: self.missing(next, record.seq),
                        body: record.encode(),
                    });
                }
            }
        }
        Ok(due)
    }

    /// Counts the numbers from `next` that are missing before this one, but for those that the hub
    /// has.
    fn missing(&self, next: u64, seq: u64) -> u64 {
        let behind_confirmed = self.confirmed.map_or(0, |confirmed| confirmed + 1);
        seq.saturating_sub(next.max(behind_confirmed))
    }

    /// Tells whether a number will not come any more: the ring has no place for it, or it is late
    /// for too long.
    fn gives_up(&mut self, next: u64, newest: u64) -> bool {
        let since = *self.late.get_or_insert_with(Instant::now);
        next + SLOTS <= newest || since.elapsed() > LATE_TIME
    }
}
