//! Heads of requests, well-formed and not, and how they must be read. All code that reads heads is
//! tested with this one table.
//!
//! The heads were written for these tests. They cover what parsers are known to disagree about:
//! line ends, white space, folds, lengths, chunks, versions. Where RFC 9112 leaves something open,
//! this table decides it.

use End::{Open, Unfinished, Whole};

/// Where a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Framing tells that the request is whole. This many bytes follow it.
    Whole(u64),
    /// Framing tells nothing. The request ends when no more bytes come.
    Open,
    /// Framing tells that more bytes must come.
    Unfinished,
}

/// One request, and how it must be read.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The bytes.
    pub bytes: &'static [u8],
    /// Method, target and version; `None` when there is no head.
    pub line: Option<[&'static [u8]; 3]>,
    /// Name and value of each field. A fold is one space.
    pub fields: &'static [(&'static [u8], &'static [u8])],
    /// Length of the body, in bytes.
    pub body: usize,
    /// Where the request ends.
    pub end: End,
}

/// A request with a head.
const fn http(
    bytes: &'static [u8],
    line: [&'static [u8]; 3],
    fields: &'static [(&'static [u8], &'static [u8])],
    body: usize,
    end: End,
) -> Case {
    Case {
        bytes,
        line: Some(line),
        fields,
        body,
        end,
    }
}

/// Bytes without a head.
const fn other(bytes: &'static [u8], end: End) -> Case {
    Case {
        bytes,
        line: None,
        fields: &[],
        body: bytes.len(),
        end,
    }
}

const GET: [&[u8]; 3] = [b"GET", b"/", b"HTTP/1.1"];
const POST: [&[u8]; 3] = [b"POST", b"/", b"HTTP/1.1"];

/// The table, with one request on each line, so that it can be read.
#[rustfmt::skip]
pub const HEADS: &[Case] = &[
    // Request lines.
    http(b"GET / HTTP/1.1\r\n\r\n", GET, &[], 0, Whole(0)),
    http(b"GET / HTTP/1.1\n\n", GET, &[], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\n\n", GET, &[], 0, Whole(0)),
    http(b"GET / HTTP/1.1\n\r\n", GET, &[], 0, Whole(0)),
    http(b"\r\nGET / HTTP/1.1\r\n\r\n", GET, &[], 0, Whole(0)),
    http(b"\n\r\n\nGET / HTTP/1.1\r\n\r\n", GET, &[], 0, Whole(0)),
    http(b" GET / HTTP/1.1\r\n\r\n", GET, &[], 0, Whole(0)),
    http(b"\tGET / HTTP/1.1\r\n\r\n", GET, &[], 0, Whole(0)),
    http(b"GET\t/\tHTTP/1.1\r\n\r\n", GET, &[], 0, Whole(0)),
    http(b"GET\x0b/\x0cHTTP/1.1\r\n\r\n", GET, &[], 0, Whole(0)),
    http(b"GET\r/\rHTTP/1.1\r\n\r\n", GET, &[], 0, Whole(0)),
    http(b"GET  /  HTTP/1.1  \r\n\r\n", GET, &[], 0, Whole(0)),
    http(b"GET /a b c HTTP/1.1\r\n\r\n", [b"GET", b"/a b c", b"HTTP/1.1"], &[], 0, Whole(0)),
    http(b"GET /\xff\0\x01 HTTP/1.1\r\n\r\n", [b"GET", b"/\xff\0\x01", b"HTTP/1.1"], &[], 0, Whole(0)),
    http(b"GET HTTP/1.1\r\n\r\n", [b"GET", b"", b"HTTP/1.1"], &[], 0, Whole(0)),
    http(b"GET  HTTP/1.1\r\n\r\n", [b"GET", b"", b"HTTP/1.1"], &[], 0, Whole(0)),
    http(b"GET http://a.example/b HTTP/1.1\r\n\r\n", [b"GET", b"http://a.example/b", b"HTTP/1.1"], &[], 0, Whole(0)),
    http(b"OPTIONS * HTTP/1.1\r\n\r\n", [b"OPTIONS", b"*", b"HTTP/1.1"], &[], 0, Whole(0)),
    http(b"GET2 / HTTP/1.1\r\n\r\n", [b"GET2", b"/", b"HTTP/1.1"], &[], 0, Open),
    http(b"2GET / HTTP/1.1\r\n\r\n", [b"2GET", b"/", b"HTTP/1.1"], &[], 0, Open),
    http(b"get / http/1.1\r\n\r\n", [b"get", b"/", b"http/1.1"], &[], 0, Whole(0)),
    http(b"M-SEARCH * HTTP/1.1\r\n\r\n", [b"M-SEARCH", b"*", b"HTTP/1.1"], &[], 0, Open),
    http(b"G!E#T / HTTP/1.1\r\n\r\n", [b"G!E#T", b"/", b"HTTP/1.1"], &[], 0, Open),
    http(b"* HTTP/1.1\r\n\r\n", [b"*", b"", b"HTTP/1.1"], &[], 0, Open),
    http(b"PROPFIND / HTTP/1.1\r\n\r\n", [b"PROPFIND", b"/", b"HTTP/1.1"], &[], 0, Open),
    http(b"TRACE / HTTP/1.1\r\n\r\n", [b"TRACE", b"/", b"HTTP/1.1"], &[], 0, Whole(0)),
    http(b"CONNECT a.example:443 HTTP/1.1\r\n\r\n", [b"CONNECT", b"a.example:443", b"HTTP/1.1"], &[], 0, Whole(0)),
    http(b"CONNECT a.example:443 HTTP/1.1\r\n\r\n\x16\x03\x01", [b"CONNECT", b"a.example:443", b"HTTP/1.1"], &[], 0, Whole(3)),
    // Versions.
    http(b"GET / HTTP/1.0\r\n\r\n", [b"GET", b"/", b"HTTP/1.0"], &[], 0, Whole(0)),
    http(b"GET / HTTP/9.9\r\n\r\n", [b"GET", b"/", b"HTTP/9.9"], &[], 0, Whole(0)),
    http(b"GET / HTTP/2.0\r\n\r\n", [b"GET", b"/", b"HTTP/2.0"], &[], 0, Whole(0)),
    http(b"GET / HTTP/11\r\n\r\n", [b"GET", b"/", b"HTTP/11"], &[], 0, Whole(0)),
    http(b"GET / HTTP/${jndi:x}\r\n\r\n", [b"GET", b"/", b"HTTP/${jndi:x}"], &[], 0, Whole(0)),
    http(b"GET / HTTP/\r\n\r\n", [b"GET", b"/", b"HTTP/"], &[], 0, Whole(0)),
    http(b"GET / HTTPS/1.1\r\n\r\n", [b"GET", b"/ HTTPS/1.1", b""], &[], 0, Open),
    http(b"GET / FTP/1.0\r\n\r\n", [b"GET", b"/ FTP/1.0", b""], &[], 0, Open),
    http(b"OPTIONS / RTSP/1.0\r\nCSeq: 1\r\n\r\n", [b"OPTIONS", b"/", b"RTSP/1.0"], &[(b"CSeq", b"1")], 0, Whole(0)),
    http(b"DESCRIBE / RTSP/1.0\r\n\r\n", [b"DESCRIBE", b"/", b"RTSP/1.0"], &[], 0, Whole(0)),
    http(b"OPTIONS sip:nm SIP/2.0\r\n\r\n", [b"OPTIONS", b"sip:nm", b"SIP/2.0"], &[], 0, Whole(0)),
    http(b"REGISTER sip:a SIP/2.0\r\n\r\n", [b"REGISTER", b"sip:a", b"SIP/2.0"], &[], 0, Whole(0)),
    http(b"RESPMOD icap://a/b ICAP/1.0\r\n\r\n", [b"RESPMOD", b"icap://a/b", b"ICAP/1.0"], &[], 0, Open),
    http(b"SOURCE /s ICE/1.0\r\n\r\naudio", [b"SOURCE", b"/s", b"ICE/1.0"], &[], 5, Open),
    http(b"GET /\r\n", [b"GET", b"/", b""], &[], 0, Open),
    http(b"GET /a?b\n", [b"GET", b"/a?b", b""], &[], 0, Open),
    http(b"GET /\r\nHost: x\r\n\r\n", [b"GET", b"/", b""], &[(b"Host", b"x")], 0, Open),
    http(b"GET /a b\r\n", [b"GET", b"/a b", b""], &[], 0, Open),
    // Fields.
    http(b"GET / HTTP/1.1\r\nHost:x\r\n\r\n", GET, &[(b"Host", b"x")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nHost: \t x \t\r\n\r\n", GET, &[(b"Host", b"x")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", GET, &[(b"Host", b"x")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nHost\t:x\r\n\r\n", GET, &[(b"Host", b"x")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nHost:\r\n\r\n", GET, &[(b"Host", b"")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\n: x\r\n\r\n", GET, &[(b"", b"x")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nno colon\r\n\r\n", GET, &[(b"no colon", b"")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nA: b: c\r\n\r\n", GET, &[(b"A", b"b: c")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nA B: c\r\n\r\n", GET, &[(b"A B", b"c")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nA: \xff\0\r\n\r\n", GET, &[(b"A", b"\xff\0")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", GET, &[(b"A", b"b\rc")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\nA: b\nC: d\n\n", GET, &[(b"A", b"b"), (b"C", b"d")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", GET, &[(b"Host", b"a"), (b"Host", b"b")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nA: b\r\n\r\r\n\r\n", GET, &[(b"A", b"b"), (b"", b"")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nA: b\r\n\r\x20\n\r\n", GET, &[(b"A", b"b"), (b"", b"")], 0, Whole(0)),
    // Folds.
    http(b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", GET, &[(b"X", b"a b")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nX: a\r\n\tb\r\n  c\r\n\r\n", GET, &[(b"X", b"a b c")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\nX: a\n b\n\n", GET, &[(b"X", b"a b")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nX:\r\n a\r\n\r\n", GET, &[(b"X", b"a")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nX: a\r\n b: c\r\n\r\n", GET, &[(b"X", b"a b: c")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nX: a\r\n \r\nY: b\r\n\r\n", GET, &[(b"X", b"a"), (b"Y", b"b")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nX: a\r\n \r\n b\r\n\r\n", GET, &[(b"X", b"a b")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\n X: a\r\nY: b\r\n\r\n", GET, &[(b"", b"X: a"), (b"Y", b"b")], 0, Whole(0)),
    http(b"GET / HTTP/1.1\r\nno colon\r\n : b\r\n\r\n", GET, &[(b"no colon", b": b")], 0, Whole(0)),
    http(b"POST / HTTP/1.1\r\nContent-Length:\r\n 5\r\n\r\nhello", POST, &[(b"Content-Length", b"5")], 5, Whole(0)),
    http(b"POST / HTTP/1.1\r\nContent-Length: 5,\r\n\t5\r\n\r\nhello", POST, &[(b"Content-Length", b"5, 5")], 5, Whole(0)),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", POST, &[(b"Transfer-Encoding", b"chunked")], 5, Whole(0)),
    http(b"GET / HTTP/1.1\r\n Content-Length: 5\r\n\r\nhello", GET, &[(b"", b"Content-Length: 5")], 0, Whole(5)),
    // Lengths.
    http(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", POST, &[(b"Content-Length", b"5")], 5, Whole(0)),
    http(b"POST / HTTP/1.1\r\ncontent-length :5\r\n\r\nhello", POST, &[(b"content-length", b"5")], 5, Whole(0)),
    http(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", POST, &[(b"Content-Length", b"0")], 0, Whole(0)),
    http(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nhello", POST, &[(b"Content-Length", b"0")], 0, Whole(5)),
    http(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhello", POST, &[(b"Content-Length", b"2")], 2, Whole(3)),
    http(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhello", POST, &[(b"Content-Length", b"9")], 5, Unfinished),
    http(b"POST / HTTP/1.1\r\nContent-Length: 005\r\n\r\nhello", POST, &[(b"Content-Length", b"005")], 5, Whole(0)),
    http(b"POST / HTTP/1.1\r\nContent-Length: 5x\r\n\r\nhello", POST, &[(b"Content-Length", b"5x")], 5, Whole(0)),
    http(b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello", POST, &[(b"Content-Length", b"+5")], 5, Open),
    http(b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\nhello", POST, &[(b"Content-Length", b"-5")], 5, Open),
    http(b"POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\nhello", POST, &[(b"Content-Length", b"0x5")], 0, Whole(5)),
    http(b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\nhello", POST, &[(b"Content-Length", b"")], 5, Open),
    http(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nhello", POST, &[(b"Content-Length", b"2"), (b"Content-Length", b"5")], 5, Whole(0)),
    http(b"POST / HTTP/1.1\r\nContent-Length: 5, 2\r\n\r\nhello", POST, &[(b"Content-Length", b"5, 2")], 5, Whole(0)),
    http(b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\nhello", POST, &[(b"Content-Length", b"99999999999999999999999")], 5, Unfinished),
    http(b"POST / HTTP/1.1\r\nX-Content-Length: 5\r\n\r\nhello", POST, &[(b"X-Content-Length", b"5")], 5, Open),
    http(b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", GET, &[(b"Content-Length", b"5")], 5, Whole(0)),
    http(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\nhello", GET, &[(b"Content-Length", b"x")], 5, Open),
    http(b"POST / HTTP/1.1\r\n\r\nhello", POST, &[], 5, Open),
    http(b"POST / HTTP/1.1\r\n\r\n", POST, &[], 0, Open),
    http(b"POST / HTTP/1.0\r\n\r\nhello", [b"POST", b"/", b"HTTP/1.0"], &[], 5, Open),
    http(b"PUT / HTTP/1.1\r\n\r\nhello", [b"PUT", b"/", b"HTTP/1.1"], &[], 5, Open),
    http(b"PATCH / HTTP/1.1\r\n\r\nhello", [b"PATCH", b"/", b"HTTP/1.1"], &[], 5, Open),
    http(b"DELETE / HTTP/1.1\r\n\r\nhello", [b"DELETE", b"/", b"HTTP/1.1"], &[], 0, Whole(5)),
    http(b"GET / HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", GET, &[], 0, Whole(19)),
    // Chunks.
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", POST, &[(b"Transfer-Encoding", b"chunked")], 15, Whole(0)),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", POST, &[(b"Transfer-Encoding", b"chunked")], 15, Whole(0)),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\nhello\n0\n\n", POST, &[(b"Transfer-Encoding", b"CHUNKED")], 11, Whole(0)),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", POST, &[(b"Transfer-Encoding", b"gzip, chunked")], 5, Whole(0)),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", POST, &[(b"Transfer-Encoding", b"chunked, identity")], 5, Whole(0)),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", POST, &[(b"Transfer-Encoding", b"gzip"), (b"Transfer-Encoding", b"chunked")], 5, Whole(0)),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\nhello", POST, &[(b"Transfer-Encoding", b"xchunked")], 5, Open),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", POST, &[(b"Transfer-Encoding", b"identity"), (b"Content-Length", b"5")], 5, Whole(0)),
    http(b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nhello", GET, &[(b"Transfer-Encoding", b"gzip")], 5, Open),
    http(b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n", POST, &[(b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")], 20, Whole(0)),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nhello", POST, &[(b"Transfer-Encoding", b"chunked")], 5, Whole(5)),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n 5 ; a=b\r\nhello\r\n00\r\nTrailer: 1\r\n\r\n", POST, &[(b"Transfer-Encoding", b"chunked")], 35, Whole(0)),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno hex\r\n", POST, &[(b"Transfer-Encoding", b"chunked")], 8, Open),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", POST, &[(b"Transfer-Encoding", b"chunked")], 7, Open),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n", POST, &[(b"Transfer-Encoding", b"chunked")], 12, Open),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", POST, &[(b"Transfer-Encoding", b"chunked")], 2, Open),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", POST, &[(b"Transfer-Encoding", b"chunked")], 6, Unfinished),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", POST, &[(b"Transfer-Encoding", b"chunked")], 3, Unfinished),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx", POST, &[(b"Transfer-Encoding", b"chunked")], 19, Unfinished),
    http(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx", POST, &[(b"Transfer-Encoding", b"chunked")], 20, Open),
    // Cut short.
    http(b"GET /", [b"GET", b"/", b""], &[], 0, Unfinished),
    http(b"GET / HT", [b"GET", b"/ HT", b""], &[], 0, Unfinished),
    http(b"GET / HTTP/1.1", GET, &[], 0, Unfinished),
    http(b"GET / HTTP/1.1\r", GET, &[], 0, Unfinished),
    http(b"GET / HTTP/1.1\r\n", GET, &[], 0, Unfinished),
    http(b"GET / HTTP/1.1\r\nHost: x", GET, &[(b"Host", b"x")], 0, Unfinished),
    http(b"GET / HTTP/1.1\r\nHost: x\r\n", GET, &[(b"Host", b"x")], 0, Unfinished),
    http(b"GET / HTTP/1.1\r\nHost: x\r\n\r", GET, &[(b"Host", b"x")], 0, Unfinished),
    http(b"GET / HTTP/1.1\r\nHost: x\r\n y", GET, &[(b"Host", b"x y")], 0, Unfinished),
    other(b"G", Unfinished),
    other(b"GET", Unfinished),
    other(b"GET ", Unfinished),
    other(b"EHLO exam", Unfinished),
    // No requests of HTTP/1.
    other(b"\r", Open),
    other(b"\r\n", Open),
    other(b"\r\n\r\n", Open),
    other(b"  ", Open),
    other(b"                                        ", Open),
    other(b"                                        GET / HTTP/1.1\r\n\r\n", Open),
    other(b"HELP\n", Open),
    other(b"EHLO a.example\r\n", Open),
    other(b"SSH-2.0-Go\r\n", Open),
    other(b"*1\r\n$4\r\nPING\r\n", Open),
    other(b"{\"id\":1}\n", Open),
    other(b"\x16\x03\x01\x02\0\x01", Open),
    other(b"\x03\0\0\x13\x0e\xe0", Open),
    other(b"\xff\xfd\x03", Open),
    other(b"HTTP/1.1 200 OK\r\n\r\n", Open),
    other(b"GET\0 / HTTP/1.1\r\n\r\n", Open),
    other(b"G(T / HTTP/1.1\r\n\r\n", Open),
    other(b"A-METHOD-OF-MORE-THAN-THIRTY-TWO-BYTES / HTTP/1.1\r\n\r\n", Open),
    other(b"GET x\r\n", Open),
    other(b"0033git-upload-pack /p.git\n", Open),
    http(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [b"PRI", b"*", b"HTTP/2.0"], &[], 6, Open),
];
