//! Framing finds the same in a request wherever it is cut, and a whole request stays whole.
#![no_main]

use forever200_fuzz::choice;
use forever200_head::{Framing, extent};
use libfuzzer_sys::fuzz_target;

/// Returns all that a connection asks of the framing.
fn seen(mut framing: Framing) -> (bool, bool, u64, bool, bool) {
    (
        framing.is_whole(),
        framing.is_unfinished(),
        framing.extra(),
        framing.asks_for_a_tunnel(),
        framing.take_expectation(),
    )
}

/// Feeds all bytes up to `end`, those before `known` in one piece.
fn fed(raw: &[u8], known: usize, end: usize) -> Framing {
    let mut framing = Framing::default();
    framing.feed(&raw[..known], 0);
    framing.feed(&raw[..end], known);
    framing
}

fuzz_target!(|raw: &[u8]| {
    let whole = fed(raw, 0, raw.len());
    let is_whole = whole.is_whole();
    let extra = whole.extra() as usize;
    let expected = seen(whole);
    // Pieces of 1 to 16 bytes, and two that meet at any place.
    let size = usize::from(choice(raw) % 16) + 1;
    let mut pieces = Framing::default();
    let mut was_whole = false;
    for known in (0..raw.len()).step_by(size) {
        let end = raw.len().min(known + size);
        pieces.feed(&raw[..end], known);
        assert!(
            pieces.is_whole() || !was_whole,
            "was whole before byte {known}"
        );
        was_whole = pieces.is_whole();
    }
    assert_eq!(seen(pieces), expected, "in pieces of {size}");
    let at = raw.len() * usize::from(choice(raw)) / 256;
    assert_eq!(seen(fed(raw, at, raw.len())), expected, "cut at {at}");
    // `extent` of all bytes finds the same.
    let lies = extent(raw);
    assert_eq!((lies.extra.len(), lies.unfinished), (extra, expected.1));
    assert!(lies.body.start <= lies.body.end && lies.extra.end == raw.len());
    assert!(!is_whole || !lies.unfinished);
});
