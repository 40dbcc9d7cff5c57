//! Protocols of telephone companies and telephones.

use super::reading::{Found, big, found_with, is_graphic, little, need, until_nul};

/// RFC 6733, 3: version 1, the length of the whole message, the flag of a request, and a command
/// that begins a session or is common in one (RFC 6733, 3.1; 3GPP TS 29.272 for mobile networks).
pub(super) fn diameter(bytes: &[u8]) -> Option<Found> {
    let [1, _, _, _, flags, ..] = bytes else {
        return None;
    };
    let length = big(bytes, 1..4)?;
    need(length >= 20 && length.is_multiple_of(4) && length <= bytes.len())?;
    need(flags & 0x8f == 0x80)?;
    let name = match big(bytes, 5..8)? {
        257 => "Capabilities-Exchange",
        258 => "Re-Auth",
        271 => "Accounting",
        272 => "Credit-Control",
        274 => "Abort-Session",
        275 => "Session-Termination",
        280 => "Device-Watchdog",
        282 => "Disconnect-Peer",
        316 => "Update-Location",
        318 => "Authentication-Information",
        321 => "Purge-UE",
        _ => return None,
    };
    found_with(8, name)
}

/// SMPP 3.4, 3.2: the length of the whole message, a command, no status, a number; 4.1: the
/// commands that open a session.
pub(super) fn smpp(bytes: &[u8]) -> Option<Found> {
    need(big(bytes, 0..4)? == bytes.len() && big(bytes, 8..12)? == 0 && big(bytes, 12..16)? > 0)?;
    let name = match big(bytes, 4..8)? {
        1 => "bind_receiver",
        2 => "bind_transmitter",
        9 => "bind_transceiver",
        0x15 if bytes.len() == 16 => return found_with(16, "enquire_link"),
        _ => return None,
    };
    let user = until_nul(bytes.get(16..)?);
    need(user.is_empty() || is_graphic(user))?;
    found_with(16, [name.as_bytes(), b" ", user].concat().trim_ascii_end())
}

/// ITU-T H.225.0 in a packet of RFC 1006: Q.931 (8), a reference of two bytes, SETUP (5).
pub(super) fn h323(bytes: &[u8]) -> Option<Found> {
    let [3, 0, _, _, 8, 2, _, _, 5, ..] = bytes else {
        return None;
    };
    need(big(bytes, 2..4)? >= bytes.len())?;
    found_with(9, "SETUP")
}

/// Cisco's Skinny, as Wireshark reads it: the length without the first eight bytes, a version of 0
/// to 22, a message.
pub(super) fn skinny(bytes: &[u8]) -> Option<Found> {
    need(little(bytes, 0..4)? + 8 == bytes.len() && little(bytes, 4..8)? <= 22)?;
    match little(bytes, 8..12)? {
        // The name of the device, 16 bytes.
        1 => {
            let name = until_nul(bytes.get(12..28)?);
            need(is_graphic(name))?;
            found_with(12, [b"registers ", name].concat())
        }
        _ => None,
    }
}
