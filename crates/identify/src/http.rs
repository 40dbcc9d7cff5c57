//! The parts of an HTTP request, found in bytes that may be anything.
//!
//! In: the raw bytes. Out: slices of them, in the order sent, as `forever200-head` reads them; the
//! responder reads requests in the same way. Judges nothing: what a strict parser refuses (spaces
//! in the target, 8-bit bytes, no version) is what people want to look at.

use std::borrow::Cow;

use forever200_head::{BodyLength, Field, Head, extent, unfolded};

/// An HTTP request, as slices of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The bytes up to the first white space.
    pub method: &'a [u8],
    /// The bytes between method and version, with all spaces.
    pub target: &'a [u8],
    /// `HTTP/1.1` and the like; empty for HTTP/0.9, which has none.
    pub version: &'a [u8],
    /// The fields of the head, in the order sent.
    pub headers: Vec<Header<'a>>,
    /// The bytes behind the blank line: the body, and what came behind the whole request.
    pub behind_head: &'a [u8],
    /// The part of the body that was received.
    pub body: &'a [u8],
    /// What came behind the whole request.
    pub extra: &'a [u8],
    /// True if the body is in chunks.
    pub is_chunked: bool,
    /// True if more bytes should follow, by what the head or the chunks say.
    pub unfinished: bool,
}

/// A field of a head, as slices of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The bytes before the colon; the whole line if it has no colon.
    pub name: &'a [u8],
    /// The bytes behind the colon, with all folds.
    pub value: &'a [u8],
}

impl<'a> Header<'a> {
    fn new(head: &Head<'a>, field: &Field) -> Self {
        Self {
            name: head.slice(&field.name),
            value: head.slice(&field.value),
        }
    }

    /// Returns the value with each fold as one space.
    #[must_use]
    pub fn plain_value(&self) -> Cow<'a, [u8]> {
        unfolded(self.value)
    }
}

impl<'a> Request<'a> {
    /// Returns the values of all headers with this name, in the order sent; case does not matter.
    pub fn values(&self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let named = self
            .headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value)
    }

    /// Splits the target at its first `?` into path and query; the query has no `?`.
    #[must_use]
    pub fn path_and_query(&self) -> (&'a [u8], &'a [u8]) {
        let mark = self
            .target
            .iter()
            .position(|&byte| byte == b'?')
            .unwrap_or(self.target.len());
        (
            &self.target[..mark],
            self.target.get(mark + 1..).unwrap_or_default(),
        )
    }
}

/// Finds the parts of an HTTP request; `None` if the bytes do not begin like one.
///
/// Also accepts RTSP, SIP and similar protocols, which have the heads of HTTP.
#[must_use]
pub fn parse(raw: &[u8]) -> Option<Request<'_>> {
    let head = Head::parse(raw)?;
    let lies = extent(raw);
    Some(Request {
        method: head.slice(&head.line.method),
        target: head.slice(&head.line.target),
        version: head.slice(&head.line.version),
        headers: head
            .fields()
            .map(|field| Header::new(&head, &field))
            .collect(),
        behind_head: &raw[lies.body.start..],
        body: &raw[lies.body.clone()],
        extra: &raw[lies.extra],
        is_chunked: BodyLength::of(&head) == BodyLength::Chunked,
        unfinished: lies.unfinished,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_slices_in_the_order_sent() {
        let raw =
            b"\r\nPOST /a b?c HTTP/1.1\r\nHost: x\r\nhost :  y \r\n z\r\nno colon\r\n\r\nbody\r\n";
        let request = parse(raw).unwrap();
        let line = [request.method, request.target, request.version];
        assert_eq!(line, [&b"POST"[..], b"/a b?c", b"HTTP/1.1"]);
        let headers: Vec<_> = request
            .headers
            .iter()
            .map(|it| (it.name, it.value))
            .collect();
        let expected: [(&[u8], &[u8]); 3] =
            [(b"Host", b"x"), (b"host", b"y \r\n z"), (b"no colon", b"")];
        assert_eq!(headers, expected);
        assert_eq!(&*request.headers[1].plain_value(), b"y z");
        assert_eq!((request.body, request.extra), (&b"body\r\n"[..], &b""[..]));
    }

    #[test]
    fn what_is_behind_the_request_is_no_body() {
        let request = parse(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nabcd").unwrap();
        assert_eq!((request.body, request.extra), (&b"ab"[..], &b"cd"[..]));
        assert_eq!(request.behind_head, b"abcd");
        assert!(!request.unfinished);
        assert!(
            parse(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na")
                .unwrap()
                .unfinished
        );
    }

    #[test]
    fn odd_requests_are_requests() {
        for (raw, target, version) in [
            (&b"GET /"[..], &b"/"[..], &b""[..]),
            (b"GET /\r\n", b"/", b""),
            (b"GET /\xff\0 HTTP/1.0\n", b"/\xff\0", b"HTTP/1.0"),
            (b"GET  /  HTTP/1.1", b"/", b"HTTP/1.1"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"*", b"HTTP/2.0"),
            (b"CONNECT x:443 http/1.1\r\n", b"x:443", b"http/1.1"),
        ] {
            let request = parse(raw).unwrap_or_else(|| panic!("{}", raw.escape_ascii()));
            assert_eq!((request.target, request.version), (target, version));
        }
    }

    #[test]
    fn a_target_is_split_at_its_first_question_mark() {
        let expected: [(&[u8], &[u8]); 4] =
            [(b"/a", b"b?c"), (b"/a", b""), (b"/a", b""), (b"", b"")];
        let requests: [&[u8]; 4] = [b"GET /a?b?c", b"GET /a", b"GET /a?", b"GET ? HTTP/1.1"];
        assert_eq!(
            requests.map(|raw| parse(raw).unwrap().path_and_query()),
            expected
        );
    }

    #[test]
    fn a_header_is_found_in_any_case() {
        let request = parse(b"GET / HTTP/1.1\r\nA: 1\r\nb: 2\r\na: 3\r\n\r\n").unwrap();
        assert!(request.values(b"A").eq([b"1", b"3"]) && request.values(b"c").next().is_none());
    }

    #[test]
    fn other_bytes_are_none() {
        for raw in [
            &b""[..],
            b"\r\n\r\n",
            b"GET",
            b"SSH-2.0-Go\r\n",
            b"\x16\x03\x01",
            b"EHLO x\r\n",
            b"/ /",
        ] {
            assert_eq!(parse(raw), None, "{}", raw.escape_ascii());
        }
    }
}
