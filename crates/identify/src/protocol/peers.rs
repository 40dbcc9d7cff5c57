//! Peer-to-peer networks, miners, games, and malware that connects to its server.

use super::reading::{
    Found, big, counted, find, found_with, is_graphic, little, need, until_nul, varint,
};

/// Names of methods with which a miner talks to its pool, besides `mining.…` and `login`. They are
/// of Monero's and Ethereum's Stratum.
const MINING_METHODS: [&[u8]; 6] = [
    b"getjob",
    b"keepalived",
    b"eth_submitLogin",
    b"eth_submitWork",
    b"eth_submitHashrate",
    b"eth_getWork",
];
/// Magic numbers of Bitcoin (main network and two test networks), Litecoin, Dogecoin, Dash, Zcash.
const COINS: [[u8; 4]; 7] = [
    [0xf9, 0xbe, 0xb4, 0xd9],
    [0x0b, 0x11, 0x09, 0x07],
    [0xfa, 0xbf, 0xb5, 0xda],
    [0xfb, 0xc0, 0xb6, 0xdb],
    [0xc0, 0xc0, 0xc0, 0xc0],
    [0xbf, 0x0c, 0x6b, 0xbd],
    [0x24, 0xe9, 0x27, 0x64],
];
/// Possible sizes of a first message of RLPx: ECIES adds a key, an initialisation vector and a
/// checksum, and padding makes it longer.
const RLPX_BYTES: std::ops::RangeInclusive<usize> = 300..=700;

/// BEP 3: 19 and the name of the protocol, flags, a hash, the name of the peer. BEP 5: a message
/// for the table of peers.
pub(super) fn bittorrent(bytes: &[u8]) -> Option<Found> {
    if bytes.starts_with(b"d1:ad2:id20:") {
        return found_with(12, "table of peers");
    }
    let name = b"\x13BitTorrent protocol";
    need(bytes.starts_with(name))?;
    found_with(
        name.len(),
        bytes
            .get(48..68)
            .map(|peer| [b"peer ", peer].concat())
            .unwrap_or_default(),
    )
}

/// Stratum: JSON-RPC in lines, with a method of mining.
pub(super) fn stratum(bytes: &[u8]) -> Option<Found> {
    let (at, method) = json_method(bytes)?;
    let has = |word: &[u8]| find(bytes, word).is_some();
    // Log-ins of other protocols have no wallet and no name of a program.
    let is_login =
        method == b"login" && has(b"\"login\"") && (has(b"\"pass\"") || has(b"\"agent\""));
    let is_mining = method.starts_with(b"mining.")
        || is_login
        || MINING_METHODS.contains(&method)
        || (method == b"submit" && has(b"\"job_id\""));
    need(is_mining)?;
    Some(Found {
        evidence: at..at + method.len(),
        ..found_with(0, method)?
    })
}

/// JSON-RPC 1.0 and 2.0: an object with a method, and with a version, parameters or an id.
pub(super) fn json_rpc(bytes: &[u8]) -> Option<Found> {
    let (at, method) = json_method(bytes)?;
    need(
        [&b"\"jsonrpc\""[..], b"\"params\"", b"\"id\""]
            .iter()
            .any(|key| find(bytes, key).is_some()),
    )?;
    Some(Found {
        evidence: at..at + method.len(),
        ..found_with(0, method)?
    })
}

/// Returns the method of a request in JSON, and its place.
fn json_method(bytes: &[u8]) -> Option<(usize, &[u8])> {
    need(bytes.trim_ascii_start().starts_with(b"{") || bytes.trim_ascii_start().starts_with(b"["))?;
    let key = b"\"method\"";
    let rest = bytes
        .get(find(bytes, key)? + key.len()..)?
        .trim_ascii_start();
    let value = rest
        .strip_prefix(b":")?
        .trim_ascii_start()
        .strip_prefix(b"\"")?;
    let method = value.split(|&byte| byte == b'"').next()?;
    need(is_graphic(method))?;
    Some((bytes.len() - value.len(), method))
}

/// wiki.vg (minecraft.wiki), "Server List Ping": a length, packet 0, a version, a name, a port, the
/// next state. A client whose length is wrong is known by the request for the status behind it, `01
/// 00`. Before 1.7: 0xfe 0x01, alone or followed by a message to a plug-in (0xfa).
pub(super) fn minecraft(bytes: &[u8]) -> Option<Found> {
    if let [0xfe, 1] | [0xfe, 1, 0xfa, ..] = bytes {
        return found_with(2, "ping of versions before 1.7");
    }
    let (length, rest) = varint(bytes)?;
    let packet = rest;
    let (version, rest) = varint(packet.strip_prefix(&[0])?)?;
    let (host_bytes, rest) = varint(rest)?;
    let (host, rest) = rest.split_at_checked(host_bytes)?;
    let ([high, low], [1..=3, behind @ ..]) = rest.split_first_chunk()? else {
        return None;
    };
    let is_length = packet.len() == length + behind.len();
    need(is_length || behind == [1, 0])?;
    // Proxies and mods append their own data behind a NUL.
    let (host, port) = (until_nul(host), u16::from_be_bytes([*high, *low]));
    need(is_graphic(host) && host_bytes <= 1024)?;
    found_with(
        bytes.len().min(length + 2),
        [
            version_of(version).as_bytes(),
            host,
            format!(":{port}").as_bytes(),
        ]
        .concat(),
    )
}

/// wiki.vg (minecraft.wiki), "Protocol version numbers": returns the names of those that scanners
/// use most.
fn version_of(number: usize) -> String {
    let version = match number {
        4 => "1.7.2",
        5 => "1.7.10",
        47 => "1.8",
        107 => "1.9",
        210 => "1.10",
        316 => "1.11.2",
        340 => "1.12.2",
        404 => "1.13.2",
        498 => "1.14.4",
        578 => "1.15.2",
        754 => "1.16.5",
        756 => "1.17.1",
        758 => "1.18.2",
        760 => "1.19.2",
        763 => "1.20.1",
        765 => "1.20.4",
        767 => "1.21",
        0xffff_ffff.. => return "protocol of any version, ".to_owned(),
        number => return format!("protocol number {number}, "),
    };
    format!("protocol {version}, ")
}

/// Bitcoin protocol documentation, "Message structure": a network, and a command padded with NULs.
pub(super) fn bitcoin(bytes: &[u8]) -> Option<Found> {
    let (network, rest) = bytes.split_first_chunk::<4>()?;
    let (command, _) = rest.split_first_chunk::<12>()?;
    let name = until_nul(command);
    need(COINS.contains(network) && !name.is_empty() && name.iter().all(u8::is_ascii_lowercase))?;
    need(command.iter().skip(name.len()).all(|&byte| byte == 0))?;
    found_with(16, name)
}

/// RLPx with EIP-8, "Changes to the RLPx handshake": the size of the rest, which begins like an
/// uncompressed key. There is no magic number. So the range of sizes is narrow, and this recogniser
/// stands near the end of `ORDER`.
pub(super) fn ethereum(bytes: &[u8]) -> Option<Found> {
    let size = big(bytes, 0..2)?;
    need(RLPX_BYTES.contains(&size) && size + 2 == bytes.len() && bytes.get(2) == Some(&4))?;
    found_with(3, "handshake of RLPx")
}

/// tor-spec, 4.1: circuit 0, VERSIONS (7), a length, versions of two bytes.
pub(super) fn tor(bytes: &[u8]) -> Option<Found> {
    let versions = bytes.strip_prefix(&[0, 0, 7])?;
    let (versions, []) = counted(versions, 2)? else {
        return None;
    };
    need(!versions.is_empty() && versions.len().is_multiple_of(2))?;
    need(
        versions
            .chunks(2)
            .all(|version| matches!(version, [0, 1..=10])),
    )?;
    found_with(5, "VERSIONS")
}

/// Gh0st and its variants: five letters, two lengths (the second one of the uncompressed data), and
/// the magic number of zlib.
pub(super) fn gh0st(bytes: &[u8]) -> Option<Found> {
    if bytes.starts_with(b"Gh0st") {
        return found_with(5, "Gh0st");
    }
    let marker = bytes.get(..5)?;
    need(is_graphic(marker) && matches!(bytes.get(13..15)?, [0x78, 0x9c | 0x01 | 0xda]))?;
    need(
        (15..=1 << 20).contains(&little(bytes, 5..9)?)
            && (1..=1 << 20).contains(&little(bytes, 9..13)?),
    )?;
    found_with(5, marker)
}

/// njRAT: a length in digits and NUL (not in early versions), `ll` or `lv`, fields between `|'|'|`
/// or up to `[endof]`.
pub(super) fn njrat(bytes: &[u8]) -> Option<Found> {
    let digits = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let rest = bytes.get(digits..)?;
    let rest = if digits > 0 {
        rest.strip_prefix(&[0])?
    } else {
        rest
    };
    need(rest.starts_with(b"ll") || rest.starts_with(b"lv"))?;
    let mark = rest.get(2..)?;
    need(mark.starts_with(b"|'|'|") || mark.starts_with(b"[endof]"))?;
    found_with(bytes.len() - mark.len() + 5, rest.trim_ascii_end())
}

/// Monero, `LEVIN_PROTOCOL.md`: a signature, a length, a flag that asks for an answer, a command.
pub(super) fn levin(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(&[0x01, 0x21, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01]))?;
    let name = match little(bytes, 17..21)? {
        1001 => "handshake",
        1002 => "timed sync",
        1003 => "ping",
        1007 => "support flags",
        _ => "message",
    };
    found_with(8, name)
}
