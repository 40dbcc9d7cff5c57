//! Reads the body of an HTTP request as a form, or without the framing of its chunks.
//!
//! In: a parsed request. Out: names and values, or bytes. The content type in the head decides
//! whether the body is a form, as in programs that receive forms.

use std::borrow::Cow;

use forever200_decode::parameters;
use forever200_head::joined;
use forever200_identify::http;

/// Returns the decoded names and values of a form in the body, in the order sent. Returns an empty
/// list if there is no form.
#[must_use]
pub fn form(http: &http::Request<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    if is_said(http) {
        parameters(http.body.trim_ascii())
    } else {
        Vec::new()
    }
}

/// Tells whether a head says that its body is a form.
#[must_use]
pub fn is_said(http: &http::Request<'_>) -> bool {
    http.values(b"content-type").any(is_urlencoded)
}

/// Tells whether a content type is that of a form.
#[must_use]
pub fn is_urlencoded(content_type: &[u8]) -> bool {
    content_type
        .to_ascii_lowercase()
        .starts_with(b"application/x-www-form-urlencoded")
}

/// Returns the body, without the framing of its chunks if it has chunks.
#[must_use]
pub fn content<'a>(http: &http::Request<'a>) -> Cow<'a, [u8]> {
    if http.is_chunked
        && let Some(joined) = joined(http.body)
    {
        return Cow::Owned(joined.data);
    }
    Cow::Borrowed(http.body)
}
