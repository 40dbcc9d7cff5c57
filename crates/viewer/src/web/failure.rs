//! Why there is no page, and how an answer says so.
//!
//! In: what went wrong, and the address. Out: a response with its status, as JSON or text for
//! programs, or as a page for people.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use forever200_ring::{SLOTS, StoreError};
use serde_json::json;
use tracing::{debug, error};

use crate::bytes::printable;
use crate::history::reason_of_sqlite;
use crate::page::pages::Pages;

/// Longest message of a failure as text, in characters.
const MAX_TEXT_CHARS: usize = 500;
const BAD_QUERY: &str = "Bad query";

/// The format in which a failure is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// As a page.
    Page,
    /// As `{"error": "…"}`.
    Json,
    /// As a line of text.
    Text,
}

impl Format {
    /// Returns the format for failures at this path: a page, if people read this path; JSON, if it
    /// answers programs with JSON; else text.
    #[must_use]
    pub(crate) fn of(path: &str) -> Self {
        let behind_home = path.strip_prefix("/home/").unwrap_or_default();
        let (first, rest) = behind_home.split_once('/').unwrap_or((behind_home, ""));
        match (first, rest) {
            (
                "api"
                | "events"
                | "health"
                | "export.ndjson"
                | "export.har"
                | "export.sources.json",
                _,
            ) => Self::Json,
            ("text" | "static" | "new.atom", _) => Self::Text,
            ("requests", file) if file.ends_with("/har") => Self::Json,
            ("requests", file) if file.contains('/') => Self::Text,
            _ if first.starts_with("export.") => Self::Text,
            _ => Self::Page,
        }
    }
}

/// Why there is no page. A handler returns a response that has only the status, and the failure in
/// its extensions. Its body is made in one place, at the end of `routes`.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// There is no such address.
    NotFound,
    /// The request with this number is not in the ring.
    RolledOver(u64),
    /// The request with this number is not HTTP, and the format that was asked for is for HTTP
    /// only.
    NotHttp(u64),
    /// The query has an unknown parameter, or a value that cannot be read.
    BadQuery(String),
    /// The address does not take this method.
    MethodNotAllowed,
    /// memcached cannot be read.
    StoreAway(Arc<StoreError>),
    /// The request with this number is neither in the ring nor in the history.
    NotKept(u64),
    /// The history is off.
    NoHistory,
    /// The history cannot be read, or not in time.
    HistoryAway(Arc<rusqlite::Error>),
    /// Nothing came from this address, as far as the history goes back.
    NoSource,
    /// The answer would list single addresses, but addresses are masked.
    Masked,
    /// Too many answers wait for a turn, or the answers on their way leave no room for more.
    Busy,
    /// The `Host` of the request is not a name of the viewer.
    StrangeHost,
    /// The browser came from another site to an address that other sites may not use.
    CrossSite,
    /// The body of a request did not arrive completely, or not in time.
    BodyCut,
    /// A template failed.
    Bug(Arc<anyhow::Error>),
}

impl Failure {
    /// Makes the response for a request to this address.
    #[must_use]
    pub(crate) fn lay_out(&self, address: &Uri, pages: &Pages) -> Response {
        let (status, title, text) = self.say();
        if let Self::Bug(error) = self {
            error!(error = format!("{error:#}"), "cannot make a page");
        }
        let is_soon_over = matches!(self, Self::StoreAway(_) | Self::HistoryAway(_) | Self::Busy);
        let mut response = match Format::of(address.path()) {
            Format::Json => (status, Json(json!({ "error": text }))).into_response(),
            Format::Text => {
                let content_type = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
                let line = printable::line(text.as_bytes(), MAX_TEXT_CHARS) + "\n";
                (status, content_type, line).into_response()
            }
            Format::Page => {
                // If a template is broken, this page may fail too. Then the title is sent alone.
                let page = match self {
                    Self::BadQuery(reason) => bad_query(address, reason, pages),
                    _ => pages.message(title, &text, is_soon_over),
                };
                let page = page.unwrap_or_else(|_| title.to_owned());
                (status, Html(page)).into_response()
            }
        };
        if is_soon_over {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    fn say(&self) -> (StatusCode, &'static str, String) {
        match self {
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "Not found",
                "There is nothing at this address.".into(),
            ),
            Self::RolledOver(seq) => (
                StatusCode::NOT_FOUND,
                "Gone",
                format!(
                    "Request {seq} does not exist, or newer requests have replaced it. Only the last {SLOTS} are kept."
                ),
            ),
            Self::NotKept(seq) => (
                StatusCode::NOT_FOUND,
                "Gone",
                format!(
                    "Request {seq} does not exist, was not kept, or is no longer in the history."
                ),
            ),
            Self::NotHttp(seq) => (
                StatusCode::NOT_FOUND,
                "Not HTTP",
                format!("Request {seq} is not HTTP, so there is no HAR file."),
            ),
            Self::BadQuery(reason) => (StatusCode::BAD_REQUEST, BAD_QUERY, reason.clone()),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "Method not allowed",
                "This address can only be read.".into(),
            ),
            Self::StoreAway(error) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "memcached is unreachable",
                format!(
                    "The requests cannot be read at the moment ({error}). New ones are still answered and kept."
                ),
            ),
            Self::NoHistory => (
                StatusCode::NOT_FOUND,
                "No history",
                "Only the last requests are kept here: FOREVER200_HISTORY is off.".into(),
            ),
            Self::HistoryAway(error) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The history cannot be read",
                format!(
                    "The history cannot be read at the moment ({}). The last requests are at /home.",
                    reason_of_sqlite(error)
                ),
            ),
            Self::NoSource => (
                StatusCode::NOT_FOUND,
                "No such source",
                "Nothing came from this address, as far as the history goes back.".into(),
            ),
            Self::Masked => (
                StatusCode::FORBIDDEN,
                "Addresses are masked",
                "Source addresses are masked here (FOREVER200_MASK_SOURCES). There is no blocklist, because a list of networks \
                 would block the attackers' neighbours."
                    .into(),
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too busy",
                "Too many visitors are waiting. Try again in a second.".into(),
            ),
            Self::StrangeHost => (
                StatusCode::MISDIRECTED_REQUEST,
                "Not this host",
                "The viewer does not answer to this host name: see FOREVER200_VIEWER_HOSTS.".into(),
            ),
            Self::CrossSite => (
                StatusCode::FORBIDDEN,
                "Not from another site",
                "Another website leads here. Downloads and explanations work only from a page of forever200, so that other websites cannot misuse them.".into(),
            ),
            Self::BodyCut => (
                StatusCode::REQUEST_TIMEOUT,
                "Incomplete",
                "The body did not arrive completely within ten seconds.".into(),
            ),
            Self::Bug(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "A bug",
                "This page could not be made because of an error in forever200.".into(),
            ),
        }
    }
}

/// Makes the page about a bad query. If the query came from an HTML form, the page shows this form
/// again, filled in as it was.
fn bad_query(address: &Uri, reason: &str, pages: &Pages) -> anyhow::Result<String> {
    match pages.refused(address, reason)? {
        Some(page) => Ok(page),
        None => pages.message(BAD_QUERY, reason, false),
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.say().0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Arc<StoreError>> for Failure {
    fn from(error: Arc<StoreError>) -> Self {
        Self::StoreAway(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        debug!(%error, "a question to the history failed");
        Self::HistoryAway(Arc::new(error))
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::BadQuery(rejection.body_text())
    }
}

impl From<PathRejection> for Failure {
    /// A part of the path is no UTF-8.
    fn from(_: PathRejection) -> Self {
        Self::NotFound
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Bug(Arc::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_in_what_they_read() {
        for (path, format) in [
            ("/home", Format::Page),
            ("/home/", Format::Page),
            ("/home/labels", Format::Page),
            ("/home/requests/7", Format::Page),
            ("/home/textual", Format::Page),
            ("/home/api", Format::Json),
            ("/home/api/requests/7", Format::Json),
            ("/home/events", Format::Json),
            ("/home/health", Format::Json),
            ("/home/export.ndjson", Format::Json),
            ("/home/export.har", Format::Json),
            ("/home/export.sources.json", Format::Json),
            ("/home/export.sources.csv", Format::Text),
            ("/home/sources/192.0.2.1", Format::Page),
            ("/home/requests/7/har", Format::Json),
            ("/home/export.pcap", Format::Text),
            ("/home/export.exe", Format::Text),
            ("/home/requests/7/raw", Format::Text),
            ("/home/requests/7/exe", Format::Text),
            ("/home/text", Format::Text),
            ("/home/static/style.css", Format::Text),
        ] {
            assert_eq!(Format::of(path), format, "{path}");
        }
    }
}
