//! What is told of each request as it comes, once: counters, and lines where they are wanted.
//!
//! In: looks at the ring. Out: to each outlet what is new. Neither makes the reader wait.

use std::sync::Arc;

use forever200_ring::Snapshot;

use crate::captures::{Captures, Offers};
use crate::metrics::Counters;
use crate::reader::entry::Entry;
use crate::reader::once::{Event, Once};

/// What hears of requests beside the views and the history.
pub(super) struct Outlets {
    once: Once,
    /// Requests up to this number were counted before this program was started; `None` before the
    /// first look.
    counted: Option<u64>,
    counters: Arc<Counters>,
    lines: Option<Offers>,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Start {
    /// The newest number that the history has; `None` where it is off or empty.
    pub(crate) history: Option<u64>,
    /// The newest number that has a line; `None` where nobody knows.
    pub(crate) lines: Option<u64>,
}

impl Outlets {
    pub(super) fn new(counters: Arc<Counters>, captures: Option<Captures>, start: Start) -> Self {
        // A request is counted before its line is written: where there are lines, the newest of them
        // says what was counted.
        let once = match captures {
            Some(_) => Once::new(start.lines),
            None => Once::new(start.history),
        };
        Self {
            once,
            counted: start.history,
            counters,
            lines: captures.map(Offers::new),
        }
    }

    /// Ends a look.
    pub(super) fn look(&mut self, snapshot: &Snapshot, entries: &[Arc<Entry>]) {
        let counted = self.counted.get_or_insert(snapshot.cursor);
        let events = self.once.look(snapshot, entries);
        if snapshot.cursor < *counted && !events.is_empty() {
            // Numbers have begun anew.
            *counted = 0;
        }
        let counted = *counted;
        for event in events {
            match &event {
                Event::Request(entry) if entry.record.seq > counted => self.counters.count(entry),
                Event::Gap(gap) if gap.last > counted => self.counters.count_missed(gap.requests),
                Event::Request(_) | Event::Gap(_) => {}
            }
            if let Some(lines) = &mut self.lines {
                lines.offer(&event);
            }
        }
        if let Some(lines) = &mut self.lines {
            lines.tell();
        }
    }
}
