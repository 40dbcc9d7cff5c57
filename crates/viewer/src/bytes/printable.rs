//! Bytes made visible: the one place where what attackers wrote becomes text.
//!
//! In: any bytes. Out: text in which nothing is invisible, moves the cursor, or turns the direction of
//! writing. What cannot be shown as itself is shown as an escape (`\r`, `\x1b`, `\u{202e}`). Escaping
//! for HTML is the template's.

use std::ops::Range;

use serde::Serialize;

/// A run of text, or of escapes that stand for bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// What to show.
    pub text: String,
    /// The text is escapes: the page sets it apart from the same characters sent as themselves.
    pub escaped: bool,
    /// The text is evidence: the page marks it.
    pub marked: bool,
}

/// Whose the line feeds are in what is shown: they end the line in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFeeds {
    /// The sender's: shown as `\n`.
    Sent,
    /// Ours: not shown.
    Ours,
}

/// Returns bytes as pieces of text, made one at a time: together they take twenty times as much as the bytes.
pub fn pieces(bytes: &[u8], line_feeds: LineFeeds) -> impl Iterator<Item = Piece> {
    let shown = bytes.utf8_chunks().flat_map(move |chunk| {
        let valid = chunk
            .valid()
            .chars()
            .flat_map(move |char| of_char(char, line_feeds));
        valid.chain(
            chunk
                .invalid()
                .iter()
                .map(|byte| Shown::Escaped(format!("\\x{byte:02x}"))),
        )
    });
    let mut shown = shown.peekable();
    std::iter::from_fn(move || {
        let mut piece = Piece {
            escaped: shown.peek()?.is_escaped(),
            ..Piece::default()
        };
        while let Some(next) = shown.next_if(|next| next.is_escaped() == piece.escaped) {
            match next {
                Shown::Itself(char) => piece.text.push(char),
                Shown::Escaped(escape) => piece.text.push_str(&escape),
            }
        }
        Some(piece)
    })
}

/// Returns bytes as pieces of text, with the bytes in these ranges, which are in order and apart, marked.
pub fn marked<'a>(
    bytes: &'a [u8],
    ranges: &'a [Range<usize>],
    line_feeds: LineFeeds,
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
        pieces(&bytes[part], line_feeds).map(move |piece| Piece { marked, ..piece })
    })
}

/// A character as it is shown.
enum Shown {
    Itself(char),
    Escaped(String),
}

impl Shown {
    fn is_escaped(&self) -> bool {
        matches!(self, Self::Escaped(_))
    }
}

fn of_char(char: char, line_feeds: LineFeeds) -> impl Iterator<Item = Shown> {
    let escaped = escape(char).filter(|_| char != '\n' || line_feeds == LineFeeds::Sent);
    let itself = (escaped.is_none() || char == '\n').then_some(Shown::Itself(char));
    escaped.map(Shown::Escaped).into_iter().chain(itself)
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
            (escaped.len() > 1).then(|| escaped.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        pieces(bytes, LineFeeds::Sent)
            .map(|piece| piece.text)
            .collect()
    }

    #[test]
    fn text_is_shown_as_itself() {
        for text in [
            "GET /a?b=c HTTP/1.1",
            "<script>alert(1)</script>",
            "Grüße, 世界 \u{1f600}",
            r"\x00",
            "",
        ] {
            assert_eq!(shown(text.as_bytes()), text);
        }
    }

    #[test]
    fn what_cannot_be_seen_is_escaped() {
        for (bytes, text) in [
            (&b"\0\x1b[2J\x7f\t"[..], r"\x00\x1b[2J\x7f\t"),
            (b"\xff\xfe\xc0\xaf", r"\xff\xfe\xc0\xaf"),
            (
                "\u{202e}\u{2066}\u{200b}\u{feff}\u{ad}".as_bytes(),
                r"\u{202e}\u{2066}\u{200b}\u{feff}\u{ad}",
            ),
            (
                "\u{85}\u{9b}\u{2028}\u{a0}\u{e0041}".as_bytes(),
                r"\u{85}\u{9b}\u{2028}\u{a0}\u{e0041}",
            ),
            ("e\u{301}".as_bytes(), r"e\u{301}"),
        ] {
            assert_eq!(shown(bytes), text);
        }
    }

    #[test]
    fn a_line_feed_is_seen_and_ends_the_line() {
        let shown: Vec<_> = pieces(b"a\r\n\\n", LineFeeds::Sent).collect();
        let piece = |text: &str, escaped| Piece {
            text: text.into(),
            escaped,
            marked: false,
        };
        assert_eq!(
            shown,
            [
                piece("a", false),
                piece(r"\r\n", true),
                piece("\n\\n", false)
            ]
        );
    }

    #[test]
    fn evidence_is_marked_and_nothing_is_lost() {
        let bytes = b"abc\0def\xff";
        // One range more than there is, which is empty.
        for ranges in [
            [0..0, 0..1],
            [2..4, 5..6],
            [0..0, 7..8],
            [0..1, 6..99],
            [0..0, 0..8],
        ] {
            let pieces: Vec<_> = marked(bytes, &ranges, LineFeeds::Sent).collect();
            let text: String = pieces.iter().map(|piece| &*piece.text).collect();
            assert_eq!(text, r"abc\x00def\xff");
            let marked = pieces
                .iter()
                .filter(|piece| piece.marked)
                .map(|piece| &*piece.text);
            let expected = ranges
                .iter()
                .map(|it| shown(&bytes[it.start..it.end.min(8)]));
            assert_eq!(marked.collect::<String>(), expected.collect::<String>());
        }
    }

    #[test]
    fn no_byte_comes_through_unseen() {
        for first in 0..=255 {
            for second in 0..=255 {
                let text = shown(&[first, second, b'x']);
                assert!(
                    text.chars()
                        .all(|char| char == '\n' || escape(char).is_none()),
                    "{first} {second}: {text:?}"
                );
            }
        }
    }

    #[test]
    fn a_line_is_cut_at_its_limit_and_says_so() {
        assert_eq!(line(b"abcdef", 6), "abcdef");
        assert_eq!(line(b"abcdefg", 6), "abcde…");
        assert_eq!(line(b"a\nb\n", 10), r"a\nb\n");
        assert_eq!(line(&[0xff; 5000], 6), r"\xff\…");
        assert_eq!(line("ä".repeat(5000).as_bytes(), 3), "ää…");
        assert_eq!(line(b"abc", 0), "…");
    }
}
