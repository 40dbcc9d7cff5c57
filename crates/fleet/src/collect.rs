//! The hub's side: reads what all sensors send, and writes it into the hub's ring.
//!
//! In: the stream. Out: records. At most `WINDOW` records of all sensors are in flight at a time.
//! Each sensor has a task. The tasks wait in a queue for a place in that window, so a sensor that
//! sends without end does not delay the others. The hub's history tells how far each sensor was
//! read; the server remembers nothing about a hub.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use async_nats::Client;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, ErrorCode};
use forever200_ring::Store;
use forever200_viewer::history::Ledger;
use futures_util::TryStreamExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::answer;
use crate::connection::{connections_made, has_ended};
use crate::feed::{Feed, LastRead};
use crate::heartbeats;
use crate::held_back::HeldBack;
use crate::patience::{LastSaid, Patience};
use crate::ring_writer::{AnotherHistory, Arrival, RingWriter, WINDOW};
use crate::same_stream;
use crate::sensor::{ALL_REQUESTS, STREAM, Sensor};
use crate::sensor_messages::{MOST_AHEAD, SensorMessages};
use crate::shares;
use crate::stream::{self, StreamArgs};
use crate::tail::Tail;
use crate::unreadable;

/// Longest wait for an answer of the server.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Time between two searches for new sensors.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(2);

/// Collects what sensors send, for ever.
pub struct Collector {
    settings: Settings,
    last_read: LastRead,
    held_back: HeldBack,
}

/// Settings of a hub.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Settings with which the stream is made.
    pub stream: StreamArgs,
    /// Folder of the hub's history.
    pub history: PathBuf,
    /// Address of the memcached with the hub's ring.
    pub memcached: String,
    /// How many bytes of a request the hub keeps.
    pub most_request_bytes: usize,
    /// Whether the hub tells sensors how many of them saw a kind.
    pub tells_seen_by: bool,
}

impl Collector {
    /// Makes a collector.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            last_read: LastRead::default(),
            held_back: HeldBack::default(),
        }
    }

    /// Collects until it is dropped. After a failure it starts again, at growing intervals. If the
    /// connection has ended for good, it makes a new one.
    pub async fn run<F: Future<Output = Client>>(mut self, connect: impl Fn() -> F) -> Infallible {
        let mut patience = Patience::new("nothing can be collected");
        let mut client = connect().await;
        let mut from_start = false;
        loop {
            let begun = Instant::now();
            let made_before = connections_made(&client);
            let Err(error) = self.collect(&client, &connect, from_start).await;
            // Never cleared: after any later failure, too, the whole stream is read again. The new
            // history lacks requests of the old one, and nothing notes when it has all of them.
            from_start |= error.is::<AnotherHistory>();
            patience.wait(&error, begun.elapsed()).await;
            let has_ended = has_ended(&client).await;
            if has_ended {
                client = connect().await;
            }
            if has_ended || connections_made(&client) != made_before {
                let deleted = self.delete_unreadable(&client, 1).await;
                // The invalid message may follow others that were received but not read.
                if has_ended && deleted == 0 {
                    self.delete_unreadable(&client, MOST_AHEAD + 1).await;
                }
            }
        }
    }

    /// Deletes messages with invalid headers, because they end the connection. For each sensor,
    /// goes through its messages after the last one read until it has seen `most_readable` valid
    /// ones. Returns how many messages were deleted. Stops at the first question that the servers
    /// do not answer: with a thousand sensors, each further question would wait in vain.
    async fn delete_unreadable(&mut self, client: &Client, most_readable: usize) -> u64 {
        let mut all = 0;
        for (sensor, last) in self.last_read.all() {
            // This sensor is not read now, so its messages did not end the connection.
            if self.held_back.holds(&sensor) {
                continue;
            }
            let subject = sensor.subject();
            match unreadable::delete_next(client, &subject, last, most_readable).await {
                Ok(0) => {}
                Ok(deleted) => {
                    all += deleted;
                    self.held_back.add(sensor);
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    warn!(%sensor, error, "the next message cannot be checked");
                    break;
                }
            }
        }
        all
    }

    /// Collects what each sensor has sent after its newest request in the history, or all of the
    /// stream if `from_start` is set.
    async fn collect<F: Future<Output = Client>>(
        &self,
        client: &Client,
        connect: &impl Fn() -> F,
        from_start: bool,
    ) -> anyhow::Result<Infallible> {
        let settings = &self.settings;
        let ledger = || Ledger::new(settings.history.clone());
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ANSWER_TIME);
        let stream = stream::open(&context, &settings.stream).await?;
        let created = stream.cached_info().created.unix_timestamp_nanos();
        let newest = ledger().newest_sent()?;
        let before_stream = same_stream::newest_before(&settings.history, created, newest)?;
        let (arrivals, waiting) = mpsc::channel(WINDOW);
        let writer = RingWriter::new(Store::new(&settings.memcached), ledger());
        let shares = shares::keep(&stream, client, connect);
        let tail = Arc::new(Tail::new());
        let sensors = Sensors {
            connections_made: connections_made(client),
            client: client.clone(),
            context,
            stream: stream.clone(),
            // A handle: the tasks write into the same map, which `run` reads.
            last_read: self.last_read.clone(),
            most_request_bytes: settings.most_request_bytes,
            ledger: ledger(),
            window: Arc::new(Semaphore::new(WINDOW)),
            arrivals,
            tail: Arc::clone(&tail),
            tasks: JoinSet::new(),
            known: HashMap::new(),
            created,
            before_stream,
            from_start,
            // A copy: `run` changes its own only while nothing is collected.
            held_back: self.held_back.clone(),
            last_error: LastSaid::default(),
        };
        tokio::select! {
            error = sensors.follow() => error,
            error = writer.run(waiting) => error,
            never = shares => match never {},
            never = tail.follow(connect) => match never {},
            never = self.listen(connect) => match never {},
        }
    }

    /// Reads the heartbeats and questions of sensors, which are not in the stream, on a connection
    /// of its own. A message with invalid headers ends this connection, and nothing tells which
    /// sensor sent it.
    async fn listen<F: Future<Output = Client>>(&self, connect: &impl Fn() -> F) -> Infallible {
        let settings = &self.settings;
        let mut patience = Patience::new("heartbeats and questions of sensors cannot be read");
        loop {
            let client = connect().await;
            let begun = Instant::now();
            let heartbeats = heartbeats::listen(&client, Store::new(&settings.memcached));
            let answers = answer::answer(&client, Ledger::new(settings.history.clone()));
            tokio::select! {
                never = heartbeats => match never {},
                never = answers, if settings.tells_seen_by => match never {},
                () = until_ended(&client) => {}
            }
            let ended = anyhow!("the connection has ended");
            patience.wait(&ended, begun.elapsed()).await;
        }
    }
}

/// Waits until a connection has ended for good.
async fn until_ended(client: &Client) {
    let mut ticks = interval(DISCOVERY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if has_ended(client).await {
            return;
        }
    }
}

/// The error when the stream was deleted and made again.
#[derive(Debug, thiserror::Error)]
#[error("the stream is not the same as before: all of it is collected")]
struct AnotherStream;

/// The tasks, one for each sensor.
struct Sensors {
    client: Client,
    /// How often `client` had connected when this began.
    connections_made: u64,
    context: jetstream::Context,
    stream: Stream,
    last_read: LastRead,
    most_request_bytes: usize,
    ledger: Ledger,
    window: Arc<Semaphore>,
    arrivals: mpsc::Sender<Arrival>,
    tail: Arc<Tail>,
    tasks: JoinSet<(Sensor, anyhow::Error)>,
    known: HashMap<Sensor, AbortHandle>,
    /// When the stream was made, in nanoseconds since 1970.
    created: i128,
    /// Requests up to this number of the history came from an earlier stream.
    before_stream: u64,
    from_start: bool,
    held_back: HeldBack,
    /// Why a task last failed. It is logged once, even if a thousand tasks fail for this reason.
    last_error: LastSaid,
}

impl Sensors {
    /// Starts a task for each sensor that has messages in the stream, and starts it again when it
    /// fails.
    async fn follow(mut self) -> anyhow::Result<Infallible> {
        let mut ticks = interval(DISCOVERY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    // A message with invalid headers may have ended the connection, and the
                    // consumers may be gone.
                    let made = connections_made(&self.client);
                    ensure!(made == self.connections_made, "the connection was lost");
                    if let Err(error) = self.discover().await {
                        let is_another = error.is::<AnotherStream>();
                        if is_another || self.is_gone().await || has_ended(&self.client).await {
                            return Err(error);
                        }
                        self.tell(&error);
                    }
                }
                Some(ended) = self.tasks.join_next() => {
                    let (sensor, error) = ended.context("the task of a sensor")?;
                    self.known.remove(&sensor);
                    self.tell(&error.context(format!("the messages of {sensor}")));
                }
            }
        }
    }

    /// Logs a failure, unless the last one was the same. The failed step is tried again at the next
    /// tick.
    fn tell(&mut self, error: &anyhow::Error) {
        let error = format!("{error:#}");
        if self.last_error.is_new(&error) {
            warn!(error, "collecting is tried again");
        }
    }

    /// Tells whether the stream is gone and has to be made again.
    async fn is_gone(&self) -> bool {
        let Err(error) = self.context.get_stream(STREAM).await else {
            return false;
        };
        let GetStreamErrorKind::JetStream(error) = error.kind() else {
            return false;
        };
        error.error_code() == ErrorCode::STREAM_NOT_FOUND
    }

    /// Starts a task for each sensor that has none yet.
    async fn discover(&mut self) -> anyhow::Result<()> {
        let mut subjects = self
            .stream
            .info_with_subjects(ALL_REQUESTS)
            .await
            .context("cannot ask for the sensors")?;
        if subjects.info.created.unix_timestamp_nanos() != self.created {
            return Err(AnotherStream.into());
        }
        let newest = subjects.info.state.last_sequence;
        let before = self.known.len();
        while let Some((subject, _)) = subjects.try_next().await? {
            let Some(sensor) = Sensor::of_subject(&subject) else {
                continue;
            };
            if !self.known.contains_key(&sensor) && !self.held_back.holds(&sensor) {
                self.start(sensor, newest)?;
            }
        }
        let sensors = self.known.len();
        if sensors > before {
            info!(sensors, new = sensors - before, "collecting");
        }
        Ok(())
    }

    /// Starts the task of a sensor. The task begins a little before the sensor's newest message in
    /// the history: several messages are in flight at a time, so an older one may be missing.
    fn start(&mut self, sensor: Sensor, newest: u64) -> anyhow::Result<()> {
        let from = self
            .ledger
            .stream_position(sensor.as_str(), self.before_stream)?;
        // Older versions of this program did not note when a stream was made. If such a version was
        // running when the stream was made again, `from` is a number of the old stream, and may be
        // greater than the last number of this one.
        let is_known = |from: &u64| !self.from_start && *from <= newest + 1;
        let from = from.filter(is_known).filter(|&from| from > 0);
        self.last_read.set(&sensor, from.map_or(0, |from| from - 1));
        let feed = Feed {
            sensor: sensor.clone(),
            last_read: self.last_read.clone(),
            window: Arc::clone(&self.window),
            arrivals: self.arrivals.clone(),
            most_request_bytes: self.most_request_bytes,
            unusable: 0,
        };
        let messages = SensorMessages::new(
            sensor.clone(),
            from,
            self.context.clone(),
            self.stream.clone(),
            Arc::clone(&self.tail),
        );
        let name = sensor.clone();
        let task = self.tasks.spawn(async move {
            let Err(error) = feed.run(messages).await;
            (name, error)
        });
        self.known.insert(sensor, task);
        Ok(())
    }
}
