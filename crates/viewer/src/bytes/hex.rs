//! Makes a hex dump like `hexdump -C`: offset, bytes and their ASCII characters, 16 bytes on a
//! line.
//!
//! In: bytes, and ranges to mark. Out: pieces, made one at a time, with the marked bytes in both
//! columns. Several lines of one byte become one line with the number of bytes. A marked range adds
//! four pieces for each of its lines, and a line has 16 bytes. So the size of the dump is always
//! proportional to the number of bytes.

use std::ops::Range;

use crate::bytes::pasted::FOLDED;
use crate::bytes::printable::Piece;
use crate::bytes::runs::MIN_RUN_BYTES;

/// Bytes on a line.
const COLUMNS: usize = 16;
/// From this length on, no further line is added to a piece. Many short pieces take a template more
/// time than few long ones.
const MAX_PIECE_BYTES: usize = 8 * 1024;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Returns the dump of bytes. Bytes in the ranges `evidence` are marked. The ranges must be in
/// order and must not overlap.
pub fn dump<'a>(
    bytes: &'a [u8],
    evidence: &'a [Range<usize>],
) -> impl Iterator<Item = Piece> + use<'a> {
    let dump = Dump { bytes, evidence };
    let mut at = 0;
    let lines = std::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        let (line, end) = dump.folded(at).unwrap_or_else(|| dump.line(at));
        at = end;
        Some(line.0)
    });
    joined(lines.flatten())
}

struct Dump<'a> {
    bytes: &'a [u8],
    evidence: &'a [Range<usize>],
}

impl Dump<'_> {
    /// Returns the line that begins here, and where the next one begins.
    fn line(&self, at: usize) -> (Line, usize) {
        let end = self.bytes.len().min(at + COLUMNS);
        let mut line = Line::default();
        line.put(&format!("{at:08x}  "), false);
        for column in 0..COLUMNS {
            let (place, is_half) = (at + column, column + 1 == COLUMNS / 2);
            let marked = self.is_marked(place);
            match self.bytes.get(place) {
                Some(&byte) => line.put(&hex(byte), marked),
                None => line.put("  ", false),
            }
            // The space between two marked bytes of a line is marked, too.
            let between = marked && column + 1 < COLUMNS && self.is_marked(place + 1);
            line.put(if is_half { "  " } else { " " }, between);
        }
        line.put(" |", false);
        for place in at..end {
            let shown = char::from(self.bytes[place]);
            let shown = if matches!(shown, ' '..='~') {
                shown
            } else {
                '.'
            };
            line.put(shown.encode_utf8(&mut [0; 4]), self.is_marked(place));
        }
        line.put("|\n", false);
        (line, end)
    }

    /// Returns one line for several lines of one byte, if all of them are marked or none is. Else
    /// `None`.
    fn folded(&self, at: usize) -> Option<(Line, usize)> {
        let rest = &self.bytes[at..self.end_of_mark(at)];
        let byte = *rest.first()?;
        let same = rest.iter().take_while(|&&next| next == byte).count();
        if same < MIN_RUN_BYTES {
            return None;
        }
        let length = same - same % COLUMNS;
        let mut line = Line::default();
        line.put(&format!("{at:08x}  "), false);
        line.put(
            &format!("{length}{FOLDED}{}", hex(byte)),
            self.is_marked(at),
        );
        line.put("\n", false);
        Some((line, at + length))
    }

    fn is_marked(&self, at: usize) -> bool {
        let next = self.evidence.partition_point(|range| range.end <= at);
        self.evidence
            .get(next)
            .is_some_and(|range| range.start <= at)
    }

    /// Returns where the mark of this byte ends or, if it has none, where the next mark begins.
    fn end_of_mark(&self, at: usize) -> usize {
        let next = self.evidence.partition_point(|range| range.end <= at);
        let end = self.evidence.get(next).map(|range| {
            if range.start <= at {
                range.end
            } else {
                range.start
            }
        });
        end.unwrap_or(usize::MAX).min(self.bytes.len())
    }
}

/// A line, as a few pieces.
#[derive(Default)]
struct Line(Vec<Piece>);

impl Line {
    fn put(&mut self, text: &str, marked: bool) {
        match self.0.last_mut() {
            Some(last) if last.marked == marked => last.text.push_str(text),
            _ => self.0.push(Piece {
                text: text.to_owned(),
                marked,
                ..Piece::default()
            }),
        }
    }
}

fn hex(byte: u8) -> String {
    let digits = [byte >> 4, byte & 0xf].map(|digit| DIGITS[usize::from(digit)]);
    digits.map(char::from).iter().collect()
}

/// Joins adjacent pieces that are both marked or both not, up to [`MAX_PIECE_BYTES`].
fn joined(pieces: impl Iterator<Item = Piece>) -> impl Iterator<Item = Piece> {
    let mut pieces = pieces.peekable();
    std::iter::from_fn(move || {
        let mut piece = pieces.next()?;
        while piece.text.len() < MAX_PIECE_BYTES
            && let Some(next) = pieces.next_if(|next| next.marked == piece.marked)
        {
            piece.text.push_str(&next.text);
        }
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use forever200_testkit::hostile::Filler;

    use super::*;

    /// Returns the dump, with marks as brackets.
    fn shown(bytes: &[u8], evidence: &[Range<usize>]) -> String {
        let pieces = dump(bytes, evidence).map(|piece| {
            if piece.marked {
                format!("[{}]", piece.text)
            } else {
                piece.text
            }
        });
        pieces.collect()
    }

    #[test]
    fn it_looks_like_that_of_hexdump() {
        assert_eq!(
            shown(b"GET / HTTP/1.1\r\n\0\xff<", &[]),
            "00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|\n\
             00000010  00 ff 3c                                          |..<|\n"
        );
        assert_eq!(shown(b"", &[]), "");
    }

    #[test]
    fn evidence_is_marked_in_both_columns() {
        let text = b"GET / HTTP/1.1\r\nabc";
        assert_eq!(
            shown(text, &[4..9, 14..17]),
            "00000000  47 45 54 20 [2f 20 48 54  54] 50 2f 31 2e 31 [0d 0a]  |GET [/ HTT]P/1.1[..]|\n\
             00000010  [61] 62 63                                          |[a]bc|\n"
        );
        // Beyond the end there is nothing to mark.
        assert!(shown(b"ab", from_ref(&(1..99))).ends_with("|a[b]|\n"));
    }

    #[test]
    fn lines_of_one_byte_are_one_line() {
        let bytes = [&b"0123456789"[..], &[0; 204], b"x"].concat();
        assert_eq!(
            shown(&bytes, &[]),
            "00000000  30 31 32 33 34 35 36 37  38 39 00 00 00 00 00 00  |0123456789......|\n\
             00000010  192 × 00\n\
             000000d0  00 00 00 00 00 00 78                              |......x|\n"
        );
        // Marked and unmarked lines are not joined.
        assert_eq!(
            shown(&[0; 96], from_ref(&(0..48))),
            "00000000  [48 × 00]\n00000030  48 × 00\n"
        );
        assert!(shown(&[0; 96], from_ref(&(0..96))).contains("[96 × 00]"));
    }

    #[test]
    fn its_size_is_bounded_whatever_is_marked() {
        let bytes = Filler::Random.bytes(65_536);
        let every_other: Vec<_> = (0..bytes.len()).step_by(2).map(|at| at..at + 1).collect();
        let (mut pieces, mut length) = (0, 0);
        for piece in dump(&bytes, &every_other) {
            pieces += 1;
            length += piece.text.len();
        }
        assert!(length <= bytes.len() / COLUMNS * 79, "{length}");
        assert!(pieces <= bytes.len() * 2 + 2, "{pieces}");
        assert!(dump(&bytes, &[]).count() <= 65_536 / COLUMNS * 79 / MAX_PIECE_BYTES + 1);
    }
}
