//! The requests of a sensor's history that are not sent yet: how far the history was read, and
//! which requests come next.
//!
//! In: the history. Out: requests in the order of their numbers, each with the count of missing
//! requests before it. A number that is late is waited for, up to a time.

use std::time::Duration;

use forever200_ring::SLOTS;
use forever200_viewer::history::Outbox;
use tokio::time::Instant;

/// Most requests that are read at once, and also most that are sent and not acknowledged yet. With
/// the default limit of bytes, these are at most 4 MiB.
pub(crate) const MOST_IN_FLIGHT: usize = 64;
/// Longest wait for a number that is not in the history though later ones are. A slot may be
/// written late.
const LATE_TIME: Duration = Duration::from_secs(5);

/// A request to be sent.
pub(crate) struct Due {
    pub(crate) seq: u64,
    /// How many requests before it are missing.
    pub(crate) missing: u64,
    pub(crate) body: Vec<u8>,
}

/// How far the history was read.
pub(crate) struct Unsent {
    /// The newest number that was read; `None` until the first one is read, if the stream has
    /// nothing from this history.
    pub(crate) seq: Option<u64>,
    /// How many requests the servers refused, plus those that were missing before them. The next
    /// message reports this number.
    refused: u64,
    /// Since when the next number has been late.
    late: Option<Instant>,
}

impl Unsent {
    /// Starts a little before `last`, the last number that the stream has: several messages were in
    /// flight, and an earlier one may not have arrived. It goes back by so many requests, not by so
    /// many numbers: requests of sensors may lie between this machine's own. A message that is sent
    /// again reports again how many requests are missing before it. A hub takes each message once,
    /// so it counts the missing ones once too.
    pub(crate) fn resume_after(last: Option<u64>, outbox: &Outbox) -> anyhow::Result<Self> {
        let before = |last| outbox.before(last, MOST_IN_FLIGHT);
        Ok(Self {
            seq: last.map(before).transpose()?,
            refused: 0,
            late: None,
        })
    }

    /// Tells whether something may become due though the history does not change.
    pub(crate) fn is_waiting(&self) -> bool {
        self.late.is_some()
    }

    /// Returns the next requests, and moves on behind them. Returns none if there are no more, or
    /// if the next number is late.
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
                // A request that a sensor sent to this machine is not sent on.
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

    /// Notes that the servers refused a request. It is missing, as if it had left the history.
    pub(crate) fn refuse(&mut self, message: &Due) {
        self.refused += 1 + message.missing;
    }

    /// Returns the number of refused requests and of those missing before them, and sets it to 0.
    /// The caller's next message reports this number.
    pub(crate) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Tells whether a number will not come any more: its slot has a newer request, or it has been
    /// late for too long.
    fn gives_up(&mut self, next: u64, newest: u64) -> bool {
        let since = *self.late.get_or_insert_with(Instant::now);
        next + SLOTS <= newest || since.elapsed() > LATE_TIME
    }
}
