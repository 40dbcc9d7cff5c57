//! What each address answers.
//!
//! In: what a visitor asked for. Out: pages, JSON, files. Headers and failures are laid out by
//! [`routes`](crate::web::routes). What is made for one visitor alone is made by
//! [`limits`](crate::web::limits).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use forever200_ring::SLOTS;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::captures::Captures;
use crate::export::{har, html, json, ndjson, pcap, text};
use crate::history::Questions;
use crate::page::catalogue::CatalogueQuery;
use crate::page::filter::{Filter, FilterQuery, switch};
use crate::page::pages::STYLE;
use crate::page::row::Row;
use crate::page::stats::Stats;
use crate::page::wall;
use crate::reader::follow::Health;
use crate::reader::{Entry, View};
use crate::web::events::{self, Format};
use crate::web::failure::Failure;
use crate::web::history::{self, HistoryQuery};
use crate::web::kept;
use crate::web::limits::Visitor;
use crate::web::prepared::Prepared;
use crate::web::state::Viewer;
use crate::web::streamed;

pub(super) const HTML: &str = "text/html; charset=utf-8";
/// For assets, whose address changes with their content.
const CACHE_FOREVER: &str = "public, max-age=31536000, immutable";
/// May be kept, and must be asked for again.
pub(super) const REVALIDATE: &str = "no-cache";
/// Longest list that is made whole, compressed, and kept for others who ask for the same. This is
/// what it is at most, of which ordinary requests make a tenth.
const WHOLE_LIST_BYTES: usize = 4 * 1024 * 1024;
/// What the page of one request takes at most, beside what its bytes make of it: every byte is
/// there in hexadecimal three times, and as text up to five.
const DETAIL_BYTES: usize = 3 * 1024 * 1024;
const DETAIL_TIMES: usize = 48;
/// What the list takes at most for each row, and beside the rows.
pub(super) const ROW_BYTES: usize = 5120;
pub(super) const LIST_BYTES: usize = 64 * 1024;
/// What the page of labels takes.
const LABELS_BYTES: usize = 2 * 1024 * 1024;

pub(crate) type Shared = State<Arc<Viewer>>;
pub(crate) type QueryOf<T> = Result<Query<T>, QueryRejection>;

/// The query of the page, beside the filter.
#[derive(Deserialize)]
pub(crate) struct HomeQuery {
    #[serde(default)]
    view: String,
}

pub(crate) async fn home(
    State(viewer): Shared,
    visitor: Visitor,
    query: QueryOf<FilterQuery>,
    home: QueryOf<HomeQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (Query(query), Query(home)) = (query?, home?);
    match home.view.as_str() {
        "" => {}
        "wall" => return wall(viewer, visitor, query).await,
        _ => return Err(Failure::BadQuery("view: expected wall".to_owned())),
    }
    let view = viewer.reader.view().await?;
    if query.is_empty() {
        // Here and at once: whatever others have asked for, it waits for nothing but room.
        let page = viewer.caches.home(&viewer.pages, &view, host(&headers))?;
        let (body, by_gzip) = page.body(visitor.takes_gzip);
        return Ok(page.respond((visitor.hold(body).await?, by_gzip)));
    }
    let filter = filter(&query, &visitor)?;
    let most_bytes = LIST_BYTES + ROW_BYTES * view.entries.len();
    whole(&visitor, most_bytes, move || {
        let entries = matching(&view, &filter);
        let strip = viewer.pages.strip(&view, &query)?;
        let html = viewer
            .pages
            .home(&view, &query, &entries, &strip, host(&headers))?;
        Ok(Prepared::html(html))
    })
    .await
}

/// The list for those who look from afar.
async fn wall(
    viewer: Arc<Viewer>,
    visitor: Visitor,
    query: FilterQuery,
) -> Result<Response, Failure> {
    let filter = filter(&query, &visitor)?;
    let view = viewer.reader.view().await?;
    let most_bytes = LIST_BYTES + ROW_BYTES * wall::MAX_ROWS;
    whole(&visitor, most_bytes, move || {
        let entries = wall::in_order(&view, matching(&view, &filter));
        let numbers = viewer.caches.wall_strip(&viewer.pages, &view)?;
        let numbers = String::from_utf8_lossy(&numbers);
        let html = viewer.pages.wall(&view, &query, &entries, &numbers)?;
        Ok(Prepared::html(html))
    })
    .await
}

pub(crate) async fn request(
    State(viewer): Shared,
    visitor: Visitor,
    Path(seq): Path<String>,
    query: QueryOf<FilterQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (Query(query), seq) = (query?, number(&seq)?);
    let filter = filter(&query, &visitor)?;
    let view = viewer.reader.view().await?;
    let entry = kept::find(&viewer, &visitor, &view, seq).await?;
    let most_bytes = most_bytes_of_request(entry.record.raw.len());
    whole(&visitor, most_bytes, move || {
        let neighbours = kept::neighbours(&viewer, &view, &entry, &filter);
        let page = viewer
            .pages
            .request(&entry, &neighbours, &query, host(&headers))?;
        Ok(Prepared::html(page))
    })
    .await
}

pub(crate) async fn labels(
    State(viewer): Shared,
    visitor: Visitor,
    query: QueryOf<CatalogueQuery>,
) -> Result<Response, Failure> {
    let Query(query) = query?;
    let view = viewer.reader.view().await?;
    if !query.is_empty() {
        let make = move || Ok(Prepared::html(viewer.pages.labels(&view, &query)?));
        return whole(&visitor, LABELS_BYTES, make).await;
    }
    let takes_gzip = visitor.takes_gzip;
    let make = move || {
        let page = viewer.caches.labels(&viewer.pages, &view)?;
        let body = page.body(takes_gzip);
        Ok::<_, Failure>((page, body))
    };
    let (made, taken) = visitor.make(LABELS_BYTES, make).await?;
    let (page, (body, by_gzip)) = made?;
    Ok(page.respond((taken.hold(body), by_gzip)))
}

/// What the page of a request of so many bytes takes at most.
pub(crate) fn most_bytes_of_request(raw_bytes: usize) -> usize {
    (DETAIL_TIMES * raw_bytes).min(DETAIL_BYTES + 16 * raw_bytes) + LIST_BYTES
}

/// `raw`, `har`, `pcap` or `html` of one request.
pub(crate) async fn download(
    State(viewer): Shared,
    visitor: Visitor,
    Path((seq, format)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let seq = number(&seq)?;
    let view = viewer.reader.view().await?;
    let entry = kept::find(&viewer, &visitor, &view, seq).await?;
    // The name of a sensor is one of a few plain characters.
    let sensor = entry.sensor.as_ref();
    let sensor = sensor.map(|it| format!("{}-", it.name)).unwrap_or_default();
    let name = format!("forever200-{sensor}{seq}");
    match format.as_str() {
        "raw" => {
            let raw = visitor.hold(entry.record.raw.clone()).await?;
            Ok(attachment(
                &format!("{name}.bin"),
                "application/octet-stream",
                raw,
            ))
        }
        "html" => {
            let (pages, host) = (Arc::clone(&viewer.pages), host(&headers).to_owned());
            let most_bytes = most_bytes_of_request(entry.record.raw.len()) + STYLE.len();
            let make = move || html::request(&pages, &entry, &host);
            let (page, taken) = visitor.make(most_bytes, make).await?;
            let page = taken.hold(page?);
            Ok(attachment(&format!("{name}.html"), HTML, page))
        }
        "har" if entry.http.is_none() => Err(Failure::NotHttp(seq)),
        "har" | "pcap" => export_of(viewer, visitor, &view, vec![entry], &format, &name).await,
        _ => Err(Failure::NotFound),
    }
}

pub(crate) async fn export_as(
    State(viewer): Shared,
    visitor: Visitor,
    Path(format): Path<String>,
    query: QueryOf<FilterQuery>,
    times: QueryOf<HistoryQuery>,
) -> Result<Response, Failure> {
    let (Query(query), Query(times)) = (query?, times?);
    let name = Timestamp::now()
        .strftime("forever200-%Y%m%dT%H%M%SZ")
        .to_string();
    if times.names_a_time() {
        return history::export(viewer, visitor, &query, &times, &format, &name).await;
    }
    let view = viewer.reader.view().await?;
    let entries = choose(&visitor, &view, &query).await?;
    export_of(viewer, visitor, &view, entries, &format, &name).await
}

async fn export_of(
    viewer: Arc<Viewer>,
    visitor: Visitor,
    view: &Arc<View>,
    entries: Vec<Arc<Entry>>,
    format: &str,
    name: &str,
) -> Result<Response, Failure> {
    let name = format!("{name}.{format}");
    let (content_type, listing) = match format {
        "ndjson" => ("application/x-ndjson", ndjson::lines()),
        "har" => ("application/json", har::archive()),
        "html" => {
            let (pages, view, entries) =
                (Arc::clone(&viewer.pages), Arc::clone(view), entries.clone());
            let most_bytes = LIST_BYTES + ROW_BYTES * entries.len();
            let make = move || {
                let now = Timestamp::now();
                let rows: Vec<_> = entries.iter().map(|entry| Row::new(entry, now)).collect();
                html::page(&pages, view.snapshot.cursor, &rows)
            };
            (HTML, visitor.make(most_bytes, make).await?.0?)
        }
        "pcap" => {
            let content_type = "application/vnd.tcpdump.pcap";
            return Ok(attachment(
                &name,
                content_type,
                capture(&visitor, entries).await?,
            ));
        }
        _ => return Err(Failure::NotFound),
    };
    let body = streamed::respond(viewer, visitor, listing, &entries);
    Ok(attachment(&name, content_type, body))
}

/// All packets stand in the order of time, so that they are made at once.
async fn capture(visitor: &Visitor, entries: Vec<Arc<Entry>>) -> Result<Bytes, Failure> {
    let of_one = |entry: &Arc<Entry>| entry.record.raw.len() * 6 / 5 + pcap::CONNECTION_BYTES;
    let most_bytes = entries.iter().map(of_one).sum();
    let make = move || pcap::capture(entries.iter().map(|entry| &entry.record));
    let (capture, taken) = visitor.make(most_bytes, make).await?;
    Ok(taken.hold(capture))
}

/// The query of the list, beside the filter.
#[derive(Deserialize)]
pub(crate) struct ListQuery {
    limit: Option<usize>,
    #[serde(default)]
    raw: String,
}

pub(crate) async fn api_list(
    State(viewer): Shared,
    visitor: Visitor,
    filter: QueryOf<FilterQuery>,
    list: QueryOf<ListQuery>,
    RawQuery(raw_query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (Query(filter), Query(list)) = (filter?, list?);
    let raw = switch("raw", &list.raw).map_err(Failure::BadQuery)?;
    let view = viewer.reader.view().await?;
    // Weak: the same list may be sent compressed or not.
    let mut hasher = DefaultHasher::new();
    raw_query.hash(&mut hasher);
    let tag = format!("W/\"{:x}-{:x}\"", view.version, hasher.finish());
    let kept = [(ETAG, tag.clone()), (CACHE_CONTROL, REVALIDATE.to_owned())];
    if has_tag(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    let (is_for_many, takes_gzip) = (raw_query.is_none(), visitor.takes_gzip);
    if let Some(list) = viewer
        .caches
        .list
        .find(&view.version)
        .filter(|_| is_for_many)
    {
        let (body, by_gzip) = list.body(takes_gzip);
        return Ok((kept, list.respond((visitor.hold(body).await?, by_gzip))).into_response());
    }
    let mut entries = choose(&visitor, &view, &filter).await?;
    entries.truncate(list.limit.unwrap_or(SLOTS as usize));
    let listing = json::list(&view, raw);
    let most_bytes = entries
        .iter()
        .map(|entry| (listing.most)(entry))
        .sum::<usize>();
    if most_bytes > WHOLE_LIST_BYTES {
        let body = streamed::respond(viewer, visitor, listing, &entries);
        return Ok((kept, [(CONTENT_TYPE, "application/json")], body).into_response());
    }
    let make = move || {
        let list = Arc::new(Prepared::json(
            listing.whole(entries.iter().map(AsRef::as_ref)),
        ));
        let body = list.body(takes_gzip);
        (list, body)
    };
    let ((list, (body, by_gzip)), taken) = visitor.make(most_bytes + LIST_BYTES, make).await?;
    if is_for_many {
        viewer.caches.list.keep(view.version, Arc::clone(&list));
    }
    Ok((kept, list.respond((taken.hold(body), by_gzip))).into_response())
}

pub(crate) async fn api_request(
    State(viewer): Shared,
    visitor: Visitor,
    Path(seq): Path<String>,
) -> Result<Response, Failure> {
    let seq = number(&seq)?;
    let view = viewer.reader.view().await?;
    let entry = kept::find(&viewer, &visitor, &view, seq).await?;
    let most_bytes = json::most_bytes(&entry, true);
    whole(&visitor, most_bytes, move || {
        Ok(Prepared::json(json::request(&entry, true)))
    })
    .await
}

pub(crate) async fn stats(State(viewer): Shared) -> Result<Response, Failure> {
    let view = viewer.reader.view().await?;
    let lines = viewer.captures.as_ref().map(Captures::counted);
    let stats = Stats {
        lines,
        ..Stats::new(&view, Timestamp::now())
    };
    Ok(Json(stats).into_response())
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
    visitor: Visitor,
    filter: QueryOf<FilterQuery>,
    query: QueryOf<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (Query(filter), Query(query)) = (filter?, query?);
    let filter = self::filter(&filter, &visitor)?;
    let format = match query.format.as_str() {
        "" | "json" => Format::Json,
        "html" => Format::Html,
        "wall" => Format::Wall,
        _ => {
            return Err(Failure::BadQuery(
                "format: expected json, html or wall".to_owned(),
            ));
        }
    };
    let last_id = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok());
    viewer.reader.view().await?;
    Ok(events::events(
        &viewer,
        visitor,
        filter,
        format,
        last_id.or(query.after),
    ))
}

/// The query of the text, beside the filter.
#[derive(Deserialize)]
pub(crate) struct TextQuery {
    #[serde(default)]
    color: String,
}

pub(crate) async fn text(
    State(viewer): Shared,
    visitor: Visitor,
    filter: QueryOf<FilterQuery>,
    query: QueryOf<TextQuery>,
) -> Result<Response, Failure> {
    let (Query(filter), Query(query)) = (filter?, query?);
    let color = switch("color", &query.color).map_err(Failure::BadQuery)?;
    let filter = self::filter(&filter, &visitor)?;
    let view = viewer.reader.view().await?;
    let most_bytes = LIST_BYTES + ROW_BYTES * view.entries.len();
    whole(&visitor, most_bytes, move || {
        Ok(Prepared::text(text::table(
            &view,
            &matching(&view, &filter),
            color,
        )))
    })
    .await
}

/// What the health check is told.
#[derive(Serialize)]
struct Said {
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
        Ok(health) => Json(Said {
            status: "ok",
            health: Some(health),
            history,
            error: None,
        })
        .into_response(),
        Err(error) => {
            let error = Some(format!("{error:#}"));
            let said = Json(Said {
                status: "memcached away",
                health: None,
                history,
                error,
            });
            (StatusCode::SERVICE_UNAVAILABLE, said).into_response()
        }
    }
}

/// Returns what answers with the style, the script or the icon.
pub(crate) fn asset(file: &'static str) -> MethodRouter<Arc<Viewer>> {
    get(async move |State(viewer): Shared, visitor: Visitor| {
        let asset = viewer.caches.asset(file).ok_or(Failure::NotFound)?;
        let kept = [(CACHE_CONTROL, CACHE_FOREVER)];
        Ok::<_, Failure>((kept, asset.respond(asset.body(visitor.takes_gzip))))
    })
}

/// Makes an answer for one visitor, of at most so many bytes.
pub(crate) async fn whole(
    visitor: &Visitor,
    most_bytes: usize,
    make: impl FnOnce() -> Result<Prepared, Failure> + Send + 'static,
) -> Result<Response, Failure> {
    let takes_gzip = visitor.takes_gzip;
    let make = move || {
        let prepared = make()?;
        let body = prepared.body(takes_gzip);
        Ok::<_, Failure>((prepared, body))
    };
    let (made, taken) = visitor.make(most_bytes, make).await?;
    let (prepared, (body, by_gzip)) = made?;
    Ok(prepared.respond((taken.hold(body), by_gzip)))
}

/// Makes an answer from the history for one visitor, of at most so many bytes.
pub(super) async fn whole_from_history(
    viewer: &Viewer,
    visitor: &Visitor,
    most_bytes: usize,
    make: impl FnOnce(&Questions) -> Result<Prepared, Failure> + Send + 'static,
) -> Result<Response, Failure> {
    let takes_gzip = visitor.takes_gzip;
    let ask = move |questions: &Questions| {
        let prepared = make(questions)?;
        let body = prepared.body(takes_gzip);
        Ok((prepared, body))
    };
    let ((prepared, (body, by_gzip)), taken) = viewer.ask_history(visitor, most_bytes, ask).await?;
    Ok(prepared.respond((taken.hold(body), by_gzip)))
}

/// Tells whether a visitor has what this tag is of: RFC 9110, 13.1.2.
pub(super) fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
    let mut known = headers.get_all(IF_NONE_MATCH).iter();
    known.any(|known| known.to_str().is_ok_and(|known| known.contains(tag)))
}

/// A file to save; `name` is ours, never a client's.
pub(super) fn attachment(
    name: &str,
    content_type: &'static str,
    content: impl IntoResponse,
) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers = [
        (CONTENT_TYPE, content_type.to_owned()),
        (CONTENT_DISPOSITION, disposition),
    ];
    (headers, content).into_response()
}

/// Returns the requests that a visitor wants; a text is searched for when it is the visitor's turn.
async fn choose(
    visitor: &Visitor,
    view: &Arc<View>,
    query: &FilterQuery,
) -> Result<Vec<Arc<Entry>>, Failure> {
    let filter = filter(query, visitor)?;
    if !filter.searches() {
        return Ok(matching(view, &filter));
    }
    let view = Arc::clone(view);
    Ok(visitor.make(0, move || matching(&view, &filter)).await?.0)
}

pub(super) fn filter(query: &FilterQuery, visitor: &Visitor) -> Result<Filter, Failure> {
    Filter::new(query, visitor.ip).map_err(Failure::BadQuery)
}

fn matching(view: &View, filter: &Filter) -> Vec<Arc<Entry>> {
    view.entries
        .iter()
        .filter(|entry| filter.matches(entry))
        .map(Arc::clone)
        .collect()
}

fn number(seq: &str) -> Result<u64, Failure> {
    seq.parse()
        .ok()
        .filter(|&seq| seq > 0)
        .ok_or(Failure::NotFound)
}

/// Returns the name by which the visitor knows this machine, or a stand-in for an odd one.
pub(crate) fn host(headers: &HeaderMap) -> &str {
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
