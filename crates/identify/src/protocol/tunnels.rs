//! Tunnels and firewalls: messages that open a tunnel, and questions to a firewall.

use super::reading::{Found, big, found_with, need};

/// RFC 2408, 3.1 and RFC 7296, 3.1: no cookie of the responder, as in a first message, version 1.0
/// or 2.0, an exchange that begins something, and the length of the whole message. RFC 8229: over
/// TCP, `IKETCP` or a length and four zeros stand before it. Praetorian's fingerprintx leaves out
/// the first cookie, but counts it in the length.
pub(super) fn isakmp(bytes: &[u8]) -> Option<Found> {
    let message = isakmp_over_tcp(bytes).unwrap_or(bytes);
    let start = bytes.len() - message.len();
    let cookies_end = if message.get(8..12) == Some(b"\x01\x10\x02\0") {
        8
    } else {
        16
    };
    let name = match message.get(cookies_end + 1..cookies_end + 3)? {
        [0x10, 2] => "IKE version 1, main mode",
        [0x10, 4] => "IKE version 1, aggressive mode",
        [0x20, 34] => "IKE version 2",
        _ => return None,
    };
    let length = big(message, cookies_end + 8..cookies_end + 12)?;
    let is_first = message.get(cookies_end - 8..cookies_end)? == [0; 8];
    need(is_first && length + cookies_end == message.len() + 16)?;
    found_with(start + cookies_end + 12, name)
}

fn isakmp_over_tcp(bytes: &[u8]) -> Option<&[u8]> {
    let framed = bytes.strip_prefix(b"IKETCP").unwrap_or(bytes);
    need(big(framed, 0..2)? == framed.len())?;
    framed.get(2..)?.strip_prefix(&[0; 4])
}

/// RFC 5036, 3.1 and 3.5: version 1, the length of the rest, an address and a label space, a
/// message that opens a session.
pub(super) fn ldp(bytes: &[u8]) -> Option<Found> {
    let [0, 1, _, _, a, b, c, d, 0, 0, kind @ (1 | 2), 0 | 1, ..] = bytes else {
        return None;
    };
    need(big(bytes, 2..4)? + 4 == bytes.len() && big(bytes, 12..14)? + 14 <= bytes.len())?;
    let what = if *kind == 2 {
        "opens a session"
    } else {
        "hello"
    };
    found_with(12, format!("{what}, from {a}.{b}.{c}.{d}"))
}

/// Check Point's topology service: the messages with which scanners ask for names.
pub(super) fn checkpoint(bytes: &[u8]) -> Option<Found> {
    let opens = b"\x51\0\0\0\0\0\0\x21";
    let asks = b"\0\0\0\x0bsecuremote\0";
    need(bytes.starts_with(opens) || bytes.starts_with(asks))?;
    found_with(8, "asks for its name")
}
