//! What the reader's thread and those who ask it tell each other beside the views.
//!
//! In: that somebody asks; that memcached was looked at. Out: when to look again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

/// For this long, memcached is not asked again, however many visitors ask. Shorter than the time
/// in which a client that has its answer can open the page.
const FRESH: Duration = Duration::from_millis(10);
/// Longest wait for a look, which takes a fraction of a millisecond where nothing is to be
/// described.
const LOOK_TIME: Duration = Duration::from_millis(25);

/// When a visitor last asked, and when memcached was last looked at.
pub(super) struct Pulse {
    start: Instant,
    /// Milliseconds after the start, from 1.
    asked: AtomicU64,
    looked: AtomicU64,
    /// How often the counters, and the slots that lacked something, were read.
    deep_looks: AtomicU64,
    /// How many looks of any kind have ended.
    ended_looks: AtomicU64,
    /// How many are told of each view.
    watching: AtomicU64,
    /// All is described, and nothing is being looked at.
    is_resting: AtomicBool,
    wake: Notify,
    has_looked: Notify,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            asked: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            deep_looks: AtomicU64::new(0),
            ended_looks: AtomicU64::new(0),
            watching: AtomicU64::new(0),
            is_resting: AtomicBool::new(false),
            wake: Notify::new(),
            has_looked: Notify::new(),
        }
    }

    /// Says that somebody asks, and has a reader that rests look again: who has just sent a request
    /// wants to see it.
    pub(super) async fn ask(&self) {
        self.touch(&self.asked);
        if self.is_resting.load(Relaxed) && self.since_look() >= FRESH {
            let has_looked = self.has_looked.notified();
            self.wake.notify_one();
            let _ = timeout(LOOK_TIME, has_looked).await;
        }
    }

    /// Says that memcached was looked at.
    pub(super) fn look_ended(&self) {
        self.touch(&self.looked);
        self.ended_looks.fetch_add(1, Relaxed);
        self.has_looked.notify_waiters();
    }

    /// Says that the counters, and the slots that lacked something, were read.
    pub(super) fn count_deep_look(&self) {
        self.deep_looks.fetch_add(1, Relaxed);
    }

    /// Says how many are told of each view.
    pub(super) fn count_watching(&self, watching: usize) {
        self.watching.store(watching as u64, Relaxed);
    }

    pub(super) fn watching(&self) -> u64 {
        self.watching.load(Relaxed)
    }

    /// Returns how many looks have ended. The second that ends from now on has begun after now.
    pub(super) fn ended_looks(&self) -> u64 {
        self.ended_looks.load(Relaxed)
    }

    pub(super) fn deep_looks(&self) -> u64 {
        self.deep_looks.load(Relaxed)
    }

    /// Rests for so long, or until somebody asks.
    pub(super) async fn rest(&self, longest: Duration) {
        self.is_resting.store(true, Relaxed);
        let _ = timeout(longest, self.wake.notified()).await;
        self.is_resting.store(false, Relaxed);
    }

    pub(super) fn since_look(&self) -> Duration {
        self.since(&self.looked)
    }

    pub(super) fn since_question(&self) -> Duration {
        self.since(&self.asked)
    }

    fn touch(&self, moment: &AtomicU64) {
        moment.store(self.start.elapsed().as_millis() as u64 + 1, Relaxed);
    }

    fn since(&self, moment: &AtomicU64) -> Duration {
        let at = Duration::from_millis(moment.load(Relaxed).saturating_sub(1));
        self.start.elapsed().saturating_sub(at)
    }
}
