//! The signals between the reader's thread and visitors, beside the views.
//!
//! In: a visitor asks; a look has ended. Out: when to look again.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

/// For this long after a look, visitors do not cause another one, however many ask. After its
/// answer, hardly any client can open the page within this time over a network.
const FRESH: Duration = Duration::from_millis(10);
/// Longest wait of a visitor for a look. A look takes a fraction of a millisecond if nothing must
/// be described.
const LOOK_TIME: Duration = Duration::from_millis(25);

/// When a visitor last asked, when a look last ended, and counts of looks.
pub(super) struct Pulse {
    start: Instant,
    /// When a visitor last asked: 1 plus the milliseconds since the start; 0 before.
    asked: AtomicU64,
    /// When a look last ended, in the same form as `asked`.
    looked: AtomicU64,
    /// How many looks read the counters and incomplete slots, not only the cursor.
    deep_looks: AtomicU64,
    /// How many looks of any kind have ended.
    ended_looks: AtomicU64,
    /// How many visitors get each new view.
    watching: AtomicU64,
    /// The reader pauses between two looks: all is described.
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

    /// Notes that a visitor asks, and has a resting reader look at once: a visitor who has just
    /// sent a request wants to see it. Waits for that look, but not for long.
    pub(super) async fn ask(&self) {
        self.touch(&self.asked);
        if self.is_resting.load(Relaxed) && self.since_look() >= FRESH {
            let has_looked = self.has_looked.notified();
            self.wake.notify_one();
            let _ = timeout(LOOK_TIME, has_looked).await;
        }
    }

    /// Notes that a look has ended.
    pub(super) fn look_ended(&self) {
        self.touch(&self.looked);
        self.ended_looks.fetch_add(1, Relaxed);
        self.has_looked.notify_waiters();
    }

    /// Counts a look that read the counters and incomplete slots, not only the cursor.
    pub(super) fn count_deep_look(&self) {
        self.deep_looks.fetch_add(1, Relaxed);
    }

    /// Notes how many visitors get each new view.
    pub(super) fn count_watching(&self, watching: usize) {
        self.watching.store(watching as u64, Relaxed);
    }

    pub(super) fn watching(&self) -> u64 {
        self.watching.load(Relaxed)
    }

    /// Returns how many looks have ended. A look may be running now, so only the second look that
    /// ends after this call surely began after it.
    pub(super) fn ended_looks(&self) -> u64 {
        self.ended_looks.load(Relaxed)
    }

    pub(super) fn deep_looks(&self) -> u64 {
        self.deep_looks.load(Relaxed)
    }

    /// Rests for `longest`, or until a visitor asks.
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
