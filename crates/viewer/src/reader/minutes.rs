//! How many requests came in each minute of the last day, read from memcached as far as it may have
//! changed.

use std::collections::{BTreeMap, BTreeSet};

use forever200_ring::{Ring, Snapshot, Store, StoreError};

use crate::reader::view::{MINUTES, View};

/// Minutes that are asked for at once. All of a day, as at the start, would take a megabyte, of
/// which nothing comes back.
const MINUTES_AT_ONCE: usize = 60;
/// The minutes that may still grow: a request is counted when it is over, in the minute it began.
const OPEN_MINUTES: i64 = 2;

/// Which minutes may have grown.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    /// Those that were over when something was added to them, lately.
    late: BTreeSet<i64>,
}

impl Minutes {
    /// Forgets which minutes were added to late: all of that is read.
    pub(super) fn forget_late(&mut self) {
        self.late.clear();
    }

    /// Notes to which minutes before those that are open something was added: at a hub, requests
    /// come long after their sensor answered them.
    pub(super) fn note_late(&mut self, held: &View, ring: &Ring, minute: i64) {
        for record in ring.newest_first() {
            let its_minute = record.timestamp.as_second().div_euclid(60);
            let is_late = its_minute < minute - OPEN_MINUTES && its_minute > minute - MINUTES;
            if is_late && record.sensor.is_some() && held.find(record.seq).is_none() {
                self.late.insert(its_minute);
            }
        }
    }

    /// Reads the counts of those minutes that may have grown.
    pub(super) async fn read(
        &self,
        store: &Store,
        held: &View,
        snapshot: &Snapshot,
        minute: i64,
    ) -> Result<BTreeMap<i64, u64>, StoreError> {
        let is_same_count = held.snapshot.since == snapshot.since;
        let (mut minutes, from) = if is_same_count {
            (held.minutes.clone(), held.minute - OPEN_MINUTES)
        } else {
            (BTreeMap::new(), 0)
        };
        let after_first = MINUTES_AT_ONCE as i64 - 1;
        for first in (from.max(minute - MINUTES)..=minute).step_by(MINUTES_AT_ONCE) {
            let last = minute.min(first + after_first);
            minutes.extend(store.minutes(first..=last).await?);
        }
        let mut late = self.late.range(..from).copied();
        let mut next = late.next();
        while let Some(first) = next {
            let last = first + after_first;
            minutes.extend(store.minutes(first..=last).await?);
            next = late.find(|&minute| minute > last);
        }
        Ok(minutes.split_off(&(minute - MINUTES)))
    }
}
