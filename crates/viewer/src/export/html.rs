//! The ring, or one request, as an HTML file that needs no server.
//!
//! In: entries. Out: HTML with its style and without anything active.

use std::sync::Arc;

use bytes::Bytes;
use forever200_identify::Indicator;
use jiff::Timestamp;
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;
use tracing::error;

use crate::export::{Listing, json};
use crate::page::assets::STYLE;
use crate::page::detail::{evidence, head_bytes};
use crate::page::pages::Pages;
use crate::page::row::Row;
use crate::page::visible;
use crate::reader::Entry;

/// Most bytes of each request that the page shows. With 101 requests of 64 KiB, the file would be
/// too large for browsers.
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

/// Returns the page of the requests with these rows. `total` is the number of all requests so far.
///
/// # Errors
/// The template fails, which is a bug.
pub fn page(pages: &Arc<Pages>, total: u64, rows: &[Row]) -> anyhow::Result<Listing> {
    let now = Timestamp::now();
    let (rows, made) = (Serde(rows), format!("{now:.0}"));
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
        // Markup is longest for a marked line feed, which becomes 36 bytes:
        // `<mark><u>\n</u></mark>` and the line feed itself in `<mark>`.
        most: Box::new(|entry| 64 * MAX_SHOWN_BYTES + 4096 * (1 + entry.labels.len())),
        one: Box::new(one),
    })
}

/// Returns the page of one request, without links to this machine. `host` is the name by which the
/// visitor knows this machine.
///
/// # Errors
/// The template fails, which is a bug.
pub fn request(pages: &Pages, entry: &Entry, host: &str) -> anyhow::Result<String> {
    let made = format!("{:.0}", Timestamp::now());
    let (layout, in_file, css, writing) = ("file.html", true, STYLE, ());
    let own = context! { layout, in_file, css, made, writing };
    let html = pages.alone(entry, host, own)?;
    Ok(without_own_links(&html))
}

/// Removes links to pages of this machine, which do not work in a file, and leaves their text.
///
/// The templates escape every `<` that a client sent. So everything that looks like a link comes
/// from the templates, and ends with the next `</a>`.
fn without_own_links(html: &str) -> String {
    let (start, end) = ("<a ", "</a>");
    let mut left = String::with_capacity(html.len());
    let mut rest = html;
    while let Some((before, link)) = rest.split_once(start) {
        left.push_str(before);
        let (tag, behind) = link.split_once('>').unwrap_or((link, ""));
        let (said, after) = behind.split_once(end).unwrap_or((behind, ""));
        if tag.contains("href=\"/home") {
            left.push_str(said);
        } else {
            left.extend([start, tag, ">", said, end]);
        }
        rest = after;
    }
    left.push_str(rest);
    left
}

impl<'a> Section<'a> {
    fn new(entry: &'a Entry, now: Timestamp) -> Self {
        let held = entry.record.raw.len();
        let shown = held.min(MAX_SHOWN_BYTES);
        let head_bytes = head_bytes(&entry.record.raw, entry.request().as_ref());
        Self {
            row: Row::new(entry, now),
            labels: entry.labels.iter().map(json::Label::new).collect(),
            indicators: &entry.indicators,
            text: visible::request(
                &entry.record.raw.slice(..shown),
                head_bytes,
                &evidence(entry),
            ),
            shown,
            held,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_this_machine_are_left_out_and_others_stay() {
        for (html, left) in [
            (
                "a <a href=\"/home?q=x\" title=\"y\">b <i>c</i></a> d",
                "a b <i>c</i> d",
            ),
            ("<a class=\"x\" href=\"/home\">b</a>", "b"),
            (
                "<a href=\"https://a.example\">b</a>c",
                "<a href=\"https://a.example\">b</a>c",
            ),
            ("<article>b</article>", "<article>b</article>"),
            ("", ""),
        ] {
            assert_eq!(without_own_links(html), left);
        }
    }
}
