//! The ring at one moment, described, for all visitors.
//!
//! In: what the reader found. Out: a view that is the same for everybody and never changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use forever200_ring::{SLOTS, Snapshot, StoreError};
use jiff::Timestamp;

use crate::reader::entry::Entry;
use crate::reader::history_link::HistoryState;

/// How far the charts go back, in minutes.
pub const MINUTES: i64 = 24 * 60;

/// The ring at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// Different contents have different versions, also after a restart of the viewer.
    pub version: u64,
    /// The counters of memcached. Its ring is empty: [`entries`](Self::entries) has what may be
    /// shown of the records.
    pub snapshot: Snapshot,
    /// The entries, the newest first. In a flood, records that are not described yet are missing.
    pub entries: Vec<Arc<Entry>>,
    /// Every record of the ring has its entry.
    pub is_all_described: bool,
    /// The Unix minute (seconds / 60) of this view; 0 before memcached was read.
    pub minute: i64,
    /// Number of requests by Unix minute, for the last day. Minutes without requests are left out.
    pub minutes: BTreeMap<i64, u64>,
    /// The state of the history; `None` where it is off.
    pub history: Option<HistoryState>,
    /// Why memcached cannot be read at present. The other fields then have the values that were
    /// last read.
    pub away: Option<Arc<StoreError>>,
}

impl View {
    /// Returns the view before memcached was read for the first time.
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

    /// Returns the sequence number up to which all records of this view are described. Events tell
    /// of the entries after it.
    #[must_use]
    pub fn complete_up_to(&self) -> u64 {
        let cursor = self.snapshot.cursor;
        if self.is_all_described {
            cursor
        } else {
            // Any record of the ring may lack its entry: in a flood, the newest are described
            // first.
            cursor.saturating_sub(SLOTS)
        }
    }

    /// Tells whether memcached was read, or tried, for this view.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.minute != 0 || self.away.is_some()
    }

    /// Returns the entry with this sequence number.
    #[must_use]
    pub fn find(&self, seq: u64) -> Option<&Arc<Entry>> {
        self.entries.iter().find(|entry| entry.record.seq == seq)
    }

    /// Tells whether two views show something different. Versions are not compared.
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
