//! Bytes that stand for others, each of which knows where it is written.

use std::ops::Range;

use forever200_decode::escape::{self, Reader};

use super::blank::{Blanker, Draft};
use super::near::Near;

/// Stands between bytes that do not belong together: in no text, whatever its encoding.
pub(super) const SEPARATOR: u8 = 0xff;

/// Where one of so many bytes is new, it costs less to look at all.
const DENSE: usize = 16;

/// Bytes, and their places in other bytes.
#[derive(Default)]
pub(super) struct Layer {
    bytes: Vec<u8>,
    places: Vec<Range<u32>>,
    /// Numbers of the bytes that are not what stood there, or not next to what stood before it. All
    /// else was looked through where it stood.
    fresh: Vec<usize>,
}

impl Layer {
    /// Undoes escapes. Of bytes that are new in part, what is new are these, and the escapes of
    /// them.
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

    /// The value of a header on one line, as `forever200_head::unfolded` makes it.
    pub(super) fn unfolded(raw: &[u8], value: Range<usize>) -> Self {
        let mut layer = Self::default();
        let mut at = value.start;
        for line in raw[value].split(|&byte| byte == b'\n') {
            let from = at + line.len() - line.trim_ascii_start().len();
            let text = line.trim_ascii();
            if !layer.bytes.is_empty() && !text.is_empty() {
                // It stands for a line end, which stays.
                layer.fresh.push(layer.bytes.len());
                layer.push(b' ', from..from);
            }
            layer.extend(raw, from..from + text.len());
            at += line.len() + 1;
        }
        layer
    }

    /// Where the first and the last of the bytes are written, and all between them.
    fn extent(&self) -> Range<usize> {
        let places = self.places.iter().map(wide);
        let start = places.clone().map(|place| place.start).min();
        start.unwrap_or(0)..places.map(|place| place.end).max().unwrap_or(0)
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Notes which bytes are new where they stand.
    pub(super) fn note(&mut self, near: Near<'_>) {
        let places = self.places.iter().enumerate();
        let is_new = |place: &Range<u32>| near.has(place.start as usize);
        self.fresh
            .extend(places.filter(|(_, place)| is_new(place)).map(|(at, _)| at));
        self.fresh.sort_unstable();
    }

    /// Adds bytes that are written as themselves, and did not stand behind those before them.
    pub(super) fn join(&mut self, bytes: &[u8], range: Range<usize>) {
        if !range.is_empty() {
            self.fresh.push(self.bytes.len());
            self.extend(bytes, range);
        }
    }

    /// Adds bytes that are written as themselves.
    fn extend(&mut self, bytes: &[u8], range: Range<usize>) {
        for at in range {
            self.push(bytes[at], at..at + 1);
        }
    }

    /// Adds a byte.
    pub(super) fn push(&mut self, byte: u8, place: Range<usize>) {
        self.bytes.push(byte);
        self.places.push(narrow(place.start)..narrow(place.end));
    }

    /// Looks through what is fresh of the bytes, and writes what is to be blanked to its places.
    pub(super) fn look(&self, blanker: &mut Blanker<'_>, draft: &mut Draft<'_>, depth: usize) {
        let near = if self.fresh.len() * DENSE > self.bytes.len() {
            Near::ALL
        } else {
            Near::to(&self.fresh)
        };
        let Some(changed) = blanker.look(&self.bytes, near, depth) else {
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

/// Requests are far below 4 GiB.
fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
