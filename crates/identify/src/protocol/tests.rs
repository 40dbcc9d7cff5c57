//! Tests the recognisers. The samples are written from the specifications that the recognisers
//! name.

mod binary;
mod built;
mod text;

use std::collections::HashSet;

use super::reading::MAX_DETAIL_CHARS;
use super::*;

/// Name, bytes, detail (empty for none).
type Sample = (&'static str, Vec<u8>, &'static str);

fn samples() -> Vec<Sample> {
    let plain = text::SAMPLES
        .iter()
        .chain(binary::SAMPLES)
        .map(|&(name, raw, detail)| (name, raw.to_vec(), detail));
    plain.chain(built::samples()).collect()
}

#[test]
fn every_sample_is_recognised_with_its_detail() {
    for (name, raw, detail) in samples() {
        let found = recognise(&raw);
        assert_eq!(found.protocol.name(), name, "{}", raw.escape_ascii());
        assert_eq!(
            found.detail.as_deref().unwrap_or_default(),
            detail,
            "{}",
            raw.escape_ascii()
        );
        assert!(!found.evidence.is_empty(), "{name}");
        assert_eq!(Protocol::of(&raw), found.protocol);
    }
}

#[test]
fn every_protocol_has_a_sample_and_a_recogniser() {
    let sampled: HashSet<_> = samples().into_iter().map(|(name, ..)| name).collect();
    for protocol in Protocol::ALL
        .iter()
        .filter(|protocol| **protocol != Protocol::Unknown)
    {
        assert!(sampled.contains(protocol.name()), "{}", protocol.name());
        assert!(
            ORDER.iter().any(|(recognised, _)| recognised == protocol),
            "{}",
            protocol.name()
        );
    }
}

#[test]
fn names_are_lower_case_and_names_and_titles_unique() {
    let names: HashSet<_> = Protocol::ALL
        .iter()
        .map(|protocol| protocol.name())
        .collect();
    let titles: HashSet<_> = Protocol::ALL
        .iter()
        .map(|protocol| protocol.title())
        .collect();
    assert_eq!(
        (names.len(), titles.len()),
        (Protocol::ALL.len(), Protocol::ALL.len())
    );
    let allowed = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    assert!(names.iter().all(|name| name.chars().all(allowed)));
}

#[test]
fn near_misses_are_unknown() {
    for raw in text::NEAR_MISSES.iter().chain(binary::NEAR_MISSES) {
        let found = recognise(raw);
        let nothing = Recognised {
            protocol: Protocol::Unknown,
            evidence: 0..0,
            detail: None,
        };
        assert_eq!(found, nothing, "{}", raw.escape_ascii());
    }
}

#[test]
fn the_evidence_is_where_it_is() {
    for (raw, evidence) in [
        (
            &b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            &b"GET / HTTP/1.1"[..],
        ),
        (
            b"{\"id\": 1, \"method\": \"mining.subscribe\"}",
            b"mining.subscribe",
        ),
        (b"enable\r\n/bin/busybox X\r\n", b"/bin/busybox"),
        (
            b"\x03\0\0\x2a\x25\xe0\0\0\0\0\0Cookie: mstshash=a\r\n",
            b"\x03\0\0\x2a\x25\xe0\0\0\0\0\0Cookie: mstshash=a",
        ),
        (b"USER anonymous\r\n", b"USER"),
        (b"\x16\x03\x01", b"\x16\x03\x01"),
    ] {
        assert_eq!(
            raw.get(recognise(raw).evidence),
            Some(evidence),
            "{}",
            raw.escape_ascii()
        );
    }
}

#[test]
fn what_http_takes_is_nothing_else() {
    for raw in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"GET /",
        b"OPTIONS * HTTP/1.1\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\n\r\n",
        b"USER /a HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n{\"method\": \"mining.subscribe\", \"params\": []}",
        b"GET / HTTP/1.1\r\nX: ${/bin/busybox}\r\n\r\n/bin/busybox",
        b"SETUP /x HTTP/1.0\r\nAccept: application/x-rtsp-tunnelled RTSP/1.0\r\n\r\n",
        b"GET /?a=RTSP/1.0 HTTP/1.0\r\n\r\n",
        b"PRI * HTTP/2.1\r\n\r\n",
    ] {
        assert_eq!(recognise(raw).detail, None);
        assert_eq!(Protocol::of(raw), Protocol::Http, "{}", raw.escape_ascii());
    }
}

#[test]
fn no_prefix_and_no_mutation_panics_or_breaks_a_promise() {
    for (_, raw, _) in samples() {
        for end in 0..=raw.len() {
            check(&raw[..end]);
        }
        for at in 0..raw.len().min(200) {
            for value in [0, 1, 0x20, 0x7f, 0x80, 0xff, raw[at] ^ 1] {
                let mut mutated = raw.clone();
                mutated[at] = value;
                check(&mutated);
                mutated.truncate(at + 1 + usize::from(value) % 16);
                check(&mutated);
            }
            let mut doubled = raw.clone();
            doubled.insert(at, raw[at]);
            check(&doubled);
        }
    }
}

fn check(raw: &[u8]) {
    let found = recognise(raw);
    assert!(
        found.evidence.start <= found.evidence.end && found.evidence.end <= raw.len(),
        "{}",
        raw.escape_ascii()
    );
    if let Some(detail) = found.detail {
        assert!(
            !detail.is_empty() && detail.len() <= MAX_DETAIL_CHARS,
            "{detail}"
        );
        assert!(
            detail.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{detail}"
        );
    }
}

#[test]
fn a_request_of_http_cut_anywhere_is_http_or_unknown() {
    let raw = b"POST /cgi-bin/luci HTTP/1.1\r\nHost: 192.0.2.1\r\nContent-Length: 4\r\n\r\na=b&";
    for end in 0..=raw.len() {
        assert!(
            matches!(
                Protocol::of(&raw[..end]),
                Protocol::Http | Protocol::Unknown
            ),
            "{end}"
        );
    }
}

#[test]
fn a_long_detail_is_cut_and_says_so() {
    let mut raw = b"SSH-2.0-".to_vec();
    raw.resize(2000, 0xff);
    let detail = recognise(&raw).detail.unwrap();
    assert!(
        detail.starts_with("SSH-2.0-\\xff\\xff")
            && detail.ends_with("...")
            && detail.len() <= MAX_DETAIL_CHARS
    );
}
