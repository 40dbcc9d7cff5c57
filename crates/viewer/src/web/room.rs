//! Room for answers on their way to visitors.
//!
//! In: how many bytes an answer has at most. Out: room for it, at once or after some time. The
//! answers that have been on their way the longest are cut to make room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::web::answer::HOME_BYTES;
use crate::web::failure::Failure;

/// Most bytes of all answers together that are on their way.
const ROOM_BYTES: usize = 20 * 1024 * 1024;
/// The part of these bytes that is reserved for short answers.
const ROOM_FOR_SHORT_BYTES: usize = 8 * 1024 * 1024;
/// An answer is short if it is no longer than `/home`.
const SHORT_BYTES: usize = HOME_BYTES;
/// An answer counts as at least this many bytes.
const MIN_BYTES: usize = 512;
/// When there is no room, an answer that has been on its way for longer than this may be cut. A
/// client that reads takes an answer in some milliseconds, or in seconds if the network is slow.
const GIVES_WAY_AFTER: Duration = Duration::from_millis(200);
/// Longest wait for room.
const ROOM_WAIT: Duration = Duration::from_secs(3);

/// There is no room for an answer, or too many answers wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too busy")]
pub(crate) struct Busy;

/// Counts the bytes that are on their way to visitors.
pub(super) struct Account {
    /// How many bytes there are.
    size: usize,
    /// The part of `size` that only short answers may take.
    for_short: usize,
    held: Mutex<Held>,
    freed: Notify,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    /// By number, so that the oldest comes first.
    places: BTreeMap<u64, Place>,
    next: u64,
}

struct Place {
    bytes: usize,
    since: Instant,
    cut: Arc<Notify>,
}

/// Room for one answer, until it is dropped.
pub(crate) struct Taken {
    account: Arc<Account>,
    number: u64,
}

impl Account {
    /// Returns room that nobody has taken.
    pub(super) fn for_all() -> Arc<Self> {
        Arc::new(Self::new(ROOM_BYTES, ROOM_FOR_SHORT_BYTES))
    }

    fn new(size: usize, for_short: usize) -> Self {
        Self {
            size,
            for_short,
            held: Mutex::default(),
            freed: Notify::new(),
        }
    }

    /// Returns how many bytes are on their way.
    pub(super) fn bytes(&self) -> usize {
        lock(&self.held).bytes
    }

    /// Takes room for an answer. `cut` is notified when its connection must end to make room.
    pub(super) async fn take(
        self: &Arc<Self>,
        bytes: usize,
        cut: &Arc<Notify>,
    ) -> Result<Taken, Busy> {
        let size = self.size
            - if bytes > SHORT_BYTES {
                self.for_short
            } else {
                0
            };
        // An answer that is longer than the whole room takes the whole room.
        let bytes = bytes.clamp(MIN_BYTES, size);
        let deadline = Instant::now() + ROOM_WAIT;
        loop {
            let freed = self.freed.notified();
            if let Some(number) = self.try_take(bytes, size, cut) {
                return Ok(Taken {
                    account: Arc::clone(self),
                    number,
                });
            }
            // Answers that are too young to be cut now may be old enough a little later.
            let again = deadline.min(Instant::now() + GIVES_WAY_AFTER / 4);
            let _ = timeout_at(again, freed).await;
            if Instant::now() >= deadline {
                return Err(Busy);
            }
        }
    }

    fn try_take(&self, bytes: usize, size: usize, cut: &Arc<Notify>) -> Option<u64> {
        let mut held = lock(&self.held);
        let mut missing = (held.bytes + bytes).saturating_sub(size);
        if missing > 0 {
            // An answer that is cut still counts until its connection has ended.
            let old = held
                .places
                .values()
                .take_while(|it| it.since.elapsed() > GIVES_WAY_AFTER);
            for place in old {
                place.cut.notify_one();
                missing = missing.saturating_sub(place.bytes);
                if missing == 0 {
                    break;
                }
            }
            return None;
        }
        let number = held.next;
        held.next += 1;
        held.bytes += bytes;
        held.places.insert(
            number,
            Place {
                bytes,
                since: Instant::now(),
                cut: Arc::clone(cut),
            },
        );
        Some(number)
    }

    /// Counts an answer as `keep` bytes from now on; with 0, not at all.
    fn recount(&self, number: u64, keep: usize) {
        let mut held = lock(&self.held);
        if let Some(place) = held.places.get_mut(&number) {
            let before = std::mem::replace(&mut place.bytes, keep);
            if keep == 0 {
                held.places.remove(&number);
            }
            held.bytes = held.bytes - before + keep;
        }
        drop(held);
        self.freed.notify_waiters();
    }
}

impl Taken {
    /// Returns bytes that hold room until the last of them is dropped. The room becomes as large as
    /// they are, even if that is more than was taken, as with an answer that repeats a long query
    /// many times.
    #[must_use]
    pub(crate) fn hold(self, bytes: impl Into<Bytes>) -> Bytes {
        struct Holding(Bytes, #[allow(dead_code)] Taken);
        impl AsRef<[u8]> for Holding {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let bytes = bytes.into();
        self.account
            .recount(self.number, bytes.len().max(MIN_BYTES));
        Bytes::from_owner(Holding(bytes, self))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.account.recount(self.number, 0);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<Busy> for Failure {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(account: &Arc<Account>, bytes: usize) -> (Result<Taken, Busy>, Arc<Notify>) {
        let cut = Arc::new(Notify::new());
        (account.take(bytes, &cut).await, cut)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_its_way_the_longest_gives_way() {
        let account = Arc::new(Account::new(10_000, 0));
        let (first, cut_first) = take(&account, 6000).await;
        tokio::time::advance(Duration::from_secs(2)).await;
        let (second, cut_second) = take(&account, 4000).await;
        // The connection of the first ends when it is cut, and with it its answer.
        let first = first.unwrap();
        tokio::spawn(async move {
            cut_first.notified().await;
            drop(first);
        });
        let (third, _) = take(&account, 6000).await;
        assert!(third.is_ok() && second.is_ok());
        let was_cut = timeout_at(Instant::now(), cut_second.notified()).await;
        assert!(was_cut.is_err(), "the second was young");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let account = Arc::new(Account::new(10_000, 0));
        let (_all, _) = take(&account, 1_000_000).await;
        let start = Instant::now();
        assert!(take(&account, 1).await.0.is_err());
        assert_eq!(start.elapsed(), ROOM_WAIT);
    }

    #[tokio::test]
    async fn bytes_hold_their_room_until_the_last_of_them_has_gone() {
        let account = Arc::new(Account::new(10_000, 0));
        let held = take(&account, 9000).await.0.unwrap().hold(vec![0; 2000]);
        let part = held.slice(..10);
        drop(held);
        assert_eq!(lock(&account.held).bytes, 2000);
        drop(part);
        assert_eq!(lock(&account.held).bytes, 0);
        assert!(lock(&account.held).places.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_got_longer_than_was_said_counts_as_it_is() {
        let account = Arc::new(Account::new(10_000, 0));
        let long = take(&account, 1000).await.0.unwrap().hold(vec![0; 9500]);
        assert!(take(&account, 1000).await.0.is_err());
        drop(long);
        assert!(take(&account, 10_000).await.0.is_ok());
    }
}
