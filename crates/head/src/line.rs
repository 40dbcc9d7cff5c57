//! Finds where a line ends.
//!
//! RFC 9112, 2.2: CR LF ends a line, and a recipient may also let a lone LF end it. A CR elsewhere
//! is a byte like others.

use std::ops::Range;

/// One line of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The line without its end.
    pub(crate) content: Range<usize>,
    /// Where the next line begins.
    pub(crate) next: usize,
}

impl Line {
    /// Finds the line that begins at `start`; `None` when it has no end yet.
    pub(crate) fn find(bytes: &[u8], start: usize) -> Option<Self> {
        let length = memchr::memchr(b'\n', bytes.get(start..)?)?;
        Some(Self::ending_at(bytes, start, start + length))
    }

    /// Returns the line that begins at `start`. If its end is missing, the line is the rest of the
    /// bytes, without a last CR that may be half of the line end.
    pub(crate) fn find_or_rest(bytes: &[u8], start: usize) -> Self {
        if let Some(line) = Self::find(bytes, start) {
            return line;
        }
        let has_cr = bytes.len() > start && bytes.ends_with(b"\r");
        let end = if has_cr { bytes.len() - 1 } else { bytes.len() };
        Self {
            content: start..end,
            next: bytes.len(),
        }
    }

    /// Returns the line between `start` and the LF at `line_feed`.
    pub(crate) fn ending_at(bytes: &[u8], start: usize, line_feed: usize) -> Self {
        let has_cr = line_feed > start && bytes[line_feed - 1] == b'\r';
        let end = if has_cr { line_feed - 1 } else { line_feed };
        Self {
            content: start..end,
            next: line_feed + 1,
        }
    }
}

/// Returns `range` without the white space at its ends: SP, HTAB, CR, LF and FF.
pub(crate) fn trimmed(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let part = &bytes[range.clone()];
    let start = range.start + (part.len() - part.trim_ascii_start().len());
    let end = range.end - (part.len() - part.trim_ascii_end().len());
    // In nothing but white space, `end` is before `start`.
    start.min(range.end)..end.max(start)
}
