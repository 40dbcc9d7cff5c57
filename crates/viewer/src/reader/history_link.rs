//! The reader's side of the history: hands records over to it, and restores an empty memcached from
//! it.
//!
//! In: the ring as memcached has it, and the description of each record. Out: the history gets each
//! record once, not blanked. A memcached that has less than the history gets the newest records,
//! the cursor and the counts. Only restoring waits for the disk.

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

/// Most retries of restoring in a row, after memcached has failed in the middle of it.
const MOST_FAILURES: u32 = 5;

/// The state of the history, for visitors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HistoryState {
    /// A sentence that says why nothing is written at present; `None` where all is well.
    pub trouble: Option<String>,
    /// The requests of the last day that are missing in the history.
    pub not_kept: Option<NotKept>,
}

/// The reader's link to the history: what is handed over, up to which number, and what waits.
pub(super) struct HistoryLink {
    history: Arc<History>,
    /// `None` before the first look if the file was not open when the reader began.
    keeper: Option<Keeper>,
    /// The number with which `keeper` began, taken from the file; 0 if the file was not open.
    keeper_start: u64,
    begun: Timestamp,
    /// Requests that had left the ring before the first look. The file, once it is open, says which
    /// of them it has.
    unclear: Option<Gap>,
    /// The newest number that was seen, in the file or in the ring.
    newest_seen: u64,
    /// How many restores in a row have failed; 0 if no retry is needed. After a failure, restoring
    /// is tried again even if memcached looks complete.
    failures: u32,
    /// The counters that were last handed over.
    numbers: Numbers,
    /// The last value of each number that [`note`](Self::note) got, by its name.
    noted: BTreeMap<&'static str, u64>,
    /// The gap and the numbers that wait for room in the queue. Gaps are joined; a newer number
    /// replaces an older one of the same name.
    gap: Option<Gap>,
    waiting: Vec<(&'static str, i64)>,
    /// The counts of silent connections by port that were last handed over.
    silent_ports: ByPort,
    /// The list of running sensors that was last handed over.
    alive: Alive,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Numbers {
    silent: u64,
    since: Option<Timestamp>,
    first: Option<Timestamp>,
}

impl HistoryLink {
    /// Begins after the newest number of the history, if its file is open.
    pub(super) fn new(history: Arc<History>) -> Self {
        let newest_seen = history.newest_at_opening().unwrap_or_default();
        let begun = Timestamp::now();
        Self {
            keeper: history
                .newest_at_opening()
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

    /// Returns the newest number that was seen, in the file or in the ring. If its disk was in
    /// trouble, the file may have been opened after this link was made.
    fn newest_seen(&self) -> u64 {
        let newest = self.history.newest_at_opening();
        self.newest_seen.max(newest.unwrap_or_default())
    }

    /// Returns the state of the history that visitors see.
    pub(super) fn state(&self) -> HistoryState {
        HistoryState {
            trouble: self.history.trouble(),
            not_kept: self.history.not_kept(Timestamp::now()),
        }
    }

    /// Tells whether memcached must be restored: it is empty, its cursor is below a number that was
    /// seen, or the last restore failed.
    pub(super) fn is_ahead_of(&self, snapshot: &Snapshot) -> bool {
        snapshot.since.is_none() || snapshot.cursor < self.newest_seen() || self.failures > 0
    }

    /// Puts back into memcached what the history has and memcached lacks. No number becomes
    /// smaller.
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
        // These counts come before the cursor: a responder waits for the cursor, and then adds to
        // them.
        let mut silent_ports = SilentPorts::known(restored.silent_ports);
        store.add_silent_ports(&mut silent_ports).await?;
        let put_back = store.put_back(snapshot, held).await;
        self.failures = match put_back {
            // There is a last retry, because a record that memcached refuses will be refused again.
            Err(_) if self.failures < MOST_FAILURES => self.failures + 1,
            _ => 0,
        };
        put_back
    }

    /// Queues a number that is to be written under a name, if the number has changed.
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

    /// Hands over the new described records of the ring. A record for which the queue has no room
    /// is tried again with the next look. If it leaves the ring before, it is counted as missing.
    pub(super) fn keep(&mut self, snapshot: &Snapshot, entries: &[Arc<Entry>]) {
        let now = Timestamp::now();
        let mut keeper = match self.keeper.take() {
            Some(keeper) => keeper,
            None => self.begin(snapshot.cursor, now),
        };
        // By the cursor, the `late` entries have left the ring, but their slots are not overwritten
        // yet. They are handed over before `settle` counts them as missing.
        let last_lost = snapshot.cursor.saturating_sub(SLOTS);
        let split = entries.partition_point(|entry| entry.record.seq > last_lost);
        let (in_ring, late) = entries.split_at(split);
        self.hand_over(&mut keeper, snapshot, late);
        self.newest_seen = self.newest_seen.max(snapshot.cursor);
        if let Some(gap) = keeper.settle(snapshot.cursor, now) {
            if let Some(gap) = gap.after(self.accounted_for_by_late_file()) {
                self.history.count_gap(gap, now);
            }
            match &mut self.gap {
                Some(waiting) => waiting.swallow(&gap),
                none => *none = Some(gap),
            }
        }
        // Until the file is open, it is unknown what is missing in it.
        let is_room = if self.history.newest_at_opening().is_some() {
            self.clear_up(now);
            self.hand_over_gap()
        } else {
            true
        };
        // Requests come after the gap. So if this program is killed, each number up to the newest
        // in the file is written or counted as missing, or was in the ring then.
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

    /// Hands over the records that were not handed over yet, the oldest first, until the queue is
    /// full.
    fn hand_over(&self, keeper: &mut Keeper, snapshot: &Snapshot, newest_first: &[Arc<Entry>]) {
        for entry in newest_first.iter().rev() {
            let seq = entry.record.seq;
            if !keeper.wants(seq) {
                continue;
            }
            let Some(record) = snapshot.ring.get(seq) else {
                continue;
            };
            // The record is not blanked: what may be shown of it is decided when it is shown.
            let request = Item::request(record.clone(), Found::new(entry));
            if self.history.offer(request).is_err() {
                return;
            }
            keeper.hand_over(seq);
        }
    }

    /// Returns the number up to which a file that was opened late accounts for requests; 0 if the
    /// file was open from the start, or is not open.
    fn accounted_for_by_late_file(&self) -> u64 {
        let known = self.history.newest_at_opening().unwrap_or_default();
        if known <= self.keeper_start { 0 } else { known }
    }

    /// Returns a keeper that begins with the requests in the ring, because the file is not open.
    /// Requests before them are unclear: the file may have them.
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

    /// Takes the numbers that the open file accounts for out of the gaps, and counts the rest as
    /// missing.
    fn clear_up(&mut self, now: Timestamp) {
        let known = self.accounted_for_by_late_file();
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

    /// Hands over the list of running sensors if it has changed.
    pub(super) fn keep_alive(&mut self, alive: Alive) {
        if alive != self.alive && self.history.offer(Item::Alive(alive.clone())).is_ok() {
            self.alive = alive;
        }
    }

    /// Tells whether the history has requests of sensors.
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

    /// Hands over the counts of silent connections by port if they have changed. If there are none,
    /// memcached has lost them.
    fn keep_silent_ports(&mut self, snapshot: &Snapshot) {
        let ports = &snapshot.silent_ports;
        if ports.is_empty() || *ports == self.silent_ports {
            return;
        }
        // If the queue is full, the next look tries again.
        if self.history.offer(Item::SilentPorts(ports.clone())).is_ok() {
            self.silent_ports = ports.clone();
        }
    }

    /// Hands over the gap. Tells whether the queue had room for it.
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
