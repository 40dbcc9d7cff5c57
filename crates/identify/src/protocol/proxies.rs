//! Requests to forward a connection: SOCKS; and the PROXY header, in which a client claims another
//! address.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::reading::{Found, counted, found_with, is_graphic, is_one_of, line, need, split_nul};

/// The signature of version 2: `haproxy/doc/proxy-protocol.txt`, 2.2.
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// `haproxy/doc/proxy-protocol.txt`, 2.1 and 2.2. The sender only claims the addresses.
pub(super) fn proxy(bytes: &[u8]) -> Option<Found> {
    if let Some(header) = bytes.strip_prefix(PROXY_V2) {
        return found_with(bytes.len().min(16), proxy_v2(header)?);
    }
    let line = line(bytes);
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let detail = match *words.as_slice() {
        [b"PROXY", family, source, target, from, to] if is_one_of(family, &["TCP4", "TCP6"]) => {
            [b"claims ", source, b":", from, b" to ", target, b":", to].concat()
        }
        [b"PROXY", b"UNKNOWN", ..] => b"claims no address".to_vec(),
        [b"PROXY", b"TCP4" | b"TCP6", ..] => b"version 1, cut or broken".to_vec(),
        _ => return None,
    };
    found_with(line.len(), detail)
}

fn proxy_v2(header: &[u8]) -> Option<String> {
    let (&[command, family, ..], addresses) = header.split_first_chunk::<4>()?;
    need(matches!(command, 0x20 | 0x21))?;
    let claimed = match family >> 4 {
        1 => addresses.split_first_chunk::<12>().map(
            |(&[a, b, c, d, e, f, g, h, s1, s0, t1, t0], _)| {
                let (source, target) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
                let (from, to) = (u16::from_be_bytes([s1, s0]), u16::from_be_bytes([t1, t0]));
                format!("claims {source}:{from} to {target}:{to}")
            },
        ),
        2 => addresses
            .split_first_chunk::<16>()
            .and_then(|(source, rest)| {
                let (target, rest) = rest.split_first_chunk::<16>()?;
                let (&[s1, s0, t1, t0], _) = rest.split_first_chunk()?;
                let (from, to) = (u16::from_be_bytes([s1, s0]), u16::from_be_bytes([t1, t0]));
                Some(format!(
                    "claims [{}]:{from} to [{}]:{to}",
                    Ipv6Addr::from(*source),
                    Ipv6Addr::from(*target)
                ))
            }),
        _ => None,
    };
    Some(claimed.unwrap_or_else(|| "claims no address".to_owned()))
}

/// `SOCKS4.protocol` and SOCKS 4A: connect or bind, a port, an address, a user, NUL. After an
/// address 0.0.0.x, a host and NUL follow.
pub(super) fn socks4(bytes: &[u8]) -> Option<Found> {
    let (&[4, command @ (1 | 2), high, low, a, b, c, d], rest) = bytes.split_first_chunk::<8>()?
    else {
        return None;
    };
    let (user, rest) = split_nul(rest)?;
    let port = u16::from_be_bytes([high, low]);
    need(port != 0 && (user.is_empty() || is_graphic(user)))?;
    let target = match [a, b, c] {
        [0, 0, 0] if d != 0 => {
            let (host, _) = split_nul(rest)?;
            need(is_graphic(host))?;
            format!("{}:{port}", host.escape_ascii())
        }
        // Another address that begins with 0 is no target: the bytes are of another protocol.
        [0, ..] => return None,
        _ => format!("{}:{port}", Ipv4Addr::new(a, b, c, d)),
    };
    let detail = format!("{} {target}", if command == 1 { "CONNECT" } else { "BIND" });
    found_with(
        8,
        if user.is_empty() {
            detail
        } else {
            format!("{detail} as {}", user.escape_ascii())
        },
    )
}

/// RFC 1928, 3: the number of methods, then the methods, each once; known numbers are 0 to 9, and
/// 128 and above. Nothing may follow but a request of RFC 1928, 4, or a log-in, from a client that
/// did not wait for the answer.
pub(super) fn socks5(bytes: &[u8]) -> Option<Found> {
    let (methods, rest) = counted(bytes.strip_prefix(&[5])?, 1)?;
    need(
        (1..=16).contains(&methods.len())
            && methods
                .iter()
                .all(|method| matches!(method, 0..=9 | 0x80..)),
    )?;
    need(
        methods
            .iter()
            .enumerate()
            .all(|(at, method)| !methods.iter().take(at).any(|earlier| earlier == method)),
    )?;
    let detail = match rest {
        [] => methods
            .iter()
            .map(method_name)
            .collect::<Vec<_>>()
            .join(", "),
        [5, command @ 1..=3, 0, address @ ..] => {
            let command = ["CONNECT", "BIND", "UDP ASSOCIATE"].get(usize::from(*command) - 1)?;
            format!("{command} {}", target(address)?)
        }
        // RFC 1929: name and password, also sent before the answer.
        [1, name @ ..] => format!("log-in as {}", counted(name, 1)?.0.escape_ascii()),
        _ => return None,
    };
    found_with(2 + methods.len(), detail)
}

fn method_name(method: &u8) -> String {
    match method {
        0 => "no log-in".to_owned(),
        1 => "GSSAPI".to_owned(),
        2 => "name and password".to_owned(),
        method => format!("method {method}"),
    }
}

/// Returns the target of a request: RFC 1928, 5.
fn target(address: &[u8]) -> Option<String> {
    let (kind, rest) = address.split_first()?;
    let (host, port) = match kind {
        1 => rest
            .split_first_chunk::<4>()
            .map(|(host, port)| (Ipv4Addr::from(*host).to_string(), port))?,
        3 => counted(rest, 1).map(|(host, port)| (host.escape_ascii().to_string(), port))?,
        4 => rest
            .split_first_chunk::<16>()
            .map(|(host, port)| (format!("[{}]", Ipv6Addr::from(*host)), port))?,
        _ => return None,
    };
    let (port, _) = port.split_first_chunk()?;
    Some(format!("{host}:{}", u16::from_be_bytes(*port)))
}
