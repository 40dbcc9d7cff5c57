//! Notes which numbers the reader has handed over to the history, and which left the ring before
//! that. It does not decide which requests are kept, and has no records.
//!
//! In: the cursor and the numbers of each look. Out: which numbers are still to be handed over, and
//! a gap for the numbers that left the ring before they were handed over. Numbers may come out of
//! order, because a slot may be written after the slots of later numbers. So a number is missing
//! only when the ring has no place for it any more.

use std::collections::BTreeSet;

use forever200_ring::SLOTS;
use jiff::Timestamp;

/// Requests that are not kept: their records left the ring before they were handed over, or could
/// not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The first and the last number of the range in which numbers are missing.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// How many numbers of the range are missing.
    pub(crate) requests: u64,
    /// The time of the last look before the numbers went missing, and of the first look after that.
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

impl Gap {
    /// Makes a gap of one request.
    pub(crate) fn of_one(seq: u64, now: Timestamp) -> Self {
        Self {
            first: seq,
            last: seq,
            requests: 1,
            since: now,
            until: now,
        }
    }
}

/// Remembers which numbers were handed over.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// All numbers up to this one are handed over, or missing for ever.
    settled: u64,
    /// The numbers above `settled` that are handed over.
    handed: BTreeSet<u64>,
    /// The time of the last look.
    looked: Timestamp,
}

impl Keeper {
    /// Begins with a history that accounts for all numbers up to `newest`.
    pub(crate) fn new(newest: u64, now: Timestamp) -> Self {
        Self {
            settled: newest,
            handed: BTreeSet::new(),
            looked: now,
        }
    }

    /// Begins with a history that accounts for all numbers up to `newest` except `holes`. The ring
    /// may still have the records with those numbers.
    pub(crate) fn with_holes(newest: u64, holes: &BTreeSet<u64>, now: Timestamp) -> Self {
        let settled = holes
            .first()
            .map_or(newest, |first| first.saturating_sub(1));
        let handed = (settled + 1..=newest).filter(|seq| !holes.contains(seq));
        Self {
            settled,
            handed: handed.collect(),
            looked: now,
        }
    }

    /// Tells whether the record with this number is still to be handed over.
    pub(crate) fn wants(&self, seq: u64) -> bool {
        seq > self.settled && !self.handed.contains(&seq)
    }

    /// Notes that a record was handed over.
    pub(crate) fn hand_over(&mut self, seq: u64) {
        if seq > self.settled {
            self.handed.insert(seq);
        }
    }

    /// Ends a look that found this cursor. Returns a gap for the numbers that left the ring since
    /// the last look and were not handed over.
    pub(crate) fn settle(&mut self, cursor: u64, now: Timestamp) -> Option<Gap> {
        let since = std::mem::replace(&mut self.looked, now);
        let last = cursor.saturating_sub(SLOTS);
        if last <= self.settled {
            return None;
        }
        let unsettled = std::mem::replace(&mut self.settled, last) + 1..=last;
        let in_ring = self.handed.split_off(&(last + 1));
        let seen = std::mem::replace(&mut self.handed, in_ring);
        let requests = (last + 1 - unsettled.start()).saturating_sub(seen.len() as u64);
        // `first` is the key of the gap in the file, so it must be a number that is missing. All
        // unsettled numbers below `first` were handed over. If one of them could not be written, it
        // has a gap under its own number, and this gap must not replace it.
        let first = unsettled.into_iter().find(|seq| !seen.contains(seq))?;
        (requests > 0).then_some(Gap {
            first,
            last,
            requests,
            since,
            until: now,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn missing(gap: Option<Gap>) -> Option<(u64, u64, u64)> {
        gap.map(|gap| (gap.first, gap.last, gap.requests))
    }

    #[test]
    fn what_is_seen_in_time_is_not_missing() {
        let mut keeper = Keeper::new(0, NOW);
        for cursor in (0..1000).step_by(50) {
            for seq in (cursor + 1_u64).saturating_sub(50)..=cursor {
                if keeper.wants(seq) {
                    keeper.hand_over(seq);
                }
            }
            assert_eq!(keeper.settle(cursor, NOW), None, "{cursor}");
        }
        assert!(keeper.handed.len() <= SLOTS as usize);
    }

    #[test]
    fn a_number_may_come_late_but_not_later_than_its_slot() {
        let mut keeper = Keeper::new(0, NOW);
        (1..=100)
            .filter(|&seq| seq != 7)
            .for_each(|seq| keeper.hand_over(seq));
        assert_eq!(keeper.settle(100, NOW), None);
        assert!(keeper.wants(7));
        assert_eq!(keeper.settle(107, NOW), None);
        assert_eq!(missing(keeper.settle(108, NOW)), Some((7, 7, 1)));
        assert!(!keeper.wants(7));
    }

    #[test]
    fn a_flood_is_counted_and_not_listed() {
        let mut keeper = Keeper::new(10, NOW);
        let gap = keeper.settle(1 << 53, NOW);
        assert_eq!(missing(gap), Some((11, (1 << 53) - 101, (1 << 53) - 111)));
        assert_eq!(keeper.settle(5, NOW), None);
    }

    #[test]
    fn what_a_history_lacks_among_its_last_is_wanted_as_long_as_the_ring_may_have_it() {
        let mut keeper = Keeper::with_holes(200, &BTreeSet::from([150, 152, 199]), NOW);
        let wanted: Vec<_> = (1..=203).filter(|&seq| keeper.wants(seq)).collect();
        assert_eq!(wanted, [150, 152, 199, 201, 202, 203]);
        keeper.hand_over(152);
        assert_eq!(missing(keeper.settle(260, NOW)), Some((150, 159, 1)));
        assert_eq!(missing(keeper.settle(301, NOW)), Some((199, 200, 1)));
        let keeper = Keeper::with_holes(200, &BTreeSet::new(), NOW);
        assert!(!keeper.wants(200) && keeper.wants(201));
    }
}
