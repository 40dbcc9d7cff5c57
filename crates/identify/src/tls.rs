//! The ClientHello of TLS, and its JA4 fingerprint.
//!
//! In: the raw bytes, which may be cut short anywhere. Out: what the client offers, in the order sent. Judges nothing:
//! what RFC 8446 calls an error (an extension twice, odd lengths, an unknown version) is what people want to look at.

use std::borrow::Cow;
use std::cell::Cell;

use sha2::{Digest, Sha256};

const CLIENT_HELLO: &[u8] = &[1];
const RANDOM_BYTES: usize = 32;

// Extensions: RFC 8446, 4.2.
const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// A ClientHello, as far as it came, without the GREASE of RFC 8701.
///
/// Format: RFC 8446, 4.1.2; the hellos of SSL 3.0 to TLS 1.2 have the same one, but may end before the extensions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The highest version, for a client up to TLS 1.2; later ones say 1.2 here and the truth in `versions`.
    pub legacy_version: u16,
    /// The extension `supported_versions`; empty when not sent.
    pub versions: Vec<u16>,
    /// The name of the host that the client wants, in the bytes sent (RFC 6066, 3).
    pub server_name: Option<Vec<u8>>,
    /// Names of the protocols to speak inside TLS (RFC 7301, 3.1), each in the bytes sent.
    pub alpn: Vec<Vec<u8>>,
    /// Numbers of the cipher suites.
    pub ciphers: Vec<u16>,
    /// Numbers of the extensions.
    pub extensions: Vec<u16>,
    /// Numbers of the groups for the exchange of keys.
    pub groups: Vec<u16>,
    /// Numbers of the signature algorithms (those for certificates, extension 50, are not among them).
    pub signature_algorithms: Vec<u16>,
    /// False when bytes were missing, at the end or by a length that is too large; the last value may then be cut.
    pub whole: bool,
}

/// Reads a ClientHello, which may be spread over several records.
///
/// `None` when the bytes are no handshake record (RFC 8446, 5.1), when what it holds is no ClientHello, or when they
/// end before the version.
#[must_use]
pub fn parse(raw: &[u8]) -> Option<ClientHello> {
    let (mut message, mut rest) = (Vec::new(), raw);
    while let Some((fragment, more)) = split_record(rest) {
        message.extend_from_slice(fragment);
        rest = more;
    }
    let whole = Cell::new(true);
    let mut message = Cursor { rest: &message, whole: &whole };
    if message.take(1) != CLIENT_HELLO {
        return None;
    }
    let mut body = message.vector(3);
    let mut hello = ClientHello { legacy_version: body.number()?, ..ClientHello::default() };
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

/// Splits off the content of the first handshake record, or as much of it as there is.
fn split_record(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let [0x16, 0x03, 0..=4, high, low, rest @ ..] = raw else { return None };
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
                // Says that it is there and no more; no length is missing from it.
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
            if !name.try_into().is_ok_and(|number| is_grease(u16::from_be_bytes(number))) {
                self.alpn.push(name.to_vec());
            }
        }
    }

    /// Returns the highest version offered.
    #[must_use]
    pub fn version(&self) -> u16 {
        self.versions.iter().copied().max().unwrap_or(self.legacy_version)
    }

    /// Returns the JA4 fingerprint, 36 characters; compare it with others only when the hello is `whole`.
    ///
    /// Specification: "JA4: TLS Client Fingerprinting", FoxIO, BSD 3-Clause,
    /// <https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md>.
    #[must_use]
    pub fn ja4(&self) -> String {
        let version = match self.version() {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            0x0002 => "s2",
            _ => "00",
        };
        let server_name = if self.extensions.contains(&SERVER_NAME) { 'd' } else { 'i' };
        let (ciphers, extensions) = (self.ciphers.len().min(99), self.extensions.len().min(99));
        let alpn = ja4_alpn(self.alpn.first().map_or(&[], Vec::as_slice));
        let cipher_hash = ja4_hash(&sorted_hex(self.ciphers.clone()));
        let mut list = self.extensions.clone();
        list.retain(|extension| ![SERVER_NAME, ALPN].contains(extension));
        let mut list = sorted_hex(list);
        if !self.signature_algorithms.is_empty() {
            list = format!("{list}_{}", hex(&self.signature_algorithms));
        }
        let extension_hash = ja4_hash(&list);
        format!("t{version}{server_name}{ciphers:02}{extensions:02}{alpn}_{cipher_hash}_{extension_hash}")
    }
}

/// First and last character of a protocol's name; of its hexadecimal form, when one of them is no letter or digit.
fn ja4_alpn(name: &[u8]) -> String {
    match (name.first(), name.last()) {
        (Some(first), Some(last)) if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() => {
            format!("{}{}", char::from(*first), char::from(*last))
        }
        (Some(first), Some(last)) => format!("{:x}{:x}", first >> 4, last & 0xf),
        _ => "00".to_owned(),
    }
}

fn ja4_hash(list: &str) -> String {
    if list.is_empty() {
        return "0".repeat(12);
    }
    Sha256::digest(list).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn sorted_hex(mut numbers: Vec<u16>) -> String {
    numbers.sort_unstable();
    hex(&numbers)
}

fn hex(numbers: &[u16]) -> String {
    let numbers: Vec<_> = numbers.iter().map(|number| format!("{number:04x}")).collect();
    numbers.join(",")
}

/// Tells the name of a version: `TLS 1.3`, or `0x1234` for one that has none.
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

/// Tells whether a number is one of the 16 that mean nothing: 0x0a0a, 0x1a1a, to 0xfafa (RFC 8701, 2).
fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 0xf == 0xa
}

/// What is left to read. Nothing fails here: what is not there is left out, and `whole` becomes false for all cursors
/// made from the same one.
struct Cursor<'a> {
    rest: &'a [u8],
    whole: &'a Cell<bool>,
}

impl<'a> Cursor<'a> {
    /// Takes so many bytes, or those that are there.
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or_else(|| {
            self.whole.set(false);
            (self.rest, &[])
        });
        self.rest = rest;
        taken
    }

    /// Takes a vector, which has its length in front (RFC 8446, 3.4).
    fn vector(&mut self, length_bytes: usize) -> Self {
        let length = self.take(length_bytes).iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        Cursor { rest: self.take(length), whole: self.whole }
    }

    fn number(&mut self) -> Option<u16> {
        self.take(2).try_into().ok().map(u16::from_be_bytes)
    }

    /// Takes a number, if anything is left.
    fn next_number(&mut self) -> Option<u16> {
        if self.rest.is_empty() { None } else { self.number() }
    }

    /// Takes all numbers but GREASE.
    fn numbers(mut self) -> Vec<u16> {
        std::iter::from_fn(|| self.next_number()).filter(|&number| !is_grease(number)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from `openssl s_client -tls1_3 -servername a.b -alpn h2,http/1.1`, OpenSSL 3.0.19.
    const TLS_13: &str = "\
        16030100fa010000f603032ad2651781a317c4e0ad66b46fd3cddb5187f338deb11298005131212a748e0520530e72a08f46\
        f3b9b1316de151321b956c61d5789f6cf568d2e8875f9a80e85d000813021303130100ff010000a500000008000600000361\
        2e62000b000403000102000a00160014001d0017001e0019001801000101010201030104002300000010000e000c02683208\
        687474702f312e310016000000170000000d001e001c040305030603080708080809080a080b080408050806040105010601\
        002b0003020304002d00020101003300260024001d0020575430f0ee0238fe29885f3fa9449f2c94a247f1e2b096282bf27c\
        e7bab3c71e";

    /// Recorded from `openssl s_client -tls1_1 -noservername -cipher DEFAULT@SECLEVEL=0`, OpenSSL 3.0.19.
    const TLS_11: &str = "\
        16030100630100005f0302b6e354a2c755c4bf9f0df53db1875a6a3033f9bb1df99b0b96252276171fe36c000012c00ac014\
        0039c009c01300330035002f00ff01000024000b000403000102000a000c000a001d0017001e001900180023000000160000\
        00170000";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// Puts a length of so many bytes in front.
    fn vector(length_bytes: usize, content: &[u8]) -> Vec<u8> {
        [&content.len().to_be_bytes()[size_of::<usize>() - length_bytes..], content].concat()
    }

    /// Builds a record with a hello of TLS 1.2; `after` is what follows the compression methods.
    fn hello(ciphers: &[u8], after: &[u8]) -> Vec<u8> {
        let body = [&[3, 3], &[7; 32][..], &[0], &vector(2, ciphers), &[1, 0], after].concat();
        [&[0x16, 3, 1][..], &vector(2, &[&[1], &vector(3, &body)[..]].concat())].concat()
    }

    #[test]
    fn a_recorded_hello_gives_all_it_offers() {
        let hello = parse(&bytes(TLS_13)).unwrap();
        assert_eq!((hello.legacy_version, &hello.versions[..], hello.version()), (0x0303, &[0x0304][..], 0x0304));
        assert_eq!(hello.server_name.as_deref(), Some(&b"a.b"[..]));
        assert_eq!(hello.alpn, [&b"h2"[..], b"http/1.1"]);
        assert_eq!(hello.ciphers, [0x1302, 0x1303, 0x1301, 0x00ff]);
        assert_eq!(hello.extensions, [0, 11, 10, 35, 16, 22, 23, 13, 43, 45, 51]);
        assert_eq!(hello.groups, [0x1d, 0x17, 0x1e, 0x19, 0x18, 0x100, 0x101, 0x102, 0x103, 0x104]);
        assert_eq!((hello.signature_algorithms[0], hello.signature_algorithms.len()), (0x0403, 14));
        assert!(hello.whole);
    }

    #[test]
    fn ja4_is_what_others_compute() {
        // By a program in Python, from the fields that tshark 4.0.17 shows.
        assert_eq!(parse(&bytes(TLS_13)).unwrap().ja4(), "t13d0411h2_16476d049b0b_78f1d400d464");
        assert_eq!(parse(&bytes(TLS_11)).unwrap().ja4(), "t11i090500_c491f621fb4c_195413a0cc0f");
        // The example of the specification, with and without signature algorithms.
        let numbers = |list: &str| list.split(',').map(|hex| u16::from_str_radix(hex, 16).unwrap()).collect();
        let mut hello = ClientHello {
            versions: vec![0x0303, 0x0304],
            alpn: vec![b"h2".to_vec()],
            ciphers: numbers("1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"),
            extensions: numbers("001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015"),
            signature_algorithms: numbers("0403,0804,0401,0503,0805,0501,0806,0601"),
            ..ClientHello::default()
        };
        assert_eq!(hello.ja4(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        hello.signature_algorithms.clear();
        assert_eq!(hello.ja4(), "t13d1516h2_8daaf6152771_6d807ffa2a79");
        for (name, ends) in [
            (&b""[..], "00"),
            (b"http/1.1", "h1"),
            (b"x", "xx"),
            (b"\xab", "ab"),
            (b"0\xab", "3b"),
            (b"01\xab\xcd", "3d"),
            (b"0\xab\xcd1", "01"),
            (b"-h2", "22"),
        ] {
            assert_eq!(ja4_alpn(name), ends, "{}", name.escape_ascii());
        }
    }

    #[test]
    fn a_hello_may_have_no_extensions_or_empty_ones() {
        let none = parse(&hello(&[0, 0x2f, 0, 0x35], &[])).unwrap();
        assert_eq!((&none.ciphers[..], &none.extensions[..], none.whole), (&[0x2f, 0x35][..], &[][..], true));
        assert_eq!(none.ja4(), "t12i020000_f54dd463d39b_000000000000");
        let empty = parse(&hello(&[], &[0, 8, 0, 0, 0, 0, 0, 16, 0, 0])).unwrap();
        assert_eq!((empty.server_name.as_deref(), &empty.extensions[..], empty.whole), (None, &[0, 16][..], true));
        assert_eq!(empty.ja4(), "t12d000200_000000000000_000000000000");
        let no_name = parse(&hello(&[], &[0, 9, 0, 0, 0, 5, 0, 3, 0, 0, 0])).unwrap();
        assert_eq!((no_name.server_name.as_deref(), no_name.whole), (Some(&b""[..]), true));
    }

    #[test]
    fn grease_is_dropped_everywhere() {
        // An extension of GREASE with one byte, then 43, 10, 13 and 16, each with GREASE first.
        let extensions =
            "1a1a000100002b000706dada03040303000a00060004fafa001d000d00060004eaea0403001000080006020a0a026832";
        let greased = parse(&hello(&[0x0a, 0x0a, 0x13, 0x01, 0x0a, 0x1a], &vector(2, &bytes(extensions)))).unwrap();
        let expected = ClientHello {
            legacy_version: 0x0303,
            versions: vec![0x0304, 0x0303],
            server_name: None,
            alpn: vec![b"h2".to_vec()],
            ciphers: vec![0x1301, 0x0a1a],
            extensions: vec![43, 10, 13, 16],
            groups: vec![0x1d],
            signature_algorithms: vec![0x0403],
            whole: true,
        };
        assert_eq!(greased, expected);
    }

    #[test]
    fn a_hello_may_be_spread_over_records() {
        let raw = bytes(TLS_13);
        for size in [1, 3, 4, 50, 249] {
            let records: Vec<u8> =
                raw[5..].chunks(size).flat_map(|part| [&[0x16, 3, 3][..], &vector(2, part)].concat()).collect();
            assert_eq!(parse(&records), parse(&raw), "{size}");
        }
        // What follows is not the hello's: another handshake message, an alert.
        let more = [&raw[..], &[0x16, 3, 3, 0, 2, 16, 0], &[0x15, 3, 3, 0, 2, 2, 40]].concat();
        assert_eq!(parse(&more), parse(&raw));
    }

    #[test]
    fn a_part_of_a_hello_is_not_whole() {
        for raw in [bytes(TLS_13), bytes(TLS_11), hello(&[0, 0x2f], &[])] {
            for end in 0..raw.len() {
                let part = parse(&raw[..end]);
                assert_eq!(part.is_some(), end >= 11, "{end}");
                assert!(part.is_none_or(|part| !part.whole && part.ja4().len() == 36), "{end}");
            }
        }
        let part = parse(&bytes(TLS_13)[..107]).unwrap();
        assert_eq!((part.server_name.as_deref(), &part.extensions[..]), (Some(&b"a.b"[..]), &[0, 11][..]));
    }

    #[test]
    fn no_mutation_panics() {
        let (raw, mut state) = (bytes(TLS_13), 1_u64);
        for _ in 0..20_000 {
            let mut raw = raw.clone();
            for _ in 0..4 {
                // Knuth's MMIX generator; its high bits are the random ones.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = usize::try_from(state >> 40).unwrap() % raw.len();
                raw[at] = state.to_be_bytes()[0];
            }
            if let Some(hello) = parse(&raw) {
                assert_eq!(hello.ja4().chars().count(), 36);
            }
        }
    }

    #[test]
    fn other_bytes_are_none() {
        for raw in [
            &b""[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x00\x00",
            b"\x16\x03\x01\x00\x06\x02\0\0\x02\x03\x03",
            b"\x15\x03\x01\x00\x06\x01\0\0\x02\x03\x03",
            b"\x16\xfe\xff\x00\x06\x01\0\0\x02\x03\x03",
        ] {
            assert_eq!(parse(raw), None, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn versions_have_names() {
        for (version, name) in [(0x0304, "TLS 1.3"), (0x0300, "SSL 3.0"), (0x0002, "SSL 2.0"), (0x7f1c, "0x7f1c")] {
            assert_eq!(version_name(version), name);
        }
    }
}
