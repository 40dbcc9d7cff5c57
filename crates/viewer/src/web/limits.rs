//! What visitors may take: turns at what is made for one of them alone, and room for answers on
//! their way.
//!
//! In: who asks, and for how much. Out: leave to go on, later, or never. Whatever visitors do,
//! `/home` and the health check need nothing from here but room, and what has stayed in it the
//! longest makes room for them.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};

use crate::metrics::VisitorsNow;
use crate::web::failure::Failure;
use crate::web::prepared::takes_gzip;
use crate::web::state::Viewer;

/// Threads for what is made for one visitor. What is made there takes memory, so not one for each
/// core.
pub const TURNS: usize = 2;
/// How far those threads stand back where all share a core.
const NICENESS: i32 = 10;
/// Turns that one source may have or wait for at a time. Sources take turns with each other.
const TURNS_OF_SOURCE: usize = 1;
/// Most answers that wait for a turn: of one source, and of all.
const WAITING_OF_SOURCE: usize = 16;
const WAITING: usize = 256;
/// Shortest time between two long events, to whomever.
const LONG_EVENT_INTERVAL: Duration = Duration::from_millis(10);
/// What all answers that are on their way may take together, in bytes.
pub(crate) const ROOM_BYTES: usize = 20 * 1024 * 1024;
/// A part of it is for answers that are no longer than `/home` is.
const ROOM_FOR_SHORT_BYTES: usize = 8 * 1024 * 1024;
const SHORT_BYTES: usize = 512 * 1024;
/// Bytes in which an answer counts at least.
const MIN_BYTES: usize = 512;
/// An answer that has been on its way for this long gives way to others when there is no room. Who
/// reads takes it in some milliseconds, or in seconds where the network is slow.
const GIVES_WAY_AFTER: Duration = Duration::from_millis(200);
/// Longest wait for room.
const ROOM_WAIT: Duration = Duration::from_secs(3);
/// Sources that are remembered before those who have gone are forgotten.
const SOURCES: usize = 256;

/// What all visitors share.
pub(crate) struct Limits {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    long_event: tokio::sync::Mutex<()>,
    sources: Mutex<HashMap<IpAddr, Arc<Source>>>,
    room: Arc<Room>,
}

/// What one source has of it.
struct Source {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// One connection to the viewer, as its requests know it.
#[derive(Clone)]
pub(crate) struct Connection {
    /// The other end: haproxy, as a rule.
    pub(crate) peer: IpAddr,
    /// Ends the connection.
    pub(crate) cut: Arc<Notify>,
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// The answer may come by gzip.
    pub(crate) takes_gzip: bool,
    /// The visitor's address.
    pub(crate) ip: IpAddr,
    limits: Arc<Limits>,
    source: Arc<Source>,
    connection: Connection,
}

/// There is no room for what was asked, or too many wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too busy")]
pub(crate) struct Busy;

/// Counts the bytes that are on their way to visitors.
struct Room {
    /// Bytes that there are, and those of them that are for short answers.
    size: usize,
    for_short: usize,
    held: Mutex<Held>,
    freed: Notify,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    /// In the order in which they came.
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
    room: Arc<Room>,
    number: u64,
}

impl Limits {
    /// Nobody has taken anything.
    #[must_use]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            turns: Arc::new(Semaphore::new(TURNS)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            long_event: tokio::sync::Mutex::default(),
            sources: Mutex::default(),
            room: Arc::new(Room::new(ROOM_BYTES, ROOM_FOR_SHORT_BYTES)),
        })
    }

    /// Returns how many look and wait, beside so many who watch.
    pub(crate) fn now(&self, watching: u64) -> VisitorsNow {
        VisitorsNow {
            watching,
            waiting: WAITING.saturating_sub(self.waiting.available_permits()) as u64,
            answer_bytes: lock(&self.room.held).bytes as u64,
        }
    }

    fn source(&self, ip: IpAddr) -> Arc<Source> {
        let mut sources = lock(&self.sources);
        if sources.len() >= SOURCES {
            sources.retain(|_, source| Arc::strong_count(source) > 1);
        }
        let new = || {
            Arc::new(Source {
                turns: Arc::new(Semaphore::new(TURNS_OF_SOURCE)),
                waiting: Arc::new(Semaphore::new(WAITING_OF_SOURCE)),
            })
        };
        Arc::clone(sources.entry(ip).or_insert_with(new))
    }
}

impl Visitor {
    /// Makes an answer of at most so many bytes on another thread, when it is this visitor's turn;
    /// not at all once the visitor has gone. Returns room for it as well.
    ///
    /// # Errors
    /// Too many wait already, or there is no room for some seconds.
    pub(crate) async fn make<T: Send + 'static>(
        &self,
        most_bytes: usize,
        make: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Taken), Busy> {
        let _waits = self.source.waiting.try_acquire().map_err(|_| Busy)?;
        let _among_all = self.limits.waiting.try_acquire().map_err(|_| Busy)?;
        self.make_next(most_bytes, make).await
    }

    /// The same for the next piece of an answer that has begun: how many of these wait is bounded
    /// by their connections.
    ///
    /// # Errors
    /// There is no room for some seconds.
    ///
    /// # Panics
    /// `make` does.
    pub(crate) async fn make_next<T: Send + 'static>(
        &self,
        most_bytes: usize,
        make: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Taken), Busy> {
        let never_closed = "nobody closes a semaphore";
        let own = Arc::clone(&self.source.turns)
            .acquire_owned()
            .await
            .expect(never_closed);
        let taken = self.room(most_bytes).await?;
        let turn = Arc::clone(&self.limits.turns)
            .acquire_owned()
            .await
            .expect(never_closed);
        let work = move || {
            // Also when nobody waits for it any more.
            let _until_done = (own, turn);
            make()
        };
        match spawn_blocking(work).await {
            Ok(made) => Ok((made, taken)),
            Err(error) => resume_unwind(error.into_panic()),
        }
    }

    /// Waits until it is this visitor's turn for an event of more than some kB. Hundreds of
    /// watchers may each want the same half megabyte, again and again.
    pub(crate) async fn long_event(&self) -> impl Drop + '_ {
        let turn = self.limits.long_event.lock().await;
        sleep(LONG_EVENT_INTERVAL).await;
        turn
    }

    /// Takes room for an answer of so many bytes. Where there is none, those that have been on
    /// their way the longest are cut.
    ///
    /// # Errors
    /// There is no room for some seconds.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Taken, Busy> {
        self.limits.room.take(bytes, &self.connection.cut).await
    }

    /// Returns bytes that hold room until the last of them has gone.
    ///
    /// # Errors
    /// There is no room for some seconds.
    pub(crate) async fn hold(&self, bytes: Bytes) -> Result<Bytes, Busy> {
        Ok(self.room(bytes.len()).await?.hold(bytes))
    }
}

impl FromRequestParts<Arc<Viewer>> for Visitor {
    type Rejection = Infallible;

    /// The source is what haproxy says in the last `X-Forwarded-For`, where it says something.
    async fn from_request_parts(
        parts: &mut Parts,
        viewer: &Arc<Viewer>,
    ) -> Result<Self, Self::Rejection> {
        let connection = parts
            .extensions
            .get::<Connection>()
            .cloned()
            .unwrap_or(Connection {
                peer: Ipv6Addr::UNSPECIFIED.into(),
                cut: Arc::default(),
            });
        let forwarded = parts.headers.get_all("x-forwarded-for").iter().next_back();
        let forwarded = forwarded.and_then(|list| list.to_str().ok()?.rsplit(',').next());
        let source = forwarded
            .and_then(|ip| ip.trim().parse().ok())
            .unwrap_or(connection.peer);
        Ok(Self {
            takes_gzip: takes_gzip(&parts.headers),
            ip: source,
            limits: Arc::clone(&viewer.limits),
            source: viewer.limits.source(customer(source)),
            connection,
        })
    }
}

/// What one customer has: an IPv4 address, or a network of IPv6.
fn customer(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

impl Room {
    fn new(size: usize, for_short: usize) -> Self {
        Self {
            size,
            for_short,
            held: Mutex::default(),
            freed: Notify::new(),
        }
    }

    async fn take(self: &Arc<Self>, bytes: usize, cut: &Arc<Notify>) -> Result<Taken, Busy> {
        let size = self.size
            - if bytes > SHORT_BYTES {
                self.for_short
            } else {
                0
            };
        // What is larger than all there is takes all there is.
        let bytes = bytes.clamp(MIN_BYTES, size);
        let deadline = Instant::now() + ROOM_WAIT;
        loop {
            let freed = self.freed.notified();
            if let Some(number) = self.try_take(bytes, size, cut) {
                return Ok(Taken {
                    room: Arc::clone(self),
                    number,
                });
            }
            // Those that are too young to give way are asked again a little later.
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
            // They are counted until they have really gone.
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

    fn give_back(&self, number: u64, keep: usize) {
        let mut held = lock(&self.held);
        if let Some(place) = held.places.get_mut(&number) {
            let less = place.bytes.saturating_sub(keep);
            place.bytes -= less;
            if keep == 0 {
                held.places.remove(&number);
            }
            held.bytes -= less;
        }
        drop(held);
        self.freed.notify_waiters();
    }
}

impl Taken {
    /// Returns bytes that hold this room, no more of it than they need, until the last of them has
    /// gone.
    #[must_use]
    pub(crate) fn hold(self, bytes: impl Into<Bytes>) -> Bytes {
        struct Holding(Bytes, #[allow(dead_code)] Taken);
        impl AsRef<[u8]> for Holding {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let bytes = bytes.into();
        self.room.give_back(self.number, bytes.len().max(MIN_BYTES));
        Bytes::from_owner(Holding(bytes, self))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.give_back(self.number, 0);
    }
}

/// Makes the calling thread one that works for visitors.
pub fn stand_back() {
    // Not being nice is no failure.
    let _ = rustix::process::nice(NICENESS);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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

    async fn take(room: &Arc<Room>, bytes: usize) -> (Result<Taken, Busy>, Arc<Notify>) {
        let cut = Arc::new(Notify::new());
        (room.take(bytes, &cut).await, cut)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_on_its_way_the_longest_gives_way() {
        let room = Arc::new(Room::new(10_000, 0));
        let (first, cut_first) = take(&room, 6000).await;
        tokio::time::advance(Duration::from_secs(2)).await;
        let (second, cut_second) = take(&room, 4000).await;
        // The connection of the first ends when it is cut, and with it its answer.
        let first = first.unwrap();
        tokio::spawn(async move {
            cut_first.notified().await;
            drop(first);
        });
        let (third, _) = take(&room, 6000).await;
        assert!(third.is_ok() && second.is_ok());
        let was_cut = timeout_at(Instant::now(), cut_second.notified()).await;
        assert!(was_cut.is_err(), "the second was young");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let room = Arc::new(Room::new(10_000, 0));
        let (_all, _) = take(&room, 1_000_000).await;
        let start = Instant::now();
        assert!(take(&room, 1).await.0.is_err());
        assert_eq!(start.elapsed(), ROOM_WAIT);
    }

    #[tokio::test]
    async fn bytes_hold_their_room_until_the_last_of_them_has_gone() {
        let room = Arc::new(Room::new(10_000, 0));
        let held = take(&room, 9000).await.0.unwrap().hold(vec![0; 2000]);
        let part = held.slice(..10);
        drop(held);
        assert_eq!(lock(&room.held).bytes, 2000);
        drop(part);
        assert_eq!(lock(&room.held).bytes, 0);
        assert!(lock(&room.held).places.is_empty());
    }

    #[test]
    fn a_customer_is_an_address_or_a_network() {
        let customer = |ip: &str| customer(ip.parse().unwrap()).to_string();
        assert_eq!(customer("203.0.113.7"), "203.0.113.7");
        assert_eq!(customer("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(customer("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
