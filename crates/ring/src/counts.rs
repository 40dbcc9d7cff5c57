//! Counts beside the ring: requests by the minute, and connections that never sent a byte.
//!
//! In: one event at a time. Out: numbers by key. Does no I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::ring::{SILENT_KEY, minute_key};

/// How long a minute's count is kept: a day and an hour, for a chart of 24 hours.
pub const MINUTE_TTL: Duration = Duration::from_secs(25 * 60 * 60);

/// Counts beside the ring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Number of connections that never sent a byte.
    pub silent: u64,
    /// Number of requests by Unix minute.
    pub minutes: BTreeMap<i64, u64>,
}

/// One number as memcached has it.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    pub(crate) key: String,
    pub(crate) value: u64,
    /// After how many seconds memcached deletes it; 0 for never.
    pub(crate) ttl_seconds: u32,
}

impl Counts {
    /// Counts one request.
    pub fn request(&mut self, time: Timestamp) {
        *self.minutes.entry(minute_of(time)).or_default() += 1;
    }

    /// Adds `more` to these counts.
    pub fn add(&mut self, more: &Self) {
        self.silent += more.silent;
        for (&minute, &count) in &more.minutes {
            *self.minutes.entry(minute).or_default() += count;
        }
    }

    /// Removes the minutes that have expired in memcached by `now`.
    pub fn expire(&mut self, now: Timestamp) {
        let oldest = minute_of(now) - MINUTE_TTL.as_secs() as i64 / 60;
        self.minutes = self.minutes.split_off(&oldest);
    }

    /// Returns the counts with their keys.
    pub(crate) fn by_key(&self) -> Vec<Count> {
        let mut counts = vec![Count::kept(SILENT_KEY, self.silent)];
        for (&minute, &value) in &self.minutes {
            counts.push(Count {
                key: minute_key(minute),
                value,
                ttl_seconds: MINUTE_TTL.as_secs() as u32,
            });
        }
        counts
    }
}

impl Count {
    /// Returns a number that never expires.
    pub(crate) fn kept(key: &str, value: u64) -> Self {
        Self {
            key: key.to_owned(),
            value,
            ttl_seconds: 0,
        }
    }
}

/// Returns the Unix minute of a time: Unix seconds / 60.
fn minute_of(time: Timestamp) -> i64 {
    time.as_second().div_euclid(60)
}
