//! What stays when the ring has moved on: an SQLite file, which a person can open as well.
//!
//! In: each record that the reader has seen, as it came, and what it is an example of. Out: records by
//! their number. The reader never waits for the disk: records are handed to a thread of its own, and
//! what that cannot write is counted.
//!
//! Read in this order: [`keeper`] (what is handed over, and what is missing), [`found`] and [`kind`] (what is kept
//! beside the bytes), [`writer`] (the thread that writes) with [`rows`] (of one request) and [`collection`] (of each
//! kind), [`retention`] (what goes when there is too much), [`questions`] (what visitors read) with [`search`]. [`file`] opens the
//! file, and [`row`] reads a record from it. The schema is docs/history.sql.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::history::state::State;
use crate::history::writer::Inbox;

mod collection;
mod file;
pub(crate) mod found;
pub(crate) mod keeper;
mod kind;
mod questions;
mod retention;
mod row;
mod rows;
mod search;
mod state;
mod writer;

pub use file::OpenError;
pub(crate) use kind::Kind;
pub use questions::{Questions, Restored};
pub(crate) use search::{Column, From, Page, Wanted};
pub(crate) use writer::Item;

/// The file, for those who write and those who read.
pub struct History {
    inbox: Inbox,
    questions: Questions,
    state: Arc<State>,
    newest: u64,
}

impl History {
    /// Opens the history in `folder`, or begins one, and starts the thread that writes it. It grows to
    /// about `most_bytes`; then the oldest requests go.
    ///
    /// # Errors
    /// The folder cannot be used, or holds a file that is not for this version: see [`OpenError`].
    pub fn open(folder: &Path, most_bytes: u64) -> anyhow::Result<Self> {
        let path = folder.join(file::NAME);
        let connection = file::open(folder)?;
        let newest = questions::newest(&connection)?.unsigned_abs();
        let state = Arc::new(State::default());
        let inbox = writer::start(connection, most_bytes, Arc::clone(&state))
            .context("no thread for the history")?;
        Ok(Self {
            inbox,
            questions: Questions::new(path),
            state,
            newest,
        })
    }

    /// Returns the newest number that was there when it was opened; 0 when it was empty.
    #[must_use]
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Puts something into the queue of what is to be written. Returns it where there is no room, at once.
    pub(crate) fn offer(&self, item: Item) -> Result<(), Item> {
        self.inbox.offer(item)
    }

    /// Returns what visitors may ask.
    #[must_use]
    pub fn questions(&self) -> &Questions {
        &self.questions
    }

    /// Returns a sentence for those who look, when something is wrong with the history.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.state.trouble()
    }
}

#[cfg(test)]
mod tests;
