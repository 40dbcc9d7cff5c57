//! Routes, and what every response has in common.
//!
//! In: HTTP requests of visitors. Out: pages, JSON, bytes, always with the security headers. A failure
//! is laid out at the end, in one place.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use forever200_daemon::GRACE_PERIOD;
use forever200_ring::Store;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tower_http::compression::CompressionLayer;
use tracing::{info, warn};

use crate::page::pages::{self, Pages};
use crate::reader::describer::Knowledge;
use crate::reader::follow::Feed;
use crate::web::cache::Latest;
use crate::web::content::Content;
use crate::web::failure::Failure;
use crate::web::handlers::{
    api_list, api_request, asset, download, event_stream, export_as, health, home, labels, request,
    stats, text,
};

/// On every response: nothing from elsewhere, nothing inline, no framing.
const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("x-robots-tag"), "noindex"),
];

/// What all requests share.
pub(crate) struct Viewer {
    pub(crate) feed: Feed,
    pub(crate) pages: Arc<Pages>,
    /// The list of the API, by version of the view and query.
    pub(crate) list: Latest<(u64, Option<String>), Arc<Content>>,
    /// Held while all requests are laid out for a file: hundreds who want one leave a core to those who look.
    pub(crate) exporting: Arc<Mutex<()>>,
    /// Ends when the viewer is told to stop.
    pub(crate) stopping: watch::Receiver<()>,
}

/// Serves until `shutdown` ends, then finishes open requests, for five seconds at most.
///
/// # Errors
/// The listener fails for good.
pub async fn run(
    listener: TcpListener,
    store: Store,
    knowledge: Knowledge,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (stop, stopping) = watch::channel(());
    knowledge.privacy.log();
    let knowledge = Arc::new(knowledge);
    let feed = Feed::new(store, Arc::clone(&knowledge));
    let pages = Arc::new(Pages::new(knowledge));
    let viewer = Arc::new(Viewer {
        feed,
        pages,
        list: Latest::new(),
        exporting: Arc::default(),
        stopping: stopping.clone(),
    });
    let app = routes(Arc::clone(&viewer));
    let serving = axum::serve(listener, app)
        .with_graceful_shutdown(stopped(stopping))
        .into_future();
    tokio::pin!(serving);
    info!("started");
    tokio::select! {
        served = &mut serving => return Ok(served?),
        () = viewer.feed.run() => {}
        () = shutdown => drop(stop),
    }
    if tokio::time::timeout(GRACE_PERIOD, serving).await.is_err() {
        warn!("cut off open requests at the end");
    }
    info!("stopped");
    Ok(())
}

/// Ends when the viewer is told to stop.
pub(crate) async fn stopped(mut stopping: watch::Receiver<()>) {
    let _ = stopping.changed().await;
}

fn routes(viewer: Arc<Viewer>) -> Router {
    Router::new()
        .route("/home", get(home))
        .route("/home/", get(home))
        .route("/home/labels", get(labels))
        .route("/home/requests/{seq}", get(request))
        .route("/home/requests/{seq}/{format}", get(download))
        .route("/home/api/requests", get(api_list))
        .route("/home/api/requests/{seq}", get(api_request))
        .route("/home/api/stats", get(stats))
        .route("/home/events", get(event_stream))
        .route("/home/text", get(text))
        .route("/home/export.{format}", get(export_as))
        .route("/home/health", get(health))
        .route(
            "/home/static/style.css",
            get(|| asset("text/css; charset=utf-8", pages::STYLE)),
        )
        .route(
            "/home/static/script.js",
            get(|| asset("text/javascript; charset=utf-8", pages::SCRIPT)),
        )
        .route(
            "/home/static/icon.svg",
            get(|| asset("image/svg+xml", pages::ICON)),
        )
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed)
        .layer(from_fn_with_state(Arc::clone(&viewer), finish))
        .layer(CompressionLayer::new())
        .with_state(viewer)
}

/// Lays out failures and sets the headers that every response has.
async fn finish(State(viewer): State<Arc<Viewer>>, request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/home/api");
    let mut response = next.run(request).await;
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        // Keeps the headers that were there: `Allow`, with 405.
        let (mut parts, _) = response.into_parts();
        let laid_out = failure.lay_out(is_api, &viewer.pages);
        parts.headers.extend(laid_out.headers().clone());
        parts.status = laid_out.status();
        response = Response::from_parts(parts, laid_out.into_body());
    }
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
