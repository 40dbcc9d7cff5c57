//! Thousands of requests, each on a connection of its own, like unsolicited traffic.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::LocalSet;

use crate::peer::Peer;

/// Headers of a real scanner. With the default path and without a body, the request has 100 bytes.
const HEAD: &str =
    "Host: 203.0.113.80\r\nUser-Agent: Mozilla/5.0 zgrab/0.x\r\nConnection: close\r\n";
/// Most requests in flight when they are sent at a rate. haproxy allows one source more.
const MAX_IN_FLIGHT: usize = 400;
/// Time between two checks for due requests. tokio's own timers tick only once a millisecond.
const TICK: Duration = Duration::from_micros(250);

#[derive(Args, Default)]
pub(crate) struct RequestArgs {
    /// Path of the request
    #[arg(long, default_value = "/")]
    path: String,
    /// Length of the body
    #[arg(long, default_value_t = 0)]
    body: usize,
    /// A further header, `Name: value`
    #[arg(long)]
    header: Option<String>,
}

impl RequestArgs {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let method = if self.body > 0 { "POST" } else { "GET" };
        let path = if self.path.is_empty() {
            "/"
        } else {
            &self.path
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\n{HEAD}");
        if let Some(header) = &self.header {
            request += &format!("{header}\r\n");
        }
        if self.body > 0 {
            request += &format!("Content-Length: {}\r\n", self.body);
        }
        request += "\r\n";
        request += &"x".repeat(self.body);
        request.into_bytes()
    }
}

/// The results of a load.
#[derive(Default)]
pub(crate) struct Seen {
    /// Latencies of the answered requests.
    latencies: Vec<Duration>,
    failed: u64,
    took: Duration,
}

/// The results in figures; times in microseconds.
#[derive(Serialize)]
pub(crate) struct Summary {
    requests: u64,
    failed: u64,
    seconds: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Seen {
    fn note(&mut self, answered: bool, took: Duration) {
        if answered {
            self.latencies.push(took);
        } else {
            self.failed += 1;
        }
    }

    pub(crate) fn summary(mut self) -> Summary {
        self.latencies.sort_unstable();
        Summary {
            requests: self.latencies.len() as u64 + self.failed,
            failed: self.failed,
            seconds: self.took.as_secs_f64(),
            p50: quantile(&self.latencies, 0.5),
            p99: quantile(&self.latencies, 0.99),
            p999: quantile(&self.latencies, 0.999),
            max: quantile(&self.latencies, 1.0),
        }
    }
}

/// Returns, in microseconds, the time that this share of the sorted times does not exceed; 0 where
/// there are none.
pub(crate) fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

/// Sends `requests` requests from this many clients. Each client waits for the answer before it
/// sends the next.
pub(crate) async fn by_clients(peer: &Peer, request: &[u8], requests: u64, clients: usize) -> Seen {
    let (begun, left) = (Instant::now(), Cell::new(requests));
    let seen = RefCell::new(Seen::default());
    let client = || async {
        let mut answer = Vec::new();
        while let Some(rest) = left.get().checked_sub(1) {
            left.set(rest);
            let sent = Instant::now();
            let answered = peer.exchange(request, &mut answer).await;
            seen.borrow_mut().note(answered, sent.elapsed());
        }
    };
    futures_util::future::join_all((0..clients).map(|_| client())).await;
    Seen {
        took: begun.elapsed(),
        ..seen.into_inner()
    }
}

/// Sends each request when it is due, `rate` a second. The time that a request waits to be sent
/// counts as latency.
pub(crate) async fn at_rate(peer: &Peer, request: &[u8], requests: u64, rate: u32) -> Seen {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let (peer, request) = (Rc::new(peer.clone()), Rc::<[u8]>::from(request));
    let permits = Rc::new(Semaphore::new(MAX_IN_FLIGHT));
    let mut ticks = ticks();
    let tasks = LocalSet::new();
    let begun = Instant::now();
    let sending = async {
        let due = |number: u64| begun + Duration::from_secs_f64(number as f64 / f64::from(rate));
        let mut sent = 0;
        while sent < requests {
            while sent < requests && due(sent) <= Instant::now() {
                let (peer, request, seen) =
                    (Rc::clone(&peer), Rc::clone(&request), Rc::clone(&seen));
                let (permits, due) = (Rc::clone(&permits), due(sent));
                tokio::task::spawn_local(async move {
                    let _permit = permits.acquire().await;
                    let answered = peer.exchange(&request, &mut Vec::with_capacity(256)).await;
                    seen.borrow_mut().note(answered, due.elapsed());
                });
                sent += 1;
            }
            ticks.recv().await;
        }
    };
    tasks.run_until(sending).await;
    tasks.await;
    Seen {
        took: begun.elapsed(),
        ..seen.take()
    }
}

/// Returns ticks from a thread that does nothing else, and ends when nobody receives them any more.
fn ticks() -> mpsc::Receiver<()> {
    let (tick, ticks) = mpsc::channel(1);
    std::thread::spawn(move || {
        while !tick.is_closed() {
            std::thread::sleep(TICK);
            let _ = tick.try_send(());
        }
    });
    ticks
}
