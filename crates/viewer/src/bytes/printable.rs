//! Makes bytes printable: the only place where bytes of attackers become text.
//!
//! In: any bytes. Out: text without invisible characters, cursor movements, or changes of the
//! writing direction. Characters that cannot be shown are escaped (`\r`, `\x1b`, `\u{202e}`). In
//! bytes that are no text, everything beyond ASCII is escaped. Templates escape HTML.

use std::ops::{Range, RangeInclusive};

use serde::Serialize;

use crate::bytes::runs::{self, Part};
use crate::bytes::text::is_text;

/// Letters and symbols in Unicode that show nothing, or are joined to the letter before: parts of
/// Korean syllables, fillers for missing parts, and the empty Braille pattern.
const LIKE_NOTHING: [RangeInclusive<char>; 5] = [
    '\u{115f}'..='\u{11ff}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{d7b0}'..='\u{d7fb}',
    '\u{ffa0}'..='\u{ffa0}',
];

/// A run of text, or of escapes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// What to show.
    pub text: String,
    /// The text is escapes. The page shows it in another style than the same characters sent by a
    /// client.
    pub escaped: bool,
    /// The text is the escapes of a line end, and the line end itself follows. A copy should have
    /// only one of the two.
    pub ends_line: bool,
    /// The text is evidence: the page marks it.
    pub marked: bool,
}

/// From whom the line feeds in the bytes are, and whether they are shown as escapes. They always
/// end a line of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFeeds {
    /// From the sender: shown as `\n`, or as `\r\n` after a carriage return.
    Sent,
    /// From the sender, in text to be copied: not shown, and a `\r` before it is not shown either.
    Copied,
    /// Added by the viewer: not shown.
    Ours,
}

/// How bytes become text.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// From whom the line feeds are.
    pub line_feeds: LineFeeds,
    /// The bytes are text: letters beyond ASCII are shown. In other bytes, such letters occur by
    /// chance.
    pub is_text: bool,
    /// In bytes that are no text, a long run of one byte is shown as the byte and the length of the
    /// run.
    pub folds: bool,
}

impl Style {
    /// Returns a style that shows all of these bytes. [`is_text`] decides whether they are text.
    #[must_use]
    pub fn of(bytes: &[u8], line_feeds: LineFeeds) -> Self {
        Self {
            line_feeds,
            is_text: is_text(bytes),
            folds: false,
        }
    }
}

/// Returns bytes as pieces of text. They are made one at a time, because all of them would take
/// twenty times as much memory as the bytes.
pub fn pieces(bytes: &[u8], line_feeds: LineFeeds) -> impl Iterator<Item = Piece> {
    styled(bytes, Style::of(bytes, line_feeds))
}

/// Returns bytes as pieces of text. Bytes in `ranges` are marked. The ranges must be in order and
/// must not overlap.
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
    // Plain and marked bytes alternate.
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

/// Returns a long run of one byte, as `\x00 ×204`. Spaces separate it from the text before and
/// after.
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
    /// The escape of a part of a line end. The line feed itself follows.
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

/// Returns how a character is shown. `ends_line` says that it is a carriage return before a line
/// feed.
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

/// Returns bytes as one line of at most `max_chars` characters. A longer line ends with `…`.
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

/// Tells whether a character is shown without an escape.
#[must_use]
pub fn is_visible(char: char) -> bool {
    escape(char).is_none()
}

/// Returns the escape of a character; `None` if it is shown without one.
///
/// Beyond ASCII, the standard library's Unicode tables decide. Escaped are control and format
/// characters (bidi, zero-width), spaces other than U+0020, unassigned and private characters, and
/// those that attach to the character before.
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
