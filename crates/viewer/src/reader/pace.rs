//! Measures how fast requests come. If all requests are to be kept, the pace decides how often the
//! reader looks.

use std::time::{Duration, Instant};

use forever200_ring::SLOTS;

/// Requests a second at which the reader looks at least as often as while somebody watches. With
/// fewer, the reader sees all of them anyway. With more, the ring rolls over between two looks,
/// however often the reader looks.
const FAST_RATES: std::ops::Range<f64> = 100.0..2500.0;
/// How long a fast pace lasts after the last fast rate was measured.
const PACE_TIME: Duration = Duration::from_secs(2);
/// With this many new requests in one look, the pace is fast before a rate is measured: a fifth of
/// the ring.
const MANY_AT_ONCE: u64 = SLOTS / 5;
/// Shortest time over which a rate is measured.
const MEASURE_TIME: Duration = Duration::from_millis(200);

/// How fast requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// The ring lasts from one look to the next.
    Calm,
    /// With describing, one look and the pause after it may take longer than the ring lasts: the
    /// pause is short.
    Fast,
    /// Requests are lost either way. Fast looks would only take CPU time from the responders.
    Flood,
}

/// Measures the pace.
pub(super) struct Rate {
    /// The cursor of the last look.
    seen: u64,
    /// The cursor when the rate was last measured.
    measured: (u64, Instant),
    /// How fast requests came, and when that was measured.
    pace: (Pace, Instant),
}

impl Rate {
    /// Begins at this cursor.
    pub(super) fn new(cursor: u64) -> Self {
        Self {
            seen: cursor,
            measured: (cursor, Instant::now()),
            pace: (Pace::Calm, Instant::now()),
        }
    }

    /// Returns the pace. A fast pace lasts a while, because rates go up and down from one
    /// measurement to the next.
    pub(super) fn pace(&self) -> Pace {
        let (pace, at) = self.pace;
        if at.elapsed() < PACE_TIME {
            pace
        } else {
            Pace::Calm
        }
    }

    /// Measures the pace with the cursor of a new look.
    pub(super) fn measure(&mut self, cursor: u64) {
        let new = cursor.saturating_sub(self.seen);
        self.seen = cursor;
        if new >= MANY_AT_ONCE && self.pace() == Pace::Calm {
            self.pace = (Pace::Fast, Instant::now());
        }
        if self.measured.1.elapsed() < MEASURE_TIME {
            return;
        }
        let (last, at) = std::mem::replace(&mut self.measured, (cursor, Instant::now()));
        let new = cursor.saturating_sub(last) as f64;
        let rate = new / at.elapsed().as_secs_f64().max(0.001);
        if rate >= FAST_RATES.end {
            self.pace = (Pace::Flood, Instant::now());
        } else if FAST_RATES.contains(&rate) {
            self.pace = (Pace::Fast, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_are_fast_at_once() {
        let mut rate = Rate::new(1000);
        rate.measure(1000 + MANY_AT_ONCE - 1);
        assert_eq!(rate.pace(), Pace::Calm);
        rate.measure(1000 + 2 * MANY_AT_ONCE);
        assert_eq!(rate.pace(), Pace::Fast);
    }
}
