//! Compares adjacent numbers with the addresses, in all ways in which they may be an address.

use super::Finder;

/// Smaller numbers are no addresses: no machine has one of 0.0.0.0/8.
const MIN_ADDRESS: u64 = 1 << 24;

impl Finder<'_> {
    /// Compares the numbers that were read, and forgets them.
    pub(super) fn end(&mut self) {
        for first in 0..self.numbers.len() {
            self.one(first);
            self.few(first);
            self.four(first);
        }
        self.numbers.clear();
    }

    fn push(&mut self, first: usize, count: usize) {
        let last = &self.numbers[first + count - 1];
        self.found.push(self.numbers[first].start..last.end);
    }

    /// Finds an address as one number: `3405803783`.
    fn one(&mut self, first: usize) {
        let is_known = self.numbers[first].values().any(|value| {
            value >= MIN_ADDRESS && u32::try_from(value).is_ok_and(|value| self.known.has_v4(value))
        });
        if is_known {
            self.push(first, 1);
        }
    }

    /// Finds addresses as `203.0.28935` and `203.28935`, in which the last number has more than one
    /// octet.
    fn few(&mut self, first: usize) {
        for count in [2, 3] {
            if self.is_few(first, count) {
                self.push(first, count);
            }
        }
    }

    fn is_few(&self, first: usize, count: usize) -> bool {
        let Some([numbers @ .., last]) = self.numbers.get(first..first + count) else {
            return false;
        };
        let mut behind = self.numbers[first + 1..first + count].iter();
        if !behind.all(|number| number.separator == b'.') {
            return false;
        }
        let last_bits = 8 * (4 - numbers.len() as u32);
        let min = if self.is_in_url(first, count) { 0 } else { 256 };
        let is_last = |value: &u64| *value >= min && value >> last_bits == 0;
        last.values().filter(is_last).any(|value| {
            let mut addresses = vec![value as u32];
            for (index, number) in numbers.iter().enumerate() {
                let add = |bits: u32| {
                    number
                        .octets()
                        .iter()
                        .map(move |octet| bits | octet << (24 - 8 * index))
                };
                addresses = addresses.into_iter().flat_map(add).collect();
            }
            addresses.into_iter().any(|bits| self.known.has_v4(bits))
        })
    }

    /// Tells whether these numbers are a URL's host. `1.1` is an address only there: elsewhere it
    /// is a version, as in HTTP/1.1.
    fn is_in_url(&self, first: usize, count: usize) -> bool {
        let before = &self.bytes[..self.numbers[first].start];
        first == 0
            && self.numbers.len() == count
            && (before.ends_with(b"//") || before.ends_with(b"@"))
    }

    /// Finds an address as `203.0.113.7`, in this order or reversed.
    fn four(&mut self, first: usize) {
        let Some([a, b, c, d]) = self.numbers.get(first..first + 4) else {
            return;
        };
        let (b, c) = (b.octets(), c.octets());
        if b.count == 0 || c.count == 0 {
            return;
        }
        let (a, d) = (
            a.octets_in(self.bytes, false),
            d.octets_in(self.bytes, true),
        );
        let mut is_known = false;
        for a in a.iter() {
            for b in b.iter() {
                for c in c.iter() {
                    for d in d.iter() {
                        let bits = a << 24 | b << 16 | c << 8 | d;
                        is_known |= self.known.has_v4(bits) || self.known.has_v4(bits.swap_bytes());
                    }
                }
            }
        }
        if is_known {
            self.push(first, 4);
        }
    }
}
