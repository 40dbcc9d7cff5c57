//! Refuses parameters that an address does not take.
//!
//! In: a request. Out: this request, or a failure that names the unknown parameter. Without this
//! check, a misspelt condition would show everything.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::bytes::printable;
use crate::page::filter::is_condition;
use crate::web::failure::Failure;

/// Longest name in an error, in characters.
const MAX_NAME_CHARS: usize = 40;

/// Refuses a parameter that this address does not have.
pub(super) async fn refuse_unknown(request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    match unknown(request.uri().path(), query) {
        Some(name) => {
            let name = printable::line(name.as_bytes(), MAX_NAME_CHARS);
            Failure::BadQuery(format!("{name}: unknown parameter")).into_response()
        }
        None => next.run(request).await,
    }
}

/// The parameters that an address takes.
struct Allowed {
    /// The address takes all conditions of a filter.
    filter: bool,
    /// The other parameters that it takes.
    others: &'static [&'static str],
}

/// Returns which parameters an address takes; `None` if it ignores them, or checks them itself.
fn allowed(path: &str) -> Option<Allowed> {
    Some(match path.strip_prefix("/home")? {
        "" | "/" => with_filter(&["view"]),
        "/text" => with_filter(&["color"]),
        "/events" => with_filter(&["after", "format"]),
        "/api/requests" => with_filter(&["limit", "raw"]),
        "/history" => with_filter(&["since", "until", "before", "after"]),
        "/api/history" => with_filter(&["since", "until", "before", "after", "limit", "raw"]),
        "/collection" | "/api/collection" => with_filter(&["sort", "page"]),
        "/sources" | "/api/sources" => {
            without_filter(&["sort", "before", "category", "country", "as", "source"])
        }
        "/sensors" | "/api/sensors" => without_filter(&["sort", "page"]),
        "/labels" => without_filter(&["q", "category", "label", "sort"]),
        "/new.atom" | "/api/stats" | "/health" | "/metrics" => without_filter(&[]),
        other if is_one_of_a_list(other) => without_filter(&[]),
        other if other.starts_with("/export.sources.") => {
            without_filter(&["category", "min", "since"])
        }
        other if other.starts_with("/export.") => with_filter(&["since", "until"]),
        other => {
            let of_one = other.strip_prefix("/requests/")?;
            let is_download = of_one.contains('/');
            Allowed {
                filter: !is_download,
                others: &[],
            }
        }
    })
}

fn with_filter(others: &'static [&'static str]) -> Allowed {
    Allowed {
        filter: true,
        others,
    }
}

fn without_filter(others: &'static [&'static str]) -> Allowed {
    Allowed {
        filter: false,
        others,
    }
}

/// Tells whether a path is that of one source, of one kind, or of one request as JSON.
fn is_one_of_a_list(path: &str) -> bool {
    let of_one = path.strip_prefix("/api").unwrap_or(path);
    of_one.starts_with("/sources/")
        || of_one.starts_with("/collection/")
        || path.starts_with("/api/requests/")
}

/// Finds the first parameter that an address does not have.
fn unknown(path: &str, query: &str) -> Option<String> {
    let allowed = allowed(path)?;
    let is_allowed =
        |name: &str| (allowed.filter && is_condition(name)) || allowed.others.contains(&name);
    // A query that cannot be read is refused by the handler of the address.
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let mut names = pairs.into_iter().map(|(name, _)| name);
    names.find(|name| !is_allowed(name))
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
            ("/home/requests/7", "category=recon", None),
            ("/home/requests/7/raw", "x=1", Some("x")),
            ("/home/requests/7/raw", "category=recon", Some("category")),
            ("/home/api/requests/7", "raw=on", Some("raw")),
            ("/home/labels", "q=x&category=recon&label=y&sort=seen", None),
            ("/home/labels", "cve=x", Some("cve")),
            ("/home/collection/x", "sort=new", Some("sort")),
            ("/home/api/collection/x", "x", Some("x")),
            ("/home/new.atom", "category=recon", Some("category")),
            ("/home/api/stats", "x=1", Some("x")),
            ("/home/health", "", None),
            ("/home/health", "x=1", Some("x")),
            ("/home/sources", "sort=new&before=1-2&as=AS1", None),
            ("/home/sources/192.0.2.1", "sort=new", Some("sort")),
            ("/home/static/style.css", "v=1", None),
            ("/home/collection", "sort=new&page=2&-category=recon", None),
            ("/home/collection", "limit=1", Some("limit")),
            ("/home", "sensor=a&-sensor=b", None),
            ("/home/sensors", "sort=often&page=2", None),
            ("/home/api/sensors", "sensor=a", Some("sensor")),
        ] {
            assert_eq!(unknown(path, query).as_deref(), found, "{path}?{query}");
        }
    }
}
