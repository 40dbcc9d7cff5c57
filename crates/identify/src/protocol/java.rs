//! Java: its debugger, its serialised objects, its servers; and CORBA, which is as old.

use super::reading::{Found, counted, found, found_line, found_with, need, split_nul, until_nul};

/// JDWP specification, "Handshake": 14 letters. If a command follows, its set and number are at 9
/// and 10.
pub(super) fn jdwp(bytes: &[u8]) -> Option<Found> {
    let handshake = b"JDWP-Handshake";
    let command = bytes.strip_prefix(handshake)?;
    let detail = match command.get(9..11) {
        Some([set, command]) => format!("handshake, command {set}.{command}"),
        _ => "handshake".to_owned(),
    };
    found_with(handshake.len(), detail)
}

/// RMI Wire Protocol, 10.2.1: `JRMI`, a version of two bytes, a type of stream.
pub(super) fn rmi(bytes: &[u8]) -> Option<Found> {
    let kind = match bytes {
        [b'J', b'R', b'M', b'I', _, _, kind @ b'K'..=b'M', ..] => kind,
        [b'J', b'R', b'M', b'I', 0, ..] => return found(5),
        _ => return None,
    };
    found_with(
        7,
        ["stream", "single operation", "multiplexed"].get(usize::from(kind - b'K'))?,
    )
}

/// Java Object Serialization Specification, 6.4: the magic number 0xaced and version 5; then the
/// name of a class behind TC_OBJECT and TC_CLASSDESC.
pub(super) fn java_serialized(bytes: &[u8]) -> Option<Found> {
    let rest = bytes.strip_prefix(&[0xac, 0xed, 0, 5])?;
    let class = rest
        .strip_prefix(&[0x73, 0x72])
        .and_then(|rest| counted(rest, 2))
        .unwrap_or_default()
        .0;
    found_with(4, class)
}

/// CORBA 3.0.3, 15.4.1: `GIOP`, version 1.0 to 1.3, flags, a kind of message.
pub(super) fn iiop(bytes: &[u8]) -> Option<Found> {
    let [b'G', b'I', b'O', b'P', 1, minor @ 0..=3, ..] = bytes else {
        return None;
    };
    let kind = match bytes.get(7) {
        Some(0) => ", request",
        Some(3) => ", asks where an object is",
        _ => "",
    };
    found_with(6, format!("version 1.{minor}{kind}"))
}

/// WebLogic: `t3 12.2.1`, then lines such as `AS:255` and `HL:19`.
pub(super) fn t3(bytes: &[u8]) -> Option<Found> {
    let version = bytes
        .strip_prefix(b"t3 ")
        .or_else(|| bytes.strip_prefix(b"t3s "))?;
    need(version.first()?.is_ascii_digit())?;
    found_line(bytes)
}

/// The Apache Tomcat Connectors, AJPv1.3: 0x1234, the length of the packet, and FORWARD_REQUEST (2)
/// or CPING (10).
pub(super) fn ajp(bytes: &[u8]) -> Option<Found> {
    match bytes {
        [0x12, 0x34, 0, 1, 10] => found_with(5, "CPING"),
        // The method is 1 to 27, or 255 if its name follows; the protocol is a counted string.
        [
            0x12,
            0x34,
            _,
            _,
            2,
            1..=27 | 0xff,
            0,
            _,
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            rest @ ..,
        ] => {
            let uri = split_nul(rest)
                .and_then(|(_, rest)| rest.get(2..))
                .map(until_nul)
                .unwrap_or_default();
            found_with(6, [b"forward request ", uri].concat())
        }
        _ => None,
    }
}
