//! The name of a sensor: a part of a subject of NATS and of file names, so it is short and plain.

use std::fmt;
use std::str::FromStr;

/// Longest name, in characters.
pub const MAX_NAME_CHARS: usize = 40;

/// A sensor's name: 1 to 40 of the characters `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sensor(String);

impl Sensor {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the only subject that the sensor may publish to.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }

    /// Reads the name from a subject; `None` where it is no sensor's.
    #[must_use]
    pub fn of_subject(subject: &str) -> Option<Self> {
        subject.strip_prefix(PREFIX)?.parse().ok()
    }
}

/// What the subjects of all sensors begin with.
const PREFIX: &str = "forever200.";
/// The subjects of all sensors.
pub const ALL_SUBJECTS: &str = "forever200.*";

impl FromStr for Sensor {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if (1..=MAX_NAME_CHARS).contains(&name.len()) && name.bytes().all(is_plain) {
            Ok(Self(name.to_owned()))
        } else {
            Err(format!(
                "expected 1 to {MAX_NAME_CHARS} of the characters a-z, 0-9 and -"
            ))
        }
    }
}

impl fmt::Display for Sensor {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_into_a_subject() {
        for name in ["a", "sensor-1", "0123456789012345678901234567890123456789"] {
            let sensor: Sensor = name.parse().unwrap();
            assert_eq!(Sensor::of_subject(&sensor.subject()), Some(sensor));
        }
        for name in ["", "A", "a.b", "a b", "*", ">", "ü", "a_b", "$js"] {
            assert!(name.parse::<Sensor>().is_err(), "{name}");
        }
        assert!("0".repeat(41).parse::<Sensor>().is_err());
        for subject in ["forever200.", "forever200.a.b", "other.a", "forever200"] {
            assert_eq!(Sensor::of_subject(subject), None, "{subject}");
        }
    }
}
