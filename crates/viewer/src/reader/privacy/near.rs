//! Limits a search to the surroundings of new bytes: bytes that were not examined before.

use std::ops::Range;

/// How far from a new byte the same text may extend, on each side. No hidden text is longer.
const REACH: usize = 256;

/// Which bytes are new and must be examined with their surroundings.
#[derive(Clone, Copy)]
pub(super) struct Near<'a> {
    /// Positions of the new bytes, in their order; `None` where all are new.
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

    /// Returns a walk, which can be asked for one range after the other.
    pub(super) fn walk(self) -> Walk<'a> {
        Walk { left: self.fresh }
    }

    /// Tells whether the byte at this position is listed as new. Returns `false` where all are new.
    pub(super) fn has(&self, at: usize) -> bool {
        self.fresh
            .is_some_and(|fresh| fresh.binary_search(&at).is_ok())
    }

    /// Returns the positions of the new bytes in a range, counted from its start; `None` where all
    /// are new.
    pub(super) fn within(&self, range: Range<usize>) -> Option<Vec<usize>> {
        let fresh = self.fresh?;
        let is_within = |at: &&usize| range.contains(*at);
        let within = fresh.iter().filter(is_within);
        Some(within.map(|at| at - range.start).collect())
    }

    /// Returns the position after the last new byte.
    pub(super) fn end(&self, bytes: &[u8]) -> usize {
        match self.fresh {
            Some(fresh) => fresh.last().map_or(0, |last| last + 1),
            None => bytes.len(),
        }
    }

    /// Returns the parts in which a text or an address may have a new byte.
    pub(super) fn parts(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        self.around(bytes, REACH, is_of_address)
    }

    /// Returns the parts up to `reach` bytes away from a new byte. Each part is extended on both
    /// sides while `goes_on` is true for the next byte.
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

/// The new bytes after the ranges that were asked for.
pub(super) struct Walk<'a> {
    left: Option<&'a [usize]>,
}

impl Walk<'_> {
    /// Tells whether a byte of the range, or the byte before it, is new; `None` if all bytes are
    /// new.
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

/// Tells whether a byte may belong to an address, which can be written with any length.
fn is_of_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte < b' ' || b".:-_[]".contains(&byte)
}
