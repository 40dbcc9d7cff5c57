//! Blanks a record so that it may be shown in public: it is as long as before, and neither its
//! source nor a hidden text is in it, nor in anything that the page decodes from it.
#![no_main]

use std::sync::LazyLock;

use forever200_decode::{Limits, decode, parameters};
use forever200_fuzz::record;
use forever200_identify::http;
use forever200_viewer::reader::privacy::Privacy;
use libfuzzer_sys::fuzz_target;

const HIDDEN: [&str; 3] = ["honey.example.net", "198.51.100.99", "my secret"];
static PRIVACY: LazyLock<Privacy> = LazyLock::new(|| Privacy {
    mask_sources: true,
    hidden: HIDDEN.join(",").parse().expect("texts"),
});

/// Tells whether a text is in these bytes. Digits next to an address make it another address.
fn holds(bytes: &[u8], text: &str) -> bool {
    let lower = bytes.to_ascii_lowercase();
    let is_address = text.parse::<std::net::IpAddr>().is_ok();
    let is_digit = |byte: Option<&u8>| {
        byte.is_some_and(|byte| is_address && (byte.is_ascii_hexdigit() || b".:-_".contains(byte)))
    };
    let mut windows = lower.windows(text.len()).enumerate();
    windows.any(|(at, window)| {
        let before = at.checked_sub(1).and_then(|at| lower.get(at));
        window == text.as_bytes() && !is_digit(before) && !is_digit(lower.get(at + text.len()))
    })
}

fuzz_target!(|raw: &[u8]| {
    let kept = record(7, raw);
    let shown = PRIVACY.show(&kept);
    let is_unfinished = shown.not_all_examined;
    let shown = shown.record;
    assert_eq!(shown.raw.len(), kept.raw.len());
    assert_eq!(shown.src_port, 0);
    assert!(shown.dest_ip.is_unspecified());
    assert!(kept.src_ip.is_unspecified() || shown.src_ip != kept.src_ip);
    if !is_unfinished {
        assert_eq!(
            PRIVACY.show(&kept).record.raw,
            shown.raw,
            "it differs from look to look"
        );
    }
    let http = http::parse(&shown.raw);
    let mut parts: Vec<Vec<u8>> = vec![shown.raw.to_vec()];
    parts.extend(
        decode(&shown.raw, http.is_some(), Limits::SHOWN)
            .into_iter()
            .map(|part| part.bytes),
    );
    if let Some(http) = &http {
        let pairs = [http.path_and_query().1, http.body]
            .into_iter()
            .flat_map(parameters);
        parts.extend(pairs.flat_map(|(name, value)| [name, value]));
    }
    let source = kept.src_ip.to_string();
    let hidden = HIDDEN
        .into_iter()
        .chain((!kept.src_ip.is_unspecified()).then_some(&*source));
    for hidden in hidden {
        for part in &parts {
            assert!(!holds(part, hidden), "{hidden} in {}", part.escape_ascii());
        }
    }
});
