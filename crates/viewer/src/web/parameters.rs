//! Which parameters an address takes.
//!
//! In: a request. Out: the same, or a failure that names a parameter that the address does not have: a condition that is
//! misspelt would else show everything.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::bytes::printable;
use crate::page::filter::is_condition;
use crate::web::failure::Failure;

/// Most of a name that is told, in characters.
const MAX_NAME_CHARS: usize = 40;
/// Refuses a parameter that this address does not have.
pub(super) async fn refuse_unknown(request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    match unknown(request.uri().path(), query) {
        Some(name) => {
            let name = printable::line(name.as_bytes(), MAX_NAME_CHARS);
            Failure::BadQuery(format!("{name}: there is no such parameter here")).into_response()
        }
        None => next.run(request).await,
    }
}

/// Returns which parameters an address takes beside a filter; `None` where it takes no filter.
fn beside_filter(path: &str) -> Option<&'static [&'static str]> {
    match path.strip_prefix("/home")? {
        "" | "/" => Some(&["view"]),
        "/text" => Some(&["color"]),
        "/events" => Some(&["after", "format"]),
        "/api/requests" => Some(&["limit", "raw"]),
        other if other.starts_with("/export.") => Some(&[]),
        other => {
            let of_one = other.strip_prefix("/requests/")?;
            (!of_one.contains('/')).then_some(&[])
        }
    }
}

/// Finds the first parameter that an address does not have.
fn unknown(path: &str, query: &str) -> Option<String> {
    let others = beside_filter(path)?;
    // What cannot be read is refused where it is read.
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let mut names = pairs.into_iter().map(|(name, _)| name);
    names.find(|name| !is_condition(name) && !others.contains(&&**name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_does_not_have_is_found() {
        for (path, query, found) in [
            ("/home", "", None),
            ("/home", "&q=&-q=x&host=a", None),
            ("/home", "q=x&limit=3&bad=1", Some("limit")),
            ("/home", "view=wall&q=x", None),
            ("/home/text", "view=wall", Some("view")),
            ("/home", "--q=x", Some("--q")),
            ("/home", "=x", Some("")),
            ("/home/text", "color=on&-host=name", None),
            ("/home/text", "bad%1b=1", Some("bad\x1b")),
            (
                "/home/events",
                "format=html&after=3&-limit=1",
                Some("-limit"),
            ),
            ("/home/api/requests", "limit=3&raw=on", None),
            ("/home/export.har", "catgory=exploit", Some("catgory")),
            ("/home/requests/7", "limit=1", Some("limit")),
            ("/home/requests/7/raw", "x=1", None),
            ("/home/static/style.css", "v=1", None),
        ] {
            assert_eq!(unknown(path, query).as_deref(), found, "{path}?{query}");
        }
    }
}
