//! Requests that come in without a break, each with a path of its own, and their results.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::exchange_from;
use crate::{RESPONSE, process};

/// How fast clients send.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Number of clients. Each opens one connection after the other.
    pub clients: usize,
    /// Shortest time from one request of a client to its next.
    pub interval: Duration,
}

/// A hundred requests a second. The ring holds one second of it.
pub const STEADY: Pace = Pace {
    clients: 4,
    interval: Duration::from_millis(40),
};
/// As fast as four clients can send, if each waits for its answer.
pub const FULL: Pace = Pace {
    clients: 4,
    interval: Duration::ZERO,
};

/// The address of a load's first client. Each further client has the next address.
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 50, 0, 1);

/// One request and its result.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its path.
    pub path: String,
    /// When its client began to connect.
    pub sent: Instant,
    /// When it was answered or had failed.
    pub ended: Instant,
    /// Whether it got the whole answer.
    pub answered: bool,
}

/// Clients that send until told to stop.
pub struct Load {
    stop: watch::Sender<bool>,
    clients: Vec<JoinHandle<Vec<Attempt>>>,
}

impl Load {
    /// Starts sending. The paths begin with `/NAME/`.
    #[must_use]
    pub fn start(front: SocketAddr, name: &str, pace: Pace) -> Self {
        let (stop, stopped) = watch::channel(false);
        let client = |number: u32| {
            let source = Ipv4Addr::from_bits(FIRST_SOURCE.to_bits() + number);
            tokio::spawn(client(
                source,
                front,
                format!("/{name}/{number}"),
                pace.interval,
                stopped.clone(),
            ))
        };
        Self {
            stop,
            clients: (0..pace.clients as u32).map(client).collect(),
        }
    }

    /// Lets the clients finish their current requests, and returns all attempts in the order in
    /// which they ended.
    ///
    /// # Errors
    /// A reply was neither the answer nor nothing.
    pub async fn stop(self) -> anyhow::Result<Attempts> {
        let _ = self.stop.send(true);
        let mut attempts = Vec::new();
        for client in self.clients {
            attempts.extend(client.await?);
        }
        attempts.sort_by_key(|attempt| attempt.ended);
        Ok(Attempts(attempts))
    }
}

async fn client(
    source: Ipv4Addr,
    front: SocketAddr,
    path: String,
    interval: Duration,
    mut stopped: watch::Receiver<bool>,
) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    while !*stopped.borrow_and_update() {
        let (path, sent) = (format!("{path}/{}", attempts.len()), Instant::now());
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let reply = exchange_from(source, front, request.as_bytes()).await;
        if let Ok(reply) = &reply {
            assert!(
                reply.is_empty() || reply == RESPONSE,
                "neither the answer nor nothing: {}",
                reply.escape_ascii()
            );
        }
        let answered = reply.is_ok_and(|reply| reply == RESPONSE);
        attempts.push(Attempt {
            path,
            sent,
            ended: Instant::now(),
            answered,
        });
        // A refused connection takes almost no time.
        let rest = if answered {
            interval
        } else {
            interval.max(Duration::from_millis(5))
        };
        let _ = tokio::time::timeout(
            rest.saturating_sub(sent.elapsed()),
            stopped.wait_for(|stopped| *stopped),
        )
        .await;
    }
    attempts
}

/// All attempts of a load.
#[derive(Clone, Debug, Default)]
pub struct Attempts(pub Vec<Attempt>);

impl Attempts {
    /// Returns the attempts that were answered.
    pub fn answered(&self) -> impl DoubleEndedIterator<Item = &Attempt> {
        self.0.iter().filter(|attempt| attempt.answered)
    }

    /// Returns how many attempts were not answered.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.0.len() - self.answered().count()
    }

    /// Tells whether a list of the API holds the last 50 requests that were answered. A list may be
    /// 10 ms old.
    #[must_use]
    pub fn are_seen_in(&self, list: &Value) -> bool {
        let targets: HashSet<_> = list["requests"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|request| request["http"]["target"].as_str())
            .collect();
        self.answered()
            .rev()
            .take(50)
            .all(|attempt| targets.contains(&Some(attempt.path.as_str())))
    }

    /// Returns how long clients had to try at most: the longest time from sending a request to the
    /// first answer to it or to a later request.
    #[must_use]
    pub fn longest_wait(&self) -> Duration {
        let waits = self.0.iter().map(|attempt| {
            let answers = self
                .answered()
                .filter(|answer| answer.sent >= attempt.sent)
                .map(|answer| answer.ended);
            answers
                .min()
                .map_or(Duration::ZERO, |answer| answer - attempt.sent)
        });
        waits.max().unwrap_or_default()
    }

    /// Returns the time within which this share of the answers came, 0.0 to 1.0.
    #[must_use]
    pub fn latency(&self, share: f64) -> Duration {
        let mut times: Vec<_> = self
            .answered()
            .map(|attempt| attempt.ended - attempt.sent)
            .collect();
        times.sort_unstable();
        process::quantile(&times, share)
    }
}
