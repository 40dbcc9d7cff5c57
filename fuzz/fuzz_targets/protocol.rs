//! Recognises the protocol by the first bytes: no panic, evidence within the bytes, and one line of
//! printable text.
#![no_main]

use forever200_identify::{Protocol, recognise};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let recognised = recognise(raw);
    let evidence = recognised.evidence;
    assert!(
        evidence.start <= evidence.end && evidence.end <= raw.len(),
        "{evidence:?} of {}",
        raw.len()
    );
    if recognised.protocol == Protocol::Unknown {
        assert!(evidence.is_empty() && recognised.detail.is_none());
    }
    if let Some(detail) = recognised.detail {
        assert!(
            detail
                .chars()
                .all(|char| char == '…' || matches!(char, ' '..='~')),
            "{detail:?}"
        );
    }
});
