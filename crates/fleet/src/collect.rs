//! A hub's end: reads what all sensors send, and has it written into the hub's ring.
//!
//! In: the stream. Out: records, through a window that all sensors share. Each sensor has a
//! consumer and a task of its own, and each waits for the window in a queue: who sends without end
//! waits behind the others like everybody. Where a sensor is on is in the hub's history: the server
//! remembers nothing of a hub.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
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
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use crate::answer;
use crate::feed::{Feed, LastRead, MOST_AHEAD};
use crate::heartbeats;
use crate::held_back::HeldBack;
use crate::patience::{LastSaid, Patience};
use crate::ring_writer::{AnotherHistory, Arrival, RingWriter, WINDOW};
use crate::same_stream;
use crate::sensor::{ALL_REQUESTS, STREAM, Sensor};
use crate::shares;
use crate::stream::{self, StreamArgs};
use crate::unreadable;

/// Longest wait for an answer of the server.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Longest wait for a connection to answer. One that has ended for good says so at once; one that
/// says nothing for this long is coming back by itself.
const FLUSH_TIME: Duration = Duration::from_secs(1);
/// Time between two looks for sensors that are new.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(2);

/// Collects what sensors send, for ever.
pub struct Collector {
    settings: Settings,
    last_read: LastRead,
    held_back: HeldBack,
}

/// How a hub is set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the stream is made with.
    pub stream: StreamArgs,
    /// Folder of the hub's history.
    pub history: PathBuf,
    /// Address of its ring.
    pub memcached: String,
    /// How many bytes of a request it keeps.
    pub most_request_bytes: usize,
    /// Whether it tells sensors how many of them saw a kind.
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

    /// Collects until it is dropped. After a failure it begins anew, at growing intervals, and with
    /// another connection where that one has ended for good.
    pub async fn run<F: Future<Output = Client>>(mut self, connect: impl Fn() -> F) -> Infallible {
        let mut patience = Patience::new("nothing can be collected");
        let mut client = connect().await;
        let mut from_start = false;
        loop {
            let begun = Instant::now();
            let connects_before = connects(&client);
            let Err(error) = self.collect(&client, &connect, from_start).await;
            // For good: it may fail once more before all is collected.
            from_start |= error.is::<AnotherHistory>();
            patience.wait(&error, begun.elapsed()).await;
            let has_ended = has_ended(&client).await;
            if has_ended {
                client = connect().await;
            }
            if has_ended || connects(&client) != connects_before {
                let deleted = self.delete_unreadable(&client, 1).await;
                // It may stand behind some that had come and were not read yet.
                if has_ended && deleted == 0 {
                    self.delete_unreadable(&client, MOST_AHEAD + 1).await;
                }
            }
        }
    }

    /// Deletes what may have ended the connection: what cannot be read of the next messages of each
    /// sensor. Returns how many that were. Where the servers do not answer, the rest is left for
    /// the next time: each of a thousand questions would wait in vain.
    async fn delete_unreadable(&mut self, client: &Client, readable: usize) -> u64 {
        let mut all = 0;
        for (sensor, last) in self.last_read.all() {
            // It is not read now, so it did not end anything.
            if self.held_back.holds(&sensor) {
                continue;
            }
            let subject = sensor.subject();
            match unreadable::delete_next(client, &subject, last, readable).await {
                Ok(0) => {}
                Ok(deleted) => {
                    all += deleted;
                    self.held_back.add(sensor);
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    warn!(%sensor, error, "the next message cannot be looked at");
                    break;
                }
            }
        }
        all
    }

    /// Collects what each sensor has sent since the newest that the history has; all of it when
    /// that is to be done `from_start`.
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
        let made = stream.cached_info().created.unix_timestamp_nanos();
        let newest = ledger().newest_sent()?;
        let behind = same_stream::newest_of_another(&settings.history, made, newest)?;
        let (arrivals, waiting) = mpsc::channel(WINDOW);
        let writer = RingWriter::new(Store::new(&settings.memcached), ledger());
        let shares = shares::keep(&stream, client, connect);
        let sensors = Sensors {
            connects: connects(client),
            client: client.clone(),
            context,
            stream: stream.clone(),
            last_read: self.last_read.clone(),
            most_request_bytes: settings.most_request_bytes,
            ledger: ledger(),
            window: Arc::new(Semaphore::new(WINDOW)),
            arrivals,
            tasks: JoinSet::new(),
            known: HashMap::new(),
            made,
            behind,
            from_start,
            held_back: self.held_back.clone(),
            last_error: LastSaid::default(),
        };
        tokio::select! {
            error = sensors.follow() => error,
            error = writer.run(waiting) => error,
            never = shares => match never {},
            never = self.listen(connect) => match never {},
        }
    }

    /// Takes what sensors say and ask outside of the stream, on a connection of its own. Any
    /// message whose headers are not valid breaks it off, and nothing says whose that was.
    async fn listen<F: Future<Output = Client>>(&self, connect: &impl Fn() -> F) -> Infallible {
        let settings = &self.settings;
        let mut patience = Patience::new("nothing is heard of sensors beside the stream");
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
            let ended = anyhow!("its connection has ended");
            patience.wait(&ended, begun.elapsed()).await;
        }
    }
}

/// Waits until a connection will never be there again.
async fn until_ended(client: &Client) {
    let mut looks = interval(DISCOVERY_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first look is at once.
    looks.tick().await;
    loop {
        looks.tick().await;
        if has_ended(client).await {
            return;
        }
    }
}

/// Tells whether a connection will never be there again.
async fn has_ended(client: &Client) -> bool {
    // Where it is away for a while, this waits.
    matches!(timeout(FLUSH_TIME, client.flush()).await, Ok(Err(_)))
}

fn connects(client: &Client) -> u64 {
    client.statistics().connects.load(Relaxed)
}

/// The stream was deleted, and made anew.
#[derive(Debug, thiserror::Error)]
#[error("the stream is another one than before: all of it is collected")]
struct AnotherStream;

/// The tasks, one for each sensor.
struct Sensors {
    client: Client,
    /// How often it had connected when this began.
    connects: u64,
    context: jetstream::Context,
    stream: Stream,
    last_read: LastRead,
    most_request_bytes: usize,
    ledger: Ledger,
    window: Arc<Semaphore>,
    arrivals: mpsc::Sender<Arrival>,
    tasks: JoinSet<(Sensor, anyhow::Error)>,
    known: HashMap<Sensor, AbortHandle>,
    /// When the stream was made.
    made: i128,
    /// The newest request of the history that came from another stream.
    behind: u64,
    from_start: bool,
    held_back: HeldBack,
    /// Why a task last failed: a thousand that fail alike are one line.
    last_error: LastSaid,
}

impl Sensors {
    /// Starts a task for each sensor that has something in the stream, and again where one fails.
    async fn follow(mut self) -> anyhow::Result<Infallible> {
        let mut looks = interval(DISCOVERY_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    // A message that cannot be read may have ended it, and the consumers may be
                    // gone.
                    ensure!(connects(&self.client) == self.connects, "the connection was lost");
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

    /// Logs a failure that is not the last one again; what failed is tried again with the next
    /// look.
    fn tell(&mut self, error: &anyhow::Error) {
        let error = format!("{error:#}");
        if self.last_error.is_new(&error) {
            warn!(error, "collecting is tried again");
        }
    }

    /// Tells whether there is no stream any more: it has to be made anew.
    async fn is_gone(&self) -> bool {
        let Err(error) = self.context.get_stream(STREAM).await else {
            return false;
        };
        let GetStreamErrorKind::JetStream(error) = error.kind() else {
            return false;
        };
        error.error_code() == ErrorCode::STREAM_NOT_FOUND
    }

    async fn discover(&mut self) -> anyhow::Result<()> {
        let mut subjects = self
            .stream
            .info_with_subjects(ALL_REQUESTS)
            .await
            .context("cannot ask for the sensors")?;
        if subjects.info.created.unix_timestamp_nanos() != self.made {
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

    /// Starts the task of a sensor, some messages before the newest of it that the history has: of
    /// those that were on their way into it together, an earlier one may not have arrived.
    fn start(&mut self, sensor: Sensor, newest: u64) -> anyhow::Result<()> {
        let from = self.ledger.stream_position(sensor.as_str(), self.behind)?;
        // One that was made anew, before this program noted when that was, may be shorter.
        let is_known = |from: &u64| !self.from_start && *from <= newest + 1;
        let from = from.filter(is_known).filter(|&from| from > 0);
        self.last_read.set(&sensor, from.map_or(0, |from| from - 1));
        let feed = Feed {
            sensor: sensor.clone(),
            last_read: self.last_read.clone(),
            window: Arc::clone(&self.window),
            arrivals: self.arrivals.clone(),
            most_request_bytes: self.most_request_bytes,
            refused: 0,
        };
        let (context, stream) = (self.context.clone(), self.stream.clone());
        let name = sensor.clone();
        let task = self.tasks.spawn(async move {
            let Err(error) = feed.run(&context, &stream, from).await;
            (name, error)
        });
        self.known.insert(sensor, task);
        Ok(())
    }
}
