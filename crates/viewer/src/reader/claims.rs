//! From whom a request claims to come: the headers in which an HTTP proxy passes on the client's
//! address.
//!
//! In: a parsed head. Out: addresses, each with the header that names it. Clients can write
//! anything into these headers, so the addresses are only claims. They are shown beside the source,
//! never instead of it.

use std::net::{IpAddr, SocketAddr};

use forever200_identify::http;
use serde::Serialize;

/// Headers that are read. `X-Forwarded-For` and `Forwarded` (RFC 7239) have a list, the client
/// first. The other headers are from nginx, Cloudflare and Akamai.
const HEADERS: [&str; 5] = [
    "X-Forwarded-For",
    "Forwarded",
    "X-Real-IP",
    "CF-Connecting-IP",
    "True-Client-IP",
];
/// Each of [`HEADERS`] contains one of these texts, in lower case. Bytes without any of them have
/// no such header.
pub(crate) const HEADERS_CONTAIN: [&str; 4] = [
    "forwarded",
    "x-real-ip",
    "cf-connecting-ip",
    "true-client-ip",
];
/// The parameter of `Forwarded` that has the client's address: RFC 7239, 5.2.
const FOR: &str = "for=";
/// Most claims of one request. The last claim of each header has room among them: the nearest proxy
/// wrote it, whatever the client wrote before. A chain of proxies makes two or three claims.
const MOST_CLAIMS: usize = 16;
const MOST_FIRST: usize = MOST_CLAIMS - HEADERS.len();
/// Most members of one list that are read, from each end.
const MOST_MEMBERS: usize = 32;
/// Longest member that may be an address: an IPv6 address in brackets and quotes, with a port.
const MAX_MEMBER_BYTES: usize = 64;

/// An address that a request claims to be from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// The header, as it is usually written.
    pub header: &'static str,
    /// The address, or its network if only that may be shown.
    pub address: String,
    /// The address or the first address of the network, for filters.
    #[serde(skip)]
    pub ip: IpAddr,
}

impl Claim {
    /// Makes a claim of an address. With `prefix`, `ip` is the network of this many bits that is
    /// shown instead.
    pub(crate) fn new(header: &'static str, ip: IpAddr, prefix: Option<u8>) -> Self {
        let address = match prefix {
            Some(bits) => format!("{ip}/{bits}"),
            None => ip.to_string(),
        };
        Self {
            header,
            address,
            ip,
        }
    }
}

/// Returns the claims of a head, each once and at most 16. The first claims come in their order,
/// and then the last claim of each header.
#[must_use]
pub fn claims(request: &http::Request<'_>) -> Vec<Claim> {
    let mut claims = Vec::new();
    let mut last = HEADERS.map(|header| (header, None));
    for field in &request.headers {
        let is_it = |(header, _): &&mut (&str, Option<IpAddr>)| {
            field.name.eq_ignore_ascii_case(header.as_bytes())
        };
        let Some((header, last)) = last.iter_mut().find(is_it) else {
            continue;
        };
        let value = field.plain_value();
        let members = || value.split(is_between_members);
        *last = members()
            .rev()
            .take(MOST_MEMBERS)
            .find_map(address)
            .or(*last);
        for ip in members().take(MOST_MEMBERS).filter_map(address) {
            if claims.len() < MOST_FIRST {
                add(&mut claims, Claim::new(header, ip, None));
            }
        }
    }
    for (header, ip) in last {
        if let Some(ip) = ip {
            add(&mut claims, Claim::new(header, ip, None));
        }
    }
    claims
}

fn is_between_members(byte: &u8) -> bool {
    matches!(byte, b',' | b';')
}

fn add(claims: &mut Vec<Claim>, claim: Claim) {
    if !claims.contains(&claim) {
        claims.push(claim);
    }
}

/// Reads an address, with or without a port, brackets and quotes.
fn address(member: &[u8]) -> Option<IpAddr> {
    if member.len() > MAX_MEMBER_BYTES {
        return None;
    }
    let text = std::str::from_utf8(member).ok()?.trim();
    let text = match text.split_at_checked(FOR.len()) {
        Some((name, rest)) if name.eq_ignore_ascii_case(FOR) => rest,
        _ => text,
    };
    let text = text.trim_matches('"');
    let inside = text.trim_start_matches('[').trim_end_matches(']');
    let with_port = || text.parse::<SocketAddr>().map(|it| it.ip());
    let ip: IpAddr = inside.parse().or_else(|_| with_port()).ok()?;
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(head: &str) -> String {
        let raw = format!("GET / HTTP/1.1\r\n{head}\r\n\r\n");
        let request = http::parse(raw.as_bytes()).unwrap();
        let claims = claims(&request).into_iter();
        let told: Vec<_> = claims
            .map(|it| format!("{} {}", it.header, it.address))
            .collect();
        told.join(", ")
    }

    #[test]
    fn each_header_is_read_in_each_of_its_forms() {
        for (head, claimed) in [
            (
                "x-forwarded-for: 198.51.100.7",
                "X-Forwarded-For 198.51.100.7",
            ),
            (
                "X-Forwarded-For: 198.51.100.7:4711,\t10.0.0.1 , 198.51.100.7",
                "X-Forwarded-For 198.51.100.7, X-Forwarded-For 10.0.0.1",
            ),
            (
                "X-Forwarded-For: ::ffff:198.51.100.7",
                "X-Forwarded-For 198.51.100.7",
            ),
            (
                "Forwarded: For=\"[2001:db8::7]:4711\";proto=http;by=203.0.113.43, for=198.51.100.7",
                "Forwarded 2001:db8::7, Forwarded 198.51.100.7",
            ),
            ("X-Real-IP: 2001:DB8::7", "X-Real-IP 2001:db8::7"),
            (
                "CF-Connecting-IP:[2001:db8::7]",
                "CF-Connecting-IP 2001:db8::7",
            ),
            (
                "True-Client-IP: 198.51.100.7\r\nX-Real-IP: 198.51.100.7",
                "True-Client-IP 198.51.100.7, X-Real-IP 198.51.100.7",
            ),
        ] {
            assert_eq!(told(head), claimed, "{head}");
        }
    }

    #[test]
    fn what_is_no_address_is_no_claim() {
        for head in [
            "X-Forwarded-For:",
            "X-Forwarded-For: unknown, _hidden, ${jndi:ldap://198.51.100.7/a}",
            "X-Forwarded-For: 198.51.100.7.8, 198.51.100, 3325256711, \u{e9}",
            "Forwarded: by=198.51.100.7;host=198.51.100.7",
            "X-Forwarded-Host: 198.51.100.7",
            "Cookie: X-Forwarded-For=198.51.100.7",
        ] {
            assert_eq!(told(head), "", "{head}");
        }
    }

    #[test]
    fn there_are_so_many_claims_and_no_more() {
        let list = |from: u8| {
            let all: Vec<_> = (from..=250)
                .map(|last| format!("10.0.{from}.{last}"))
                .collect();
            format!("X-Forwarded-For: {}", all.join(","))
        };
        assert_eq!(told(&list(0)).split(", ").count(), MOST_FIRST + 1);
        let all = HEADERS.map(|header| list(0).replace("X-Forwarded-For", header));
        assert_eq!(told(&all.join("\r\n")).split(", ").count(), MOST_CLAIMS);
        // The claim of the nearest proxy is found, whatever stands before and after it.
        for before in [
            "x,".repeat(MOST_MEMBERS),
            "10.0.0.1,".repeat(2000),
            list(0)[17..].to_owned() + ",",
        ] {
            for behind in ["", "\r\nX-Real-IP: 10.9.9.9", "\r\nForwarded: for=10.8.8.8"] {
                let head = format!("X-Forwarded-For: {before}198.51.100.7{behind}");
                assert!(
                    told(&head).contains("X-Forwarded-For 198.51.100.7"),
                    "{head}"
                );
            }
        }
        let between = "x,".repeat(MOST_MEMBERS);
        assert_eq!(
            told(&format!("X-Forwarded-For: {between}198.51.100.7,{between}")),
            ""
        );
    }

    #[test]
    fn a_search_through_bytes_finds_each_header() {
        for header in HEADERS {
            let header = header.to_lowercase();
            assert!(
                HEADERS_CONTAIN.iter().any(|it| header.contains(it)),
                "{header}"
            );
        }
    }
}
