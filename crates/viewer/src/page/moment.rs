//! Reads a moment that a visitor names in a query.
//!
//! In: text, and the time now. Out: a time, or what was expected.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The error for a value that cannot be read.
const EXPECTED: &str =
    "expected a time such as 2031-05-04T03:02:01Z, a date, or how long ago, such as 90m, 24h or 7d";
const MINUTE_SECONDS: i64 = 60;
const HOUR_SECONDS: i64 = 60 * MINUTE_SECONDS;
const DAY_SECONDS: i64 = 24 * HOUR_SECONDS;

/// Reads a time (RFC 3339), a date, or how long ago a moment was: `90m`, `24h`, `7d`. Without a
/// time zone, it is UTC. A moment before the first of the calendar becomes the first of the
/// calendar.
///
/// # Errors
/// The text is none of these. The error says what was expected, but does not name the parameter.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Some(span) = span(text) {
        return Ok(now.checked_sub(span).unwrap_or(Timestamp::MIN));
    }
    // In a link that was not encoded, the `+` of a time zone arrives as a space.
    let text = if text.contains(['T', 't']) {
        text.replace(' ', "+")
    } else {
        text.to_owned()
    };
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let is_local = !text.contains(['+', 'Z', 'z', '[']);
    let local: Option<DateTime> = text.parse().ok().filter(|_| is_local);
    let time = local.and_then(|local| local.to_zoned(TimeZone::UTC).ok());
    time.map(|time| time.timestamp())
        .ok_or_else(|| EXPECTED.to_owned())
}

/// Reads a number with a unit. A number that is too large becomes the largest possible.
fn span(text: &str) -> Option<SignedDuration> {
    let digits = text.trim_end_matches(|char: char| !char.is_ascii_digit());
    let seconds = match text.strip_prefix(digits)? {
        "m" => MINUTE_SECONDS,
        "h" => HOUR_SECONDS,
        "d" => DAY_SECONDS,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = digits.parse().unwrap_or(i64::MAX);
    Some(SignedDuration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2031-05-04T03:02:01.5Z";

    fn read(text: &str) -> Result<String, String> {
        moment(text, NOW.parse().unwrap()).map(|time| time.to_string())
    }

    #[test]
    fn a_moment_is_a_time_a_date_or_how_long_ago_it_was() {
        for (text, time) in [
            ("2031-05-01T00:00:00Z", "2031-05-01T00:00:00Z"),
            ("2031-05-01T02:00:00+02:00", "2031-05-01T00:00:00Z"),
            ("2031-05-01T02:00:00 02:00", "2031-05-01T00:00:00Z"),
            ("2031-05-01t02:00:00.25-01:00", "2031-05-01T03:00:00.25Z"),
            ("2031-05-01T02:03", "2031-05-01T02:03:00Z"),
            ("2031-05-01 02:03:04", "2031-05-01T02:03:04Z"),
            (" 2031-05-01 ", "2031-05-01T00:00:00Z"),
            ("90m", "2031-05-04T01:32:01.5Z"),
            ("24h", "2031-05-03T03:02:01.5Z"),
            ("7d", "2031-04-27T03:02:01.5Z"),
            ("0d", NOW),
            ("99999999999999999999999999d", &Timestamp::MIN.to_string()),
        ] {
            assert_eq!(read(text).as_deref(), Ok(time), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused_with_what_was_expected() {
        for text in [
            "",
            "d",
            "-7d",
            "+7d",
            "7",
            "7w",
            "1.5h",
            "7 d",
            "yesterday",
            "2031-13-01",
            "2031-05-01T25:00:00Z",
            "\u{667}d",
            "é",
            "7é",
        ] {
            assert_eq!(read(text), Err(EXPECTED.to_owned()), "{text}");
        }
    }
}
