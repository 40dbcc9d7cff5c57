//! Routes, and what every response has in common.
//!
//! In: HTTP requests of visitors. Out: pages, JSON, bytes, always with the security headers. A failure
//! is laid out at the end, in one place: as JSON under `/home/api`, as a page elsewhere.

use std::future::Future;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use forever200_daemon::GRACE_PERIOD;
use forever200_ring::{Record, SLOTS, Store, StoreError};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::api;
use crate::page::{self, Pages};

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
/// For assets, whose address changes with their content.
const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";

/// What all requests share.
struct Viewer {
    store: Store,
    pages: Pages,
}

/// Why there is no page. Travels in the extensions of a response until [`finish`] lays it out.
#[derive(Clone, Debug)]
enum Failure {
    NotFound,
    RolledOver(u64),
    BadQuery(String),
    MethodNotAllowed,
    StoreAway(Arc<StoreError>),
    Bug(Arc<anyhow::Error>),
}

/// Serves until `shutdown` ends, then finishes open requests, for five seconds at most.
///
/// # Errors
/// The listener fails for good.
pub async fn run(listener: TcpListener, store: Store, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let (stop, mut stopping) = watch::channel(());
    let stopped = async move {
        let _ = stopping.changed().await;
    };
    let serving = axum::serve(listener, routes(store)).with_graceful_shutdown(stopped).into_future();
    tokio::pin!(serving);
    info!("started");
    tokio::select! {
        served = &mut serving => return Ok(served?),
        () = shutdown => drop(stop),
    }
    if tokio::time::timeout(GRACE_PERIOD, serving).await.is_err() {
        warn!("cut off open requests at the end");
    }
    info!("stopped");
    Ok(())
}

fn routes(store: Store) -> Router {
    let viewer = Arc::new(Viewer { store, pages: Pages::new() });
    Router::new()
        .route("/home", get(home))
        .route("/home/", get(home))
        .route("/home/requests/{seq}", get(request))
        .route("/home/requests/{seq}/raw", get(raw))
        .route("/home/api/requests", get(api_list))
        .route("/home/api/requests/{seq}", get(api_request))
        .route("/home/text", get(text))
        .route("/home/health", get(health))
        .route("/home/static/style.css", get(|| asset("text/css; charset=utf-8", page::STYLE)))
        .route("/home/static/icon.svg", get(|| asset("image/svg+xml", page::ICON)))
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed)
        .layer(from_fn_with_state(Arc::clone(&viewer), finish))
        .with_state(viewer)
}

async fn home(State(viewer): State<Arc<Viewer>>, headers: HeaderMap) -> Result<Html<String>, Failure> {
    let snapshot = viewer.store.snapshot().await?;
    Ok(Html(viewer.pages.home(&snapshot, host(&headers))?))
}

async fn request(State(viewer): State<Arc<Viewer>>, Path(seq): Path<String>) -> Result<Html<String>, Failure> {
    Ok(Html(viewer.pages.request(&viewer.record(&seq).await?)?))
}

async fn raw(State(viewer): State<Arc<Viewer>>, Path(seq): Path<String>) -> Result<impl IntoResponse, Failure> {
    let record = viewer.record(&seq).await?;
    let name = format!("attachment; filename=\"forever200-{}.bin\"", record.seq);
    Ok(([(CONTENT_TYPE, "application/octet-stream".to_owned()), (CONTENT_DISPOSITION, name)], Body::from(record.raw)))
}

/// The query of the list.
#[derive(Deserialize)]
struct ListQuery {
    limit: Option<usize>,
    #[serde(default)]
    raw: bool,
}

async fn api_list(
    State(viewer): State<Arc<Viewer>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(query) = query.map_err(|rejection| Failure::BadQuery(rejection.body_text()))?;
    let snapshot = viewer.store.snapshot().await?;
    Ok(Json(api::List::new(&snapshot, query.limit.unwrap_or(SLOTS as usize), query.raw)).into_response())
}

async fn api_request(State(viewer): State<Arc<Viewer>>, Path(seq): Path<String>) -> Result<Response, Failure> {
    Ok(Json(api::Request::new(&viewer.record(&seq).await?, true)).into_response())
}

async fn text(State(viewer): State<Arc<Viewer>>) -> Result<String, Failure> {
    Ok(page::text(&viewer.store.snapshot().await?))
}

async fn health(State(viewer): State<Arc<Viewer>>) -> Response {
    match viewer.store.cursor().await {
        Ok(cursor) => Json(json!({ "status": "ok", "total": cursor })).into_response(),
        Err(error) => {
            let body = Json(json!({ "status": "memcached away", "error": error.to_string() }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

async fn asset(content_type: &'static str, content: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, content_type), (CACHE_CONTROL, CACHE_FOREVER)], content)
}

impl Viewer {
    async fn record(&self, seq: &str) -> Result<Record, Failure> {
        let seq = seq.parse().ok().filter(|&seq| seq > 0).ok_or(Failure::NotFound)?;
        self.store.record(seq).await?.ok_or(Failure::RolledOver(seq))
    }
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
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

impl Failure {
    fn lay_out(&self, is_api: bool, pages: &Pages) -> Response {
        let (status, title, text) = self.say();
        if let Self::Bug(error) = self {
            error!(error = format!("{error:#}"), "cannot make a page");
        }
        let away = matches!(self, Self::StoreAway(_));
        let mut response = if is_api {
            (status, Json(json!({ "error": text }))).into_response()
        } else {
            // The page about a broken template may not need a template.
            let page = pages.message(title, &text, away).unwrap_or_else(|_| title.to_owned());
            (status, Html(page)).into_response()
        };
        if away {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    fn say(&self) -> (StatusCode, &'static str, String) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "Not found", "There is nothing at this address.".into()),
            Self::RolledOver(seq) => (
                StatusCode::NOT_FOUND,
                "Gone",
                format!("Request {seq} is not here: it has rolled over, or never was. Only the last {SLOTS} are kept."),
            ),
            Self::BadQuery(reason) => (StatusCode::BAD_REQUEST, "Bad query", reason.clone()),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "This address can only be read.".into())
            }
            Self::StoreAway(error) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "memcached is away",
                format!("The requests cannot be read just now ({error}). They are still answered and kept."),
            ),
            Self::Bug(_) => (StatusCode::INTERNAL_SERVER_ERROR, "A bug", "This page could not be made.".into()),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::StoreAway(Arc::new(error))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Bug(Arc::new(error))
    }
}

/// Returns the name by which the visitor knows this machine, or a stand-in for an odd one.
fn host(headers: &HeaderMap) -> &str {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_plain = |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    if !host.is_empty() && is_plain(host) { host } else { "localhost" }
}
