//! The ring as one page that needs no server.
//!
//! In: entries. Out: HTML, style and all, in which nothing is active.

use std::sync::Arc;

use bytes::Bytes;
use forever200_identify::Indicator;
use jiff::Timestamp;
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;
use tracing::error;

use crate::export::{Listing, json};
use crate::page::detail::evidence;
use crate::page::pages::{Pages, STYLE};
use crate::page::row::Row;
use crate::page::visible;
use crate::reader::{Entry, View};

/// What the page shows of each request: 101 of 64 KiB would make a file that no browser opens with pleasure.
const MAX_SHOWN_BYTES: usize = 4096;

#[derive(Serialize)]
struct Section<'a> {
    row: Row,
    labels: Vec<json::Label<'a>>,
    indicators: &'a [Indicator],
    text: Value,
    shown: usize,
    held: usize,
}

/// Returns the page of these entries.
///
/// # Errors
/// The template fails, which is a bug.
pub fn page(pages: &Arc<Pages>, view: &View, entries: &[Arc<Entry>]) -> anyhow::Result<Listing> {
    let now = Timestamp::now();
    let rows: Vec<_> = entries.iter().map(|entry| Row::new(entry, now)).collect();
    let (rows, total, made) = (Serde(&rows), view.snapshot.cursor, format!("{now:.0}"));
    let begin = pages.render("export.html", context! { rows, total, made, css => STYLE })?;
    let end = pages.render("export_end.html", context! {})?;
    let pages = Arc::clone(pages);
    let one = move |entry: &Entry| {
        let section = Section::new(entry, now);
        let html = pages.render(
            "export_request.html",
            context! { section => Serde(&section) },
        );
        html.inspect_err(|error| error!(error = format!("{error:#}"), "cannot make a page"))
            .map(Bytes::from)
            .ok()
    };
    Ok(Listing {
        begin: begin.into(),
        between: b"",
        end: end.into(),
        newest_first: true,
        // Most is a byte that is an escape, between two that are not.
        most: Box::new(|entry| 64 * MAX_SHOWN_BYTES + 4096 * (1 + entry.labels.len())),
        one: Box::new(one),
    })
}

impl<'a> Section<'a> {
    fn new(entry: &'a Entry, now: Timestamp) -> Self {
        let held = entry.record.raw.len();
        let shown = held.min(MAX_SHOWN_BYTES);
        Self {
            row: Row::new(entry, now),
            labels: entry.labels.iter().map(json::Label::new).collect(),
            indicators: &entry.indicators,
            text: visible::with_evidence(entry.record.raw.slice(..shown), evidence(entry)),
            shown,
            held,
        }
    }
}
