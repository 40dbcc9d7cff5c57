//! The ring at one moment, described, for all who look.
//!
//! In: what the reader found. Out: the same for everybody, and never changed again.

use std::collections::BTreeMap;
use std::sync::Arc;

use forever200_ring::{SLOTS, Snapshot, StoreError};
use jiff::Timestamp;

use crate::reader::entry::Entry;
use crate::reader::memory::HistoryState;

/// What the charts go back to.
pub const MINUTES: i64 = 24 * 60;

/// The ring at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// Another number for another content, also after a restart of the viewer.
    pub version: u64,
    /// The counters alone: its ring is empty, for [`entries`](Self::entries) has what may be shown
    /// of it.
    pub snapshot: Snapshot,
    /// The newest first. Of a flood, those that are not described yet are missing.
    pub entries: Vec<Arc<Entry>>,
    /// None is missing for that reason.
    pub is_all_described: bool,
    /// The Unix minute (seconds / 60) of this view; 0 before memcached was read.
    pub minute: i64,
    /// Number of requests by Unix minute, for the last day; a minute without one is left out.
    pub minutes: BTreeMap<i64, u64>,
    /// How the history is; `None` where it is off.
    pub history: Option<HistoryState>,
    /// Why memcached cannot be read just now; the rest is then what was last read.
    pub away: Option<Arc<StoreError>>,
}

impl View {
    /// What there is before memcached was read for the first time.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            version: Timestamp::now().as_microsecond().unsigned_abs(),
            snapshot: Snapshot::default(),
            entries: Vec::new(),
            is_all_described: true,
            minute: 0,
            minutes: BTreeMap::new(),
            history: None,
            away: None,
        }
    }

    /// Returns the sequence number of the oldest entry; 0 when there is none.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.record.seq)
    }

    /// Returns the sequence number up to which nothing is missing here that will be described yet:
    /// events tell what is after it.
    #[must_use]
    pub fn complete_up_to(&self) -> u64 {
        let cursor = self.snapshot.cursor;
        if self.is_all_described {
            cursor
        } else {
            // In a flood the newest are described first.
            cursor.saturating_sub(SLOTS)
        }
    }

    /// Tells whether memcached was asked for this.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.minute != 0 || self.away.is_some()
    }

    /// Returns the entry with this sequence number.
    #[must_use]
    pub fn find(&self, seq: u64) -> Option<&Arc<Entry>> {
        self.entries.iter().find(|entry| entry.record.seq == seq)
    }

    /// Tells whether two views show something different, whatever their versions are.
    pub(super) fn differs_from(&self, other: &Self) -> bool {
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
                view.away.is_some(),
            )
        };
        let has_same_entries = self.entries.len() == other.entries.len()
            && self
                .entries
                .iter()
                .zip(&other.entries)
                .all(|(a, b)| Arc::ptr_eq(a, b));
        !has_same_entries
            || counters(self) != counters(other)
            || self.minutes != other.minutes
            || self.snapshot.silent_ports != other.snapshot.silent_ports
            || self.history != other.history
    }
}
