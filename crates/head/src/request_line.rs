//! The first line: method, target, version.

use std::ops::Range;

/// Longest method; the longest in use is `BASELINE-CONTROL`.
const MAX_METHOD_BYTES: usize = 32;
/// Most white space before the method that is ignored.
const MAX_LEADING_SPACES: usize = 32;
/// Names of the protocols that have the head of HTTP/1: HTTP, RTSP (RFC 7826), SIP (RFC 3261),
/// ICAP (RFC 3507), and what Icecast's sources send.
const VERSION_NAMES: [&[u8]; 5] = [b"HTTP/", b"RTSP/", b"SIP/", b"ICAP/", b"ICE/"];

/// A request line, as ranges of the bytes that were parsed.
///
/// RFC 9112, 3: any white space may separate the words, and white space around the line is ignored.
/// The target is all that stands between the first word and a version at the end, also with spaces.
/// RFC 1945, 4.1: without a version, the target begins with a slash. The method must then consist
/// of letters, hyphens and underscores; otherwise a line of another protocol could pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLine {
    /// A token of at most 32 bytes.
    pub method: Range<usize>,
    /// May be empty.
    pub target: Range<usize>,
    /// `HTTP/1.1` and the like; empty when there is none.
    pub version: Range<usize>,
}

impl RequestLine {
    /// Reads the line in this range of `bytes`; `None` when it is no request line.
    pub(crate) fn parse(bytes: &[u8], line: Range<usize>) -> Option<Self> {
        let leading = line.start;
        let line = without_spaces(bytes, line);
        if line.start - leading > MAX_LEADING_SPACES {
            return None;
        }
        let method_end = find(bytes, line.clone(), is_space).unwrap_or(line.end);
        let method = line.start..method_end;
        if !is_method(&bytes[method.clone()]) {
            return None;
        }
        let rest = without_spaces(bytes, method_end..line.end);
        let last_word = bytes[rest.clone()].iter().rposition(|&byte| is_space(byte));
        let last_word = last_word.map_or(rest.start, |space| rest.start + space + 1);
        if is_version(&bytes[last_word..rest.end]) {
            let target = without_spaces(bytes, rest.start..last_word);
            return Some(Self {
                method,
                target,
                version: last_word..rest.end,
            });
        }
        if !is_word(&bytes[method.clone()]) || !bytes[rest.clone()].starts_with(b"/") {
            return None;
        }
        Some(Self {
            method,
            version: rest.end..rest.end,
            target: rest,
        })
    }

    /// Tells what the beginning of an unfinished line is. Reads only its first bytes, because it is
    /// called again whenever more bytes come.
    pub(crate) fn beginning(line: &[u8]) -> Beginning {
        let seen = line.len().min(MAX_LEADING_SPACES + MAX_METHOD_BYTES + 1);
        let word = without_spaces(line, 0..seen);
        if word.is_empty() && seen <= MAX_LEADING_SPACES {
            return Beginning::Blank;
        }
        let method_end = find(line, word.clone(), is_space).unwrap_or(word.end);
        if word.start <= MAX_LEADING_SPACES && is_method(&line[word.start..method_end]) {
            Beginning::Method
        } else {
            Beginning::Other
        }
    }
}

/// What the beginning of an unfinished line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Only white space so far.
    Blank,
    /// A method, or what may become one.
    Method,
    /// Something else: the line will not become a request line.
    Other,
}

/// Returns whether bytes are a token: RFC 9110, 5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    let is_token_byte =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_token_byte)
}

fn is_method(bytes: &[u8]) -> bool {
    bytes.len() <= MAX_METHOD_BYTES && is_token(bytes)
}

/// Returns whether a method consists of letters, hyphens and underscores.
fn is_word(method: &[u8]) -> bool {
    method
        .iter()
        .all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(byte))
}

/// Returns whether a word begins with the name of a protocol. Anything may follow the name: some
/// clients put an attack there.
fn is_version(word: &[u8]) -> bool {
    let begins_with = |name: &&[u8]| {
        let start = word.get(..name.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    VERSION_NAMES.iter().any(begins_with)
}

/// Returns whether a byte is white space between the words of a request line: RFC 9112, 3.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | b'\r')
}

fn find(bytes: &[u8], range: Range<usize>, is: fn(u8) -> bool) -> Option<usize> {
    let found = bytes[range.clone()].iter().position(|&byte| is(byte))?;
    Some(range.start + found)
}

/// Returns `range` without the white space at its ends.
fn without_spaces(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let is_other = |byte: &u8| !is_space(*byte);
    let part = &bytes[range.clone()];
    let Some(first) = part.iter().position(is_other) else {
        return range.end..range.end;
    };
    let last = part.iter().rposition(is_other).unwrap_or(first);
    range.start + first..range.start + last + 1
}
