//! Follows the ring on a thread of its own, whether there are visitors or not.
//!
//! In: the store. Out: [`View`]s, each the ring at one moment, shared by all visitors. Visitors get
//! the newest view at once: they do not wait until records are described. Only this thread reads
//! the ring, however many visitors there are.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use forever200_ring::{Depth, HubCounts, Record, Ring, Snapshot, Store, StoreError};
use jiff::Timestamp;
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tracing::debug;

use crate::captures::Captures;
use crate::history::History;
use crate::metrics::Counters;
use crate::reader::describer::Describer;
use crate::reader::entry::Entry;
use crate::reader::for_visitors::Reader;
use crate::reader::history_link::HistoryLink;
use crate::reader::minutes::Minutes;
use crate::reader::outlets::{Outlets, Start};
use crate::reader::pace::{Pace, Rate};
use crate::reader::pulse::Pulse;
use crate::reader::view::View;

/// Time between two looks while somebody watches. To a person, even twice this time looks
/// immediate.
const WATCHED_INTERVAL: Duration = Duration::from_millis(50);
/// Time between two looks while nobody watches. Each look wakes two programs: at 250 ms, all
/// programs together took 0.53 % of a core while no requests came.
const IDLE_INTERVAL: Duration = Duration::from_millis(500);
/// Time between two looks while a history or lines take all requests. At 1,000 requests a second,
/// the ring lasts 101 ms, so no request is missed. While no requests come, most looks read only the
/// cursor.
const KEPT_INTERVAL: Duration = Duration::from_millis(75);
/// Time between two looks while requests of a sensor come fast. The program that writes them into
/// the ring waits until the history has them.
const FED_INTERVAL: Duration = Duration::from_millis(5);
/// After a visitor has asked, the reader looks often for this long: they are likely to ask again.
const INTEREST: Duration = Duration::from_secs(10);
/// Longest time of describing before a view with the records described so far is published.
const BATCH_TIME: Duration = Duration::from_millis(50);
/// After the cursor has moved, slots and the counts of minutes may still be written for this long.
const WRITTEN_LATER: Duration = Duration::from_secs(2);
/// Time between two reads of the list of running sensors and of a hub's counts of kinds.
const FLEET_INTERVAL: Duration = Duration::from_secs(5);
/// The name under which the history keeps the newest sequence number that has a line.
const LINES: &str = "lines";
/// The thread's nice value: where they share a core, describing gives way to answering visitors.
const NICENESS: i32 = 1;

/// What runs in the reader's thread.
struct Follower {
    store: Store,
    describer: Arc<Describer>,
    views: watch::Sender<Arc<View>>,
    hub_counts: watch::Sender<Arc<HubCounts>>,
    pulse: Arc<Pulse>,
    /// The last snapshot of memcached, with records that are not blanked: they stay in this thread.
    snapshot: Snapshot,
    /// The exchange with the history; `None` if the history is off.
    history_link: Option<HistoryLink>,
    /// How fast requests come; `None` if neither a history nor lines take all of them.
    rate: Option<Rate>,
    outlets: Outlets,
    counters: Arc<Counters>,
    captures: Option<Captures>,
    /// When the cursor last moved.
    moved: Instant,
    /// The time of the last deep look. A deep look reads more than the cursor.
    last_deep_look: Instant,
    minutes: Minutes,
    /// When the list of running sensors and a hub's counts of kinds were last read.
    fleet_read: Instant,
}

impl Reader {
    /// Starts the reader's thread, which follows the ring in `store`. The returned future ends only
    /// if the thread ends.
    ///
    /// # Errors
    /// The thread or its runtime cannot be started.
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
            history_link: history.map(HistoryLink::new),
            rate: keeps.then(|| Rate::new(start.history.unwrap_or_default())),
            outlets,
            counters,
            captures,
            moved: Instant::now(),
            minutes: Minutes::default(),
            last_deep_look: Instant::now(),
            fleet_read: Instant::now(),
        };
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (alive, ended) = oneshot::channel::<()>();
        let follow = move || {
            let _alive = alive;
            // If this fails, the thread runs without a nice value.
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
}

impl Follower {
    /// Looks again and again, until every receiver of views is dropped.
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
            self.pulse.look_ended();
            if is_all_described {
                let pause = self.pause_after(begun.elapsed());
                self.pulse.rest(pause).await;
            }
        }
    }

    /// Returns how long to rest after a look that took `look`. At a thousand requests a second,
    /// describing takes a good part of the time in which the ring rolls over. So the time of the
    /// look is taken off the pause.
    fn pause_after(&self, look: Duration) -> Duration {
        // One of the receivers is the one in `Reader`.
        let watching = self.views.receiver_count().saturating_sub(1);
        self.pulse.count_watching(watching);
        let is_watched = watching > 0;
        let is_interesting = is_watched || self.pulse.since_question() < INTEREST;
        match self.rate.as_ref().map(Rate::pace) {
            Some(Pace::Fast | Pace::Flood) if self.is_fed() => FED_INTERVAL,
            Some(Pace::Fast) => WATCHED_INTERVAL.saturating_sub(look),
            _ if is_interesting => WATCHED_INTERVAL,
            Some(Pace::Calm) => KEPT_INTERVAL,
            // In a flood, requests are lost either way: see `Pace`.
            Some(Pace::Flood) | None => IDLE_INTERVAL,
        }
    }

    /// Tells whether the newest request came from a sensor.
    fn is_fed(&self) -> bool {
        let ring = &self.snapshot.ring;
        let newest = ring.get(ring.newest_seq());
        newest.is_some_and(|record| record.sensor.is_some())
    }

    /// Takes one look and brings the view up to date. Tells whether all new records are described;
    /// the others are left for the next look.
    async fn look(&mut self) -> Result<bool, StoreError> {
        let held = Arc::clone(&self.views.borrow());
        let has_moved = self.moved.elapsed() < WRITTEN_LATER;
        let depth = if has_moved || self.last_deep_look.elapsed() >= IDLE_INTERVAL {
            Depth::All
        } else {
            Depth::Cursor
        };
        let mut snapshot = self.store.refresh(&self.snapshot, depth).await?;
        if let Some(link) = &mut self.history_link
            && link.is_ahead_of(&snapshot)
        {
            link.restore(&self.store, &snapshot).await?;
            snapshot = self.store.snapshot().await?;
        }
        let minute = Timestamp::now().as_second().div_euclid(60);
        if snapshot.cursor != self.snapshot.cursor || snapshot.since != self.snapshot.since {
            self.moved = Instant::now();
        }
        let may_have_grown = self.moved.elapsed() <= WRITTEN_LATER;
        if !may_have_grown {
            self.minutes.forget_late();
        }
        self.minutes.note_late(&held, &snapshot.ring, minute);
        let minutes = if may_have_grown || minute != held.minute || held.away.is_some() {
            let minutes = self.minutes.read(&self.store, &held, &snapshot, minute);
            minutes.await?
        } else {
            held.minutes.clone()
        };
        let (entries, is_all_described) = self.described(&snapshot.ring, &held);
        if let Some(rate) = &mut self.rate {
            rate.measure(snapshot.cursor);
        }
        self.outlets.look(&snapshot, &entries);
        if let Some(link) = &mut self.history_link {
            if let Some(captures) = self.captures.as_ref().filter(|it| it.up_to() > 0) {
                link.note(LINES, captures.up_to());
            }
            link.keep(&snapshot, &entries);
            if self.fleet_read.elapsed() >= FLEET_INTERVAL {
                self.fleet_read = Instant::now();
                // After an error, a later look tries again.
                if link.has_sensors()
                    && let Ok(alive) = self.store.alive().await
                {
                    link.keep_alive(alive);
                }
                if let Ok(counts) = self.store.hub_counts().await {
                    self.hub_counts.send_replace(Arc::new(counts));
                }
            }
        }
        let without_records = snapshot.without_records();
        self.snapshot = snapshot;
        if depth == Depth::All {
            self.last_deep_look = Instant::now();
            self.pulse.count_deep_look();
        }
        let view = View {
            version: held.version,
            snapshot: without_records,
            entries,
            is_all_described,
            minute,
            minutes,
            history: self.history_link.as_ref().map(HistoryLink::state),
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

    /// Returns the entries of the ring, and whether all its records are described. Takes entries
    /// from the last view, and describes new records until [`BATCH_TIME`] is over.
    fn described(&self, ring: &Ring, held: &View) -> (Vec<Arc<Entry>>, bool) {
        let known: HashMap<_, _> = held
            .entries
            .iter()
            .map(|entry| (entry.record.seq, entry))
            .collect();
        // Same pointer, same record. The number is not enough: it may be that of another request
        // after counting began anew. Records are compared with the last snapshot, not with the
        // entry, whose record may be blanked.
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

/// Returns the records in the order in which they are described. If all requests can be kept, the
/// oldest come first, because they leave the ring next; else the newest come first.
fn in_order(ring: &Ring, pace: Option<Pace>) -> Vec<&Record> {
    let mut records = ring.newest_first();
    if matches!(pace, Some(Pace::Calm | Pace::Fast)) {
        records.reverse();
    }
    records
}

/// Returns the numbers after which counters and lines begin, from the history. A number that cannot
/// be read is `None`.
fn start_of(history: &History) -> Start {
    Start {
        history: history.newest_at_opening().filter(|&newest| newest > 0),
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
