//! The fields of a head, which are the lines after the first: names and values.

use std::borrow::Cow;
use std::ops::Range;

use crate::line::{Line, trimmed};

/// A field of a head, as ranges of the bytes that were parsed.
///
/// RFC 9112, 5: white space around the value is no part of it. White space before the colon is no
/// part of the name; a server must refuse it, and many accept it (5.1). A line that begins with
/// white space continues the value of the line before it (5.2, obs-fold).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// What stands before the colon; the whole line where there is no colon. Empty for a line that
    /// begins with white space and has no field before it, which 2.2 says to ignore.
    pub name: Range<usize>,
    /// What stands behind the colon, still with its folds: see [`unfolded`].
    pub value: Range<usize>,
}

/// The fields of a head in the order sent, from [`Head::fields`](crate::Head::fields).
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    /// Where the next field begins.
    next: usize,
}

impl<'a> Fields<'a> {
    /// Reads fields from `start` on, up to a blank line or the end of the bytes.
    pub(crate) fn new(bytes: &'a [u8], start: usize) -> Self {
        Self { bytes, next: start }
    }

    /// Returns where the bytes behind the blank line begin; `None` while there is no blank line.
    pub(crate) fn end(mut self) -> Option<usize> {
        while self.next().is_some() {}
        let blank = Line::find(self.bytes, self.next)?;
        Some(blank.next)
    }
}

impl Iterator for Fields<'_> {
    type Item = Field;

    fn next(&mut self) -> Option<Field> {
        let first = Line::find_or_rest(self.bytes, self.next);
        if first.content.is_empty() {
            return None;
        }
        let mut end = first.content.end;
        self.next = first.next;
        while is_fold(self.bytes, self.next) {
            let fold = Line::find_or_rest(self.bytes, self.next);
            end = fold.content.end;
            self.next = fold.next;
        }
        let start = first.content.start;
        if is_fold(self.bytes, start) {
            let value = trimmed(self.bytes, start..end);
            return Some(Field {
                name: start..start,
                value,
            });
        }
        let colon = memchr::memchr(b':', &self.bytes[first.content.clone()]);
        let (name_end, value_start) = match colon {
            Some(at) => (start + at, start + at + 1),
            None => (first.content.end, first.content.end),
        };
        let name = trimmed(self.bytes, start..name_end);
        Some(Field {
            name,
            value: trimmed(self.bytes, value_start..end),
        })
    }
}

/// Returns whether the line that begins at `start` continues the line before it.
fn is_fold(bytes: &[u8], start: usize) -> bool {
    matches!(bytes.get(start), Some(b' ' | b'\t'))
}

/// Returns a value with each fold as one space: RFC 9112, 5.2.
#[must_use]
pub fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut plain = Vec::with_capacity(value.len());
    for line in value.split(|&byte| byte == b'\n') {
        let line = line.trim_ascii();
        if !plain.is_empty() && !line.is_empty() {
            plain.push(b' ');
        }
        plain.extend_from_slice(line);
    }
    Cow::Owned(plain)
}
