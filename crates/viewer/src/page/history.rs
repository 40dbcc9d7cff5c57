//! The page of the history: requests beyond the ring.
//!
//! In: a page of entries, and what a visitor asked for. Out: HTML, with links to the pages before
//! and after it.

use std::sync::Arc;

use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;

use crate::page::filter::FilterQuery;
use crate::page::pages::Pages;
use crate::page::row::groups;
use crate::page::stats::ports;
use crate::reader::Entry;
use crate::rfc3339;

/// Where the page is.
const ADDRESS: &str = "/home/history";
/// What is exported where no times are asked for.
const EXPORTED: &str = "24h";

/// A page of the history.
#[derive(Debug)]
pub struct HistoryPage<'a> {
    /// What the visitor asked for: conditions, and times as they were written.
    pub query: &'a FilterQuery,
    /// See `query`.
    pub since: &'a str,
    /// See `query`.
    pub until: &'a str,
    /// The newest first.
    pub entries: &'a [Arc<Entry>],
    /// The page before it begins after this number; `None` where there is none.
    pub newer: Option<u64>,
    /// The page after it begins before this number; `None` where there is none.
    pub older: Option<u64>,
    /// Not all bytes could be searched in time.
    pub is_partial: bool,
    /// When the oldest request that is kept came.
    pub oldest: Option<Timestamp>,
}

impl Pages {
    /// Renders a page of the history.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn history(&self, page: &HistoryPage<'_>) -> anyhow::Result<String> {
        let groups = groups(page.entries, Timestamp::now());
        let (chips, values) = (page.query.chips(), page.query.values());
        let further = Serde(page.query.further());
        let span = page.span();
        let mut kept = page.query.kept();
        for conditions in kept.values_mut() {
            conditions.insert_str(0, &span);
        }
        // A request has no times to be asked for.
        kept.insert("all", page.query.kept()["all"].clone());
        kept.insert("at", ADDRESS.to_owned());
        let (newer, older) = (
            page.newer.map(|seq| page.link("after", seq)),
            page.older.map(|seq| page.link("before", seq)),
        );
        let (since, until, is_partial) = (page.since, page.until, page.is_partial);
        let oldest = page.oldest.map(rfc3339::micros);
        let (asked, exported) = (page.query.encoded(), page.exported());
        let (groups, chips, query) = (Serde(&groups), Serde(&chips), Serde(&values));
        let (at, has_ports) = (ADDRESS, ports(page.entries).len() > 1);
        let shows_sensors = self.shows_sensors(page.entries);
        self.render(
            "history.html",
            context! {
                groups, chips, query, further, kept, asked, at, span, since, until, newer, older,
                is_partial, oldest, exported, has_ports, shows_sensors,
            },
        )
    }
}

impl HistoryPage<'_> {
    /// The times as a query string that goes on.
    fn span(&self) -> String {
        let times = [("since", self.since), ("until", self.until)];
        let asked: Vec<_> = times.iter().filter(|(_, it)| !it.is_empty()).collect();
        let mut span = serde_urlencoded::to_string(asked).unwrap_or_default();
        if !span.is_empty() {
            span.push('&');
        }
        span
    }

    fn link(&self, direction: &str, seq: u64) -> String {
        let (span, conditions) = (self.span(), self.query.encoded());
        let and = if conditions.is_empty() { "" } else { "&" };
        format!("{ADDRESS}?{span}{conditions}{and}{direction}={seq}")
    }

    /// The query string of what is exported.
    fn exported(&self) -> String {
        let span = match self.span() {
            span if span.is_empty() => format!("since={EXPORTED}&"),
            span => span,
        };
        let query = span + &self.query.encoded();
        query.trim_end_matches('&').to_owned()
    }
}
