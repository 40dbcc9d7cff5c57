//! What is done after a failure: a line in the log if the failure differs from the last one, and a
//! pause that grows.

use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

/// The first and the longest pause after a failure. Pauses double in between. A thousand sensors
/// that wait for a server ask 50 times a second.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The last failure of something, and the next pause.
pub struct Patience {
    what: &'static str,
    pause: Duration,
    last: LastSaid,
}

/// The last message that was logged, so that a repeated one is logged once.
#[derive(Debug, Default)]
pub(crate) struct LastSaid(String);

impl LastSaid {
    /// Tells whether a message differs from the last one, and remembers it. Digits are not
    /// compared: an error with a time or a port in it would be a line for each attempt.
    pub(crate) fn is_new(&mut self, text: &str) -> bool {
        let words: String = text.chars().filter(|c| !c.is_ascii_digit()).collect();
        let is_new = self.0 != words;
        self.0 = words;
        is_new
    }
}

impl Patience {
    /// Begins with the shortest pause. `what` is what failed, in words.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            pause: FIRST_PAUSE,
            last: LastSaid::default(),
        }
    }

    /// Logs a failure, unless the last one was the same, and waits. `worked` is the time without
    /// failure before; if that is longer than the pause that is due, the pauses start again with
    /// the shortest.
    pub async fn wait(&mut self, error: &anyhow::Error, worked: Duration) {
        if worked > self.pause {
            self.pause = FIRST_PAUSE;
        }
        if worked > LONGEST_PAUSE {
            self.last = LastSaid::default();
        }
        let error = format!("{error:#}");
        if self.last.is_new(&error) {
            warn!(error, "{}; it is tried again", self.what);
        }
        sleep(self.pause).await;
        self.pause = next(self.pause);
    }
}

fn next(pause: Duration) -> Duration {
    (pause * 2).min(LONGEST_PAUSE)
}

/// Returns the pause before the next attempt, from the number of attempts that failed.
#[must_use]
pub(crate) fn pause_after(attempts: usize) -> Duration {
    (1..attempts.min(16)).fold(FIRST_PAUSE, |pause, _| next(pause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_by_a_number_was_said() {
        let mut last = LastSaid::default();
        assert!(last.is_new("expired 1795833605 s"));
        assert!(!last.is_new("expired 1795833606 s"));
        assert!(last.is_new("no route"));
        assert!(last.is_new("expired 1795833607 s"));
    }

    #[test]
    fn attempts_become_rare_and_stay_so() {
        assert_eq!(pause_after(0), FIRST_PAUSE);
        assert_eq!(pause_after(1), FIRST_PAUSE);
        assert_eq!(pause_after(3), FIRST_PAUSE * 4);
        assert_eq!(pause_after(usize::MAX), LONGEST_PAUSE);
    }
}
