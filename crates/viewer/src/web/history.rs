//! The history, page by page, and as JSON.
//!
//! In: a query. Out: a page of requests, and where the next page begins. The history is read on a
//! visitor's turn.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;

use crate::export::{FileFormat, har, html, json, ndjson, pcap};
use crate::history::{Page, Questions, Start, Wanted};
use crate::page::filter::{Filter, FilterQuery, switch};
use crate::page::history::HistoryPage;
use crate::page::moment::moment;
use crate::page::row::Row;
use crate::reader::{Describer, Entry};
use crate::web::answer::{
    ListQuery, QueryOf, Shared, attachment, filter, list_bytes, whole_from_history,
};
use crate::web::failure::Failure;
use crate::web::limits::Visitor;
use crate::web::prepared::Prepared;
use crate::web::state::Viewer;
use crate::web::streamed::{self, Requests};

/// Requests on a page.
const PAGE_ROWS: usize = 50;
/// A page ends after this many bytes of requests, however few the requests are.
const PAGE_BYTES: usize = 512 * 1024;
/// Most requests of one answer in JSON.
const MOST_JSON: usize = 200;
/// Most bytes of one answer in JSON, roughly: every byte appears as an escape and as base64.
const JSON_BYTES: usize = 8 * 1024 * 1024;

/// Most requests of an export. Their numbers are kept in memory until it is sent.
const MOST_EXPORTED: usize = 100_000;
/// Most requests of an export as a page. A longer one is hard on browsers.
const MOST_IN_PAGE: usize = 1000;
/// Longest time for describing the requests of an export as a page.
const ROWS_TIME: Duration = Duration::from_secs(1);

/// The parameters for the time, and for the number at which a page begins.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HistoryQuery {
    pub(crate) since: String,
    pub(crate) until: String,
    before: Option<u64>,
    after: Option<u64>,
}

impl HistoryQuery {
    /// Tells whether the query limits the time. Then the history answers it, not the ring.
    pub(crate) fn names_a_time(&self) -> bool {
        !self.since.trim().is_empty() || !self.until.trim().is_empty()
    }

    /// Returns what to ask the history for. Columns cannot decide every condition, so the filter
    /// must still check each request.
    ///
    /// # Errors
    /// A value cannot be read, or `before` and `after` are both given.
    pub(crate) fn wanted(&self, filter: &Filter, describer: &Describer) -> Result<Wanted, Failure> {
        let now = Timestamp::now();
        let start = match (self.before, self.after) {
            (None, None) => Start::Newest,
            (Some(seq), None) => Start::Before(seq),
            (None, Some(seq)) => Start::After(seq),
            (Some(_), Some(_)) => {
                return Err(Failure::BadQuery(
                    "before, after: expected one of them".to_owned(),
                ));
            }
        };
        Ok(Wanted {
            conditions: filter.conditions(describer),
            texts: filter.texts(describer),
            since: time("since", &self.since, now)?,
            until: time("until", &self.until, now)?,
            start,
        })
    }
}

fn time(name: &str, value: &str, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    if value.trim().is_empty() {
        return Ok(None);
    }
    moment(value, now)
        .map(Some)
        .map_err(|error| Failure::BadQuery(format!("{name}: {error}")))
}

/// Returns at most `most` entries that meet a filter; fewer if the requests are long.
fn entries(
    questions: &Questions,
    wanted: &Wanted,
    most: usize,
    filter: &Filter,
    describer: &Describer,
) -> rusqlite::Result<Page<Arc<Entry>>> {
    let mut bytes = 0;
    questions.search(wanted, most, |record| {
        if bytes > PAGE_BYTES {
            return ControlFlow::Break(());
        }
        let entry = Entry::new(&record, 0, describer);
        let entry = filter.matches(&entry).then(|| Arc::new(entry));
        bytes += entry.as_ref().map_or(0, |entry| entry.record.raw.len());
        ControlFlow::Continue(entry)
    })
}

pub(crate) async fn history(
    State(viewer): Shared,
    visitor: Visitor,
    query: QueryOf<FilterQuery>,
    times: QueryOf<HistoryQuery>,
) -> Result<Response, Failure> {
    let (Query(query), Query(times)) = (query?, times?);
    let filter = filter(&query, &visitor)?;
    let pages = Arc::clone(&viewer.pages);
    let wanted = times.wanted(&filter, pages.describer())?;
    let most_bytes = list_bytes(&query, PAGE_ROWS);
    whole_from_history(&viewer, &visitor, most_bytes, move |questions| {
        let found = entries(questions, &wanted, PAGE_ROWS, &filter, pages.describer())?;
        let (newer, older) = ends(questions, wanted.start, &found)?;
        let page = HistoryPage {
            query: &query,
            since: &times.since,
            until: &times.until,
            entries: &found.items,
            newer,
            older,
            is_partial: found.is_partial,
            oldest: questions.oldest()?,
        };
        Ok(Prepared::html(pages.history(&page)?))
    })
    .await
}

/// Returns the number after which the page with newer requests begins, and the number before which
/// the page with older ones begins.
fn ends(
    questions: &Questions,
    start: Start,
    found: &Page<Arc<Entry>>,
) -> rusqlite::Result<(Option<u64>, Option<u64>)> {
    let seq = |entry: Option<&Arc<Entry>>| entry.map(|entry| entry.record.seq);
    let (newest, oldest) = (seq(found.items.first()), seq(found.items.last()));
    Ok(match start {
        Start::Newest => (None, found.more),
        Start::Before(before) => (newest.or(Some(before.saturating_sub(1))), found.more),
        Start::After(after) => {
            let older = oldest.unwrap_or(after.saturating_add(1));
            (found.more, questions.has_before(older)?.then_some(older))
        }
    })
}

pub(crate) async fn api_history(
    State(viewer): Shared,
    visitor: Visitor,
    query: QueryOf<FilterQuery>,
    times: QueryOf<HistoryQuery>,
    list: QueryOf<ListQuery>,
) -> Result<Response, Failure> {
    let (Query(query), Query(times), Query(list)) = (query?, times?, list?);
    let raw = switch("raw", &list.raw).map_err(Failure::BadQuery)?;
    let filter = filter(&query, &visitor)?;
    let pages = Arc::clone(&viewer.pages);
    let wanted = times.wanted(&filter, pages.describer())?;
    let most = list.limit.unwrap_or(PAGE_ROWS).min(MOST_JSON);
    if most == 0 {
        // A page without requests could not say where the next page begins.
        return Err(Failure::BadQuery("limit: expected at least 1".to_owned()));
    }
    whole_from_history(&viewer, &visitor, JSON_BYTES, move |questions| {
        let found = entries(questions, &wanted, most, &filter, pages.describer())?;
        let listing = json::page(found.more, found.is_partial, raw);
        let entries = found.items.iter().map(AsRef::as_ref);
        Ok(Prepared::json(listing.whole(entries)))
    })
    .await
}

/// Returns all requests of a span of time as a file, which is streamed.
pub(crate) async fn export(
    viewer: Arc<Viewer>,
    visitor: Visitor,
    query: &FilterQuery,
    times: &HistoryQuery,
    format: &str,
    name: &str,
) -> Result<Response, Failure> {
    let filter = filter(query, &visitor)?;
    let pages = Arc::clone(&viewer.pages);
    let mut wanted = times.wanted(&filter, pages.describer())?;
    let format = FileFormat::of_name(format).ok_or(Failure::NotFound)?;
    let listing = match format {
        FileFormat::Ndjson => Some(ndjson::lines()),
        FileFormat::Har => Some(har::archive()),
        FileFormat::Pcap => Some(pcap::connections()),
        // The rows must be read before the page begins.
        FileFormat::Html => None,
    };
    let is_oldest_first = listing.as_ref().is_some_and(|it| !it.newest_first);
    if is_oldest_first {
        wanted.start = Start::After(0);
    }
    let most = if listing.is_some() {
        MOST_EXPORTED
    } else {
        MOST_IN_PAGE
    };
    let (total, asked) = (viewer.reader.view().await?.snapshot.cursor, filter.clone());
    let find = move |questions: &Questions| {
        let Some(numbers) = questions.numbers(&wanted, most)? else {
            return Err(too_many(most));
        };
        let listing = match listing {
            Some(listing) => listing,
            None => {
                let rows = rows(questions, &numbers, &asked, pages.describer())?;
                html::page(&pages, total, &rows)?
            }
        };
        Ok((numbers, listing))
    };
    let room = most * size_of::<u64>();
    let ((numbers, listing), taken) = viewer.ask_history(&visitor, room, find).await?;
    let requests = Requests::OfHistory(Arc::new(filter), numbers.into(), taken);
    let body = streamed::stream(viewer, visitor, listing, requests);
    let name = format!("{name}.{}", format.name());
    Ok(attachment(&name, format.content_type(), body))
}

fn too_many(most: usize) -> Failure {
    Failure::BadQuery(format!(
        "since, until: these are more than {most} requests, or too many to search. Ask for a shorter time."
    ))
}

/// Returns the rows of the requests that meet a filter. Fails if that takes too long.
fn rows(
    questions: &Questions,
    numbers: &[u64],
    filter: &Filter,
    describer: &Describer,
) -> Result<Vec<Row>, Failure> {
    let now = Timestamp::now();
    let begun = Instant::now();
    let mut rows = Vec::new();
    for &seq in numbers {
        if begun.elapsed() > ROWS_TIME {
            return Err(too_many(MOST_IN_PAGE));
        }
        let Some(record) = questions.record(seq)? else {
            continue;
        };
        let entry = Entry::new(&record, 0, describer);
        if filter.matches(&entry) {
            rows.push(Row::new(&entry, now));
        }
    }
    Ok(rows)
}
