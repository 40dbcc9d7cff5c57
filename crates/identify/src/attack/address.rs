//! Addresses that a server can reach and its visitors cannot, where a value names an address.
//!
//! In: a value in lower case. Out: the range of scheme and host. A host is read as C libraries read
//! it: decimal, octal and hexadecimal numbers are addresses (`http://2130706433/`), even with fewer
//! than four parts (`http://127.1/`).
//!
//! Rules: WHATWG URL "IPv4 parser"; RFC 1918, RFC 3927, RFC 6890.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use memchr::memmem;

use crate::slice::{equals_one, first, last, run, run_at_end};

/// Most addresses of one value that are checked.
const MAX_ADDRESSES: usize = 16;
/// Most bytes of a host that are read.
const MAX_HOST_BYTES: usize = 255;
/// Longest numeric host behind a scheme without slashes.
const MAX_NUMBER_BYTES: usize = 20;
/// Most bytes of a scheme that are read.
const MAX_SCHEME_BYTES: usize = 16;
/// Schemes that no browser knows, and that reach other programs.
const SCHEMES: [&str; 17] = [
    "gopher",
    "dict",
    "file",
    "netdoc",
    "jar",
    "tftp",
    "ldap",
    "ldaps",
    "rmi",
    "sftp",
    "expect",
    "phar",
    "ssh2",
    "ogg",
    "zip",
    "glob",
    "compress.zlib",
];
/// Hosts that give out the keys of a machine in a cloud, or whose names lead into the server's own
/// network.
const HOSTS: [&str; 13] = [
    "metadata.google.internal",
    "metadata.tencentyun.com",
    "instance-data",
    "localtest.me",
    "lvh.me",
    "rbndr.us",
    "metadata.azure.internal",
    "metadata.packet.net",
    "host.docker.internal",
    "gateway.docker.internal",
    "kubernetes.docker.internal",
    "host.containers.internal",
    "kubernetes.default.svc",
];

/// Returns the range of a value that is such an address.
pub(crate) fn find(value: &[u8]) -> Option<Range<usize>> {
    if let Some(rest) = value.strip_prefix(b"http:")
        && is_number_of_host(before(first(rest, MAX_NUMBER_BYTES), b'/'))
    {
        return Some(0..value.len());
    }
    // Java's `jar:http://x/a.zip!/b` has an address within an address. A host may have no scheme,
    // as `host.docker.internal/`.
    if value.starts_with(b"jar:") && value.contains(&b'!') {
        return Some(0..4);
    }
    let slash = memchr::memchr(b'/', value).unwrap_or(value.len());
    if equals_one(&value[..slash], &HOSTS) {
        return Some(0..slash);
    }
    for colon in memmem::find_iter(value, b":/").take(MAX_ADDRESSES) {
        if let Some(url) = Url::read(value, colon)
            && url.is_inside(value)
        {
            return Some(url.scheme.start..url.host.end);
        }
    }
    None
}

/// Tells whether the host is a number that is an address, as in `http:2130706433`. A decimal number
/// of up to five digits is a port.
fn is_number_of_host(host: &[u8]) -> bool {
    let is_port = host.len() <= 5 && host.iter().all(u8::is_ascii_digit);
    !is_port && number_address(&String::from_utf8_lossy(host)).is_some()
}

struct Url {
    scheme: Range<usize>,
    host: Range<usize>,
}

impl Url {
    /// Reads the address whose scheme ends at `colon`. It must stand at the beginning of the value,
    /// or behind `=`, `:`, `(`, a quote, a space or a line end.
    fn read(value: &[u8], colon: usize) -> Option<Self> {
        let before = last(&value[..colon], MAX_SCHEME_BYTES);
        let length = run_at_end(before, |byte| {
            byte.is_ascii_alphanumeric() || b"+.-".contains(byte)
        });
        let start = colon - length;
        let is_begun = start == 0 || b"=:\"'( \n".contains(&value[start - 1]);
        if !is_begun || length < 2 {
            return None;
        }
        let behind = &value[colon + 1..];
        let from = colon + 1 + run(behind, |byte| b"/\\".contains(byte));
        let rest = first(&value[from..], MAX_HOST_BYTES);
        let length = run(rest, |byte| !b"/?#\\ \"'<>&;\r\n".contains(byte));
        Some(Self {
            scheme: start..colon,
            host: from..from + length,
        })
    }

    fn is_inside(&self, value: &[u8]) -> bool {
        let scheme = &value[self.scheme.clone()];
        let is_first = self.scheme.start == 0 || value[..self.scheme.start].ends_with(b"url:");
        if is_first && equals_one(scheme, &SCHEMES) {
            return true;
        }
        self.scheme.start <= 4 && is_inside(host(&value[self.host.clone()]))
    }
}

/// Returns the host without user and port.
fn host(authority: &[u8]) -> &[u8] {
    let host = match memchr::memrchr(b'@', authority) {
        Some(sign) => &authority[sign + 1..],
        None => authority,
    };
    if let Some(inside) = host.strip_prefix(b"[") {
        return before(inside, b']');
    }
    before(host, b':')
}

/// Returns the bytes up to a sign, or all if the sign is not there.
fn before(bytes: &[u8], sign: u8) -> &[u8] {
    &bytes[..memchr::memchr(sign, bytes).unwrap_or(bytes.len())]
}

fn is_inside(host: &[u8]) -> bool {
    let text = String::from_utf8_lossy(host);
    let text = text.trim_end_matches('.');
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        let inner = address.to_ipv4_mapped();
        return address.is_loopback()
            || address.is_unspecified()
            || inner.is_some_and(is_own)
            || text == "fd00:ec2::254";
    }
    if HOSTS.iter().any(|known| is_of_domain(text, known)) {
        return true;
    }
    let Some(address) = number_address(text) else {
        return false;
    };
    let is_behind = address.is_private()
        || address.is_loopback()
        || !address.is_unspecified() && text.len() >= 8;
    is_own(address) || is_behind && !is_dotted(text)
}

/// Tells whether the host is this domain, or a name below it.
fn is_of_domain(host: &str, domain: &str) -> bool {
    match host.strip_suffix(domain) {
        Some(below) => below.is_empty() || below.ends_with('.'),
        None => false,
    }
}

/// Tells whether the address is the machine itself (but not 127.0.0.1), or a service for machines
/// in a cloud. Private networks do not count: people have their own devices there.
fn is_own(address: Ipv4Addr) -> bool {
    address.is_loopback() && address != Ipv4Addr::new(127, 0, 0, 1)
        || address.is_link_local()
        || address == Ipv4Addr::new(100, 100, 100, 200)
        || address == Ipv4Addr::new(192, 0, 0, 192)
}

fn is_dotted(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

/// Reads an address of up to four numbers; the last number fills all bytes that are left.
fn number_address(text: &str) -> Option<Ipv4Addr> {
    let mut address = 0;
    let mut bits_left = 32;
    let mut parts = text.split('.').peekable();
    while let Some(part) = parts.next() {
        let number = number(part)?;
        if parts.peek().is_none() {
            let is_too_big = u64::from(number) >= 1 << bits_left;
            return (!is_too_big).then(|| Ipv4Addr::from(address | number));
        }
        if bits_left == 8 || number > 255 {
            return None;
        }
        bits_left -= 8;
        address |= number << bits_left;
    }
    None
}

fn number(text: &str) -> Option<u32> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u32::from_str_radix(hex, 16).ok();
    }
    if text.len() > 1 && text.starts_with('0') {
        return u32::from_str_radix(text, 8).ok();
    }
    text.parse().ok()
}
