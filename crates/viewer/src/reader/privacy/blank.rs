//! Blanks texts in bytes, and in what the bytes hide by an encoding.
//!
//! In: bytes, and what to blank. Out: as many bytes, in which each text is blanked in its own encoding: `%2e` becomes
//! `%78`, which is an `x`; base64 becomes base64 of other bytes. Undoes URL encoding and the like, base64, chunks,
//! gzip and zlib, one inside the other, four deep. What is compressed cannot be changed in part and keep its length:
//! it is blanked to the end. So is what takes too long to be looked through.

use forever200_head::chunks;
use forever200_identify::http;
use memchr::memchr2;

use super::texts::{FILLER, Texts};
use crate::bytes::decode::{MAX_DECODED_BYTES, decompressed};

/// Encodings undone one inside the other.
const MAX_DEPTH: usize = 4;
/// Most bytes that one request is decoded to, all encodings together: this, and so many times its length. Base64
/// with escapes in it takes seven times its length.
const DECODED_BYTES: usize = 1024 * 1024;
const DECODED_TIMES: usize = 16;
/// What a try to decompress counts for, beside what comes out: it takes a decoder.
const INFLATION_BYTES: usize = 16 * 1024;
/// Shorter runs of base64 hold no text that is long enough to be hidden.
const MIN_BASE64_CHARS: usize = 6;
/// Characters that stand for three bytes.
const BASE64_GROUP_CHARS: usize = 4;

/// Blanks texts in one request.
pub(super) struct Blanker<'a> {
    texts: Vec<&'a Texts>,
    /// Bytes that may still be decoded.
    left: usize,
}

impl<'a> Blanker<'a> {
    pub(super) fn new(texts: Vec<&'a Texts>) -> Self {
        Self { texts, left: 0 }
    }

    /// Blanks the texts in a request.
    pub(super) fn blank(&mut self, raw: &mut [u8]) {
        self.left = DECODED_BYTES + DECODED_TIMES * raw.len();
        let (body, joined) = match http::parse(raw) {
            Some(http) if http.is_chunked => (
                raw.len() - http.behind_head.len(),
                chunks(http.behind_head).collect(),
            ),
            Some(http) => (raw.len() - http.behind_head.len(), Vec::new()),
            None => (0, Vec::new()),
        };
        let (head, body) = raw.split_at_mut(body);
        self.part(head, MAX_DEPTH);
        // Chunks first: one alone may hold half a text.
        let places: Vec<Place> = joined.into_iter().flatten().map(Place::of_byte).collect();
        self.through(body, &places, MAX_DEPTH);
        self.part(body, MAX_DEPTH);
    }

    /// Blanks the texts in `bytes`, as they are and encoded; tells whether there were any.
    fn part(&mut self, bytes: &mut [u8], depth: usize) -> bool {
        // No `||`: all is looked for.
        let mut found = self
            .texts
            .iter()
            .fold(false, |found, texts| texts.blank(bytes) | found);
        if depth > 0 {
            found |= self.escaped(bytes, depth)
                | self.base64(bytes, depth)
                | self.compressed(bytes, depth);
        }
        found
    }

    /// Returns decoded bytes with the texts in them blanked; `None` where there are none.
    fn inner(&mut self, decoded: &[u8], depth: usize) -> Option<Vec<u8>> {
        let Some(left) = self.left.checked_sub(decoded.len()) else {
            return Some(vec![FILLER; decoded.len()]);
        };
        self.left = left;
        let mut blanked = decoded.to_vec();
        self.part(&mut blanked, depth - 1).then_some(blanked)
    }

    /// URL encoding, and the escapes of programming languages.
    fn escaped(&mut self, bytes: &mut [u8], depth: usize) -> bool {
        if memchr2(b'%', b'\\', bytes).is_none() {
            return false;
        }
        let mut places = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let place = Place::read(bytes, at);
            at = place.end;
            places.push(place);
        }
        // Without a single escape, this would be the same again.
        places.len() < bytes.len() && self.through(bytes, &places, depth)
    }

    /// Looks at these places as if they were all.
    fn through(&mut self, bytes: &mut [u8], places: &[Place], depth: usize) -> bool {
        let decoded: Vec<u8> = places.iter().map(|place| place.decoded(bytes)).collect();
        let Some(blanked) = self.inner(&decoded, depth) else {
            return false;
        };
        let changed = places.iter().zip(decoded.into_iter().zip(blanked));
        changed
            .filter(|(_, (before, after))| before != after)
            .for_each(|(place, (_, after))| place.write(bytes, after));
        true
    }

    /// Every run of base64 from each of its first characters: what is before it may look like base64 as well, as
    /// the `/` of a path does.
    fn base64(&mut self, bytes: &mut [u8], depth: usize) -> bool {
        let mut found = false;
        for run in base64_runs(bytes) {
            for skipped in 0..BASE64_GROUP_CHARS {
                found |= self.base64_at(bytes, &run[skipped..], depth);
            }
        }
        found
    }

    fn base64_at(&mut self, bytes: &mut [u8], places: &[usize], depth: usize) -> bool {
        let mut sextets: Vec<u8> = places.iter().filter_map(|&at| sextet(bytes[at])).collect();
        let decoded: Vec<u8> = (0..sextets.len() * 6 / 8)
            .map(|index| byte_of(&sextets, index))
            .collect();
        let Some(blanked) = self.inner(&decoded, depth) else {
            return false;
        };
        for (index, byte) in blanked.into_iter().enumerate() {
            set_byte(&mut sextets, index, byte);
        }
        let is_url_safe = places.iter().any(|&at| b"-_".contains(&bytes[at]));
        for (&at, sextet) in places.iter().zip(sextets) {
            bytes[at] = base64_char(sextet, is_url_safe);
        }
        true
    }

    fn compressed(&mut self, bytes: &mut [u8], depth: usize) -> bool {
        for at in 0..bytes.len() {
            match bytes[at..] {
                [0x1f, 0x8b, 8, ..] | [0x78, 0x01 | 0x9c | 0xda, ..] => {}
                // `x^`: text, where it is not the beginning of all.
                [0x78, 0x5e, ..] if at == 0 => {}
                _ => continue,
            }
            self.left = self.left.saturating_sub(INFLATION_BYTES);
            let inner = if self.left > 0 {
                decompressed(&bytes[at..], MAX_DECODED_BYTES)
            } else {
                None
            };
            let inner = inner.map(|(_, inner)| inner).unwrap_or_default();
            // Of what grows beyond the limit, nobody has seen the rest.
            let is_unseen = self.left == 0 || inner.len() >= MAX_DECODED_BYTES;
            if is_unseen || self.inner(&inner, depth).is_some() {
                bytes[at..].fill(FILLER);
                return true;
            }
        }
        false
    }
}

/// Where a byte is written, as itself or by an escape.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    end: usize,
}

impl Place {
    fn of_byte(at: usize) -> Self {
        Self {
            start: at,
            end: at + 1,
        }
    }

    /// Reads what begins here: `%2e`, `%252e` and so on, `%u002e`, `\u002e`, `\x2e`, or a byte. All of these escapes
    /// end in two hexadecimal digits.
    fn read(bytes: &[u8], at: usize) -> Self {
        let rest = &bytes[at..];
        let before = match rest {
            [b'%' | b'\\', b'u' | b'U', b'0', b'0', ..] => 4,
            [b'\\', b'x' | b'X', ..] => 2,
            // `%25` is a percent sign: what it makes with the next two digits counts.
            [b'%', rest @ ..] => {
                let is_sign =
                    |&at: &usize| rest[at..].starts_with(b"25") && hex_byte(rest, at + 2).is_some();
                1 + (0..rest.len()).step_by(2).take_while(is_sign).count() * 2
            }
            _ => return Self::of_byte(at),
        };
        if hex_byte(rest, before).is_some() {
            Self {
                start: at,
                end: at + before + 2,
            }
        } else {
            Self::of_byte(at)
        }
    }

    fn decoded(self, bytes: &[u8]) -> u8 {
        let is_escape = self.end - self.start > 1;
        hex_byte(bytes, self.end.saturating_sub(2))
            .filter(|_| is_escape)
            .unwrap_or(bytes[self.start])
    }

    fn write(self, bytes: &mut [u8], byte: u8) {
        if self.end - self.start > 1 {
            bytes[self.end - 2..self.end].copy_from_slice(format!("{byte:02x}").as_bytes());
        } else {
            bytes[self.start] = byte;
        }
    }
}

fn hex_byte(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    Some((digit(at)? * 16 + digit(at + 1)?) as u8)
}

/// Returns the places of characters that base64 is made of, run by run. Lines may be broken: RFC 2045, 6.8.
fn base64_runs(bytes: &[u8]) -> Vec<Vec<usize>> {
    let (mut runs, mut run) = (Vec::new(), Vec::new());
    for (at, &byte) in bytes.iter().enumerate() {
        if sextet(byte).is_some() {
            run.push(at);
        } else if !b"\r\n".contains(&byte) {
            runs.push(std::mem::take(&mut run));
        }
    }
    runs.push(run);
    runs.retain(|run| run.len() >= MIN_BASE64_CHARS);
    runs
}

/// RFC 4648, 4 and 5.
fn sextet(char: u8) -> Option<u8> {
    match char {
        b'A'..=b'Z' => Some(char - b'A'),
        b'a'..=b'z' => Some(char - b'a' + 26),
        b'0'..=b'9' => Some(char - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

fn base64_char(sextet: u8, is_url_safe: bool) -> u8 {
    match sextet & 63 {
        sextet @ 0..26 => b'A' + sextet,
        sextet @ 26..52 => b'a' + sextet - 26,
        sextet @ 52..62 => b'0' + sextet - 52,
        62 if is_url_safe => b'-',
        62 => b'+',
        _ if is_url_safe => b'_',
        _ => b'/',
    }
}

/// The first of two characters has the upper 6, 4 or 2 bits of a byte, the other one the rest.
fn byte_of(sextets: &[u8], index: usize) -> u8 {
    let (first, shift) = (index * 8 / 6, 2 + index % 3 * 2);
    (u16::from(sextets[first]) << shift | u16::from(sextets[first + 1]) >> (6 - shift)) as u8
}

fn set_byte(sextets: &mut [u8], index: usize, byte: u8) {
    let (first, shift) = (index * 8 / 6, 2 + index % 3 * 2);
    sextets[first] = sextets[first] >> (8 - shift) << (8 - shift) | byte >> shift;
    sextets[first + 1] = sextets[first + 1] & (63 >> shift) | (byte << (6 - shift)) & 63;
}
