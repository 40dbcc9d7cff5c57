//! The viewer's own numbers, its health, and the files of its pages.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use jiff::Timestamp;
use serde::Serialize;

use crate::captures::Captures;
use crate::page::stats::Stats;
use crate::reader::for_visitors::Health;
use crate::web::answer::Shared;
use crate::web::failure::Failure;
use crate::web::limits::Visitor;
use crate::web::state::Viewer;

/// `Cache-Control` of assets, whose address changes with their content.
const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";

pub(crate) async fn stats(State(viewer): Shared) -> Result<Response, Failure> {
    let view = viewer.reader.view().await?;
    let lines = viewer.captures.as_ref().map(Captures::counted);
    let stats = Stats {
        lines,
        ..Stats::new(&view, Timestamp::now())
    };
    Ok(Json(stats).into_response())
}

/// The answer to the health check.
#[derive(Serialize)]
struct HealthAnswer {
    status: &'static str,
    #[serde(flatten)]
    health: Option<Health>,
    /// Why the history is not written. The page works without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn health(State(viewer): Shared) -> Response {
    let history = viewer
        .history
        .as_ref()
        .and_then(|history| history.trouble());
    match viewer.reader.health().await {
        Ok(health) => Json(HealthAnswer {
            status: "ok",
            health: Some(health),
            history,
            error: None,
        })
        .into_response(),
        Err(error) => {
            let error = Some(format!("{error:#}"));
            let answer = Json(HealthAnswer {
                status: "the ring cannot be read",
                health: None,
                history,
                error,
            });
            (StatusCode::SERVICE_UNAVAILABLE, answer).into_response()
        }
    }
}

/// Returns the handler of a style, a script or the icon.
pub(crate) fn asset(file: &'static str) -> MethodRouter<Arc<Viewer>> {
    get(async move |State(viewer): Shared, visitor: Visitor| {
        let asset = viewer.caches.asset(file).ok_or(Failure::NotFound)?;
        let kept = [(CACHE_CONTROL, CACHE_FOREVER)];
        Ok::<_, Failure>((kept, asset.respond(asset.body(visitor.takes_gzip))))
    })
}
