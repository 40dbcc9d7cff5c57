//! The sensor that recorded a request and sent it here, as it may be shown.
//!
//! In: what the record says of its sensor. Out: a name that is valid in a link, in a header and in
//! a file name. If the name is invalid, the request is shown without a sensor, because a stranger
//! may have taken over a sensor.

use std::net::{IpAddr, Ipv4Addr};

use forever200_ring::Sent;
use jiff::Timestamp;

use crate::bytes::printable;
use crate::reader::privacy::Privacy;
use crate::rfc3339;

/// Longest version that is shown, in characters.
const MAX_VERSION_CHARS: usize = 40;
/// Replaces a name or a version that has something hidden in it.
const HIDDEN: &str = "hidden";

/// The sensor of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sensor {
    /// The name of the sensor.
    pub name: String,
    /// The sequence number of the request on the sensor.
    pub seq: u64,
    /// When the sensor's sequence numbers began at 1; `None` where that is beyond all dates.
    pub era: Option<Timestamp>,
    /// Version of forever200 on the sensor.
    pub version: String,
}

impl Sensor {
    /// Reads what a record says of its sensor; `None` where the name is invalid.
    pub(crate) fn new(sent: &Sent, privacy: &Privacy) -> Option<Self> {
        Some(Self {
            name: shown_name(&sent.name, privacy)?,
            seq: sent.seq,
            era: i64::try_from(sent.era)
                .ok()
                .and_then(|micros| Timestamp::from_microsecond(micros).ok()),
            version: shown_version(&sent.version, privacy),
        })
    }

    /// Returns the era as RFC 3339, with microseconds.
    #[must_use]
    pub fn era_text(&self) -> Option<String> {
        self.era.map(rfc3339::micros)
    }
}

/// Returns a sensor's name as it is shown; `None` where it is invalid.
pub(crate) fn shown_name(name: &str, privacy: &Privacy) -> Option<String> {
    if !Sent::is_name(name) {
        return None;
    }
    let shown = if names_something_hidden(name, privacy) {
        HIDDEN
    } else {
        name
    };
    Some(shown.to_owned())
}

/// Returns a sensor's version as it is shown.
pub(crate) fn shown_version(version: &str, privacy: &Privacy) -> String {
    let shown = if names_something_hidden(version, privacy) {
        HIDDEN
    } else {
        version
    };
    printable::line(shown.as_bytes(), MAX_VERSION_CHARS)
}

fn names_something_hidden(text: &str, privacy: &Privacy) -> bool {
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    privacy.is_named_in(&nobody.into(), text)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a record says of the sensor that sent it.
    pub(crate) fn sent(name: &str, seq: u64) -> Box<Sent> {
        Box::new(Sent {
            name: name.into(),
            era: 1_767_323_045_000_006,
            seq,
            missing: 0,
            stream: seq,
            version: "0.1.0".into(),
        })
    }

    #[test]
    fn a_sensor_is_shown_by_a_name_that_is_safe_everywhere() {
        for (name, is_proper) in [
            ("berlin-1", true),
            ("a", true),
            (&"a".repeat(40), true),
            (&"a".repeat(41), false),
            ("", false),
            ("Berlin", false),
            ("a.b", false),
            ("a/b", false),
            ("a\"b", false),
            ("ä", false),
            ("a\r\n", false),
        ] {
            assert_eq!(Sent::is_name(name), is_proper, "{name:?}");
            let shown = Sensor::new(&sent(name, 1), &Privacy::default());
            assert_eq!(shown.is_some(), is_proper, "{name:?}");
        }
    }

    #[test]
    fn what_a_sensor_says_is_bounded_printable_and_hidden() {
        let odd = Sent {
            era: u64::MAX,
            version: "<b>\u{202e}\x1b[31m".repeat(100),
            ..*sent("berlin-1", 1)
        };
        let shown = Sensor::new(&odd, &Privacy::default()).unwrap();
        assert_eq!((shown.era, shown.era_text()), (None, None));
        assert!(shown.version.chars().count() <= MAX_VERSION_CHARS + 1);
        assert!(shown.version.chars().all(printable::is_visible));
        let privacy = Privacy {
            hidden: "berlin".parse().unwrap(),
            ..Privacy::default()
        };
        let named = Sent {
            version: "0.1.0 of berlin".into(),
            ..*sent("berlin-1", 1)
        };
        let shown = Sensor::new(&named, &privacy).unwrap();
        assert_eq!((&*shown.name, &*shown.version), (HIDDEN, HIDDEN));
    }
}
