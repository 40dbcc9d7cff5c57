//! Addresses that a server reaches and its visitors do not, where a value names an address.
//!
//! In: a value in lower case. Out: scheme and host. The host is read as C libraries do: decimal,
//! octal and hexadecimal numbers are addresses (`http://2130706433/`), and fewer than four of them
//! as well (`http://127.1/`).
//!
//! Rules: WHATWG URL "IPv4 parser"; RFC 1918, RFC 3927, RFC 6890.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use memchr::memmem;

/// Addresses of one value that are looked at.
const MAX_ADDRESSES: usize = 16;
/// Bytes of a host that are looked at.
const MAX_HOST_BYTES: usize = 255;
/// Schemes that no visitor's browser has, with which other programs are asked.
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
/// Hosts that give out the keys of a machine in a cloud, or lead inside by name.
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

/// Returns the bytes of a value that are such an address.
pub(crate) fn find(value: &[u8]) -> Option<Range<usize>> {
    let marks = memmem::find_iter(value, b":/").take(MAX_ADDRESSES);
    // An address within an address: Java's jar:http://x/a.zip!/b. A host without a scheme, as
    // `host.docker.internal/`.
    if let Some(host) = value.strip_prefix(b"http:")
        && number_address(&String::from_utf8_lossy(&host[..host.len().min(20)])).is_some()
    {
        return Some(0..value.len());
    }
    if value.starts_with(b"jar:") && value.contains(&b'!') {
        return Some(0..4);
    }
    let slash = memchr::memchr(b'/', value).unwrap_or(value.len());
    if HOSTS.iter().any(|host| host.as_bytes() == &value[..slash]) {
        return Some(0..slash);
    }
    let mut found = marks
        .into_iter()
        .filter_map(|colon| Url::read(value, colon));
    found
        .find(|url| url.is_inside(value))
        .map(|url| url.scheme.start..url.host.end)
}

struct Url {
    scheme: Range<usize>,
    host: Range<usize>,
}

impl Url {
    /// Only at the beginning of a value, or behind `=`, `:`, a quote or white space.
    fn read(value: &[u8], colon: usize) -> Option<Self> {
        let is_of_scheme = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+.-".contains(byte);
        let length = value[..colon]
            .iter()
            .rev()
            .take(16)
            .take_while(is_of_scheme)
            .count();
        let start = colon - length;
        let is_begun = start == 0 || b"=:\"'( \n".contains(&value[start - 1]);
        let slashes = value[colon + 1..]
            .iter()
            .take_while(|byte| b"/\\".contains(byte))
            .count();
        let from = colon + 1 + slashes;
        let rest = &value[from..value.len().min(from + MAX_HOST_BYTES)];
        let end = rest
            .iter()
            .position(|byte| b"/?#\\ \"'<>&;\r\n".contains(byte))
            .unwrap_or(rest.len());
        let host = from..from + end;
        (is_begun && length > 1).then_some(Self {
            scheme: start..colon,
            host,
        })
    }

    fn is_inside(&self, value: &[u8]) -> bool {
        let scheme = &value[self.scheme.clone()];
        let is_first = self.scheme.start == 0 || value[..self.scheme.start].ends_with(b"url:");
        if is_first && SCHEMES.iter().any(|known| known.as_bytes() == scheme) {
            return true;
        }
        self.scheme.start <= 4 && is_inside(host(&value[self.host.clone()]))
    }
}

/// The host without user and port.
fn host(authority: &[u8]) -> &[u8] {
    let host = authority
        .rsplit(|&byte| byte == b'@')
        .next()
        .unwrap_or_default();
    if host.first() == Some(&b'[') {
        let end = memchr::memchr(b']', host).unwrap_or(host.len());
        return &host[1..end];
    }
    host.split(|&byte| byte == b':').next().unwrap_or_default()
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
    let is_named = HOSTS.iter().any(|known| {
        text == *known
            || text
                .strip_suffix(known)
                .is_some_and(|rest| rest.ends_with('.'))
    });
    let is_written_oddly = !is_dotted(text);
    is_named
        || number_address(text).is_some_and(|address| {
            is_own(address)
                || is_written_oddly
                    && (address.is_private()
                        || address.is_loopback()
                        || !address.is_unspecified() && text.len() >= 8)
        })
}

/// The machine itself, or what answers machines in a cloud. Private networks are where a family's
/// own devices are.
fn is_own(address: Ipv4Addr) -> bool {
    address.is_loopback() && address != Ipv4Addr::new(127, 0, 0, 1)
        || address.is_link_local()
        || address == Ipv4Addr::new(100, 100, 100, 200)
        || address == Ipv4Addr::new(192, 0, 0, 192)
}

fn is_dotted(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

/// Reads up to four numbers: the last fills what is left.
fn number_address(text: &str) -> Option<Ipv4Addr> {
    let parts = text
        .split('.')
        .map(number)
        .take(5)
        .collect::<Option<Vec<_>>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|&part| part > 255) {
        return None;
    }
    let room = 8 * (4 - first.len());
    if u64::from(*last) >= 1 << room {
        return None;
    }
    let head = first
        .iter()
        .zip([24, 16, 8])
        .fold(0, |sum, (&part, shift)| sum | part << shift);
    Some(Ipv4Addr::from(head | last))
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
