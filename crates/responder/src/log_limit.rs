//! Limits how often an event is logged.
//!
//! In: an event that any client can cause. Out: whether to log it, and how many were not logged.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Shortest time between two log lines of one limiter.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Lets one event in ten seconds through and counts the others.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

impl LogLimit {
    /// Returns how many events were not logged since the last line; `None` if this event must not
    /// be logged either.
    pub(crate) fn check(&self) -> Option<u64> {
        let mut state = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if state
            .last
            .is_some_and(|last| last.elapsed() < BETWEEN_LINES)
        {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line() {
        let limit = LogLimit::default();
        assert_eq!(limit.check(), Some(0));
        assert_eq!((0..1000).filter_map(|_| limit.check()).count(), 0);
        let long_ago = Instant::now().checked_sub(BETWEEN_LINES);
        limit.0.lock().unwrap().last = long_ago;
        assert_eq!(limit.check(), Some(1000));
    }
}
