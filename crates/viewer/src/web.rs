//! Routes, and what every response has in common.
//!
//! In: HTTP requests of visitors. Out: pages, JSON, bytes, always with the security headers. A failure
//! is laid out at the end, in one place.

use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, RawQuery, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use forever200_daemon::GRACE_PERIOD;
use forever200_ring::{SLOTS, Store};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::compression::CompressionLayer;
use tracing::{info, warn};

use crate::entry::Entry;
use crate::events::{self, Format};
use crate::failure::Failure;
use crate::feed::{Feed, View};
use crate::filter::{Filter, FilterQuery};
use crate::page::{self, Pages};
use crate::stats::Stats;
use crate::{api, export, har, pcap};

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
/// May be kept, and must be asked for again.
const REVALIDATE: &str = "no-cache";

/// What all requests share.
struct Viewer {
    feed: Feed,
    pages: Arc<Pages>,
    /// Ends when the viewer is told to stop.
    stopping: watch::Receiver<()>,
}

type Shared = State<Arc<Viewer>>;
type QueryOf<T> = Result<Query<T>, QueryRejection>;

/// Serves until `shutdown` ends, then finishes open requests, for five seconds at most.
///
/// # Errors
/// The listener fails for good.
pub async fn run(listener: TcpListener, store: Store, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let (stop, stopping) = watch::channel(());
    let viewer = Arc::new(Viewer { feed: Feed::new(store), pages: Arc::default(), stopping: stopping.clone() });
    let app = routes(Arc::clone(&viewer));
    let serving = axum::serve(listener, app).with_graceful_shutdown(stopped(stopping)).into_future();
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

async fn stopped(mut stopping: watch::Receiver<()>) {
    let _ = stopping.changed().await;
}

fn routes(viewer: Arc<Viewer>) -> Router {
    Router::new()
        .route("/home", get(home))
        .route("/home/", get(home))
        .route("/home/requests/{seq}", get(request))
        .route("/home/requests/{seq}/{format}", get(download))
        .route("/home/api/requests", get(api_list))
        .route("/home/api/requests/{seq}", get(api_request))
        .route("/home/api/stats", get(stats))
        .route("/home/events", get(event_stream))
        .route("/home/text", get(text))
        .route("/home/export.{format}", get(export_as))
        .route("/home/health", get(health))
        .route("/home/static/style.css", get(|| asset("text/css; charset=utf-8", page::STYLE)))
        .route("/home/static/script.js", get(|| asset("text/javascript; charset=utf-8", page::SCRIPT)))
        .route("/home/static/icon.svg", get(|| asset("image/svg+xml", page::ICON)))
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed)
        .layer(from_fn_with_state(Arc::clone(&viewer), finish))
        .layer(CompressionLayer::new())
        .with_state(viewer)
}

async fn home(State(viewer): Shared, query: QueryOf<FilterQuery>, headers: HeaderMap) -> Result<Html<String>, Failure> {
    let Query(query) = query?;
    let view = viewer.feed.now().await?;
    let entries = matching(&view, &query)?;
    Ok(Html(viewer.pages.home(&view, &query, &entries, host(&headers))?))
}

async fn request(State(viewer): Shared, Path(seq): Path<String>, headers: HeaderMap) -> Result<Html<String>, Failure> {
    let seq = number(&seq)?;
    let view = viewer.feed.now().await?;
    viewer.pages.request(&view, seq, host(&headers))?.map(Html).ok_or(Failure::RolledOver(seq))
}

/// `raw`, `har` or `pcap` of one request.
async fn download(State(viewer): Shared, Path((seq, format)): Path<(String, String)>) -> Result<Response, Failure> {
    let seq = number(&seq)?;
    let view = viewer.feed.now().await?;
    let entry = view.find(seq).ok_or(Failure::RolledOver(seq))?;
    let name = format!("forever200-{seq}");
    match format.as_str() {
        "raw" => Ok(attachment(&format!("{name}.bin"), "application/octet-stream", entry.record.raw.clone())),
        "har" if entry.http().is_none() => Err(Failure::NotHttp(seq)),
        "har" | "pcap" => export_of(&viewer, &view, &[entry], &format, &name),
        _ => Err(Failure::NotFound),
    }
}

async fn export_as(
    State(viewer): Shared,
    Path(format): Path<String>,
    query: QueryOf<FilterQuery>,
) -> Result<Response, Failure> {
    let Query(query) = query?;
    let view = viewer.feed.now().await?;
    let name = Timestamp::now().strftime("forever200-%Y%m%dT%H%M%SZ").to_string();
    export_of(&viewer, &view, &matching(&view, &query)?, &format, &name)
}

fn export_of(viewer: &Viewer, view: &View, entries: &[&Entry], format: &str, name: &str) -> Result<Response, Failure> {
    let (content_type, content) = match format {
        "ndjson" => ("application/x-ndjson", export::ndjson(entries).into_bytes()),
        "har" => ("application/json", api::to_string(&har::archive(entries)).into_bytes()),
        "pcap" => ("application/vnd.tcpdump.pcap", pcap::capture(entries.iter().map(|entry| &entry.record))),
        "html" => ("text/html; charset=utf-8", export::html(&viewer.pages, view, entries)?.into_bytes()),
        _ => return Err(Failure::NotFound),
    };
    Ok(attachment(&format!("{name}.{format}"), content_type, content))
}

/// The query of the list, beside the filter.
#[derive(Deserialize)]
struct ListQuery {
    limit: Option<usize>,
    #[serde(default)]
    raw: bool,
}

async fn api_list(
    State(viewer): Shared,
    filter: QueryOf<FilterQuery>,
    list: QueryOf<ListQuery>,
    RawQuery(raw_query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (Query(filter), Query(list)) = (filter?, list?);
    let view = viewer.feed.now().await?;
    let entries = matching(&view, &filter)?;
    // Weak: the same list may be sent compressed or not.
    let mut hasher = DefaultHasher::new();
    raw_query.hash(&mut hasher);
    let tag = format!("W/\"{:x}-{:x}\"", view.version, hasher.finish());
    let kept = [(ETAG, tag.clone()), (CACHE_CONTROL, REVALIDATE.to_owned())];
    if headers.get_all(IF_NONE_MATCH).iter().any(|known| known.to_str().is_ok_and(|known| known.contains(&tag))) {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    let entries = entries.into_iter().take(list.limit.unwrap_or(SLOTS as usize));
    Ok((kept, Json(api::List::new(&view, entries, list.raw))).into_response())
}

async fn api_request(State(viewer): Shared, Path(seq): Path<String>) -> Result<Response, Failure> {
    let seq = number(&seq)?;
    let view = viewer.feed.now().await?;
    let entry = view.find(seq).ok_or(Failure::RolledOver(seq))?;
    Ok(Json(api::json(entry, true)).into_response())
}

async fn stats(State(viewer): Shared) -> Result<Response, Failure> {
    Ok(Json(Stats::new(&*viewer.feed.now().await?, Timestamp::now())).into_response())
}

/// The query of the event stream, beside the filter.
#[derive(Deserialize)]
struct EventsQuery {
    /// Tell of the requests after this number; `Last-Event-ID` goes before it.
    after: Option<u64>,
    #[serde(default)]
    format: String,
}

async fn event_stream(
    State(viewer): Shared,
    filter: QueryOf<FilterQuery>,
    query: QueryOf<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (Query(filter), Query(query)) = (filter?, query?);
    let filter = Filter::new(&filter).map_err(Failure::BadQuery)?;
    let format = match query.format.as_str() {
        "" | "json" => Format::Json,
        "html" => Format::Html(Arc::clone(&viewer.pages)),
        _ => return Err(Failure::BadQuery("format: expected json or html".to_owned())),
    };
    let last_id = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    viewer.feed.now().await?;
    let stopped = stopped(viewer.stopping.clone());
    Ok(events::events(viewer.feed.watch(), filter, format, last_id.or(query.after), stopped))
}

/// The query of the text, beside the filter.
#[derive(Deserialize)]
struct TextQuery {
    #[serde(default)]
    color: bool,
}

async fn text(
    State(viewer): Shared,
    filter: QueryOf<FilterQuery>,
    query: QueryOf<TextQuery>,
) -> Result<String, Failure> {
    let (Query(filter), Query(query)) = (filter?, query?);
    let view = viewer.feed.now().await?;
    Ok(export::text(&view, &matching(&view, &filter)?, query.color))
}

async fn health(State(viewer): Shared) -> Response {
    match viewer.feed.cursor().await {
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

/// A file to save; `name` is ours, never a client's.
fn attachment(name: &str, content_type: &'static str, content: impl Into<Body>) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(CONTENT_TYPE, content_type.to_owned()), (CONTENT_DISPOSITION, disposition)], content.into()).into_response()
}

fn matching<'a>(view: &'a View, query: &FilterQuery) -> Result<Vec<&'a Entry>, Failure> {
    let filter = Filter::new(query).map_err(Failure::BadQuery)?;
    Ok(view.entries.iter().map(AsRef::as_ref).filter(|entry| filter.matches(entry)).collect())
}

fn number(seq: &str) -> Result<u64, Failure> {
    seq.parse().ok().filter(|&seq| seq > 0).ok_or(Failure::NotFound)
}

/// Lays out failures and sets the headers that every response has.
async fn finish(State(viewer): Shared, request: Request, next: Next) -> Response {
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

/// Returns the name by which the visitor knows this machine, or a stand-in for an odd one.
fn host(headers: &HeaderMap) -> &str {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let is_plain = |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    if !host.is_empty() && is_plain(host) { host } else { "localhost" }
}
