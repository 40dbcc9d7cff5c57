//! Tries each decoder on each piece of a request, and on what the decoders return.
//!
//! In: the bytes of a request. Out: [`Part`]s, each once, with the steps that led to them. Where
//! compressed or UTF-16 bytes could be opened completely, the content becomes a part, and the
//! wrapped bytes do not. Stops six steps deep, at 32 parts, and where all parts together or the
//! work for them reach their limits.

use std::borrow::Cow;
use std::ops::Range;

use forever200_head::{BodyLength, Field, Head, extent, joined, unfolded};

use crate::coding::{self, Opened};
use crate::header::{basic, codings};
use crate::kind::ContentKind;
use crate::multipart::Piece;
use crate::part::{Part, Step, Way, offset};
use crate::work::{Limits, Work};
use crate::{entity, hex, literal, multipart, quoted, run, url, utf16};

/// Most wrappings, one inside the other, that are undone.
pub const MAX_DEPTH: usize = 6;
/// Most parts of one request.
pub const MAX_PARTS: usize = 32;
/// Most headers that are looked at: servers refuse more than 100 (Apache) to 2,000 (Node).
const MAX_HEADERS: usize = 512;
/// Longest beginning of a piece of the request (target, header or body) that is decoded.
const MAX_SENT_BYTES: usize = 256 * 1024;
/// Units of work for each byte of text that is searched: every decoder of text reads it once.
const TEXT_WORK: usize = 4;
/// Units of work for starting a decompressor, which sets up tables and a window.
const OPEN_WORK: usize = 2_000;
/// Bytes count as nearly text if at most one in 16 is a control character.
const BYTES_FOR_A_CONTROL: usize = 16;

/// Decodes a whole text; returns `None` where there is nothing to decode.
type Decoder = fn(&[u8]) -> Option<Vec<u8>>;

const QUOTED_DECODED: &str = "quoted-printable decoded";

/// The decoders, in the order tried. The first that finds something decodes the text, and its
/// result is tried again.
const DECODERS: [(&str, Decoder); 4] = [
    (Step::URL_DECODED, url::undo),
    ("HTML entities decoded", entity::undo),
    ("escapes decoded", literal::undo),
    (QUOTED_DECODED, quoted::undo),
];

/// Returns what is wrapped in a request. For other protocols than HTTP, all bytes are one piece.
#[must_use]
pub fn decode(raw: &[u8], is_http: bool, limits: Limits) -> Vec<Part> {
    let mut finder = Finder {
        parts: Vec::new(),
        opened: Vec::new(),
        left: limits.bytes,
        work: Work::new(limits.work),
    };
    let Some(head) = Head::parse(raw).filter(|_| is_http) else {
        finder.sent_piece(&Way::new(Step::new("bytes", b""), 0..raw.len()), raw);
        return finder.parts;
    };
    let extent = extent(raw);
    let target = head.line.target.clone();
    let way = Way::new(Step::new(Step::TARGET, b""), target.clone());
    finder.sent_piece(&way, head.slice(&target));
    for field in head.fields().take(MAX_HEADERS) {
        finder.header(&head, &field);
    }
    finder.body(&head, raw, extent.body);
    let way = Way::new(Step::new("after the request", b""), extent.extra.clone());
    finder.sent_piece(&way, &raw[extent.extra]);
    finder.parts
}

struct Finder {
    parts: Vec<Part>,
    /// Bytes that are no part because they could be opened completely.
    opened: Vec<Vec<u8>>,
    /// Bytes of parts that the limit still allows.
    left: usize,
    work: Work,
}

impl Finder {
    fn header(&mut self, head: &Head<'_>, field: &Field) {
        let name = head.slice(&field.name);
        let mut way = Way::new(Step::new("", name), field.value.clone());
        let value = unfolded(head.slice(&field.value));
        way.is_as_sent = matches!(value, Cow::Borrowed(_));
        let has_login = name.eq_ignore_ascii_case(b"authorization")
            || name.eq_ignore_ascii_case(b"proxy-authorization");
        if has_login
            && let Some(run) = basic(&value)
            && let Some(login) = run::credentials(&value[run.clone()])
        {
            let step = Step::of_run(Step::BASE64, &value[run.clone()]);
            return self.keep(way.to(run, step), login, MAX_DEPTH - 1);
        }
        self.sent_piece(&way, &value);
    }

    /// Joins the chunks of the body, and undoes the codings that the head names, the last one
    /// first.
    fn body(&mut self, head: &Head<'_>, raw: &[u8], range: Range<usize>) {
        let sent = &raw[range.clone()];
        let mut behind = range.end..range.end;
        let mut way = Way::new(Step::new(Step::BODY, b""), range);
        way.is_body = true;
        let mut bytes = Cow::Borrowed(sent);
        if BodyLength::of(head) == BodyLength::Chunked
            && let Some(joined) = joined(sent)
        {
            way = way.inside("chunks joined");
            bytes = Cow::Owned(joined.data);
            behind.start -= joined.behind.len();
        }
        // Wrapped bytes that their content does not replace. They are searched as text as well.
        let mut not_replaced = Vec::new();
        for name in codings(head) {
            let Some(opened) = self.open(&bytes, Some(&name)) else {
                break;
            };
            let inner = way.inside(opened.how);
            let outer = std::mem::replace(&mut bytes, Cow::Owned(opened.bytes));
            if !opened.is_all {
                not_replaced.push((way, outer));
            }
            way = inner;
        }
        match bytes {
            Cow::Borrowed(sent) => self.sent_piece(&way, sent),
            Cow::Owned(bytes) => self.keep(way, bytes, MAX_DEPTH),
        }
        for (way, outer) in not_replaced {
            self.text(&way, &outer[..outer.len().min(MAX_SENT_BYTES)], MAX_DEPTH);
        }
        let way = Way::new(Step::new("behind the chunks", b""), behind.clone());
        self.sent_piece(&way, &raw[behind]);
    }

    /// Decodes a piece of the request as it was sent.
    fn sent_piece(&mut self, way: &Way, bytes: &[u8]) {
        self.look(way, &bytes[..bytes.len().min(MAX_SENT_BYTES)], MAX_DEPTH);
    }

    /// Decodes bytes that do not become a part themselves. Opens them if they are compressed or
    /// UTF-16, and searches them as text unless that opened all of them.
    fn look(&mut self, way: &Way, bytes: &[u8], steps_left: usize) {
        let mut is_opened = false;
        if steps_left > 0
            && let Some(opened) = self.open(bytes, None)
        {
            is_opened = opened.is_all;
            self.keep(way.inside(opened.how), opened.bytes, steps_left - 1);
        }
        if !is_opened {
            self.text(way, bytes, steps_left);
        }
    }

    /// Keeps bytes, or their content if they could be opened, as a part, and decodes that part.
    fn keep(&mut self, mut way: Way, mut bytes: Vec<u8>, steps_left: usize) {
        bytes.truncate(self.left);
        if bytes.is_empty() || !self.is_wanted(&bytes) {
            return;
        }
        self.left -= bytes.len();
        if steps_left > 0
            && let Some(opened) = self.open(&bytes, None)
        {
            let inner = way.inside(opened.how);
            if opened.is_all {
                self.opened.push(bytes);
                return self.keep(inner, opened.bytes, steps_left - 1);
            }
            // Not all bytes belonged to the stream: the rest may hide something too.
            self.keep(inner, opened.bytes, steps_left - 1);
            if !self.is_wanted(&bytes) {
                return;
            }
            way.is_body = false;
        }
        self.parts.push(Part {
            steps: way.steps.clone(),
            bytes: bytes.clone(),
            place: way.place.clone(),
            is_body: way.is_body,
        });
        self.text(&way, &bytes, steps_left);
    }

    /// Tells whether there is room for one more part, and these bytes are not among the parts yet.
    fn is_wanted(&self, bytes: &[u8]) -> bool {
        let has_room = self.parts.len() + self.opened.len() < MAX_PARTS;
        let is_part = self.parts.iter().any(|part| part.bytes == bytes);
        has_room && !is_part && !self.opened.iter().any(|opened| opened == bytes)
    }

    /// Returns the content of bytes that are compressed or UTF-16. `name` is their coding, if a
    /// header names it.
    fn open(&mut self, bytes: &[u8], name: Option<&[u8]>) -> Option<Opened> {
        if self.left == 0 || !self.work.take(bytes.len() / TEXT_WORK) {
            return None;
        }
        // Bytes that are nearly all text may be read as text too, so their content does not replace
        // them.
        let is_all = !is_nearly_text(bytes);
        if let Some(bytes) = utf16::undo(bytes) {
            let how = "UTF-16 read";
            return Some(Opened { how, bytes, is_all });
        }
        let may_be_coded = name.is_some() || coding::may_begin(bytes);
        if !may_be_coded || !self.work.take(OPEN_WORK) {
            return None;
        }
        let opened = match name {
            Some(name) => coding::by_name(name, bytes, self.left),
            None => coding::by_magic(bytes, self.left),
        };
        opened.filter(|opened| self.work.take(opened.bytes.len()))
    }

    /// Searches a text for an encoding of the whole text and, if there is none, for encoded runs.
    fn text(&mut self, way: &Way, bytes: &[u8], steps_left: usize) {
        if steps_left == 0 || bytes.is_empty() || !self.work.take(TEXT_WORK * bytes.len()) {
            return;
        }
        if ContentKind::is_multipart(bytes) {
            return self.fields(way, bytes, steps_left);
        }
        if is_nearly_text(bytes) {
            for (name, decoder) in DECODERS {
                if let Some(plain) = decoder(bytes) {
                    let way = way.to(0..bytes.len(), Step::new(name, b""));
                    return self.keep(way, plain, steps_left - 1);
                }
            }
        }
        for (run, text) in hex::runs(bytes).take(MAX_PARTS) {
            let step = Step::of_run("hex", &bytes[run.clone()]);
            self.keep(way.to(run, step), text, steps_left - 1);
        }
        let mut found = Vec::new();
        run::runs(bytes, &mut self.work, |place, run, inner| {
            if found.len() < MAX_PARTS {
                found.push((place, Step::of_run(Step::BASE64, run), inner));
            }
        });
        for (place, step, inner) in found {
            self.keep(way.to(place, step), inner, steps_left - 1);
        }
    }

    /// Decodes the parts of a multipart body, which are shown in a table of their own. Also decodes
    /// the bytes outside of the parts, because a program may read the body as something else.
    fn fields(&mut self, way: &Way, bytes: &[u8], steps_left: usize) {
        for piece in multipart::pieces(bytes) {
            match piece {
                Piece::Part(field) => self.field(way, bytes, &field, steps_left),
                Piece::Other(other) => {
                    let inner = part_of(way, bytes, other, Step::new("outside of the parts", b""));
                    self.text(&inner, other, steps_left - 1);
                }
            }
        }
    }

    fn field(&mut self, way: &Way, bytes: &[u8], field: &multipart::Field<'_>, steps_left: usize) {
        let name = field.file_name.unwrap_or(field.name);
        let inner = part_of(way, bytes, field.value, Step::new("part", name));
        let is_quoted = field.encoding.eq_ignore_ascii_case(b"quoted-printable");
        if is_quoted && let Some(plain) = quoted::plain(field.value) {
            self.keep(inner.inside(QUOTED_DECODED), plain, steps_left - 1);
        } else {
            self.look(&inner, field.value, steps_left - 1);
        }
        let head = part_of(way, bytes, field.head, Step::new("head of part", name));
        self.text(&head, field.head, steps_left - 1);
    }
}

/// Returns the way to a slice of some bytes. The slice is as it was sent if these bytes are.
fn part_of(way: &Way, bytes: &[u8], part: &[u8], step: Step) -> Way {
    let start = offset(bytes, part);
    let mut inner = way.to(start..start + part.len(), step);
    inner.is_as_sent = way.is_as_sent;
    inner
}

/// Tells whether nearly all bytes are text. In noise, `%41` may stand by chance.
fn is_nearly_text(bytes: &[u8]) -> bool {
    let is_control = |byte: &&u8| matches!(byte, 0..=8 | 11 | 12 | 14..=31 | 127);
    bytes.iter().filter(is_control).count() * BYTES_FOR_A_CONTROL <= bytes.len()
}

#[cfg(test)]
mod tests;
