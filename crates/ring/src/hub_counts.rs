//! How many of a hub's sensors saw each kind. At a sensor, `forever200-fleet` writes this to
//! memcached, and the sensor's viewer reads it.
//!
//! In: names of kinds and numbers. Out: text with the number of sensors in the first line and then
//! a line for each kind, and back. This is a value of memcached, and an answer of a hub. Does no
//! I/O.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::record::{MAX_NUMBER, is_plain};

/// Most kinds in the value.
pub const MOST_KINDS: usize = 8192;
/// Longest name of a kind in a question to a hub, in characters.
pub const MAX_KIND_CHARS: usize = 64;
/// Longest line: a name, a space, a number and a newline. All lines together fit into an item of
/// memcached, which is a MiB at most.
const MAX_LINE_BYTES: usize = MAX_KIND_CHARS + 1 + 16 + 1;
const _: () = assert!((MOST_KINDS + 1) * MAX_LINE_BYTES < 1_000_000);

/// A hub's answer: how many of its sensors saw each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HubCounts {
    /// How many sensors the hub has.
    pub of: u64,
    /// How many sensors saw a kind, by its name. The hub does not know kinds that are missing here.
    pub kinds: BTreeMap<String, u64>,
}

impl HubCounts {
    /// Writes the value.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut value = format!("{}\n", self.of);
        for (kind, sensors) in self.kinds.iter().take(MOST_KINDS) {
            // Writing to a string does not fail.
            let _ = writeln!(value, "{kind} {sensors}");
        }
        value
    }

    /// Reads a value of at most `most_kinds` kinds. Skips a line in another format. Returns `None`
    /// where the number of sensors is missing, or where the value is longer than any of ours.
    #[must_use]
    pub fn decode(value: &[u8], most_kinds: usize) -> Option<Self> {
        if value.len() > (most_kinds + 1) * MAX_LINE_BYTES {
            return None;
        }
        let text = std::str::from_utf8(value).ok()?;
        let mut lines = text.lines();
        let of = number(lines.next()?).filter(|&of| of > 0)?;
        let kinds = lines.filter_map(|line| count(line, of)).take(most_kinds);
        let kinds = kinds.collect();
        Some(Self { of, kinds })
    }
}

/// Tells whether a hub can be asked for a kind of this name: 1 to 64 of a-z, 0-9 and `-`. A label
/// of the operator's own may have a longer name, for which no hub is asked.
#[must_use]
pub fn is_kind(text: &str) -> bool {
    is_plain(text, MAX_KIND_CHARS)
}

fn count(line: &str, of: u64) -> Option<(String, u64)> {
    let (kind, sensors) = line.split_once(' ')?;
    let sensors = number(sensors).filter(|&sensors| sensors <= of)?;
    is_kind(kind).then(|| (kind.to_owned(), sensors))
}

fn number(text: &str) -> Option<u64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_digits)?;
    (number <= MAX_NUMBER).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let kinds = [("dotenv-file", 412), ("http-0123456789ab", 1)];
        let counts = HubCounts {
            of: 1000,
            kinds: kinds.map(|(kind, count)| (kind.to_owned(), count)).into(),
        };
        assert_eq!(
            counts.encode(),
            "1000\ndotenv-file 412\nhttp-0123456789ab 1\n"
        );
        let read = HubCounts::decode(counts.encode().as_bytes(), 2);
        assert_eq!(read, Some(counts));
    }

    #[test]
    fn what_is_not_ours_is_passed_over() {
        let long = "k".repeat(MAX_KIND_CHARS + 1);
        let value = format!("7\na 7\nb 8\nc +1\nd\n<b> 1\n{long} 1\ne 0\n\nf -1\ng 1 1\nh 3");
        let counts = HubCounts::decode(value.as_bytes(), 99).unwrap();
        let kinds: Vec<_> = counts.kinds.into_iter().collect();
        let ours = [("a", 7), ("e", 0), ("h", 3)];
        assert_eq!(kinds, ours.map(|(kind, count)| (kind.to_owned(), count)));
        for value in ["", "0\na 0\n", "x\na 1", "-1\n", "9007199254740992\n", "\n"] {
            assert_eq!(HubCounts::decode(value.as_bytes(), 99), None, "{value}");
        }
        assert_eq!(HubCounts::decode(b"7\n\xff 1", 99), None);
    }

    #[test]
    fn the_longest_value_can_be_read_and_a_longer_one_is_none() {
        let name = |number| format!("{number:0>MAX_KIND_CHARS$}");
        let counts = HubCounts {
            of: MAX_NUMBER,
            kinds: (0..=MOST_KINDS)
                .map(|number| (name(number), MAX_NUMBER))
                .collect(),
        };
        let mut value = counts.encode();
        let read = HubCounts::decode(value.as_bytes(), MOST_KINDS).unwrap();
        assert_eq!(read.kinds.len(), MOST_KINDS);
        value.push_str(&"x".repeat(MAX_LINE_BYTES));
        assert_eq!(HubCounts::decode(value.as_bytes(), MOST_KINDS), None);
    }
}
