//! The sensors of a hub: a page and JSON.
//!
//! In: a query. Out: answers from the history, made on a visitor's turn and bounded in rows.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use crate::page::pages::Pages;
use crate::page::sensors::{SensorsPage, SensorsQuery, UNHEARD_SECONDS};
use crate::web::answer::{QueryOf, Shared, whole_from_history};
use crate::web::failure::Failure;
use crate::web::limits::Visitor;
use crate::web::prepared::Prepared;
use crate::web::state::Viewer;

/// Most bytes of a page: 200 rows of some 700 bytes.
const SENSORS_BYTES: usize = 256 * 1024;

pub(crate) async fn page(
    State(viewer): Shared,
    visitor: Visitor,
    query: QueryOf<SensorsQuery>,
) -> Result<Response, Failure> {
    let Query(query) = query?;
    list(viewer, visitor, query, |pages, page| {
        Ok(Prepared::html(pages.sensors(page)?))
    })
    .await
}

pub(crate) async fn api(
    State(viewer): Shared,
    visitor: Visitor,
    query: QueryOf<SensorsQuery>,
) -> Result<Response, Failure> {
    let Query(query) = query?;
    list(viewer, visitor, query, |pages, page| {
        Ok(Prepared::json(pages.sensors_json(page).into()))
    })
    .await
}

async fn list(
    viewer: Arc<Viewer>,
    visitor: Visitor,
    query: SensorsQuery,
    lay_out: fn(&Pages, &SensorsPage) -> Result<Prepared, Failure>,
) -> Result<Response, Failure> {
    let (sort, page) = query.wanted().map_err(Failure::BadQuery)?;
    let pages = Arc::clone(&viewer.pages);
    whole_from_history(&viewer, &visitor, SENSORS_BYTES, move |questions| {
        let now = Timestamp::now();
        let silent_since = now - SignedDuration::from_secs(UNHEARD_SECONDS);
        let (rows, all) = questions.sensors(sort, page, silent_since, pages.privacy())?;
        let page = SensorsPage {
            sort,
            page,
            rows,
            all,
            now,
        };
        lay_out(&pages, &page)
    })
    .await
}
