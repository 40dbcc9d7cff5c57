//! One consumer for the newest messages of all sensors.
//!
//! In: all messages that come to the stream. Out: each to the task of its sensor, if that has
//! joined. A task joins when it has read all earlier messages of its sensor by a consumer of its
//! own. It gets no further message, and has to read by its own consumer again, where its sensor
//! sends faster than the task reads, and when the connection of this consumer is lost.
//!
//! For the next message of a sensor, the server goes through the messages of all others in between.
//! With a thousand sensors that each had a consumer, this was 44 % of the server's work. A consumer
//! for all takes each message once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::Client;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::connection::{connections_made, has_ended};
use crate::pull::Messages;
use crate::sensor::{ALL_REQUESTS, STREAM, Sensor};

/// Most messages in one request for messages.
const FETCHED_AHEAD: i64 = 32;
/// If more messages than this have come and are not read yet, the sensors are read on their own
/// again: then each gets its turn.
const MOST_BEHIND: u64 = 20_000;
/// After this many bytes, it is checked whether most of them were for tasks that have joined. If a
/// sensor sends too fast, or many have much to catch up on, this consumer would read in vain.
const CHECKED_BYTES: usize = 4 << 20;
/// Most messages of one sensor, and most bytes of all sensors, that wait for the tasks.
const QUEUE: usize = 64;
const QUEUED_BYTES: usize = 8 << 20;
/// The first pause after a failure, which doubles each time, and the longest. Each failure costs a
/// consumer for each sensor.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// The routes to the tasks that have joined.
pub(crate) struct Tail<M = Message> {
    routes: Mutex<Routes<M>>,
    /// A permit for each byte that may wait.
    room: Arc<Semaphore>,
}

struct Routes<M> {
    /// Number in the stream of the last message before those that are read here; `None` while
    /// nothing is read.
    begun_after: Option<u64>,
    /// For each sensor, the number of the last message that was read here.
    last: HashMap<Sensor, u64>,
    joined: HashMap<Sensor, mpsc::Sender<Queued<M>>>,
}

/// A message that waits for the task of its sensor.
pub(crate) struct Queued<M> {
    pub(crate) message: M,
    #[expect(dead_code, reason = "there is room again when this is dropped")]
    room: OwnedSemaphorePermit,
}

impl<M> Tail<M> {
    pub(crate) fn new() -> Self {
        Self {
            routes: Mutex::new(Routes {
                begun_after: None,
                last: HashMap::new(),
                joined: HashMap::new(),
            }),
            room: Arc::new(Semaphore::new(QUEUED_BYTES)),
        }
    }

    /// Joins the task of a sensor, which has read its messages up to the number `last_read` in the
    /// stream. The returned receiver gets all later ones, and maybe some earlier ones again. `None`
    /// where a message after `last_read` may have been missed here.
    pub(crate) fn join(
        &self,
        sensor: &Sensor,
        last_read: u64,
    ) -> Option<mpsc::Receiver<Queued<M>>> {
        let mut routes = self.lock();
        let begun_after = routes.begun_after?;
        let last_here = routes.last.get(sensor).copied().unwrap_or(begun_after);
        if last_read < last_here {
            return None;
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        routes.joined.insert(sensor.clone(), sender);
        Some(receiver)
    }

    /// Begins with the message after `begun_after`.
    fn begin(&self, begun_after: u64) {
        let mut routes = self.lock();
        routes.last.clear();
        routes.begun_after = Some(begun_after);
    }

    /// Leaves all sensors to consumers of their own.
    fn end(&self) {
        let mut routes = self.lock();
        routes.begun_after = None;
        routes.last.clear();
        routes.joined.clear();
    }

    /// Hands a message to the task of its sensor, and tells whether there was room for it. If not,
    /// or if the task has not joined, the task has to read it by a consumer of its own. `sequence`
    /// is the message's number in the stream.
    fn hand_on(&self, sensor: Sensor, sequence: u64, bytes: usize, message: M) -> bool {
        let mut routes = self.lock();
        let is_queued = routes.joined.get(&sensor).is_some_and(|queue| {
            let room = Arc::clone(&self.room);
            let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
            room.try_acquire_many_owned(permits)
                .is_ok_and(|room| queue.try_send(Queued { message, room }).is_ok())
        });
        if !is_queued {
            routes.joined.remove(&sensor);
        }
        routes.last.insert(sensor, sequence);
        is_queued
    }

    fn lock(&self) -> MutexGuard<'_, Routes<M>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    /// Reads the newest messages for ever, on a connection of its own: a message with invalid
    /// headers ends the connection that reads it.
    pub(crate) async fn follow<F: Future<Output = Client>>(
        &self,
        connect: &impl Fn() -> F,
    ) -> Infallible {
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = Instant::now();
            let Err(error) = self.follow_once(&connect().await).await;
            self.end();
            if begun.elapsed() > pause {
                pause = FIRST_PAUSE;
            }
            let error = format!("{error:#}");
            let seconds = pause.as_secs();
            info!(error, seconds, "each sensor is read on its own for a while");
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn follow_once(&self, client: &Client) -> anyhow::Result<Infallible> {
        let made = connections_made(client);
        let context = jetstream::new(client.clone());
        let stream = context
            .get_stream(STREAM)
            .await
            .context("cannot open the stream")?;
        let mut last = stream.cached_info().state.last_sequence;
        let mut messages = open(&context, &stream, last + 1).await?;
        self.begin(last);
        let mut usefulness = Usefulness::default();
        loop {
            let message = match messages.next().await {
                Ok(message) => message,
                // In a cluster, a consumer may go while its connection stays.
                Err(error) => {
                    let is_same = connections_made(client) == made && !has_ended(client).await;
                    ensure!(is_same, error);
                    messages = open(&context, &stream, last + 1).await?;
                    continue;
                }
            };
            let info = message.info().map_err(anyhow::Error::from_boxed)?;
            let (sequence, behind) = (info.stream_sequence, info.pending);
            ensure!(behind <= MOST_BEHIND, "{behind} messages wait");
            last = sequence;
            if let Some(sensor) = Sensor::of_subject(&message.subject) {
                let bytes = message.length;
                let is_queued = self.hand_on(sensor, sequence, bytes, message);
                let is_useful = usefulness.count(bytes, is_queued);
                ensure!(is_useful, "most messages are for tasks that are behind");
            }
        }
    }
}

/// How many bytes were read since the last check, and how many of them nobody took here.
#[derive(Default)]
struct Usefulness {
    read: usize,
    unwanted: usize,
}

impl Usefulness {
    /// Counts a message. Tells whether this consumer is useful; between two checks, it is.
    fn count(&mut self, bytes: usize, is_queued: bool) -> bool {
        self.read += bytes;
        if !is_queued {
            self.unwanted += bytes;
        }
        if self.read < CHECKED_BYTES {
            return true;
        }
        let checked = std::mem::take(self);
        checked.unwanted <= checked.read / 2
    }
}

async fn open(
    context: &jetstream::Context,
    stream: &Stream,
    from: u64,
) -> anyhow::Result<Messages> {
    let config = OrderedConfig {
        filter_subject: ALL_REQUESTS.into(),
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: from,
        },
        max_batch: FETCHED_AHEAD,
        ..OrderedConfig::default()
    };
    Messages::open(context, stream, config).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensor(name: &str) -> Sensor {
        name.parse().unwrap()
    }

    fn numbers(receiver: &mut mpsc::Receiver<Queued<u64>>) -> Vec<u64> {
        std::iter::from_fn(|| receiver.try_recv().ok())
            .map(|queued| queued.message)
            .collect()
    }

    fn hand_on(tail: &Tail<u64>, name: &str, sequence: u64) -> bool {
        tail.hand_on(sensor(name), sequence, 1, sequence)
    }

    #[test]
    fn a_task_joins_once_it_has_read_what_came_before() {
        let tail = Tail::new();
        assert!(tail.join(&sensor("a"), 9).is_none(), "nothing is read here");
        tail.begin(10);
        assert!(tail.join(&sensor("a"), 9).is_none(), "10 may be its own");
        assert!(!hand_on(&tail, "a", 11) && !hand_on(&tail, "b", 12));
        assert!(tail.join(&sensor("a"), 10).is_none(), "11 was missed");
        let mut a = tail.join(&sensor("a"), 11).unwrap();
        // The task was faster than the consumer of all.
        let mut b = tail.join(&sensor("b"), 13).unwrap();
        for (name, sequence) in [("b", 13), ("a", 14), ("b", 15)] {
            assert!(hand_on(&tail, name, sequence));
        }
        assert!(!hand_on(&tail, "c", 16));
        assert_eq!(numbers(&mut a), [14]);
        assert_eq!(numbers(&mut b), [13, 15]);
        assert!(tail.join(&sensor("c"), 15).is_none());
        assert!(tail.join(&sensor("d"), 10).is_some(), "it has sent nothing");
    }

    #[test]
    fn a_task_that_is_too_slow_leaves_and_joins_again() {
        let tail = Tail::new();
        tail.begin(0);
        let mut a = tail.join(&sensor("a"), 0).unwrap();
        let mut b = tail.join(&sensor("b"), 0).unwrap();
        let first_missed = QUEUE as u64 + 1;
        for sequence in 1..first_missed {
            assert!(hand_on(&tail, "a", sequence));
        }
        assert!(!hand_on(&tail, "a", first_missed) && hand_on(&tail, "b", first_missed + 1));
        assert_eq!(numbers(&mut a), Vec::from_iter(1..first_missed));
        assert!(a.is_closed());
        assert_eq!(numbers(&mut b), [first_missed + 1]);
        assert!(tail.join(&sensor("a"), first_missed - 1).is_none());
        assert!(tail.join(&sensor("a"), first_missed).is_some());
    }

    #[test]
    fn long_messages_leave_room_for_short_ones() {
        let tail = Tail::new();
        tail.begin(0);
        let mut a = tail.join(&sensor("a"), 0).unwrap();
        let mut b = tail.join(&sensor("b"), 0).unwrap();
        assert!(tail.hand_on(sensor("a"), 1, QUEUED_BYTES - 1, 1));
        assert!(!tail.hand_on(sensor("a"), 2, 2, 2));
        assert!(tail.hand_on(sensor("b"), 3, 1, 3));
        assert_eq!(numbers(&mut a), [1]);
        assert!(a.is_closed());
        assert_eq!(numbers(&mut b), [3]);
        assert_eq!(tail.room.available_permits(), QUEUED_BYTES);
    }

    #[test]
    fn all_leave_when_the_connection_is_lost() {
        let tail = Tail::new();
        tail.begin(0);
        let mut a = tail.join(&sensor("a"), 0).unwrap();
        assert!(hand_on(&tail, "a", 1));
        tail.end();
        assert_eq!(numbers(&mut a), [1]);
        assert!(a.is_closed());
        assert!(tail.join(&sensor("a"), 1).is_none());
        tail.begin(5);
        assert!(tail.join(&sensor("a"), 1).is_none(), "it may have sent 2");
    }

    #[test]
    fn who_sends_too_much_is_not_read_twice_for_long() {
        let mut usefulness = Usefulness::default();
        let half = CHECKED_BYTES / 2;
        assert!(usefulness.count(half, true) && usefulness.count(half, false));
        assert!(usefulness.count(half, false), "not checked yet");
        assert!(!usefulness.count(half, false));
        assert!(usefulness.count(half, false) && usefulness.count(half, true));
    }
}
