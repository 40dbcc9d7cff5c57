//! Reads the ClientHello of TLS.
//!
//! In: the raw bytes, which may be truncated anywhere. Out: what the client offers, in the order
//! sent. Judges nothing: what RFC 8446 calls an error (an extension twice, odd lengths, an unknown
//! version) is what people want to look at.

use std::borrow::Cow;
use std::cell::Cell;

const CLIENT_HELLO: &[u8] = &[1];
const RANDOM_BYTES: usize = 32;

// Extensions: RFC 8446, 4.2.
pub(crate) const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
pub(crate) const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// A ClientHello, as far as it was received, without the GREASE values of RFC 8701.
///
/// Format: RFC 8446, 4.1.2. The hellos of SSL 3.0 to TLS 1.2 have the same format, but may end
/// before the extensions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The highest version, if the client supports at most TLS 1.2. Newer clients send 1.2 here,
    /// and their real versions in `versions`.
    pub legacy_version: u16,
    /// The extension `supported_versions`; empty when not sent.
    pub versions: Vec<u16>,
    /// The name of the host that the client wants, in the bytes sent (RFC 6066, 3).
    pub server_name: Option<Vec<u8>>,
    /// Names of the protocols offered inside TLS (RFC 7301, 3.1), each in the bytes sent.
    pub alpn: Vec<Vec<u8>>,
    /// Numbers of the cipher suites.
    pub ciphers: Vec<u16>,
    /// Numbers of the extensions.
    pub extensions: Vec<u16>,
    /// Numbers of the groups for the exchange of keys.
    pub groups: Vec<u16>,
    /// Numbers of the signature algorithms, without those for certificates (extension 50).
    pub signature_algorithms: Vec<u16>,
    /// False if bytes were missing at the end, or a length was too large; the last value may then
    /// be truncated.
    pub whole: bool,
}

/// Reads a ClientHello, which may be spread over several records.
///
/// Returns `None` if the bytes are no handshake record (RFC 8446, 5.1), if the record has no
/// ClientHello, or if the bytes end before the version.
#[must_use]
pub fn parse(raw: &[u8]) -> Option<ClientHello> {
    let (mut message, mut rest) = (Vec::new(), raw);
    while let Some((fragment, more)) = split_record(rest) {
        message.extend_from_slice(fragment);
        rest = more;
    }
    let whole = Cell::new(true);
    let mut message = Cursor {
        rest: &message,
        whole: &whole,
    };
    if message.take(1) != CLIENT_HELLO {
        return None;
    }
    let mut body = message.vector(3);
    let mut hello = ClientHello {
        legacy_version: body.number()?,
        ..ClientHello::default()
    };
    let _random = body.take(RANDOM_BYTES);
    let _session_id = body.vector(1);
    hello.ciphers = body.vector(2).numbers();
    let _compression_methods = body.vector(1);
    if !body.rest.is_empty() {
        hello.read_extensions(body.vector(2));
    }
    hello.whole = whole.get();
    Some(hello)
}

/// Splits off the content of the first handshake record, or the part of it that was received.
fn split_record(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x16, 0x03, 0..=4, high, low, rest @ ..] = raw else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    Some(rest.split_at_checked(length).unwrap_or((rest, &[])))
}

impl ClientHello {
    fn read_extensions(&mut self, mut extensions: Cursor<'_>) {
        while let Some(extension) = extensions.next_number() {
            let mut data = extensions.vector(2);
            if is_grease(extension) {
                continue;
            }
            self.extensions.push(extension);
            match extension {
                // An empty extension says only that it is there; no length is missing from it.
                _ if data.rest.is_empty() => {}
                SERVER_NAME => self.read_server_names(data.vector(2)),
                SUPPORTED_GROUPS => self.groups.extend(data.vector(2).numbers()),
                SIGNATURE_ALGORITHMS => self.signature_algorithms.extend(data.vector(2).numbers()),
                ALPN => self.read_alpn(data.vector(2)),
                SUPPORTED_VERSIONS => self.versions.extend(data.vector(1).numbers()),
                _ => {}
            }
        }
    }

    fn read_server_names(&mut self, mut names: Cursor<'_>) {
        while !names.rest.is_empty() {
            let (kind, name) = (names.take(1), names.vector(2).rest);
            // RFC 6066, 3: the only kind is `host_name`, 0, at most once.
            if kind == [0] && self.server_name.is_none() {
                self.server_name = Some(name.to_vec());
            }
        }
    }

    fn read_alpn(&mut self, mut names: Cursor<'_>) {
        while !names.rest.is_empty() {
            let name = names.vector(1).rest;
            // RFC 8701, 2: two bytes of GREASE are reserved as names, too.
            if !name
                .try_into()
                .is_ok_and(|number| is_grease(u16::from_be_bytes(number)))
            {
                self.alpn.push(name.to_vec());
            }
        }
    }

    /// Returns the highest version offered.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.versions
            .iter()
            .copied()
            .max()
            .unwrap_or(self.legacy_version)
    }
}

/// Returns the name of a version: `TLS 1.3`, or `0x1234` for an unknown one.
#[must_use]
pub fn version_name(version: u16) -> Cow<'static, str> {
    match version {
        0x0304 => "TLS 1.3".into(),
        0x0303 => "TLS 1.2".into(),
        0x0302 => "TLS 1.1".into(),
        0x0301 => "TLS 1.0".into(),
        0x0300 => "SSL 3.0".into(),
        0x0002 => "SSL 2.0".into(),
        _ => format!("{version:#06x}").into(),
    }
}

/// Tells whether a number is one of the 16 GREASE values, which mean nothing: 0x0a0a, 0x1a1a, to
/// 0xfafa (RFC 8701, 2).
fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 0xf == 0xa
}

/// The bytes that are left to read. Nothing fails here: missing bytes are left out, and `whole`
/// becomes false for all cursors made from the same one.
struct Cursor<'a> {
    rest: &'a [u8],
    whole: &'a Cell<bool>,
}

impl<'a> Cursor<'a> {
    /// Takes `length` bytes, or all that are left if there are fewer.
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or_else(|| {
            self.whole.set(false);
            (self.rest, &[])
        });
        self.rest = rest;
        taken
    }

    /// Takes a vector, which begins with its length (RFC 8446, 3.4).
    fn vector(&mut self, length_bytes: usize) -> Self {
        let length = self
            .take(length_bytes)
            .iter()
            .fold(0, |length, &byte| length << 8 | usize::from(byte));
        Cursor {
            rest: self.take(length),
            whole: self.whole,
        }
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).try_into().ok().map(u16::from_be_bytes)
    }

    /// Takes a number, if anything is left.
    fn next_number(&mut self) -> Option<u16> {
        if self.rest.is_empty() {
            None
        } else {
            self.number()
        }
    }

    /// Takes all numbers, and drops GREASE.
    fn numbers(mut self) -> Vec<u16> {
        std::iter::from_fn(|| self.next_number())
            .filter(|&number| !is_grease(number))
            .collect()
    }
}

#[cfg(test)]
mod tests;
