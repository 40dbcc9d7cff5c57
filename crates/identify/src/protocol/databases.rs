//! Databases.

use super::reading::{
    Found, big, counted, find, found, found_line, found_with, is_graphic, is_only_line, little,
    need, split_nul, until_nul,
};

/// MongoDB Wire Protocol: the length of the message, its number, 0 because it answers no other
/// message, and a kind of request.
pub(super) fn mongodb(bytes: &[u8]) -> Option<Found> {
    let (length, kind) = (little(bytes, 0..4)?, little(bytes, 12..16)?);
    need(
        (16..=48_000_000).contains(&length)
            && bytes.len() <= length + 4096
            && little(bytes, 8..12)? == 0,
    )?;
    let detail = match kind {
        // OP_MSG: flags, a section of kind 0, a document whose first element names the command.
        2013 => until_nul(bytes.get(26..).unwrap_or_default()).to_vec(),
        2004 => [b"query of ", until_nul(bytes.get(20..).unwrap_or_default())].concat(),
        2001 | 2002 | 2005..=2007 | 2010 | 2012 => Vec::new(),
        _ => return None,
    };
    found_with(16, detail)
}

/// CQL Binary Protocol v1 to v5: version, flags, stream, a request, and the length of its body.
pub(super) fn cassandra(bytes: &[u8]) -> Option<Found> {
    let (header, opcode) = match bytes {
        [1 | 2, 0, 0..=0x7f, opcode, ..] => (4, opcode),
        [3..=5, 0 | 0x10, _, _, opcode, ..] => (5, opcode),
        _ => return None,
    };
    let body = bytes.get(header + 4..)?;
    need(big(bytes, header..header + 4)? == body.len())?;
    let detail = match opcode {
        1 if find(body, b"CQL_VERSION").is_some() => "STARTUP",
        5 if body.is_empty() => "OPTIONS",
        7 if body.len() > 6 => "QUERY",
        11 if body.len() > 4 => "REGISTER",
        _ => return None,
    };
    found_with(header + 4, format!("version {}, {detail}", bytes.first()?))
}

/// MySQL, "Protocol::HandshakeResponse41": the second packet of a connection, whose 23 bytes of
/// filler are zero.
pub(super) fn mysql(bytes: &[u8]) -> Option<Found> {
    need(little(bytes, 0..3)? + 4 == bytes.len() && bytes.get(3) == Some(&1))?;
    need(little(bytes, 4..8)? & 0x200 != 0 && bytes.get(13..36)? == [0; 23])?;
    let user = until_nul(bytes.get(36..)?);
    found_with(
        36,
        if user.is_empty() {
            b"asks for TLS".to_vec()
        } else {
            [b"log-in as ", user].concat()
        },
    )
}

/// PostgreSQL, "Message Formats": a length, then version 3 and pairs of words; or a number that
/// asks for encryption.
pub(super) fn postgres(bytes: &[u8]) -> Option<Found> {
    let (length, code) = (big(bytes, 0..4)?, big(bytes, 4..8)?);
    // Scanners ask with versions that do not exist, so that the server lists its versions.
    let names_user = length == bytes.len() && bytes.get(8..)?.starts_with(b"user\0");
    match (length, code) {
        (8, 80_877_103) => return found_with(8, "asks for TLS"),
        (8, 80_877_104) => return found_with(8, "asks for GSSAPI"),
        (16, 80_877_102) => return found_with(8, "cancels a query"),
        (9..=10_000, 0x0003_0000..=0x0003_0002) => {}
        _ if names_user => {}
        _ => return None,
    }
    let mut words = bytes.get(8..)?.split(|&byte| byte == 0);
    let mut said = Vec::new();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        if !name.is_empty() {
            need(is_graphic(name))?;
            said.push([name, b" ", value].concat());
        }
    }
    need(!said.is_empty())?;
    found_with(8, said.join(&b", "[..]))
}

/// Oracle Net, as captures show it: a length, no checksum, CONNECT (1), a version from 300 on, and
/// words in parentheses.
pub(super) fn oracle(bytes: &[u8]) -> Option<Found> {
    let [_, _, 0, 0, 1, _, 0, 0, ..] = bytes else {
        return None;
    };
    need(
        big(bytes, 0..2)? >= 26
            && (300..=330).contains(&big(bytes, 8..10)?)
            && big(bytes, 10..12)? <= 330,
    )?;
    found_with(
        12,
        find(bytes, b"(")
            .and_then(|at| bytes.get(at..))
            .map(until_nul)
            .unwrap_or_default(),
    )
}

/// Firebird, `remote/protocol.h`: op_connect (1), op_attach (19), a version of 2 or 3, a kind of
/// machine.
pub(super) fn firebird(bytes: &[u8]) -> Option<Found> {
    need(matches!(
        bytes,
        [
            0,
            0,
            0,
            1,
            0,
            0,
            0,
            0x13,
            0,
            0,
            0,
            2 | 3,
            0,
            0,
            0,
            1..=0x40,
            ..
        ]
    ))?;
    found(16)
}

/// DRDA, volume 3: a length, 0xd0, EXCSAT (0x1041); or the name of DB2's own client.
pub(super) fn drda(bytes: &[u8]) -> Option<Found> {
    if bytes
        .get(12..)
        .is_some_and(|rest| rest.starts_with(b"SQLDB2RA"))
    {
        return found_with(20, "SQLDB2RA");
    }
    let [_, _, 0xd0, _, _, _, _, _, 0x10, 0x41, ..] = bytes else {
        return None;
    };
    need(big(bytes, 0..2)? >= 10 && big(bytes, 6..8)? <= big(bytes, 0..2)?)?;
    found_with(10, "EXCSAT")
}

pub(super) fn db2das(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(b"\0\0\0\0DB2DAS"))?;
    found(10)
}

/// Tarantool's console: the command that scanners send.
pub(super) fn tarantool(bytes: &[u8]) -> Option<Found> {
    need(is_only_line(bytes, b"show info"))?;
    found_line(bytes)
}

/// Neo4j, "Bolt Protocol handshake".
pub(super) fn bolt(bytes: &[u8]) -> Option<Found> {
    bytes
        .starts_with(&[0x60, 0x60, 0xb0, 0x17])
        .then(|| found(4))?
}

/// ClickHouse, native protocol: hello (0) and the client's name.
pub(super) fn clickhouse(bytes: &[u8]) -> Option<Found> {
    let (name, _) = counted(bytes.strip_prefix(&[0])?, 1)?;
    need(name.starts_with(b"ClickHouse"))?;
    found_with(2 + name.len(), name)
}

/// Thrift, binary protocol: the length of a frame or none, version 1, CALL, the name of the method.
pub(super) fn thrift(bytes: &[u8]) -> Option<Found> {
    let start = if bytes.starts_with(&[0x80, 1, 0, 1]) {
        0
    } else {
        4
    };
    let (name, _) = counted(bytes.get(start..)?.strip_prefix(&[0x80, 1, 0, 1])?, 4)?;
    need(is_graphic(name) && split_nul(name).is_none())?;
    found_with(start + 4, name)
}

/// Hadoop, `RpcConstants` and `Client.writeConnectionHeader`: `hrpc`, a version, a class of
/// service, an authentication method.
pub(super) fn hadoop(bytes: &[u8]) -> Option<Found> {
    let version = bytes.strip_prefix(b"hrpc")?.first()?;
    need((1..=9).contains(version))?;
    found_with(5, format!("version {version}"))
}

/// RethinkDB, `ql2.proto`, `VersionDummy`: a magic number, the low byte first.
pub(super) fn rethinkdb(bytes: &[u8]) -> Option<Found> {
    let version = match bytes {
        [0x3e, 0xe8, 0x75, 0x5f, ..] => "version 0.3",
        [0x20, 0x2d, 0x0c, 0x40, ..] => "version 0.4",
        [0xc3, 0xbd, 0xc2, 0x34, ..] => "version 1.0",
        _ => return None,
    };
    found_with(4, version)
}
