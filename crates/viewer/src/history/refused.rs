//! What cannot be written, however often it is tried, though the disk is well.
//!
//! In: errors of a transaction. Out: whether one of its items is at fault, and the note that stands
//! in the place of such a request: one request must not keep all others out.

use forever200_ring::{Record, Sent};
use jiff::Timestamp;
use rusqlite::{ErrorCode, Transaction};

use crate::history::keeper::Gap;
use crate::history::{gaps, sent};

/// The thread that writes was about to end.
#[derive(Debug, thiserror::Error)]
#[error("a bug: the thread that writes it has panicked")]
pub(super) struct Panicked;

/// A request that is left out.
#[derive(Debug)]
pub(crate) struct LeftOut {
    /// Its number alone.
    pub(super) gap: Gap,
    sent: Option<Box<Sent>>,
}

impl LeftOut {
    pub(super) fn new(record: &Record, now: Timestamp) -> Self {
        Self {
            gap: Gap::of_one(record.seq, now),
            sent: record.sensor.clone(),
        }
    }

    /// Counts it, and has its sensor not send it again.
    ///
    /// # Errors
    /// The disk refuses, or somebody has the file locked.
    pub(super) fn write(&self, to: &Transaction<'_>) -> rusqlite::Result<()> {
        gaps::write_one(to, &self.gap)?;
        match &self.sent {
            Some(sent) => sent::note_left_out(to, self.gap.first, sent),
            None => Ok(()),
        }
    }
}

/// Tells whether the error is about what was to be written, and not about the disk.
pub(super) fn is_of_an_item(error: &anyhow::Error) -> bool {
    let code = error
        .downcast_ref::<rusqlite::Error>()
        .and_then(rusqlite::Error::sqlite_error_code);
    let is_refused = matches!(
        code,
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
    );
    is_refused || error.is::<Panicked>()
}
