//! A record that may be shown in public: as long as before, and neither its source nor a hidden text in it.
#![no_main]

use std::sync::LazyLock;

use forever200_fuzz::record;
use forever200_viewer::reader::privacy::Privacy;
use libfuzzer_sys::fuzz_target;

const HIDDEN: [&str; 2] = ["honey.example.net", "198.51.100.99"];
static PRIVACY: LazyLock<Privacy> = LazyLock::new(|| Privacy {
    mask_sources: true,
    hidden: HIDDEN.join(",").parse().expect("texts"),
});

fuzz_target!(|raw: &[u8]| {
    let kept = record(7, raw);
    let shown = PRIVACY.show(&kept).record;
    assert_eq!(shown.raw.len(), kept.raw.len());
    assert_eq!(shown.src_port, 0);
    assert!(shown.dest_ip.is_unspecified());
    assert!(kept.src_ip.is_unspecified() || shown.src_ip != kept.src_ip);
    let text = String::from_utf8_lossy(&shown.raw).to_ascii_lowercase();
    let source = kept.src_ip.to_string();
    for hidden in HIDDEN
        .iter()
        .chain((!kept.src_ip.is_unspecified()).then_some(&&*source))
    {
        assert!(!text.contains(hidden), "{hidden} in {text:?}");
    }
});
