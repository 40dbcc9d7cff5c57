//! Sensors that lately reported that they run. At a hub, `forever200-fleet` writes them to
//! memcached, and the hub's viewer reads them.
//!
//! In: names and times. Out: one value of memcached, a line for each sensor, and back. Does no I/O.
//! Without these reports, a sensor that gets no requests would look broken.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;

use crate::record::Sent;

/// When each sensor last reported that it runs, by name.
pub type Alive = BTreeMap<String, Timestamp>;

/// Most sensors in the value. If there are more, the first by name are written.
pub const MOST_ALIVE: usize = 4096;
/// Longest value that is read: a name, a space, a number of microseconds and a newline for each.
const MAX_VALUE_BYTES: usize = MOST_ALIVE * (Sent::MAX_NAME_CHARS + 1 + 20 + 1);

pub(crate) fn encode(alive: &Alive) -> String {
    let mut value = String::new();
    for (name, time) in alive.iter().take(MOST_ALIVE) {
        // Writing to a string does not fail.
        let _ = writeln!(value, "{name} {}", time.as_microsecond());
    }
    value
}

/// Reads the value. Skips a line in another format, and a value that is longer than any of ours.
pub(crate) fn decode(value: &[u8]) -> Alive {
    if value.len() > MAX_VALUE_BYTES {
        return Alive::new();
    }
    let text = String::from_utf8_lossy(value);
    text.lines().filter_map(line).take(MOST_ALIVE).collect()
}

fn line(line: &str) -> Option<(String, Timestamp)> {
    let (name, time) = line.split_once(' ')?;
    let time = Timestamp::from_microsecond(time.parse().ok()?).ok()?;
    Sent::is_name(name).then(|| (name.to_owned(), time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let time = Timestamp::from_microsecond(1_800_000_000_123_456).unwrap();
        let alive = Alive::from([("a".to_owned(), time), ("tokyo-2".to_owned(), time)]);
        assert_eq!(decode(encode(&alive).as_bytes()), alive);
        assert_eq!(decode(b""), Alive::new());
    }

    #[test]
    fn what_is_not_ours_is_passed_over() {
        let value = b"a 1\n\nb\nc x\nBIG 1\n\xff 1\nd 99999999999999999999\ne -5\n<b> 1\nf 2";
        let names: Vec<_> = decode(value).into_keys().collect();
        assert_eq!(names, ["a", "e", "f"]);
        assert!(decode(&vec![b'a'; MAX_VALUE_BYTES + 1]).is_empty());
    }

    #[test]
    fn the_longest_value_can_be_read() {
        let name = |number| format!("{number:0>width$}", width = Sent::MAX_NAME_CHARS);
        let names = (0..=MOST_ALIVE).map(name);
        let alive: Alive = names.map(|name| (name, Timestamp::MIN)).collect();
        assert_eq!(decode(encode(&alive).as_bytes()).len(), MOST_ALIVE);
    }
}
