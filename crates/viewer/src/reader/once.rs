//! Passes on each request once, in the order of the numbers, for outlets that keep nothing.
//!
//! In: the ring and its entries, look by look. Out: entries that were not passed on before, and
//! gaps, which say how many requests left the ring unseen. Numbers need not appear in their order.
//! An entry waits for entries with smaller numbers, but not for long, because their slots may never
//! be written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forever200_ring::{Record, SLOTS, Snapshot};
use jiff::Timestamp;

use crate::history::keeper::{Gap, Keeper};
use crate::reader::entry::Entry;

/// How long a request waits for a request with a smaller number. After the cursor has moved, it
/// takes at most this long until the slot is written.
const HOLD_TIME: Duration = Duration::from_secs(2);

/// What a look found.
pub(crate) enum Event {
    /// A request came.
    Request(Arc<Entry>),
    /// Requests left the ring unseen.
    Gap(Gap),
}

/// Knows which requests were passed on.
pub(super) struct Once {
    /// `None` before the first look at a ring.
    keeper: Option<Keeper>,
    /// All numbers up to this one were passed on before this program was started.
    start: Option<u64>,
    /// The largest cursor, and the time of the newest request.
    cursor: u64,
    newest: Timestamp,
    /// Requests up to this time were passed on under other numbers, before counting began anew.
    not_before: Timestamp,
    /// Entries that wait for smaller numbers, and since when.
    held: BTreeMap<u64, (Arc<Entry>, Instant)>,
    /// The largest number that was passed on.
    told: u64,
}

impl Once {
    /// Begins after the number `start`; if it is unknown, with all requests in the ring.
    pub(super) fn new(start: Option<u64>) -> Self {
        Self {
            keeper: None,
            start,
            cursor: 0,
            newest: Timestamp::MIN,
            not_before: Timestamp::MIN,
            held: BTreeMap::new(),
            told: 0,
        }
    }

    /// Takes what a look of the reader found. Returns what is new, the oldest first.
    pub(super) fn look(&mut self, snapshot: &Snapshot, entries: &[Arc<Entry>]) -> Vec<Event> {
        let now = Timestamp::now();
        if snapshot.cursor < self.cursor && !self.begins_anew(snapshot) {
            // Memcached has lost its numbers, and is being restored.
            return Vec::new();
        }
        self.cursor = snapshot.cursor;
        let keeper = match &mut self.keeper {
            Some(keeper) => keeper,
            none => {
                let settled = snapshot.cursor.saturating_sub(SLOTS);
                let start = self.start.unwrap_or(settled).min(snapshot.cursor);
                self.told = start;
                none.insert(Keeper::new(start, now))
            }
        };
        for entry in entries.iter().rev() {
            let seq = entry.record.seq;
            if !keeper.wants(seq) {
                continue;
            }
            keeper.hand_over(seq);
            self.newest = self.newest.max(entry.record.timestamp);
            if entry.record.timestamp > self.not_before {
                self.held.insert(seq, (Arc::clone(entry), Instant::now()));
            }
        }
        let gap = keeper.settle(snapshot.cursor, now);
        self.release(gap)
    }

    /// Returns the gap and the requests that need not wait any more.
    fn release(&mut self, gap: Option<Gap>) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(gap) = gap {
            self.release_up_to(gap.last, &mut events);
            events.push(Event::Gap(gap));
        }
        let settled = self.cursor.saturating_sub(SLOTS);
        while let Some(first) = self.held.first_entry() {
            let (_, since) = first.get();
            let is_next = *first.key() <= self.told.max(settled) + 1;
            if !is_next && since.elapsed() < HOLD_TIME {
                break;
            }
            let seq = *first.key();
            self.release_up_to(seq, &mut events);
        }
        events
    }

    fn release_up_to(&mut self, last: u64, events: &mut Vec<Event>) {
        let later = self.held.split_off(&(last.saturating_add(1)));
        let released = std::mem::replace(&mut self.held, later);
        self.told = self.told.max(last);
        events.extend(
            released
                .into_values()
                .map(|(entry, _)| Event::Request(entry)),
        );
    }

    /// Tells whether counting began anew: the smaller numbers belong to newer requests. If so,
    /// forgets the old numbers.
    fn begins_anew(&mut self, snapshot: &Snapshot) -> bool {
        let is_new = |record: &Record| record.timestamp > self.newest;
        if !snapshot.ring.newest_first().into_iter().any(is_new) {
            return false;
        }
        *self = Self {
            not_before: self.newest,
            newest: self.newest,
            ..Self::new(None)
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use forever200_ring::Ring;

    use super::*;
    use crate::reader::entry::tests::{entry, record};

    /// A ring with these numbers. Number n came n seconds after `from`.
    fn ring(cursor: u64, seqs: &[u64], from: i64) -> (Snapshot, Vec<Arc<Entry>>) {
        let mut ring = Ring::default();
        let mut entries = Vec::new();
        for &seq in seqs {
            let mut record = record(b"GET / HTTP/1.1\r\n\r\n");
            record.seq = seq;
            record.timestamp = Timestamp::from_second(from + seq as i64).unwrap();
            ring.insert(record.clone());
            entries.insert(0, Arc::new(entry(record)));
        }
        let mut snapshot = Snapshot::default();
        snapshot.cursor = cursor;
        snapshot.ring = ring;
        (snapshot, entries)
    }

    /// Returns the number of each request, and the first number of each gap times -1.
    fn look(once: &mut Once, cursor: u64, seqs: &[u64], from: i64) -> Vec<i64> {
        let (snapshot, entries) = ring(cursor, seqs, from);
        let told = |event: &Event| match event {
            Event::Request(entry) => entry.record.seq as i64,
            Event::Gap(gap) => -(gap.first as i64),
        };
        let events = once.look(&snapshot, &entries);
        events.iter().map(told).collect()
    }

    #[test]
    fn each_is_told_once_and_in_order() {
        let mut once = Once::new(None);
        assert_eq!(look(&mut once, 3, &[1, 2, 3], 0), [1, 2, 3]);
        assert_eq!(look(&mut once, 3, &[1, 2, 3], 0), [0; 0]);
        // The fifth is there before the fourth.
        assert_eq!(look(&mut once, 5, &[1, 2, 3, 5], 0), [0; 0]);
        assert_eq!(look(&mut once, 5, &[1, 2, 3, 4, 5], 0), [4, 5]);
    }

    #[test]
    fn a_number_that_never_appears_holds_the_others_for_a_while_only() {
        let mut once = Once::new(None);
        assert_eq!(look(&mut once, 1, &[1], 0), [1]);
        assert_eq!(look(&mut once, 3, &[1, 3], 0), [0; 0]);
        for (_, since) in once.held.values_mut() {
            *since = since.checked_sub(HOLD_TIME).unwrap();
        }
        assert_eq!(look(&mut once, 3, &[1, 3], 0), [3]);
        // It may still appear later.
        assert_eq!(look(&mut once, 3, &[1, 2, 3], 0), [2]);
    }

    #[test]
    fn what_left_the_ring_is_a_gap_in_its_place() {
        let mut once = Once::new(Some(10));
        let ring: Vec<_> = (150..=250).collect();
        let told = look(&mut once, 250, &ring, 0);
        assert_eq!(told[..2], [-11, 150]);
        assert_eq!(told.len(), 102);
    }

    #[test]
    fn what_was_told_before_is_not_told_again() {
        let mut once = Once::new(Some(2));
        assert_eq!(look(&mut once, 3, &[1, 2, 3], 0), [3]);
        // Memcached loses all, and is restored.
        assert_eq!(look(&mut once, 0, &[], 0), [0; 0]);
        assert_eq!(look(&mut once, 4, &[1, 2, 3, 4], 0), [4]);
    }

    #[test]
    fn numbers_that_begin_anew_are_told() {
        let mut once = Once::new(None);
        assert_eq!(look(&mut once, 3, &[1, 2, 3], 0), [1, 2, 3]);
        assert_eq!(look(&mut once, 0, &[], 100), [0; 0]);
        assert_eq!(look(&mut once, 2, &[1, 2], 100), [1, 2]);
        assert_eq!(look(&mut once, 3, &[1, 2, 3], 100), [3]);
    }
}
