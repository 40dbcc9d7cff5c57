//! The pages `/home`, the wall, and the labels.
//!
//! In: a query. Out: HTML. `/home` without a query is made once for all visitors.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use crate::history::Questions;
use crate::history::label_counts::LabelCounts;
use crate::page::catalogue::CatalogueQuery;
use crate::page::filter::FilterQuery;
use crate::page::wall;
use crate::web::answer::{QueryOf, Shared, filter, host, list_bytes, whole};
use crate::web::cache::labels_key;
use crate::web::failure::Failure;
use crate::web::limits::Visitor;
use crate::web::list::matching;
use crate::web::prepared::Prepared;
use crate::web::state::Viewer;

/// Most bytes of the page of labels.
const LABELS_BYTES: usize = 2 * 1024 * 1024;
/// Most bytes of the counts of labels.
const COUNTS_BYTES: usize = 512 * 1024;

/// Parameters of `/home`, besides those of the filter.
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
        // Made at once, without a turn: other visitors can delay it only by the room that they
        // take.
        let page = viewer.caches.home(&viewer.pages, &view, host(&headers))?;
        let body = page.body(visitor.takes_gzip);
        let taken = visitor.room(body.len()).await?;
        return Ok(page.respond(body.holding(taken)));
    }
    let filter = filter(&query, &visitor)?;
    let most_bytes = list_bytes(&query, view.entries.len());
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

/// Returns the wall: the list, laid out for a projector.
async fn wall(
    viewer: Arc<Viewer>,
    visitor: Visitor,
    query: FilterQuery,
) -> Result<Response, Failure> {
    let filter = filter(&query, &visitor)?;
    let view = viewer.reader.view().await?;
    let most_bytes = list_bytes(&query, wall::MAX_ROWS);
    whole(&visitor, most_bytes, move || {
        let entries = wall::in_order(&view, matching(&view, &filter));
        let numbers = viewer.caches.wall_strip(&viewer.pages, &view)?;
        let numbers = String::from_utf8_lossy(&numbers);
        let html = viewer.pages.wall(&view, &query, &entries, &numbers)?;
        Ok(Prepared::html(html))
    })
    .await
}

pub(crate) async fn labels(
    State(viewer): Shared,
    visitor: Visitor,
    query: QueryOf<CatalogueQuery>,
) -> Result<Response, Failure> {
    let Query(query) = query?;
    query.check().map_err(Failure::BadQuery)?;
    let view = viewer.reader.view().await?;
    let counts = label_counts(&viewer, &visitor).await?;
    if !query.is_empty() {
        let make = move || {
            let html = viewer.pages.labels(&view, &counts, &query)?;
            Ok(Prepared::html(html))
        };
        return whole(&visitor, LABELS_BYTES, make).await;
    }
    let takes_gzip = visitor.takes_gzip;
    let make = move || {
        let page = viewer.caches.labels(&viewer.pages, &view, &counts)?;
        let body = page.body(takes_gzip);
        Ok::<_, Failure>((page, body))
    };
    let (made, taken) = visitor.make(LABELS_BYTES, make).await?;
    let (page, body) = made?;
    Ok(page.respond(body.holding(taken)))
}

/// Returns the counts of the history by label; none if the history is off, or cannot be read now.
async fn label_counts(viewer: &Viewer, visitor: &Visitor) -> Result<Arc<LabelCounts>, Failure> {
    let key = labels_key();
    if let Some(counts) = viewer.caches.label_counts.find(&key) {
        return Ok(counts);
    }
    let count = |questions: &Questions| Ok(questions.label_counts()?);
    let counts = match viewer.ask_history(visitor, COUNTS_BYTES, count).await {
        Ok((counts, _)) => Arc::new(counts),
        Err(Failure::NoHistory | Failure::HistoryAway(_)) => Arc::default(),
        Err(failure) => return Err(failure),
    };
    viewer.caches.label_counts.keep(key, Arc::clone(&counts));
    Ok(counts)
}
