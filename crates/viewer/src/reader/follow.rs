//! The one reader of memcached: whoever looks at the ring looks at what this has read.
//!
//! In: the store. Out: [`View`]s, each the ring at one moment, shared by all who look. A page asks for
//! one that is as good as new; a watcher is told of each new one. However many they are,
//! memcached is asked by one task at a time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use forever200_ring::{Record, Ring, Snapshot, Store, StoreError};
use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tracing::debug;

use crate::reader::describer::Knowledge;
use crate::reader::entry::Entry;
use crate::web::pool::aside;

/// Time between two looks while somebody watches: half of what a person takes for "at once".
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long a look is good for, so that many who look at once do not ask memcached one after the other. Shorter than
/// anybody takes from an answer to the page.
pub const FRESH: Duration = Duration::from_millis(10);
/// What the charts go back to.
pub const MINUTES: i64 = 24 * 60;
/// Minutes that are asked for at once. All of a day, as at the start, would take a megabyte, of which nothing comes back.
const MINUTES_AT_ONCE: usize = 60;
/// The minutes that may still grow: a request is counted when it is over, in the minute it began.
const OPEN_MINUTES: i64 = 2;

/// The ring at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// Another number for another content, also after a restart of the viewer.
    pub version: u64,
    /// The counters alone: its ring is empty, for [`entries`](Self::entries) has what may be shown of it.
    pub snapshot: Snapshot,
    /// The newest first.
    pub entries: Vec<Arc<Entry>>,
    /// The Unix minute (seconds / 60) of this view.
    pub minute: i64,
    /// Number of requests by Unix minute, for the last day; a minute without one is left out.
    pub minutes: BTreeMap<i64, u64>,
    /// memcached cannot be read just now; the rest is what was last read.
    pub away: bool,
}

/// Reads the ring for all who look.
pub struct Feed {
    store: Store,
    knowledge: Arc<Knowledge>,
    /// Held while reading.
    reading: tokio::sync::Mutex<Reading>,
    views: watch::Sender<Arc<View>>,
    watched: Notify,
}

/// The last reading: what it found, and how it went, for those who waited for it.
#[derive(Default)]
struct Reading {
    began: Option<Instant>,
    failed: Option<Arc<StoreError>>,
    /// As memcached has it. Nobody else sees these records.
    snapshot: Snapshot,
}

impl Feed {
    /// Reads from `store`, when first asked, and describes with what is known.
    #[must_use]
    pub fn new(store: Store, knowledge: Arc<Knowledge>) -> Self {
        let version = Timestamp::now().as_microsecond().unsigned_abs();
        let (snapshot, entries, minutes) = (Snapshot::default(), Vec::new(), BTreeMap::new());
        let nothing = View {
            version,
            snapshot,
            entries,
            minute: 0,
            minutes,
            away: false,
        };
        Self {
            store,
            knowledge,
            reading: tokio::sync::Mutex::default(),
            views: watch::Sender::new(Arc::new(nothing)),
            watched: Notify::new(),
        }
    }

    /// Returns the ring as it is now, or was 10 ms ago at most.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn now(&self) -> Result<Arc<View>, Arc<StoreError>> {
        let mut reading = self.reading.lock().await;
        if reading.began.is_none_or(|began| began.elapsed() >= FRESH) {
            reading.began = Some(Instant::now());
            reading.failed = self.read(&mut reading.snapshot).await.err().map(Arc::new);
        }
        match &reading.failed {
            Some(error) => Err(Arc::clone(error)),
            None => Ok(Arc::clone(&self.views.borrow())),
        }
    }

    /// Returns what tells of each new view, as long as [`run`](Self::run) goes on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        let receiver = self.views.subscribe();
        self.watched.notify_one();
        receiver
    }

    /// Returns the newest sequence number, read from memcached.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn cursor(&self) -> Result<u64, StoreError> {
        self.store.cursor().await
    }

    /// Reads again and again while somebody watches.
    pub async fn run(&self) {
        loop {
            if self.views.receiver_count() == 0 {
                self.watched.notified().await;
            }
            if let Err(error) = self.now().await {
                debug!(%error, "memcached is away");
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    async fn read(&self, last: &mut Snapshot) -> Result<(), StoreError> {
        let held = Arc::clone(&self.views.borrow());
        let read = self.read_after(&held, last).await;
        let view = match read {
            Ok(view) => view,
            Err(error) => {
                if !held.away {
                    self.publish(View {
                        away: true,
                        ..View::clone(&held)
                    });
                }
                return Err(error);
            }
        };
        if view.differs_from(&held) {
            self.publish(view);
        }
        Ok(())
    }

    /// Brings `last` up to date, when all could be read, and describes what is new in it.
    async fn read_after(&self, held: &View, last: &mut Snapshot) -> Result<View, StoreError> {
        let snapshot = self.store.refresh(last).await?;
        let minute = Timestamp::now().as_second().div_euclid(60);
        let (known, from) = match held.snapshot.since {
            since if since == snapshot.since => (held.minutes.clone(), held.minute - OPEN_MINUTES),
            _ => (BTreeMap::new(), 0),
        };
        let mut minutes = known;
        for first in (from.max(minute - MINUTES)..=minute).step_by(MINUTES_AT_ONCE) {
            let last = minute.min(first + MINUTES_AT_ONCE as i64 - 1);
            minutes.extend(self.store.minutes(first..=last).await?);
        }
        let minutes = minutes.split_off(&(minute - MINUTES));
        let entries = described(&snapshot.ring, &last.ring, held, &self.knowledge).await;
        let mut counters = snapshot.clone();
        counters.ring = Ring::default();
        *last = snapshot;
        Ok(View {
            version: held.version,
            snapshot: counters,
            entries,
            minute,
            minutes,
            away: false,
        })
    }

    fn publish(&self, view: View) {
        self.views.send_replace(Arc::new(View {
            version: view.version + 1,
            ..view
        }));
    }
}

impl View {
    /// Returns the entry with this sequence number.
    #[must_use]
    pub fn find(&self, seq: u64) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.record.seq == seq)
            .map(AsRef::as_ref)
    }

    fn differs_from(&self, other: &Self) -> bool {
        let counters = |view: &Self| {
            let Snapshot {
                cursor,
                since,
                first,
                silent,
                unreadable,
                ..
            } = view.snapshot;
            (
                cursor,
                since,
                first,
                silent,
                unreadable,
                view.minute,
                view.away,
            )
        };
        let same_entries = self.entries.len() == other.entries.len()
            && self
                .entries
                .iter()
                .zip(&other.entries)
                .all(|(a, b)| Arc::ptr_eq(a, b));
        !same_entries || counters(self) != counters(other) || self.minutes != other.minutes
    }
}

/// Describes the records of a ring, and takes over what is described already: `held`, from the ring `last`.
async fn described(
    ring: &Ring,
    last: &Ring,
    held: &View,
    knowledge: &Arc<Knowledge>,
) -> Vec<Arc<Entry>> {
    let known: HashMap<_, _> = held
        .entries
        .iter()
        .map(|entry| (entry.record.seq, entry))
        .collect();
    // In one allocation it is the very same record; a number alone may stand for another request after
    // counting began anew. An entry's record cannot be asked: it is what may be shown of this one.
    let is_same = |a: &Record, b: &Record| a.raw.as_ptr() == b.raw.as_ptr() || a == b;
    let (mut entries, mut new) = (Vec::new(), Vec::new());
    for record in ring.newest_first() {
        match (known.get(&record.seq), last.get(record.seq)) {
            (Some(entry), Some(last)) if is_same(last, record) => entries.push(Arc::clone(entry)),
            _ => new.push(record.clone()),
        }
    }
    if !new.is_empty() {
        let (appeared, knowledge) = (held.version + 1, Arc::clone(knowledge));
        let describe = move |record| Arc::new(Entry::new(&record, appeared, &knowledge));
        entries.extend(aside(move || new.into_iter().map(describe).collect::<Vec<_>>()).await);
        entries.sort_by_key(|entry| Reverse(entry.record.seq));
    }
    entries
}
