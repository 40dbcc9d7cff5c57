//! Bytes made visible: the one place where what attackers wrote becomes text.
//!
//! In: any bytes. Out: text in which nothing is invisible, moves the cursor, or turns the direction
//! of writing. In bytes that are no text, nothing beyond ASCII is a letter. What cannot be shown as
//! itself is shown as an escape (`\r`, `\x1b`, `\u{202e}`). Escaping for HTML is the template's.

use std::ops::{Range, RangeInclusive};

use serde::Serialize;

use crate::bytes::runs::{self, Part};
use crate::bytes::text::is_text;

/// Characters that show nothing, or join the letter before, although Unicode has them among letters
/// and symbols: parts of Korean syllables and what stands for one that is missing, and the empty
/// pattern of Braille.
const LIKE_NOTHING: [RangeInclusive<char>; 5] = [
    '\u{115f}'..='\u{11ff}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{d7b0}'..='\u{d7fb}',
    '\u{ffa0}'..='\u{ffa0}',
];

/// A run of text, or of escapes that stand for bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// What to show.
    pub text: String,
    /// The text is escapes: the page sets it apart from the same characters sent as themselves.
    pub escaped: bool,
    /// The text is the escapes of a line end that follows as itself: whoever copies it wants one of
    /// them.
    pub ends_line: bool,
    /// The text is evidence: the page marks it.
    pub marked: bool,
}

/// Whose the line feeds are in what is shown: they end the line in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFeeds {
    /// The sender's: shown as `\n`, or as `\r\n` with what comes before.
    Sent,
    /// The sender's, to be copied: not shown, nor is the `\r` before one.
    Copied,
    /// Ours: not shown.
    Ours,
}

/// How bytes become text.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Whose the line feeds are.
    pub line_feeds: LineFeeds,
    /// They are text: letters beyond ASCII are shown as themselves. In other bytes they are there
    /// by chance.
    pub is_text: bool,
    /// In what is no text, a long run of one byte is shown as the byte and its number.
    pub folds: bool,
}

impl Style {
    /// For these bytes as [`is_text`] judges them, every one of them shown.
    #[must_use]
    pub fn of(bytes: &[u8], line_feeds: LineFeeds) -> Self {
        Self {
            line_feeds,
            is_text: is_text(bytes),
            folds: false,
        }
    }
}

/// Returns bytes as pieces of text, made one at a time: together they take twenty times as much as
/// the bytes.
pub fn pieces(bytes: &[u8], line_feeds: LineFeeds) -> impl Iterator<Item = Piece> {
    styled(bytes, Style::of(bytes, line_feeds))
}

/// Returns bytes as pieces of text, with the bytes in these ranges, which are in order and apart,
/// marked.
pub fn marked<'a>(
    bytes: &'a [u8],
    ranges: &'a [Range<usize>],
    style: Style,
) -> impl Iterator<Item = Piece> + use<'a> {
    let end = |at: usize| at.min(bytes.len());
    let starts = std::iter::once(0).chain(ranges.iter().map(move |range| end(range.end)));
    let ends = ranges
        .iter()
        .map(move |range| end(range.start))
        .chain([bytes.len()]);
    let plain = starts.zip(ends).map(|(start, end)| (start..end, false));
    let marked = ranges
        .iter()
        .map(move |range| (end(range.start)..end(range.end), true));
    // Plain and marked bytes take turns.
    let marked = marked.map(Some).chain(std::iter::repeat(None));
    let parts = plain
        .zip(marked)
        .flat_map(|(plain, marked)| std::iter::once(plain).chain(marked));
    parts.flat_map(move |(part, marked)| {
        styled(&bytes[part], style).map(move |piece| Piece { marked, ..piece })
    })
}

fn styled(bytes: &[u8], style: Style) -> impl Iterator<Item = Piece> {
    let folds = style.folds && !style.is_text;
    let runs = folds.then(|| runs::parts(bytes)).into_iter().flatten();
    let all = Part {
        range: 0..bytes.len(),
        byte: None,
    };
    let parts = runs.chain((!folds).then_some(all));
    parts.flat_map(move |part| {
        let run = part.byte.map(|byte| run(byte, part.range.len()));
        let others = if run.is_some() { 0..0 } else { part.range };
        run.into_iter().chain(joined(shown(&bytes[others], style)))
    })
}

/// A long run of one byte, as `\x00 ×204`, with a space on either side: the number is not that of
/// what stands there.
fn run(byte: u8, length: usize) -> Piece {
    let byte = if byte.is_ascii_graphic() {
        char::from(byte).to_string()
    } else {
        of_byte(byte)
    };
    Piece {
        text: format!(" {byte} ×{length} "),
        escaped: true,
        ..Piece::default()
    }
}

fn joined(shown: impl Iterator<Item = Shown>) -> impl Iterator<Item = Piece> {
    let mut shown = shown.peekable();
    std::iter::from_fn(move || {
        let kind = shown.peek()?.kind();
        let mut piece = Piece {
            escaped: kind != Kind::Itself,
            ends_line: kind == Kind::LineEnd,
            ..Piece::default()
        };
        while let Some(next) = shown.next_if(|next| next.kind() == kind) {
            match next {
                Shown::Itself(char) => piece.text.push(char),
                Shown::Escaped(escape) => piece.text.push_str(&escape),
                Shown::LineEnd(escape) => piece.text.push_str(escape),
            }
        }
        Some(piece)
    })
}

/// A character as it is shown.
enum Shown {
    Itself(char),
    Escaped(String),
    /// A part of a line end, which follows as itself.
    LineEnd(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Itself,
    Escaped,
    LineEnd,
}

impl Shown {
    fn kind(&self) -> Kind {
        match self {
            Self::Itself(_) => Kind::Itself,
            Self::Escaped(_) => Kind::Escaped,
            Self::LineEnd(_) => Kind::LineEnd,
        }
    }
}

fn shown(bytes: &[u8], style: Style) -> impl Iterator<Item = Shown> {
    bytes.utf8_chunks().flat_map(move |chunk| {
        let text = chunk.valid();
        let valid = text.char_indices().flat_map(move |(at, char)| {
            let ends_line = char == '\r' && text.as_bytes().get(at + 1) == Some(&b'\n');
            of_char(char, ends_line, style)
        });
        let invalid = chunk.invalid().iter();
        valid.chain(invalid.map(|&byte| Shown::Escaped(of_byte(byte))))
    })
}

/// `ends_line`: it is a carriage return before a line feed.
fn of_char(char: char, ends_line: bool, style: Style) -> impl Iterator<Item = Shown> {
    let mark = match (char, style.line_feeds) {
        ('\n', LineFeeds::Sent) => Some(Shown::LineEnd("\\n")),
        ('\r', LineFeeds::Sent) if ends_line => Some(Shown::LineEnd("\\r")),
        ('\n', _) => None,
        ('\r', LineFeeds::Copied) if ends_line => None,
        (' '..='~', _) => Some(Shown::Itself(char)),
        ('\u{80}'.., _) if !style.is_text => Some(Shown::Escaped(of_bytes(char))),
        _ => Some(escape(char).map_or(Shown::Itself(char), Shown::Escaped)),
    };
    let itself = (char == '\n').then_some(Shown::Itself(char));
    mark.into_iter().chain(itself)
}

fn of_bytes(char: char) -> String {
    char.encode_utf8(&mut [0; 4]).bytes().map(of_byte).collect()
}

fn of_byte(byte: u8) -> String {
    format!("\\x{byte:02x}")
}

/// Returns bytes as one line of at most `max_chars` characters; `…` stands for the rest.
#[must_use]
pub fn line(bytes: &[u8], max_chars: usize) -> String {
    // No character takes more than four bytes.
    let looked_at = bytes.len().min(max_chars.saturating_mul(4));
    let shown = pieces(&bytes[..looked_at], LineFeeds::Sent);
    let text: String = shown.map(|piece| piece.text).collect();
    let mut chars = text.chars().filter(|&char| char != '\n');
    let mut line: String = chars.by_ref().take(max_chars).collect();
    if looked_at < bytes.len() || chars.next().is_some() {
        line.pop();
        line.push('…');
    }
    line
}

/// Tells whether a character is shown as itself.
#[must_use]
pub fn is_visible(char: char) -> bool {
    escape(char).is_none()
}

/// Returns how to show a character that cannot be shown as itself.
///
/// Beyond ASCII, Unicode as the standard library knows it decides: control and format characters
/// (bidi, zero-width), spaces other than U+0020, what is unassigned, private, or attaches to the
/// character before.
fn escape(char: char) -> Option<String> {
    match char {
        ' '..='~' => None,
        '\n' | '\r' | '\t' => Some(char.escape_default().to_string()),
        '\0'..='\x7f' => Some(format!("\\x{:02x}", u32::from(char))),
        _ => {
            let escaped = char.escape_debug();
            if escaped.len() > 1 {
                return Some(escaped.to_string());
            }
            let is_like_nothing = LIKE_NOTHING.iter().any(|range| range.contains(&char));
            is_like_nothing.then(|| char.escape_unicode().to_string())
        }
    }
}

#[cfg(test)]
mod tests;
