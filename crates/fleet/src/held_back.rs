//! Sensors that are held back because their messages ended the connection again and again. The
//! others go on.
//!
//! In: the sensors whose messages had invalid headers. Out: whether a sensor must not be read now.
//! Each pause is longer than the one before.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::sensor::Sensor;

/// How often the messages of a sensor may end the connection before it has to wait.
const FREE: u32 = 3;
/// The first pause, which doubles each time, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

/// The sensors whose messages ended the connection.
#[derive(Clone, Default)]
pub(crate) struct HeldBack(HashMap<Sensor, Pause>);

/// How often a sensor's messages ended the connection, and until when the sensor is held back.
#[derive(Clone, Copy)]
struct Pause {
    times: u32,
    until: Instant,
}

impl HeldBack {
    /// Notes that messages of a sensor ended the connection.
    pub(crate) fn add(&mut self, sensor: Sensor) {
        let now = Instant::now();
        // A sensor is forgotten when its pause has been over for long enough.
        self.0.retain(|_, pause| now < pause.until + LONGEST_PAUSE);
        let pause = self.0.entry(sensor).or_insert(Pause {
            times: 0,
            until: now,
        });
        pause.times += 1;
        pause.until = now + length(pause.times);
    }

    /// Tells whether a sensor must not be read now.
    pub(crate) fn holds(&self, sensor: &Sensor) -> bool {
        let pause = self.0.get(sensor);
        pause.is_some_and(|pause| Instant::now() < pause.until)
    }
}

fn length(times: u32) -> Duration {
    match times.checked_sub(FREE + 1) {
        Some(doublings) => LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.pow(doublings.min(16))),
        None => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_ends_the_connection_again_and_again_waits_ever_longer() {
        let (mut held_back, one): (_, Sensor) = (HeldBack::default(), "one".parse().unwrap());
        for _ in 0..FREE {
            held_back.add(one.clone());
            assert!(!held_back.holds(&one));
        }
        held_back.add(one.clone());
        advance(FIRST_PAUSE - Duration::from_millis(1)).await;
        assert!(held_back.holds(&one) && !held_back.holds(&"two".parse().unwrap()));
        advance(Duration::from_millis(1)).await;
        assert!(!held_back.holds(&one));
        for _ in 0..20 {
            held_back.add(one.clone());
        }
        advance(LONGEST_PAUSE - Duration::from_millis(1)).await;
        assert!(held_back.holds(&one));
        advance(LONGEST_PAUSE + Duration::from_millis(1)).await;
        held_back.add(one.clone());
        assert!(!held_back.holds(&one), "what was long ago is forgotten");
    }
}
