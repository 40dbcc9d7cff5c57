//! Metrics for Prometheus, for everybody who may see the page.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::captures::Captures;
use crate::metrics::{CONTENT_TYPE, Now, exposition};
use crate::web::answer::whole;
use crate::web::failure::Failure;
use crate::web::limits::Visitor;
use crate::web::prepared::Prepared;
use crate::web::state::Viewer;

/// Upper bound for the metrics, which have some 150 lines.
const METRICS_BYTES: usize = 32 * 1024;

pub(super) async fn metrics(
    State(viewer): State<Arc<Viewer>>,
    visitor: Visitor,
) -> Result<Response, Failure> {
    // Answers also while memcached cannot be read: a metric says so.
    let is_up = viewer.reader.view().await.is_ok();
    let visitors = viewer.limits.now(viewer.reader.watching());
    whole(&visitor, METRICS_BYTES, move || {
        let now = Now {
            view: &viewer.reader.newest(),
            is_up,
            history: viewer.history.as_ref().map(|history| history.now()),
            lines: viewer.captures.as_ref().map(Captures::counted),
            visitors,
        };
        let text = exposition(&viewer.counters, &now).map_err(anyhow::Error::from)?;
        Ok(Prepared::new(CONTENT_TYPE, text.into()))
    })
    .await
}
