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

use anyhow::{Context, ensure};
use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::stream::Stream;
use forever200_ring::Store;
use forever200_viewer::history::Ledger;
use futures_util::TryStreamExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use crate::answer;
use crate::feed::{Feed, Places};
use crate::heartbeats;
use crate::patience::{LastSaid, Patience};
use crate::ring_writer::{AnotherHistory, Arrival, RingWriter, WINDOW};
use crate::sensor::{ALL_SUBJECTS, Sensor};
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
    places: Places,
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
        let places = Places::default();
        Self { settings, places }
    }

    /// Collects until it is dropped. After a failure it begins anew, at growing intervals, and with
    /// another connection where that one has ended for good.
    pub async fn run<F: Future<Output = Client>>(&self, connect: impl Fn() -> F) -> Infallible {
        let mut patience = Patience::new("nothing can be collected");
        let mut client = connect().await;
        let mut from_start = false;
        loop {
            let begun = Instant::now();
            let connects_before = connects(&client);
            let Err(error) = self.collect(&client, from_start).await;
            // For good: it may fail once more before all is collected.
            from_start |= error.is::<AnotherHistory>();
            patience.wait(&error, begun.elapsed()).await;
            let has_ended = has_ended(&client).await;
            if has_ended {
                client = connect().await;
            }
            if has_ended || connects(&client) != connects_before {
                self.delete_unreadable(&client).await;
            }
        }
    }

    /// Deletes what may have ended the connection: the next message of a sensor, where it cannot be
    /// read. Where the servers do not answer, the rest is left for the next time: each of a thousand
    /// questions would wait in vain.
    async fn delete_unreadable(&self, client: &Client) {
        for (sensor, last) in self.places.all() {
            if let Err(error) = unreadable::delete_next(client, &sensor, last).await {
                let error = format!("{error:#}");
                warn!(%sensor, error, "the next message cannot be looked at");
                return;
            }
        }
    }

    /// Collects what each sensor has sent since the newest that the history has; all of it when
    /// that is to be done `from_start`.
    async fn collect(&self, client: &Client, from_start: bool) -> anyhow::Result<Infallible> {
        let settings = &self.settings;
        let ledger = || Ledger::new(settings.history.clone());
        let store = || Store::new(&settings.memcached);
        let mut context = jetstream::new(client.clone());
        context.set_timeout(ANSWER_TIME);
        let stream = stream::open(&context, &settings.stream).await?;
        let (arrivals, waiting) = mpsc::channel(WINDOW);
        let writer = RingWriter::new(store(), ledger());
        let shares = shares::keep(context.clone(), stream.clone());
        let heartbeats = heartbeats::listen(client, store());
        let answers = answer::answer(client, ledger());
        let sensors = Sensors {
            connects: connects(client),
            client: client.clone(),
            context,
            stream,
            places: self.places.clone(),
            most_request_bytes: settings.most_request_bytes,
            ledger: ledger(),
            window: Arc::new(Semaphore::new(WINDOW)),
            arrivals,
            tasks: JoinSet::new(),
            known: HashMap::new(),
            from_start,
            last_error: LastSaid::default(),
        };
        tokio::select! {
            error = sensors.follow() => error,
            error = writer.run(waiting) => error,
            never = heartbeats => match never {},
            never = shares => match never {},
            never = answers, if settings.tells_seen_by => match never {},
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

/// The tasks, one for each sensor.
struct Sensors {
    client: Client,
    /// How often it had connected when this began.
    connects: u64,
    context: jetstream::Context,
    stream: Stream,
    places: Places,
    most_request_bytes: usize,
    ledger: Ledger,
    window: Arc<Semaphore>,
    arrivals: mpsc::Sender<Arrival>,
    tasks: JoinSet<(Sensor, anyhow::Error)>,
    known: HashMap<Sensor, AbortHandle>,
    from_start: bool,
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
                    // A message that cannot be read may have ended it, and the consumers may be gone.
                    ensure!(connects(&self.client) == self.connects, "the connection was lost");
                    if let Err(error) = self.discover().await {
                        if has_ended(&self.client).await {
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

    /// Logs a failure that is not the last one again; what failed is tried again with the next look.
    fn tell(&mut self, error: &anyhow::Error) {
        let error = format!("{error:#}");
        if self.last_error.is_new(&error) {
            warn!(error, "collecting is tried again");
        }
    }

    async fn discover(&mut self) -> anyhow::Result<()> {
        let mut subjects = self
            .stream
            .info_with_subjects(ALL_SUBJECTS)
            .await
            .context("cannot ask for the sensors")?;
        let newest = subjects.info.state.last_sequence;
        let before = self.known.len();
        while let Some((subject, _)) = subjects.try_next().await? {
            let sensor = Sensor::of_subject(&subject);
            if let Some(sensor) = sensor.filter(|sensor| !self.known.contains_key(sensor)) {
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
        let from = self.ledger.stream_position(sensor.as_str())?;
        // A stream that was made anew counts from 1.
        let is_known = |from: &u64| !self.from_start && *from <= newest + 1;
        let from = from.filter(is_known).filter(|&from| from > 0);
        self.places.set(&sensor, from.map_or(0, |from| from - 1));
        let feed = Feed {
            sensor: sensor.clone(),
            places: self.places.clone(),
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
