//! Finds IPv6 addresses, and IPv4 addresses in hexadecimal digits.
//!
//! In: bytes. Out: ranges of them that are hidden addresses. Reads:
//!
//! - IPv6 as in RFC 4291, 2.2, with any leading zeros and with an IPv4 address at the end
//! - IPv6 with `-` or `_` instead of `:`, as in names
//! - IPv6 as 32 digits in a row or one by one, as in ip6.arpa, in either order
//! - IPv4 as 8 digits, or as two groups of an IPv6 address

use std::ops::Range;

use super::addresses::Addresses;
use super::work::Work;

mod compare;

/// Work for a group of digits, beside its bytes.
const GROUP_WORK: usize = 6;
const GROUP_DIGITS: usize = 4;
const V4_DIGITS: usize = 8;
const V6_DIGITS: usize = 32;
/// Number of decimal digits of 2000::, the lowest address that machines have.
const MIN_V6_DECIMALS: usize = 38;

/// The value in [`DIGITS`] of a byte that is no hexadecimal digit.
const NO_DIGIT: u8 = 16;
const DIGITS: [u8; 256] = digits();

const fn digits() -> [u8; 256] {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < NO_DIGIT {
        let digit = b"0123456789abcdef"[value as usize];
        table[digit as usize] = value;
        table[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    table
}

/// Up to four hexadecimal digits.
#[derive(Clone)]
struct Group {
    start: usize,
    end: usize,
    value: u16,
    /// There is a `::` before this group.
    is_behind_double: bool,
}

struct Finder<'a> {
    bytes: &'a [u8],
    known: &'a Addresses,
    work: &'a mut Work,
    found: &'a mut Vec<Range<usize>>,
    /// Groups with separators between them.
    groups: Vec<Group>,
    /// The separator between them; 0 while there is only one.
    separator: u8,
}

/// Finds hidden addresses. When no work is left, the rest of the bytes counts as found.
pub(super) fn find(
    bytes: &[u8],
    known: &Addresses,
    work: &mut Work,
    found: &mut Vec<Range<usize>>,
) {
    let mut finder = Finder {
        bytes,
        known,
        work,
        found,
        groups: Vec::new(),
        separator: 0,
    };
    let mut at = 0;
    while let Some(skipped) = bytes[at..].iter().position(is_digit) {
        let start = at + skipped;
        let rest = &bytes[start..];
        let length = rest.iter().position(|byte| !is_digit(byte));
        at = start + length.unwrap_or(rest.len());
        if !finder.run(start..at) {
            let unseen = finder.groups.first().map_or(start, |group| group.start);
            finder.found.push(unseen..bytes.len());
            return;
        }
    }
    if !finder.end() {
        let unseen = finder.groups[0].start;
        finder.found.push(unseen..bytes.len());
    }
}

impl Finder<'_> {
    /// Examines a run of digits. Returns `false` where no work is left.
    fn run(&mut self, run: Range<usize>) -> bool {
        self.alone(&run);
        let (is_joined, is_behind_double) = match self.groups.last() {
            Some(last) => self.join(last.end..run.start),
            None => (false, false),
        };
        if !is_joined {
            if !self.end() {
                return false;
            }
            self.groups.clear();
            self.separator = 0;
        }
        let double = double(&self.bytes[..run.start]);
        if let Some(separator) = double.filter(|_| !is_joined) {
            self.separator = separator;
        }
        let is_followed = self
            .bytes
            .get(run.end)
            .is_some_and(|byte| b":-_.\x01".contains(byte));
        if !is_joined && !is_followed && double.is_none() {
            return true;
        }
        self.push(run, is_behind_double || !is_joined && double.is_some())
    }

    fn push(&mut self, run: Range<usize>, is_behind_double: bool) -> bool {
        let digits = &self.bytes[run.clone()];
        let zeros = digits.iter().take_while(|&&byte| byte == b'0').count();
        let group = |range: Range<usize>| Group {
            value: hex(&self.bytes[range.clone()]) as u16,
            start: range.start,
            end: range.end,
            is_behind_double,
        };
        if digits.len() - zeros <= GROUP_DIGITS {
            let group = group(run.clone());
            if self.separator == b':'
                && let Some((octets, end)) = quad(self.bytes, run.start)
            {
                let halves = [(octets >> 16) as u16, octets as u16];
                for (value, is_behind_double) in halves.into_iter().zip([is_behind_double, false]) {
                    self.groups.push(Group {
                        value,
                        end,
                        is_behind_double,
                        ..group.clone()
                    });
                }
                return self.work.take(GROUP_WORK);
            }
            self.groups.push(group);
            return self.work.take(GROUP_WORK);
        }
        // Too long for a group. An address may end with its first digits, and another one may begin
        // with its last digits.
        let (first, last) = (
            group(run.start..run.start + GROUP_DIGITS),
            group(run.end - GROUP_DIGITS..run.end),
        );
        if !self.groups.is_empty() {
            self.groups.push(first);
            if !self.end() {
                return false;
            }
            self.groups.clear();
            self.separator = 0;
        }
        self.groups.push(last);
        self.work.take(GROUP_WORK)
    }

    /// Tells whether the bytes between two runs join them, and whether they are a `::`. If the
    /// separator changes, the last group begins the next address.
    fn join(&mut self, between: Range<usize>) -> (bool, bool) {
        // The last group may have the end of an IPv4 address, which is after the start of this run.
        let between = self.bytes.get(between).unwrap_or_default();
        let (separator, is_double) = match *between {
            [one @ (b':' | b'-' | b'_' | b'.')] => (one, false),
            // RFC 1035, 3.1: the length of a label with one digit.
            [1] => (b'.', false),
            [one @ (b':' | b'-' | b'_'), other] if one == other => (one, true),
            _ => return (false, false),
        };
        if self.separator != 0 && self.separator != separator {
            let last = self.groups.len() - 1;
            if !self.end() {
                return (false, false);
            }
            self.groups.drain(..last);
            self.groups[0].is_behind_double = false;
        }
        self.separator = separator;
        (true, is_double)
    }

    /// Finds an address without separators.
    fn alone(&mut self, run: &Range<usize>) {
        let digits = &self.bytes[run.clone()];
        let is_known = match digits.len() {
            V4_DIGITS => self.known.has_v4(hex(digits) as u32),
            V6_DIGITS => {
                let bits = hex(digits);
                self.known.has_v6(bits) || self.known.has_v6(nibbles_reversed(bits))
            }
            MIN_V6_DECIMALS.. => {
                let text = std::str::from_utf8(digits).unwrap_or_default();
                text.parse().is_ok_and(|bits| self.known.has_v6(bits))
            }
            _ => false,
        };
        if is_known {
            self.found.push(run.clone());
        }
    }
}

fn is_digit(byte: &u8) -> bool {
    DIGITS[usize::from(*byte)] != NO_DIGIT
}

/// Returns which separator stands twice at the end of these bytes.
fn double(before: &[u8]) -> Option<u8> {
    match *before {
        [.., one, two @ (b':' | b'-' | b'_')] if one == two => Some(two),
        _ => None,
    }
}

/// Reads a hexadecimal number. The highest digits that do not fit are dropped.
fn hex(digits: &[u8]) -> u128 {
    let values = digits.iter().map(|&digit| DIGITS[usize::from(digit)]);
    values.fold(0, |value, digit| value << 4 | u128::from(digit))
}

/// Reads an IPv4 address in decimal numbers that begins here. Returns it and where it ends.
fn quad(bytes: &[u8], start: usize) -> Option<(u32, usize)> {
    let (mut octets, mut at) = (0, start);
    for index in 0..4 {
        if index > 0 {
            at += usize::from(*bytes.get(at)? == b'.');
        }
        let digits = bytes[at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 || index < 3 && bytes.get(at + digits) != Some(&b'.') {
            return None;
        }
        let value = bytes[at..at + digits].iter().fold(0_u32, |value, &digit| {
            value
                .saturating_mul(10)
                .saturating_add(u32::from(digit - b'0'))
        });
        octets = octets << 8 | u32::from(u8::try_from(value).ok()?);
        at += digits;
    }
    Some((octets, at))
}

fn nibbles_reversed(bits: u128) -> u128 {
    let bytes = bits.swap_bytes();
    let low = u128::MAX / 17;
    (bytes & low) << 4 | bytes >> 4 & low
}
