//! HTTP, and protocols that look like it or lie below it.

use forever200_head::Head;

use super::reading::{
    Found, find, found, found_line, found_with, is_graphic, is_only_line, line, need,
};
use crate::tls as hello;

/// RFC 9113, 3.4. A reader that takes these bytes for HTTP/1.1 stops at the first blank line, so
/// this part must be enough.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
const WHOLE_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// RFC 8446, 5.1: at most 2^14 bytes of content; RFC 5246, 6.2.3: encryption may add 2048.
const MAX_TLS_RECORD: u16 = (1 << 14) + 2048;

/// HTTP/0.9, 1.0 and 1.1, read as leniently as the crate's `http` module does, and requests of
/// Icecast's sources. There is no detail, because the page shows the parts of the request.
pub(super) fn http(bytes: &[u8]) -> Option<Found> {
    let version = version(bytes)?;
    need(version.is_empty() || is_of(version, b"HTTP/") || is_of(version, b"ICE/"))?;
    let start = bytes.iter().position(|byte| !b"\r\n".contains(byte))?;
    let end = start + line(bytes.get(start..)?).len();
    Some(Found {
        evidence: start..end,
        detail: None,
    })
}

pub(super) fn http2(bytes: &[u8]) -> Option<Found> {
    let Some(frames) = bytes.strip_prefix(WHOLE_PREFACE) else {
        return bytes
            .starts_with(PREFACE)
            .then(|| found_with(PREFACE.len() - 2, "preface"))?;
    };
    // RFC 9113, 3.4: SETTINGS (type 4) is the first frame.
    let detail = if frames.get(3) == Some(&4) {
        "preface, SETTINGS"
    } else {
        "preface"
    };
    found_with(WHOLE_PREFACE.len(), detail)
}

/// RFC 2326, 6.1 and RFC 7826: a request line as in HTTP, but with another version at its end.
pub(super) fn rtsp(bytes: &[u8]) -> Option<Found> {
    request_line(bytes, b"RTSP/")
}

/// RFC 3261, 7.1.
pub(super) fn sip(bytes: &[u8]) -> Option<Found> {
    request_line(bytes, b"SIP/")
}

/// RFC 3507, 4.3.2.
pub(super) fn icap(bytes: &[u8]) -> Option<Found> {
    request_line(bytes, b"ICAP/")
}

/// Recognises a request line whose version has this name, then a digit, a dot and a digit.
fn request_line(bytes: &[u8], name: &[u8]) -> Option<Found> {
    let version = version(bytes)?;
    need(is_of(version, name))?;
    need(matches!(
        version[name.len()..],
        [b'0'..=b'9', b'.', b'0'..=b'9']
    ))?;
    found_line(bytes)
}

/// Returns the version at the end of a request line; empty if there is none.
fn version(bytes: &[u8]) -> Option<&[u8]> {
    let head = Head::parse(bytes)?;
    Some(head.slice(&head.line.version))
}

fn is_of(version: &[u8], name: &[u8]) -> bool {
    version
        .get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// FastCGI specification, 3.3 and 5.1: version 1, BEGIN_REQUEST with eight bytes of content, a role
/// of 1 to 3, flags 0 or 1, five reserved bytes that are zero.
pub(super) fn fastcgi(bytes: &[u8]) -> Option<Found> {
    let [1, 1, _, _, 0, 8, _, _, 0, 1..=3, 0 | 1, 0, 0, 0, 0, 0, ..] = bytes else {
        return None;
    };
    let name = b"SCRIPT_FILENAME";
    let script = find(bytes, name)
        .and_then(|at| bytes.get(at + name.len()..))
        .map(until_control)
        .unwrap_or_default();
    found_with(16, script)
}

fn until_control(bytes: &[u8]) -> &[u8] {
    bytes.split(u8::is_ascii_control).next().unwrap_or_default()
}

/// Adobe, "RTMP Specification 1.0", 5.2: version 3, then 1536 bytes: the time, four zeros, random
/// bytes. FFmpeg (`rtmpproto.c`, `RTMP_CLIENT_VER1`) and other players send their version in place
/// of the zeros.
pub(super) fn rtmp(bytes: &[u8]) -> Option<Found> {
    need(
        bytes.len() == 1537
            && matches!(
                bytes,
                [3, _, _, _, _, 0, 0, 0, 0, ..] | [3, _, _, _, _, 9, 0, 124, 2, ..]
            ),
    )?;
    found(9)
}

/// Adobe, "Policy file changes in Flash Player 9": the whole request is this element and a NUL.
pub(super) fn flash_policy(bytes: &[u8]) -> Option<Found> {
    let request = b"<policy-file-request/>";
    need(bytes.starts_with(request))?;
    found(request.len())
}

/// RFC 8446, 5.1. A handshake record is recognised by its type and version, even if it is truncated
/// there. Other records also need a plausible length, because their first bytes are less typical.
pub(super) fn tls(bytes: &[u8]) -> Option<Found> {
    let [kind @ 0x14..=0x18, 3, minor @ 0..=4, rest @ ..] = bytes else {
        return None;
    };
    if *kind == 0x16 {
        return found_with(bytes.len().min(6), handshake(bytes));
    }
    let (&length, _) = rest.split_first_chunk()?;
    need((1..=MAX_TLS_RECORD).contains(&u16::from_be_bytes(length)))?;
    let what = match kind {
        0x14 => "ChangeCipherSpec",
        0x15 => "Alert",
        0x17 => "ApplicationData",
        _ => "Heartbeat",
    };
    found_with(
        5,
        format!(
            "{what}, {}",
            hello::version_name(0x0300 | u16::from(*minor))
        ),
    )
}

fn handshake(bytes: &[u8]) -> Vec<u8> {
    if let Some(hello) = hello::parse(bytes) {
        let version = hello::version_name(hello.version());
        let start = format!("ClientHello, {version}").into_bytes();
        return hello.server_name.map_or(start.clone(), |name| {
            [&start, &b", for "[..], &name].concat()
        });
    }
    match bytes.get(5) {
        Some(1) => b"ClientHello, cut short".to_vec(),
        Some(2) => b"ServerHello".to_vec(),
        _ => b"handshake".to_vec(),
    }
}

/// RFC 6101, appendix E.1: a length with its highest bit set, CLIENT-HELLO, a version, and three
/// lengths that add up.
pub(super) fn ssl2(bytes: &[u8]) -> Option<Found> {
    let (&[high, low, kind, major, minor, c1, c0, s1, s0, r1, r0], _) =
        bytes.split_first_chunk()?;
    let number = |high: u8, low: u8| usize::from(u16::from_be_bytes([high, low]));
    let (ciphers, session, challenge) = (number(c1, c0), number(s1, s0), number(r1, r0));
    need(high & 0x80 != 0 && kind == 1 && matches!((major, minor), (0, 2) | (3, 0..=4)))?;
    need(
        ciphers > 0
            && ciphers.is_multiple_of(3)
            && matches!(session, 0 | 16)
            && (16..=32).contains(&challenge),
    )?;
    need(number(high & 0x7f, low) == 9 + ciphers + session + challenge)?;
    let version = hello::version_name(u16::from_be_bytes([major, minor]));
    found_with(11, format!("ClientHello of SSL 2.0, up to {version}"))
}

/// RFC 6347, 4.1: a handshake of version 1.0 or 1.2, in the first epoch.
pub(super) fn dtls(bytes: &[u8]) -> Option<Found> {
    need(matches!(bytes, [0x16, 0xfe, 0xff | 0xfd, 0, 0, 0, 0, ..]))?;
    found(5)
}

/// Gemini specification, 2: an address on a line of its own. It comes without TLS here, although
/// the protocol demands TLS.
pub(super) fn gemini(bytes: &[u8]) -> Option<Found> {
    let address = line(bytes);
    need(address.starts_with(b"gemini://") && is_graphic(address))?;
    need(is_only_line(bytes, address))?;
    found_line(bytes)
}

/// WS-Discovery 1.0 and 1.1: an envelope of SOAP, here without HTTP, whose action is a Probe.
pub(super) fn ws_discovery(bytes: &[u8]) -> Option<Found> {
    const ACTIONS: [&[u8]; 2] = [
        b"http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe",
        b"http://docs.oasis-open.org/ws-dd/ns/discovery/2009/01/Probe",
    ];
    need(bytes.trim_ascii_start().starts_with(b"<"))?;
    let (at, action) = ACTIONS
        .into_iter()
        .find_map(|action| Some((find(bytes, action)?, action)))?;
    Some(Found {
        evidence: at..at + action.len(),
        detail: None,
    })
}
