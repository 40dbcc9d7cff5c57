//! A complete answer, sent plain or with gzip.
//!
//! In: a page or a list. Out: responses, with gzip for the visitors who accept it. It is compressed
//! only once.

use std::io::Write;
use std::sync::OnceLock;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::web::room::Taken;

/// A longer answer is compressed at the fastest level, which takes a fifth of the time.
const LONG_BYTES: usize = 256 * 1024;

/// The body of one response.
#[derive(Debug)]
pub(crate) struct EncodedBody {
    bytes: Bytes,
    /// `bytes` are compressed with gzip.
    is_gzip: bool,
}

impl EncodedBody {
    /// Returns how many bytes are sent.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the body with this room, which it holds until it is dropped.
    #[must_use]
    pub(crate) fn holding(self, taken: Taken) -> Self {
        Self {
            bytes: taken.hold(self.bytes),
            ..self
        }
    }
}

/// A body with its type.
#[derive(Debug)]
pub(crate) struct Prepared {
    status: StatusCode,
    content_type: &'static str,
    /// The body, not compressed.
    pub(crate) plain: Bytes,
    /// The body with gzip (RFC 1952), made for the first visitor who accepts it.
    gzip: OnceLock<Bytes>,
}

impl Prepared {
    /// Makes an answer from a body of this type, with status 200.
    #[must_use]
    pub(crate) fn new(content_type: &'static str, plain: Bytes) -> Self {
        Self {
            status: StatusCode::OK,
            content_type,
            plain,
            gzip: OnceLock::new(),
        }
    }

    /// Makes an answer from a page.
    #[must_use]
    pub(crate) fn html(html: String) -> Self {
        Self::new("text/html; charset=utf-8", html.into())
    }

    /// Returns the answer with this status.
    #[must_use]
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Makes an answer from JSON.
    #[must_use]
    pub(crate) fn json(json: Bytes) -> Self {
        Self::new("application/json", json)
    }

    /// Makes an answer from text.
    #[must_use]
    pub(crate) fn text(text: String) -> Self {
        Self::new("text/plain; charset=utf-8", text.into())
    }

    /// Returns the body, with gzip if the visitor accepts it.
    #[must_use]
    pub(crate) fn body(&self, takes_gzip: bool) -> EncodedBody {
        let bytes = if takes_gzip {
            self.gzip.get_or_init(|| compressed(&self.plain))
        } else {
            &self.plain
        };
        EncodedBody {
            bytes: bytes.clone(),
            is_gzip: takes_gzip,
        }
    }

    /// Makes the response with a [`body`](Self::body).
    #[must_use]
    pub(crate) fn respond(&self, body: EncodedBody) -> Response {
        let mut response = Response::new(Body::from(body.bytes));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if body.is_gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

fn compressed(plain: &[u8]) -> Bytes {
    let level = if plain.len() > LONG_BYTES {
        Compression::fast()
    } else {
        Compression::default()
    };
    let mut encoder = GzEncoder::new(Vec::new(), level);
    let written = encoder.write_all(plain).and_then(|()| encoder.finish());
    written.expect("a Vec takes all that is written").into()
}

/// Tells whether a visitor accepts gzip (RFC 9110, 12.5.3).
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let lists = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight
            .trim()
            .strip_prefix("q=")
            .map_or(Ok(1.0), str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (list, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.8", true),
            ("gzip;q=0", false),
            ("gzip;q=x", false),
            ("br", false),
            ("x-gzip", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, list.parse().unwrap())]);
            assert_eq!(takes_gzip(&headers), takes, "{list}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
