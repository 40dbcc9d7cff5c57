//! Routes, and what every response has in common.
//!
//! In: HTTP requests of visitors. Out: pages, JSON, bytes, always with the security headers. A
//! failure gets its body at the end, in `finish`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::web::collection::{api_collection, api_kind, collection, feed, kind};
use crate::web::explain;
use crate::web::failure::Failure;
use crate::web::history;
use crate::web::home::{home, labels};
use crate::web::list::{api_list, event_stream, export_as, text};
use crate::web::metrics::metrics;
use crate::web::parameters::refuse_unknown;
use crate::web::request::{api_request, download, request};
use crate::web::sensors;
use crate::web::sources;
use crate::web::state::Viewer;
use crate::web::status::{asset, health, stats};

/// The headers of every response. Browsers load nothing from other sites, accept nothing inline,
/// and show no page in a frame.
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

/// Returns the router for all addresses.
pub(crate) fn routes(viewer: Arc<Viewer>) -> Router {
    let not_for_other_sites = Router::new()
        .route("/home/requests/{seq}/{format}", get(download))
        .route("/home/export.{format}", get(export_as))
        .route("/home/export.sources.txt", get(sources::text))
        .route("/home/export.sources.csv", get(sources::csv))
        .route("/home/export.sources.json", get(sources::json))
        .route("/home/explain", post(explain::by_post))
        .layer(from_fn(refuse_other_sites));
    Router::new()
        .route("/home", get(home))
        .route("/home/", get(home))
        .route("/home/labels", get(labels))
        .route("/home/explain", get(explain::by_link))
        .route("/home/collection", get(collection))
        .route("/home/collection/{kind}", get(kind))
        .route("/home/api/collection", get(api_collection))
        .route("/home/api/collection/{kind}", get(api_kind))
        .route("/home/new.atom", get(feed))
        .route("/home/requests/{seq}", get(request))
        .route("/home/sources", get(sources::page))
        .route("/home/sources/{address}", get(sources::page_of_one))
        .route("/home/api/sources", get(sources::api))
        .route("/home/api/sources/{address}", get(sources::api_of_one))
        .route("/home/sensors", get(sensors::page))
        .route("/home/api/sensors", get(sensors::api))
        .route("/home/api/requests", get(api_list))
        .route("/home/api/requests/{seq}", get(api_request))
        .route("/home/history", get(history::history))
        .route("/home/api/history", get(history::api_history))
        .route("/home/api/stats", get(stats))
        .route("/home/events", get(event_stream))
        .route("/home/text", get(text))
        .route("/home/health", get(health))
        .route("/home/metrics", get(metrics))
        .route("/home/static/style.css", asset("style.css"))
        .route("/home/static/script.js", asset("script.js"))
        .route("/home/static/live.js", asset("live.js"))
        .route("/home/static/list.js", asset("list.js"))
        .route("/home/static/wall.css", asset("wall.css"))
        .route("/home/static/wall.js", asset("wall.js"))
        .route("/home/static/icon.svg", asset("icon.svg"))
        .merge(not_for_other_sites)
        .route_layer(from_fn(refuse_unknown))
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed)
        .layer(from_fn_with_state(
            Arc::clone(&viewer),
            refuse_strange_hosts,
        ))
        .layer(from_fn_with_state(Arc::clone(&viewer), finish))
        .with_state(viewer)
}

/// Refuses a download that another website links to: the website could first send a file here, and
/// then deliver it from this address. Refuses a form of another website as well. Browsers say which
/// site a request comes from (W3C, Fetch Metadata). A client that does not say this is not a
/// browser, or is an old browser.
async fn refuse_other_sites(headers: HeaderMap, request: Request, next: Next) -> Response {
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => next.run(request).await,
        Some(_) => Failure::CrossSite.into_response(),
    }
}

async fn refuse_strange_hosts(
    State(viewer): State<Arc<Viewer>>,
    request: Request,
    next: Next,
) -> Response {
    // Browsers always send `Host`, so a request without it is not from a browser.
    let is_strange = |host: &HeaderValue| !viewer.hosts.contains(host.as_bytes());
    if !request.headers().get(HOST).is_some_and(is_strange) {
        next.run(request).await
    } else {
        Failure::StrangeHost.into_response()
    }
}

/// Gives failures their body, and sets the headers that every response has.
async fn finish(State(viewer): State<Arc<Viewer>>, request: Request, next: Next) -> Response {
    let address = request.uri().clone();
    let mut response = next.run(request).await;
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        // Keeps the headers of the first response, such as `Allow` with 405.
        let (mut parts, _) = response.into_parts();
        let laid_out = failure.lay_out(&address, &viewer.pages);
        parts.headers.extend(laid_out.headers().clone());
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
