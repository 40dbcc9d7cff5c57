//! What visitors may take: turns at what is made for one of them alone, and room for answers on
//! their way.
//!
//! In: who asks, and for how much. Out: leave to go on, later, or never. Whatever visitors do,
//! `/home` and the health check need nothing from here but room, and what has stayed in it the
//! longest makes room for them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::metrics::VisitorsNow;
use crate::web::prepared::takes_gzip;
use crate::web::room::{Busy, Room, Taken, lock};
use crate::web::state::Viewer;

/// Threads for what is made for one visitor. What is made there takes memory, so not one for each
/// core.
pub const THREADS: usize = 2;
/// How much lower the priority of those threads is, where all share a core.
const NICENESS: i32 = 10;
/// Answers of one source that may be made, or be in the queue of all, at a time: its others wait
/// behind that one, so sources take turns.
const TURNS_OF_SOURCE: usize = 1;
/// Most answers that wait: of one source, and of all.
const WAITING_OF_SOURCE: usize = 16;
const WAITING: usize = 256;
/// Shortest time between two long events, to whomever.
const LONG_EVENT_INTERVAL: Duration = Duration::from_millis(10);
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

impl Limits {
    /// Nobody has taken anything.
    #[must_use]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            turns: Arc::new(Semaphore::new(THREADS)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            long_event: tokio::sync::Mutex::default(),
            sources: Mutex::default(),
            room: Room::for_all(),
        })
    }

    /// Returns how many look and wait, beside so many who watch.
    pub(crate) fn now(&self, watching: u64) -> VisitorsNow {
        VisitorsNow {
            watching,
            waiting: WAITING.saturating_sub(self.waiting.available_permits()) as u64,
            answer_bytes: self.room.bytes() as u64,
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

/// Lowers the priority of the calling thread, which works for visitors.
pub fn lower_priority() {
    // A thread whose priority cannot be lowered does the same work.
    let _ = rustix::process::nice(NICENESS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_is_an_address_or_a_network() {
        let customer = |ip: &str| customer(ip.parse().unwrap()).to_string();
        assert_eq!(customer("203.0.113.7"), "203.0.113.7");
        assert_eq!(customer("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(customer("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
