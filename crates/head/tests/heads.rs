//! This crate reads each head of the table as the table says, in one piece and cut in two.

use forever200_head::{BodyLength, Framing, Head, extent, unfolded};
use forever200_testkit::heads::{Case, End, HEADS};
use proptest::prelude::*;

fn fed(pieces: &[&[u8]]) -> Framing {
    let mut framing = Framing::default();
    let mut held = Vec::new();
    for piece in pieces {
        let known = held.len();
        held.extend_from_slice(piece);
        framing.feed(&held, known);
    }
    framing
}

fn end_of(framing: &Framing) -> End {
    if framing.is_whole() {
        End::Whole(framing.extra())
    } else if framing.is_unfinished() {
        End::Unfinished
    } else {
        End::Open
    }
}

#[test]
fn the_table_is_long_enough() {
    assert!(HEADS.len() > 140, "{}", HEADS.len());
}

#[test]
fn every_head_says_what_the_table_says() {
    for Case {
        bytes,
        line,
        fields,
        ..
    } in HEADS
    {
        let shown = bytes.escape_ascii();
        let head = Head::parse(bytes);
        let parts = head.as_ref().map(|head| {
            let parts = [&head.line.method, &head.line.target, &head.line.version];
            parts.map(|part| head.slice(part))
        });
        assert_eq!(parts, *line, "{shown}");
        let Some(head) = head else { continue };
        let found: Vec<_> = head
            .fields()
            .map(|field| (head.slice(&field.name), unfolded(head.slice(&field.value))))
            .collect();
        let found: Vec<_> = found
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        assert_eq!(found, *fields, "{shown}");
    }
}

#[test]
fn every_request_ends_where_the_table_says_however_it_is_cut() {
    for Case { bytes, end, .. } in HEADS {
        assert_eq!(end_of(&fed(&[bytes])), *end, "{}", bytes.escape_ascii());
        for cut in 0..=bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let framing = fed(&[first, second]);
            assert_eq!(
                end_of(&framing),
                *end,
                "{} cut at {cut}",
                bytes.escape_ascii()
            );
        }
        let bytes_alone: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(
            end_of(&fed(&bytes_alone)),
            *end,
            "{} byte by byte",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn body_and_extra_lie_where_the_table_says() {
    for Case {
        bytes, body, end, ..
    } in HEADS
    {
        let found = extent(bytes);
        let shown = bytes.escape_ascii();
        assert_eq!(found.body.len(), *body, "{shown}");
        assert_eq!(found.body.end, found.extra.start, "{shown}");
        let extra = if let End::Whole(extra) = end {
            *extra
        } else {
            0
        };
        assert_eq!(found.extra.len() as u64, extra, "{shown}");
        assert_eq!(found.unfinished, *end == End::Unfinished, "{shown}");
    }
}

#[test]
fn a_head_that_is_not_held_is_unfinished_for_ever() {
    let mut framing = Framing::default();
    framing.feed(b"GET / HTTP/1.1\r\nA: ", 0);
    // The caller kept less than it was given.
    framing.feed(b"GET / HTTP/1.1\r\nb\r\n\r\n", 16);
    assert!(framing.is_unfinished() && !framing.is_whole());
}

#[test]
fn an_expectation_is_met_once_and_only_before_a_body() {
    let head = b"POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n";
    assert!(!fed(&[&head[..head.len() - 1]]).take_expectation());
    let mut framing = fed(&[head]);
    assert!(framing.take_expectation());
    assert!(!framing.take_expectation());
    assert!(!fed(&[head, b"hello"]).take_expectation());
    assert!(!fed(&[b"GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n"]).take_expectation());
    assert!(fed(&[b"POST / HTTP/1.1\r\nExpect:\r\n 100-continue\r\n\r\n"]).take_expectation());
}

#[test]
fn a_tunnel_is_asked_for_by_connect_and_by_an_upgrade() {
    for (request, asks) in [
        (&b"CONNECT a:443 HTTP/1.1\r\n\r\n"[..], true),
        (
            b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            true,
        ),
        (
            b"GET / HTTP/1.1\r\nUpgrade-Insecure-Requests: 1\r\n\r\n",
            false,
        ),
    ] {
        assert_eq!(
            fed(&[request]).asks_for_a_tunnel(),
            asks,
            "{}",
            request.escape_ascii()
        );
    }
}

#[test]
fn a_length_is_what_the_head_says() {
    let length = |raw: &[u8]| BodyLength::of(&Head::parse(raw).expect("a head"));
    assert_eq!(length(b"GET / HTTP/1.1\r\n\r\n"), BodyLength::Bytes(0));
    assert_eq!(length(b"POST / HTTP/1.1\r\n\r\n"), BodyLength::Unknown);
    assert_eq!(
        length(b"POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n"),
        BodyLength::Bytes(7)
    );
    assert_eq!(
        length(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        BodyLength::Chunked
    );
}

/// Returns a piece that heads are made of.
fn piece() -> impl Strategy<Value = &'static [u8]> {
    prop::sample::select(vec![
        &b"GET "[..],
        b"POST ",
        b"/ ",
        b"HTTP/1.1",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b"a",
        b"Content-Length: 3",
        b"Transfer-Encoding: chunked",
        b"0",
        b"3",
        b"abc",
        b";",
        b"\xff",
        b"Expect: 100-continue",
        b"\r\n\r\n",
    ])
}

proptest! {
    #[test]
    fn any_cut_of_anything_ends_alike(pieces in prop::collection::vec(piece(), 0..24), cut in any::<prop::sample::Index>()) {
        let raw = pieces.concat();
        let whole = fed(&[&raw]);
        let at = cut.index(raw.len() + 1);
        let in_two = fed(&[&raw[..at], &raw[at..]]);
        prop_assert_eq!(end_of(&whole), end_of(&in_two));
        let extent = extent(&raw);
        prop_assert_eq!(extent.extra.end, raw.len());
        if whole.is_whole() {
            prop_assert!(Head::parse(&raw).is_some_and(|head| head.end().is_some()));
        }
    }
}
