//! How a request is split into values, and what of it is a quotation: no panic, and all that is
//! found lies within the request.
//!
//! The parsers see the values of the request alone; `values` gives them anything.
#![no_main]

use forever200_identify::parsers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let Some(parsed) = parsers::request(raw) else {
        return;
    };
    for range in parsed.attacks.iter().chain(&parsed.quoted) {
        assert!(
            range.start <= range.end && range.end <= raw.len(),
            "{range:?} of {}",
            raw.len()
        );
    }
});
