//! Does all that the crate `identify` does with a request: no panic, and all evidence lies within
//! the request.
#![no_main]

use std::sync::LazyLock;

use forever200_identify::{Labeller, Origin};
use libfuzzer_sys::fuzz_target;

static LABELLER: LazyLock<Labeller> = LazyLock::new(Labeller::built_in);

fuzz_target!(|raw: &[u8]| {
    let origin = Origin {
        asn: Some(64496),
        ..Origin::default()
    };
    let description = LABELLER.describe(raw, Some(&origin));
    let labels = description.labels.iter().chain(&description.quoted);
    let evidence = labels.flat_map(|label| &label.evidence);
    for range in evidence.chain(
        description
            .indicators
            .iter()
            .map(|indicator| &indicator.evidence),
    ) {
        assert!(
            range.start < range.end && range.end <= raw.len(),
            "{range:?} of {}",
            raw.len()
        );
    }
});
