//! New requests as server-sent events, to any number of watchers.
//!
//! In: the reader's views, and what a watcher wants of them. Out: `event: request` with JSON or, for the page,
//! `event: row` with HTML; `event: reset` when counting began anew. A watcher holds the place up to which it was told and
//! one event: who reads slowly misses what rolls over meanwhile, and who is flooded is told of as much as can be shown.
//!
//! Protocol: HTML Standard, "Server-sent events".

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::export::json;
use crate::page::filter::Filter;
use crate::reader::{Entry, View};
use crate::web::limits::{Busy, Visitor};
use crate::web::state::Viewer;

/// Longest silence: shorter than haproxy's time limits, and a sign of life for the page.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Shortest time between two strips.
const STRIP_INTERVAL: Duration = Duration::from_secs(1);
/// A watcher gets this pause for each request it was sent: a ring a second, more than anyone reads.
const PAUSE_PER_REQUEST: Duration = Duration::from_millis(10);

/// Most requests that a watcher is told of at a time, the newest of them: who is flooded is not told of what was long ago.
const MOST_AT_A_TIME: usize = 25;

/// How a watcher wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As JSON.
    Json,
    /// As rows and strips of the page.
    Html,
}

/// One watcher.
struct Watcher {
    viewer: Arc<Viewer>,
    visitor: Visitor,
    views: watch::Receiver<Arc<View>>,
    filter: Arc<Filter>,
    format: Format,
    /// Up to where it was told: the version in which a request appeared, and its number.
    told: (u64, u64),
    /// The version whose requests are told of without a pause between them.
    batch: u64,
    /// The newest request that the watcher knows from before.
    after: u64,
    /// Counting, as last seen: where it began, and how far it was.
    counting: (Option<Timestamp>, u64),
    /// The first event is a comment, so that the client knows at once that it is connected.
    is_new: bool,
    next_look: Instant,
    next_strip: Instant,
    next_heartbeat: Instant,
    /// The last strip that was sent is out of date.
    is_stale: bool,
}

/// Streams the requests after number `after`, or from now on, until the viewer stops.
#[must_use]
pub fn events(
    viewer: &Arc<Viewer>,
    visitor: Visitor,
    filter: Filter,
    format: Format,
    after: Option<u64>,
) -> Response {
    let mut views = viewer.reader.watch();
    views.mark_changed();
    let view = Arc::clone(&views.borrow());
    let now = Instant::now();
    let watcher = Watcher {
        viewer: Arc::clone(viewer),
        visitor,
        views,
        filter: Arc::new(filter),
        format,
        told: if after.is_some() {
            (0, 0)
        } else {
            (view.version, u64::MAX)
        },
        batch: view.version,
        after: after.unwrap_or_default(),
        counting: (view.snapshot.since, after.unwrap_or(view.snapshot.cursor)),
        is_new: true,
        next_look: now,
        next_strip: now,
        next_heartbeat: now + HEARTBEAT,
        is_stale: format == Format::Html,
    };
    let events = stream::unfold(watcher, async |mut watcher| {
        watcher
            .event()
            .await
            .map(|event| (Ok::<_, Infallible>(event), watcher))
    });
    let mut response = Response::new(Body::from_stream(
        events.take_until(Box::pin(viewer.stopped())),
    ));
    response.headers_mut().extend([
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        // nginx keeps an answer until it has some kB of it, unless it is told not to.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ]);
    response
}

impl Watcher {
    /// Returns the next event; `None` when there is no more to come, or no room for it.
    async fn event(&mut self) -> Option<Bytes> {
        let event = match self.next().await? {
            event if event.len() < json::SHORT_BYTES => self.visitor.hold(event).await.ok()?,
            // It has its room already.
            event => event,
        };
        self.next_heartbeat = Instant::now() + HEARTBEAT;
        Some(event)
    }

    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.is_new) {
            return Some(comment("forever200"));
        }
        loop {
            if Instant::now() >= self.next_heartbeat {
                return Some(comment(""));
            }
            let view = Arc::clone(&self.views.borrow_and_update());
            if self.counting_began_anew(&view) {
                return Some(frame("reset", None, b"counting began anew"));
            }
            if let Some(entry) = self.next_entry(&view) {
                match self.request(entry).await {
                    Ok(Some(event)) => return Some(event),
                    Ok(None) => continue,
                    Err(Busy) => return None,
                }
            }
            sleep_until(self.next_look).await;
            if self.batch < view.version {
                self.begin_batch(&view);
                continue;
            }
            if let Some(strip) = self.strip(&view) {
                return Some(strip);
            }
            let is_due = if self.is_stale {
                self.next_strip
            } else {
                self.next_heartbeat
            };
            let deadline = is_due.min(self.next_heartbeat);
            if let Ok(changed) = timeout_at(deadline, self.views.changed()).await {
                changed.ok()?;
                self.is_stale = self.format == Format::Html;
            }
        }
    }

    fn counting_began_anew(&mut self, view: &View) -> bool {
        let counting = (view.snapshot.since, view.snapshot.cursor);
        let (began, reached) = std::mem::replace(&mut self.counting, counting);
        let is_anew = began != counting.0 || reached > counting.1;
        if is_anew {
            (self.told, self.after) = ((0, 0), 0);
        }
        is_anew
    }

    fn begin_batch(&mut self, view: &View) {
        self.batch = view.version;
        let mut new: Vec<_> = view
            .entries
            .iter()
            .map(place)
            .filter(|it| *it > self.told)
            .collect();
        new.sort_unstable();
        if let Some(skipped) = new.len().checked_sub(MOST_AT_A_TIME + 1) {
            self.told = new[skipped];
        }
    }

    /// Returns the oldest request of this batch that the watcher was not told of, and counts it as told.
    fn next_entry(&mut self, view: &View) -> Option<Arc<Entry>> {
        let is_new = |entry: &&Arc<Entry>| {
            place(entry) > self.told
                && entry.appeared <= self.batch
                && entry.record.seq > self.after
        };
        let next = view
            .entries
            .iter()
            .filter(is_new)
            .min_by_key(|entry| place(entry))?;
        self.told = place(next);
        Some(Arc::clone(next))
    }

    /// Returns the event of a request, if it is one that the watcher wants.
    async fn request(&mut self, entry: Arc<Entry>) -> Result<Option<Bytes>, Busy> {
        let (filter, format, viewer) = (
            Arc::clone(&self.filter),
            self.format,
            Arc::clone(&self.viewer),
        );
        let is_quick = !filter.searches() && (format == Format::Html || json::is_short(&entry));
        let most_bytes = if format == Format::Html {
            0
        } else {
            json::most_bytes(&entry)
        };
        let make = move || {
            filter
                .matches(&entry)
                .then(|| of_request(&viewer, &entry, format))
        };
        let event = if is_quick {
            make().flatten()
        } else {
            let (made, taken) = self.visitor.make_next(most_bytes, make).await?;
            match made.flatten() {
                Some(event) if event.len() >= json::SHORT_BYTES => Some(taken.hold(event)),
                event => event,
            }
        };
        if event.is_some() {
            self.next_look = self.next_look.max(Instant::now()) + PAUSE_PER_REQUEST;
        }
        Ok(event)
    }

    fn strip(&mut self, view: &View) -> Option<Bytes> {
        let now = Instant::now();
        if !self.is_stale || now < self.next_strip {
            return None;
        }
        (self.next_strip, self.is_stale) = (now + STRIP_INTERVAL, false);
        let strip = self.viewer.caches.strip(&self.viewer.pages, view).ok()?;
        Some(frame("strip", None, strip.trim_ascii()))
    }
}

/// Where a request stands among all that a watcher is told of. Numbers need not appear in their order.
fn place(entry: &Arc<Entry>) -> (u64, u64) {
    (entry.appeared, entry.record.seq)
}

fn of_request(viewer: &Viewer, entry: &Entry, format: Format) -> Option<Bytes> {
    let id = Some(entry.record.seq);
    Some(match format {
        Format::Json => frame("request", id, &json::request(entry, false)),
        Format::Html => frame("row", id, viewer.pages.row(entry).ok()?.trim_ascii()),
    })
}

/// A line that a client skips.
fn comment(text: &str) -> Bytes {
    format!(": {text}\n\n").into()
}

/// Lays out an event; `data` may have many lines.
fn frame(event: &str, id: Option<u64>, data: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(data.len() + 64);
    frame.put_slice(format!("event: {event}\n").as_bytes());
    if let Some(id) = id {
        frame.put_slice(format!("id: {id}\n").as_bytes());
    }
    for line in data.split(|&byte| byte == b'\n') {
        frame.put_slice(b"data: ");
        frame.put_slice(line);
        frame.put_u8(b'\n');
    }
    frame.put_u8(b'\n');
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_field_on_every_line() {
        let event = frame("row", Some(7), b"<tr>\n</tr>");
        assert_eq!(event, "event: row\nid: 7\ndata: <tr>\ndata: </tr>\n\n");
    }
}
