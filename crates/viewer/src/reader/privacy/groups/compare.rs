//! Compares adjacent groups with the addresses, in all ways in which they may be an address.

use super::{Finder, V6_DIGITS, nibbles_reversed};

/// Work for each choice of groups before and after a `::`.
const DOUBLE_WORK: usize = 2;
/// Number of groups of an address.
const GROUPS: usize = 8;
/// After one of these groups, the next two are an IPv4 address, whatever the separator: RFC 4291,
/// 2.5.5.2, and RFC 3056.
const BEFORE_V4: [u16; 2] = [0xffff, 0x2002];

impl Finder<'_> {
    /// Compares the groups that were read. Returns `false` where no work is left.
    pub(super) fn end(&mut self) -> bool {
        let mut is_nibbles = 0;
        let mut bits = 0;
        let mut nibbles = 0;
        let mut in_row = 0;
        for at in 0..self.groups.len() {
            let group = &self.groups[at];
            bits = bits << 16 | u128::from(group.value);
            in_row = if group.is_behind_double {
                1
            } else {
                in_row + 1
            };
            if in_row >= GROUPS && self.known.has_v6(bits) {
                self.found_groups(at + 1 - GROUPS, at);
            }
            if in_row >= 2 {
                self.pair(at, in_row);
            }
            let group = &self.groups[at];
            is_nibbles = if group.end - group.start == 1 {
                is_nibbles + 1
            } else {
                0
            };
            nibbles = nibbles << 4 | u128::from(group.value & 15);
            if is_nibbles >= V6_DIGITS
                && (self.known.has_v6(nibbles) || self.known.has_v6(nibbles_reversed(nibbles)))
            {
                self.found_groups(at + 1 - V6_DIGITS, at);
            }
        }
        (0..=self.groups.len()).all(|at| !self.is_double(at) || self.double(at))
    }

    fn found_groups(&mut self, first: usize, last: usize) {
        self.found
            .push(self.groups[first].start..self.groups[last].end);
    }

    /// Finds two groups that are an IPv4 address.
    fn pair(&mut self, at: usize, in_row: usize) {
        let high = u32::from(self.groups[at - 1].value);
        let low = u32::from(self.groups[at].value);
        let is_meant = self.separator == b':'
            || in_row > 2 && BEFORE_V4.contains(&self.groups[at - 2].value)
            || in_row == 2 && self.groups[at - 1].is_behind_double;
        if is_meant && self.known.has_v4(high << 16 | low) {
            self.found_groups(at - 1, at);
        }
    }

    /// Tells whether there is a `::` before this group or, if `at` is after the last group, after
    /// that.
    fn is_double(&self, at: usize) -> bool {
        match self.groups.get(at) {
            Some(group) => group.is_behind_double,
            None => match self.groups.last() {
                Some(last) => self.begins_with_double(&self.bytes[last.end..]),
                None => false,
            },
        }
    }

    fn begins_with_double(&self, rest: &[u8]) -> bool {
        match *rest {
            [one @ (b':' | b'-' | b'_'), other, ..] => {
                one == other && [0, one].contains(&self.separator)
            }
            _ => false,
        }
    }

    /// Counts the groups before a `::`, back to the previous `::`.
    fn groups_before(&self, at: usize) -> usize {
        let mut count = 0;
        while count < at.min(GROUPS - 1) {
            count += 1;
            if self.groups[at - count].is_behind_double {
                break;
            }
        }
        count
    }

    /// Counts the groups after a `::`, up to the next `::`.
    fn groups_behind(&self, at: usize) -> usize {
        let mut count = 0;
        for group in self.groups[at..].iter().take(GROUPS - 1) {
            if count > 0 && group.is_behind_double {
                break;
            }
            count += 1;
        }
        count
    }

    /// Tries every number of groups before a `::` and after it: further groups may not belong to
    /// the address. Returns `false` where no work is left.
    fn double(&mut self, at: usize) -> bool {
        let before = self.groups_before(at);
        let behind = self.groups_behind(at);
        let mut high = 0;
        for left in 0..=before {
            if left > 0 {
                high = high >> 16 | u128::from(self.groups[at - left].value) << 112;
            }
            let mut low = 0;
            for right in 0..=behind.min(GROUPS - 1 - left) {
                if !self.work.take(DOUBLE_WORK) {
                    return false;
                }
                if right > 0 {
                    low = low << 16 | u128::from(self.groups[at + right - 1].value);
                }
                // Many addresses end with `::1`, so that alone is not enough.
                let is_whole = left == before && right == behind;
                if (left > 1 || is_whole) && self.known.has_v6(high | low) {
                    let start = match left {
                        0 => self.groups[at].start - 2,
                        _ => self.groups[at - left].start,
                    };
                    let end = match right {
                        0 => self.groups[at - 1].end + 2,
                        _ => self.groups[at + right - 1].end,
                    };
                    self.found.push(start..end);
                }
            }
        }
        true
    }
}
