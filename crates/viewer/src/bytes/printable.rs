//! Bytes made visible: the one place where what attackers wrote becomes text.
//!
//! In: any bytes. Out: text in which nothing is invisible, moves the cursor, or turns the direction of
//! writing. What cannot be shown as itself is shown as an escape (`\r`, `\x1b`, `\u{202e}`). Escaping
//! for HTML is the template's.

use std::ops::Range;

use forever200_identify::labels::apart;
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

/// Returns bytes as pieces of text. A line feed is shown as `\n` and then ends the line.
#[must_use]
pub fn pieces(bytes: &[u8]) -> Vec<Piece> {
    cut(bytes, true)
}

/// Returns bytes as pieces of text, with the bytes in these ranges marked.
#[must_use]
pub fn marked(bytes: &[u8], ranges: &[Range<usize>]) -> Vec<Piece> {
    let ranges = apart(ranges.to_vec());
    let mut starts: Vec<usize> = ranges
        .iter()
        .flat_map(|range| [range.start, range.end])
        .collect();
    starts.extend([0, bytes.len()]);
    starts.retain(|&start| start <= bytes.len());
    starts.sort_unstable();
    starts.dedup();
    let between = starts.windows(2).map(|ends| ends[0]..ends[1]);
    between
        .flat_map(|part| {
            let marked = ranges.iter().any(|range| range.contains(&part.start));
            pieces(&bytes[part])
                .into_iter()
                .map(move |piece| Piece { marked, ..piece })
        })
        .collect()
}

/// Returns text whose line feeds are ours: they end the line and are not shown.
#[must_use]
pub fn text(bytes: &[u8]) -> Vec<Piece> {
    cut(bytes, false)
}

fn cut(bytes: &[u8], show_line_feeds: bool) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut push = |text: &str, escaped: bool| match pieces.last_mut() {
        Some(last) if last.escaped == escaped => last.text.push_str(text),
        _ => pieces.push(Piece {
            text: text.to_owned(),
            escaped,
            marked: false,
        }),
    };
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match escape(char) {
                Some(_) if char == '\n' && !show_line_feeds => {}
                Some(escaped) => push(&escaped, true),
                None => push(char.encode_utf8(&mut [0; 4]), false),
            }
            if char == '\n' {
                push("\n", false);
            }
        }
        for byte in chunk.invalid() {
            push(&format!("\\x{byte:02x}"), true);
        }
    }
    pieces
}

/// Returns bytes as one line of at most `max_chars` characters; `…` stands for the rest.
#[must_use]
pub fn line(bytes: &[u8], max_chars: usize) -> String {
    // No character takes more than four bytes.
    let looked_at = bytes.len().min(max_chars.saturating_mul(4));
    let text: String = pieces(&bytes[..looked_at])
        .into_iter()
        .map(|piece| piece.text)
        .collect();
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
        pieces(bytes).into_iter().map(|piece| piece.text).collect()
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
        let pieces = pieces(b"a\r\n\\n");
        let piece = |text: &str, escaped| Piece {
            text: text.into(),
            escaped,
            marked: false,
        };
        assert_eq!(
            pieces,
            [
                piece("a", false),
                piece(r"\r\n", true),
                piece("\n\\n", false)
            ]
        );
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
