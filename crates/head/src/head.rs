//! A whole head: its first line, its fields, and where it ends.

use std::ops::Range;

use crate::field::{Field, Fields, unfolded};
use crate::line::Line;
use crate::request_line::RequestLine;

/// The head of a request, as ranges of the bytes that were parsed.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    bytes: &'a [u8],
    /// Its first line.
    pub line: RequestLine,
    /// Where its fields begin.
    fields: usize,
}

impl<'a> Head<'a> {
    /// Reads the head at the beginning of `bytes`, which may be cut. Returns `None` when `bytes`
    /// do not begin with a request line.
    ///
    /// RFC 9112, 2.2: empty lines before the request line are ignored.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let first = Line::find_or_rest(bytes, skip_empty_lines(bytes, 0));
        let line = RequestLine::parse(bytes, first.content)?;
        Some(Self {
            bytes,
            line,
            fields: first.next,
        })
    }

    /// Returns the bytes of a range.
    #[must_use]
    pub fn slice(&self, range: &Range<usize>) -> &'a [u8] {
        &self.bytes[range.clone()]
    }

    /// Returns the fields in the order sent.
    #[must_use]
    pub fn fields(&self) -> Fields<'a> {
        Fields::new(self.bytes, self.fields)
    }

    /// Returns where the head ends, behind its blank line; `None` when there is no blank line.
    #[must_use]
    pub fn end(&self) -> Option<usize> {
        self.fields().end()
    }

    /// Returns the fields of this name, in any case.
    pub fn fields_named(&self, name: &'static [u8]) -> impl Iterator<Item = Field> + '_ {
        let has_name = move |field: &Field| self.slice(&field.name).eq_ignore_ascii_case(name);
        self.fields().filter(has_name)
    }

    /// Returns whether a field of this name lists this word, as in `a, Word;q=1`, in any case.
    pub(crate) fn lists(&self, name: &'static [u8], word: &[u8]) -> bool {
        self.fields_named(name)
            .any(|field| self.has_word(&field, word))
    }

    /// Returns whether a field lists this word.
    pub(crate) fn has_word(&self, field: &Field, word: &[u8]) -> bool {
        let value = unfolded(self.slice(&field.value));
        value
            .split(|&byte| byte == b',')
            .any(|element| is_element(element, word))
    }

    /// Returns whether the client waits for `100 Continue` before it sends its body: RFC 9110,
    /// 10.1.1.
    pub(crate) fn expects_continue(&self) -> bool {
        self.lists(b"expect", b"100-continue")
    }

    /// Returns whether other bytes than HTTP/1 may follow the answer: CONNECT (RFC 9110, 9.3.6) and
    /// an upgrade (7.8).
    pub(crate) fn asks_for_a_tunnel(&self) -> bool {
        self.slice(&self.line.method)
            .eq_ignore_ascii_case(b"CONNECT")
            || self.fields_named(b"upgrade").next().is_some()
    }
}

/// Returns whether an element of a list, without its parameters, is this word.
fn is_element(element: &[u8], word: &[u8]) -> bool {
    let end = memchr::memchr(b';', element).unwrap_or(element.len());
    element[..end].trim_ascii().eq_ignore_ascii_case(word)
}

/// Returns where the first non-empty line begins, at `start` or behind it.
pub(crate) fn skip_empty_lines(bytes: &[u8], mut start: usize) -> usize {
    loop {
        let rest = &bytes[start..];
        if rest.starts_with(b"\r\n") {
            start += 2;
        } else if rest.starts_with(b"\n") {
            start += 1;
        } else {
            return start;
        }
    }
}
