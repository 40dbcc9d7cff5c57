//! The name of a sensor, and the NATS subjects that are made from it: where the sensor writes, asks
//! and listens.

use std::fmt;
use std::str::FromStr;

use forever200_ring::Sent;

/// A sensor's name: 1 to 40 characters of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sensor(String);

impl Sensor {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the subject to which the sensor sends its requests. It sends nothing else there,
    /// because the last message there tells where to go on sending.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }

    /// Returns the subject of the sensor's heartbeats. The stream does not store these.
    #[must_use]
    pub fn alive_subject(&self) -> String {
        format!("{PREFIX}{}{ALIVE}", self.0)
    }

    /// Returns the subject by which the sensor asks a hub how many sensors saw a kind. The stream
    /// does not store these questions.
    #[must_use]
    pub fn kinds_subject(&self) -> String {
        format!("{PREFIX}{}{KINDS}", self.0)
    }

    /// Returns the subject by which the server is asked for the sensor's last message.
    ///
    /// Protocol: NATS ADR-31, JetStream direct get.
    #[must_use]
    pub fn last_message(&self) -> String {
        format!("$JS.API.DIRECT.GET.{STREAM}.{}", self.subject())
    }

    /// Returns the prefix of the subjects to which this sensor gets answers.
    #[must_use]
    pub fn inbox(&self) -> String {
        format!("_INBOX.{}", self.0)
    }

    /// Reads the name from the subject of a sensor's requests; `None` where it is another subject.
    #[must_use]
    pub fn of_subject(subject: &str) -> Option<Self> {
        subject.strip_prefix(PREFIX)?.parse().ok()
    }

    /// Reads the name from the subject of a sensor's heartbeats; `None` where it is another
    /// subject.
    #[must_use]
    pub fn of_alive_subject(subject: &str) -> Option<Self> {
        Self::of_subject(subject.strip_suffix(ALIVE)?)
    }

    /// Reads the name from the subject by which a sensor asks how many saw a kind; `None` where it
    /// is another subject.
    #[must_use]
    pub fn of_kinds_subject(subject: &str) -> Option<Self> {
        Self::of_subject(subject.strip_suffix(KINDS)?)
    }
}

/// Name of the stream that stores the requests of all sensors.
pub const STREAM: &str = "forever200";
/// Prefix of the subjects of all sensors.
const PREFIX: &str = "forever200.";
/// The subjects to which all sensors send their requests.
pub const ALL_REQUESTS: &str = "forever200.*";
/// The subjects of the heartbeats of all sensors.
pub const ALL_ALIVE: &str = "forever200.*.alive";
/// The subjects by which all sensors ask how many saw a kind.
pub const ALL_KINDS: &str = "forever200.*.kinds";
/// The subjects by which the server is asked for the last message of each sensor.
pub const ALL_LAST_MESSAGES: &str = "$JS.API.DIRECT.GET.forever200.forever200.*";
/// Prefix of the subjects to which a hub gets answers.
pub const HUB_INBOX: &str = "_HUB_INBOX";
/// Suffix of the subjects of heartbeats.
const ALIVE: &str = ".alive";
/// Suffix of the subjects by which sensors ask how many saw a kind.
const KINDS: &str = ".kinds";

impl FromStr for Sensor {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        if Sent::is_name(name) {
            Ok(Self(name.to_owned()))
        } else {
            let most = Sent::MAX_NAME_CHARS;
            Err(format!(
                "expected 1 to {most} of the characters a-z, 0-9 and -"
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
            assert_eq!(Sensor::of_subject(&sensor.subject()), Some(sensor.clone()));
            assert!(
                sensor
                    .last_message()
                    .starts_with(ALL_LAST_MESSAGES.trim_end_matches('*'))
            );
            assert_eq!(Sensor::of_subject(&sensor.alive_subject()), None);
            assert_eq!(
                Sensor::of_alive_subject(&sensor.alive_subject()),
                Some(sensor.clone())
            );
            assert_eq!(Sensor::of_subject(&sensor.kinds_subject()), None);
            assert_eq!(
                Sensor::of_kinds_subject(&sensor.kinds_subject()),
                Some(sensor)
            );
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
