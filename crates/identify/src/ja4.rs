//! JA4: the fingerprint of a TLS client, from what its hello offers.
//!
//! In: a hello. Out: 36 characters that are the same for all connections of the same client
//! program.

use sha2::{Digest, Sha256};

use crate::tls::{ALPN, ClientHello, SERVER_NAME};

impl ClientHello {
    /// Returns the JA4 fingerprint, 36 characters; compare it with others only when the hello is
    /// `whole`.
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
        let server_name = if self.extensions.contains(&SERVER_NAME) {
            'd'
        } else {
            'i'
        };
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
        format!(
            "t{version}{server_name}{ciphers:02}{extensions:02}{alpn}_{cipher_hash}_{extension_hash}"
        )
    }
}

/// Returns the first and the last character of a protocol's name. If one of them is no letter or
/// digit, returns the first and the last character of the name's hexadecimal form.
fn ja4_alpn(name: &[u8]) -> String {
    match (name.first(), name.last()) {
        (Some(first), Some(last))
            if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() =>
        {
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
    Sha256::digest(list)
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn sorted_hex(mut numbers: Vec<u16>) -> String {
    numbers.sort_unstable();
    hex(&numbers)
}

fn hex(numbers: &[u16]) -> String {
    let numbers: Vec<_> = numbers
        .iter()
        .map(|number| format!("{number:04x}"))
        .collect();
    numbers.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ja4_is_what_others_compute() {
        // The example in the specification, with and without signature algorithms.
        let numbers = |list: &str| {
            list.split(',')
                .map(|hex| u16::from_str_radix(hex, 16).unwrap())
                .collect()
        };
        let mut hello = ClientHello {
            versions: vec![0x0303, 0x0304],
            alpn: vec![b"h2".to_vec()],
            ciphers: numbers(
                "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035",
            ),
            extensions: numbers(
                "001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015",
            ),
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
}
