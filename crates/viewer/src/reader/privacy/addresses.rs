//! Finds the addresses to hide, written as text in any way or as binary bytes.
//!
//! In: bytes. Out: ranges of them. Everything that looks like an address is read and compared: see
//! `numbers` and `groups`. Encodings are undone elsewhere: see `blank`.

use std::net::IpAddr;
use std::ops::Range;

use super::blank::{Found, Written};
use super::work::Work;
use super::{groups, numbers};

/// With this many zero octets, four binary bytes look more like a length or a count than an
/// address.
const MANY_ZEROS: usize = 2;

/// Addresses to hide.
#[derive(Clone, Default)]
pub(super) struct Addresses {
    /// Sorted.
    v4: Vec<u32>,
    /// Sorted.
    v6: Vec<u128>,
    filter4: Filter,
    filter6: Filter,
    /// Quickly exclude most places in which there is no address.
    ends4: Ends,
    ends6: Ends,
}

impl Addresses {
    /// Adds addresses.
    pub(super) fn add(&mut self, addresses: &[IpAddr]) {
        for address in addresses {
            self.push(*address);
        }
        self.v4.sort_unstable();
        self.v6.sort_unstable();
    }

    fn push(&mut self, address: IpAddr) {
        match address.to_canonical() {
            IpAddr::V4(ip) => {
                self.filter4.add(ip.to_bits());
                self.ends4.add(&ip.octets());
                self.v4.push(ip.to_bits());
            }
            IpAddr::V6(ip) => {
                self.filter6.add(folded(ip.to_bits()));
                self.ends6.add(&ip.octets());
                self.v6.push(ip.to_bits());
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub(super) fn has_v4(&self, bits: u32) -> bool {
        self.filter4.may_have(bits) && self.v4.binary_search(&bits).is_ok()
    }

    pub(super) fn has_v6(&self, bits: u128) -> bool {
        self.filter6.may_have(folded(bits)) && self.v6.binary_search(&bits).is_ok()
    }

    /// Finds all of the addresses in `bytes`. When no work is left, the rest of the bytes counts as
    /// found.
    pub(super) fn find(&self, bytes: &[u8], work: &mut Work, all: &mut Vec<Found<'_>>) {
        if self.is_empty() {
            return;
        }
        let mut texts = Vec::new();
        numbers::find(bytes, self, work, &mut texts);
        groups::find(bytes, self, work, &mut texts);
        all.extend(texts.into_iter().map(|range| Found {
            range,
            written: Written::Text,
        }));
        if !self.v4.is_empty() {
            self.find_wire4(bytes, all);
        }
        if !self.v6.is_empty() {
            self.find_wire6(bytes, all);
        }
    }

    fn find_wire4(&self, bytes: &[u8], all: &mut Vec<Found<'_>>) {
        for (start, octets) in bytes.array_windows().enumerate() {
            if self.ends4.has(octets)
                && self.has_v4(u32::from_be_bytes(*octets))
                && is_wire(bytes, start)
            {
                all.push(wire(start..start + octets.len()));
            }
        }
    }

    fn find_wire6(&self, bytes: &[u8], all: &mut Vec<Found<'_>>) {
        for (start, octets) in bytes.array_windows().enumerate() {
            let bits = u128::from_be_bytes(*octets);
            // Twelve zero bytes before a number are padding.
            if self.ends6.has(octets) && bits > u128::from(u32::MAX) && self.has_v6(bits) {
                all.push(wire(start..start + octets.len()));
            }
        }
    }
}

fn wire<'a>(range: Range<usize>) -> Found<'a> {
    Found {
        range,
        written: Written::Wire,
    }
}

/// The first and the last bytes of the addresses, as a table.
#[derive(Clone)]
struct Ends([u8; 256]);

impl Ends {
    const FIRST: u8 = 1;
    const LAST: u8 = 2;

    fn add(&mut self, octets: &[u8]) {
        if let [first, .., last] = octets {
            self.0[usize::from(*first)] |= Self::FIRST;
            self.0[usize::from(*last)] |= Self::LAST;
        }
    }

    #[inline]
    fn has<const N: usize>(&self, octets: &[u8; N]) -> bool {
        let (first, last) = (octets[0], octets[N - 1]);
        self.0[usize::from(last)] & Self::LAST != 0 && self.0[usize::from(first)] & Self::FIRST != 0
    }
}

impl Default for Ends {
    fn default() -> Self {
        Self([0; 256])
    }
}

/// Tells whether four bytes that equal an address are meant as an address.
///
/// Four letters are a word, unless a byte next to them is no text. Zeros are counts and flags,
/// unless a SOCKS request says that an address follows: RFC 1928, 4, and SOCKS 4.
fn is_wire(bytes: &[u8], start: usize) -> bool {
    let octets = &bytes[start..start + 4];
    if let [.., 5, _, 0, 1] | [.., 4, 1 | 2, _, _] = bytes[..start] {
        return true;
    }
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t');
    let around = [start.checked_sub(1), Some(start + 4)];
    let is_in_text = around
        .into_iter()
        .flatten()
        .filter_map(|at| bytes.get(at))
        .all(is_text);
    let zeros = octets.iter().filter(|&&octet| octet == 0).count();
    zeros < MANY_ZEROS && !(octets.iter().all(is_text) && is_in_text)
}

/// A Bloom filter of the addresses: most numbers are not in it and need no search.
#[derive(Clone, Default)]
struct Filter([u64; 16]);

impl Filter {
    fn add(&mut self, number: u32) {
        let bit = bit(number);
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    #[inline]
    fn may_have(&self, number: u32) -> bool {
        let bit = bit(number);
        self.0[bit / 64] >> (bit % 64) & 1 == 1
    }
}

/// Returns one of 1024 bits: Knuth's multiplicative hash.
fn bit(number: u32) -> usize {
    (number.wrapping_mul(0x9e37_79b1) >> 22) as usize
}

fn folded(bits: u128) -> u32 {
    let half = (bits >> 64) as u64 ^ bits as u64;
    (half >> 32) as u32 ^ half as u32
}
