use std::slice::from_ref;

use forever200_testkit::hostile::Filler;

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
            "a line end and a command: \u{85}\u{9b}\u{2028}\u{a0}\u{e0041} in text".as_bytes(),
            r"a line end and a command: \u{85}\u{9b}\u{2028}\u{a0}\u{e0041} in text",
        ),
        // Unassigned, and for private use.
        (
            "\u{378}\u{e000}\u{10fffd} ".as_bytes(),
            r"\u{378}\u{e000}\u{10fffd} ",
        ),
    ] {
        assert_eq!(shown(bytes), text);
    }
}

#[test]
fn what_joins_other_letters_is_escaped() {
    for (text, expected) in [
        ("cafe\u{301}", r"cafe\u{301}"),
        ("word\u{20dd}", r"word\u{20dd}"),
        // Fillers, and the vowel of a Korean syllable.
        (
            "name \u{3164}\u{2800}\u{ffa0}",
            r"name \u{3164}\u{2800}\u{ffa0}",
        ),
        ("\u{1112}\u{1161}", "\u{1112}\\u{1161}"),
        ("한국어", "한국어"),
    ] {
        assert_eq!(shown(text.as_bytes()), expected);
    }
}

#[test]
fn what_noise_spells_by_chance_is_no_letter() {
    // An Arabic letter, and a Hebrew one.
    assert_eq!(
        shown(b"\x00\xd8\xa8\x01\xd7\x90a"),
        r"\x00\xd8\xa8\x01\xd7\x90a"
    );
    assert_eq!(line(b"\x00\x01\xd8\xa8", 40), r"\x00\x01\xd8\xa8");
    let noise = Filler::Random.bytes(65_536);
    assert!(shown(&noise).is_ascii());
}

#[test]
fn long_runs_are_counted_in_what_is_no_text() {
    let folded = |bytes: &[u8], ranges: &[Range<usize>]| {
        let style = Style {
            folds: true,
            ..Style::of(bytes, LineFeeds::Sent)
        };
        let pieces = marked(bytes, ranges, style);
        pieces.map(|piece| piece.text).collect::<String>()
    };
    let bytes = [&b"\x03a"[..], &[0; 204], &[b'A'; 40], b"\n"].concat();
    assert_eq!(folded(&bytes, &[]), "\\x03a \\x00 ×204  A ×40 \\n\n");
    // A mark divides a run.
    assert_eq!(
        folded(&bytes, from_ref(&(0..102))),
        "\\x03a \\x00 ×100  \\x00 ×104  A ×40 \\n\n"
    );
    assert_eq!(folded(&[b'A'; 40], &[]), "A".repeat(40));
    assert_eq!(line(&[0; 40], 8), r"\x00\x0…");
}

#[test]
fn a_copy_has_line_ends_without_their_marks() {
    let copied: String = pieces(b"a\r\nb\n\r\tc\r\r\n\xff", LineFeeds::Copied)
        .map(|piece| piece.text)
        .collect();
    assert_eq!(copied, "a\nb\n\\r\\tc\\r\n\\xff");
}

#[test]
fn a_line_feed_is_seen_and_ends_the_line() {
    let shown: Vec<_> = pieces(b"a\r\n\\n", LineFeeds::Sent).collect();
    let piece = |text: &str, ends_line| Piece {
        text: text.into(),
        escaped: ends_line,
        ends_line,
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
    // Includes empty ranges, which mark nothing.
    for ranges in [
        [0..0, 0..1],
        [2..4, 5..6],
        [0..0, 7..8],
        [0..1, 6..99],
        [0..0, 0..8],
    ] {
        let style = Style::of(bytes, LineFeeds::Sent);
        let pieces: Vec<_> = marked(bytes, &ranges, style).collect();
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
