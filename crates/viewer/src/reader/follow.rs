//! Follows the ring on a thread of its own, whether anybody looks or not.
//!
//! In: the store. Out: [`View`]s, each the ring at one moment, shared by all who look. Nobody waits
//! for a record to be described: whoever looks takes the view that is there. However many look,
//! memcached is asked by one task.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use forever200_ring::{Depth, HubCounts, Record, Ring, Snapshot, Store, StoreError};
use jiff::Timestamp;
use serde::Serialize;
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;
use tracing::debug;

use crate::captures::Captures;
use crate::history::History;
use crate::history::sensors::SeenBy;
use crate::metrics::Counters;
use crate::reader::describer::Describer;
use crate::reader::entry::Entry;
use crate::reader::memory::Memory;
use crate::reader::outlets::{Outlets, Start};
use crate::reader::pace::{Pace, Rate};
use crate::reader::pulse::Pulse;
use crate::reader::view::{MINUTES, View};

/// Time between two looks while somebody watches: half of what a person takes for "at once".
const WATCHED_INTERVAL: Duration = Duration::from_millis(50);
/// Time between two looks while nobody does: each wakes two programs. At 250 ms, all programs
/// together took 0.53 % of a core while nothing came.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);
/// The same while all that comes is to be kept: shorter than the ring lasts at 1,000 requests a
/// second, which is 101 ms. Such a look reads the cursor alone.
const KEPT_INTERVAL: Duration = Duration::from_millis(75);
/// The same while another machine's requests come fast: whoever writes them into the ring waits
/// until they are kept.
const FED_INTERVAL: Duration = Duration::from_millis(5);
/// Who has asked within this time is likely to ask again.
const INTEREST: Duration = Duration::from_secs(10);
/// Longest time for which describing goes on without a view of what is done.
const BATCH_TIME: Duration = Duration::from_millis(50);
/// Slots and the counts of minutes are written after the cursor has moved, by this much at most.
const WRITTEN_LATER: Duration = Duration::from_secs(2);
/// Pause of who waits for a look, before it is asked for again.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// Without a look for this long, the reader stands still: memcached is given up after a second.
const STANDSTILL: Duration = Duration::from_secs(6);
/// Minutes that are asked for at once. All of a day, as at the start, would take a megabyte, of
/// which nothing comes back.
const MINUTES_AT_ONCE: usize = 60;
/// The minutes that may still grow: a request is counted when it is over, in the minute it began.
const OPEN_MINUTES: i64 = 2;
/// Time between two looks at which sensors said that they run, and at what a hub said of kinds.
const FLEET_INTERVAL: Duration = Duration::from_secs(5);
/// Name of the newest number that has a line, in the history.
const LINES: &str = "lines";
/// Describing gives way to whoever is answered, where they share a core.
const NICENESS: i32 = 1;

/// The visitors' end: has the newest view.
pub struct Reader {
    views: watch::Receiver<Arc<View>>,
    hub_counts: watch::Receiver<Arc<HubCounts>>,
    pulse: Arc<Pulse>,
}

/// A reader that is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The newest sequence number that was seen.
    pub total: u64,
    /// How often the counters, and the slots that lacked something, were read since the start.
    pub looks: u64,
}

/// The thread's end.
struct Follower {
    store: Store,
    describer: Arc<Describer>,
    views: watch::Sender<Arc<View>>,
    hub_counts: watch::Sender<Arc<HubCounts>>,
    pulse: Arc<Pulse>,
    /// As memcached has it. Nobody else sees these records.
    snapshot: Snapshot,
    /// What is kept when it has left the ring.
    memory: Option<Memory>,
    /// How fast requests come, where all of them are kept or told.
    rate: Option<Rate>,
    outlets: Outlets,
    counters: Arc<Counters>,
    captures: Option<Captures>,
    /// When the cursor last moved, and when all slots that lack something were last read.
    moved: Instant,
    read: Instant,
    /// Minutes that were over when something was added to them, lately.
    late_minutes: BTreeSet<i64>,
    /// When it was last read which sensors said that they run, and what a hub said of kinds.
    fleet_read: Instant,
}

impl Reader {
    /// Starts to follow the ring in `store`. The future ends should that ever end.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start(
        store: Store,
        describer: Arc<Describer>,
        history: Option<Arc<History>>,
        captures: Option<Captures>,
        counters: Arc<Counters>,
    ) -> anyhow::Result<(Self, impl Future<Output = anyhow::Error> + use<>)> {
        let (sender, views) = watch::channel(Arc::new(View::nothing()));
        let (hub_sender, hub_counts) = watch::channel(Arc::default());
        let pulse = Arc::new(Pulse::new());
        let start = history.as_deref().map(start_of).unwrap_or_default();
        let outlets = Outlets::new(Arc::clone(&counters), captures.clone(), start);
        let keeps = history.is_some() || captures.is_some();
        let follower = Follower {
            store,
            describer,
            views: sender,
            hub_counts: hub_sender,
            pulse: Arc::clone(&pulse),
            snapshot: Snapshot::default(),
            memory: history.map(Memory::new),
            rate: keeps.then(|| Rate::new(start.history.unwrap_or_default())),
            outlets,
            counters,
            captures,
            moved: Instant::now(),
            late_minutes: BTreeSet::new(),
            read: Instant::now(),
            fleet_read: Instant::now(),
        };
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (alive, ended) = oneshot::channel::<()>();
        let follow = move || {
            let _alive = alive;
            // Not being nice is no failure.
            let _ = rustix::process::nice(NICENESS);
            runtime.block_on(follower.run());
        };
        thread::Builder::new()
            .name("reader".into())
            .spawn(follow)
            .context("cannot start the thread of the reader")?;
        let ended = async {
            let _ = ended.await;
            anyhow::anyhow!("the reader has ended")
        };
        let reader = Self {
            views,
            hub_counts,
            pulse,
        };
        Ok((reader, ended))
    }

    /// Returns the ring as it is seen now. Never waits for what is new in it to be described: while
    /// the reader is about that, it returns what is there.
    ///
    /// # Errors
    /// memcached is unreachable, or does not answer within a second.
    pub async fn view(&self) -> Result<Arc<View>, Arc<StoreError>> {
        self.pulse.ask().await;
        let mut view = Arc::clone(&self.views.borrow());
        if !view.is_read() {
            // An error is the end of the reader, and with it soon of the program.
            if let Ok(read) = self.views.clone().wait_for(|view| view.is_read()).await {
                view = Arc::clone(&read);
            }
        }
        match &view.away {
            Some(error) => Err(Arc::clone(error)),
            None => Ok(view),
        }
    }

    /// Returns the ring as it was last seen, for who has asked before.
    #[must_use]
    pub fn newest(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }

    /// Returns how many sensors of the hub saw a kind; `None` where no hub has said so lately.
    pub(crate) fn seen_at_hub(&self, kind: &str) -> Option<SeenBy> {
        let counts = self.hub_counts.borrow();
        let sensors = *counts.kinds.get(kind)?;
        let of = counts.of;
        Some(SeenBy { sensors, of })
    }

    /// Returns what tells of each new view.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.views.clone()
    }

    /// Returns how many are told of each new view.
    pub(crate) fn watching(&self) -> u64 {
        self.pulse.watching()
    }

    /// Waits until a look that begins from now on has ended, and all that it found is described and
    /// handed over.
    pub(crate) async fn look_once_more(&self) {
        // The next that ends may have begun before now; the one after it has not.
        let next = self.pulse.ended() + 2;
        loop {
            self.pulse.ask().await;
            let is_all_described = self.views.borrow().is_all_described;
            if self.pulse.ended() >= next && is_all_described {
                return;
            }
            sleep(LOOK_PAUSE).await;
        }
    }

    /// Tells how the reader is.
    ///
    /// # Errors
    /// memcached is away, or was not looked at for six seconds; the error is a sentence.
    pub async fn health(&self) -> anyhow::Result<Health> {
        let view = self.view().await?;
        if self.pulse.since_look() > STANDSTILL {
            bail!("the ring was not read for {} s", STANDSTILL.as_secs());
        }
        Ok(Health {
            total: view.snapshot.cursor,
            looks: self.pulse.looks(),
        })
    }
}

impl Follower {
    /// Looks again and again, until nobody is left who could ask.
    async fn run(mut self) {
        while self.views.receiver_count() > 0 {
            let begun = Instant::now();
            let is_all_described = match self.look().await {
                Ok(is_all_described) => is_all_described,
                Err(error) => {
                    debug!(%error, "memcached is unreachable");
                    let held = Arc::clone(&self.views.borrow());
                    if held.away.is_none() {
                        self.publish(View {
                            away: Some(Arc::new(error)),
                            ..View::clone(&held)
                        });
                    }
                    true
                }
            };
            self.pulse.look();
            if is_all_described {
                let pause = self.pause_after(begun.elapsed());
                self.pulse.rest(pause).await;
            }
        }
    }

    /// How long to rest after a look that took so long. At a thousand requests a second, describing
    /// takes a good part of the time in which the ring rolls over: the next look must not wait for
    /// that as well.
    fn pause_after(&self, look: Duration) -> Duration {
        // One is the reader's own.
        let watching = self.views.receiver_count().saturating_sub(1);
        self.pulse.count_watching(watching);
        let is_watched = watching > 0;
        let is_interesting = is_watched || self.pulse.since_question() < INTEREST;
        match self.rate.as_ref().map(Rate::pace) {
            Some(Pace::Fast | Pace::Flood) if self.is_fed() => FED_INTERVAL,
            Some(Pace::Fast) => WATCHED_INTERVAL.saturating_sub(look),
            _ if is_interesting => WATCHED_INTERVAL,
            Some(Pace::Calm) => KEPT_INTERVAL,
            Some(Pace::Flood) | None => IDLE_INTERVAL,
        }
    }

    /// Tells whether what came last was sent by another machine.
    fn is_fed(&self) -> bool {
        let ring = &self.snapshot.ring;
        let newest = ring.get(ring.newest_seq());
        newest.is_some_and(|record| record.sensor.is_some())
    }

    /// Brings the view up to date. Tells whether all that is new is described; what is not is left
    /// for the next look.
    async fn look(&mut self) -> Result<bool, StoreError> {
        let held = Arc::clone(&self.views.borrow());
        let has_moved = self.moved.elapsed() < WRITTEN_LATER;
        let depth = if has_moved || self.read.elapsed() >= IDLE_INTERVAL {
            Depth::All
        } else {
            Depth::Cursor
        };
        let mut snapshot = self.store.refresh(&self.snapshot, depth).await?;
        if let Some(memory) = &mut self.memory
            && memory.is_ahead_of(&snapshot)
        {
            memory.restore(&self.store, &snapshot).await?;
            snapshot = self.store.snapshot().await?;
        }
        let minute = Timestamp::now().as_second().div_euclid(60);
        if snapshot.cursor != self.snapshot.cursor || snapshot.since != self.snapshot.since {
            self.moved = Instant::now();
        }
        self.note_late(&held, &snapshot.ring, minute);
        let minutes = self.minutes(&held, &snapshot, minute).await?;
        let (entries, is_all_described) = self.described(&snapshot.ring, &held);
        if let Some(rate) = &mut self.rate {
            rate.measure(snapshot.cursor);
        }
        self.outlets.look(&snapshot, &entries);
        if let Some(memory) = &mut self.memory {
            if let Some(captures) = self.captures.as_ref().filter(|it| it.up_to() > 0) {
                memory.note(LINES, captures.up_to());
            }
            memory.keep(&snapshot, &entries);
            if self.fleet_read.elapsed() >= FLEET_INTERVAL {
                self.fleet_read = Instant::now();
                // What cannot be read now is read with one of the next looks.
                if memory.has_sensors()
                    && let Ok(alive) = self.store.alive().await
                {
                    memory.keep_alive(alive);
                }
                if let Ok(counts) = self.store.hub_counts().await {
                    self.hub_counts.send_replace(Arc::new(counts));
                }
            }
        }
        let without_records = snapshot.without_records();
        self.snapshot = snapshot;
        if depth == Depth::All {
            self.read = Instant::now();
            self.pulse.count_look();
        }
        let view = View {
            version: held.version,
            snapshot: without_records,
            entries,
            is_all_described,
            minute,
            minutes,
            history: self.memory.as_ref().map(Memory::state),
            away: None,
        };
        if view.differs_from(&held) {
            self.publish(view);
        }
        Ok(is_all_described)
    }

    fn publish(&self, view: View) {
        self.views.send_replace(Arc::new(View {
            version: view.version + 1,
            ..view
        }));
    }

    /// Notes to which minutes before those that are open something was added: at a hub, requests
    /// come long after their sensor answered them.
    fn note_late(&mut self, held: &View, ring: &Ring, minute: i64) {
        if self.moved.elapsed() > WRITTEN_LATER {
            self.late_minutes.clear();
        }
        for record in ring.newest_first() {
            let its_minute = record.timestamp.as_second().div_euclid(60);
            let is_late = its_minute < minute - OPEN_MINUTES && its_minute > minute - MINUTES;
            if is_late && record.sensor.is_some() && held.find(record.seq).is_none() {
                self.late_minutes.insert(its_minute);
            }
        }
    }

    /// Reads the counts of those minutes that may have grown.
    async fn minutes(
        &self,
        held: &View,
        snapshot: &Snapshot,
        minute: i64,
    ) -> Result<BTreeMap<i64, u64>, StoreError> {
        if minute == held.minute && self.moved.elapsed() > WRITTEN_LATER && held.away.is_none() {
            return Ok(held.minutes.clone());
        }
        let is_same_count = held.snapshot.since == snapshot.since;
        let (mut minutes, from) = if is_same_count {
            (held.minutes.clone(), held.minute - OPEN_MINUTES)
        } else {
            (BTreeMap::new(), 0)
        };
        let after_first = MINUTES_AT_ONCE as i64 - 1;
        for first in (from.max(minute - MINUTES)..=minute).step_by(MINUTES_AT_ONCE) {
            let last = minute.min(first + after_first);
            minutes.extend(self.store.minutes(first..=last).await?);
        }
        let mut late = self.late_minutes.range(..from).copied();
        let mut next = late.next();
        while let Some(first) = next {
            let last = first + after_first;
            minutes.extend(self.store.minutes(first..=last).await?);
            next = late.find(|&minute| minute > last);
        }
        Ok(minutes.split_off(&(minute - MINUTES)))
    }

    /// Takes over what is described already, and describes what is new as long as there is time.
    fn described(&self, ring: &Ring, held: &View) -> (Vec<Arc<Entry>>, bool) {
        let known: HashMap<_, _> = held
            .entries
            .iter()
            .map(|entry| (entry.record.seq, entry))
            .collect();
        // In one allocation it is the very same record; a number alone may stand for another
        // request after counting began anew. An entry's record cannot be asked: it is what may be
        // shown of this one.
        let is_same = |a: &Record, b: &Record| a.raw.as_ptr() == b.raw.as_ptr() || a == b;
        let (mut entries, mut is_all_described) = (Vec::new(), true);
        let pace = self.rate.as_ref().map(Rate::pace);
        let start = Instant::now();
        for record in in_order(ring, pace) {
            match (known.get(&record.seq), self.snapshot.ring.get(record.seq)) {
                (Some(entry), Some(last)) if is_same(last, record) => {
                    entries.push(Arc::clone(entry));
                }
                _ if start.elapsed() > BATCH_TIME => is_all_described = false,
                _ => {
                    let begun = Instant::now();
                    let entry = Entry::new(record, held.version + 1, &self.describer);
                    self.counters.observe_describing(begun.elapsed());
                    entries.push(Arc::new(entry));
                }
            }
        }
        entries.sort_by_key(|entry| Reverse(entry.record.seq));
        (entries, is_all_described)
    }
}

/// Returns the records in the order in which they are described: the newest first, or, where all of
/// it can be kept, first what leaves the ring next.
fn in_order(ring: &Ring, pace: Option<Pace>) -> Vec<&Record> {
    let mut records = ring.newest_first();
    if matches!(pace, Some(Pace::Calm | Pace::Fast)) {
        records.reverse();
    }
    records
}

/// Where counting and lines begin. What cannot be read is not known.
fn start_of(history: &History) -> Start {
    Start {
        history: Some(history.newest()).filter(|&newest| newest > 0),
        lines: history.questions().number(LINES).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use forever200_testkit::record;

    use super::*;

    #[test]
    fn what_leaves_the_ring_next_is_described_first_where_all_can_be_kept() {
        let mut ring = Ring::default();
        for seq in 1..=3 {
            ring.insert(record(seq, b"GET / HTTP/1.1\r\n\r\n"));
        }
        for (pace, order) in [
            (Some(Pace::Calm), [1, 2, 3]),
            (Some(Pace::Fast), [1, 2, 3]),
            (Some(Pace::Flood), [3, 2, 1]),
            (None, [3, 2, 1]),
        ] {
            let records = in_order(&ring, pace);
            let numbers: Vec<_> = records.iter().map(|record| record.seq).collect();
            assert_eq!(numbers, order, "{pace:?}");
        }
    }
}
