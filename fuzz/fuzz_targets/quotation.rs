//! Splits a request into values, and finds quotations in it: no panic, and all that is found lies
//! within the request.
//!
//! Here the parsers get only values of a request; the target `values` gives them any bytes.
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
