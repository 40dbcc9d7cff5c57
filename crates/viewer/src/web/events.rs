//! New requests as server-sent events, to any number of watchers.
//!
//! In: the feed's views, and what a watcher wants of them. Out: `event: request` with JSON or, for the
//! page, `event: row` with HTML; `event: reset` when counting began anew. A watcher that reads slowly
//! misses no view but the ones that a newer one replaced; one that is flooded is told of as much as it
//! can show.
//!
//! Protocol: HTML Standard, "Server-sent events".

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::export::json;
use crate::page::filter::Filter;
use crate::page::pages::Pages;
use crate::reader::entry::Entry;
use crate::reader::follow::View;

/// Longest silence: shorter than haproxy's time limits, and a sign of life for the page.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Shortest time between two strips.
const STRIP_INTERVAL: Duration = Duration::from_secs(1);
/// A watcher gets this pause for each request it was sent: a ring a second, more than anyone reads.
const PAUSE_PER_REQUEST: Duration = Duration::from_millis(10);

/// How a watcher wants to be told.
#[derive(Clone)]
pub enum Format {
    /// As JSON.
    Json,
    /// As rows and strips of the page.
    Html(Arc<Pages>),
}

/// One watcher.
struct Watcher {
    views: watch::Receiver<Arc<View>>,
    filter: Filter,
    format: Format,
    /// What has appeared up to this version was sent, or was not meant.
    seen: u64,
    /// For the first look: the newest request that the watcher knows from before.
    after: u64,
    /// Counting, as last seen: where it began, and how far it was.
    counting: (Option<Timestamp>, u64),
    ready: VecDeque<Event>,
    next_look: Instant,
    next_strip: Instant,
    /// The last strip that was sent is out of date.
    stale: bool,
}

/// Streams the requests after number `after`, or from now on, until `stopped` ends.
#[must_use]
pub fn events(
    views: watch::Receiver<Arc<View>>,
    filter: Filter,
    format: Format,
    after: Option<u64>,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> Response {
    let view = Arc::clone(&views.borrow());
    let cursor = view.snapshot.cursor;
    let now = Instant::now();
    let mut watcher = Watcher {
        views,
        filter,
        format,
        seen: if after.is_some() { 0 } else { view.version },
        after: after.unwrap_or_default(),
        counting: (view.snapshot.since, after.unwrap_or(cursor)),
        // A comment first, so that the client knows at once that it is connected.
        ready: VecDeque::from([Event::default().comment("forever200")]),
        next_look: now,
        next_strip: now,
        stale: true,
    };
    watcher.views.mark_changed();
    Sse::new(watcher.stream().take_until(Box::pin(stopped)))
        .keep_alive(KeepAlive::new().interval(HEARTBEAT))
        .into_response()
}

impl Watcher {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, async |mut watcher| {
            while watcher.ready.is_empty() {
                watcher.wait().await?;
            }
            watcher.ready.pop_front().map(|event| (Ok(event), watcher))
        })
    }

    /// Waits for something to tell; `None` when the feed has ended.
    async fn wait(&mut self) -> Option<()> {
        sleep_until(self.next_look).await;
        let deadline = self.next_strip
            + if self.stale {
                Duration::ZERO
            } else {
                HEARTBEAT
            };
        let changed = match &self.format {
            Format::Json => Ok(self.views.changed().await),
            Format::Html(_) => timeout_at(deadline, self.views.changed()).await,
        };
        if let Ok(changed) = changed {
            changed.ok()?;
        }
        let view = Arc::clone(&self.views.borrow_and_update());
        self.rows(&view);
        self.strip(&view);
        Some(())
    }

    fn rows(&mut self, view: &View) {
        let counting = (view.snapshot.since, view.snapshot.cursor);
        let (began, reached) = std::mem::replace(&mut self.counting, counting);
        if began != counting.0 || reached > counting.1 {
            (self.seen, self.after) = (0, 0);
            self.ready
                .push_back(Event::default().event("reset").data("counting began anew"));
        }
        let is_new =
            |entry: &&Arc<Entry>| entry.appeared > self.seen && entry.record.seq > self.after;
        let new = view
            .entries
            .iter()
            .rev()
            .filter(is_new)
            .filter(|entry| self.filter.matches(entry));
        let events: Vec<_> = new.filter_map(|entry| self.event(entry)).collect();
        (self.seen, self.after) = (view.version, 0);
        self.next_look = Instant::now() + PAUSE_PER_REQUEST * events.len() as u32;
        self.ready.extend(events);
    }

    fn event(&self, entry: &Entry) -> Option<Event> {
        let event = Event::default().id(entry.record.seq.to_string());
        match &self.format {
            Format::Json => Some(event.event("request").data(json::json(entry, false).get())),
            Format::Html(pages) => Some(event.event("row").data(pages.row(entry).ok()?.trim())),
        }
    }

    fn strip(&mut self, view: &View) {
        let now = Instant::now();
        self.stale = true;
        if let Format::Html(pages) = &self.format
            && now >= self.next_strip
            && let Ok(strip) = pages.strip(view)
        {
            (self.next_strip, self.stale) = (now + STRIP_INTERVAL, false);
            self.ready
                .push_back(Event::default().event("strip").data(strip.trim()));
        }
    }
}
