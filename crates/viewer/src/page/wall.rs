//! Renders the wall: the list for a projector, with the rarest request of each second first.
//!
//! In: a view. Out: how rare each request is, their order, and rows in which nothing can be
//! clicked.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use forever200_identify::Protocol;
use forever200_ring::Record;
use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;

use crate::page::filter::FilterQuery;
use crate::page::pages::Pages;
use crate::page::row::Row;
use crate::reader::{Entry, View};

/// Most rows of the page. A wide screen shows eight, an upright one some thirty. `wall.js` has the
/// same number.
pub const MAX_ROWS: usize = 40;
/// For requests older than this, the wall shows the day, not the time of day.
const A_DAY_SECONDS: i64 = 86_400;

/// How many requests with the same key the ring has.
#[derive(Debug)]
pub struct Rarity(HashMap<RarityKey, usize>);

/// What is equal in requests that count as one for their rarity. It is no
/// [`Kind`](crate::history::Kind): HTTP requests without a label that differ in a value of the
/// query are one kind, but they are counted apart here.
#[derive(Debug, PartialEq, Eq, Hash)]
enum RarityKey {
    /// The id of the first label.
    Label(String),
    /// The protocol and the likeness of a request without a label.
    Alike(Protocol, u64),
}

/// What the wall shows of a request.
#[derive(Debug, Serialize)]
struct WallRow {
    #[serde(flatten)]
    row: Row,
    /// The time of day, or the day, in UTC.
    when: String,
    /// The name of the client's network, or its number.
    network: String,
}

impl Rarity {
    /// Counts the requests of a view by their keys.
    #[must_use]
    pub fn new(view: &View) -> Self {
        let mut counts = HashMap::new();
        for entry in &view.entries {
            *counts.entry(RarityKey::new(entry)).or_default() += 1;
        }
        Self(counts)
    }

    /// Returns how many requests with the same key as this one the ring has; 0 if all have left it.
    #[must_use]
    pub fn count(&self, entry: &Entry) -> usize {
        self.0
            .get(&RarityKey::new(entry))
            .copied()
            .unwrap_or_default()
    }
}

impl RarityKey {
    fn new(entry: &Entry) -> Self {
        match entry.labels.first() {
            Some(label) => Self::Label(label.signature.id.clone()),
            None => Self::Alike(entry.protocol, entry.likeness),
        }
    }
}

impl WallRow {
    fn new(entry: &Entry, now: Timestamp) -> Self {
        let (time, origin) = (entry.record.timestamp, entry.origin.as_ref());
        let is_long_ago = now.as_second() - time.as_second() >= A_DAY_SECONDS;
        let format = if is_long_ago { "%-d %b" } else { "%H:%M:%S" };
        let name = origin.and_then(|origin| origin.as_name.clone());
        let number = || origin.and_then(|origin| Some(format!("AS{}", origin.asn?)));
        Self {
            row: Row::new(entry, now),
            when: time.strftime(format).to_string(),
            network: name.or_else(number).unwrap_or_default(),
        }
    }
}

/// Returns the entries that the wall shows: the newest second first and, within one second, the
/// rarest first, then the newest.
#[must_use]
pub fn in_order(view: &View, mut entries: Vec<Arc<Entry>>) -> Vec<Arc<Entry>> {
    let rarity = Rarity::new(view);
    entries.sort_by_cached_key(|entry| {
        let Record { timestamp, seq, .. } = &entry.record;
        let count = rarity.count(entry);
        (Reverse(timestamp.as_second()), count, Reverse(*seq))
    });
    entries.truncate(MAX_ROWS);
    entries
}

impl Pages {
    /// Renders the wall. `entries` are the entries that meet `query`, in the order of [`in_order`].
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn wall(
        &self,
        view: &View,
        query: &FilterQuery,
        entries: &[Arc<Entry>],
        numbers: &str,
    ) -> anyhow::Result<String> {
        let now = Timestamp::now();
        let rows: Vec<_> = entries
            .iter()
            .map(|entry| WallRow::new(entry, now))
            .collect();
        let (asked, chips, cursor) = (query.encoded(), query.chips(), view.complete_up_to());
        let (rows, chips) = (Serde(&rows), Serde(&chips));
        self.render(
            "wall.html",
            context! { numbers, rows, asked, chips, cursor },
        )
    }

    /// Renders one row of the wall for the event stream. Each row is rendered once, for all
    /// watchers together.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn wall_row(&self, entry: &Entry) -> anyhow::Result<Bytes> {
        if let Some(row) = entry.wall_row.get() {
            return Ok(row.clone());
        }
        let row = WallRow::new(entry, Timestamp::now());
        let html = Bytes::from(self.render("wall_row.html", context! { row => Serde(&row) })?);
        let _ = entry.wall_row.set(html.clone());
        Ok(html)
    }
}

#[cfg(test)]
mod tests {
    use forever200_ring::SLOTS;

    use super::*;
    use crate::reader::entry::tests::{entry as described, record};

    fn view(requests: &[(i64, &[u8])]) -> View {
        let entry = |(seq, (second, raw)): (u64, &(i64, &[u8]))| {
            Arc::new(described(Record {
                seq,
                timestamp: Timestamp::from_second(*second).unwrap(),
                ..record(raw)
            }))
        };
        let entries: Vec<_> = (1..).zip(requests).map(entry).collect();
        View {
            entries: entries.into_iter().rev().collect(),
            ..View::nothing()
        }
    }

    fn order(view: &View) -> Vec<u64> {
        let entries = in_order(view, view.entries.clone());
        entries.iter().map(|entry| entry.record.seq).collect()
    }

    #[test]
    fn of_one_second_the_rarest_comes_first() {
        let (often, rare): (&[u8], &[u8]) = (b"GET /.env HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n");
        let ring = view(&[(7, rare), (8, often), (8, rare), (8, often), (9, often)]);
        assert_eq!(order(&ring), [5, 3, 4, 2, 1]);
        // Without a label, requests that differ in digits are the same.
        let [a, b]: [&[u8]; 2] = [b"GET /aa/1\r\n\r\n", b"GET /aa/2\r\n\r\n"];
        let ring = view(&[(8, b"\x01\x02"), (8, a), (8, b)]);
        assert_eq!(order(&ring), [1, 3, 2]);
    }

    #[test]
    fn rows_have_a_bound() {
        let many: Vec<(i64, &[u8])> = (0..101).map(|second| (second, &b"x"[..])).collect();
        assert_eq!(order(&view(&many)).len(), MAX_ROWS);
    }

    #[test]
    fn scripts_have_the_same_bounds() {
        let of_wall = include_str!("../../static/wall.js");
        assert!(of_wall.contains(&format!("const MAX_ROWS = {MAX_ROWS};")));
        let of_list = include_str!("../../static/list.js");
        assert!(of_list.contains(&format!("const MAX_ROWS = {SLOTS};")));
    }
}
