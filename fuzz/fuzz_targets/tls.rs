//! Parses a TLS hello, cut anywhere or with anything behind it. Its fingerprint always has 36
//! characters.
#![no_main]

use forever200_fuzz::choice;
use forever200_identify::tls::{self, ClientHello};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let Some(hello) = tls::parse(raw) else { return };
    let ja4 = hello.ja4();
    assert!(
        ja4.len() == 36
            && ja4
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        "{ja4}"
    );
    assert!(!tls::version_name(hello.version()).is_empty());
    let bytes = |hello: &ClientHello| {
        let numbers = [
            &hello.versions,
            &hello.ciphers,
            &hello.extensions,
            &hello.groups,
            &hello.signature_algorithms,
        ];
        // One byte of a number of two bytes is no number.
        2 * numbers.iter().map(|list| list.len()).sum::<usize>()
            + hello.alpn.iter().map(|name| name.len() + 1).sum::<usize>()
    };
    assert!(bytes(&hello) <= raw.len());
    // Bytes behind a whole hello are ignored. All that a cut hello says, the whole one says too.
    let cut = raw.len() * usize::from(choice(raw)) / 256;
    if let Some(part) = tls::parse(&raw[..cut]) {
        if part.whole {
            assert_eq!(part, hello, "cut at {cut}");
        }
        assert_eq!(part.legacy_version, hello.legacy_version);
        assert!(
            hello.ciphers.len() >= part.ciphers.len()
                && hello.extensions.len() >= part.extensions.len()
        );
    }
});
