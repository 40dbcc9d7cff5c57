//! The sources: pages, JSON, and blocklists.
//!
//! In: a query. Out: answers from the history, made on a visitor's turn and bounded in time and
//! rows. The tag of a blocklist is a hash of its content: a client that polls it gets a 304 while
//! nothing has changed.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, Query, RawQuery, State};
use axum::http::header::{CACHE_CONTROL, ETAG};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use forever200_identify::Category;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::export::blocklist::{self, Format, Options};
use crate::history::blocklist::WantedAddresses;
use crate::history::one_source::OneSource;
use crate::history::sources::SourcesPage;
use crate::history::{Questions, WantedCategory};
use crate::page::pages::Pages;
use crate::page::sources::{SourcesQuery, address_of};
use crate::web::answer::{PathOf, QueryOf, REVALIDATE, Shared, has_tag, whole_from_history};
use crate::web::failure::Failure;
use crate::web::limits::Visitor;
use crate::web::prepared::Prepared;
use crate::web::state::Viewer;

/// Most bytes of the page of all sources, and of the page of one source: some hundred rows and
/// texts of 200 characters each.
const LIST_BYTES: usize = 256 * 1024;
const SOURCE_BYTES: usize = 512 * 1024;
/// Memory that a blocklist takes at most while it is made: addresses with their reasons.
const BLOCKLIST_BYTES: usize = 12 * 1024 * 1024;

type SourcesOf = QueryOf<SourcesQuery>;

pub(crate) async fn page(
    State(viewer): Shared,
    visitor: Visitor,
    query: SourcesOf,
) -> Result<Response, Failure> {
    let Query(query) = query?;
    list(viewer, visitor, query, |pages, query, page| {
        Ok(Prepared::html(pages.sources(query, page)?))
    })
    .await
}

pub(crate) async fn api(
    State(viewer): Shared,
    visitor: Visitor,
    query: SourcesOf,
) -> Result<Response, Failure> {
    let Query(query) = query?;
    list(viewer, visitor, query, |pages, _, page| {
        Ok(Prepared::json(pages.sources_json(page).into()))
    })
    .await
}

async fn list(
    viewer: Arc<Viewer>,
    visitor: Visitor,
    query: SourcesQuery,
    lay_out: fn(&Pages, &SourcesQuery, &SourcesPage) -> Result<Prepared, Failure>,
) -> Result<Response, Failure> {
    let wanted = query.wanted(visitor.ip).map_err(Failure::BadQuery)?;
    let pages = Arc::clone(&viewer.pages);
    whole_from_history(&viewer, &visitor, LIST_BYTES, move |questions| {
        let privacy = pages.privacy();
        let is_of = |name: &str, category: Option<&str>| match wanted.category {
            Some(wanted) => pages.is_of(name, category, wanted),
            None => true,
        };
        let page = questions.sources(&wanted, privacy, is_of)?;
        lay_out(&pages, &query, &page)
    })
    .await
}

pub(crate) async fn page_of_one(
    State(viewer): Shared,
    visitor: Visitor,
    path: PathOf<String>,
) -> Result<Response, Failure> {
    let Path(address) = path?;
    one(viewer, visitor, &address, |pages, one| {
        Ok(Prepared::html(pages.source(one)?))
    })
    .await
}

pub(crate) async fn api_of_one(
    State(viewer): Shared,
    visitor: Visitor,
    path: PathOf<String>,
) -> Result<Response, Failure> {
    let Path(address) = path?;
    one(viewer, visitor, &address, |pages, one| {
        Ok(Prepared::json(pages.source_json(one).into()))
    })
    .await
}

async fn one(
    viewer: Arc<Viewer>,
    visitor: Visitor,
    address: &str,
    lay_out: fn(&Pages, &OneSource) -> Result<Prepared, Failure>,
) -> Result<Response, Failure> {
    let pages = Arc::clone(&viewer.pages);
    let address = address_of(address, pages.privacy()).ok_or(Failure::NoSource)?;
    whole_from_history(&viewer, &visitor, SOURCE_BYTES, move |questions| {
        let one = questions.one_source(address, pages.privacy())?;
        lay_out(&pages, &one.ok_or(Failure::NoSource)?)
    })
    .await
}

pub(crate) async fn text(
    viewer: Shared,
    visitor: Visitor,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    blocklist(viewer, visitor, query, headers, Format::Text).await
}

pub(crate) async fn csv(
    viewer: Shared,
    visitor: Visitor,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    blocklist(viewer, visitor, query, headers, Format::Csv).await
}

pub(crate) async fn json(
    viewer: Shared,
    visitor: Visitor,
    query: RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    blocklist(viewer, visitor, query, headers, Format::Json).await
}

async fn blocklist(
    State(viewer): Shared,
    visitor: Visitor,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    format: Format,
) -> Result<Response, Failure> {
    let pages = Arc::clone(&viewer.pages);
    if pages.privacy().mask_sources {
        return Err(Failure::Masked);
    }
    let options = Options::read(&query.unwrap_or_default(), Timestamp::now());
    let options = options.map_err(Failure::BadQuery)?;
    let (takes_gzip, visitor_ip) = (visitor.takes_gzip, visitor.ip.to_canonical());
    let ask = move |questions: &Questions| {
        let body = make(&pages, questions, &options, visitor_ip, format)?;
        let tag = tag(&body);
        let prepared = Prepared::new(format.content_type(), body.into());
        let body = prepared.body(takes_gzip);
        Ok((prepared, body, tag))
    };
    let (made, taken) = viewer.ask_history(&visitor, BLOCKLIST_BYTES, ask).await?;
    let (prepared, body, tag) = made;
    let kept = [(ETAG, tag.clone()), (CACHE_CONTROL, REVALIDATE.to_owned())];
    if has_tag(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    Ok((kept, prepared.respond(body.holding(taken))).into_response())
}

fn make(
    pages: &Pages,
    questions: &Questions,
    options: &Options,
    visitor: IpAddr,
    format: Format,
) -> Result<Vec<u8>, Failure> {
    let is_reason = |name: &str, category: Option<&str>| {
        let mut categories = options.categories.iter();
        categories.any(|&it| pages.is_of(name, category, WantedCategory::Labelled(it)))
    };
    let privacy = pages.privacy();
    let is_own = |address: IpAddr| {
        address == visitor || privacy.is_named_in(&address.into(), &address.to_string())
    };
    let wanted = WantedAddresses {
        is_reason: &is_reason,
        min: options.min,
        since: options.since,
        is_own: &is_own,
        with_reasons: format != Format::Text,
    };
    let is_polite = |name: &str| blocklist::POLITE.map(Category::name).contains(&name);
    let (listed, is_whole) = questions.blocklist(&wanted, is_polite)?;
    Ok(blocklist::list(&listed, is_whole, options, format))
}

/// Returns the tag of a blocklist. It is weak, because the same list may be sent compressed or not.
fn tag(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    let text: String = digest
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("W/\"{text}\"")
}
