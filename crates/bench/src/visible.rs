//! Measures the time from the answer to a request until the request is seen.
//!
//! A record's number is the count of requests up to it. So the API shows all answered requests when
//! its `total` has reached the number of answers. That holds at full load too, when the ring is
//! rolled over many times a second.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::load::{RequestArgs, quantile};
use crate::peer::Peer;
use crate::watch::{Watched, number, watch};

/// Time between two polls of the API, so that the polls are not the load.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Time between two requests where there is no load.
const REQUEST_INTERVAL: Duration = Duration::from_millis(50);
const LIST: &[u8] =
    b"GET /home/api/requests?limit=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// The results; times in microseconds.
#[derive(Serialize)]
pub(crate) struct Visible {
    answered: u64,
    looks: usize,
    api_p50: f64,
    api_p99: f64,
    api_max: f64,
    events: Watched,
}

/// Sends requests, polls the API and watches the event stream at the same time.
pub(crate) async fn visible(
    peer: SocketAddr,
    clients: usize,
    time: Duration,
) -> anyhow::Result<Visible> {
    let until = Instant::now() + time;
    let (answered, delays) = (Cell::new(0), RefCell::new(Vec::new()));
    let before = total(peer).await?;
    let (sender_count, pause) = if clients > 0 {
        (clients, Duration::ZERO)
    } else {
        (1, REQUEST_INTERVAL)
    };
    let sending = futures_util::future::join_all(
        (0..sender_count).map(|_| send(peer, until, pause, &answered)),
    );
    let polling = async {
        while Instant::now() < until {
            let (asked, known) = (Instant::now(), before + answered.get());
            while total(peer).await? < known {}
            delays.borrow_mut().push(asked.elapsed());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        anyhow::Ok(())
    };
    let (_, polled, events) = tokio::join!(sending, polling, watch(peer, 1, time));
    polled?;
    let mut delays = delays.into_inner();
    delays.sort_unstable();
    Ok(Visible {
        answered: answered.get(),
        looks: delays.len(),
        api_p50: quantile(&delays, 0.5),
        api_p99: quantile(&delays, 0.99),
        api_max: quantile(&delays, 1.0),
        events: events?,
    })
}

async fn send(peer: SocketAddr, until: Instant, pause: Duration, answered: &Cell<u64>) {
    let (peer, request, mut answer) = (Peer::Tcp(peer), RequestArgs::default().bytes(), Vec::new());
    while Instant::now() < until {
        if peer.exchange(&request, &mut answer).await {
            answered.set(answered.get() + 1);
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Returns how many requests there were, from the API.
async fn total(peer: SocketAddr) -> anyhow::Result<u64> {
    let mut answer = Vec::new();
    anyhow::ensure!(
        Peer::Tcp(peer).exchange(LIST, &mut answer).await,
        "the API does not answer"
    );
    let body = answer
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .map_or(0, |end| end + 4);
    number(&answer[body..], "total")
}
