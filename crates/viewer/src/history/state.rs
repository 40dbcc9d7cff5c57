//! How the history is, for those who look.

use std::sync::{Mutex, PoisonError};

use tracing::{info, warn};

/// What the writer says of itself.
#[derive(Debug, Default)]
pub(super) struct State {
    trouble: Mutex<Option<String>>,
}

impl State {
    /// Returns what is wrong; `None` when nothing is.
    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Says that writing failed, once in the log however often it fails.
    pub(super) fn failed(&self, error: &rusqlite::Error) {
        let mut trouble = self.lock();
        if trouble.is_none() {
            warn!(%error, "the history cannot be written");
        }
        *trouble = Some(format!("The history cannot be written: {error}."));
    }

    /// Says that writing succeeded.
    pub(super) fn works(&self) {
        if self.lock().take().is_some() {
            info!("the history is written again");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
