//! Counts of requests by minute for the last day. Only minutes that may have changed are read from
//! memcached.

use std::collections::{BTreeMap, BTreeSet};

use forever200_ring::{Ring, Snapshot, Store, StoreError};

use crate::reader::view::{MINUTES, View};

/// Most minutes in one query. A query for a whole day, as at the start, would take a megabyte of
/// memory, which would not be given back.
const MINUTES_AT_ONCE: usize = 60;
/// Number of past minutes that may still grow: a request is counted when it is over, in the minute
/// in which it began.
const OPEN_MINUTES: i64 = 2;

/// Which minutes may have grown.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    /// Older minutes to which requests were lately added.
    late: BTreeSet<i64>,
}

impl Minutes {
    /// Forgets the late minutes: their counts are read.
    pub(super) fn forget_late(&mut self) {
        self.late.clear();
    }

    /// Notes the older minutes of new requests in the ring. At a hub, requests may come long after
    /// their sensor answered them.
    pub(super) fn note_late(&mut self, held: &View, ring: &Ring, minute: i64) {
        for record in ring.newest_first() {
            let its_minute = record.timestamp.as_second().div_euclid(60);
            let is_late = its_minute < minute - OPEN_MINUTES && its_minute > minute - MINUTES;
            if is_late && record.sensor.is_some() && held.find(record.seq).is_none() {
                self.late.insert(its_minute);
            }
        }
    }

    /// Returns the counts of the last day: reads the minutes that may have grown, and takes the
    /// others from the last view.
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
