//! The collection: pages, JSON, and the feed of new kinds.
//!
//! In: a query. Out: answers made from the history when it is the visitor's turn.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, ETAG};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use jiff::Timestamp;

use crate::export::{atom, json};
use crate::history::Questions;
use crate::history::sensors::SeenBy;
use crate::page::collection::choice::{Choice, CollectionQuery};
use crate::page::collection::{Collection, ShownKind, candidates};
use crate::page::filter::{FilterQuery, UNRECOGNISED};
use crate::page::kind::KindPage;
use crate::page::pages::Pages;
use crate::web::answer::{
    PathOf, QueryOf, REPEATED, REVALIDATE, Shared, has_tag, host, whole_from_history,
};
use crate::web::failure::Failure;
use crate::web::limits::Visitor;
use crate::web::prepared::Prepared;
use crate::web::request::most_bytes_of_request;

/// Most bytes of a page of the collection.
const COLLECTION_BYTES: usize = 512 * 1024;
/// Most bytes of the page of a kind without its specimen.
const KIND_BYTES: usize = 128 * 1024;
/// Longest specimen.
const SPECIMEN_BYTES: usize = 64 * 1024;
/// Most bytes of the feed.
const FEED_BYTES: usize = 256 * 1024;
const ATOM: &str = "application/atom+xml; charset=utf-8";

pub(crate) async fn collection(
    State(viewer): Shared,
    visitor: Visitor,
    filter: QueryOf<FilterQuery>,
    query: QueryOf<CollectionQuery>,
) -> Result<Response, Failure> {
    let (Query(filter), Query(query)) = (filter?, query?);
    let choice = Choice::new(&filter, &query).map_err(Failure::BadQuery)?;
    let pages = Arc::clone(&viewer.pages);
    let most_bytes = COLLECTION_BYTES + REPEATED * filter.encoded().len();
    whole_from_history(&viewer, &visitor, most_bytes, move |questions| {
        let collection = read(questions, &choice, &pages)?;
        Ok(Prepared::html(pages.collection(&collection, &filter)?))
    })
    .await
}

pub(crate) async fn api_collection(
    State(viewer): Shared,
    visitor: Visitor,
    filter: QueryOf<FilterQuery>,
    query: QueryOf<CollectionQuery>,
) -> Result<Response, Failure> {
    let (Query(filter), Query(query)) = (filter?, query?);
    let choice = Choice::new(&filter, &query).map_err(Failure::BadQuery)?;
    let pages = Arc::clone(&viewer.pages);
    whole_from_history(&viewer, &visitor, COLLECTION_BYTES, move |questions| {
        let collection = read(questions, &choice, &pages)?;
        Ok(Prepared::json(json::to_string(&collection).into()))
    })
    .await
}

pub(crate) async fn kind(
    State(viewer): Shared,
    visitor: Visitor,
    path: PathOf<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Path(name) = path?;
    let most_bytes = KIND_BYTES + most_bytes_of_request(SPECIMEN_BYTES);
    let (pages, host) = (Arc::clone(&viewer.pages), host(&headers).to_owned());
    let at_hub = viewer.reader.seen_at_hub(&name);
    whole_from_history(&viewer, &visitor, most_bytes, move |questions| {
        let page = find(questions, &name, at_hub, &pages)?;
        Ok(Prepared::html(pages.kind(&page, &host)?))
    })
    .await
}

pub(crate) async fn api_kind(
    State(viewer): Shared,
    visitor: Visitor,
    path: PathOf<String>,
) -> Result<Response, Failure> {
    let Path(name) = path?;
    let most_bytes = KIND_BYTES + most_bytes_of_request(SPECIMEN_BYTES);
    let pages = Arc::clone(&viewer.pages);
    let at_hub = viewer.reader.seen_at_hub(&name);
    whole_from_history(&viewer, &visitor, most_bytes, move |questions| {
        let page = find(questions, &name, at_hub, &pages)?;
        let parts = json::to_string(&page.parts);
        let specimen = json::request(&page.specimen, true);
        // The parts are an object, which ends with a brace.
        let begin = parts.strip_suffix('}').unwrap_or(&parts).as_bytes();
        let all = [begin, b",\"request\":", &specimen, b"}"].concat();
        Ok(Prepared::json(all.into()))
    })
    .await
}

/// Returns the feed, or 304 if the client already has it. A tag is compared and not a time, because
/// the feed may change twice in a second, and a sensor that sends late may add a kind that is older
/// than others.
pub(crate) async fn feed(
    State(viewer): Shared,
    visitor: Visitor,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (pages, host) = (Arc::clone(&viewer.pages), host(&headers).to_owned());
    let takes_gzip = visitor.takes_gzip;
    let make = move |questions: &Questions| {
        let feed = read_feed(questions, &pages, &host)?;
        let mut hasher = DefaultHasher::new();
        feed.hash(&mut hasher);
        let prepared = Prepared::new(ATOM, Bytes::from(feed));
        let body = prepared.body(takes_gzip);
        Ok((prepared, body, hasher.finish()))
    };
    let (made, taken) = viewer.ask_history(&visitor, FEED_BYTES, make).await?;
    let (prepared, body, hash) = made;
    // Weak: the same feed may be sent compressed or not.
    let tag = format!("W/\"{hash:x}\"");
    let kept = [(ETAG, tag.clone()), (CACHE_CONTROL, REVALIDATE.to_owned())];
    if has_tag(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    Ok((kept, prepared.respond(body.holding(taken))).into_response())
}

fn read(questions: &Questions, choice: &Choice, pages: &Pages) -> Result<Collection, Failure> {
    let (rows, totals) = questions.kinds(&choice.countries, pages.privacy())?;
    let mut collection = Collection::new(&rows, &totals, choice, pages, Timestamp::now());
    let rows = collection.rows();
    collection.add_sensors(&questions.sensors_of_kinds(rows.iter().copied())?);
    collection.add_countries(questions.countries_of(rows.into_iter())?);
    Ok(collection)
}

fn find(
    questions: &Questions,
    name: &str,
    at_hub: Option<SeenBy>,
    pages: &Pages,
) -> Result<KindPage, Failure> {
    let whole = questions.kind(name, pages.privacy())?;
    let whole = whole.ok_or(Failure::NotFound)?;
    let page = pages.kind_page(&whole, Timestamp::now());
    let mut page = page.ok_or(Failure::NotFound)?;
    page.parts.at_hub = at_hub;
    Ok(page)
}

fn read_feed(questions: &Questions, pages: &Pages, host: &str) -> Result<String, Failure> {
    let (rows, totals) =
        questions.new_kinds(atom::ENTRIES, atom::UNLABELLED_ENTRIES, pages.privacy())?;
    let shown = candidates(&rows, pages.known_labels());
    let now = Timestamp::now();
    let mut entries = Vec::new();
    for kind in shown {
        let signature = kind
            .label
            .and_then(|it| it.signature(&pages.describer.labeller));
        let first = Timestamp::from_microsecond(kind.row.first).unwrap_or_default();
        let shown = ShownKind::new(&kind, now);
        let explanation = match &signature {
            Some(signature) => signature.explanation.as_str(),
            None => "It has no label.",
        };
        let cve = signature
            .iter()
            .flat_map(|it| &it.cve)
            .map(|cve| format!("{cve}. "));
        entries.push(atom::FeedEntry {
            summary: cve.collect::<String>() + explanation,
            category: shown.category.map_or(UNRECOGNISED, |it| it.name()),
            kind: shown.kind,
            title: shown.title,
            first,
        });
    }
    entries.sort_by_key(|it| std::cmp::Reverse(it.first));
    entries.truncate(atom::ENTRIES);
    let era = totals.since.unwrap_or_default();
    Ok(atom::feed(&entries, era, host))
}
