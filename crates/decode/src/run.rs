//! Finds and decodes runs of base64 in text.
//!
//! In: bytes. Out: the runs, and their decoded bytes. A stretch has only characters of base64, as
//! most words, paths and keys have. A run is a stretch, or a part of one, that decodes to text,
//! UTF-16, or a known file format. The `/` or `=` before a run may belong to a path or query. A
//! stretch may have several lines, broken as in MIME, with line ends as they are or as JSON writes
//! them. A segment is the part of a line up to and including its `=`.

use std::borrow::Cow;
use std::ops::Range;

use memchr::{memchr, memchr2};

use crate::kind::is_text;
use crate::work::Work;
use crate::{base64, utf16};

/// Fewer characters are taken for a word, not for base64.
const MIN_CHARS: usize = 12;
/// A run of text with fewer characters than this must look like base64, and its decoded bytes like
/// words.
const SHORT_CHARS: usize = 24;
/// Length of the beginning that is decoded first: it rules out most stretches.
const BEGINNING_CHARS: usize = 32;
/// Most places in a segment at which base64 may begin.
const MAX_STARTS: usize = 24;
/// A stretch goes on in the next line only if this line has at least this many characters.
const MIN_LINE_CHARS: usize = 16;

/// First bytes of the known file formats: gzip, Zstandard, Java's objects and classes, .NET's
/// objects, programs of Linux and Windows, archives, PDF.
const MAGIC: [&[u8]; 9] = [
    b"\x1f\x8b\x08",
    b"\x28\xb5\x2f\xfd",
    b"\xac\xed\0\x05",
    b"\xca\xfe\xba\xbe\0",
    b"\0\x01\0\0\0\xff\xff\xff\xff",
    b"\x7fELF",
    b"MZ\x90\0",
    b"PK\x03\x04",
    b"%PDF-",
];

/// Calls `put` with the place of each run, its characters, and its decoded bytes.
pub(crate) fn runs(
    bytes: &[u8],
    work: &mut Work,
    mut put: impl FnMut(Range<usize>, &[u8], Vec<u8>),
) {
    let mut at = 0;
    while let Some(start) = bytes[at..].iter().position(is_char).map(|start| at + start) {
        // Most stretches are words, which are shorter than any run.
        if let Some(length) = short_word(&bytes[start..]) {
            at = start + length;
            let _ = work.take(length);
            continue;
        }
        let lines = lines(bytes, start);
        let end = lines.last().map_or(bytes.len(), |line| line.place.end);
        at = end.max(start + 1);
        let is_affordable = work.take(at - start);
        if is_affordable && let [first, .., last] = &*lines {
            let joined = joined(&lines);
            if let Some(inner) = content(&joined) {
                put(first.place.start..last.place.end, &joined, inner);
                continue;
            }
        }
        for line in &lines {
            in_line(line, work, &mut put);
        }
    }
}

/// Decodes the characters behind `Basic`, however few they are: RFC 7617.
pub(crate) fn credentials(chars: &[u8]) -> Option<Vec<u8>> {
    base64::decode(chars).filter(|bytes| !bytes.is_empty() && is_text(bytes))
}

fn is_char(byte: &u8) -> bool {
    base64::sextet(*byte).is_some()
}

fn is_of_stretch(byte: &u8) -> bool {
    is_char(byte) || *byte == b'='
}

/// One line of a stretch: its place, and its characters.
struct Line<'a> {
    place: Range<usize>,
    chars: Cow<'a, [u8]>,
}

/// Returns the characters of all lines, joined.
fn joined(lines: &[Line<'_>]) -> Vec<u8> {
    let mut chars = Vec::new();
    for line in lines {
        chars.extend_from_slice(&line.chars);
    }
    chars
}

/// Returns the length of the word at the beginning if the word is shorter than any run.
fn short_word(bytes: &[u8]) -> Option<usize> {
    let length = length_of(bytes, is_of_stretch);
    let goes_on = bytes[length..].starts_with(b"\\/");
    (length < MIN_CHARS && !goes_on).then_some(length)
}

/// Returns the lines of the stretch that begins at `start`.
fn lines(bytes: &[u8], start: usize) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut start = start;
    loop {
        let line = line(bytes, start);
        let end = line.place.end;
        let is_long = line.chars.len() >= MIN_LINE_CHARS;
        lines.push(line);
        let next = end + line_end(&bytes[end..]);
        if !is_long || next == end || !bytes.get(next).is_some_and(is_char) {
            return lines;
        }
        start = next;
    }
}

/// Reads the line that begins at `start`. JSON may have `\/` for a slash.
fn line(bytes: &[u8], start: usize) -> Line<'_> {
    let mut chars = Cow::Borrowed(&bytes[..0]);
    let mut at = start;
    let mut from = start;
    loop {
        at += length_of(&bytes[at..], is_of_stretch);
        let is_slash = bytes[at..].starts_with(b"\\/");
        match &mut chars {
            Cow::Borrowed(_) if !is_slash => chars = Cow::Borrowed(&bytes[from..at]),
            chars => chars.to_mut().extend_from_slice(&bytes[from..at]),
        }
        if !is_slash {
            let place = start..at;
            return Line { place, chars };
        }
        from = at + 1;
        at += 2;
    }
}

/// Returns the length of the line end at the beginning, as it is or as JSON writes it; 0 where
/// there is none.
fn line_end(bytes: &[u8]) -> usize {
    let ends: [&[u8]; 4] = [b"\r\n", b"\n", b"\\r\\n", b"\\n"];
    for end in ends {
        if bytes.starts_with(end) {
            return end.len();
        }
    }
    0
}

/// Returns how many bytes at the beginning pass a test.
fn length_of(bytes: &[u8], is_part: impl Fn(&u8) -> bool) -> usize {
    let end = bytes.iter().position(|byte| !is_part(byte));
    end.unwrap_or(bytes.len())
}

/// Calls `put` for each run in one line. An `=` ends a run.
fn in_line(line: &Line<'_>, work: &mut Work, put: &mut impl FnMut(Range<usize>, &[u8], Vec<u8>)) {
    let chars = &*line.chars;
    let is_as_sent = chars.len() == line.place.len();
    let mut start = 0;
    while start < chars.len() {
        let padding = start + length_of(&chars[start..], |byte| *byte != b'=');
        let end = padding + length_of(&chars[padding..], |byte| *byte == b'=');
        let segment = &chars[start..end];
        for Run { place, inner } in in_segment(segment, work) {
            let within = line.place.start + start;
            let in_bytes = if is_as_sent {
                within + place.start..within + place.end
            } else {
                line.place.clone()
            };
            put(in_bytes, &segment[place], inner);
        }
        start = end;
    }
}

/// A run within a segment: its place, and its decoded bytes.
struct Run {
    place: Range<usize>,
    inner: Vec<u8>,
}

/// Returns the runs of a segment. Base64 may begin at its start and behind each `/` or `+`, and may
/// end at its end or at the next `/`.
fn in_segment(chars: &[u8], work: &mut Work) -> Vec<Run> {
    let mut found = Vec::new();
    let mut start = 0;
    for _ in 0..MAX_STARTS {
        if chars.len() < start + MIN_CHARS || !work.take(2 * BEGINNING_CHARS) {
            break;
        }
        let rest = &chars[start..];
        let next = memchr2(b'/', b'+', rest);
        if begins(rest)
            && work.take(rest.len())
            && let Some(inner) = content(rest)
        {
            let place = start..chars.len();
            found.push(Run { place, inner });
            break;
        }
        let Some(next) = next else { break };
        let slash = memchr(b'/', rest).unwrap_or(rest.len());
        if slash >= MIN_CHARS
            && work.take(slash)
            && let Some(inner) = content(&rest[..slash])
        {
            let place = start..start + slash;
            found.push(Run { place, inner });
            start += slash + 1;
        } else {
            start += next + 1;
        }
    }
    found
}

/// Tells by their beginning whether characters may be base64.
fn begins(chars: &[u8]) -> bool {
    let beginning = &chars[..chars.len().min(BEGINNING_CHARS)];
    base64::decode(beginning).is_some_and(|bytes| is_known(&bytes) || is_text(&bytes))
}

/// Decodes base64; `None` where the result is no text, UTF-16 or known file format.
fn content(chars: &[u8]) -> Option<Vec<u8>> {
    if chars.len() < MIN_CHARS || !begins(chars) {
        return None;
    }
    let bytes = base64::decode(chars)?;
    let is_long = chars.len() >= SHORT_CHARS;
    let is_one = is_known(&bytes) || is_text(&bytes) && (is_long || is_likely(chars, &bytes));
    is_one.then_some(bytes)
}

fn is_known(bytes: &[u8]) -> bool {
    MAGIC.iter().any(|magic| bytes.starts_with(magic)) || utf16::begins(bytes)
}

/// Tells whether few characters are likely to be base64. An ordinary word mistaken for base64 has
/// letters of one case, and decodes to punctuation.
fn is_likely(chars: &[u8], bytes: &[u8]) -> bool {
    let has_digit = chars.iter().any(u8::is_ascii_digit);
    let least = if has_digit { 1 } else { 3 };
    let upper = count(chars, u8::is_ascii_uppercase);
    let lower = count(chars, u8::is_ascii_lowercase);
    let wordy = count(bytes, is_wordy);
    upper >= least && lower >= least && bytes.is_ascii() && wordy * 10 >= bytes.len() * 7
}

fn count(bytes: &[u8], is_one: impl Fn(&u8) -> bool) -> usize {
    bytes.iter().filter(|byte| is_one(byte)).count()
}

fn is_wordy(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b" -_./:@\n\r\t".contains(byte)
}
