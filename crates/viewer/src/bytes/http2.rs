//! Reads the requests of an HTTP/2 client that did not wait for an answer: RFC 9113, 3.3, "prior
//! knowledge".
//!
//! In: the bytes of a connection. Out: the requests of its first streams whose headers were
//! received. The `h2` crate reads the frames and decodes the headers. It gets an in-memory
//! connection, on which its answers are ignored.

use std::pin::pin;
use std::task::{Context, Waker};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::task::coop::unconstrained;

use crate::bytes::printable;

/// The connection preface: RFC 9113, 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Most bytes of a connection that are read. Headers come first, and are short.
const MAX_BYTES: usize = 16 * 1024;
/// Most requests, and most bytes of one request's headers.
const MAX_REQUESTS: usize = 8;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// Bytes after which requests are taken out. A later error ends the connection, and requests that
/// were not taken out would be lost.
const PIECE_BYTES: usize = 256;

/// One request. HTTP/2 requires that names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `:method`.
    pub method: String,
    /// `:path`; empty for CONNECT.
    pub path: String,
    /// `:authority`; empty where there is none.
    pub authority: String,
    /// The other fields: name and value.
    pub headers: Vec<(String, Bytes)>,
}

/// Returns the requests of the first streams; an empty list if the bytes are no HTTP/2.
#[must_use]
pub fn requests(raw: &[u8]) -> Vec<Request> {
    let mut requests = Vec::new();
    if raw.starts_with(PREFACE) {
        let raw = &raw[..raw.len().min(MAX_BYTES)];
        // Tokio limits how often a task may read and write before it must yield. The calling task
        // may have reached this limit, and nothing here needs to yield.
        let _ = unconstrained(read(raw, &mut requests)).now_or_never();
    }
    requests
}

/// Sends the bytes to an `h2` server, which takes out requests after each piece.
async fn read(raw: &[u8], requests: &mut Vec<Request>) {
    let (mut client, server) = duplex(MAX_BYTES);
    let mut serve = pin!(serve(server, requests));
    let mut context = Context::from_waker(Waker::noop());
    for piece in raw.chunks(PIECE_BYTES) {
        // The buffer has room for all bytes.
        let is_written = client.write_all(piece).await.is_ok();
        if !is_written || serve.as_mut().poll(&mut context).is_ready() {
            break;
        }
    }
}

async fn serve(server: DuplexStream, requests: &mut Vec<Request>) {
    let mut builder = h2::server::Builder::new();
    builder
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(MAX_REQUESTS as u32);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(server).await else {
        return;
    };
    while requests.len() < MAX_REQUESTS {
        let Some(Ok((request, _answer))) = connection.accept().await else {
            return;
        };
        requests.push(Request::new(&request));
    }
}

impl Request {
    fn new<T>(request: &axum::http::Request<T>) -> Self {
        let uri = request.uri();
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| {
            let value = Bytes::copy_from_slice(value.as_bytes());
            (name.as_str().to_owned(), value)
        });
        Self {
            method: request.method().as_str().to_owned(),
            path: path.to_owned(),
            authority: authority.to_owned(),
            headers: headers.collect(),
        }
    }

    /// Returns method and path as one printable line.
    #[must_use]
    pub fn summary(&self, max_chars: usize) -> String {
        let path = if self.path.is_empty() {
            &self.authority
        } else {
            &self.path
        };
        let line = format!("{} {path} (HTTP/2)", self.method);
        printable::line(line.as_bytes(), max_chars)
    }

    /// Returns the whole request as one text, for searches.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{} {} {}\n", self.method, self.path, self.authority);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that curl 7.88 sends with `--http2-prior-knowledge -H 'X-Odd: Two'
    /// http://127.0.0.1:8399/a?b=c`.
    const CURL: &[u8] = include_bytes!("http2/curl.bin");

    #[test]
    fn a_request_of_curl_is_read() {
        let requests = requests(CURL);
        let [request] = &requests[..] else {
            panic!("{requests:?}");
        };
        assert_eq!(
            (&*request.method, &*request.path, &*request.authority),
            ("GET", "/a?b=c", "127.0.0.1:8399")
        );
        assert_eq!(request.summary(200), "GET /a?b=c (HTTP/2)");
        let odd = request.headers.iter().find(|(name, _)| name == "x-odd");
        assert_eq!(odd.map(|(_, value)| &value[..]), Some(&b"Two"[..]));
    }

    #[tokio::test]
    async fn one_after_the_other_without_a_pause_all_are_read() {
        // More than what Tokio lets one task do before it must yield.
        for number in 0..200 {
            assert_eq!(requests(CURL).len(), 1, "{number}");
        }
    }

    #[test]
    fn of_many_streams_the_first_are_read() {
        let mut raw = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        for stream in (1..3000_u32).step_by(2) {
            raw.extend([0, 0, 3, 1, 5]);
            raw.extend(stream.to_be_bytes());
            // GET, /, http: of the static table.
            raw.extend([0x82, 0x84, 0x86]);
        }
        let requests = requests(&raw);
        assert_eq!(requests.len(), MAX_REQUESTS);
        assert!(requests.iter().all(|request| request.path == "/"));
    }

    #[test]
    fn bytes_that_are_cut_or_changed_do_no_harm() {
        for end in 0..CURL.len() {
            let _ = requests(&CURL[..end]);
        }
        let mut state = 1_u32;
        let mut next = |most: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % most
        };
        for _ in 0..20_000 {
            let mut raw = CURL.to_vec();
            for _ in 0..1 + next(4) {
                let at = PREFACE.len() + next(raw.len() - PREFACE.len());
                match next(3) {
                    0 => raw[at] = next(256) as u8,
                    1 => raw[at] ^= 1 << next(8),
                    _ => raw.insert(at, [0, 0xff, 0x7f, 0x3f][next(4)]),
                }
            }
            let again = raw[PREFACE.len()..].to_vec();
            raw.extend(again);
            assert!(requests(&raw).len() <= MAX_REQUESTS);
        }
    }
}
