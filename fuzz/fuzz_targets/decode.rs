//! Decodes what a request hides: no panic, all limits are kept, each part comes once, and its place
//! lies within the request.
#![no_main]

use forever200_decode::{Limits, MAX_DEPTH, MAX_PARTS, decode, multipart, parameters};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    for is_http in [true, false] {
        for limits in [Limits::DESCRIBED, Limits::SHOWN] {
            check(raw, is_http, limits);
        }
    }
    for field in multipart::fields(raw) {
        assert!(field.value.len() <= raw.len());
    }
    let _ = parameters(raw);
});

fn check(raw: &[u8], is_http: bool, limits: Limits) {
    let parts = decode(raw, is_http, limits);
    assert!(parts.len() <= MAX_PARTS);
    let all: usize = parts.iter().map(|part| part.bytes.len()).sum();
    assert!(all <= limits.bytes, "{all}");
    assert!(parts.iter().filter(|part| part.is_body).count() <= 1);
    for (at, part) in parts.iter().enumerate() {
        assert!(!part.bytes.is_empty());
        let place = &part.place;
        assert!(place.start <= place.end && place.end <= raw.len());
        // Steps for the chunks and codings of a body come first.
        assert!(
            (2..=2 + 3 * MAX_DEPTH).contains(&part.steps.len()),
            "{}",
            part.what()
        );
        let what = part.what();
        assert!(
            what.chars()
                .all(|char| char == '…' || matches!(char, ' '..='~')),
            "{what}"
        );
        let again = parts[..at].iter().find(|other| other.bytes == part.bytes);
        assert!(
            again.is_none(),
            "{what} is {}",
            again.map(|it| it.what()).unwrap_or_default()
        );
    }
    assert_eq!(decode(raw, is_http, limits), parts);
}
