//! What all requests to the viewer share.

use std::sync::Arc;

use tokio::sync::watch;

use crate::page::pages::Pages;
use crate::reader::Reader;
use crate::web::cache::Caches;
use crate::web::hosts::Hosts;
use crate::web::limits::Limits;

/// What all requests share.
pub(crate) struct Viewer {
    pub(crate) reader: Reader,
    pub(crate) pages: Arc<Pages>,
    pub(crate) caches: Caches,
    pub(crate) limits: Arc<Limits>,
    pub(crate) hosts: Hosts,
    /// Ends when the viewer is told to stop.
    pub(crate) stopping: watch::Receiver<()>,
}

impl Viewer {
    /// Ends when the viewer is told to stop.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let mut stopping = self.stopping.clone();
        async move {
            let _ = stopping.changed().await;
        }
    }
}
