//! Finds IPv4 addresses that are written as numbers.
//!
//! In: bytes. Out: ranges of them that are hidden addresses. Reads one to four numbers as inet_aton
//! does (decimal, octal, hexadecimal) and as people do (`099` is 99). Between them may be `.`, `-`,
//! `_`, `,` or `[.]`, or the lengths of a name in a DNS message. The order may be reversed, as in
//! in-addr.arpa.

use std::ops::Range;

use super::addresses::Addresses;
use super::work::Work;

mod compare;

/// Work for a number in addition to its bytes: for the first number, and for each number that
/// follows another.
const NUMBER_WORK: usize = 2;
const NEXT_NUMBER_WORK: usize = 8;
/// Most digits of an octet.
const MAX_OCTET_DIGITS: usize = 3;

/// A number, and what it may mean.
struct Number {
    start: usize,
    end: usize,
    /// The number as it is written: decimal, or hexadecimal after `0x`.
    plain: u64,
    /// The number read as octal, if it begins with 0 and this is another value.
    octal: Option<u64>,
    is_decimal: bool,
    /// The separator before it.
    separator: u8,
}

/// The values that a number may have as an octet.
#[derive(Clone, Copy, Default)]
struct Octets {
    values: [u8; 3],
    count: usize,
}

struct Finder<'a> {
    bytes: &'a [u8],
    known: &'a Addresses,
    found: &'a mut Vec<Range<usize>>,
    /// Numbers with separators between them.
    numbers: Vec<Number>,
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
        found,
        numbers: Vec::new(),
    };
    let mut at = 0;
    while let Some(skipped) = bytes[at..].iter().position(u8::is_ascii_digit) {
        at += skipped;
        let mut number = Number::read(bytes, at);
        at = number.end;
        let separator = finder.numbers.last().and_then(|last| {
            let between = &bytes[last.end..number.start];
            separator(between, number.end - number.start)
        });
        match separator {
            Some(separator) => number.separator = separator,
            None => finder.end(),
        }
        finder.numbers.push(number);
        let is_alone = finder.numbers.len() == 1;
        let units = if is_alone {
            NUMBER_WORK
        } else {
            NEXT_NUMBER_WORK
        };
        if !work.take(units) {
            finder.found.push(finder.numbers[0].start..bytes.len());
            return;
        }
    }
    finder.end();
}

/// Returns the separator between two numbers of an address; `None` where there is none.
fn separator(between: &[u8], next_length: usize) -> Option<u8> {
    match *between {
        // FTP writes addresses with commas: RFC 959, 5.3.2.
        [byte @ (b'.' | b'-' | b'_' | b',')] => Some(byte),
        [b'[', b'.', b']'] => Some(b'.'),
        // RFC 1035, 3.1.
        [length] if usize::from(length) == next_length && length < b' ' => Some(b'.'),
        _ => None,
    }
}

impl Number {
    /// Reads the number that begins here.
    fn read(bytes: &[u8], start: usize) -> Self {
        let rest = &bytes[start..];
        let is_hex = matches!(rest, [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit());
        let (from, radix) = if is_hex { (2, 16) } else { (0, 10) };
        let (mut length, mut plain, mut octal) = (from, 0_u64, Some(0_u64));
        while let Some(digit) = rest
            .get(length)
            .and_then(|&byte| char::from(byte).to_digit(radix))
        {
            let digit = u64::from(digit);
            plain = plain.saturating_mul(u64::from(radix)).saturating_add(digit);
            octal = octal
                .filter(|_| digit < 8)
                .map(|octal| octal.saturating_mul(8).saturating_add(digit));
            length += 1;
        }
        Self {
            start,
            end: start + length,
            plain,
            octal: octal.filter(|&octal| !is_hex && rest[0] == b'0' && octal != plain),
            is_decimal: !is_hex,
            separator: 0,
        }
    }

    /// Returns the values that the number may have.
    fn values(&self) -> impl Iterator<Item = u64> {
        [Some(self.plain), self.octal].into_iter().flatten()
    }

    /// Returns the octets that the number may be.
    fn octets(&self) -> Octets {
        let mut octets = Octets::default();
        self.values().for_each(|value| octets.add(value));
        octets
    }

    /// Returns the octets that the number may be. A long decimal number may have an octet only at
    /// its end or, with `is_behind`, at its beginning.
    fn octets_in(&self, bytes: &[u8], is_behind: bool) -> Octets {
        let mut octets = self.octets();
        if octets.count > 0 || !self.is_decimal {
            return octets;
        }
        let digits = &bytes[self.start..self.end];
        for length in 1..=MAX_OCTET_DIGITS.min(digits.len()) {
            let part = if is_behind {
                &digits[..length]
            } else {
                &digits[digits.len() - length..]
            };
            octets.add(Self::read(part, 0).plain);
        }
        octets
    }
}

impl Octets {
    fn add(&mut self, value: u64) {
        if let Ok(octet) = u8::try_from(value) {
            self.values[self.count] = octet;
            self.count += 1;
        }
    }

    fn iter(self) -> impl Iterator<Item = u32> {
        self.values.into_iter().take(self.count).map(u32::from)
    }
}
