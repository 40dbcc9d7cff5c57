//! Entries to pages: the templates, and what the list is given.
//!
//! In: views and entries. Out: HTML. The template escapes; what is made here is visible text only.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use forever200_identify::Protocol;
use jiff::Timestamp;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

use crate::detail::Detail;
use crate::entry::Entry;
use crate::feed::View;
use crate::filter::FilterQuery;
use crate::printable;
use crate::stats::Stats;

/// The style sheet, served under an address that changes with it.
pub const STYLE: &str = include_str!("../static/style.css");
/// The script of the list and of the details.
pub const SCRIPT: &str = include_str!("../static/script.js");
/// The icon. Without one on the page, browsers ask for /favicon.ico, which would be recorded.
pub const ICON: &str = include_str!("../static/icon.svg");
/// Longest method and target in a row, in characters; the page of the request has all of it.
const MAX_METHOD_CHARS: usize = 20;
const MAX_TARGET_CHARS: usize = 160;
/// Height of a chart, in its own units; a bar is one unit wide.
const CHART_HEIGHT: u64 = 24;

/// The templates, ready to render.
pub struct Pages {
    environment: Environment<'static>,
    /// The last strip, for all watchers: version of the view, second, HTML.
    strip: Mutex<(u64, i64, Arc<str>)>,
}

/// What the list shows of a request.
#[derive(Debug, Serialize)]
pub struct Row {
    seq: u64,
    /// RFC 3339, microseconds.
    time: String,
    age: String,
    /// The client's address and port.
    source: String,
    /// The client's address; empty where nobody knows it.
    ip: String,
    /// The client's port, with its colon.
    port: String,
    via: &'static str,
    protocol: Protocol,
    method: Option<String>,
    /// The target, or the summary of what is not HTTP.
    what: String,
    bytes: u64,
    incomplete: bool,
    truncated: bool,
    rewritten: bool,
    likeness: String,
}

/// Requests that came one after the other and are alike.
#[derive(Debug, Serialize)]
struct Group {
    count: usize,
    sources: usize,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Chart {
    /// Bars, as the `d` of an SVG path.
    path: String,
    width: usize,
    height: u64,
    highest: u64,
}

impl Pages {
    /// Compiles the templates.
    ///
    /// # Panics
    /// A template does not compile, which a test would have found.
    #[must_use]
    pub fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);

        // The names end in .html: that is what turns escaping on.
        for (name, source) in [
            ("base.html", include_str!("../templates/base.html")),
            ("home.html", include_str!("../templates/home.html")),
            ("strip.html", include_str!("../templates/strip.html")),
            ("row.html", include_str!("../templates/row.html")),
            ("request.html", include_str!("../templates/request.html")),
            ("export.html", include_str!("../templates/export.html")),
            ("message.html", include_str!("../templates/message.html")),
            ("macros.html", include_str!("../templates/macros.html")),
        ] {
            environment.add_template(name, source).expect("the templates compile");
        }
        environment.add_global("style", asset_address("style.css", STYLE));
        environment.add_global("script", asset_address("script.js", SCRIPT));
        environment.add_global("icon", asset_address("icon.svg", ICON));
        environment.add_global("protocols", Serde(Protocol::ALL));
        Self { environment, strip: Mutex::new((0, 0, "".into())) }
    }

    /// Renders the list. `query` is what the visitor asked for, `entries` what meets it; `host` is the
    /// name by which the visitor knows this machine.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn home(&self, view: &View, query: &FilterQuery, entries: &[&Entry], host: &str) -> anyhow::Result<String> {
        let now = Timestamp::now();
        let (strip, groups) = (self.strip(view)?, groups(entries, now));
        let (total, held, cursor) = (entries.len(), view.entries.len(), view.snapshot.cursor);
        let asked = serde_urlencoded::to_string(query.given())?;
        let (query, groups) = (Serde(query), Serde(&groups));
        self.render("home.html", context! { strip => &*strip, groups, total, held, cursor, query, asked, host })
    }

    /// Renders the numbers at the top of the list; the same for all who ask within a second.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn strip(&self, view: &View) -> anyhow::Result<Arc<str>> {
        let now = Timestamp::now();
        let mut last = self.strip.lock().unwrap_or_else(PoisonError::into_inner);
        if (last.0, last.1) != (view.version, now.as_second()) {
            let stats = Stats::new(view, now);
            let (hour, day) = (Chart::new(&stats.minutes), Chart::new(&stats.quarters));
            let first = stats.first_request_seconds.map(|seconds| span(seconds as i64));
            let (stats, hour, day, away) = (Serde(&stats), Serde(&hour), Serde(&day), view.away);
            let strip = self.render("strip.html", context! { stats, hour, day, first, away })?;
            *last = (view.version, now.as_second(), strip.into());
        }
        Ok(Arc::clone(&last.2))
    }

    /// Renders one row, for the event stream.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn row<'a>(&self, entry: &'a Entry) -> anyhow::Result<&'a str> {
        if entry.row.get().is_none() {
            let row = Row::new(entry, Timestamp::now());
            let html = self.render("row.html", context! { row => Serde(&row) })?;
            let _ = entry.row.set(html);
        }
        Ok(entry.row.get().map_or("", String::as_str))
    }

    /// Renders one request, between its neighbours in the ring.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn request(&self, view: &View, seq: u64, host: &str) -> anyhow::Result<Option<String>> {
        let Some(entry) = view.find(seq) else { return Ok(None) };
        let now = Timestamp::now();
        let newer = view.entries.iter().map(|other| other.record.seq).filter(|&other| other > seq).min();
        let older = view.entries.iter().map(|other| other.record.seq).filter(|&other| other < seq).max();
        let is_other = |other: &&Arc<Entry>| other.source_ip() == entry.source_ip() && other.record.seq != seq;
        let others = view.entries.iter().filter(|_| entry.source_ip().is_some()).filter(is_other);
        let others: Vec<_> = others.map(|other| Row::new(other, now)).collect();
        let (row, detail) = (Row::new(entry, now), Detail::new(entry, host));
        let (row, detail, others) = (Serde(&row), Serde(&detail), Serde(&others));
        self.render("request.html", context! { row, detail, others, newer, older }).map(Some)
    }

    /// Renders a page that says one thing: an error, most often.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn message(&self, title: &str, text: &str, refresh: bool) -> anyhow::Result<String> {
        self.render("message.html", context! { title, text, refresh })
    }

    /// Renders any template.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub(crate) fn render(&self, template: &str, context: minijinja::Value) -> anyhow::Result<String> {
        Ok(self.environment.get_template(template)?.render(context)?)
    }
}

impl Default for Pages {
    fn default() -> Self {
        Self::new()
    }
}

impl Row {
    /// Lays out a request; its age is as at `now`.
    #[must_use]
    pub fn new(entry: &Entry, now: Timestamp) -> Self {
        let record = &entry.record;
        let http = entry.http();
        let what = http.as_ref().map(|http| printable::line(http.target, MAX_TARGET_CHARS));
        let ip = entry.source_ip().map(|ip| ip.to_string()).unwrap_or_default();
        Self {
            seq: record.seq,
            time: format!("{:.6}", record.timestamp),
            age: age(now.as_second() - record.timestamp.as_second()),
            source: entry.source.clone(),
            port: if ip.is_empty() { String::new() } else { format!(":{}", record.src_port) },
            ip,
            via: entry.via(),
            protocol: entry.protocol,
            method: http.as_ref().map(|http| printable::line(http.method, MAX_METHOD_CHARS)),
            what: what.unwrap_or_else(|| entry.summary.clone()),
            bytes: record.bytes,
            incomplete: entry.incomplete,
            truncated: record.truncated,
            rewritten: record.via == forever200_ring::Via::Http,
            likeness: format!("{:x}", entry.likeness),
        }
    }
}

/// Folds neighbours that are alike.
fn groups(entries: &[&Entry], now: Timestamp) -> Vec<Group> {
    let alike = entries.chunk_by(|a, b| a.likeness == b.likeness);
    let group = |alike: &[&Entry]| Group {
        count: alike.len(),
        sources: alike.iter().map(|entry| entry.record.src_ip).collect::<HashSet<_>>().len(),
        rows: alike.iter().map(|entry| Row::new(entry, now)).collect(),
    };
    alike.map(group).collect()
}

impl Chart {
    fn new(values: &[u64]) -> Self {
        let highest = values.iter().copied().max().unwrap_or_default();
        let mut path = String::new();
        for (x, &value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
            // At least one unit: a single request is seen beside a thousand.
            let height = (u128::from(value) * u128::from(CHART_HEIGHT) / u128::from(highest)).max(1);
            path.push_str(&format!("M{x} {CHART_HEIGHT}v-{height}h.8v{height}z"));
        }
        Self { path, width: values.len(), height: CHART_HEIGHT, highest }
    }
}

/// Returns how long ago something was, in its largest unit.
fn age(seconds: i64) -> String {
    if seconds < 1 { "now".to_owned() } else { format!("{} ago", span(seconds)) }
}

/// Returns a time in its largest unit.
fn span(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{} s", seconds.max(0)),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Returns the address of an asset, with a hash of its content.
fn asset_address(name: &str, content: &str) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("/home/static/{name}?v={:08x}", hasher.finish() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::record;

    #[test]
    fn an_age_has_one_unit() {
        for (seconds, shown) in [
            (-5, "now"),
            (0, "now"),
            (1, "1 s ago"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (3599, "59 min ago"),
            (3600, "1 h ago"),
            (86_399, "23 h ago"),
            (86_400, "1 d ago"),
            (864_000, "10 d ago"),
        ] {
            assert_eq!(age(seconds), shown);
        }
    }

    #[test]
    fn neighbours_that_are_alike_fold() {
        let entry = |raw: &[u8], ip: u8| {
            let record = forever200_ring::Record { src_ip: [203, 0, 113, ip].into(), ..record(raw) };
            Entry::new(record, 1)
        };
        let entries = [entry(b"GET /a1\r\n", 1), entry(b"GET /a2\r\n", 2), entry(b"x", 1), entry(b"GET /a1\r\n", 1)];
        let groups = groups(&entries.each_ref(), Timestamp::now());
        let counts: Vec<_> = groups.iter().map(|group| (group.count, group.sources)).collect();
        assert_eq!(counts, [(2, 2), (1, 1), (1, 1)]);
    }

    #[test]
    fn a_chart_shows_each_value_that_is_not_zero() {
        let chart = Chart::new(&[0, 1, 48_000, 24_000]);
        assert_eq!(chart.path, "M1 24v-1h.8v1zM2 24v-24h.8v24zM3 24v-12h.8v12z");
        assert_eq!((chart.width, chart.highest), (4, 48_000));
        assert_eq!(Chart::new(&[0, 0]).path, "");
        assert_eq!(Chart::new(&[u64::MAX]).path, "M0 24v-24h.8v24z");
    }
}
