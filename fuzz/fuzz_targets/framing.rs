//! Framing sees the same in a request however it is cut, at every cut, and a whole request stays whole.
#![no_main]

use forever200_fuzz::choice;
use forever200_responder::framing::Framing;
use libfuzzer_sys::fuzz_target;

/// What a connection asks of it.
fn seen(mut framing: Framing) -> (bool, std::time::Duration, bool, bool) {
    (
        framing.is_complete(),
        framing.patience(),
        framing.may_go_on(),
        framing.take_expectation(),
    )
}

fn whole(bytes: &[u8]) -> Framing {
    let mut framing = Framing::default();
    framing.feed(bytes);
    framing
}

fuzz_target!(|raw: &[u8]| {
    // Pieces of 1 to 16 bytes, and two that meet at any place.
    let size = usize::from(choice(raw) % 16) + 1;
    let mut pieces = Framing::default();
    let mut complete = false;
    for (index, piece) in raw.chunks(size).enumerate() {
        pieces.feed(piece);
        assert!(
            pieces.is_complete() || !complete,
            "was complete before byte {}",
            index * size
        );
        complete = pieces.is_complete();
    }
    let expected = seen(whole(raw));
    assert_eq!(seen(pieces), expected, "in pieces of {size}");
    let at = raw.len() * usize::from(choice(raw)) / 256;
    let mut halves = whole(&raw[..at]);
    assert!(
        !halves.is_complete() || expected.0,
        "complete at {at} and not later"
    );
    halves.feed(&raw[at..]);
    assert_eq!(seen(halves), expected, "cut at {at}");
});
