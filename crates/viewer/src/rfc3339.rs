//! Times in JSON and exports.

use jiff::Timestamp;

/// Returns a time as records have it: RFC 3339, UTC, with microseconds.
pub(crate) fn micros(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_six_digits_behind_its_seconds() {
        let time = Timestamp::from_microsecond(1_767_323_045_000_600).unwrap();
        assert_eq!(micros(time), "2026-01-02T03:04:05.000600Z");
        assert_eq!(micros(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
    }
}
