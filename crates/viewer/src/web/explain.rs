//! Explains any request: pasted, as a file, as the body of a POST, or in the link.
//!
//! In: bytes from a visitor. Out: the page of a request, made from these bytes alone, or the form
//! with an error. Nothing is kept, and no byte is logged. Anybody may post here, so a body has
//! limits of length and time, and takes room before it is read. Its page is made on the visitor's
//! turn.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::time::timeout;

use crate::bytes::pasted::{self, MAX_BYTES, Unreadable, Writing};
use crate::bytes::printable;
use crate::page::filter::switch;
use crate::web::answer::{host, whole};
use crate::web::failure::Failure;
use crate::web::limits::Visitor;
use crate::web::prepared::Prepared;
use crate::web::request::most_bytes_of_request;
use crate::web::state::Viewer;
use forever200_decode::parameters;

/// Longest body that is used: a dump takes five bytes for one, and a form adds some.
const MAX_BODY_BYTES: usize = 6 * MAX_BYTES;
/// How much of a longer body is drained: a browser shows no answer while it still has something to
/// send.
const MAX_DRAINED_BYTES: usize = 4 * 1024 * 1024;
/// Longest time for a body to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Most parts of a form that are read. Our form has three.
const MAX_PARTS: usize = 8;
/// Longest input that the form shows again when it could not be read.
const MAX_REPEATED_BYTES: usize = 8 * 1024;
/// Most bytes of the form, without the input.
const FORM_BYTES: usize = 16 * 1024;
/// Longest name in an error, in characters.
const MAX_NAME_CHARS: usize = 40;

/// A request that many clients send, and that is harmless here. Its path and its user name are
/// encoded.
const EXAMPLE: &str = "GET /cgi-bin/.%2e/.%2e/.%2e/.%2e/etc/passwd HTTP/1.1\n\
    Host: 203.0.113.10\n\
    User-Agent: Mozilla/5.0 zgrab/0.x\n\
    Authorization: Basic YWRtaW46YWRtaW4=\n\n";

/// The input of a visitor.
#[derive(Debug, Default, PartialEq, Eq)]
struct Given {
    bytes: Bytes,
    /// How the bytes are written; `None` if the visitor did not choose.
    writing: Option<Writing>,
    /// The bytes came from a file, or as a whole body, and not as text in the form.
    is_raw: bool,
}

pub(crate) async fn by_link(
    State(viewer): State<Arc<Viewer>>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let query = query.unwrap_or_default();
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&query)
        .map_err(|error| Failure::BadQuery(printable::line(error.to_string().as_bytes(), 200)))?;
    let mut given = Given::default();
    let mut input = "";
    for (name, value) in pairs {
        match name.as_str() {
            // In a query, `+` means a space. In standard base64 it is a digit.
            "b64" => given.bytes = value.replace(' ', "+").into(),
            "example" if switch("example", &value).map_err(Failure::BadQuery)? => input = EXAMPLE,
            "example" => input = "",
            _ => {
                let name = printable::line(name.as_bytes(), MAX_NAME_CHARS);
                return Err(Failure::BadQuery(format!("unknown parameter {name}")));
            }
        }
    }
    if given.bytes.is_empty() {
        let host = host(&headers).to_owned();
        let make = move || {
            let html = viewer.pages.explain_form(None, input, None, &host)?;
            Ok(Prepared::html(html))
        };
        return whole(&visitor, FORM_BYTES, make).await;
    }
    given.writing = Some(Writing::Base64);
    let most_bytes = given.bytes.len();
    explain(viewer, &visitor, &headers, most_bytes, move || Ok(given)).await
}

pub(crate) async fn by_post(
    State(viewer): State<Arc<Viewer>>,
    visitor: Visitor,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let announced = announced_length(&headers).unwrap_or(MAX_BODY_BYTES);
    let most_bytes = announced.min(MAX_BODY_BYTES);
    // A client that sends slowly may be cut to make room, like one that reads slowly.
    let room = visitor.room(most_bytes).await?;
    let content_type = headers.get(CONTENT_TYPE).cloned();
    let Ok(Some(body)) = timeout(BODY_TIME, collect(body)).await else {
        return Err(Failure::BodyCut);
    };
    let most_bytes = body.as_ref().map_or(0, Bytes::len);
    let take = move || {
        let _until_read = room;
        let content_type = content_type.as_ref().and_then(|it| it.to_str().ok());
        Ok(given(content_type.unwrap_or_default(), body?))
    };
    explain(viewer, &visitor, &headers, most_bytes, take).await
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Reads a body; `None` if the connection ends before the body does.
async fn collect(body: Body) -> Option<Result<Bytes, Unreadable>> {
    let mut frames = body.into_data_stream();
    let (mut read, mut drained) = (BytesMut::new(), 0);
    while let Some(frame) = frames.next().await {
        let frame = frame.ok()?;
        if drained == 0 && read.len() + frame.len() <= MAX_BODY_BYTES {
            read.extend_from_slice(&frame);
            continue;
        }
        read = BytesMut::new();
        drained += frame.len();
        if drained > MAX_DRAINED_BYTES {
            break;
        }
    }
    Some(if drained == 0 {
        Ok(read.freeze())
    } else {
        Err(Unreadable::TooLong)
    })
}

/// Makes the page of a request of at most `most_bytes` bytes, or the form with an error.
async fn explain(
    viewer: Arc<Viewer>,
    visitor: &Visitor,
    headers: &HeaderMap,
    most_bytes: usize,
    take: impl FnOnce() -> Result<Given, Unreadable> + Send + 'static,
) -> Result<Response, Failure> {
    let host = host(headers).to_owned();
    let most_bytes = most_bytes_of_request(most_bytes.min(MAX_BYTES));
    whole(visitor, most_bytes, move || {
        let (given, read) = match take() {
            Ok(given) => {
                let read = read(&given);
                (given, read)
            }
            Err(unreadable) => (Given::default(), Err(unreadable)),
        };
        let pages = &viewer.pages;
        let unreadable = match read {
            Ok((bytes, writing)) => {
                let html = pages.explained(bytes.into(), writing, &host)?;
                return Ok(Prepared::html(html));
            }
            Err(unreadable) => unreadable,
        };
        let input = repeated(&given);
        let html = pages.explain_form(Some(unreadable), input, given.writing, &host)?;
        Ok(Prepared::html(html).with_status(status(unreadable)))
    })
    .await
}

fn status(unreadable: Unreadable) -> StatusCode {
    match unreadable {
        Unreadable::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Returns the input if it is short and the form can show all of it, else an empty text.
fn repeated(given: &Given) -> &str {
    let text = std::str::from_utf8(&given.bytes).unwrap_or_default();
    let is_short = text.len() <= MAX_REPEATED_BYTES && !given.is_raw;
    if is_short && text.chars().all(is_shown) {
        text
    } else {
        ""
    }
}

fn is_shown(char: char) -> bool {
    matches!(char, '\r' | '\n') || printable::is_visible(char)
}

fn read(given: &Given) -> Result<(Vec<u8>, Option<Writing>), Unreadable> {
    match given.writing {
        Some(writing) if !given.is_raw || writing != Writing::Text => {
            Ok((pasted::read(&given.bytes, writing)?, Some(writing)))
        }
        None if !given.is_raw => {
            let writing = Writing::of(&given.bytes);
            Ok((pasted::read(&given.bytes, writing)?, Some(writing)))
        }
        _ => Ok((pasted::bounded(given.bytes.to_vec())?, None)),
    }
}

/// Reads a body by its content type: our form, with or without a file, or the request itself.
fn given(content_type: &str, body: Bytes) -> Given {
    if let Ok(boundary) = multer::parse_boundary(content_type) {
        // The whole body is in memory, so there is nothing to wait for.
        return parts(boundary, body).now_or_never().unwrap_or_default();
    }
    let is_form = content_type.starts_with("application/x-www-form-urlencoded");
    // `curl --data-binary` gives every body the content type of a form.
    let is_ours = body.starts_with(b"request=") || body.starts_with(b"as=");
    if is_form && is_ours {
        return fields(&body);
    }
    Given {
        bytes: body,
        writing: None,
        is_raw: true,
    }
}

fn fields(body: &[u8]) -> Given {
    let mut given = Given::default();
    for (name, value) in parameters(body) {
        match &*name {
            b"request" => given.bytes = value.into(),
            b"as" => given.writing = Writing::named(&String::from_utf8_lossy(&value)),
            _ => {}
        }
    }
    given
}

/// Reads the parts of a form. A file takes precedence over a text.
async fn parts(boundary: String, body: Bytes) -> Given {
    let body = stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut parts = multer::Multipart::new(body, boundary);
    let mut given = Given::default();
    for _ in 0..MAX_PARTS {
        // If a form is truncated or malformed, the parts before that are used.
        let Ok(Some(part)) = parts.next_field().await else {
            break;
        };
        let name = part.name().unwrap_or_default().to_owned();
        let Ok(bytes) = part.bytes().await else {
            break;
        };
        match name.as_str() {
            "as" => given.writing = Writing::named(&String::from_utf8_lossy(&bytes)),
            "file" if !bytes.is_empty() => (given.bytes, given.is_raw) = (bytes, true),
            "request" if !given.is_raw => given.bytes = bytes,
            _ => {}
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";

    fn read_as(content_type: &str, body: &str) -> Result<Vec<u8>, Unreadable> {
        let given = given(content_type, body.to_owned().into());
        read(&given).map(|(bytes, _)| bytes)
    }

    fn multipart(parts: &[(&str, &str)]) -> String {
        let part = |(name, value): &(&str, &str)| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        parts.iter().map(part).collect::<String>() + "--x--\r\n"
    }

    #[test]
    fn a_body_is_taken_by_its_type() {
        let whole = b"GET /?a=1&request=2 HTTP/1.1\n\n".to_vec();
        let as_text = String::from_utf8(whole.clone()).unwrap();
        for content_type in ["", "application/octet-stream", FORM, "multipart/form-data"] {
            assert_eq!(read_as(content_type, &as_text), Ok(whole.clone()));
        }
        let form = "request=GET+%2F+HTTP%2F1.1%0D%0A%0D%0A";
        let sent = b"GET / HTTP/1.1\r\n\r\n".to_vec();
        assert_eq!(read_as(FORM, form), Ok(sent.clone()));
        let base64 = "as=base64&request=R0VUIC8gSFRUUC8xLjENCg0K";
        assert_eq!(read_as(FORM, base64), Ok(sent));
        let parts = "multipart/form-data; boundary=x";
        let pasted = multipart(&[("as", "auto"), ("request", "47 45 54"), ("file", "")]);
        assert_eq!(read_as(parts, &pasted), Ok(b"GET".to_vec()));
        // A file is taken as bytes, unless another way of writing is chosen.
        for (writing, bytes) in [("auto", "47 45 54"), ("text", "47 45 54"), ("hex", "GET")] {
            let chosen = multipart(&[("request", "x"), ("file", "47 45 54"), ("as", writing)]);
            assert_eq!(read_as(parts, &chosen), Ok(bytes.into()));
        }
    }

    #[test]
    fn a_form_that_is_cut_does_no_harm() {
        let parts = "multipart/form-data; boundary=x";
        let whole = multipart(&[("as", "hex"), ("request", "47 45 54")]);
        for end in 0..whole.len() {
            let _ = read_as(parts, &whole[..end]);
        }
        let many = multipart(&[("a", "b"); 5000]);
        assert_eq!(read_as(parts, &many), Err(Unreadable::Empty));
    }

    #[test]
    fn what_could_not_be_read_stands_in_the_form_again() {
        let repeated = |input: &[u8]| {
            let bytes = Bytes::copy_from_slice(input);
            repeated(&Given {
                bytes,
                ..Given::default()
            })
            .to_owned()
        };
        assert_eq!(repeated(b"GET /\r\n<b>"), "GET /\r\n<b>");
        let long = "a".repeat(MAX_REPEATED_BYTES + 1);
        for hidden in [
            &b"\xff"[..],
            "\u{202e}".as_bytes(),
            b"\x1b",
            long.as_bytes(),
        ] {
            assert_eq!(repeated(hidden), "");
        }
    }
}
