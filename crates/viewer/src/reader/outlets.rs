//! The outlets, which get each request once, when it comes. They are the counters, and the lines if
//! lines are on.
//!
//! In: looks at the ring. Out: new requests and gaps, to each outlet. No outlet makes the reader
//! wait.

use std::sync::Arc;

use forever200_ring::Snapshot;

use crate::captures::{Captures, Offers};
use crate::metrics::Counters;
use crate::reader::entry::Entry;
use crate::reader::once::{Event, Once};

/// Gives each request to the counters and to lines.
pub(super) struct Outlets {
    once: Once,
    /// Requests up to this number were counted before this program was started; `None` before the
    /// first look.
    counted: Option<u64>,
    counters: Arc<Counters>,
    lines: Option<Offers>,
}

/// The numbers after which counters and lines begin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Start {
    /// The newest number that the history has; `None` where it is off or empty.
    pub(crate) history: Option<u64>,
    /// The newest number that has a line; `None` where it is unknown.
    pub(crate) lines: Option<u64>,
}

impl Outlets {
    pub(super) fn new(counters: Arc<Counters>, captures: Option<Captures>, start: Start) -> Self {
        // With lines, `once` begins after the newest line, because requests after it still need a
        // line. Those up to `counted` are not counted again.
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

    /// Takes what a look of the reader found, and gives what is new to the outlets.
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
            lines.queue_gaps();
        }
    }
}
