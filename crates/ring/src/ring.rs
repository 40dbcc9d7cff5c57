//! The ring of 101 slots, in which new records overwrite old ones, and the keys of all values in
//! memcached.
//!
//! In: numbered records. Out: the newest 101 of them. Does no I/O.

use crate::record::Record;

/// Number of slots, as in the program of 2019: the newest request and the hundred before it.
pub const SLOTS: u64 = 101;

/// Key of the newest sequence number. It is nearly the number of requests so far; some numbers
/// have no request.
pub const CURSOR_KEY: &str = "forever200:cursor";
/// Key of the number of connections that never sent a byte.
pub const SILENT_KEY: &str = "forever200:silent";
/// Key of the numbers of these connections by port, for the most frequent ports.
pub const SILENT_PORTS_KEY: &str = "forever200:silent_ports";
/// Key of the sensors that lately reported that they run.
pub const ALIVE_KEY: &str = "forever200:alive";
/// Key of a hub's answer about the kinds of this sensor.
pub const HUB_COUNTS_KEY: &str = "forever200:hub_counts";
/// Key of the time of the first start, RFC 3339.
pub const SINCE_KEY: &str = "forever200:since";
/// Key of the time of the first request, RFC 3339.
pub const FIRST_KEY: &str = "forever200:first";

/// Returns the key of a slot, 0 to 100.
#[must_use]
pub fn slot_key(slot: u64) -> String {
    format!("forever200:slot:{slot}")
}

/// Returns the key that counts the requests of one minute; `minute` is Unix time / 60 s.
#[must_use]
pub fn minute_key(minute: i64) -> String {
    format!("forever200:minute:{minute}")
}

/// Returns the slot that a record with this sequence number belongs to.
#[must_use]
pub fn slot_of(seq: u64) -> u64 {
    seq % SLOTS
}

/// Returns the sequence number that a slot should hold when the cursor is at `cursor`; 0 for none.
#[must_use]
pub fn due_in(slot: u64, cursor: u64) -> u64 {
    // How many numbers ago this slot was written.
    let behind = (cursor % SLOTS + SLOTS - slot % SLOTS) % SLOTS;
    cursor.saturating_sub(behind)
}

/// The newest record of each slot.
#[derive(Clone, Debug)]
pub struct Ring {
    slots: Vec<Option<Record>>,
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            slots: vec![None; SLOTS as usize],
        }
    }
}

impl Ring {
    /// Puts a numbered record into its slot, unless the slot holds a newer one.
    pub fn insert(&mut self, record: Record) {
        let slot = &mut self.slots[slot_of(record.seq) as usize];
        if slot.as_ref().is_none_or(|held| held.seq < record.seq) {
            *slot = Some(record);
        }
    }

    /// Returns the record with this sequence number, if it was not overwritten.
    #[must_use]
    pub fn get(&self, seq: u64) -> Option<&Record> {
        self.slots[slot_of(seq) as usize]
            .as_ref()
            .filter(|record| record.seq == seq)
    }

    /// Returns the sequence number in a slot; 0 when it is empty.
    #[must_use]
    pub fn seq_in(&self, slot: u64) -> u64 {
        self.slots[slot as usize]
            .as_ref()
            .map_or(0, |record| record.seq)
    }

    /// Returns the newest sequence number; 0 when the ring is empty.
    #[must_use]
    pub fn newest_seq(&self) -> u64 {
        (0..SLOTS).map(|slot| self.seq_in(slot)).max().unwrap_or(0)
    }

    /// Returns all records, the newest first; at most [`SLOTS`].
    #[must_use]
    pub fn newest_first(&self) -> Vec<&Record> {
        let mut records: Vec<_> = self.slots.iter().flatten().collect();
        records.sort_unstable_by_key(|record| std::cmp::Reverse(record.seq));
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_due_the_newest_number_that_belongs_to_it() {
        for cursor in (0..=500).chain([u64::MAX - 3, u64::MAX]) {
            for slot in 0..SLOTS {
                let due = (cursor.saturating_sub(SLOTS - 1)..=cursor)
                    .rev()
                    .find(|&seq| seq > 0 && slot_of(seq) == slot);
                assert_eq!(due_in(slot, cursor), due.unwrap_or(0), "{slot} {cursor}");
            }
        }
    }
}
