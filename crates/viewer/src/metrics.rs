//! Numbers for Prometheus: /home/metrics.
//!
//! In: what the reader describes and misses, as it does; what other parts say of themselves when it is asked for. Out: text
//! in the format of Prometheus. No address, and nothing else that a client chose, is a label.
//!
//! Read in this order: `counters` (what is counted as it happens), `gauges` (what is asked for), `text` (the format).

mod counters;
mod gauges;
mod text;

pub(crate) use counters::Counters;
pub(crate) use gauges::{HistoryNow, Now, VisitorsNow};
pub(crate) use text::{CONTENT_TYPE, exposition};
