//! Undoes encodings, examines what they hold, and writes changes back in the same encoding.
//!
//! In: bytes as they were sent. Out: changes to them. Undoes the usual encodings, wherever they
//! begin, with the functions that the page uses: URL encoding, forms, base64, chunks, folded header
//! values, gzip and zlib, escapes of programming languages and UTF-16. Other encodings that the
//! page undoes are examined when the page undoes them: see `decoded`.

use std::ops::Range;

use forever200_decode::escape::{self, Reader};
use forever200_decode::inflate::{begins, inflate};
use forever200_head::{Head, chunks};
use forever200_identify::http;
use memchr::{memchr, memchr_iter, memchr2_iter, memchr3_iter, memmem};

use super::blank::{Blanker, Draft, MAX_DECODED_BYTES, MAX_DEPTH};
use super::layer::{Layer, SEPARATOR};
use super::near::Near;
use super::sextets;

/// Work of starting a decoder, for its tables and its window. The decoded bytes count as well.
const INFLATE_WORK: usize = 1500;
/// Bytes of a gzip header that can be searched for the header's end with one unit of work.
const SEARCHED_BYTES: usize = 16;
/// UTF-16 is examined if it has at least this many NULs, each two bytes after the one before.
/// Shorter texts are never hidden.
const MIN_UTF16_NULS: usize = 3;

/// Examines a request as it was sent, with its chunks joined, and with folded header values on one
/// line. Returns the blanked bytes; `None` if nothing was blanked.
pub(super) fn request(blanker: &mut Blanker<'_>, raw: &[u8], near: Near<'_>) -> Option<Vec<u8>> {
    let mut draft = Draft::new(raw);
    let mut body = 0;
    if let Some(http) = http::parse(raw) {
        body = raw.len() - http.behind_head.len();
        part(blanker, &mut draft, 0..body, near);
        unfold(blanker, &mut draft, near);
        if http.is_chunked {
            let mut joined = Layer::default();
            for chunk in chunks(http.body) {
                joined.join(raw, chunk.start + body..chunk.end + body);
            }
            joined.note(near);
            // One less than `MAX_DEPTH`, so that a form in chunks is not read as a form.
            joined.examine(blanker, &mut draft, MAX_DEPTH - 1);
        }
        if !http.extra.is_empty() {
            // The page shows the body and the extra bytes together and apart. So both are examined
            // alone as well: digits at their border may belong to either.
            let extra = raw.len() - http.extra.len();
            part(
                blanker,
                &mut draft,
                body..extra,
                Near::to(&[extra.saturating_sub(1)]),
            );
            part(blanker, &mut draft, extra..raw.len(), Near::to(&[extra]));
        }
    }
    part(blanker, &mut draft, body..raw.len(), near);
    draft.into_changed()
}

/// Examines folded header values, each on one line.
fn unfold(blanker: &mut Blanker<'_>, draft: &mut Draft<'_>, near: Near<'_>) {
    let raw = draft.original;
    let fields = Head::parse(raw).map(|head| head.fields());
    for field in fields.into_iter().flatten() {
        if memchr(b'\n', &raw[field.value.clone()]).is_some() {
            let mut layer = Layer::unfolded(raw, field.value);
            layer.note(near);
            layer.examine(blanker, draft, MAX_DEPTH);
        }
    }
}

fn part(blanker: &mut Blanker<'_>, draft: &mut Draft<'_>, part: Range<usize>, near: Near<'_>) {
    let fresh = near.within(part.clone());
    let near = fresh.as_deref().map_or(Near::ALL, Near::to);
    if let Some(changed) = blanker.examine(&draft.original[part.clone()], near, MAX_DEPTH) {
        draft.take(part.start, &changed);
    }
}

/// Undoes each encoding in these bytes and blanks what is hidden in it.
pub(super) fn undo(
    blanker: &mut Blanker<'_>,
    draft: &mut Draft<'_>,
    near: Near<'_>,
    depth_left: usize,
) {
    let bytes = draft.original;
    let has = |byte| memchr(byte, bytes).is_some();
    // The page reads forms only in the bytes as they were sent, and decodes their fields no
    // further.
    let is_form = depth_left + 1 == MAX_DEPTH
        && has(b'+')
        && blanker.texts.is_some_and(|texts| texts.has_space);
    if has(b'%') {
        escaped(blanker, draft, near, depth_left, escape::percent);
    }
    if is_form {
        escaped(blanker, draft, near, 0, escape::form);
    }
    if has(b'\\') || memmem::find(bytes, b"%u").is_some() {
        escaped(blanker, draft, near, depth_left, escape::language);
    }
    utf16(blanker, draft, depth_left);
    sextets::undo(blanker, draft, near, depth_left);
    compressed(blanker, draft, near, depth_left);
}

/// Undoes one sort of escapes, if the bytes have any of it.
fn escaped(
    blanker: &mut Blanker<'_>,
    draft: &mut Draft<'_>,
    near: Near<'_>,
    depth_left: usize,
    read: Reader,
) {
    let bytes = draft.original;
    let mut signs = memchr3_iter(b'%', b'\\', b'+', bytes);
    // When no work is left, the rest counts as found.
    let is_escape = |at: usize| !blanker.work.take(1) || read(&bytes[at..]).is_some();
    if !signs.any(is_escape) {
        return;
    }
    if blanker.work.take(bytes.len()) {
        Layer::escaped(bytes, read, near).examine(blanker, draft, depth_left);
    } else {
        draft.fill(0..bytes.len());
    }
}

/// Undoes UTF-16 in either byte order: every second byte is NUL.
fn utf16(blanker: &mut Blanker<'_>, draft: &mut Draft<'_>, depth_left: usize) {
    let bytes = draft.original;
    let mut layer = Layer::default();
    let mut nuls = memchr_iter(0, bytes).peekable();
    while let Some(first) = nuls.next() {
        let mut last = first;
        while let Some(next) = nuls.next_if_eq(&(last + 2)) {
            last = next;
        }
        if (last - first) / 2 + 1 < MIN_UTF16_NULS {
            continue;
        }
        for offset in [0, 2] {
            for nul in (first..=last).step_by(2) {
                // The byte before the NUL, or the one after it.
                let at = (nul + offset).checked_sub(1).filter(|&at| at < bytes.len());
                if let Some(at) = at {
                    layer.join(bytes, at..at + 1);
                }
            }
            layer.push(SEPARATOR, first..first);
        }
    }
    if blanker.work.take(layer.len()) {
        layer.examine(blanker, draft, depth_left);
    } else {
        draft.fill(0..bytes.len());
    }
}

/// Undoes compressed streams, wherever they begin.
fn compressed(blanker: &mut Blanker<'_>, draft: &mut Draft<'_>, near: Near<'_>, depth_left: usize) {
    let bytes = draft.original;
    let mut behind = 0;
    for at in memchr2_iter(0x78, 0x1f, &bytes[..near.end(bytes)]) {
        let stream = &bytes[at..];
        if at < behind || !stream.starts_with(b"\x1f\x8b\x08") && stream[0] == 0x1f {
            continue;
        }
        let header = if stream[0] == 0x1f {
            stream.len() / SEARCHED_BYTES
        } else {
            1
        };
        if !blanker.work.take(header) {
            return draft.fill(at..bytes.len());
        }
        if begins(stream).is_none() {
            continue;
        }
        let is_begun = blanker.work.take(INFLATE_WORK);
        let most = MAX_DECODED_BYTES.min(blanker.work.left());
        let inflated = if is_begun {
            inflate(stream, most)
        } else {
            None
        };
        let (inner, end) = inflated.map(|it| (it.bytes, it.end)).unwrap_or_default();
        // Bytes beyond the limit were not examined.
        let is_seen = blanker.work.take(inner.len()) && is_begun && inner.len() < most;
        if !is_seen {
            blanker.work.give_up();
        }
        if !is_seen || blanker.examine(&inner, Near::ALL, depth_left).is_some() {
            behind = end.map_or(bytes.len(), |end| at + end);
            draft.fill(at..behind);
        }
    }
}
