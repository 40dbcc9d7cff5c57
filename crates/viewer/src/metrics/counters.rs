//! Counters that the reader's thread increments. They begin with 0 at the start of the program. The
//! counters of other parts are in `gauges`.
//!
//! In: each request once, and how many were missed. Out: families of counters. The values of a
//! Prometheus label are bounded: the categories, the protocols, the usual ports and a few other
//! ports.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use forever200_identify::Category;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::reader::Entry;

/// Ports that always have a value of their own: those that scanners use most.
const USUAL_PORTS: [u16; 40] = [
    21, 22, 23, 25, 53, 80, 81, 88, 110, 111, 135, 139, 143, 161, 389, 443, 445, 502, 587, 993,
    995, 1433, 1521, 1723, 1883, 2222, 2323, 2375, 3306, 3389, 5060, 5432, 5555, 5900, 6379, 8000,
    8080, 8443, 9200, 11211,
];
/// How many other ports get a value of their own, in the order of their first requests. All further
/// ports share one value.
const MOST_OTHER_PORTS: usize = 24;
const OTHER: &str = "other";
/// The category of a request without a label.
const NO_CATEGORY: &str = "none";
/// Upper ends of the histogram's buckets, in seconds. Describing takes about 50 µs for an ordinary
/// request, and 10 ms for the slowest.
const DESCRIBE_SECONDS: [f64; 11] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0,
];

type Label = [(&'static str, Cow<'static, str>); 1];

/// The counters.
#[derive(Debug)]
pub(crate) struct Counters {
    by_category: Family<Label, Counter>,
    by_protocol: Family<Label, Counter>,
    by_port: Family<Label, Counter>,
    incomplete: Counter,
    bytes: Counter,
    missed: Counter,
    describing: Histogram,
    other_ports: Mutex<BTreeSet<u16>>,
}

impl Default for Counters {
    fn default() -> Self {
        let counters = Self {
            by_category: Family::default(),
            by_protocol: Family::default(),
            by_port: Family::default(),
            incomplete: Counter::default(),
            bytes: Counter::default(),
            missed: Counter::default(),
            describing: Histogram::new(DESCRIBE_SECONDS),
            other_ports: Mutex::default(),
        };
        // In Prometheus, a rate needs a value from before the first request.
        for category in Category::ALL.map(Category::name) {
            drop(counters.by_category.get_or_create(&in_category(category)));
        }
        let none = in_category(NO_CATEGORY);
        drop(counters.by_category.get_or_create(&none));
        counters
    }
}

impl Counters {
    /// Counts a request.
    pub(crate) fn count(&self, entry: &Entry) {
        let category = entry.category().map_or(NO_CATEGORY, Category::name);
        let protocol = [("protocol", entry.protocol.name().into())];
        let port = [("port", self.port(entry.record.dest_port))];
        self.by_category.get_or_create(&in_category(category)).inc();
        self.by_protocol.get_or_create(&protocol).inc();
        self.by_port.get_or_create(&port).inc();
        self.bytes.inc_by(entry.record.bytes);
        if entry.incomplete {
            self.incomplete.inc();
        }
    }

    /// Counts requests that left the ring before the reader saw them.
    pub(crate) fn count_missed(&self, requests: u64) {
        self.missed.inc_by(requests);
    }

    /// Adds the time of describing one request to the histogram.
    pub(crate) fn observe_describing(&self, took: Duration) {
        self.describing.observe(took.as_secs_f64());
    }

    fn port(&self, port: u16) -> Cow<'static, str> {
        let mut others = self
            .other_ports
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let has_value = USUAL_PORTS.contains(&port) || others.contains(&port);
        if has_value {
            port.to_string().into()
        } else if others.len() < MOST_OTHER_PORTS {
            others.insert(port);
            port.to_string().into()
        } else {
            OTHER.into()
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "requests_by_category",
            "Requests by the category of their first label, or none",
            self.by_category.clone(),
        );
        registry.register(
            "requests_by_protocol",
            "Requests by protocol",
            self.by_protocol.clone(),
        );
        registry.register(
            "requests_by_port",
            "Requests by the port that the client connected to, or other",
            self.by_port.clone(),
        );
        registry.register(
            "requests_incomplete",
            "Requests that are incomplete",
            self.incomplete.clone(),
        );
        registry.register(
            "request_bytes",
            "Bytes of requests that were received, also those that were not kept",
            self.bytes.clone(),
        );
        registry.register(
            "requests_missed",
            "Requests that were answered and left the ring before the viewer saw them",
            self.missed.clone(),
        );
        registry.register(
            "describe_duration_seconds",
            "Time that it took to describe a request",
            self.describing.clone(),
        );
    }
}

fn in_category(category: &'static str) -> Label {
    [("category", category.into())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_ports_some_are_told() {
        let counters = Counters::default();
        let told: BTreeSet<_> = (0..=u16::MAX).map(|port| counters.port(port)).collect();
        assert_eq!(told.len(), USUAL_PORTS.len() + MOST_OTHER_PORTS + 1);
        assert_eq!(counters.port(8080), "8080");
        assert_eq!(counters.port(0), "0");
        assert_eq!(counters.port(65_000), OTHER);
    }
}
