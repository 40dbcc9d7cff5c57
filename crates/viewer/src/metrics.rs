//! Numbers for Prometheus: /home/metrics.
//!
//! In: requests that the reader describes or misses, and the state of other parts when Prometheus
//! asks. Out: text in the format of Prometheus. No Prometheus label contains an address or a text
//! from a request, and each has a limited number of values.
//!
//! Read in this order: `counters` (counted by the reader's thread), `gauges` (read for each
//! answer), `text` (the format).

mod counters;
mod gauges;
mod text;

pub(crate) use counters::Counters;
pub(crate) use gauges::{HistoryNow, Now, VisitorsNow};
pub(crate) use text::{CONTENT_TYPE, exposition};
