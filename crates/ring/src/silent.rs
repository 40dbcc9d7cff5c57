//! Silent connections by port. Where the server speaks first (SSH, SMTP, Telnet), a client that
//! waits sends nothing.
//!
//! In: the ports of connections without a byte. Out: counts of the most frequent ports, which
//! memcached holds as one value that all responders share. Does no I/O.
//!
//! There are 65,536 ports. A key for each would be too many to read at once. If only the first 64
//! ports that come were counted, one scan of all ports would take all 64 places. So the value has
//! places for [`MOST_PORTS`]. A port without a place waits in the responder that counted it, with
//! its exact count, until this count is greater than the lowest in the value. It then takes the
//! place of the port with the lowest count, which waits in turn. When a responder ends, the counts
//! that wait in it are lost; the counts in the value are not.

use std::collections::BTreeMap;

/// Most ports in the value: more than a page shows, and few enough to be read at each poll.
pub const MOST_PORTS: usize = 64;
/// Longest value that is read. Ours has at most 64 × 25 bytes.
const MAX_VALUE_BYTES: usize = 4096;

/// Counts by port.
pub type ByPort = BTreeMap<u16, u64>;

/// What one responder knows of silent connections by port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SilentPorts {
    /// The value, as it was last read or written.
    held: ByPort,
    /// Counts that have no place in the value, or were not written yet; at most one for each port.
    waiting: ByPort,
    /// There is something to write, or to compare.
    is_due: bool,
}

impl SilentPorts {
    /// Makes counts from a value that is known from elsewhere, for a memcached without this value.
    #[must_use]
    pub fn known(held: ByPort) -> Self {
        Self {
            held,
            waiting: ByPort::new(),
            is_due: true,
        }
    }

    /// Adds counts, except counts of port 0, whose real port is unknown.
    pub fn add(&mut self, more: &ByPort) {
        for (&port, &count) in more.iter().filter(|(port, _)| **port != 0) {
            add(&mut self.waiting, port, count);
            self.is_due = true;
        }
    }

    /// Asks for a comparison with memcached, which may have lost the value.
    pub fn ask_to_compare(&mut self) {
        self.is_due = true;
    }

    /// Tells whether the value in memcached should be read, and written if necessary.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.is_due
    }

    /// Returns these counts after they were added to `found`, the value in memcached. If `found` is
    /// `None` (the value is missing or not ours), they are added to the value that was last known.
    pub(crate) fn put_into(&self, found: Option<&ByPort>) -> Self {
        let mut after = Self {
            held: found.unwrap_or(&self.held).clone(),
            waiting: self.waiting.clone(),
            is_due: false,
        };
        // The most frequent first, so that none loses its place to another one of this call.
        let mut placeable = after.placeable();
        placeable.sort_unstable_by_key(|&(port, count)| (std::cmp::Reverse(count), port));
        for (port, _) in placeable {
            // If an earlier round of this loop has displaced the port, `place` has put its count
            // back into `waiting`, so `remove` returns the sum.
            if let Some(count) = after.waiting.remove(&port) {
                after.place(port, count);
            }
        }
        after
    }

    /// Returns the waiting counts that may get a place. The lowest count in the value never falls,
    /// so all others go on waiting. After a scan of all ports, 65,000 wait, and each turn has to be
    /// short.
    fn placeable(&self) -> Vec<(u16, u64)> {
        let least = if self.held.len() < MOST_PORTS {
            0
        } else {
            self.held.values().copied().min().unwrap_or(0)
        };
        let mut placeable = Vec::new();
        for (&port, &count) in &self.waiting {
            if count > least || self.held.contains_key(&port) {
                placeable.push((port, count));
            }
        }
        placeable
    }

    fn place(&mut self, port: u16, count: u64) {
        if self.held.len() < MOST_PORTS || self.held.contains_key(&port) {
            add(&mut self.held, port, count);
            return;
        }
        let held = self.held.iter().map(|(&port, &count)| (port, count));
        match held.min_by_key(|&(_, count)| count) {
            Some((least_port, least_count)) if least_count < count => {
                self.held.remove(&least_port);
                self.held.insert(port, count);
                add(&mut self.waiting, least_port, least_count);
            }
            _ => add(&mut self.waiting, port, count),
        }
    }

    /// Returns the counts in the value.
    pub(crate) fn held(&self) -> &ByPort {
        &self.held
    }
}

fn add(to: &mut ByPort, port: u16, count: u64) {
    let held = to.entry(port).or_default();
    *held = held.saturating_add(count);
}

/// Writes the value: a line of JSON, which a person can read.
pub(crate) fn encode(counts: &ByPort) -> Vec<u8> {
    serde_json::to_vec(counts).expect("numbers become keys, and a Vec takes every write")
}

/// Reads the value; `None` where it has another format, too many ports, or a count above `largest`.
pub(crate) fn decode(value: &[u8], largest: u64) -> Option<ByPort> {
    if value.len() > MAX_VALUE_BYTES {
        return None;
    }
    let counts: ByPort = serde_json::from_slice(value).ok()?;
    let is_ours = counts.len() <= MOST_PORTS && counts.values().all(|&count| count <= largest);
    is_ours.then_some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(counts: impl IntoIterator<Item = (u16, u64)>) -> SilentPorts {
        let mut ports = SilentPorts::default();
        ports.add(&counts.into_iter().collect());
        ports
    }

    #[test]
    fn what_cannot_get_a_place_goes_on_waiting() {
        let mut ports = SilentPorts::default();
        ports.add(&(1..=MOST_PORTS as u16).map(|port| (port, 10)).collect());
        let mut after = ports.put_into(None);
        assert_eq!((after.held.len(), after.waiting.len()), (MOST_PORTS, 0));
        after.add(&(1000..=65_535).map(|port| (port, 1)).collect());
        after.add(&ByPort::from([(2000, 11), (1, 1)]));
        assert_eq!(after.placeable(), [(1, 1), (2000, 12)]);
        let last = after.put_into(Some(&after.held));
        assert_eq!(last.held[&1], 11);
        assert_eq!(last.held[&2000], 12);
        // The port that lost its place waits with the others.
        assert_eq!(last.waiting.len(), 65_535 - 1000 + 1);
    }

    #[test]
    fn counts_are_added_to_what_is_there() {
        let ports = counted([(22, 3), (23, 1), (0, 9)]);
        let after = ports.put_into(Some(&ByPort::from([(23, 4), (25, 2)])));
        assert_eq!(after.held, ByPort::from([(22, 3), (23, 5), (25, 2)]));
        assert!(ports.is_due() && !after.is_due());
        // Nothing is counted twice.
        assert_eq!(after.put_into(Some(&after.held)), after);
    }

    #[test]
    fn a_value_that_is_lost_is_put_back() {
        let mut ports = counted([(22, 3)]).put_into(None);
        ports.add(&ByPort::from([(22, 1)]));
        assert_eq!(ports.put_into(None).held, ByPort::from([(22, 4)]));
    }

    #[test]
    fn a_scan_of_all_ports_pushes_no_frequent_port_out_and_keeps_none_from_coming_in() {
        let mut ports =
            counted((1..=u16::MAX).map(|port| (port, 1)).chain([(22, 5)])).put_into(None);
        assert_eq!(ports.held.len(), MOST_PORTS);
        assert_eq!(ports.held[&22], 5);
        // Counts that come one at a time, each lower than any in the value.
        for _ in 0..2 {
            ports.add(&ByPort::from([(60_000, 1)]));
            ports = ports.put_into(Some(&ports.held));
        }
        assert_eq!(ports.held[&60_000], 3);
        let all: u64 = ports.held.values().chain(ports.waiting.values()).sum();
        assert_eq!(all, 65_535 + 4 + 2);
    }

    #[test]
    fn a_full_value_reads_back_and_a_foreign_one_is_none() {
        let most = |places: usize| -> ByPort {
            let ports = (0..places).map(|place| 65_535 - place as u16);
            ports.map(|port| (port, (1 << 53) - 1)).collect()
        };
        let full = most(MOST_PORTS);
        assert!(encode(&full).len() <= MAX_VALUE_BYTES);
        assert_eq!(decode(&encode(&full), (1 << 53) - 1), Some(full.clone()));
        assert_eq!(
            encode(&ByPort::from([(22, 3), (23, 1)])),
            br#"{"22":3,"23":1}"#
        );
        for foreign in [
            &b""[..],
            b"7",
            b"[]",
            b"{\"x\":1}",
            b"{\"65536\":1}",
            b"{\"22\":-1}",
            &encode(&most(MOST_PORTS + 1)),
            &b" ".repeat(MAX_VALUE_BYTES + 1),
        ] {
            assert_eq!(decode(foreign, (1 << 53) - 1), None);
        }
        assert_eq!(decode(&encode(&full), 1), None);
    }
}
