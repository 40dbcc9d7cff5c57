//! Blanks hidden texts and addresses in bytes, and in what the bytes hold in an encoding.
//!
//! In: bytes, and what to hide. Out: as many bytes, blanked in their own encoding. So `%2e` becomes
//! `%78`, which is an `x`, and base64 becomes base64 of other bytes. Everything is found in the
//! original bytes before anything is blanked, so a longer text is found even if it contains a
//! shorter one. Encodings are undone one inside the other: see `layers`. A compressed stream cannot
//! be changed in part and keep its length, so it is blanked to its end.
//!
//! Work is counted. When it is used up, all remaining bytes are blanked.

use std::net::IpAddr;
use std::ops::Range;

use memchr::memchr_iter;

use super::addresses::Addresses;
use super::layers;
use super::near::Near;
use super::texts::Texts;
use super::work::Work;

/// Replaces a hidden byte.
pub(super) const FILLER: u8 = b'x';
/// Replaces a hidden byte where an `x` and the next byte would begin a compressed stream.
const OTHER_FILLER: u8 = b'X';
/// Work for examining a record the first time.
pub(super) const FIRST_WORK: usize = 760_000;
/// Work for examining a record again after something was blanked, because blanking may have
/// produced a hidden text.
pub(super) const AGAIN_WORK: usize = 100_000;
/// Most bytes of a record that are examined. Plain text of this length takes most of the work.
const MAX_RECORD_BYTES: usize = 160 * 1024;
/// How often blanked bytes are examined again at most. Even the first time, hardly anything is ever
/// found.
const MOST_EXAMINED_AGAIN: usize = 2;
/// Work for examining a piece of bytes, beside the bytes.
const PIECE_WORK: usize = 64;

/// Most encodings that are undone one inside the other.
pub(super) const MAX_DEPTH: usize = 4;
/// Most decompressed bytes of one stream that are examined.
pub(super) const MAX_DECODED_BYTES: usize = 256 * 1024;

/// Blanks what is hidden in one request.
pub(super) struct Blanker<'a> {
    pub(super) texts: Option<&'a Texts>,
    addresses: Addresses,
    pub(super) work: Work,
}

/// A range of bytes to hide.
pub(super) struct Found<'a> {
    pub(super) range: Range<usize>,
    pub(super) written: Written<'a>,
}

/// How a hidden text or address is written.
pub(super) enum Written<'a> {
    Text,
    /// An address as four or sixteen binary bytes.
    Wire,
    /// A name as in DNS messages, with lengths at these positions.
    Name(&'a [usize]),
}

/// The result of blanking a request.
pub(super) struct Blanked {
    /// Its blanked bytes; `None` where nothing was blanked.
    pub(super) raw: Option<Vec<u8>>,
    /// How many bytes were changed.
    pub(super) count: usize,
    /// Not all bytes were examined.
    pub(super) is_unfinished: bool,
    /// Work that was done.
    pub(super) work: usize,
}

impl<'a> Blanker<'a> {
    /// Returns a blanker that hides `texts` and the addresses `masked`.
    pub(super) fn new(texts: Option<&'a Texts>, masked: &[IpAddr]) -> Self {
        let mut addresses = texts
            .map(|texts| texts.addresses.clone())
            .unwrap_or_default();
        addresses.add(masked);
        Self {
            texts,
            addresses,
            work: Work::new(FIRST_WORK),
        }
    }

    /// Blanks hidden texts and addresses in a request.
    pub(super) fn blank(mut self, raw: &[u8]) -> Blanked {
        let (seen, unseen) = raw.split_at(raw.len().min(MAX_RECORD_BYTES));
        let first = layers::request(&mut self, seen, Near::ALL);
        let mut work = FIRST_WORK - self.work.left();
        let mut is_unfinished = self.work.is_short() || !unseen.is_empty();
        self.work = Work::new(AGAIN_WORK);
        let mut blanked = first.map(|after| self.examine_again(seen, after));
        work += AGAIN_WORK - self.work.left();
        is_unfinished |= self.work.is_short();
        let mut count = blanked
            .as_deref()
            .map_or(0, |after| changes(seen, after).len());
        if !unseen.is_empty() {
            let mut all = blanked.unwrap_or_else(|| seen.to_vec());
            all.resize(raw.len(), FILLER);
            blanked = Some(all);
            count += unseen.len() - memchr_iter(FILLER, unseen).count();
        }
        Blanked {
            raw: blanked.filter(|_| count > 0),
            count,
            is_unfinished,
            work,
        }
    }

    /// Examines blanked bytes again, and returns them with newly found texts and addresses blanked.
    fn examine_again(&mut self, seen: &[u8], mut after: Vec<u8>) -> Vec<u8> {
        let mut changed = changes(seen, &after);
        for _ in 0..MOST_EXAMINED_AGAIN {
            let Some(next) = layers::request(self, &after, Near::to(&changed)) else {
                break;
            };
            changed = changes(&after, &next);
            after = next;
        }
        after
    }

    /// Examines the bytes near the new ones. Returns all bytes with hidden texts blanked; `None` if
    /// nothing must be hidden.
    pub(super) fn examine(
        &mut self,
        bytes: &[u8],
        near: Near<'_>,
        depth_left: usize,
    ) -> Option<Vec<u8>> {
        if bytes.is_empty() || near.is_nowhere() {
            return None;
        }
        let parts = near.parts(bytes);
        let length: usize = parts.iter().map(Range::len).sum();
        if !self.work.take(PIECE_WORK + length) {
            return Some(filled(bytes));
        }
        let mut draft = Draft::new(bytes);
        let mut found = Vec::new();
        for part in parts {
            self.find(bytes, part, &mut found);
        }
        if depth_left > 0 {
            layers::undo(self, &mut draft, near, depth_left.min(MAX_DEPTH) - 1);
        }
        for found in found {
            draft.blank(found);
        }
        draft.changed
    }

    /// Finds hidden texts and addresses that are not encoded, in a part of the bytes.
    fn find(&mut self, bytes: &[u8], part: Range<usize>, all: &mut Vec<Found<'a>>) {
        let seen = &bytes[part.clone()];
        let first = all.len();
        self.addresses.find(seen, &mut self.work, all);
        if let Some(texts) = self.texts {
            texts.find(seen, &mut self.work, all);
        }
        for found in &mut all[first..] {
            found.range.start += part.start;
            found.range.end += part.start;
        }
    }
}

/// Bytes, and their changed copy.
pub(super) struct Draft<'a> {
    pub(super) original: &'a [u8],
    changed: Option<Vec<u8>>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(original: &'a [u8]) -> Self {
        Self {
            original,
            changed: None,
        }
    }

    /// Returns the changed copy of the bytes.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        self.changed.get_or_insert_with(|| self.original.to_vec())
    }

    pub(super) fn into_changed(self) -> Option<Vec<u8>> {
        self.changed
    }

    /// Takes over changes to the bytes from `start` on.
    pub(super) fn take(&mut self, start: usize, changed: &[u8]) {
        let original = &self.original[start..start + changed.len()];
        let bytes = self.changed.get_or_insert_with(|| self.original.to_vec());
        let changes = original.iter().zip(changed).enumerate();
        for (index, (_, &after)) in changes.filter(|(_, (before, after))| before != after) {
            bytes[start + index] = after;
        }
    }

    fn blank(&mut self, found: Found<'_>) {
        match found.written {
            Written::Text => self.fill(found.range),
            Written::Wire => self.bytes()[found.range].fill(0),
            Written::Name(lengths) => {
                let start = found.range.start;
                self.fill(found.range);
                for at in lengths.iter().map(|length| start + length) {
                    self.bytes()[at] = self.original[at];
                }
            }
        }
    }

    /// Blanks these bytes.
    pub(super) fn fill(&mut self, range: Range<usize>) {
        let bytes = self.bytes();
        fill(&mut bytes[range.clone()]);
        let end = bytes.len().min(range.end + 1);
        if let [.., last @ FILLER, 0x01 | 0x5e | 0x9c | 0xda] = &mut bytes[..end] {
            *last = OTHER_FILLER;
        }
    }
}

/// Returns the positions of the bytes that have changed.
fn changes(before: &[u8], after: &[u8]) -> Vec<usize> {
    let is_changed = |&at: &usize| before[at] != after[at];
    (0..after.len()).filter(is_changed).collect()
}

/// Returns a blanked copy of the bytes.
fn filled(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    fill(&mut bytes);
    bytes
}

/// Blanks bytes. Line ends stay, so that the head of a request keeps its lines.
fn fill(bytes: &mut [u8]) {
    for byte in bytes {
        if !matches!(byte, b'\r' | b'\n') {
            *byte = FILLER;
        }
    }
}
