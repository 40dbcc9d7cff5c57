//! Which protocol a request speaks, by its first bytes.

use serde::{Deserialize, Serialize};

use crate::http;

/// A protocol that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP of any version up to 1.1, and the preface of HTTP/2.
    Http,
    /// A TLS ClientHello, or what begins like one.
    Tls,
    /// An SSH banner.
    Ssh,
    /// Anything else.
    Unknown,
}

impl Protocol {
    /// All protocols, in the order in which a person looks for them.
    pub const ALL: [Self; 4] = [Self::Http, Self::Tls, Self::Ssh, Self::Unknown];

    /// Tells the protocol of a request.
    #[must_use]
    pub fn of(raw: &[u8]) -> Self {
        match raw {
            _ if http::parse(raw).is_some() => Self::Http,
            // RFC 8446, 5.1: a handshake record, of a version from SSL 3.0 to TLS 1.3.
            [0x16, 0x03, 0..=4, ..] => Self::Tls,
            [b'S', b'S', b'H', b'-', ..] => Self::Ssh,
            _ => Self::Unknown,
        }
    }

    /// Returns its name in JSON and in addresses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tls => "tls",
            Self::Ssh => "ssh",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        for (raw, protocol) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Protocol::Http),
            (b"\x16\x03\x01\x02\x00\x01", Protocol::Tls),
            (b"SSH-2.0-Go\r\n", Protocol::Ssh),
            (b"\x16\x03\x09", Protocol::Unknown),
            (b"", Protocol::Unknown),
        ] {
            assert_eq!(Protocol::of(raw), protocol, "{}", raw.escape_ascii());
        }
    }
}
