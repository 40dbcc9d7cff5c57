//! Undoes base64, wherever it begins.
//!
//! In: bytes as they were sent. Out: changes to them. The bytes before base64 may be characters of
//! base64 as well, such as the `/` of a path. So each run of such characters is decoded four times,
//! from each of its first four characters.

use std::ops::Range;

use forever200_decode::base64::{self, GROUP_CHARS};
use forever200_decode::inflate;

use super::blank::{Blanker, Draft, FILLER};
use super::layer::SEPARATOR;
use super::near::Near;

/// Shortest run that is decoded. Shorter runs hold only texts that are too short to be hidden.
const MIN_CHARS: usize = 6;
/// Runs from this length on are decoded one by one. Shorter runs are mostly words and numerous, so
/// they are decoded together.
const LONG_CHARS: usize = 64;
/// Beginnings of decoded bytes that are not text but may hold other encodings: gzip, and Java
/// objects.
const BINARY: [&[u8]; 2] = [b"\x1f\x8b\x08", b"\xac\xed\0\x05"];

/// A run of base64 characters.
struct Run {
    /// Their positions among all base64 characters.
    chars: Range<usize>,
    is_url_safe: bool,
    /// For each of the first four characters: whether the page would decode a line of the run from
    /// there.
    begins: [bool; GROUP_CHARS],
}

/// All base64 characters in some bytes.
struct Sextets {
    values: Vec<u8>,
    places: Vec<u32>,
    runs: Vec<Run>,
}

/// Examines everything in these bytes that may be base64.
pub(super) fn undo(
    blanker: &mut Blanker<'_>,
    draft: &mut Draft<'_>,
    near: Near<'_>,
    depth_left: usize,
) {
    let bytes = draft.original;
    let parts = near.around(bytes, 1, is_of_run);
    if !blanker.work.take(parts.iter().map(Range::len).sum()) {
        return draft.fill(0..bytes.len());
    }
    let all = Sextets::find(bytes, parts);
    if all.runs.is_empty() {
        return;
    }
    let mut edited = all.values.clone();
    let is_long = |run: &&Run| run.chars.len() >= LONG_CHARS;
    let (long, short): (Vec<_>, Vec<_>) = all.runs.iter().partition(is_long);
    let groups = long.chunks(1).chain(std::iter::once(&short[..]));
    for runs in groups {
        let is_seen = (0..GROUP_CHARS)
            .all(|skipped| all.examine(blanker, &mut edited, runs, skipped, depth_left));
        if !is_seen {
            let chars = runs.iter().flat_map(|run| run.chars.clone());
            chars.for_each(|at| draft.bytes()[all.places[at] as usize] = FILLER);
        }
    }
    for run in &all.runs {
        for at in run.chars.clone() {
            if edited[at] != all.values[at] {
                let char = base64::char_of(edited[at], run.is_url_safe);
                draft.bytes()[all.places[at] as usize] = char;
            }
        }
    }
}

impl Sextets {
    /// Finds the runs in these parts.
    fn find(bytes: &[u8], parts: Vec<Range<usize>>) -> Self {
        let length = parts.iter().map(Range::len).sum();
        let mut all = Self {
            values: Vec::with_capacity(length),
            places: Vec::with_capacity(length),
            runs: Vec::new(),
        };
        for part in parts {
            all.find_in(bytes, part);
        }
        all
    }

    /// Finds the runs in one part. A run may have line breaks: RFC 2045, 6.8.
    fn find_in(&mut self, bytes: &[u8], part: Range<usize>) {
        let mut start = self.values.len();
        let mut is_url_safe = false;
        let mut begins = [true, false, false, false];
        for at in part {
            let byte = bytes[at];
            if let Some(value) = base64::sextet(byte) {
                self.values.push(value);
                self.places.push(at as u32);
                is_url_safe |= byte == b'-' || byte == b'_';
            } else if byte == b'\r' || byte == b'\n' {
                begins[(self.values.len() - start) % GROUP_CHARS] = true;
            } else {
                self.end_run(start, begins, is_url_safe);
                start = self.values.len();
                is_url_safe = false;
                begins = [true, false, false, false];
            }
        }
        self.end_run(start, begins, is_url_safe);
    }

    fn end_run(&mut self, start: usize, begins: [bool; GROUP_CHARS], is_url_safe: bool) {
        if self.values.len() - start < MIN_CHARS {
            self.values.truncate(start);
            self.places.truncate(start);
            return;
        }
        self.runs.push(Run {
            chars: start..self.values.len(),
            is_url_safe,
            begins,
        });
    }

    /// Decodes these runs without their first `skipped` characters, and examines the result.
    /// Returns `false` if no work is left.
    fn examine(
        &self,
        blanker: &mut Blanker<'_>,
        edited: &mut [u8],
        runs: &[&Run],
        skipped: usize,
        depth_left: usize,
    ) -> bool {
        let chars: usize = runs.iter().map(|run| run.chars.len()).sum();
        if !blanker.work.take(chars / 4) {
            return false;
        }
        let mut bytes = Vec::with_capacity(chars);
        let mut starts = Vec::with_capacity(runs.len());
        for run in runs {
            starts.push(bytes.len());
            base64::extend(
                &mut bytes,
                &self.values[run.chars.start + skipped..run.chars.end],
            );
            bytes.push(SEPARATOR);
        }
        let is_shown = runs.iter().any(|run| run.begins[skipped]);
        let depth_left = if is_shown || is_text(&bytes) {
            depth_left
        } else {
            0
        };
        let Some(changed) = blanker.examine(&bytes, Near::ALL, depth_left) else {
            return true;
        };
        if blanker.work.left() == 0 {
            return false;
        }
        for (run, start) in runs.iter().zip(starts) {
            let sextets = &mut edited[run.chars.start + skipped..run.chars.end];
            for index in 0..sextets.len() * 6 / 8 {
                if changed[start + index] != bytes[start + index] {
                    base64::set(sextets, index, changed[start + index]);
                }
            }
        }
        true
    }
}

fn is_of_run(byte: u8) -> bool {
    base64::sextet(byte).is_some() || byte == b'\r' || byte == b'\n'
}

/// Tells whether decoding base64 from this character makes sense: the result is mostly text, or may
/// hold another encoding. In random bytes, three of eight are printable.
fn is_text(bytes: &[u8]) -> bool {
    let is_letter = |byte: &&u8| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t');
    let letters = bytes.iter().filter(is_letter).count();
    let is_binary = BINARY
        .iter()
        .any(|start| memchr::memmem::find(bytes, start).is_some());
    let mut starts = 0..bytes.len().min(LONG_CHARS);
    let begins_compressed = starts.any(|at| inflate::begins(&bytes[at..]).is_some());
    letters * 8 > bytes.len() * 5 || is_binary || begins_compressed
}
