//! Gives every input to each parser of values: no panic, and what is found lies within the value.
#![no_main]

use forever200_identify::parsers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    for range in parsers::value(raw) {
        assert!(
            range.start <= range.end && range.end <= raw.len(),
            "{range:?} of {}",
            raw.len()
        );
    }
});
