//! What all requests to the viewer share.

use std::sync::Arc;

use tokio::sync::watch;

use crate::captures::Captures;
use crate::history::{History, Questions};
use crate::metrics::Counters;
use crate::page::pages::Pages;
use crate::reader::Reader;
use crate::web::cache::Caches;
use crate::web::failure::Failure;
use crate::web::hosts::Hosts;
use crate::web::limits::{Limits, Visitor};
use crate::web::room::Taken;

/// What all requests share.
pub(crate) struct Viewer {
    pub(crate) reader: Reader,
    /// `None` if the history is off.
    pub(crate) history: Option<Arc<History>>,
    /// `None` if no lines are written.
    pub(crate) captures: Option<Captures>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) pages: Arc<Pages>,
    pub(crate) caches: Caches,
    pub(crate) limits: Arc<Limits>,
    pub(crate) hosts: Hosts,
    /// Its sender is dropped when the viewer stops.
    pub(crate) stopping: watch::Receiver<()>,
}

impl Viewer {
    /// Runs `question` on another thread when it is this visitor's turn. Returns its answer, and
    /// room for it.
    ///
    /// # Errors
    /// The history is off, or cannot be read in time; too many answers wait already; or `question`
    /// fails.
    pub(crate) async fn ask_history<T: Send + 'static>(
        &self,
        visitor: &Visitor,
        most_bytes: usize,
        question: impl FnOnce(&Questions) -> Result<T, Failure> + Send + 'static,
    ) -> Result<(T, Taken), Failure> {
        let history = self.history.clone().ok_or(Failure::NoHistory)?;
        let ask = move || question(history.questions());
        let (answer, taken) = visitor.make(most_bytes, ask).await?;
        Ok((answer?, taken))
    }

    /// Returns a future that ends when the viewer stops.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let mut stopping = self.stopping.clone();
        async move {
            let _ = stopping.changed().await;
        }
    }
}
