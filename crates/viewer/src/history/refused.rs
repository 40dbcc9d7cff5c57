//! Finds out which items can never be written, although the disk works.
//!
//! In: errors of a transaction. Out: whether one of its items is at fault, and a note that is
//! written in place of such a request. Without it, that request would keep all others out.

use forever200_ring::{Record, Sent};
use jiff::Timestamp;
use rusqlite::{ErrorCode, Transaction};

use crate::history::keeper::Gap;
use crate::history::{gaps, sent};

/// The writer has panicked, and the panic was caught.
#[derive(Debug, thiserror::Error)]
#[error("a bug: the thread that writes the history has panicked")]
pub(super) struct Panicked;

/// A request that cannot be written.
#[derive(Debug)]
pub(crate) struct LeftOut {
    /// A gap with only this request.
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

    /// Counts the request as missing, and notes it so that its sensor does not send it again.
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

/// Tells whether an error is due to an item, and not to the disk.
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
