//! A line of JSON for each request, with its bytes as base64.
//!
//! Format: <https://github.com/ndjson/ndjson-spec>.

use crate::export::{Listing, json};

/// Returns the lines, the oldest first.
#[must_use]
pub fn lines() -> Listing {
    Listing {
        begin: "".into(),
        between: b"",
        end: "".into(),
        newest_first: false,
        most: Box::new(|entry| json::most_bytes(entry, true)),
        one: Box::new(|entry| Some([&*json::request(entry, true), b"\n"].concat().into())),
    }
}
