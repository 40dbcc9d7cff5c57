//! What visitors may take: turns, and room. With a turn, an answer is made for one visitor alone (a
//! turn of the recorder is something else). Room is memory for answers on their way.
//!
//! In: a visitor, and the length of the answer. Out: a turn or room, at once or later, or `Busy`.
//! `/home` without a query and the health check need no turn, and the health check needs no room
//! either. If there is no room for an answer, the answers that have been on their way the longest
//! are cut.

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
use crate::web::room::{Account, Busy, Taken, lock};
use crate::web::state::Viewer;

/// Threads that make answers for single visitors. They are few, not one for each core, because each
/// answer takes memory.
pub const THREADS: usize = 2;
/// How much is added to the nice value of those threads: they give way to other threads of the same
/// core.
const NICENESS: i32 = 10;
/// How many answers of one source may be made, or wait in the common queue, at a time. Further
/// answers of the source wait until that answer is made, so the sources take turns.
const TURNS_OF_SOURCE: usize = 1;
/// Most answers of one source that wait, or are being made.
const WAITING_OF_SOURCE: usize = 16;
/// Most answers of all sources that wait, or are being made.
const WAITING: usize = 256;
/// Shortest time between two long events, over all watchers.
const LONG_EVENT_INTERVAL: Duration = Duration::from_millis(10);
/// When this many sources are known, those without a visitor are forgotten.
const SOURCES: usize = 256;

/// The turns and the room, which all visitors share.
pub(crate) struct Limits {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    long_event: tokio::sync::Mutex<()>,
    sources: Mutex<HashMap<IpAddr, Arc<Source>>>,
    account: Arc<Account>,
}

/// The turns of one source.
struct Source {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// The connection on which a request came.
#[derive(Clone)]
pub(crate) struct Connection {
    /// The other end: haproxy, as a rule.
    pub(crate) peer: IpAddr,
    /// Ends the connection.
    pub(crate) cut: Arc<Notify>,
}

/// The visitor who sent a request.
#[derive(Clone)]
pub(crate) struct Visitor {
    /// The visitor accepts gzip.
    pub(crate) takes_gzip: bool,
    /// The visitor's address.
    pub(crate) ip: IpAddr,
    limits: Arc<Limits>,
    source: Arc<Source>,
    connection: Connection,
}

impl Limits {
    /// Returns limits of which nothing is taken.
    #[must_use]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            turns: Arc::new(Semaphore::new(THREADS)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            long_event: tokio::sync::Mutex::default(),
            sources: Mutex::default(),
            account: Account::for_all(),
        })
    }

    /// Returns the numbers for the metrics: `watching` as given, the answers that wait or are being
    /// made, and the bytes for which room is taken.
    pub(crate) fn now(&self, watching: u64) -> VisitorsNow {
        VisitorsNow {
            watching,
            waiting: WAITING.saturating_sub(self.waiting.available_permits()) as u64,
            answer_bytes: self.account.bytes() as u64,
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
    /// Runs `make` on another thread when it is this visitor's turn. Does not run it if the visitor
    /// has gone by then. Returns what it made, and room for `most_bytes` bytes.
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

    /// Does what [`make`](Self::make) does, for the next piece of an answer that has begun. The
    /// number of pieces that wait is not checked: connections bound it.
    ///
    /// # Errors
    /// There is no room for some seconds.
    ///
    /// # Panics
    /// `make` panics.
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
            // The turns are held until the work is done, even if the visitor has gone.
            let _until_done = (own, turn);
            make()
        };
        match spawn_blocking(work).await {
            Ok(made) => Ok((made, taken)),
            Err(error) => resume_unwind(error.into_panic()),
        }
    }

    /// Waits until an event of more than some kB may be made for this visitor. Only one is made at
    /// a time, until the returned guard is dropped: hundreds of watchers may each want the same
    /// half megabyte, again and again.
    pub(crate) async fn long_event(&self) -> impl Drop + '_ {
        let turn = self.limits.long_event.lock().await;
        sleep(LONG_EVENT_INTERVAL).await;
        turn
    }

    /// Takes room for an answer of `bytes` bytes. If there is none, the answers that have been on
    /// their way the longest are cut.
    ///
    /// # Errors
    /// There is no room for some seconds.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Taken, Busy> {
        self.limits.account.take(bytes, &self.connection.cut).await
    }

    /// Takes room for these bytes. Returns bytes that hold the room until the last of them is
    /// dropped.
    ///
    /// # Errors
    /// There is no room for some seconds.
    pub(crate) async fn hold(&self, bytes: Bytes) -> Result<Bytes, Busy> {
        Ok(self.room(bytes.len()).await?.hold(bytes))
    }
}

impl FromRequestParts<Arc<Viewer>> for Visitor {
    type Rejection = Infallible;

    /// Takes the visitor's address from the end of the last `X-Forwarded-For`, which haproxy
    /// writes; without it, from the connection.
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
        let ip = forwarded
            .and_then(|ip| ip.trim().parse().ok())
            .unwrap_or(connection.peer);
        Ok(Self {
            takes_gzip: takes_gzip(&parts.headers),
            ip,
            limits: Arc::clone(&viewer.limits),
            source: viewer.limits.source(source_of(ip)),
            connection,
        })
    }
}

/// Returns the address by which a visitor's source is limited: the IPv4 address, or the first of
/// the /64 network of IPv6.
fn source_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

/// Lowers the priority of the calling thread, which makes answers for visitors.
pub fn lower_priority() {
    // If the priority cannot be lowered, the thread works all the same.
    let _ = rustix::process::nice(NICENESS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_or_a_network() {
        let source = |ip: &str| source_of(ip.parse().unwrap()).to_string();
        assert_eq!(source("203.0.113.7"), "203.0.113.7");
        assert_eq!(source("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(source("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
