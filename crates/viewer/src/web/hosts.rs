//! The host names to which the viewer answers.
//!
//! In: the `Host` of a request. Out: whether it is one of these names. A website can let its own
//! name resolve to 127.0.0.1 (DNS rebinding), and so read what a server on the visitor's own
//! machine shows. Such a request has the website's name as its `Host`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Names that a request's `Host` may have.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// `None`: any name is accepted.
    known: Option<Vec<String>>,
    /// An address in place of a name must be a loopback address.
    loopback_alone: bool,
}

/// Further names, as `--viewer-hosts` lists them.
#[derive(Clone, Debug, Default)]
pub struct Names(Vec<String>);

impl FromStr for Names {
    type Err = String;

    /// Reads names between commas.
    fn from_str(list: &str) -> Result<Self, String> {
        let mut names = Vec::new();
        for name in list.split(',') {
            let name = name.trim().to_ascii_lowercase();
            if !name.bytes().all(is_of_name) {
                return Err(format!("expected host names, not {name:?}"));
            }
            if !name.is_empty() {
                names.push(name);
            }
        }
        Ok(Self(names))
    }
}

impl Hosts {
    /// Accepts any name if haproxy shows the page to everybody. Otherwise accepts localhost,
    /// `names` and addresses. If the viewer listens on a loopback address, it accepts only loopback
    /// addresses.
    #[must_use]
    pub fn new(listen: SocketAddr, is_public: bool, names: &Names) -> Self {
        Self {
            known: (!is_public).then(|| names.0.clone()),
            loopback_alone: listen.ip().to_canonical().is_loopback(),
        }
    }

    /// Tells whether the viewer answers to this `Host`: a name or an address, perhaps with a port.
    #[must_use]
    pub fn contains(&self, host: &[u8]) -> bool {
        let Some(known) = &self.known else {
            return true;
        };
        let Ok(host) = std::str::from_utf8(host) else {
            return false;
        };
        let host = host.to_ascii_lowercase();
        let name = without_port(&host);
        if name == "localhost" || name.ends_with(".localhost") {
            return true;
        }
        let address = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = address.parse::<IpAddr>()
            && (!self.loopback_alone || ip.to_canonical().is_loopback())
        {
            return true;
        }
        known.iter().any(|known| known == name)
    }
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_has_loopback_names() {
        let names: Names = "Honey.example, 192.0.2.7".parse().unwrap();
        let own = Hosts::new("127.0.0.1:8080".parse().unwrap(), false, &names);
        for host in [
            "localhost",
            "LocalHost:8080",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "[::1]",
            "x.localhost",
            "honey.example",
            "HONEY.example:80",
            "192.0.2.7:8080",
        ] {
            assert!(own.contains(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "192.0.2.8",
            "127.0.0.1.evil.example",
            "[2001:db8::1]:80",
            "evil.example:127.0.0.1",
        ] {
            assert!(!own.contains(host.as_bytes()), "{host}");
        }
        let any = Hosts::new("127.0.0.1:8080".parse().unwrap(), true, &names);
        assert!(any.contains(b"evil.example") && any.contains(b"\xff"));
        // As in a container, whose published port decides who can reach it.
        let published = Hosts::new("0.0.0.0:8080".parse().unwrap(), false, &names);
        assert!(published.contains(b"192.0.2.8:8080") && published.contains(b"honey.example"));
        assert!(!published.contains(b"evil.example") && !published.contains(b"\xff"));
    }

    #[test]
    fn names_are_names() {
        for list in ["a b", "a/b", "<x>"] {
            assert!(list.parse::<Names>().is_err(), "{list}");
        }
        assert!(" , ".parse::<Names>().unwrap().0.is_empty());
    }
}
