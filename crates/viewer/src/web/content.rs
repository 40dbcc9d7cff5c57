//! Something to send to many: made once, and compressed once.
//!
//! In: a page or a list. Out: responses, by gzip for those who take it. What is made for one visitor alone is left to
//! tower-http.

use std::io::Write;
use std::sync::OnceLock;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

/// A body with its type.
#[derive(Debug)]
pub struct Content {
    content_type: &'static str,
    /// As it is.
    pub plain: Bytes,
    /// By gzip (RFC 1952), made for the first who takes it.
    gzip: OnceLock<Bytes>,
}

impl Content {
    /// Takes a page.
    #[must_use]
    pub fn html(html: String) -> Self {
        Self {
            content_type: "text/html; charset=utf-8",
            plain: html.into(),
            gzip: OnceLock::new(),
        }
    }

    /// Lays out a value.
    ///
    /// # Panics
    /// The value has keys that are no strings.
    #[must_use]
    pub fn json(value: &impl Serialize) -> Self {
        let json = serde_json::to_vec(value).expect("all keys are strings");
        Self {
            content_type: "application/json",
            plain: json.into(),
            gzip: OnceLock::new(),
        }
    }

    /// Makes a response for a visitor with these headers.
    #[must_use]
    pub fn respond(&self, headers: &HeaderMap) -> Response {
        let gzip = takes_gzip(headers);
        let body = if gzip {
            self.gzip.get_or_init(|| compressed(&self.plain))
        } else {
            &self.plain
        };
        let mut response = Response::new(Body::from(body.clone()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

fn compressed(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(plain).and_then(|()| encoder.finish());
    written.expect("a Vec takes all that is written").into()
}

/// RFC 9110, 12.5.3.
fn takes_gzip(headers: &HeaderMap) -> bool {
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
