//! Tells when a request is whole, and where its parts lie.

use std::ops::Range;

use crate::body::{BodyLength, Chunks};
use crate::head::{Head, skip_empty_lines};
use crate::line::Line;
use crate::request_line::{Beginning, RequestLine};

/// Follows a request as it arrives, in pieces of any size.
///
/// Looks for the end of the head in the bytes that the caller holds, and only counts the bytes of
/// the body. Holds no bytes itself.
#[derive(Clone, Debug, Default)]
pub struct Framing {
    state: State,
    /// Number of bytes that came behind the end of the request.
    extra: u64,
    expects_continue: bool,
    asks_for_a_tunnel: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head(Scan),
    /// The caller dropped bytes of the head before its end was found.
    LostHead,
    Body {
        left: u64,
    },
    Chunks(Chunks),
    Whole,
    /// Nothing tells where the request ends: it is no HTTP/1, or its head gives no length.
    Open,
}

/// How far a head was searched for its blank line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Scan {
    /// The first line has its end, and is a request line.
    begun: bool,
    /// The first line has more than white space.
    has_word: bool,
    /// Where the current line begins.
    line: usize,
    /// Number of bytes that were searched.
    seen: usize,
}

impl Default for State {
    fn default() -> Self {
        Self::Head(Scan::default())
    }
}

impl Framing {
    /// Takes the next bytes, which are those of `held` from `known` on.
    ///
    /// While the head is not whole, `held` must be all bytes that came. If the caller has dropped
    /// some of them, the request counts as unfinished from then on.
    pub fn feed(&mut self, held: &[u8], known: usize) {
        let new = match self.state {
            State::Head(scan) if scan.seen == known => self.feed_head(scan, held),
            State::Head(_) => {
                self.state = State::LostHead;
                return;
            }
            _ => &held[known..],
        };
        self.feed_body(new);
    }

    /// Returns whether framing says that the request is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// Returns whether the request is whole, and nothing came behind it.
    #[must_use]
    pub fn is_exactly_whole(&self) -> bool {
        self.is_whole() && self.extra == 0
    }

    /// Returns whether framing says that more bytes are to come.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        match self.state {
            State::Head(scan) => scan.has_word,
            State::LostHead | State::Body { .. } => true,
            State::Chunks(chunks) => chunks != Chunks::Broken,
            State::Whole | State::Open => false,
        }
    }

    /// Returns whether the end of the head was not found yet, so that the caller must keep all
    /// bytes.
    #[must_use]
    pub fn needs_head(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    /// Returns the number of bytes that came behind the whole request.
    #[must_use]
    pub fn extra(&self) -> u64 {
        self.extra
    }

    /// Returns whether other bytes than HTTP/1 may follow the answer.
    #[must_use]
    pub fn asks_for_a_tunnel(&self) -> bool {
        self.asks_for_a_tunnel
    }

    /// Returns, once, whether the client waits for `100 Continue` before it sends its body.
    pub fn take_expectation(&mut self) -> bool {
        let body_may_come = !matches!(self.state, State::Head(_) | State::LostHead | State::Whole);
        body_may_come && std::mem::take(&mut self.expects_continue)
    }

    /// Looks for the end of the head, and returns the bytes behind it.
    fn feed_head<'a>(&mut self, mut scan: Scan, held: &'a [u8]) -> &'a [u8] {
        if !scan.begun {
            scan.line = skip_empty_lines(held, scan.line);
        }
        let mut from = scan.seen.max(scan.line);
        while let Some(length) = memchr::memchr(b'\n', &held[from..]) {
            let line = Line::ending_at(held, scan.line, from + length);
            if line.content.is_empty() {
                return self.end_head(held, line.next);
            }
            if !scan.begun && !begins_request(held, &line.content) {
                self.state = State::Open;
                return &[];
            }
            scan = Scan {
                begun: true,
                has_word: true,
                line: line.next,
                seen: line.next,
            };
            from = line.next;
        }
        scan.seen = held.len();
        if !scan.begun {
            match RequestLine::beginning(&held[scan.line..]) {
                Beginning::Blank => {}
                Beginning::Method => scan.has_word = true,
                Beginning::Other => {
                    self.state = State::Open;
                    return &[];
                }
            }
        }
        self.state = State::Head(scan);
        &[]
    }

    /// Reads the head that ends at `end`, and returns the bytes behind it.
    fn end_head<'a>(&mut self, held: &'a [u8], end: usize) -> &'a [u8] {
        self.state = State::Open;
        if let Some(head) = Head::parse(&held[..end]) {
            self.expects_continue = head.expects_continue();
            self.asks_for_a_tunnel = head.asks_for_a_tunnel();
            self.state = match BodyLength::of(&head) {
                BodyLength::Bytes(0) => State::Whole,
                BodyLength::Bytes(left) => State::Body { left },
                BodyLength::Chunked => State::Chunks(Chunks::default()),
                BodyLength::Unknown => State::Open,
            };
        }
        &held[end..]
    }

    fn feed_body(&mut self, bytes: &[u8]) {
        let taken = match &mut self.state {
            State::Body { left } => {
                let taken = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= taken as u64;
                if *left == 0 {
                    self.state = State::Whole;
                }
                taken
            }
            State::Chunks(chunks) => {
                let taken = chunks.feed(bytes);
                if *chunks == Chunks::Whole {
                    self.state = State::Whole;
                }
                taken
            }
            _ => 0,
        };
        if self.state == State::Whole {
            self.extra += (bytes.len() - taken) as u64;
        }
    }
}

/// Returns whether a first line begins a request whose head is worth waiting for.
///
/// The preface of HTTP/2 (RFC 9113, 3.4) does not: frames follow it.
fn begins_request(held: &[u8], line: &Range<usize>) -> bool {
    let Some(parts) = RequestLine::parse(held, line.clone()) else {
        return false;
    };
    let is_preface =
        &held[parts.method] == b"PRI" && held[parts.version.clone()].ends_with(b"/2.0");
    // A line without a version is a request of HTTP/0.9, which has only this line.
    !parts.version.is_empty() && !is_preface
}

/// Where the parts of a request lie in its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The bytes behind the head.
    pub body: Range<usize>,
    /// The bytes behind the whole request.
    pub extra: Range<usize>,
    /// Framing says that more bytes were to come.
    pub unfinished: bool,
}

/// Returns where the parts of a request lie. `raw` is all bytes that came.
///
/// If there is no head, all bytes are body. If the head gives no length, all bytes behind it are.
#[must_use]
pub fn extent(raw: &[u8]) -> Extent {
    let mut framing = Framing::default();
    framing.feed(raw, 0);
    let extra = usize::try_from(framing.extra).unwrap_or_default();
    let end = raw.len() - extra;
    let head = Head::parse(raw).map_or(0, |head| head.end().unwrap_or(raw.len()));
    let start = head.min(end);
    Extent {
        body: start..end,
        extra: end..raw.len(),
        unfinished: framing.is_unfinished(),
    }
}
