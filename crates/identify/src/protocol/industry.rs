//! Machines, buildings, hospitals: devices that should not be on the internet and that scanners
//! look for.

use super::reading::{
    Found, big, find, found, found_line, found_with, is_graphic, is_text, line, little, need,
    until_nul,
};
use super::remote::connection_request;

/// Modbus Messaging on TCP/IP, 3.1.3: protocol 0, the length of the rest, a unit, a function;
/// Modbus Application Protocol, 6: the length of the request for each function.
pub(super) fn modbus(bytes: &[u8]) -> Option<Found> {
    let (&[_, _, 0, 0, 0, length, unit, function], data) = bytes.split_first_chunk::<8>()? else {
        return None;
    };
    let length = usize::from(length);
    // Several requests may come at once.
    let (_, rest) = bytes.split_at_checked(length + 6)?;
    need(rest.is_empty() || matches!(rest, [_, _, 0, 0, 0, _, _, ..]))?;
    let (name, fits) = match function {
        1 => ("read coils", length == 6),
        2 => ("read inputs", length == 6),
        3 => ("read holding registers", length == 6),
        4 => ("read input registers", length == 6),
        5 | 6 => ("write one", length == 6),
        7 | 11 | 12 | 17 => ("report", length == 2),
        8 => ("diagnose", length == 6),
        15 | 16 => (
            "write several",
            length >= 8 && big(data, 4..5)? + 7 == length,
        ),
        43 => (
            "read identification",
            matches!(length, 5 | 6) && *data.first()? == 14,
        ),
        // Schneider's UMAS: a session and a function.
        90 => ("UMAS", length >= 4),
        _ => return None,
    };
    need(fits)?;
    found_with(8, format!("unit {unit}, {name}"))
}

/// RFC 905, 13.3.4: a request for an ISO transport connection with its parameters: size (0xc0),
/// caller (0xc1), called (0xc2). Returns the called end.
fn transport_ends(bytes: &[u8]) -> Option<&[u8]> {
    let mut parameters = connection_request(bytes)?;
    let mut called = None;
    while let [code @ 0xc0..=0xc2, length, rest @ ..] = parameters {
        let (value, rest) = rest
            .split_at_checked(usize::from(*length))
            .unwrap_or((rest, &[]));
        if *code == 0xc2 {
            called = Some(value);
        }
        parameters = rest;
    }
    called
}

/// Siemens S7: a connection to a rack and slot, as a programming device, a panel or another (1 to
/// 3); or a job (0x32, or 0x72 in newer versions) in transport data.
pub(super) fn s7comm(bytes: &[u8]) -> Option<Found> {
    if let [3, 0, _, _, 2, 0xf0, 0x80, 0x32 | 0x72, ..] = bytes {
        return found_with(8, "job");
    }
    let [1..=3, place] = transport_ends(bytes)? else {
        return None;
    };
    found_with(
        11,
        format!("connects to rack {}, slot {}", place >> 5, place & 0x1f),
    )
}

/// RFC 1006 for devices that are not from Siemens: MMS and other protocols above ISO transport.
pub(super) fn iso_tsap(bytes: &[u8]) -> Option<Found> {
    let called = transport_ends(bytes)?;
    if is_graphic(called) {
        return found_with(11, [b"connects to ", called].concat());
    }
    found_with(
        11,
        called.iter().fold("connects to ".to_owned(), |text, byte| {
            format!("{text}{byte:02x}")
        }),
    )
}

/// ISO 13400-2, 9: a version and its complement, a type of payload, its length.
pub(super) fn doip(bytes: &[u8]) -> Option<Found> {
    let [version, inverse, ..] = bytes else {
        return None;
    };
    need(*inverse == !*version && matches!(version, 1..=4 | 0xff))?;
    need(big(bytes, 4..8)? + 8 == bytes.len())?;
    let name = match big(bytes, 2..4)? {
        1..=3 => "asks for the vehicle",
        5 => "activates routing",
        7 => "asks whether it is alive",
        0x4001 | 0x4003 => "asks for the state",
        0x8001 => "diagnoses",
        _ => return None,
    };
    found_with(8, name)
}

/// KNXnet/IP, 2.3: a header of six bytes, version 1.0, a service, the length of the whole message.
pub(super) fn knx(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(&[6, 0x10]) && big(bytes, 4..6)? == bytes.len())?;
    let name = match big(bytes, 2..4)? {
        0x201 | 0x20b => "search",
        0x203 => "asks for a description",
        0x205 => "connects",
        0x207 => "asks for the state",
        0x310 => "configures",
        0x420 => "tunnel",
        0x530 => "routes",
        _ => return None,
    };
    found_with(6, name)
}

/// ASHRAE 135, annex J.2: 0x81, a function, the length of the whole message; then version 1, if the
/// function carries a message.
pub(super) fn bacnet(bytes: &[u8]) -> Option<Found> {
    let [0x81, function @ 0..=0x0c, ..] = bytes else {
        return None;
    };
    need(big(bytes, 2..4)? == bytes.len())?;
    need(!matches!(function, 9..=11) || bytes.get(4) == Some(&1))?;
    found(4)
}

/// IEEE 1815, 9.2.4: 0x0564, a length of at least 5, a control byte of the asking side, the two
/// addresses.
pub(super) fn dnp3(bytes: &[u8]) -> Option<Found> {
    let (&[0x05, 0x64, 5..=255, control, d0, d1, s0, s1, _, _], _) =
        bytes.split_first_chunk::<10>()?
    else {
        return None;
    };
    need(control & 0x40 != 0)?;
    found_with(
        4,
        format!(
            "from {} to {}",
            u16::from_le_bytes([s0, s1]),
            u16::from_le_bytes([d0, d1])
        ),
    )
}

/// CIP, volume 2, 2-3: a command, the length of the data behind the header of 24 bytes, no status,
/// no options.
pub(super) fn enip(bytes: &[u8]) -> Option<Found> {
    let name = match little(bytes, 0..2)? {
        0x04 => "ListServices",
        0x63 => "ListIdentity",
        0x64 => "ListInterfaces",
        0x65 => "RegisterSession",
        0x66 => "UnregisterSession",
        0x6f => "SendRRData",
        0x70 => "SendUnitData",
        _ => return None,
    };
    need(little(bytes, 2..4)? + 24 == bytes.len())?;
    need(little(bytes, 8..12)? == 0 && little(bytes, 20..24)? == 0)?;
    found_with(4, name)
}

/// IEC 60870-5-104, 5: 0x68, a length, four control bytes. These are of a U frame (one of six), an
/// S frame, or an I frame, whose numbers are low because the connection is new.
pub(super) fn iec104(bytes: &[u8]) -> Option<Found> {
    let [0x68, length @ 4..=253, rest @ ..] = bytes else {
        return None;
    };
    let frame = rest.get(..usize::from(*length))?;
    need(matches!(rest.get(frame.len()), None | Some(0x68)))?;
    let name = match frame {
        [7, 0, 0, 0] => "STARTDT",
        [0x0b, 0, 0, 0] => "STARTDT confirmed",
        [0x13, 0, 0, 0] => "STOPDT",
        [0x23, 0, 0, 0] => "STOPDT confirmed",
        [0x43, 0, 0, 0] => "TESTFR",
        [0x83, 0, 0, 0] => "TESTFR confirmed",
        [1, 0, low, _] if low & 1 == 0 => "received",
        [low, 0, received, 0, 1..=127, 1..=127, ..]
            if (low | received) & 1 == 0 && frame.len() >= 10 =>
        {
            "data"
        }
        _ => return None,
    };
    found_with(6, name)
}

/// OPC 10000-6, 7.1.2: HEL, F, the length of the whole message, the version of the protocol;
/// further behind, the address of the wanted server.
pub(super) fn opcua(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(b"HELF") && little(bytes, 4..8)? >= 32 && little(bytes, 8..12)? == 0)?;
    found_with(8, bytes.get(32..).unwrap_or_default())
}

/// Niagara Fox: `fox a 1 -1 fox hello`.
pub(super) fn fox(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(b"fox a ") && is_text(line(bytes)))?;
    found_line(bytes)
}

/// Omron W421, 7-4: `FINS` and the length of the rest.
pub(super) fn fins(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(b"FINS") && big(bytes, 4..8)? + 8 == bytes.len())?;
    found(8)
}

/// ProConOS: the message with which scanners ask for its version.
pub(super) fn proconos(bytes: &[u8]) -> Option<Found> {
    bytes
        .starts_with(&[0xcc, 1, 0, 0x0b, 0x40, 2])
        .then(|| found(6))?
}

/// Phoenix Contact PC Worx, as scanners begin it: a length, and the name of the asking program.
pub(super) fn pcworx(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(&[1, 1, 0, 0x1a]) && find(bytes, b"IBETH01N0_M").is_some())?;
    found(4)
}

/// CODESYS 2, as scanners send it: 0xbbbb, and a length in either byte order.
pub(super) fn codesys(bytes: &[u8]) -> Option<Found> {
    matches!(
        bytes,
        [0xbb, 0xbb, 1, 0, 0, 0, ..] | [0xbb, 0xbb, 0, 0, 0, 1, ..]
    )
    .then(|| found(6))?
}

/// HART-IP (HCF SPEC-085), 7: version 1, a request, a message id, no status, the length of the
/// whole message.
pub(super) fn hart_ip(bytes: &[u8]) -> Option<Found> {
    let [1, 0, 0..=3, 0, _, _, _, _, ..] = bytes else {
        return None;
    };
    need(bytes.len() >= 8 && big(bytes, 6..8)? == bytes.len())?;
    found(8)
}

/// Veeder-Root TLS-350, "Serial Interface Manual": SOH, `I` (asks) or `S` (sets), a function and a
/// tank in digits.
pub(super) fn atg(bytes: &[u8]) -> Option<Found> {
    let (&[1, b'I' | b'S' | b'i' | b's', ref digits @ ..], _) = bytes.split_first_chunk::<7>()?
    else {
        return None;
    };
    need(digits.iter().all(u8::is_ascii_hexdigit))?;
    found_with(7, bytes.get(1..7)?)
}

/// DICOM PS3.8, 9.3.2: A-ASSOCIATE-RQ (1), the length, version 1, and two names of 16 characters.
pub(super) fn dicom(bytes: &[u8]) -> Option<Found> {
    let [1, 0, _, _, _, _, 0, 1, 0, 0, ..] = bytes else {
        return None;
    };
    let (called, calling) = (bytes.get(10..26)?, bytes.get(26..42)?);
    need(big(bytes, 2..6)? >= 68 && is_text(called) && is_text(until_nul(calling)))?;
    found_with(
        10,
        [
            b"to ",
            called.trim_ascii_end(),
            b" from ",
            until_nul(calling).trim_ascii_end(),
        ]
        .concat(),
    )
}

/// HL7 2, "Minimal Lower Layer Protocol": VT and the header of a message.
pub(super) fn hl7(bytes: &[u8]) -> Option<Found> {
    bytes
        .starts_with(b"\x0bMSH|")
        .then(|| found_with(5, bytes.split(|&byte| byte == b'\r').next()?.get(1..)?))?
}
