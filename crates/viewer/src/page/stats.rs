//! The numbers behind the strip at the top of the page.
//!
//! In: a view. Out: [`Stats`], as in the JSON. Sources and protocols are counted in the ring only.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use forever200_identify::{Category, Protocol};
use forever200_ring::{ByPort, SLOTS, Snapshot};
use jiff::Timestamp;
use serde::Serialize;

use crate::captures::Counted;
use crate::reader::history_link::HistoryState;
use crate::reader::view::MINUTES;
use crate::reader::{Entry, View};
use crate::rfc3339;

/// Minutes that are counted in one bar of the day's chart.
pub const MINUTES_PER_BAR: i64 = 15;
/// Bars of the hour's chart, one a minute.
const HOUR: i64 = 60;

/// How many requests come, and what they are.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Number of requests recorded since the beginning.
    pub total: u64,
    /// Number of slots, 101.
    pub capacity: u64,
    /// Time of the first start, RFC 3339.
    pub since: Option<String>,
    /// Seconds from the first start to the first request.
    pub first_request_seconds: Option<f64>,
    /// Number of connections that never sent a byte.
    pub silent: u64,
    /// Number of these connections by port, for the most frequent ports, the most frequent first.
    pub silent_ports: Vec<SilentPort>,
    /// Number of requests within the last 60 seconds.
    pub last_minute: u64,
    /// Number of requests by minute, the last 60, the oldest first; the last one is not over.
    pub minutes: Vec<u64>,
    /// Number of requests by quarter of an hour, the last 96, the oldest first; the last one is not
    /// over.
    pub quarters: Vec<u64>,
    /// Number of requests in the ring.
    pub held: usize,
    /// Number of different client addresses in the ring.
    pub sources: usize,
    /// Number of requests in the ring by the port that they came to, the most frequent first.
    pub ports: Vec<PortCount>,
    /// Number of requests in the ring that are not HTTP.
    pub not_http: usize,
    /// Number of requests in the ring that haproxy decrypted.
    pub tls: usize,
    /// Number of TLS handshakes in the ring that failed.
    pub tls_failed: usize,
    /// Number of requests in the ring by category. Requests without a category are not counted.
    pub categories: BTreeMap<Category, usize>,
    /// There are requests in the ring, and none is from an address of the internet.
    pub private_only: bool,
    /// Number of slots with something that is not a request of forever200.
    pub unreadable: usize,
    /// The state of the history; `None` if it is off.
    pub history: Option<HistoryState>,
    /// How many lines there were; `None` if no lines are written, and always for the page.
    pub lines: Option<Counted>,
}

/// How many requests came to a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortCount {
    /// The port that the client connected to.
    pub port: u16,
    /// How many.
    pub requests: u64,
}

impl PortCount {
    pub(crate) fn new(&(port, requests): &(u16, u64)) -> Self {
        Self { port, requests }
    }
}

/// How many connections to a port never sent a byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SilentPort {
    /// The port that the client connected to.
    pub port: u16,
    /// How many.
    pub connections: u64,
}

impl Stats {
    /// Counts what a view shows at `now`.
    #[must_use]
    pub fn new(view: &View, now: Timestamp) -> Self {
        let snapshot = &view.snapshot;
        let mut sources = HashSet::new();
        for entry in &view.entries {
            sources.extend(entry.source_ip());
        }
        Self {
            total: snapshot.cursor,
            capacity: SLOTS,
            since: snapshot.since.map(rfc3339::micros),
            first_request_seconds: first_request_seconds(snapshot),
            silent: snapshot.silent,
            silent_ports: silent_ports(&snapshot.silent_ports),
            last_minute: last_minute(view, now),
            minutes: bars(view, HOUR, 1),
            quarters: bars(view, MINUTES, MINUTES_PER_BAR),
            held: view.entries.len(),
            sources: sources.len(),
            ports: ports(&view.entries),
            not_http: count(view, |entry| entry.protocol != Protocol::Http),
            tls: count(view, came_through_tls),
            tls_failed: count(view, |entry| entry.tls_failed.is_some()),
            categories: categories(view),
            private_only: !view.entries.is_empty() && sources.iter().all(|&ip| is_private(ip)),
            unreadable: snapshot.unreadable,
            history: view.history.clone(),
            lines: None,
        }
    }
}

fn first_request_seconds(snapshot: &Snapshot) -> Option<f64> {
    let span = snapshot.first? - snapshot.since?;
    span.total(jiff::Unit::Second).ok()
}

fn came_through_tls(entry: &Entry) -> bool {
    match &entry.tls {
        Some(tls) => tls.agreed.is_some(),
        None => false,
    }
}

/// Counts requests by port, the most frequent port first. Requests whose port is unknown are left
/// out.
#[must_use]
pub fn ports(entries: &[Arc<Entry>]) -> Vec<PortCount> {
    let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
    for entry in entries {
        *counts.entry(entry.record.dest_port).or_default() += 1;
    }
    counts.remove(&0);
    let mut ports = Vec::new();
    for (port, requests) in counts {
        ports.push(PortCount { port, requests });
    }
    ports.sort_by_key(|it| Reverse(it.requests));
    ports
}

fn silent_ports(counts: &ByPort) -> Vec<SilentPort> {
    let mut ports = Vec::new();
    for (&port, &connections) in counts {
        ports.push(SilentPort { port, connections });
    }
    ports.sort_by_key(|it| Reverse(it.connections));
    ports
}

fn count(view: &View, is_counted: impl Fn(&Entry) -> bool) -> usize {
    let counted = view.entries.iter().filter(|entry| is_counted(entry));
    counted.count()
}

fn categories(view: &View) -> BTreeMap<Category, usize> {
    let mut counts = BTreeMap::new();
    for entry in &view.entries {
        if let Some(category) = entry.category() {
            *counts.entry(category).or_default() += 1;
        }
    }
    counts
}

/// Returns the number of requests within the last 60 seconds. It is exact if the ring goes back a
/// minute. Otherwise it is estimated from the counts of this minute and of the minute before, as if
/// the requests of the minute before had come evenly. At a hub, the ring may have an old request of
/// one sensor among new ones of others, so it does not tell how far it goes back.
fn last_minute(view: &View, now: Timestamp) -> u64 {
    let minute_ago = now.as_second() - 60;
    let recent = count(view, |entry| {
        entry.record.timestamp.as_second() > minute_ago
    });
    let is_of_hub = view.entries.iter().any(|it| it.record.sensor.is_some());
    let goes_back = recent < view.entries.len() && !is_of_hub;
    if goes_back || (view.entries.len() as u64) < SLOTS {
        return recent as u64;
    }
    let minute = now.as_second().div_euclid(60);
    let second = now.as_second().rem_euclid(60);
    let of_this = view.minutes.get(&minute).copied().unwrap_or_default();
    let of_last = view.minutes.get(&(minute - 1)).copied().unwrap_or_default();
    let seconds_of_last = (60 - second).unsigned_abs();
    let rest_of_last = u128::from(of_last) * u128::from(seconds_of_last) / 60;
    let counted = of_this.saturating_add(u64::try_from(rest_of_last).unwrap_or(u64::MAX));
    counted.max(recent as u64)
}

/// Sums the last `minutes` minutes by bars of `width`, the oldest first.
fn bars(view: &View, minutes: i64, width: i64) -> Vec<u64> {
    let mut bars = vec![0_u64; (minutes / width) as usize];
    let mut start = view.minute + 1 - minutes;
    for bar in &mut bars {
        // memcached may hold any numbers.
        for count in view.minutes.range(start..start + width) {
            *bar = bar.saturating_add(*count.1);
        }
        start += width;
    }
    bars
}

/// Tells whether no client on the internet can have this address.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        // RFC 6598: shared by a carrier's customers.
        IpAddr::V4(ip) if ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64 => true,
        IpAddr::V4(ip) => {
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip == Ipv4Addr::UNSPECIFIED
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use forever200_ring::Record;

    use super::*;
    use crate::reader::entry::tests::{entry as described, record};

    const NOW: i64 = 1_800_000_030;

    fn view(ips: &[[u8; 4]], minutes: &[(i64, u64)]) -> View {
        let entry = |&ip: &[u8; 4]| {
            Arc::new(described(Record {
                src_ip: ip.into(),
                ..record(b"x")
            }))
        };
        View {
            version: 1,
            snapshot: Snapshot::default(),
            entries: ips.iter().map(entry).collect(),
            is_all_described: true,
            minute: NOW / 60,
            minutes: minutes
                .iter()
                .map(|&(ago, count)| (NOW / 60 - ago, count))
                .collect::<BTreeMap<_, _>>(),
            history: None,
            away: None,
        }
    }

    fn stats(view: &View) -> Stats {
        Stats::new(view, Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn minutes_become_bars() {
        let stats = stats(&view(
            &[],
            &[(0, 1), (1, 2), (59, 3), (60, 4), (1439, 5), (1440, 6)],
        ));
        assert_eq!((stats.minutes.len(), stats.quarters.len()), (60, 96));
        assert_eq!(
            (stats.minutes[59], stats.minutes[58], stats.minutes[0]),
            (1, 2, 3)
        );
        assert_eq!(
            (
                stats.quarters[95],
                stats.quarters[92],
                stats.quarters[91],
                stats.quarters[0]
            ),
            (3, 3, 4, 5)
        );
        assert_eq!(stats.minutes.iter().sum::<u64>(), 6);
        // memcached may hold anything.
        assert_eq!(
            self::stats(&view(&[], &[(0, u64::MAX), (1, u64::MAX)])).quarters[95],
            u64::MAX
        );
    }

    #[test]
    fn a_full_ring_of_one_minute_is_counted_by_the_minutes() {
        let now = Timestamp::from_second(NOW).unwrap();
        let mut busy = view(&[], &[(0, 100), (1, 300)]);
        let entry = |_| {
            Arc::new(described(Record {
                timestamp: now,
                ..record(b"x")
            }))
        };
        busy.entries = (0..SLOTS).map(entry).collect();
        assert_eq!(stats(&busy).last_minute, 100 + 300 / 2);
        busy.entries.pop();
        assert_eq!(stats(&busy).last_minute, 100);
    }

    #[test]
    fn sources_that_are_all_private_are_noticed() {
        let only = |ips: &[[u8; 4]]| stats(&view(ips, &[])).private_only;
        assert!(only(&[
            [10, 0, 0, 1],
            [172, 17, 0, 1],
            [127, 0, 0, 1],
            [100, 64, 0, 1],
            [0, 0, 0, 0]
        ]));
        assert!(!only(&[[10, 0, 0, 1], [203, 0, 113, 1]]));
        assert!(!only(&[[100, 128, 0, 1]]));
        assert!(!only(&[]));
        assert_eq!(
            stats(&view(&[[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]], &[])).sources,
            1
        );
    }

    #[test]
    fn ports_are_counted_the_most_frequent_first() {
        let mut view = view(&[], &[]);
        let entry = |&dest_port: &u16| {
            Arc::new(described(Record {
                dest_port,
                ..record(b"x")
            }))
        };
        view.entries = [23, 80, 2323, 80, 0].iter().map(entry).collect();
        view.snapshot.silent_ports = ByPort::from([(22, 3), (25, 9)]);
        let stats = stats(&view);
        let ports: Vec<_> = stats
            .ports
            .iter()
            .map(|it| (it.port, it.requests))
            .collect();
        assert_eq!(ports, [(80, 2), (23, 1), (2323, 1)]);
        let silent = stats
            .silent_ports
            .iter()
            .map(|it| (it.port, it.connections));
        assert_eq!(silent.collect::<Vec<_>>(), [(25, 9), (22, 3)]);
    }
}
