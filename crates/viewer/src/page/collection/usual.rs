//! How usual a kind is, in words: here, by this machine's own history, and elsewhere, by published
//! logs.
//!
//! In: counts by day, and the number of published logs with the kind. Out: short sentences. No
//! other machine is asked.

use forever200_identify::signature::LOGS;
use jiff::Timestamp;

use crate::history::MOST_DAYS;

/// A kind in at least this many of the logs is seen by nearly everybody.
const BY_NEARLY_EVERYBODY: u8 = 16;
/// A kind in at least this many of the logs is common.
const COMMON: u8 = 6;
/// A kind that came on this many days in a row is called daily.
const DAILY: i64 = 3;
const SECONDS_OF_DAY: i64 = 24 * 60 * 60;

/// Says how usual a kind is here. `days` are days since 1970 on which it came, the oldest first.
#[must_use]
pub(crate) fn here(days: &[i64], requests: u64, first: Timestamp, now: Timestamp) -> String {
    let (today, first_day) = (day_of(now), day_of(first));
    let streak = streak(days, today);
    // Counts of all days since then are kept. If they begin after `first`, earlier requests were
    // deleted, and with them their counts.
    let counts_reach_first_day = first_day > today - MOST_DAYS;
    let counted_from = match days.first() {
        Some(&day) if counts_reach_first_day => named(day),
        _ => named(first_day),
    };
    if first_day == today {
        match requests {
            ..=1 => "first seen here today".to_owned(),
            _ => format!("first seen here today, {requests} times so far"),
        }
    } else if streak >= DAILY {
        format!("daily for {}", span_of(streak))
    } else if requests == 1 {
        format!("once, on {counted_from}")
    } else {
        format!("{requests} times since {counted_from}")
    }
}

/// Returns the date of a day, as people write it.
fn named(day: i64) -> String {
    let time = Timestamp::from_second(day.saturating_mul(SECONDS_OF_DAY)).unwrap_or_default();
    time.strftime("%-d %B %Y").to_string()
}

/// Says how usual a kind is elsewhere; `None` if it was not counted.
#[must_use]
pub(crate) fn elsewhere(usual: Option<u8>) -> Option<&'static str> {
    Some(match usual? {
        BY_NEARLY_EVERYBODY.. => "seen by nearly everybody",
        COMMON.. => "common",
        // The count is a lower bound, so the kind is not known to be rare.
        _ => "seen elsewhere, too",
    })
}

/// Says on how many logs [`elsewhere`] is based; `None` if the kind was not counted.
#[must_use]
pub(crate) fn grounds(usual: Option<u8>) -> Option<String> {
    usual.map(|logs| format!("in at least {logs} of {LOGS} published logs"))
}

/// Returns the number of a day since 1970, UTC.
pub(crate) fn day_of(time: Timestamp) -> i64 {
    time.as_second().div_euclid(SECONDS_OF_DAY)
}

/// Returns on how many days in a row a kind came, up to today or yesterday; 0 if it came on
/// neither.
fn streak(days: &[i64], today: i64) -> i64 {
    let mut expected = match days.last() {
        Some(&last) if last >= today - 1 => last,
        _ => return 0,
    };
    let mut streak = 0;
    for &day in days.iter().rev() {
        if day != expected {
            break;
        }
        streak += 1;
        expected -= 1;
    }
    streak
}

fn span_of(days: i64) -> String {
    match days {
        ..14 => format!("{days} days"),
        14..60 => format!("{} weeks", days / 7),
        60..MOST_DAYS => format!("{} months", days / 30),
        // Counts by day are not kept for longer than this.
        _ => format!("{} months or more", days / 30),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_usual_it_is_here_is_said_in_words() {
        let now: Timestamp = "2026-11-27T12:00:00Z".parse().unwrap();
        let today = day_of(now);
        let at = |days_ago: i64| now - jiff::SignedDuration::from_hours(24 * days_ago);
        let said = |days: &[i64], requests, first: i64| {
            let days: Vec<i64> = days.iter().map(|ago| today - ago).collect();
            here(&days, requests, at(first), now)
        };
        assert_eq!(said(&[0], 1, 0), "first seen here today");
        assert_eq!(said(&[0], 7, 0), "first seen here today, 7 times so far");
        assert_eq!(said(&[3], 1, 3), "once, on 24 November 2026");
        assert_eq!(said(&[1, 0], 5, 1), "5 times since 26 November 2026");
        assert_eq!(said(&[3, 2, 1], 9, 3), "daily for 3 days");
        let weeks: Vec<i64> = (0..22).rev().collect();
        assert_eq!(said(&weeks, 90, 21), "daily for 3 weeks");
        assert_eq!(said(&[9, 3, 2], 4, 9), "4 times since 18 November 2026");
        assert_eq!(said(&[], 4, 900), "4 times since 10 June 2024");
        assert_eq!(said(&[300], 4, 900), "4 times since 10 June 2024");
        // The requests before these days are deleted.
        assert_eq!(said(&[5], 1, 300), "once, on 22 November 2026");
        assert_eq!(said(&[9, 5], 3, 300), "3 times since 18 November 2026");
        let years: Vec<i64> = (0..MOST_DAYS).rev().collect();
        assert_eq!(said(&years, 900, 900), "daily for 13 months or more");
    }

    #[test]
    fn how_usual_it_is_elsewhere_is_said_where_it_is_known() {
        let said = [None, Some(1), Some(6), Some(16), Some(24)].map(elsewhere);
        let everybody = Some("seen by nearly everybody");
        let meant = [
            None,
            Some("seen elsewhere, too"),
            Some("common"),
            everybody,
            everybody,
        ];
        assert_eq!(said, meant);
        assert_eq!(
            grounds(Some(20)).unwrap(),
            "in at least 20 of 24 published logs"
        );
    }
}
