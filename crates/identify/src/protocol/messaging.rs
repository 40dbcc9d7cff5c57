//! Message queues and other protocols that carry messages between programs.

use super::reading::{
    Found, big, counted, find, found, found_line, found_with, is_graphic, is_number, is_text, line,
    lines, need, split_nul, varint,
};

/// MQTT 3.1 to 5.0, section 3.1: CONNECT, a length, and the name of the protocol with its length.
pub(super) fn mqtt(bytes: &[u8]) -> Option<Found> {
    let (length, rest) = varint(bytes.strip_prefix(&[0x10])?)?;
    let (name, rest) = counted(rest, 2)?;
    need(length >= 10 && (name == b"MQTT" || name == b"MQIsdp"))?;
    let start = bytes.len() - rest.len();
    let version = rest.first().copied().unwrap_or_default();
    // Skip level, flags and keep alive; in version 5 also the properties with their length.
    let payload = rest.get(4..).unwrap_or_default();
    let payload = if version == 5 {
        after_properties(payload).unwrap_or_default()
    } else {
        payload
    };
    let client = counted(payload, 2).unwrap_or_default().0;
    let name = if client.is_empty() {
        b"without a name"
    } else {
        client
    };
    found_with(start, [b"client ", name].concat())
}

fn after_properties(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = varint(bytes)?;
    rest.get(length..)
}

/// MQTT, sections 3.12 and 3.14: PINGREQ or DISCONNECT. Each has two bytes, and nothing else may
/// follow.
pub(super) fn mqtt_ping(bytes: &[u8]) -> Option<Found> {
    match bytes {
        [0xc0, 0] => found_with(2, "PINGREQ"),
        [0xe0, 0] => found_with(2, "DISCONNECT"),
        _ => None,
    }
}

/// AMQP 0-9-1, 4.2.2 and AMQP 1.0, 2.2: `AMQP` and a version. Or AMQP 0-9-1, 4.2.3: frames that end
/// with 0xce.
pub(super) fn amqp(bytes: &[u8]) -> Option<Found> {
    if let Some(version) = bytes.strip_prefix(b"AMQP") {
        let numbers: Vec<String> = version.iter().take(4).map(u8::to_string).collect();
        return found_with(bytes.len().min(8), format!("version {}", numbers.join("-")));
    }
    let [kind @ (1 | 2 | 3 | 8), ..] = bytes else {
        return None;
    };
    let size = big(bytes, 3..7)?;
    need(size <= 1 << 20 && *bytes.get(7 + size)? == 0xce)?;
    // A METHOD frame names a class, and there are few.
    need(*kind != 1 || matches!(big(bytes, 7..9)?, 10 | 20 | 40 | 50 | 60 | 85 | 90))?;
    found_with(7, "frame")
}

/// STOMP 1.2, "Augmented BNF": a command, headers, an empty line, a NUL.
pub(super) fn stomp(bytes: &[u8]) -> Option<Found> {
    let command = line(bytes);
    need(matches!(
        command,
        b"CONNECT" | b"STOMP" | b"SEND" | b"SUBSCRIBE" | b"HELP"
    ))?;
    let (head, _) = split_nul(bytes)?;
    let headers: Vec<&[u8]> = lines(head)
        .skip(1)
        .take_while(|line| !line.is_empty())
        .collect();
    need(head.len() > command.len() + 1 && headers.iter().all(|header| header.contains(&b':')))?;
    found_with(
        command.len(),
        [&[command], headers.as_slice()].concat().join(&b", "[..]),
    )
}

/// Kafka protocol guide, "Request Header": the length of the rest, a key, a version, a number, the
/// client's name or none.
pub(super) fn kafka(bytes: &[u8]) -> Option<Found> {
    let (length, key, version) = (big(bytes, 0..4)?, big(bytes, 4..6)?, big(bytes, 6..8)?);
    need(length + 4 == bytes.len() && key <= 90 && version <= 20)?;
    if big(bytes, 12..14)? == 0xffff {
        // Without a name, only a short ApiVersions request counts, which clients send first: other
        // bytes would look too much like it.
        need(key == 18 && length <= 12)?;
        return found_with(14, "ApiVersions");
    }
    let (client, _) = counted(bytes.get(12..)?, 2)?;
    need(is_graphic(client))?;
    let name = match key {
        0 => "Produce".to_owned(),
        1 => "Fetch".to_owned(),
        3 => "Metadata".to_owned(),
        18 => "ApiVersions".to_owned(),
        key => format!("request {key}"),
    };
    found_with(
        14 + client.len(),
        [name.as_bytes(), b", client ", client].concat(),
    )
}

/// NATS client protocol, `CONNECT`: options in JSON.
pub(super) fn nats(bytes: &[u8]) -> Option<Found> {
    let options = bytes.strip_prefix(b"CONNECT ")?;
    need(options.trim_ascii_start().starts_with(b"{"))?;
    found_line(bytes)
}

/// OpenWire version 2: a length, WIREFORMAT_INFO (1), `ActiveMQ`. Or EXCEPTION_RESPONSE (31) with
/// the name of a class of Spring, from which servers before 5.18.3 make an object (CVE-2023-46604).
pub(super) fn openwire(bytes: &[u8]) -> Option<Found> {
    if bytes.get(4..)?.starts_with(b"\x01ActiveMQ") {
        return found_with(13, "WireFormatInfo");
    }
    need(bytes.get(4) == Some(&31) && big(bytes, 0..4)? <= bytes.len())?;
    let class = find(bytes, b"org.springframework.")?;
    found_with(5, bytes.get(class..)?)
}

/// ZMTP 2 and 3, "Greeting": a signature of ten bytes, the version.
pub(super) fn zmtp(bytes: &[u8]) -> Option<Found> {
    need(matches!(bytes, [0xff, 0, 0, 0, 0, 0, 0, 0, _, 0x7f, ..]))?;
    found(10)
}

/// IBM MQ, as captures show it: `TSH ` in ASCII or EBCDIC, and the length of the segment.
pub(super) fn mq(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(b"TSH") || bytes.starts_with(b"\xe3\xe2\xc8"))?;
    need((28..=0x8000).contains(&big(bytes, 4..8)?))?;
    found(8)
}

/// Zabbix manual, "Protocols": `ZBXD` and flags.
pub(super) fn zabbix(bytes: &[u8]) -> Option<Found> {
    let [b'Z', b'B', b'X', b'D', 1..=7, rest @ ..] = bytes else {
        return None;
    };
    let content = rest.get(8..).unwrap_or_default();
    found_with(
        5,
        if is_text(content) {
            content
        } else {
            b"compressed"
        },
    )
}

/// Gearman protocol, "Binary Packet": a NUL, `REQ`, a type, the length.
pub(super) fn gearman(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(b"\0REQ") && (1..=42).contains(&big(bytes, 4..8)?))?;
    found(8)
}

/// Lotus Notes: the first bytes, as captures show them.
pub(super) fn notes(bytes: &[u8]) -> Option<Found> {
    let [_, 0, 0, 0, _, 0, 0, 0, 2, 0, 0, 0x40, ..] = bytes else {
        return None;
    };
    found(12)
}

/// Erlang, "Distribution Protocol", 15.1: a length and one of the requests that other nodes and
/// tools send.
pub(super) fn epmd(bytes: &[u8]) -> Option<Found> {
    let (request, []) = counted(bytes, 2)? else {
        return None;
    };
    match request {
        b"n" => found_with(3, "asks for the names"),
        b"d" => found_with(3, "asks for all"),
        [b'z', name @ ..] if is_graphic(name) => {
            found_with(bytes.len(), [b"asks for the port of ", name].concat())
        }
        [b'x', _, _, b'H' | b'M', 0, ..] => found_with(3, "registers a node"),
        _ => None,
    }
}

/// Erlang, "Distribution Protocol", 15.2: a length, `n` or `N`, a version or flags, the name of the
/// node with an `@`.
pub(super) fn erlang(bytes: &[u8]) -> Option<Found> {
    let (request, _) = counted(bytes, 2)?;
    let name = match request {
        [b'n', 0, _, _, _, _, _, name @ ..] => name,
        [b'N', rest @ ..] => counted(rest.get(12..)?, 2)?.0,
        _ => return None,
    };
    need(is_graphic(name) && name.contains(&b'@'))?;
    found_with(3, [b"node ", name].concat())
}

/// FIX 4 and later, "Standard Header": the version of the protocol is the first field.
pub(super) fn fix(bytes: &[u8]) -> Option<Found> {
    need(bytes.starts_with(b"8=FIX"))?;
    found_with(5, bytes)
}

/// Nessus, before version 5: `< NTP/1.2 >`.
pub(super) fn nessus(bytes: &[u8]) -> Option<Found> {
    let version = line(bytes).strip_prefix(b"< NTP/")?.strip_suffix(b" >")?;
    need(version.split(|&byte| byte == b'.').all(is_number))?;
    found_line(bytes)
}
