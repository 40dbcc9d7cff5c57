//! New requests as server-sent events, to any number of watchers.
//!
//! In: the reader's views, and the filter of a watcher. Out: `event: request` with JSON or, for the
//! page, `event: row` with HTML; `event: reset` when the numbers start again at 1. A watcher costs
//! the memory of some numbers and one event. A client that reads slowly misses the requests that
//! leave the ring meanwhile. In a flood, a client gets only as many requests as it can show. The
//! wall gets one request a second, the rarest of the requests that came in that second.
//!
//! Protocol: HTML Standard, "Server-sent events".

use std::cmp::Reverse;
use std::collections::VecDeque;
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
use crate::web::limits::Visitor;
use crate::web::room::Busy;
use crate::web::state::Viewer;

/// Longest time without an event. It is shorter than haproxy's timeouts, and tells the page that
/// the connection is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Shortest time between two strips.
const STRIP_INTERVAL: Duration = Duration::from_secs(1);
/// For each request that is sent, the watcher pauses for this long. That allows about a whole ring
/// a second, more than anyone reads.
const PAUSE_PER_REQUEST: Duration = Duration::from_millis(10);
/// The pause of a wall for each request: rows that come faster cannot be read from afar.
const PAUSE_OF_WALL: Duration = Duration::from_secs(1);

/// Shortest time between two checks for a watcher with a filter. Hundreds of watchers may have a
/// filter that nothing ever meets.
const CHOOSING_INTERVAL: Duration = Duration::from_millis(150);
/// Most requests of one view that are sent at once. These are the newest, so that a watcher does
/// not get the oldest first in a flood.
const MOST_AT_A_TIME: usize = 25;

/// The format in which a watcher gets its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As JSON.
    Json,
    /// As rows and strips of the page.
    Html,
    /// As rows and strips of the wall.
    Wall,
}

/// One watcher.
struct Watcher {
    viewer: Arc<Viewer>,
    visitor: Visitor,
    views: watch::Receiver<Arc<View>>,
    filter: Arc<Filter>,
    format: Format,
    /// The entries that appeared up to this version of the view have been checked.
    seen: u64,
    /// The numbers of the requests that are sent next.
    pending: VecDeque<u64>,
    /// The numbers of the requests that were left out in a flood. A page gets them when there is
    /// nothing newer, because it shows what the ring holds.
    late: Vec<u64>,
    /// The largest number that was sent.
    newest_told: u64,
    /// Up to this number, the view that was checked last is complete. In a flood, some requests are
    /// not described yet.
    complete_up_to: u64,
    /// The next check sends all requests, however many they are.
    catches_up: bool,
    /// The number of the newest request that the client already knew when it connected.
    after: u64,
    /// From the last view: when the numbers began at 1, and the newest number.
    counting: (Option<Timestamp>, u64),
    /// The first event is a comment, so that the client knows at once that it is connected.
    is_new: bool,
    next_check: Instant,
    next_strip: Instant,
    next_heartbeat: Instant,
    /// The last strip that was sent is out of date.
    is_stale: bool,
}

/// Streams the requests after number `after`, or from now on, until the viewer stops.
#[must_use]
pub(crate) fn events(
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
        seen: if after.is_some() { 0 } else { view.version },
        pending: VecDeque::new(),
        late: Vec::new(),
        newest_told: 0,
        complete_up_to: 0,
        catches_up: true,
        after: after.unwrap_or_default(),
        counting: (view.snapshot.since, after.unwrap_or(view.snapshot.cursor)),
        is_new: true,
        next_check: now,
        next_strip: now,
        next_heartbeat: now + HEARTBEAT,
        is_stale: format.is_page(),
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
        // Without this header, nginx keeps an answer until it has some kB of it.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ]);
    response
}

impl Format {
    /// Tells whether the events are for a page, which shows what the ring holds.
    fn is_page(self) -> bool {
        self != Self::Json
    }
}

impl Watcher {
    /// Returns the next event; `None` if there will be no more, or if there is no room for it.
    async fn event(&mut self) -> Option<Bytes> {
        let event = match self.next().await? {
            event if event.len() < json::SHORT_BYTES => self.visitor.hold(event).await.ok()?,
            // A long event already has its room.
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
                return Some(self.heartbeat());
            }
            // The view is dropped before each wait, because there may be a newer view afterwards.
            let view = self.newest();
            if self.counting_began_anew(&view) {
                return Some(frame("reset", None, b"the numbers start again at 1"));
            }
            let is_all_seen = Instant::now() >= self.next_check && self.seen == view.version;
            let mut next = self.pending.pop_front();
            if next.is_none() && is_all_seen {
                next = self.late.pop();
            }
            if let Some(seq) = next {
                drop(view);
                match self.request(seq).await {
                    Ok(Some(event)) => return Some(event),
                    Ok(None) => continue,
                    Err(Busy) => return None,
                }
            }
            if Instant::now() < self.next_check {
                if let Some(strip) = self.strip(&view) {
                    return Some(strip);
                }
                drop(view);
                sleep_until(self.next_check).await;
                continue;
            }
            if self.seen < view.version {
                self.check(&view).await.ok()?;
                continue;
            }
            if let Some(strip) = self.strip(&view) {
                return Some(strip);
            }
            drop(view);
            let next_due = if self.is_stale {
                self.next_strip
            } else {
                self.next_heartbeat
            };
            let deadline = next_due.min(self.next_heartbeat);
            if let Ok(changed) = timeout_at(deadline, self.views.changed()).await {
                changed.ok()?;
                self.is_stale = self.format.is_page();
            }
        }
    }

    /// Returns an event that says that the connection is alive. A page gets an event with data: a
    /// browser does not pass comments, or events without data, to the script.
    fn heartbeat(&self) -> Bytes {
        if self.format.is_page() {
            frame("alive", None, b"1")
        } else {
            comment("")
        }
    }

    fn newest(&mut self) -> Arc<View> {
        Arc::clone(&self.views.borrow_and_update())
    }

    fn counting_began_anew(&mut self, view: &View) -> bool {
        let counting = (view.snapshot.since, view.snapshot.cursor);
        let (began, reached) = std::mem::replace(&mut self.counting, counting);
        let is_anew = began != counting.0 || reached > counting.1;
        if is_anew {
            (self.seen, self.after, self.catches_up) = (0, 0, true);
            self.newest_told = 0;
            self.pending.clear();
            self.late.clear();
        }
        is_anew
    }

    /// Checks which new requests of this view the watcher wants, and queues them.
    async fn check(&mut self, view: &View) -> Result<(), Busy> {
        let mut new = Vec::new();
        for entry in &view.entries {
            if entry.appeared > self.seen && entry.record.seq > self.after {
                new.push(Arc::clone(entry));
            }
        }
        (self.seen, self.after) = (view.version, 0);
        self.complete_up_to = view.complete_up_to();
        self.is_stale |= self.format.is_page();
        // Requests need not appear in the order of their numbers. With a history, the requests that
        // leave the ring next are described first; else the newest are described first.
        new.sort_unstable_by_key(|entry| entry.record.seq);
        let filter = Arc::clone(&self.filter);
        if filter.chooses() {
            self.next_check = self.next_check.max(Instant::now() + CHOOSING_INTERVAL);
        }
        let (is_idle, searches) = (new.is_empty(), filter.searches());
        let choose = move || {
            let wanted = new.iter().filter(|entry| filter.matches(entry));
            wanted.map(|entry| entry.record.seq).collect()
        };
        let mut wanted: VecDeque<_> = if searches && !is_idle {
            self.visitor.make_next(0, choose).await?.0
        } else {
            choose()
        };
        if self.format == Format::Wall {
            let rarity = self.viewer.caches.rarity(view);
            wanted.make_contiguous().sort_by_cached_key(|&seq| {
                let count = view.find(seq).map_or(0, |entry| rarity.count(entry));
                (Reverse(count), seq)
            });
        }
        let most = match self.format {
            Format::Wall => 1,
            _ if std::mem::take(&mut self.catches_up) => wanted.len(),
            _ => MOST_AT_A_TIME,
        };
        let told_at_once = wanted.split_off(wanted.len().saturating_sub(most));
        if self.format.is_page() {
            self.late.extend(wanted);
        }
        self.late.retain(|&seq| seq >= view.oldest());
        self.pending = told_at_once;
        Ok(())
    }

    /// Returns the event of a request, if the request is still in the ring.
    async fn request(&mut self, seq: u64) -> Result<Option<Bytes>, Busy> {
        let Some(entry) = self.newest().find(seq).map(Arc::clone) else {
            return Ok(None);
        };
        self.newest_told = self.newest_told.max(seq);
        let (format, viewer) = (self.format, Arc::clone(&self.viewer));
        let id = match format {
            Format::Html | Format::Wall => self.told_up_to(),
            Format::Json => seq,
        };
        let is_short = format.is_page() || json::is_short(&entry);
        let most_bytes = json::most_bytes(&entry, false);
        let make = move || of_request(&viewer, &entry, format, id);
        let event = if is_short {
            make()
        } else {
            let _turn = self.visitor.long_event().await;
            let (event, taken) = self.visitor.make_next(most_bytes, make).await?;
            match event {
                Some(event) if event.len() >= json::SHORT_BYTES => Some(taken.hold(event)),
                event => event,
            }
        };
        if event.is_some() {
            let pause = match format {
                Format::Wall => PAUSE_OF_WALL,
                Format::Json | Format::Html => PAUSE_PER_REQUEST,
            };
            self.next_check = self.next_check.max(Instant::now()) + pause;
        }
        Ok(event)
    }

    /// Returns the number up to which all requests were sent or are not wanted. A page that
    /// reconnects asks for the requests after this number. In a flood, requests are sent out of
    /// order.
    fn told_up_to(&self) -> u64 {
        let told = self.newest_told.min(self.complete_up_to);
        let untold = self.pending.iter().chain(&self.late).min();
        untold.map_or(told, |&seq| told.min(seq.saturating_sub(1)))
    }

    fn strip(&mut self, view: &View) -> Option<Bytes> {
        let now = Instant::now();
        if !self.is_stale || now < self.next_strip {
            return None;
        }
        (self.next_strip, self.is_stale) = (now + STRIP_INTERVAL, false);
        let Viewer { caches, pages, .. } = &*self.viewer;
        let strip = match self.format {
            Format::Wall => caches.wall_strip(pages, view),
            Format::Json | Format::Html => caches.strip(pages, view),
        };
        let strip = strip.ok()?;
        Some(frame("strip", None, strip.trim_ascii()))
    }
}

fn of_request(viewer: &Viewer, entry: &Entry, format: Format, id: u64) -> Option<Bytes> {
    let id = Some(id);
    Some(match format {
        Format::Json => frame("request", id, &json::request(entry, false)),
        Format::Html => frame("row", id, viewer.pages.row(entry).ok()?.trim_ascii()),
        Format::Wall => frame("row", id, viewer.pages.wall_row(entry).ok()?.trim_ascii()),
    })
}

/// Returns a comment, which clients ignore.
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
