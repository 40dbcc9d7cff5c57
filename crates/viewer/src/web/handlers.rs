//! What each address answers.
//!
//! In: what a visitor asked for. Out: pages, JSON, files. Headers and failures are laid out by
//! [`web`](crate::web::routes).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use forever200_ring::SLOTS;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::export::{files, har, json, pcap};
use crate::page::filter::{Filter, FilterQuery};
use crate::page::stats::Stats;
use crate::reader::entry::Entry;
use crate::reader::follow::View;
use crate::web::content::Content;
use crate::web::events::{self, Format};
use crate::web::failure::Failure;
use crate::web::pool::aside;
use crate::web::routes::{Viewer, stopped};

/// For assets, whose address changes with their content.
const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";
/// Longest list that is kept for those who ask for the same: with all bytes of all requests it is megabytes.
const MAX_KEPT_BYTES: usize = 1024 * 1024;
/// May be kept, and must be asked for again.
const REVALIDATE: &str = "no-cache";

type Shared = State<Arc<Viewer>>;
type QueryOf<T> = Result<Query<T>, QueryRejection>;

pub(crate) async fn home(
    State(viewer): Shared,
    query: QueryOf<FilterQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Query(query) = query?;
    let view = viewer.feed.now().await?;
    let is_for_many = query.given().is_empty();
    let make = move || -> Result<_, Failure> {
        let entries = matching(&view, &query)?;
        Ok(viewer
            .pages
            .home(&view, &query, &entries, host(&headers))?
            .respond(&headers))
    };
    if is_for_many {
        make()
    } else {
        aside(make).await
    }
}

pub(crate) async fn request(
    State(viewer): Shared,
    Path(seq): Path<String>,
    headers: HeaderMap,
) -> Result<Html<String>, Failure> {
    let seq = number(&seq)?;
    let view = viewer.feed.now().await?;
    let page = aside(move || viewer.pages.request(&view, seq, host(&headers))).await?;
    page.map(Html).ok_or(Failure::RolledOver(seq))
}

pub(crate) async fn labels(State(viewer): Shared, headers: HeaderMap) -> Result<Response, Failure> {
    let view = viewer.feed.now().await?;
    aside(move || Ok(viewer.pages.labels(&view)?.respond(&headers))).await
}

/// `raw`, `har` or `pcap` of one request.
pub(crate) async fn download(
    State(viewer): Shared,
    Path((seq, format)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let seq = number(&seq)?;
    let view = viewer.feed.now().await?;
    aside(move || {
        let entry = view.find(seq).ok_or(Failure::RolledOver(seq))?;
        let name = format!("forever200-{seq}");
        match format.as_str() {
            "raw" => Ok(attachment(
                &format!("{name}.bin"),
                "application/octet-stream",
                entry.record.raw.clone(),
            )),
            "har" if entry.http().is_none() => Err(Failure::NotHttp(seq)),
            "har" | "pcap" => export_of(&viewer, &view, &[entry], &format, &name),
            _ => Err(Failure::NotFound),
        }
    })
    .await
}

pub(crate) async fn export_as(
    State(viewer): Shared,
    Path(format): Path<String>,
    query: QueryOf<FilterQuery>,
) -> Result<Response, Failure> {
    let Query(query) = query?;
    let turn = Arc::clone(&viewer.exporting).lock_owned().await;
    let view = viewer.feed.now().await?;
    aside(move || {
        let name = Timestamp::now()
            .strftime("forever200-%Y%m%dT%H%M%SZ")
            .to_string();
        let export = export_of(&viewer, &view, &matching(&view, &query)?, &format, &name);
        drop(turn);
        export
    })
    .await
}

fn export_of(
    viewer: &Viewer,
    view: &View,
    entries: &[&Entry],
    format: &str,
    name: &str,
) -> Result<Response, Failure> {
    let (content_type, content) = match format {
        "ndjson" => ("application/x-ndjson", files::ndjson(entries).into_bytes()),
        "har" => ("application/json", har::archive(entries).into_bytes()),
        "pcap" => (
            "application/vnd.tcpdump.pcap",
            pcap::capture(entries.iter().map(|entry| &entry.record)),
        ),
        "html" => (
            "text/html; charset=utf-8",
            files::html(&viewer.pages, view, entries)?.into_bytes(),
        ),
        _ => return Err(Failure::NotFound),
    };
    Ok(attachment(
        &format!("{name}.{format}"),
        content_type,
        content,
    ))
}

/// The query of the list, beside the filter.
#[derive(Deserialize)]
pub(crate) struct ListQuery {
    limit: Option<usize>,
    #[serde(default)]
    raw: bool,
}

pub(crate) async fn api_list(
    State(viewer): Shared,
    filter: QueryOf<FilterQuery>,
    list: QueryOf<ListQuery>,
    RawQuery(raw_query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (Query(filter), Query(list)) = (filter?, list?);
    let view = viewer.feed.now().await?;
    // Weak: the same list may be sent compressed or not.
    let mut hasher = DefaultHasher::new();
    raw_query.hash(&mut hasher);
    let tag = format!("W/\"{:x}-{:x}\"", view.version, hasher.finish());
    let kept = [(ETAG, tag.clone()), (CACHE_CONTROL, REVALIDATE.to_owned())];
    if headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|known| known.to_str().is_ok_and(|known| known.contains(&tag)))
    {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    let is_for_many = raw_query.is_none();
    let make = move || -> Result<_, Failure> {
        let list = || {
            let entries = matching(&view, &filter)?
                .into_iter()
                .take(list.limit.unwrap_or(SLOTS as usize));
            Ok::<_, Failure>(Arc::new(Content::json(&json::List::new(
                &view, entries, list.raw,
            ))))
        };
        let is_small = |content: &Arc<Content>| content.plain.len() <= MAX_KEPT_BYTES;
        let content = viewer
            .list
            .get_and_keep((view.version, raw_query), is_small, list)?;
        Ok((kept, content.respond(&headers)).into_response())
    };
    if is_for_many {
        make()
    } else {
        aside(make).await
    }
}

pub(crate) async fn api_request(
    State(viewer): Shared,
    Path(seq): Path<String>,
) -> Result<Response, Failure> {
    let seq = number(&seq)?;
    let view = viewer.feed.now().await?;
    let entry = view.find(seq).ok_or(Failure::RolledOver(seq))?;
    Ok(Json(json::json(entry, true)).into_response())
}

pub(crate) async fn stats(State(viewer): Shared) -> Result<Response, Failure> {
    Ok(Json(Stats::new(&*viewer.feed.now().await?, Timestamp::now())).into_response())
}

/// The query of the event stream, beside the filter.
#[derive(Deserialize)]
pub(crate) struct EventsQuery {
    /// Tell of the requests after this number; `Last-Event-ID` goes before it.
    after: Option<u64>,
    #[serde(default)]
    format: String,
}

pub(crate) async fn event_stream(
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
        _ => {
            return Err(Failure::BadQuery(
                "format: expected json or html".to_owned(),
            ));
        }
    };
    let last_id = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok());
    viewer.feed.now().await?;
    let stopped = stopped(viewer.stopping.clone());
    Ok(events::events(
        viewer.feed.watch(),
        filter,
        format,
        last_id.or(query.after),
        stopped,
    ))
}

/// The query of the text, beside the filter.
#[derive(Deserialize)]
pub(crate) struct TextQuery {
    #[serde(default)]
    color: bool,
}

pub(crate) async fn text(
    State(viewer): Shared,
    filter: QueryOf<FilterQuery>,
    query: QueryOf<TextQuery>,
) -> Result<String, Failure> {
    let (Query(filter), Query(query)) = (filter?, query?);
    let view = viewer.feed.now().await?;
    aside(move || Ok(files::text(&view, &matching(&view, &filter)?, query.color))).await
}

pub(crate) async fn health(State(viewer): Shared) -> Response {
    match viewer.feed.cursor().await {
        Ok(cursor) => Json(json!({ "status": "ok", "total": cursor })).into_response(),
        Err(error) => {
            let body = Json(json!({ "status": "memcached away", "error": error.to_string() }));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

pub(crate) async fn asset(content_type: &'static str, content: &'static str) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, content_type), (CACHE_CONTROL, CACHE_FOREVER)],
        content,
    )
}

/// A file to save; `name` is ours, never a client's.
fn attachment(name: &str, content_type: &'static str, content: impl Into<Body>) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    (
        [
            (CONTENT_TYPE, content_type.to_owned()),
            (CONTENT_DISPOSITION, disposition),
        ],
        content.into(),
    )
        .into_response()
}

fn matching<'a>(view: &'a View, query: &FilterQuery) -> Result<Vec<&'a Entry>, Failure> {
    let filter = Filter::new(query).map_err(Failure::BadQuery)?;
    Ok(view
        .entries
        .iter()
        .map(AsRef::as_ref)
        .filter(|entry| filter.matches(entry))
        .collect())
}

fn number(seq: &str) -> Result<u64, Failure> {
    seq.parse()
        .ok()
        .filter(|&seq| seq > 0)
        .ok_or(Failure::NotFound)
}

/// Returns the name by which the visitor knows this machine, or a stand-in for an odd one.
fn host(headers: &HeaderMap) -> &str {
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let is_plain = |host: &str| {
        host.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    };
    if !host.is_empty() && is_plain(host) {
        host
    } else {
        "localhost"
    }
}
