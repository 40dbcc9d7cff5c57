//! Routers and video recorders of cameras: the protocols of the programs that control them.

use super::reading::{Found, find, found, found_with, is_graphic, little, need, until_nul};

/// Length of the head of DVRIP.
const DVRIP_HEAD_BYTES: usize = 20;
/// The number of the log-in message in DVRIP.
const DVRIP_LOGIN: usize = 1000;

/// MikroTik, "API", "Protocol": words, each with its length before it, and an empty one at the end;
/// the first is the command.
pub(super) fn mikrotik(bytes: &[u8]) -> Option<Found> {
    let command = b"\x06/login";
    need(bytes.starts_with(command) && bytes.len() > command.len())?;
    found_with(command.len(), "/login")
}

/// MikroTik Winbox before RouterOS 6.43, as captures show it: the length of a block, a number, and
/// the name of a file.
pub(super) fn winbox(bytes: &[u8]) -> Option<Found> {
    let name = until_nul(bytes.strip_prefix(&[0x12, 2])?);
    need((name == b"list" || name == b"index") && bytes.len() > 2 + name.len())?;
    found_with(2 + name.len(), [b"asks for ", name].concat())
}

/// Dahua, as captures show it: a log-in (0xa0) with a head of 32 bytes, which has the name of the
/// user and ends with a1 aa. Newer devices: 32, `DHIP`.
pub(super) fn dahua(bytes: &[u8]) -> Option<Found> {
    if bytes.starts_with(b"\x20\0\0\0DHIP") {
        return found_with(8, "DHIP");
    }
    need(bytes.first() == Some(&0xa0) && bytes.get(30..32)? == [0xa1, 0xaa])?;
    let user = until_nul(bytes.get(8..16)?);
    let detail = if is_graphic(user) {
        [b"user ", user].concat()
    } else {
        Vec::new()
    };
    found_with(32, detail)
}

/// Xiongmai, "DVRIP": 0xff, a version, a session, a sequence, the number of a message and the
/// length of its content in JSON; the first message is a log-in.
pub(super) fn dvrip(bytes: &[u8]) -> Option<Found> {
    need(matches!(bytes, [0xff, 0 | 1, ..]) && little(bytes, 14..16)? == DVRIP_LOGIN)?;
    need(little(bytes, 16..20)? > 0 && find(bytes, b"{").is_none_or(|at| at == DVRIP_HEAD_BYTES))?;
    found(DVRIP_HEAD_BYTES)
}
