//! Which of the bytes that stand for others are new, and what of them belongs together with others.

use std::ops::Range;

/// Bytes on both sides of one that is new that may belong to the same text: no text that is hidden
/// is longer.
const REACH: usize = 256;

/// Bytes, and which of them are to be looked through.
#[derive(Clone, Copy)]
pub(super) struct Near<'a> {
    /// Numbers of the bytes that are new, in their order; `None` where all are.
    fresh: Option<&'a [usize]>,
}

impl<'a> Near<'a> {
    pub(super) const ALL: Self = Self { fresh: None };

    pub(super) fn to(fresh: &'a [usize]) -> Self {
        Self { fresh: Some(fresh) }
    }

    /// Tells whether nothing is new.
    pub(super) fn is_nowhere(&self) -> bool {
        self.fresh.is_some_and(<[usize]>::is_empty)
    }

    /// Begins to ask for one range after the other.
    pub(super) fn walk(self) -> Walk<'a> {
        Walk { left: self.fresh }
    }

    /// Tells whether these bytes were looked through before, but for some; this one is among the
    /// latter.
    pub(super) fn has(&self, at: usize) -> bool {
        self.fresh
            .is_some_and(|fresh| fresh.binary_search(&at).is_ok())
    }

    /// Returns which of the bytes in a range are new, as numbers in it.
    pub(super) fn within(&self, range: Range<usize>) -> Option<Vec<usize>> {
        let fresh = self.fresh?;
        let is_within = |at: &&usize| range.contains(*at);
        let within = fresh.iter().filter(is_within);
        Some(within.map(|at| at - range.start).collect())
    }

    /// Returns behind which byte nothing is new.
    pub(super) fn end(&self, bytes: &[u8]) -> usize {
        match self.fresh {
            Some(fresh) => fresh.last().map_or(0, |last| last + 1),
            None => bytes.len(),
        }
    }

    /// Returns the parts in which a text or an address may have a byte that is new.
    pub(super) fn parts(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        self.around(bytes, REACH, is_of_address)
    }

    /// Returns the parts up to so many bytes away from one that is new, and on from there while the
    /// bytes go on as they are there.
    pub(super) fn around(
        &self,
        bytes: &[u8],
        reach: usize,
        goes_on: fn(u8) -> bool,
    ) -> Vec<Range<usize>> {
        let Some(fresh) = self.fresh else {
            return std::iter::once(0..bytes.len()).collect();
        };
        let mut parts: Vec<Range<usize>> = Vec::new();
        for &at in fresh {
            let known = parts.last().map_or(0, |part| part.end);
            let mut start = at.saturating_sub(reach).max(known);
            let mut end = (at + reach).min(bytes.len()).max(known);
            while start > known && goes_on(bytes[start - 1]) {
                start -= 1;
            }
            while end < bytes.len() && goes_on(bytes[end]) {
                end += 1;
            }
            match parts.last_mut() {
                Some(last) if start == last.end => last.end = end,
                _ => parts.push(start..end),
            }
        }
        parts
    }
}

/// What is new behind the ranges that were asked for.
pub(super) struct Walk<'a> {
    left: Option<&'a [usize]>,
}

impl Walk<'_> {
    /// Tells whether one of these bytes is new, or the one before them; `None` where all are.
    pub(super) fn touches(&mut self, range: &Range<usize>) -> Option<bool> {
        let mut left = self.left?;
        while let [first, rest @ ..] = left
            && first + 1 < range.start
        {
            left = rest;
        }
        self.left = Some(left);
        Some(left.first().is_some_and(|&first| first < range.end))
    }
}

/// Tells whether a byte may belong to an address, however long it is written.
fn is_of_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte < b' ' || b".:-_[]".contains(&byte)
}
