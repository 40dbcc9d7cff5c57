//! The network itself: names, directories, clocks, tunnels, routes.

use super::reading::{
    Found, ber, ber_of, big, counted, find, found, found_with, is_graphic, is_number, little, need,
    until_nul, words,
};

/// Types of DNS records that are often asked for, by number: IANA, "DNS Parameters".
const DNS_TYPES: &[(usize, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (15, "MX"),
    (16, "TXT"),
    (28, "AAAA"),
    (33, "SRV"),
    (48, "DNSKEY"),
    (252, "AXFR"),
    (255, "ANY"),
    (257, "CAA"),
];

/// RFC 1035, 4.2.2: a length before the message; or the message alone, as in a datagram.
pub(super) fn dns(bytes: &[u8]) -> Option<Found> {
    if let Some((message, rest)) = counted(bytes, 2)
        && let Some(detail) = dns_message(message)
        && are_dns_messages(rest)
    {
        return found_with(14, detail);
    }
    found_with(12, dns_message(bytes)?)
}

/// Tells whether the bytes are only further DNS messages, or empty: several messages may come at
/// once.
fn are_dns_messages(mut rest: &[u8]) -> bool {
    while let Some((message, more)) = counted(rest, 2) {
        if dns_message(message).is_none() {
            return false;
        }
        rest = more;
    }
    rest.is_empty()
}

/// RFC 1035, 4.1: a query with one question that has a name, a type and a known class; or a request
/// for the status.
fn dns_message(message: &[u8]) -> Option<Vec<u8>> {
    let (&[_, _, flags, answer, 0, questions, 0, 0, 0, 0, 0, more], rest) =
        message.split_first_chunk::<12>()?
    else {
        return None;
    };
    // RFC 1035, 4.1.1: a query has no bits of an answer, and its kind is 0 (query) or 2 (status).
    need(flags & 0x86 == 0 && answer & 0xc0 == 0 && more <= 2)?;
    if flags & 0x78 == 0x10 && questions == 0 && rest.is_empty() {
        return Some(b"asks for the status".to_vec());
    }
    need(flags & 0x78 == 0 && questions == 1)?;
    let (name, rest) = dns_name(rest)?;
    let (kind, class) = (big(rest, 0..2)?, big(rest, 2..4)?);
    // Either an additional record follows (RFC 6891, or a signature), or nothing.
    need(matches!(class & 0x7fff, 1 | 3 | 4 | 255) && rest.get(4..)?.is_empty() == (more == 0))?;
    let kind = DNS_TYPES
        .iter()
        .find(|(number, _)| *number == kind)
        .map_or("", |(_, name)| name);
    let class = if class == 3 { "CH" } else { "" };
    Some(
        [&name, &b" "[..], kind.as_bytes(), b" ", class.as_bytes()]
            .concat()
            .trim_ascii_end()
            .to_vec(),
    )
}

fn dns_name(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut labels = Vec::new();
    loop {
        let (label, more) = counted(rest, 1)?;
        need(
            label.len() <= 63
                && label
                    .iter()
                    .all(|byte| byte.is_ascii_graphic() || *byte == b' '),
        )?;
        rest = more;
        if label.is_empty() {
            let name = if labels.is_empty() {
                b".".to_vec()
            } else {
                labels.join(&b"."[..])
            };
            return Some((name, rest));
        }
        labels.push(label);
    }
}

/// RFC 4511, 4.1.1: a sequence, the number of a message, a request (bind, unbind, search or an
/// extended one).
pub(super) fn ldap(bytes: &[u8]) -> Option<Found> {
    let (message, _) = ber_of(bytes, 0x30)?;
    let (number, rest) = ber_of(message, 2)?;
    let (request, content, _) = ber(rest)?;
    need((1..=4).contains(&number.len()))?;
    let detail = match request {
        0x60 => {
            let (version, rest) = ber_of(content, 2)?;
            let (name, _) = ber_of(rest, 4)?;
            need(matches!(version, [1..=3]))?;
            if name.is_empty() {
                b"bind without a name".to_vec()
            } else {
                [b"bind as ", name].concat()
            }
        }
        0x63 => {
            let (base, rest) = ber_of(content, 4)?;
            ber_of(rest, 10)?;
            if base.is_empty() {
                b"search of the root".to_vec()
            } else {
                [b"search of ", base].concat()
            }
        }
        0x42 if content.is_empty() => b"unbind".to_vec(),
        0x77 => [b"extended request ", ber_of(content, 0x80)?.0].concat(),
        _ => return None,
    };
    found_with(bytes.len() - rest.len() + 1, detail)
}

/// RFC 1157, 4 and RFC 3416, 3: a sequence, a version, a community, a request. RFC 3412, 6: version
/// 3, a sequence.
pub(super) fn snmp(bytes: &[u8]) -> Option<Found> {
    let (message, _) = ber_of(bytes, 0x30)?;
    let (version, rest) = ber_of(message, 2)?;
    if version == [3] {
        let (header, _) = ber_of(rest, 0x30)?;
        ber_of(header, 2)?;
        return found_with(bytes.len() - rest.len() + 1, "version 3");
    }
    let (community, rest) = ber_of(rest, 4)?;
    need(matches!(version, [0 | 1]) && matches!(rest.first()?, 0xa0..=0xa8))?;
    found_with(
        bytes.len() - rest.len() + 1,
        [b"community ", community].concat(),
    )
}

/// RFC 4120, 5.4.1 and 7.2.2: AS-REQ (10) or TGS-REQ (12), version 5; over TCP, the length stands
/// before it.
pub(super) fn kerberos(bytes: &[u8]) -> Option<Found> {
    let start = if big(bytes, 0..4)? + 4 == bytes.len() {
        4
    } else {
        0
    };
    let (kind, content, _) = ber(bytes.get(start..)?)?;
    let name = match kind {
        0x6a => "AS-REQ",
        0x6c => "TGS-REQ",
        _ => return None,
    };
    need(ber_of(content, 0x30)?.0.starts_with(&[0xa1, 3, 2, 1, 5]))?;
    // The wanted service is `krbtgt` and the realm, two strings (0x1b) in a row.
    let realm = find(bytes, b"krbtgt\x1b")
        .and_then(|at| counted(bytes.get(at + 7..)?, 1))
        .unwrap_or_default()
        .0;
    found_with(
        start + 2,
        [
            name.as_bytes(),
            if realm.is_empty() { b"" } else { b", realm " },
            realm,
        ]
        .concat(),
    )
}

/// RFC 5905, 7.3: a client's packet of 48 bytes, in which a request sets only the first twelve and
/// the last eight. RFC 9327: a question for variables. `ntpd`: a request for its list of clients
/// (monlist), with which floods are made.
pub(super) fn ntp(bytes: &[u8]) -> Option<Found> {
    let first = *bytes.first()?;
    need((1..=4).contains(&(first >> 3 & 7)))?;
    match first & 7 {
        3 if bytes.len() == 48 => {
            need(bytes.get(12..40)? == [0; 28])?;
            found_with(1, format!("client, version {}", first >> 3 & 7))
        }
        6 if bytes.len() == 12 && *bytes.get(1)? <= 0x1f && bytes.get(4..)? == [0; 8] => {
            found_with(2, "control")
        }
        7 if matches!(bytes.get(1..4)?, [0, 2 | 3, 0x2a]) => found_with(4, "monlist"),
        _ => None,
    }
}

/// RFC 8489, 5: a type of message, a length, and the magic cookie.
pub(super) fn stun(bytes: &[u8]) -> Option<Found> {
    let [0..=0x3f, _, _, low, 0x21, 0x12, 0xa4, 0x42, ..] = bytes else {
        return None;
    };
    need(low & 3 == 0)?;
    found(8)
}

/// RFC 7252, 3 and RFC 6690, 4: a request that asks for `/.well-known/core`.
pub(super) fn coap(bytes: &[u8]) -> Option<Found> {
    let [0x40..=0x58, 1..=4, ..] = bytes else {
        return None;
    };
    find(bytes, b"\xbb.well-known\x04core")?;
    found_with(2, "/.well-known/core")
}

/// IPMI 2.0, 13.1.3: RMCP version 6, the number 255 (no acknowledgement), a class (ASF or IPMI).
pub(super) fn ipmi(bytes: &[u8]) -> Option<Found> {
    let [6, 0, 0xff, class @ (6 | 7), ..] = bytes else {
        return None;
    };
    found_with(4, if *class == 6 { "ASF" } else { "IPMI" })
}

/// RFC 2637, 2: a length, a control message, the magic cookie.
pub(super) fn pptp(bytes: &[u8]) -> Option<Found> {
    let [_, _, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, ..] = bytes else {
        return None;
    };
    let vendor = until_nul(bytes.get(92..156).unwrap_or_default());
    found_with(
        8,
        if is_graphic(vendor) {
            [b"vendor ", vendor].concat()
        } else {
            Vec::new()
        },
    )
}

/// OpenVPN, `ssl_pkt.h`: a client's reset (7 or 10, key 0), a session, then no acknowledgements and
/// packet 0. Between them may be a proof of a shared key: a checksum of 16 to 64 bytes, a number
/// and the time. Or all of it is encrypted. Over TCP, a length stands before it.
pub(super) fn openvpn(bytes: &[u8]) -> Option<Found> {
    let (start, packet) = match counted(bytes, 2) {
        Some((packet, [])) => (2, packet),
        _ => (0, bytes),
    };
    let [0x38 | 0x50, _, _, _, _, _, _, _, _, rest @ ..] = packet else {
        return None;
    };
    let plain = rest.ends_with(&[0; 5]);
    let detail = match rest.len() {
        5 if plain => "reset",
        29 | 33 | 41 | 45 | 61 | 77 if plain => "reset, with tls-auth",
        45.. if rest.starts_with(&[0, 0, 0, 1]) && rest.len() < 1500 => "reset, with tls-crypt",
        _ => return None,
    };
    found_with(start + 1, detail)
}

/// RFC 4271, 4.1: 16 bytes 0xff, a length, a type.
pub(super) fn bgp(bytes: &[u8]) -> Option<Found> {
    let rest = bytes.strip_prefix(&[0xff; 16])?;
    need((19..=4096).contains(&big(rest, 0..2)?) && (1..=5).contains(rest.get(2)?))?;
    found(19)
}

/// OpenFlow 1.0 to 1.5, 7.1: a version, HELLO (0), the length of the whole message; further
/// elements only since 1.3.
pub(super) fn openflow(bytes: &[u8]) -> Option<Found> {
    let [version @ 1..=6, 0, ..] = bytes else {
        return None;
    };
    need(big(bytes, 2..4)? == bytes.len() && bytes.len() >= 8)?;
    need(bytes.len() == 8 || big(bytes, 8..10)? == 1)?;
    found_with(4, format!("hello, version 1.{}", version - 1))
}

/// tinc, `protocol_auth.c`: ID (0), the name of the node, version 17.
pub(super) fn tinc(bytes: &[u8]) -> Option<Found> {
    let [b"0", name, version] = *words(bytes) else {
        return None;
    };
    let (major, minor) = version.split_at_checked(2)?;
    need(major == b"17" && (minor.is_empty() || minor.strip_prefix(b".").is_some_and(is_number)))?;
    need(is_graphic(name))?;
    found_with(
        2 + name.len() + 1 + version.len(),
        [b"node ", name].concat(),
    )
}

/// ANSI/NISO Z39.50, 4.1: InitializeRequest; its first field is a reference number or the version.
pub(super) fn z3950(bytes: &[u8]) -> Option<Found> {
    let (content, rest) = ber_of(bytes, 0xb4)?;
    need(
        rest.is_empty() && matches!(content.first()?, 0x82 | 0x83) && little(content, 1..2)? <= 4,
    )?;
    found_with(3, "initialize")
}
