//! The reader's side of the history: what it is given, and what it gives back to an empty
//! memcached.
//!
//! In: the ring as memcached has it, and what is said of each record. Out: each record once, as it
//! came; and, where memcached has less than the history, the newest records, the cursor and the
//! counts. Never waits for the disk except then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use forever200_ring::{
    Alive, ByPort, KnownRing, Ring, SLOTS, SilentPorts, Snapshot, Store, StoreError,
};
use jiff::Timestamp;
use serde::Serialize;
use tracing::{info, warn};

use crate::history::found::Found;
use crate::history::keeper::{Gap, Keeper};
use crate::history::{History, Item, NotKept, Restored};
use crate::reader::entry::Entry;

/// How often restoring is tried again at once, after memcached has failed in the middle of it.
const MOST_FAILURES: u32 = 5;

/// How the history is, for those who look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HistoryState {
    /// Why nothing is written just now, in a sentence.
    pub trouble: Option<String>,
    /// Requests of the last day that are not kept.
    pub not_kept: Option<NotKept>,
}

/// What outlives the ring, and how far it is.
pub(super) struct Memory {
    history: Arc<History>,
    /// `None` before the first look, where nobody knows yet what the file has.
    keeper: Option<Keeper>,
    /// Up to which number that knows what the file has, and what it lacks; 0 where it began before
    /// the file was open.
    keeper_start: u64,
    begun: Timestamp,
    /// What had left the ring before the first look; the file, once it is open, says what of that
    /// it has.
    unclear: Option<Gap>,
    /// The newest number that the history has, or will have when all that was handed over is
    /// written.
    newest_seen: u64,
    /// How often memcached has failed while it was being restored, which is tried again: what it
    /// lacks need not show. 0 where there is nothing to try.
    failures: u32,
    /// Counters as they were last handed over.
    numbers: Numbers,
    /// What others had written, by its name.
    noted: BTreeMap<&'static str, u64>,
    /// The gap and the counters for which there was no room in the queue, the newest of each.
    gap: Option<Gap>,
    waiting: Vec<(&'static str, i64)>,
    /// Silent connections by port, as they were last handed over.
    silent_ports: ByPort,
    /// Sensors that said that they run, as they were last handed over.
    alive: Alive,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Numbers {
    silent: u64,
    since: Option<Timestamp>,
    first: Option<Timestamp>,
}

impl Memory {
    /// Goes on where the history ends.
    pub(super) fn new(history: Arc<History>) -> Self {
        let (newest_seen, begun) = (history.newest(), Timestamp::now());
        Self {
            keeper: history
                .known_up_to()
                .map(|known| Keeper::with_holes(known, &history.holes(), begun)),
            keeper_start: newest_seen,
            begun,
            unclear: None,
            history,
            newest_seen,
            failures: 0,
            numbers: Numbers::default(),
            noted: BTreeMap::new(),
            gap: None,
            waiting: Vec::new(),
            silent_ports: ByPort::new(),
            alive: Alive::new(),
        }
    }

    /// The file may have been opened later than this was made, when its disk was in trouble.
    fn newest_seen(&self) -> u64 {
        self.newest_seen.max(self.history.newest())
    }

    /// Returns how the history is, for those who look.
    pub(super) fn state(&self) -> HistoryState {
        HistoryState {
            trouble: self.history.trouble(),
            not_kept: self.history.not_kept(Timestamp::now()),
        }
    }

    /// Tells whether memcached has nothing at all, or smaller numbers than were given out already,
    /// or may lack what was being put back.
    pub(super) fn is_ahead_of(&self, snapshot: &Snapshot) -> bool {
        snapshot.since.is_none() || snapshot.cursor < self.newest_seen() || self.failures > 0
    }

    /// Puts what the history has into a memcached that lacks it; lowers nothing.
    ///
    /// # Errors
    /// memcached is unreachable, does not answer within a second, or refused a write.
    pub(super) async fn restore(
        &mut self,
        store: &Store,
        snapshot: &Snapshot,
    ) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let restored = self
            .history
            .questions()
            .restore(now)
            .unwrap_or_else(|error| {
                warn!(%error, "the history cannot be read, numbers start again at 1");
                Restored::default()
            });
        let cursor = restored.cursor.max(self.newest_seen());
        let mut ring = Ring::default();
        for record in restored.records {
            ring.insert(record);
        }
        info!(
            cursor,
            found = snapshot.cursor,
            "memcached is restored from the history"
        );
        let held = KnownRing {
            cursor,
            ring: &ring,
            counts: Some(&restored.counts),
            since: restored.since.unwrap_or(now),
            first: restored.first,
        };
        // Before the cursor, for which a responder waits that adds to them.
        let mut silent_ports = SilentPorts::known(restored.silent_ports);
        store.add_silent_ports(&mut silent_ports).await?;
        let put_back = store.put_back(snapshot, held).await;
        self.failures = match put_back {
            // One that refuses a record will do so again.
            Err(_) if self.failures < MOST_FAILURES => self.failures + 1,
            _ => 0,
        };
        put_back
    }

    /// Has a number written under a name, where it is another one than before.
    pub(super) fn note(&mut self, name: &'static str, value: u64) {
        let last = self.noted.insert(name, value);
        if last == Some(value) {
            return;
        }
        if let Ok(number) = i64::try_from(value) {
            self.wait(name, number);
        }
    }

    fn wait(&mut self, name: &'static str, value: i64) {
        self.waiting.retain(|(waiting, _)| *waiting != name);
        self.waiting.push((name, value));
    }

    /// Hands over what is new in the ring and described. What the queue has no room for stays in
    /// the ring for the next look, or is counted when it leaves that.
    pub(super) fn keep(&mut self, snapshot: &Snapshot, entries: &[Arc<Entry>]) {
        let now = Timestamp::now();
        let mut keeper = match self.keeper.take() {
            Some(keeper) => keeper,
            None => self.begin(snapshot.cursor, now),
        };
        // Those that have no place in the ring any more go first: else they would be missing.
        let last_lost = snapshot.cursor.saturating_sub(SLOTS);
        let split = entries.partition_point(|entry| entry.record.seq > last_lost);
        let (in_ring, late) = entries.split_at(split);
        self.hand_over(&mut keeper, snapshot, late);
        self.newest_seen = self.newest_seen.max(snapshot.cursor);
        if let Some(gap) = keeper.settle(snapshot.cursor, now) {
            if let Some(gap) = gap.after(self.known_later_up_to()) {
                self.history.count_gap(gap, now);
            }
            match &mut self.gap {
                Some(waiting) => waiting.swallow(&gap),
                none => *none = Some(gap),
            }
        }
        // Until the file is open, nobody knows what is missing in it.
        let is_room = if self.history.known_up_to().is_some() {
            self.clear_up(now);
            self.hand_over_gap()
        } else {
            true
        };
        // Behind the gap: when this program is killed, the newest number in the file says up to
        // where all is written or counted, but for what the ring had then.
        if is_room {
            self.hand_over(&mut keeper, snapshot, in_ring);
        }
        self.keeper = Some(keeper);
        self.keep_numbers(snapshot);
        self.keep_silent_ports(snapshot);
        if is_room {
            self.hand_over_numbers();
        }
    }

    /// Hands over what is not handed over yet, the oldest first, as long as there is room.
    fn hand_over(&self, keeper: &mut Keeper, snapshot: &Snapshot, newest_first: &[Arc<Entry>]) {
        for entry in newest_first.iter().rev() {
            let seq = entry.record.seq;
            if !keeper.wants(seq) {
                continue;
            }
            let Some(record) = snapshot.ring.get(seq) else {
                continue;
            };
            // As it came: what may be shown of it is decided when it is shown.
            let request = Item::request(record.clone(), Found::new(entry));
            if self.history.offer(request).is_err() {
                return;
            }
            keeper.hand_over(seq);
        }
    }

    /// Returns up to which number an open file accounts for all, where the keeper does not know it
    /// better.
    fn known_later_up_to(&self) -> u64 {
        let known = self.history.known_up_to().unwrap_or_default();
        if known <= self.keeper_start { 0 } else { known }
    }

    /// Begins with what is in the ring, before anybody knows what the file has.
    fn begin(&mut self, cursor: u64, now: Timestamp) -> Keeper {
        let last = cursor.saturating_sub(SLOTS);
        self.unclear = (last > 0).then_some(Gap {
            first: 1,
            last,
            requests: last,
            since: self.begun,
            until: now,
        });
        Keeper::new(last, now)
    }

    /// Leaves out of what is missing what an open file accounts for.
    fn clear_up(&mut self, now: Timestamp) {
        let known = self.known_later_up_to();
        self.gap = self.gap.and_then(|gap| gap.after(known));
        let Some(mut missing) = self.unclear.take().and_then(|gap| gap.after(known)) else {
            return;
        };
        self.history.count_gap(missing, now);
        if let Some(later) = &self.gap {
            missing.swallow(later);
        }
        self.gap = Some(missing);
    }

    /// Hands over which sensors said that they run, where that has changed.
    pub(super) fn keep_alive(&mut self, alive: Alive) {
        if alive != self.alive && self.history.offer(Item::Alive(alive.clone())).is_ok() {
            self.alive = alive;
        }
    }

    /// Tells whether requests of other machines came here.
    pub(super) fn has_sensors(&self) -> bool {
        self.history.sensors().load(Relaxed) > 0
    }

    fn keep_numbers(&mut self, snapshot: &Snapshot) {
        let numbers = Numbers {
            silent: snapshot.silent,
            since: snapshot.since,
            first: snapshot.first,
        };
        if numbers == self.numbers {
            return;
        }
        self.numbers = numbers;
        let micros = |time: Option<Timestamp>| time.map(Timestamp::as_microsecond);
        let silent = i64::try_from(numbers.silent).ok();
        let named = [
            ("silent", silent),
            ("since", micros(numbers.since)),
            ("first", micros(numbers.first)),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                self.wait(name, value);
            }
        }
    }

    /// A memcached that has none has lost them.
    fn keep_silent_ports(&mut self, snapshot: &Snapshot) {
        let ports = &snapshot.silent_ports;
        if ports.is_empty() || *ports == self.silent_ports {
            return;
        }
        // Where there is no room, the next look finds them changed as well.
        if self.history.offer(Item::SilentPorts(ports.clone())).is_ok() {
            self.silent_ports = ports.clone();
        }
    }

    /// Tells whether there was room for it.
    fn hand_over_gap(&mut self) -> bool {
        if let Some(gap) = self.gap.take()
            && self.history.offer(Item::Gap(gap)).is_err()
        {
            self.gap = Some(gap);
            return false;
        }
        true
    }

    fn hand_over_numbers(&mut self) {
        let history = &self.history;
        self.waiting
            .retain(|(name, value)| history.offer(Item::Number(name, *value)).is_err());
    }
}

#[cfg(test)]
mod tests;
