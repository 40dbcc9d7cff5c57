//! Decoded bytes, each with the place of its encoded form.

use std::ops::Range;

use forever200_decode::escape::{self, Reader};

use super::blank::{Blanker, Draft};
use super::near::Near;

/// Separates bytes that do not belong together. It is in no text, whatever the encoding.
pub(super) const SEPARATOR: u8 = 0xff;

/// If more than one byte in this many is new, it costs less to examine all bytes.
const DENSE: usize = 16;

/// Decoded bytes, and where each is encoded in the original bytes.
#[derive(Default)]
pub(super) struct Layer {
    bytes: Vec<u8>,
    places: Vec<Range<u32>>,
    /// Positions of the new bytes: they differ from the original, or follow another byte than in
    /// the original. All other bytes were examined in the original.
    fresh: Vec<usize>,
}

impl Layer {
    /// Undoes escapes. If `near` lists new bytes, decoded bytes are new if they are made from
    /// listed bytes or follow one of them. Else decoded bytes are new if they were escaped.
    pub(super) fn escaped(bytes: &[u8], read: Reader, near: Near<'_>) -> Self {
        let mut layer = Self {
            bytes: Vec::with_capacity(bytes.len()),
            places: Vec::with_capacity(bytes.len()),
            fresh: Vec::new(),
        };
        let mut walk = near.walk();
        let put = |byte, place: Range<usize>| {
            let is_escape = place.len() > 1 || byte != bytes[place.start];
            if walk.touches(&place).unwrap_or(is_escape) {
                layer.fresh.push(layer.bytes.len());
            }
            layer.push(byte, place);
        };
        escape::undo(bytes, read, put);
        layer
    }

    /// Returns the value of a header on one line, as `forever200_head::unfolded` makes it.
    pub(super) fn unfolded(raw: &[u8], value: Range<usize>) -> Self {
        let mut layer = Self::default();
        let mut at = value.start;
        for line in raw[value].split(|&byte| byte == b'\n') {
            let from = at + line.len() - line.trim_ascii_start().len();
            let text = line.trim_ascii();
            if !layer.bytes.is_empty() && !text.is_empty() {
                // The space replaces a line end, which is not blanked.
                layer.fresh.push(layer.bytes.len());
                layer.push(b' ', from..from);
            }
            layer.extend(raw, from..from + text.len());
            at += line.len() + 1;
        }
        layer
    }

    /// Returns the range of the original bytes from the first to the last place.
    fn extent(&self) -> Range<usize> {
        let places = self.places.iter().map(wide);
        let start = places.clone().map(|place| place.start).min();
        start.unwrap_or(0)..places.map(|place| place.end).max().unwrap_or(0)
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Marks the bytes that were made from bytes listed in `near` as new.
    pub(super) fn note(&mut self, near: Near<'_>) {
        let places = self.places.iter().enumerate();
        let is_new = |place: &Range<u32>| near.has(place.start as usize);
        self.fresh
            .extend(places.filter(|(_, place)| is_new(place)).map(|(at, _)| at));
        self.fresh.sort_unstable();
    }

    /// Adds unescaped bytes that do not follow the bytes before them in the original.
    pub(super) fn join(&mut self, bytes: &[u8], range: Range<usize>) {
        if !range.is_empty() {
            self.fresh.push(self.bytes.len());
            self.extend(bytes, range);
        }
    }

    /// Adds unescaped bytes.
    fn extend(&mut self, bytes: &[u8], range: Range<usize>) {
        for at in range {
            self.push(bytes[at], at..at + 1);
        }
    }

    /// Adds a byte that is encoded in this place.
    pub(super) fn push(&mut self, byte: u8, place: Range<usize>) {
        self.bytes.push(byte);
        self.places.push(narrow(place.start)..narrow(place.end));
    }

    /// Examines the new bytes, and blanks hidden ones in their places.
    pub(super) fn examine(
        &self,
        blanker: &mut Blanker<'_>,
        draft: &mut Draft<'_>,
        depth_left: usize,
    ) {
        let near = if self.fresh.len() * DENSE > self.bytes.len() {
            Near::ALL
        } else {
            Near::to(&self.fresh)
        };
        let Some(changed) = blanker.examine(&self.bytes, near, depth_left) else {
            return;
        };
        if blanker.work.left() == 0 {
            return draft.fill(self.extent());
        }
        for (index, place) in self.places.iter().enumerate() {
            if changed[index] != self.bytes[index] {
                escape::rewrite(&mut draft.bytes()[wide(place)], changed[index]);
            }
        }
    }
}

fn wide(place: &Range<u32>) -> Range<usize> {
    place.start as usize..place.end as usize
}

/// Returns a position as 32 bits, which are enough: requests are far below 4 GiB.
fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
