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
    /// What outlives the ring; `None` where it is off.
    pub(crate) history: Option<Arc<History>>,
    /// `None` where there are no lines.
    pub(crate) captures: Option<Captures>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) pages: Arc<Pages>,
    pub(crate) caches: Caches,
    pub(crate) limits: Arc<Limits>,
    pub(crate) hosts: Hosts,
    /// Ends when the viewer is told to stop.
    pub(crate) stopping: watch::Receiver<()>,
}

impl Viewer {
    /// Asks the history on another thread, when it is this visitor's turn. Returns room for the
    /// answer as well.
    ///
    /// # Errors
    /// The history is off, cannot be read, or not in time; too many wait already; what `question`
    /// says.
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

    /// Ends when the viewer is told to stop.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let mut stopping = self.stopping.clone();
        async move {
            let _ = stopping.changed().await;
        }
    }
}
