//! When is a request whole?
//!
//! In: bytes in pieces of any size. Out: whether the request is complete, and how long to wait for
//! more when it is not. Keeps a line at most, knows three headers, refuses nothing: bytes that are
//! no HTTP/1 are whole when no more of them come.
//!
//! Rules: RFC 9112, more lenient where clients are: a lone LF ends a line, spaces may stand in the
//! target and before a colon, the version may be that of RTSP or SIP.

use std::time::Duration;

/// Longest part of a line that is looked at. A longer request line is not taken for HTTP.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// Longest method; the longest in use is `UNSUBSCRIBE` or so.
const MAX_METHOD_BYTES: usize = 32;
/// Bytes that are no HTTP are whole after this time without more: one round trip round the globe.
pub const QUIET_TIME: Duration = Duration::from_millis(250);
/// An unfinished HTTP request is given up after this time without more.
pub const UNFINISHED_TIME: Duration = Duration::from_secs(2);

/// Follows a request as it arrives.
#[derive(Debug, Default)]
pub struct Framing {
    state: State,
    /// The current line as far as it came, without its LF.
    line: Vec<u8>,
    content_length: u64,
    chunked: bool,
    expects_continue: bool,
    /// GET or HEAD, which have no body.
    is_fetch: bool,
    /// Bytes came behind the end.
    surplus: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    StartLine,
    Head,
    Body {
        left: u64,
    },
    ChunkSize,
    ChunkData {
        left: u64,
    },
    ChunkEnd,
    Trailer,
    Complete,
    /// No HTTP/1, or no more: only silence ends it.
    Foreign,
}

impl Framing {
    /// Takes the bytes that came next.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Complete => {
                    self.surplus = true;
                    return;
                }
                State::Foreign => return,
                State::Body { left } => {
                    let (left, rest) = skip(left, bytes);
                    self.state = if left == 0 {
                        State::Complete
                    } else {
                        State::Body { left }
                    };
                    rest
                }
                State::ChunkData { left } => {
                    let (left, rest) = skip(left, bytes);
                    self.state = if left == 0 {
                        State::ChunkEnd
                    } else {
                        State::ChunkData { left }
                    };
                    rest
                }
                _ => self.feed_line(bytes),
            };
        }
        if self.state == State::StartLine && !may_become_request_line(&self.line) {
            self.state = State::Foreign;
        }
    }

    /// Returns whether framing says that the request is whole.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Returns whether more bytes may follow a whole request: some have, or it should have a body and did not say how
    /// long it is, or it asked for a tunnel.
    #[must_use]
    pub fn may_go_on(&self) -> bool {
        self.surplus || !(self.is_fetch || self.chunked || self.content_length > 0)
    }

    /// Returns how long to wait for more bytes before the request counts as whole.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match self.state {
            State::Foreign => QUIET_TIME,
            State::StartLine if self.line.is_empty() || self.line == b"\r" => QUIET_TIME,
            _ => UNFINISHED_TIME,
        }
    }

    /// Returns, once, whether the client waits for `100 Continue` before it sends its body.
    pub fn take_expectation(&mut self) -> bool {
        let body_to_come = !matches!(self.state, State::StartLine | State::Head | State::Complete);
        body_to_come && std::mem::take(&mut self.expects_continue)
    }

    /// Takes bytes up to the end of the line, if it is there, and returns the rest.
    fn feed_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        let room = MAX_LINE_BYTES - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        if end.is_none() {
            return rest;
        }
        let line = std::mem::take(&mut self.line);
        self.state = self.after_line(line.strip_suffix(b"\r").unwrap_or(&line));
        &rest[1..]
    }

    fn after_line(&mut self, line: &[u8]) -> State {
        match self.state {
            // RFC 9112, 2.2: an empty line before the request line is ignored.
            State::StartLine if line.is_empty() => State::StartLine,
            State::StartLine if is_request_line(line) => {
                self.is_fetch = line.starts_with(b"GET ") || line.starts_with(b"HEAD ");
                State::Head
            }
            State::Head if !line.is_empty() => {
                self.note_header(line);
                State::Head
            }
            State::Head if self.chunked => State::ChunkSize,
            State::Head if self.content_length > 0 => State::Body {
                left: self.content_length,
            },
            State::Head => State::Complete,
            State::ChunkSize => match chunk_size(line) {
                Some(0) => State::Trailer,
                Some(left) => State::ChunkData { left },
                None => State::Foreign,
            },
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailer if line.is_empty() => State::Complete,
            State::Trailer => State::Trailer,
            _ => State::Foreign,
        }
    }

    fn note_header(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return;
        };
        let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            // Of several the largest: to wait for too much costs two seconds, too little cuts a body.
            self.content_length = self.content_length.max(decimal(value));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked |= contains_ignore_case(value, b"chunked");
        } else if name.eq_ignore_ascii_case(b"expect") {
            self.expects_continue |= contains_ignore_case(value, b"100-continue");
        }
    }
}

fn skip(left: u64, bytes: &[u8]) -> (u64, &[u8]) {
    let skipped = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    (left - skipped as u64, &bytes[skipped..])
}

/// Method and a space, as far as they came.
fn may_become_request_line(line: &[u8]) -> bool {
    let method = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    let has_method = method
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
        && method.first().is_none_or(u8::is_ascii_alphabetic)
        && method.len() <= MAX_METHOD_BYTES;
    // `\r` alone is the start of an empty line.
    has_method || line == b"\r"
}

/// Method, anything, and the version of a protocol that frames like HTTP/1. Not `PRI * HTTP/2.0`,
/// the preface of HTTP/2: what follows it is frames.
fn is_request_line(line: &[u8]) -> bool {
    let mut words = line.trim_ascii_end().rsplitn(2, |&byte| byte == b' ');
    let version = words.next().unwrap_or_default().to_ascii_uppercase();
    let has_version = [&b"HTTP/"[..], b"RTSP/", b"SIP/", b"ICAP/"]
        .iter()
        .any(|name| {
            version
                .strip_prefix(*name)
                .is_some_and(|number| number.first().is_some_and(u8::is_ascii_digit))
        });
    has_version
        && !version.starts_with(b"HTTP/2")
        && words.next().is_some()
        && may_become_request_line(line)
}

/// The leading digits; 0 where there are none, the largest number where there are too many.
fn decimal(value: &[u8]) -> u64 {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |sum: u64, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

/// RFC 9112, 7.1: hexadecimal digits, then perhaps extensions.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line
        .iter()
        .position(|&byte| byte == b';')
        .unwrap_or(line.len());
    let digits = std::str::from_utf8(line[..end].trim_ascii()).ok()?;
    if digits.starts_with('+') {
        None
    } else {
        u64::from_str_radix(digits, 16).ok()
    }
}

fn contains_ignore_case(value: &[u8], word: &[u8]) -> bool {
    value
        .windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds all bytes in one piece.
    fn fed(bytes: &[u8]) -> Framing {
        let mut framing = Framing::default();
        framing.feed(bytes);
        framing
    }

    /// Requests that framing ends exactly at their last byte.
    const WHOLE: [&[u8]; 19] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\n\n",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET /\xff\0 HTTP/1.1\r\n\r\n",
        b"get / http/1.1\r\n\r\n",
        b"GET / HTTP/1.1 \r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"OPTIONS sip:nm SIP/2.0\r\n\r\n",
        b"M-SEARCH * HTTP/1.1\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\ncontent-length :5\n\nhello",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\nTransfer-Encoding: gzip, Chunked\n\n5;x=y\nhello\n00\nTrailer: 1\n\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n: no name\r\n folded\r\n\r\n",
    ];

    #[test]
    fn a_whole_request_is_complete_with_its_last_byte_and_not_before() {
        for request in WHOLE {
            for end in 0..request.len() {
                assert!(
                    !fed(&request[..end]).is_complete(),
                    "{} at {end}",
                    request.escape_ascii()
                );
            }
            assert!(fed(request).is_complete(), "{}", request.escape_ascii());
        }
    }

    #[test]
    fn what_may_go_on_is_known() {
        for (request, may_go_on) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], false),
            (b"HEAD / HTTP/1.0\n\n", false),
            (b"GET / HTTP/1.1\r\n\r\nGET", true),
            (b"POST / HTTP/1.1\r\n\r\n", true),
            (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", false),
            (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello!", true),
            (
                b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                false,
            ),
            (b"CONNECT x:443 HTTP/1.1\r\n\r\n", true),
        ] {
            assert_eq!(
                fed(request).may_go_on(),
                may_go_on,
                "{}",
                request.escape_ascii()
            );
        }
    }

    #[test]
    fn pieces_make_no_difference() {
        for request in WHOLE {
            for cut in 0..=request.len() {
                let mut framing = fed(&request[..cut]);
                framing.feed(&request[cut..]);
                assert!(framing.is_complete(), "{} at {cut}", request.escape_ascii());
            }
            let mut framing = Framing::default();
            request.chunks(1).for_each(|byte| framing.feed(byte));
            assert!(framing.is_complete(), "{}", request.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_http_is_whole_after_a_short_quiet_time() {
        for request in [
            &b"\x16\x03\x01\x02\0\x01"[..],
            b"\x03\0\0\x13\x0e\xe0",
            b"SSH-2.0-Go\r\n",
            b"\r\n\r\n",
            b"\r",
            b"GET /\r\n",
            b"EHLO example.com\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"A-METHOD-OF-MORE-THAN-THIRTY-TWO-BYTES / HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nno hex\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        ] {
            let framing = fed(request);
            assert!(!framing.is_complete(), "{}", request.escape_ascii());
            assert_eq!(framing.patience(), QUIET_TIME, "{}", request.escape_ascii());
        }
    }

    #[test]
    fn an_unfinished_http_request_is_waited_for() {
        for request in [
            &b"G"[..],
            b"GET / HT",
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhell",
            b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\nhello",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
        ] {
            let framing = fed(request);
            assert!(!framing.is_complete(), "{}", request.escape_ascii());
            assert_eq!(
                framing.patience(),
                UNFINISHED_TIME,
                "{}",
                request.escape_ascii()
            );
        }
    }

    #[test]
    fn an_expectation_is_met_once_and_only_before_a_body() {
        let head = b"POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        assert!(!fed(&head[..head.len() - 1]).take_expectation());
        let mut framing = fed(head);
        assert!(framing.take_expectation());
        assert!(!framing.take_expectation());
        assert!(!fed(&[&head[..], b"hello"].concat()).take_expectation());
        assert!(!fed(b"GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n").take_expectation());
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let mut framing = fed(b"GET /");
        (0..1000).for_each(|_| framing.feed(&[b'a'; 4096]));
        assert_eq!(framing.line.len(), MAX_LINE_BYTES);
        framing.feed(b" HTTP/1.1\r\n\r\n");
        assert!(!framing.is_complete());
    }
}
