//! The list in other formats: JSON, text, events, files.
//!
//! In: a query. Out: the requests that meet it. A long answer is streamed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::extract::{Path, Query, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use forever200_ring::SLOTS;
use jiff::Timestamp;
use serde::Deserialize;

use crate::export::{FileFormat, har, html, json, ndjson, pcap, text};
use crate::page::filter::{Filter, FilterQuery, switch};
use crate::page::row::Row;
use crate::reader::{Entry, View};
use crate::web::answer::{
    LIST_BYTES, ListQuery, PathOf, QueryOf, REVALIDATE, ROW_BYTES, Shared, attachment, filter,
    has_tag, whole,
};
use crate::web::events::{self, Format};
use crate::web::failure::Failure;
use crate::web::history::{self, HistoryQuery};
use crate::web::limits::Visitor;
use crate::web::prepared::Prepared;
use crate::web::state::Viewer;
use crate::web::streamed;

/// A list that may be longer than this is streamed. A shorter one is made whole and, if it has no
/// query, kept for other visitors. The JSON of ordinary requests takes about a tenth of what
/// `Listing::most` says.
const WHOLE_LIST_BYTES: usize = 4 * 1024 * 1024;

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
    if raw_query.is_some() {
        // `source=me` is another list for each visitor.
        visitor.ip.hash(&mut hasher);
    }
    let tag = format!("W/\"{:x}-{:x}\"", view.version, hasher.finish());
    let kept = [(ETAG, tag.clone()), (CACHE_CONTROL, REVALIDATE.to_owned())];
    if has_tag(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    let (is_for_many, takes_gzip) = (raw_query.is_none(), visitor.takes_gzip);
    if is_for_many && let Some(list) = viewer.caches.list.find(&view.version) {
        let body = list.body(takes_gzip);
        let taken = visitor.room(body.len()).await?;
        return Ok((kept, list.respond(body.holding(taken))).into_response());
    }
    let mut entries = choose(&visitor, &view, &filter).await?;
    entries.truncate(list.limit.unwrap_or(SLOTS as usize));
    let listing = json::list(&view, raw);
    let mut most_bytes = 0;
    for entry in &entries {
        most_bytes += (listing.most)(entry);
    }
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
    let (made, taken) = visitor.make(most_bytes + LIST_BYTES, make).await?;
    let (list, body) = made;
    if is_for_many {
        viewer.caches.list.keep(view.version, Arc::clone(&list));
    }
    Ok((kept, list.respond(body.holding(taken))).into_response())
}

/// Parameters of the text, besides those of the filter.
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

/// Parameters of the event stream, besides those of the filter.
#[derive(Deserialize)]
pub(crate) struct EventsQuery {
    /// Send the requests after this number. `Last-Event-ID` takes precedence.
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

pub(crate) async fn export_as(
    State(viewer): Shared,
    visitor: Visitor,
    path: PathOf<String>,
    query: QueryOf<FilterQuery>,
    times: QueryOf<HistoryQuery>,
) -> Result<Response, Failure> {
    let (Path(format), Query(query), Query(times)) = (path?, query?, times?);
    let name = Timestamp::now()
        .strftime("forever200-%Y%m%dT%H%M%SZ")
        .to_string();
    if times.names_a_time() {
        return history::export(viewer, visitor, &query, &times, &format, &name).await;
    }
    let view = viewer.reader.view().await?;
    let entries = choose(&visitor, &view, &query).await?;
    let format = FileFormat::of_name(&format).ok_or(Failure::NotFound)?;
    export_of(viewer, visitor, &view, entries, format, &name).await
}

pub(super) async fn export_of(
    viewer: Arc<Viewer>,
    visitor: Visitor,
    view: &Arc<View>,
    entries: Vec<Arc<Entry>>,
    format: FileFormat,
    name: &str,
) -> Result<Response, Failure> {
    let name = format!("{name}.{}", format.name());
    let content_type = format.content_type();
    let listing = match format {
        FileFormat::Ndjson => ndjson::lines(),
        FileFormat::Har => har::archive(),
        FileFormat::Html => {
            let (pages, view, entries) =
                (Arc::clone(&viewer.pages), Arc::clone(view), entries.clone());
            let most_bytes = LIST_BYTES + ROW_BYTES * entries.len();
            let make = move || {
                let now = Timestamp::now();
                let rows: Vec<_> = entries.iter().map(|entry| Row::new(entry, now)).collect();
                html::page(&pages, view.snapshot.cursor, &rows)
            };
            visitor.make(most_bytes, make).await?.0?
        }
        FileFormat::Pcap => {
            let capture = capture(&visitor, entries).await?;
            return Ok(attachment(&name, content_type, capture));
        }
    };
    let body = streamed::respond(viewer, visitor, listing, &entries);
    Ok(attachment(&name, content_type, body))
}

/// Returns a pcap file. It is made whole, because its packets are in the order of time.
async fn capture(visitor: &Visitor, entries: Vec<Arc<Entry>>) -> Result<Bytes, Failure> {
    let mut most_bytes = 0;
    for entry in &entries {
        most_bytes += pcap::most_bytes(&entry.record);
    }
    let make = move || pcap::capture(entries.iter().map(|entry| &entry.record));
    let (capture, taken) = visitor.make(most_bytes, make).await?;
    Ok(taken.hold(capture))
}

/// Returns the requests that meet a query. A search for text waits for the visitor's turn.
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

pub(super) fn matching(view: &View, filter: &Filter) -> Vec<Arc<Entry>> {
    view.entries
        .iter()
        .filter(|entry| filter.matches(entry))
        .map(Arc::clone)
        .collect()
}
