//! Metrics that are read for each answer: gauges, and counters that other programs or other parts
//! of the viewer count. They are of the ring, the history, the lines and the visitors.
//!
//! In: the state of these parts. Out: metrics for one answer. Counters of the reader's thread are
//! in `counters`.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::captures::Counted;
use crate::reader::View;

/// The state of all these parts.
pub(crate) struct Now<'a> {
    /// The ring, as it was last seen.
    pub(crate) view: &'a View,
    /// Whether memcached answers.
    pub(crate) is_up: bool,
    /// `None` where it is off.
    pub(crate) history: Option<HistoryNow>,
    /// `None` where lines are off.
    pub(crate) lines: Option<Counted>,
    pub(crate) visitors: VisitorsNow,
}

/// The state of the history.
pub(crate) struct HistoryNow {
    /// Whether the history can be written.
    pub(crate) is_well: bool,
    /// Number of requests in it.
    pub(crate) requests: u64,
    /// Size on the disk of its file and of the log of changes, in bytes.
    pub(crate) bytes: u64,
    /// Number of items that wait to be written.
    pub(crate) waiting: u64,
    /// Number of sensors that sent some of its requests.
    pub(crate) sensors: u64,
}

/// The number of visitors and of their answers.
pub(crate) struct VisitorsNow {
    /// Visitors who follow new requests live.
    pub(crate) watching: u64,
    /// Answers that wait to be made, or are being made.
    pub(crate) waiting: u64,
    /// Bytes of answers that clients have not received yet.
    pub(crate) answer_bytes: u64,
}

/// A counter of another program, or of another part of the viewer.
#[derive(Debug)]
struct Elsewhere {
    name: &'static str,
    help: &'static str,
    value: u64,
}

impl Collector for Elsewhere {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let counter = ConstCounter::new(self.value);
        let kind = counter.metric_type();
        counter.encode(encoder.encode_descriptor(self.name, self.help, None, kind)?)
    }
}

/// Registers all metrics of `now`.
pub(super) fn register(registry: &mut Registry, now: &Now<'_>) {
    let version = vec![("version", env!("CARGO_PKG_VERSION"))];
    registry.register("build", "Version of this program", Info::new(version));
    register_ring(registry, now);
    if let Some(history) = &now.history {
        register_history(registry, history);
    }
    if let Some(lines) = &now.lines {
        register_lines(registry, lines);
    }
    let visitors = &now.visitors;
    gauge(
        registry,
        "visitors_watching",
        "Visitors who follow new requests live",
        visitors.watching,
    );
    gauge(
        registry,
        "visitors_waiting",
        "Answers that wait to be made, or are being made",
        visitors.waiting,
    );
    gauge(
        registry,
        "answers_on_their_way_bytes",
        "Bytes of answers that clients have not received yet",
        visitors.answer_bytes,
    );
}

fn register_ring(registry: &mut Registry, now: &Now<'_>) {
    let view = now.view;
    counter(
        registry,
        "requests",
        "Requests recorded since the beginning, also those that were missed",
        view.snapshot.cursor,
    );
    counter(
        registry,
        "silent_connections",
        "Connections that never sent a byte",
        view.snapshot.silent,
    );
    gauge(
        registry,
        "memcached_up",
        "Whether memcached answers",
        now.is_up.into(),
    );
    gauge(
        registry,
        "ring_requests",
        "Requests in the ring, which has 101 slots",
        view.entries.len() as u64,
    );
    let oldest = view.entries.last().map(|entry| entry.record.timestamp);
    let age = oldest.map(|oldest| Timestamp::now().duration_since(oldest).as_secs_f64());
    let seconds = Gauge::<f64, AtomicU64>::default();
    seconds.set(age.unwrap_or_default().max(0.0));
    registry.register(
        "ring_age_seconds",
        "Age of the oldest request in the ring; 0 when it is empty",
        seconds,
    );
}

fn register_history(registry: &mut Registry, history: &HistoryNow) {
    gauge(
        registry,
        "history_up",
        "Whether the history can be written",
        history.is_well.into(),
    );
    gauge(
        registry,
        "history_requests",
        "Requests in the history",
        history.requests,
    );
    gauge(
        registry,
        "history_bytes",
        "Bytes of the history on the disk, with its log of changes",
        history.bytes,
    );
    gauge(
        registry,
        "history_waiting",
        "Requests and numbers that wait to be written to the history",
        history.waiting,
    );
    gauge(
        registry,
        "history_sensors",
        "Other machines that have sent requests to this one",
        history.sensors,
    );
}

fn register_lines(registry: &mut Registry, lines: &Counted) {
    counter(
        registry,
        "lines_written",
        "Requests that were written as lines",
        lines.written,
    );
    counter(
        registry,
        "lines_dropped",
        "Requests that have no line: their reader is slow, or writing failed inside the viewer",
        lines.dropped,
    );
    gauge(
        registry,
        "lines_waiting_bytes",
        "Memory of requests that wait to be written as lines",
        lines.waiting_bytes,
    );
}

fn counter(registry: &mut Registry, name: &'static str, help: &'static str, value: u64) {
    registry.register_collector(Box::new(Elsewhere { name, help, value }));
}

fn gauge(registry: &mut Registry, name: &'static str, help: &'static str, value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}
