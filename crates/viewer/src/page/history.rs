//! The page of the history: requests beyond the ring.
//!
//! In: a page of entries, and the query. Out: HTML, with links to the pages before and after it.

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

/// The address of the page.
const ADDRESS: &str = "/home/history";
/// The time that is exported if the query names none.
const EXPORTED: &str = "24h";

/// A page of the history.
#[derive(Debug)]
pub struct HistoryPage<'a> {
    /// The conditions that the visitor asked for.
    pub query: &'a FilterQuery,
    /// The beginning of the time, as the visitor wrote it.
    pub since: &'a str,
    /// The end of the time, as the visitor wrote it.
    pub until: &'a str,
    /// The requests, the newest first.
    pub entries: &'a [Arc<Entry>],
    /// The page with newer requests begins after this number; `None` if there is none.
    pub newer: Option<u64>,
    /// The page with older requests begins before this number; `None` if there is none.
    pub older: Option<u64>,
    /// Not all bytes could be searched in time.
    pub is_partial: bool,
    /// The time of the oldest request that is kept.
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
        let mut link_beginnings = page.query.link_beginnings();
        for conditions in link_beginnings.values_mut() {
            conditions.insert_str(0, &span);
        }
        // `all` is for links to pages of requests, which take no times.
        link_beginnings.insert("all", page.query.link_beginnings()["all"].clone());
        link_beginnings.insert("at", ADDRESS.to_owned());
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
                groups, chips, query, further, link_beginnings, asked, at, span, since, until,
                newer, older, is_partial, oldest, exported, has_ports, shows_sensors,
            },
        )
    }
}

impl HistoryPage<'_> {
    /// Returns the times as the beginning of a query string.
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

    /// Returns the query string of the export.
    fn exported(&self) -> String {
        let span = match self.span() {
            span if span.is_empty() => format!("since={EXPORTED}&"),
            span => span,
        };
        let query = span + &self.query.encoded();
        query.trim_end_matches('&').to_owned()
    }
}
