//! What of a sensor's history is not sent yet: how far it was read, and what comes next from it.
//!
//! In: the history. Out: requests in the order of their numbers, each with how many before it are
//! missing. Waits for a number that is late, and gives one up that does not come.

use std::time::Duration;

use forever200_ring::SLOTS;
use forever200_viewer::history::Outbox;
use tokio::time::Instant;

/// Requests that are read at once, at most; as many are sent and not acknowledged yet: 4 MiB of the
/// longest that are kept by default.
pub(crate) const MOST_IN_FLIGHT: usize = 64;
/// Longest wait for a number whose record is not in the history, though later ones are: a slot may
/// be written late.
const LATE_TIME: Duration = Duration::from_secs(5);

/// What is to be sent next.
pub(crate) struct Due {
    pub(crate) seq: u64,
    /// How many before it are missing.
    pub(crate) missing: u64,
    pub(crate) body: Vec<u8>,
}

/// How far the history was read.
pub(crate) struct Unsent {
    /// The newest number that was read; `None` before the first of a history that the stream has
    /// nothing of.
    pub(crate) seq: Option<u64>,
    /// Numbers that the servers refused, and those that were missing before these, which no
    /// message says yet.
    refused: u64,
    /// Since when a number is awaited whose record is late.
    late: Option<Instant>,
}

impl Unsent {
    /// Begins behind the last number that the stream has, a little earlier: of messages that were
    /// in flight together, a later one may have arrived alone. Their numbers may be far apart. What
    /// is sent again says again what is missing before it: a hub takes each once, and counts with
    /// it.
    pub(crate) fn resume_after(last: Option<u64>, outbox: &Outbox) -> anyhow::Result<Self> {
        let before = |last| outbox.before(last, MOST_IN_FLIGHT);
        Ok(Self {
            seq: last.map(before).transpose()?,
            refused: 0,
            late: None,
        })
    }

    /// Tells whether something may be due though the history has not changed.
    pub(crate) fn is_waiting(&self) -> bool {
        self.late.is_some()
    }

    /// Returns what comes next, and moves behind it; nothing when all is sent, or the next number
    /// is late.
    pub(crate) fn due(&mut self, outbox: &Outbox) -> anyhow::Result<Vec<Due>> {
        let newest = outbox.newest()?;
        let mut due = Vec::new();
        while due.is_empty() {
            let records = outbox.after(self.seq.unwrap_or(0), MOST_IN_FLIGHT)?;
            if records.is_empty() {
                break;
            }
            for record in records {
                let next = self.seq.map_or(record.seq, |seq| seq + 1);
                if record.seq > next && !self.gives_up(next, newest) {
                    return Ok(due);
                }
                self.late = None;
                self.seq = Some(record.seq);
                // What came here from another machine is that one's to send.
                if record.sensor.is_none() {
                    due.push(Due {
                        seq: record.seq,
                        missing: record.seq.saturating_sub(next),
                        body: record.encode(),
                    });
                }
            }
        }
        Ok(due)
    }

    /// Notes that the servers refused a request: it is missing, as if it had left the history.
    pub(crate) fn refuse(&mut self, message: &Due) {
        self.refused += 1 + message.missing;
    }

    /// Returns the refused numbers that no message says yet. The caller's next one does.
    pub(crate) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Tells whether a number will not come any more: the ring has no place for it, or it is late
    /// for too long.
    fn gives_up(&mut self, next: u64, newest: u64) -> bool {
        let since = *self.late.get_or_insert_with(Instant::now);
        next + SLOTS <= newest || since.elapsed() > LATE_TIME
    }
}
