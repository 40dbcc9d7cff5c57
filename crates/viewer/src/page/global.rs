//! Which addresses are used on the internet.
//!
//! In: an address. Out: whether it may be looked up elsewhere, or blocked. It follows IANA's
//! registries of special-purpose addresses (RFC 6890) and of allocated ones, and reads no list of
//! networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Tells whether an address is used on the internet: not private, reserved, for documentation, or
/// of this machine.
#[must_use]
pub fn is_global(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => is_global_v4(ip),
        IpAddr::V6(ip) => is_global_v6(ip),
    }
}

fn is_global_v4(ip: Ipv4Addr) -> bool {
    match ip.octets() {
        // This network, shared by a carrier's customers, multicast, reserved.
        [0, ..] | [100, 64..=127, ..] | [224..=255, ..] => false,
        // For protocols, 6to4 by anycast, benchmarks.
        [192, 0, 0, _] | [192, 88, 99, _] | [198, 18..=19, ..] => false,
        _ => !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation()),
    }
}

fn is_global_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // 6to4, which contains an IPv4 address (RFC 3056).
        [0x2002, b, c, ..] => is_global_v4(Ipv4Addr::from_bits(u32::from(b) << 16 | u32::from(c))),
        // For protocols, Teredo among them; for documentation, twice.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // All addresses that are allocated.
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_nobody_are_not_of_the_internet() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.9",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::8.8.8.8",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "3fff::1",
            "4000::1",
            "fd00::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_global(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn all_others_are() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2002:808:808::1",
            "2600::1",
            "2a00::1",
        ] {
            assert!(is_global(address.parse().unwrap()), "{address}");
        }
    }
}
