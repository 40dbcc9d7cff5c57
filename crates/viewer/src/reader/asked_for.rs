//! The name that a request asks for. Clients that scan all addresses know no name.
//!
//! In: the parts of a request, and the address to which it came. Out: one name, and what sort of
//! name it is. Makes no DNS queries: the name is what the client wrote, and need not belong to this
//! machine.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use forever200_identify::http;
use memchr::memchr;
use serde::Serialize;

use crate::bytes::printable;
use crate::reader::tls_parts::TlsParts;

/// Longest name, and longest part of one: RFC 1035, 2.3.4, without the length of the root.
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;
/// Longest user, name and port together. A longer text is no name.
const MAX_AUTHORITY_BYTES: usize = 1024;
/// Longest text that is shown if it is neither a name nor an address, in characters.
const MAX_ODD_CHARS: usize = 80;

/// The name that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AskedFor {
    /// What sort of name it is.
    pub kind: NameKind,
    /// The name, without user and port: a DNS name in lower case, an address in its usual form, or
    /// one printable line of another text. Empty where it is hidden.
    pub name: String,
}

/// What sort of name a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameKind {
    /// The address to which the request came, or a name or address that always means the same
    /// machine: `localhost`, `127.0.0.1`.
    OwnAddress,
    /// Another address. Behind address translation (NAT), the client may have sent the request to
    /// it.
    OtherAddress,
    /// A valid DNS name.
    Name,
    /// Neither an address nor a name.
    Odd,
    /// A name that is not shown.
    Hidden,
}

impl NameKind {
    /// All variants.
    pub const ALL: [Self; 5] = [
        Self::OwnAddress,
        Self::OtherAddress,
        Self::Name,
        Self::Odd,
        Self::Hidden,
    ];

    /// Returns the name of the variant in JSON and filters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OwnAddress => "own-address",
            Self::OtherAddress => "other-address",
            Self::Name => "name",
            Self::Odd => "odd",
            Self::Hidden => "hidden",
        }
    }
}

/// Returns the bytes that name what a request asks for: the first Host header with a value, else
/// the authority of its target, else the server name of TLS. `None` where there is none of them.
#[must_use]
pub fn authority<'a>(
    http: Option<&http::Request<'a>>,
    tls: Option<&'a TlsParts>,
) -> Option<Cow<'a, [u8]>> {
    if let Some(http) = http
        && let Some(authority) = http_authority(http)
    {
        return Some(authority);
    }
    match tls?.server_name.as_deref() {
        Some([]) | None => None,
        Some(name) => Some(Cow::Borrowed(name)),
    }
}

fn http_authority<'a>(http: &http::Request<'a>) -> Option<Cow<'a, [u8]>> {
    for header in &http.headers {
        let is_host = header.name.eq_ignore_ascii_case(b"host");
        if is_host && !header.value.trim_ascii().is_empty() {
            return Some(header.plain_value());
        }
    }
    target_authority(http).map(Cow::Borrowed)
}

/// Returns the authority of a target in absolute form, or the target of CONNECT: RFC 9112, 3.2.
fn target_authority<'a>(http: &http::Request<'a>) -> Option<&'a [u8]> {
    let target = http.target;
    if http.method.eq_ignore_ascii_case(b"CONNECT") {
        return (!target.is_empty()).then_some(target);
    }
    let (scheme, rest) = target.split_at(memchr(b':', target)?);
    if scheme.is_empty() || !scheme.iter().all(|&byte| is_of_scheme(byte)) {
        return None;
    }
    let behind = rest.strip_prefix(b"://")?;
    let end = behind.iter().position(|byte| b"/?#\\".contains(byte));
    let authority = &behind[..end.unwrap_or(behind.len())];
    (!authority.is_empty()).then_some(authority)
}

fn is_of_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
}

impl AskedFor {
    /// A name that is not shown.
    pub const HIDDEN: Self = Self {
        kind: NameKind::Hidden,
        name: String::new(),
    };

    /// Reads the name in `authority`. `dest` is the address to which the request came.
    #[must_use]
    pub fn new(authority: &[u8], dest: IpAddr) -> Self {
        let Some(host) = host_of(authority) else {
            return Self::odd(authority);
        };
        if let Some(asked_for) = Self::address(&host, dest) {
            return asked_for;
        }
        if !is_name(&host) {
            return Self::odd(authority);
        }
        // RFC 6761, 6.3: these names always mean the same machine.
        let is_own = host == "localhost" || host.ends_with(".localhost");
        Self {
            kind: if is_own {
                NameKind::OwnAddress
            } else {
                NameKind::Name
            },
            name: host,
        }
    }

    /// Reads an address in any form. Some programs read a number that begins with 0 as octal,
    /// others as decimal. If one of the two readings is the own address, this reading counts.
    fn address(host: &str, dest: IpAddr) -> Option<Self> {
        let dest = dest.to_canonical();
        let readings = readings(host);
        for ip in &readings {
            if ip.is_loopback() || !dest.is_unspecified() && *ip == dest {
                return Some(Self {
                    kind: NameKind::OwnAddress,
                    name: ip.to_string(),
                });
            }
        }
        let first = readings.first()?;
        Some(Self {
            kind: NameKind::OtherAddress,
            name: first.to_string(),
        })
    }

    fn odd(authority: &[u8]) -> Self {
        Self {
            kind: NameKind::Odd,
            name: printable::line(authority.trim_ascii(), MAX_ODD_CHARS),
        }
    }
}

/// Finds the host in `user@host:port`, without brackets and without the dot at its end, in lower
/// case (RFC 3986, 3.2); `None` where there is none.
fn host_of(authority: &[u8]) -> Option<String> {
    let authority = authority.trim_ascii();
    if authority.len() > MAX_AUTHORITY_BYTES {
        return None;
    }
    let text = std::str::from_utf8(authority).ok()?;
    let behind_user = text.rsplit_once('@').map_or(text, |(_, behind)| behind);
    let host = match behind_user.strip_prefix('[') {
        Some(rest) => {
            let (inside, behind) = rest.split_once(']')?;
            let port = behind.strip_prefix(':').unwrap_or(behind);
            if !are_digits(port) {
                return None;
            }
            inside
        }
        None => match behind_user.split_once(':') {
            Some((host, port)) if are_digits(port) => host,
            // An address of IPv6 without brackets.
            _ => behind_user,
        },
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    // RFC 4007, 11: the zone of an address means nothing on other machines.
    let host = host.split('%').next().unwrap_or(host);
    Some(host.to_ascii_lowercase())
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns all addresses that a text may mean, the most usual reading first.
fn readings(host: &str) -> Vec<IpAddr> {
    let mut readings = Vec::new();
    if let Ok(ip) = host.parse::<IpAddr>() {
        readings.push(ip.to_canonical());
    }
    for radix_of_zero in [8, 10] {
        if let Some(ip) = ipv4(host, radix_of_zero) {
            readings.push(ip.into());
        }
    }
    readings
}

/// Reads an IPv4 address as `inet_aton` of POSIX does: up to four numbers. The last one fills the
/// remaining bits.
fn ipv4(host: &str, radix_of_zero: u32) -> Option<Ipv4Addr> {
    let mut bits: u64 = 0;
    let mut left: u32 = 32;
    let mut numbers = host.split('.').peekable();
    while let Some(digits) = numbers.next() {
        let number = number(digits, radix_of_zero)?;
        let width = if numbers.peek().is_some() { 8 } else { left };
        if width == 0 || u64::from(number) >> width != 0 {
            return None;
        }
        left = left.checked_sub(width)?;
        bits = bits << width | u64::from(number);
    }
    u32::try_from(bits).ok().map(Ipv4Addr::from_bits)
}

fn number(digits: &str, radix_of_zero: u32) -> Option<u32> {
    let (digits, radix) = match (digits.strip_prefix("0x"), digits.strip_prefix('0')) {
        (Some(hex), _) => (hex, 16),
        (None, Some(rest)) if !rest.is_empty() => (rest, radix_of_zero),
        _ => (digits, 10),
    };
    // `from_str_radix` would also accept a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

/// Tells whether this is a valid DNS name: letters, digits, hyphens and, as in some names,
/// underscores. Its last part is no number (RFC 1123, 2.1).
fn is_name(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= MAX_NAME_BYTES && host.split('.').all(is_label) && !are_digits(last)
}

fn is_label(label: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=MAX_LABEL_BYTES).contains(&label.len()) && label.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use forever200_identify::tls;

    use super::*;

    const DEST: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));

    fn read(authority: &[u8], dest: IpAddr) -> (NameKind, String) {
        let asked = AskedFor::new(authority, dest);
        (asked.kind, asked.name)
    }

    #[test]
    fn ones_own_address_is_known_in_any_form() {
        for own in [
            "203.0.113.10",
            "203.0.113.10:80",
            "203.0.113.10:",
            "203.0.113.10.",
            "user:secret@203.0.113.10:8080",
            " 203.0.113.10\t",
            "203.000.113.010",
            "0313.0.0161.012",
            "0xcb.0.0x71.0xA",
            "3405803786",
            "0xCB00710A",
            "203.28938",
            "203.0.28938",
            "::ffff:203.0.113.10",
            "[::ffff:cb00:710a]:80",
        ] {
            let expected = (NameKind::OwnAddress, "203.0.113.10".to_owned());
            assert_eq!(read(own.as_bytes(), DEST), expected, "{own}");
        }
        for (own, name) in [
            ("localhost", "localhost"),
            ("LocalHost:80", "localhost"),
            ("x.localhost", "x.localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("[::1]", "::1"),
        ] {
            let expected = (NameKind::OwnAddress, name.to_owned());
            assert_eq!(read(own.as_bytes(), DEST), expected, "{own}");
        }
        let v6 = "2001:db8::1".parse().unwrap();
        for own in [
            "[2001:db8::1]",
            "[2001:DB8:0::1]:80",
            "2001:db8::1",
            "[2001:db8::1%25eth0]",
        ] {
            let expected = (NameKind::OwnAddress, "2001:db8::1".to_owned());
            assert_eq!(read(own.as_bytes(), v6), expected, "{own}");
        }
        // A request by IPv6 to an IPv4-mapped address.
        let mapped = "::ffff:203.0.113.10".parse().unwrap();
        assert_eq!(read(b"203.0.113.10", mapped).0, NameKind::OwnAddress);
    }

    #[test]
    fn other_addresses_are_not_ones_own() {
        let unknown = Ipv4Addr::UNSPECIFIED.into();
        for (other, name, dest) in [
            ("203.0.113.11", "203.0.113.11", DEST),
            ("1", "0.0.0.1", DEST),
            ("010.0.0.1", "8.0.0.1", DEST),
            ("[2001:db8::2]:443", "2001:db8::2", DEST),
            ("203.0.113.10", "203.0.113.10", unknown),
            // `dest` is unknown or not shown, so it is not compared.
            ("0.0.0.0", "0.0.0.0", unknown),
        ] {
            let expected = (NameKind::OtherAddress, name.to_owned());
            assert_eq!(read(other.as_bytes(), dest), expected, "{other}");
        }
    }

    #[test]
    fn names_are_in_lower_case_and_without_their_port() {
        for (sent, name) in [
            ("example.com", "example.com"),
            ("Example.COM:443", "example.com"),
            ("example.com.", "example.com"),
            ("a:b@c@_dmarc.example.com:", "_dmarc.example.com"),
            ("x", "x"),
            ("203-0-113-10.example.net", "203-0-113-10.example.net"),
            ("203.0.113.10.example", "203.0.113.10.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            let expected = (NameKind::Name, name.to_owned());
            assert_eq!(read(sent.as_bytes(), DEST), expected, "{sent}");
        }
        let longest = [&*"a".repeat(63); 3].join(".") + "." + &"b".repeat(61);
        assert_eq!(
            read(longest.as_bytes(), DEST),
            (NameKind::Name, longest.clone())
        );
        assert_eq!(read((longest + "b").as_bytes(), DEST).0, NameKind::Odd);
    }

    #[test]
    fn anything_else_is_odd_short_and_visible() {
        for odd in [
            &b":80"[..],
            b"@",
            b".",
            b"..",
            b"a..b",
            b"a b",
            b"a:b",
            b"a:80:80",
            b"[::1",
            b"[::1]x",
            b"[::1]:8x",
            b"<script>alert(1)</script>",
            b"${jndi:ldap://203.0.113.9/a}",
            b"a\x1b[2J",
            b"\xff\xfe",
            "b\u{fc}cher.example".as_bytes(),
            "\u{202e}a".as_bytes(),
            b"*.example.com",
            b"256.1.1.1",
            b"1.2.3.4.5",
            b"1.2.3.+4",
            b"example.1",
            &[b'a'; 64],
            &[b'a'; 65_536],
            b"4294967296",
        ] {
            let (kind, name) = read(odd, DEST);
            assert_eq!(kind, NameKind::Odd, "{}", odd.escape_ascii());
            assert!(name.chars().count() <= MAX_ODD_CHARS, "{name}");
            assert!(name.chars().all(printable::is_visible), "{name}");
        }
    }

    #[test]
    fn host_goes_before_the_target_and_a_hello_has_its_own() {
        let of_http = |raw: &[u8]| {
            let http = http::parse(raw).unwrap();
            authority(Some(&http), None).map(Cow::into_owned)
        };
        let cases: [(&[u8], Option<&[u8]>); 12] = [
            (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Some(b"a")),
            (
                b"GET / HTTP/1.1\r\nhOST : \r\nHost:a:80\r\n\r\n",
                Some(b"a:80"),
            ),
            (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", Some(b"a b")),
            (b"GET http://c/ HTTP/1.1\r\nHost: a\r\n\r\n", Some(b"a")),
            (b"GET http://u@c:8080/x HTTP/1.1\r\n\r\n", Some(b"u@c:8080")),
            (b"GET HTTPS://c?x HTTP/1.0\r\n\r\n", Some(b"c")),
            (b"CONNECT c:443 HTTP/1.1\r\n\r\n", Some(b"c:443")),
            (b"GET /?u=http://c/ HTTP/1.1\r\n\r\n", None),
            (b"GET :// HTTP/1.1\r\n\r\n", None),
            (b"GET http:/// HTTP/1.1\r\n\r\n", None),
            (b"GET / HTTP/1.0\r\nX-Host: a\r\n\r\n", None),
            (b"GET /\r\n", None),
        ];
        for (raw, asked) in cases {
            let found = of_http(raw);
            assert_eq!(found.as_deref(), asked, "{}", raw.escape_ascii());
        }
        let hello = |name: Option<&[u8]>| {
            TlsParts::new(tls::ClientHello {
                server_name: name.map(<[u8]>::to_vec),
                ..tls::ClientHello::default()
            })
        };
        let named = hello(Some(b"a.example"));
        assert_eq!(
            authority(None, Some(&named)).as_deref(),
            Some(&b"a.example"[..])
        );
        assert_eq!(authority(None, Some(&hello(Some(b"")))), None);
        assert_eq!(authority(None, Some(&hello(None))), None);
        assert_eq!(authority(None, None), None);
    }
}
