//! The ring as it was last read from memcached.
//!
//! In: answers of memcached. Out: a [`Snapshot`].

use jiff::Timestamp;
use memcache::exp::GetResult;

use super::values::{number, ports_in, timestamp};
use crate::record::{MAX_NUMBER, Record};
use crate::ring::{
    CURSOR_KEY, FIRST_KEY, Ring, SILENT_KEY, SILENT_PORTS_KEY, SINCE_KEY, SLOTS, due_in, slot_of,
};
use crate::silent::ByPort;

/// Keys of the values beside the slots. They are read after the slots, in this order.
pub(super) const VALUES_BESIDE: [&str; 5] = [
    SINCE_KEY,
    FIRST_KEY,
    SILENT_PORTS_KEY,
    SILENT_KEY,
    CURSOR_KEY,
];

/// The ring as it was last read from memcached: read whole by `Store::snapshot`, or brought up to
/// date by `Store::refresh`.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Newest sequence number; 0 when nothing was ever recorded.
    pub cursor: u64,
    /// Time of the first start.
    pub since: Option<Timestamp>,
    /// Time of the first request.
    pub first: Option<Timestamp>,
    /// Number of connections that never sent a byte.
    pub silent: u64,
    /// Number of these connections by port, for the most frequent ports, at most 64.
    pub silent_ports: ByPort,
    /// The records; empty or evicted slots are misses, which is normal.
    pub ring: Ring,
    /// Number of slots that hold something else than a record that belongs there.
    pub unreadable: usize,
    /// CAS number of each slot, compared when it is overwritten; `None` for a miss.
    pub(super) cas: Vec<Option<u64>>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            cursor: 0,
            since: None,
            first: None,
            silent: 0,
            silent_ports: ByPort::new(),
            ring: Ring::default(),
            unreadable: 0,
            cas: vec![None; SLOTS as usize],
        }
    }
}

impl Snapshot {
    /// Returns a copy with the values beside the slots, without the records.
    #[must_use]
    pub fn without_records(&self) -> Self {
        Self {
            silent_ports: self.silent_ports.clone(),
            ring: Ring::default(),
            cas: vec![None; SLOTS as usize],
            ..*self
        }
    }

    /// Stores the answers to reads of these slots and of [`VALUES_BESIDE`].
    pub(super) fn take(&mut self, slots: &[u64], answers: &[GetResult]) {
        let Some((values, [since, first, ports, silent, cursor])) = answers.split_last_chunk()
        else {
            return;
        };
        self.since = timestamp(since);
        self.first = timestamp(first);
        self.silent = number(silent).unwrap_or_default();
        self.silent_ports = ports_in(ports).unwrap_or_default();
        // Without a cursor (memcached may evict it like any other item) every record counts.
        let newest = number(cursor).unwrap_or(MAX_NUMBER);
        for (&slot, answer) in slots.iter().zip(values) {
            self.cas[slot as usize] = answer.item.cas;
            let Some(value) = &answer.value else { continue };
            match Record::decode(value.clone()) {
                Ok(record) if slot_of(record.seq) == slot && (1..=newest).contains(&record.seq) => {
                    self.ring.insert(record);
                }
                _ => self.unreadable += 1,
            }
        }
        self.cursor = number(cursor).unwrap_or_else(|| self.ring.newest_seq());
    }

    /// Returns the slots that are empty or older than the cursor says.
    pub(super) fn lacking_slots(&self) -> Vec<u64> {
        let mut lacking = Vec::new();
        for slot in 0..SLOTS {
            let seq = self.ring.seq_in(slot);
            if seq == 0 || seq < due_in(slot, self.cursor) {
                lacking.push(slot);
            }
        }
        lacking
    }

    /// Returns the CAS number of a slot; `None` for a miss.
    pub(super) fn cas_of(&self, slot: u64) -> Option<u64> {
        *self.cas.get(slot as usize)?
    }
}
