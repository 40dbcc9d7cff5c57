//! Puts an answer together: made on the visitor's turn, compressed, with its headers.
//!
//! In: a function that makes the answer, and its greatest length. Out: a response.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HOST, IF_NONE_MATCH};
use axum::response::{IntoResponse, Response};
use forever200_ring::SLOTS;
use serde::Deserialize;

use crate::history::Questions;
use crate::page::filter::{Filter, FilterQuery};
use crate::web::failure::Failure;
use crate::web::limits::Visitor;
use crate::web::prepared::Prepared;
use crate::web::state::Viewer;

/// `Cache-Control` of an answer that a client may keep, but must revalidate.
pub(super) const REVALIDATE: &str = "no-cache";
/// Most bytes of one row of the list, and of the list without its rows.
pub(super) const ROW_BYTES: usize = 5120;
pub(super) const LIST_BYTES: usize = 64 * 1024;
/// Most bytes of `/home` without a filter: a row for each slot.
pub(super) const HOME_BYTES: usize = LIST_BYTES + ROW_BYTES * SLOTS as usize;
/// How many times the page of a list repeats the query string. A hidden input counts twice, because
/// it is escaped.
pub(super) const REPEATED: usize = 10;

/// What all requests to the viewer share, as a handler gets it.
pub(crate) type Shared = State<Arc<Viewer>>;

/// The parameters of an address, or why they cannot be read.
pub(crate) type QueryOf<T> = Result<Query<T>, QueryRejection>;

/// The variable parts of a path, or why they cannot be read.
pub(crate) type PathOf<T> = Result<Path<T>, PathRejection>;

/// Parameters of a list of requests in JSON, besides those of the filter.
#[derive(Deserialize)]
pub(crate) struct ListQuery {
    pub(super) limit: Option<usize>,
    #[serde(default)]
    pub(super) raw: String,
}

/// Returns how many bytes a list with `rows` rows takes at most. The links and inputs of its page
/// repeat the query.
pub(super) fn list_bytes(query: &FilterQuery, rows: usize) -> usize {
    LIST_BYTES + ROW_BYTES * rows + REPEATED * query.encoded().len()
}

/// Makes an answer of at most `most_bytes` bytes on the visitor's turn.
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
    let (prepared, body) = made?;
    Ok(prepared.respond(body.holding(taken)))
}

/// Makes an answer of at most `most_bytes` bytes from the history, on the visitor's turn.
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
    let (made, taken) = viewer.ask_history(visitor, most_bytes, ask).await?;
    let (prepared, body) = made;
    Ok(prepared.respond(body.holding(taken)))
}

/// Tells whether a visitor already has the answer with this tag (RFC 9110, 13.1.2).
pub(super) fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
    let mut known = headers.get_all(IF_NONE_MATCH).iter();
    known.any(|known| known.to_str().is_ok_and(|known| known.contains(tag)))
}

/// Returns a response that browsers save as a file. `name` never comes from a client.
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

pub(super) fn filter(query: &FilterQuery, visitor: &Visitor) -> Result<Filter, Failure> {
    Filter::new(query, visitor.ip).map_err(Failure::BadQuery)
}

/// Returns the `Host` of a request, or `localhost` if there is none or it has unusual characters.
pub(crate) fn host(headers: &HeaderMap) -> &str {
    if let Some(host) = headers.get(HOST)
        && let Ok(host) = host.to_str()
        && !host.is_empty()
        && host.bytes().all(is_of_host)
    {
        host
    } else {
        "localhost"
    }
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::history::HistoryPage;
    use crate::page::pages::Pages;
    use crate::reader::View;
    use crate::reader::entry::tests::describer;
    use crate::reader::privacy::Privacy;

    #[test]
    fn a_page_that_repeats_what_was_asked_for_is_no_longer_than_is_said() {
        let pages = Pages::new(Arc::new(describer(Privacy::default())), true);
        let view = View::nothing();
        for char in ["a", "'", "\"", "&", "<", "\u{e9}"] {
            let value = char.repeat(6000);
            let query = FilterQuery::of(&[("q", &value), ("-label", &value), ("q", "b")]);
            let said = list_bytes(&query, 0);
            let home = pages.home(&view, &query, &[], "", "localhost").unwrap();
            assert!(home.len() <= said, "{char}: {} of {said}", home.len());
            let page = HistoryPage {
                query: &query,
                since: "",
                until: "",
                entries: &[],
                newer: Some(7),
                older: Some(5),
                is_partial: true,
                oldest: None,
            };
            let history = pages.history(&page).unwrap();
            assert!(history.len() <= said, "{char}: {} of {said}", history.len());
        }
    }
}
