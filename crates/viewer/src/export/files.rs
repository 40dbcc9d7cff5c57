//! The ring to take along: lines of JSON, a table for a terminal, a page that needs no server.
//!
//! In: entries. Out: text in which nothing is active, and nothing that a terminal obeys but the colours
//! that were asked for. HAR and pcap have files of their own.

use std::fmt::Write;

use forever200_identify::{Indicator, Label, Protocol};
use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;

use crate::bytes::printable::{self, Piece};
use crate::export::json;
use crate::page::pages::{Pages, STYLE};
use crate::page::row::Row;
use crate::reader::entry::Entry;
use crate::reader::follow::View;

/// What the page shows of each request: 101 of 64 KiB would make a file that no browser opens with pleasure.
const MAX_SHOWN_BYTES: usize = 4096;

/// Returns a line of JSON for each request, with its bytes as base64, the oldest first.
///
/// Format: <https://github.com/ndjson/ndjson-spec>.
#[must_use]
pub fn ndjson(entries: &[&Entry]) -> String {
    entries
        .iter()
        .rev()
        .flat_map(|entry| [json::json(entry, true).get().to_owned(), "\n".to_owned()])
        .collect()
}

/// Returns a table: a line each, the newest first.
///
/// `color` sets apart what is not HTTP and what is not whole, by the codes of ECMA-48, 8.3.117.
#[must_use]
pub fn text(view: &View, entries: &[&Entry], color: bool) -> String {
    let (faint, red, green, plain) = if color {
        ("\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[0m")
    } else {
        Default::default()
    };
    let widest = |cell: fn(&Entry) -> usize| {
        entries
            .iter()
            .map(|entry| cell(entry))
            .max()
            .unwrap_or_default()
    };
    let seqs = widest(|entry| entry.record.seq.to_string().len());
    let sources = widest(|entry| entry.source.len());
    let bytes = widest(|entry| entry.record.bytes.to_string().len());
    let mut text = format!(
        "{} requests so far, {} shown:\n\n",
        view.snapshot.cursor,
        entries.len()
    );
    for entry in entries {
        let record = &entry.record;
        let tint = if entry.protocol == Protocol::Http {
            ""
        } else {
            green
        };
        let marks = [
            (entry.incomplete, "not whole"),
            (entry.blanked > 0, "blanked in part"),
        ];
        let marks = marks.iter().filter(|(applies, _)| *applies);
        let marks: String = marks
            .map(|(_, mark)| format!("  {red}({mark}){plain}"))
            .collect();
        writeln!(
            text,
            "{:>seqs$}  {faint}{:.0}{plain}  {:<sources$}  {:>bytes$} B  {tint}{:<7}  {}{}{marks}{}",
            record.seq,
            record.timestamp,
            entry.source,
            record.bytes,
            entry.protocol.name(),
            entry.summary,
            if tint.is_empty() { "" } else { plain },
            entry.labels.first().map(|label| says(label, color)).unwrap_or_default(),
        )
        .expect("a String takes every write");
    }
    text
}

/// What a request is, on a line of its own under it.
fn says(label: &Label, color: bool) -> String {
    let (bold, plain) = if color {
        ("\x1b[1m", "\x1b[0m")
    } else {
        Default::default()
    };
    let signature = &label.signature;
    let cve = signature
        .cve
        .first()
        .map(|cve| format!(", {cve}"))
        .unwrap_or_default();
    format!(
        "\n    {}: {bold}{}{plain}{cve}",
        signature.category.name(),
        signature.title
    )
}

#[derive(Serialize)]
struct Section<'a> {
    row: Row,
    labels: Vec<json::Label<'a>>,
    indicators: &'a [Indicator],
    text: Vec<Piece>,
    shown: usize,
    held: usize,
}

/// Returns one file of HTML, style and all.
///
/// # Errors
/// The template fails, which is a bug.
pub fn html(pages: &Pages, view: &View, entries: &[&Entry]) -> anyhow::Result<String> {
    let now = Timestamp::now();
    let sections: Vec<_> = entries
        .iter()
        .map(|entry| Section::new(entry, now))
        .collect();
    let (sections, total, made) = (Serde(&sections), view.snapshot.cursor, format!("{now:.0}"));
    pages.render(
        "export.html",
        context! { sections, total, made, css => STYLE },
    )
}

impl<'a> Section<'a> {
    fn new(entry: &'a Entry, now: Timestamp) -> Self {
        let held = entry.record.raw.len();
        let shown = held.min(MAX_SHOWN_BYTES);
        let evidence: Vec<_> = entry
            .labels
            .iter()
            .flat_map(|label| label.evidence.clone())
            .collect();
        Self {
            row: Row::new(entry, now),
            labels: entry.labels.iter().map(json::Label::new).collect(),
            indicators: &entry.indicators,
            text: printable::marked(&entry.record.raw[..shown], &evidence),
            shown,
            held,
        }
    }
}
