//! The length of a body: as its head says or, when the body comes in chunks, as its chunks say.

use std::ops::Range;

use crate::field::unfolded;
use crate::head::Head;

/// Methods whose requests have no body unless they say so.
const WITHOUT_BODY: [&[u8]; 6] = [b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"TRACE", b"CONNECT"];
/// Protocols whose requests have no body unless they say so: RFC 7826, 5.3, and RFC 3261, 18.3.
const VERSIONS_WITHOUT_BODY: [&[u8]; 2] = [b"RTSP/", b"SIP/"];

/// The length of a request's body, as its head says: RFC 9112, 6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// So many bytes.
    Bytes(u64),
    /// The chunks say it.
    Chunked,
    /// Not delimited: everything that follows is the body.
    Unknown,
}

impl BodyLength {
    /// Reads the length from a head.
    ///
    /// Transfer-Encoding overrides Content-Length. If there are several lengths, the largest one
    /// counts: a length that is too large costs two seconds of waiting, one that is too small cuts
    /// the body.
    #[must_use]
    pub fn of(head: &Head<'_>) -> Self {
        let version = head.slice(&head.line.version);
        if version.is_empty() {
            return Self::Unknown;
        }
        // One pass through the fields: there may be 21,000, and a head is read several times.
        let (mut length, mut says_nothing) = (None, true);
        for field in head.fields() {
            let name = head.slice(&field.name);
            if name.eq_ignore_ascii_case(b"transfer-encoding") {
                says_nothing = false;
                if head.has_word(&field, b"chunked") {
                    return Self::Chunked;
                }
            } else if name.eq_ignore_ascii_case(b"content-length") {
                says_nothing = false;
                length = length.max(largest(head.slice(&field.value)));
            }
        }
        if let Some(length) = length {
            return Self::Bytes(length);
        }
        let method = head.slice(&head.line.method);
        let has_none = WITHOUT_BODY
            .iter()
            .any(|name| method.eq_ignore_ascii_case(name))
            || VERSIONS_WITHOUT_BODY
                .iter()
                .any(|name| starts_with(version, name));
        if says_nothing && has_none {
            Self::Bytes(0)
        } else {
            Self::Unknown
        }
    }
}

fn starts_with(version: &[u8], name: &[u8]) -> bool {
    version
        .get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Returns the largest length in a value; `None` where no element of the value is a number.
fn largest(value: &[u8]) -> Option<u64> {
    let value = unfolded(value);
    let elements = value.split(|&byte| byte == b',');
    elements
        .filter_map(|element| decimal(element.trim_ascii()))
        .max()
}

/// Returns the number that the leading digits are; `u64::MAX` for a larger one.
fn decimal(value: &[u8]) -> Option<u64> {
    let mut number = None;
    for digit in value.iter().take_while(|byte| byte.is_ascii_digit()) {
        let before: u64 = number.unwrap_or(0);
        number = Some(
            before
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0')),
        );
    }
    number
}

/// The state of a parser that follows a chunked body to its end: RFC 9112, 7.1. Holds no bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// Before the first digit of a size.
    #[default]
    BeforeSize,
    /// In the digits of a size.
    Size(u64),
    /// Behind the digits of a size; only white space or an extension may come before the end of the
    /// line.
    AfterSize(u64),
    /// In an extension, which is anything up to the end of the line.
    Extension(u64),
    /// In the data of a chunk, so many bytes before its end.
    Data(u64),
    /// Behind the data, where only a line end may come.
    DataEnd,
    /// At the beginning of a line of the trailer.
    TrailerStart,
    /// At the beginning of a line of the trailer, behind a CR.
    TrailerCr,
    /// Within a line of the trailer.
    TrailerLine,
    /// Behind the end of the body.
    Whole,
    /// The bytes are no chunks.
    Broken,
}

impl Chunks {
    /// Takes the next bytes up to the end of the body, and returns how many it took.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && !matches!(self, Self::Whole | Self::Broken) {
            if let Self::Data(left) = *self {
                let here = usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len() - taken);
                let left = left - here as u64;
                *self = if left == 0 {
                    Self::DataEnd
                } else {
                    Self::Data(left)
                };
                taken += here;
            } else {
                *self = self.after(bytes[taken]);
                taken += 1;
            }
        }
        taken
    }

    /// Returns the state behind one byte that is not data of a chunk.
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::BeforeSize, b' ' | b'\t') => self,
            (Self::BeforeSize, _) if byte.is_ascii_hexdigit() => Self::with_digit(0, byte),
            (Self::Size(size), _) if byte.is_ascii_hexdigit() => Self::with_digit(size, byte),
            (Self::Size(size) | Self::AfterSize(size), b' ' | b'\t' | b'\r') => {
                Self::AfterSize(size)
            }
            (Self::Size(size) | Self::AfterSize(size), b';') => Self::Extension(size),
            (Self::Size(0) | Self::AfterSize(0) | Self::Extension(0), b'\n') => Self::TrailerStart,
            (Self::Size(size) | Self::AfterSize(size) | Self::Extension(size), b'\n') => {
                Self::Data(size)
            }
            (Self::Extension(_), _) => self,
            (Self::DataEnd, b'\r') => self,
            (Self::DataEnd, b'\n') => Self::BeforeSize,
            (Self::TrailerStart | Self::TrailerCr, b'\n') => Self::Whole,
            (Self::TrailerStart, b'\r') => Self::TrailerCr,
            (Self::TrailerLine, b'\n') => Self::TrailerStart,
            (Self::TrailerStart | Self::TrailerCr | Self::TrailerLine, _) => Self::TrailerLine,
            _ => Self::Broken,
        }
    }

    fn with_digit(size: u64, digit: u8) -> Self {
        let value = char::from(digit).to_digit(16).map(u64::from);
        match (size.checked_mul(16), value) {
            (Some(size), Some(value)) => Self::Size(size + value),
            _ => Self::Broken,
        }
    }
}

/// The data of a chunked body, and the bytes behind the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined<'a> {
    /// The data of all chunks.
    pub data: Vec<u8>,
    /// What follows the data: the chunk of size 0 and the trailer, or bytes that are no chunk.
    pub behind: &'a [u8],
}

/// Joins the data of a body's chunks, up to the first error; `None` where there are no data.
#[must_use]
pub fn joined(body: &[u8]) -> Option<Joined<'_>> {
    let mut data = Vec::new();
    let mut end = 0;
    for chunk in chunks(body) {
        end = chunk.end;
        data.extend_from_slice(&body[chunk]);
    }
    let behind = &body[end..];
    (!data.is_empty()).then_some(Joined { data, behind })
}

/// Returns the data of each chunk, as ranges of the body, up to the first error.
pub fn chunks(body: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut state = Chunks::default();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < body.len() {
            if let Chunks::Data(left) = state {
                let taken = usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(body.len() - at);
                state = Chunks::DataEnd;
                at += taken;
                return Some(at - taken..at);
            }
            state = state.after(body[at]);
            if matches!(state, Chunks::Whole | Chunks::Broken) {
                break;
            }
            at += 1;
        }
        at = body.len();
        None
    })
}
