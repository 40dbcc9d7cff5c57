//! Reads the PROXY protocol header before a request, for the client's address.
//!
//! In: the first bytes of a connection that haproxy opened. Out: the client's address, and the
//! first bytes of the request. Trusts every peer, so it is off unless haproxy is the only peer.
//!
//! Protocol: haproxy `doc/proxy-protocol.txt`, versions 1 and 2.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, bail};
use forever200_ring::{Tls, Via};
use jiff::{SignedDuration, Timestamp};
use proxy_header::{Error, ParseConfig, ProxyHeader, SslInfo};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest header that is read. haproxy's are 28 to about 140 bytes; the name of a host may make
/// them longer.
const MAX_HEADER_BYTES: usize = 4096;
/// Longest header of version 1, its line end included: section 2.1 of the specification.
const MAX_V1_HEADER_BYTES: usize = 107;
/// Index of the byte that holds version and command in a header of version 2.
const COMMAND_INDEX: usize = 12;
/// The byte at [`COMMAND_INDEX`] of a header that haproxy sends for itself: version 2, LOCAL.
const LOCAL: u8 = 0x20;
/// The first word of the unique id of a request that haproxy handled in `mode http`, and rewrote.
const HTTP_MARK: &str = "http";
/// Longest text about TLS that is kept, in characters: a name of DNS has at most 253.
const MAX_TLS_CHARS: usize = 255;
/// Longest time that haproxy may have held the first byte. Its `tcp-request inspect-delay` is 10 s.
const MAX_HELD: SignedDuration = SignedDuration::from_secs(60);

/// The addresses of a connection, as far as they are known, and how they were learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The client.
    pub source: SocketAddr,
    /// The address that the client connected to.
    pub destination: SocketAddr,
    /// How the two addresses were learned.
    pub via: Via,
    /// When the first byte of the request came to haproxy.
    pub first_byte: Option<Timestamp>,
}

impl Addresses {
    /// The value if no address is known.
    pub const UNKNOWN: Self = {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Self {
            source: nowhere,
            destination: nowhere,
            via: Via::Peer,
            first_byte: None,
        }
    };
}

/// A PROXY header that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The addresses; `None` for a LOCAL header, which a health check has.
    pub addresses: Option<Addresses>,
    /// Facts about the TLS that haproxy terminated.
    pub tls: Option<Box<Tls>>,
    /// Length of the header in bytes.
    pub length: usize,
}

/// Reads the header into `buffer`, and returns what it says. Afterwards, `buffer` may also hold the
/// first bytes of the request.
///
/// Returns `peer` as the addresses if the header names none (version 1 `UNKNOWN`, version 2
/// `UNSPEC`).
///
/// # Errors
/// The header is missing, broken or longer than 4,096 bytes, or the connection ended before it.
pub async fn read_header<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    peer: Addresses,
) -> anyhow::Result<Header> {
    loop {
        match ProxyHeader::parse(buffer, ParseConfig::default()) {
            // The crate checks the length of an unfinished header only. Without this check, the
            // result would depend on how TCP cut the header.
            Ok((_, length)) if buffer.starts_with(b"P") && length > MAX_V1_HEADER_BYTES => {
                bail!("PROXY header of version 1 longer than {MAX_V1_HEADER_BYTES} bytes");
            }
            Ok((header, length)) => {
                return Ok(Header {
                    addresses: addresses(&header, buffer, peer),
                    tls: tls(&header),
                    length,
                });
            }
            Err(Error::BufferTooShort) if buffer.len() < MAX_HEADER_BYTES => {}
            Err(Error::BufferTooShort) => {
                bail!("PROXY header longer than {MAX_HEADER_BYTES} bytes")
            }
            Err(error) => return Err(error).context("bad PROXY header"),
        }
        if stream
            .read_buf(buffer)
            .await
            .context("reading the PROXY header")?
            == 0
        {
            bail!(
                "connection ended after {} bytes of a PROXY header",
                buffer.len()
            );
        }
    }
}

fn addresses(header: &ProxyHeader<'_>, bytes: &[u8], peer: Addresses) -> Option<Addresses> {
    let is_v2 = bytes.first() == Some(&b'\r');
    if is_v2 && bytes.get(COMMAND_INDEX) == Some(&LOCAL) {
        return None;
    }
    let Some(proxied) = header.proxied_address() else {
        return Some(peer);
    };
    let (mode, first_byte) = unique_id(header);
    let via = match mode {
        HTTP_MARK => Via::Http,
        _ if is_tls(header) => Via::Tls,
        _ if is_v2 => Via::ProxyV2,
        _ => Via::ProxyV1,
    };
    Some(Addresses {
        source: proxied.source,
        destination: proxied.destination,
        via,
        first_byte: believable(first_byte, Timestamp::now()),
    })
}

fn is_tls(header: &ProxyHeader<'_>) -> bool {
    header.ssl().as_ref().is_some_and(SslInfo::client_ssl)
}

/// Returns what the header says about the TLS that haproxy terminated: section 2.2.6 of the
/// specification.
fn tls(header: &ProxyHeader<'_>) -> Option<Box<Tls>> {
    let ssl = header.ssl().filter(SslInfo::client_ssl)?;
    let bounded = |text: &str| text.chars().take(MAX_TLS_CHARS).collect();
    Some(Box::new(Tls {
        version: ssl.version().map(bounded),
        cipher: ssl.cipher().map(bounded),
        sni: header.authority().map(bounded),
        alpn: header
            .alpn()
            .map(|name| bounded(&String::from_utf8_lossy(name))),
        ..Tls::default()
    }))
}

/// Splits the unique id that haproxy sends into the mode of the connection and a time.
fn unique_id<'a>(header: &'a ProxyHeader<'_>) -> (&'a str, &'a str) {
    let bytes = header.unique_id().unwrap_or_default();
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.split_once(' ').unwrap_or((text, ""))
}

/// Reads a time in microseconds since 1970. Returns `None` for a time after `now`, or more than
/// [`MAX_HELD`] before it: such a time is from another clock.
fn believable(microseconds: &str, now: Timestamp) -> Option<Timestamp> {
    let time = Timestamp::from_microsecond(microseconds.parse().ok()?).ok()?;
    let held = now.duration_since(time);
    (SignedDuration::ZERO..=MAX_HELD)
        .contains(&held)
        .then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc0\0\x02\x01\xa0\x28\0\x50";
    const V2_HTTP: &[u8] =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xcb\0\x71\x07\xc0\0\x02\x01\xa0\x28\0\x50\x05\0\x04http";
    const V2_UNSPEC: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0";
    const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    const V1: &[u8] = b"PROXY TCP6 2001:db8::1 2001:db8::2 41000 80\r\n";
    const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

    async fn read(mut bytes: &[u8]) -> anyhow::Result<(Option<Addresses>, Vec<u8>)> {
        let mut buffer = Vec::new();
        let header = read_header(&mut bytes, &mut buffer, Addresses::UNKNOWN).await?;
        buffer.extend_from_slice(bytes);
        Ok((header.addresses, buffer.split_off(header.length)))
    }

    #[tokio::test]
    async fn the_header_gives_the_addresses_and_the_request_stays_whole() {
        let v4 = ("203.0.113.7:41000", "192.0.2.1:80");
        for (header, addresses, via) in [
            (V2, v4, Via::ProxyV2),
            (V2_HTTP, v4, Via::Http),
            (
                V1,
                ("[2001:db8::1]:41000", "[2001:db8::2]:80"),
                Via::ProxyV1,
            ),
            (V2_UNSPEC, ("0.0.0.0:0", "0.0.0.0:0"), Via::Peer),
            (V1_UNKNOWN, ("0.0.0.0:0", "0.0.0.0:0"), Via::Peer),
        ] {
            // A header that the client forges comes behind the real one, so it is part of the
            // request.
            for request in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", V2_LOCAL] {
                let (found, rest) = read(&[header, request].concat()).await.unwrap();
                let (source, destination) =
                    (addresses.0.parse().unwrap(), addresses.1.parse().unwrap());
                assert_eq!(
                    found,
                    Some(Addresses {
                        source,
                        destination,
                        via,
                        first_byte: None,
                    })
                );
                assert_eq!(rest, request);
            }
        }
    }

    /// Returns a header of version 2 with this unique id.
    fn with_unique_id(id: &str) -> Vec<u8> {
        let mut header = V2.to_vec();
        header[15] = 12 + 3 + id.len() as u8;
        header.extend([5, 0, id.len() as u8]);
        header.extend(id.bytes());
        header
    }

    #[tokio::test]
    async fn the_time_of_the_first_byte_is_believed_when_it_can_be_true() {
        let now = Timestamp::now().as_microsecond();
        for (mode, via) in [("tcp", Via::ProxyV2), ("http", Via::Http)] {
            for held in [0, 1, 10_250_000, 59_000_000] {
                let header = with_unique_id(&format!("{mode} {}", now - held));
                let addresses = read(&header).await.unwrap().0.unwrap();
                let first_byte = addresses.first_byte.unwrap().as_microsecond();
                assert_eq!((addresses.via, first_byte), (via, now - held));
            }
            for time in [
                "-".to_owned(),
                "99999999999999999999".to_owned(),
                i64::MAX.to_string(),
                format!("{now}x"),
                format!("{}", now - 61_000_000),
                format!("{}", now + 60_000_000),
            ] {
                let header = with_unique_id(&format!("{mode} {time}"));
                let addresses = read(&header).await.unwrap().0.unwrap();
                assert_eq!((addresses.via, addresses.first_byte), (via, None), "{time}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_told_of_tls_is_kept() {
        // As haproxy 2.6 sends it for TLS 1.3 with a name and HTTP/1.1.
        let tlvs = b"\x01\0\x08http/1.1\x02\0\x09a.example\x20\0\x28\x01\0\0\0\0\
            \x21\0\x07TLSv1.3\x23\0\x16TLS_AES_256_GCM_SHA384";
        let header = |tlvs: &[u8]| {
            let mut header = V2.to_vec();
            header[15] = 12 + tlvs.len() as u8;
            [&header, tlvs].concat()
        };
        let read = async |bytes: &[u8]| {
            let mut buffer = Vec::new();
            read_header(&mut { bytes }, &mut buffer, Addresses::UNKNOWN)
                .await
                .unwrap()
        };
        let found = read(&header(tlvs)).await;
        assert_eq!(found.addresses.unwrap().via, Via::Tls);
        let tls = found.tls.unwrap();
        let texts = [&tls.version, &tls.cipher, &tls.sni, &tls.alpn];
        assert_eq!(
            texts.map(|text| text.as_deref().unwrap()),
            ["TLSv1.3", "TLS_AES_256_GCM_SHA384", "a.example", "http/1.1"]
        );
        // For a connection without TLS, haproxy says that there was none.
        let found = read(&header(b"\x20\0\x05\0\0\0\0\x01")).await;
        assert_eq!(
            (found.addresses.unwrap().via, found.tls),
            (Via::ProxyV2, None)
        );
        // The name may have any bytes, because the client sent it.
        let found = read(&header(b"\x02\0\x01\xff\x20\0\x05\x01\0\0\0\0")).await;
        assert_eq!(
            (found.addresses.unwrap().via, found.tls),
            (Via::Tls, Some(Box::default()))
        );
    }

    #[tokio::test]
    async fn a_local_header_is_nobodys_request() {
        assert_eq!(read(V2_LOCAL).await.unwrap().0, None);
    }

    #[tokio::test]
    async fn a_missing_broken_or_endless_header_is_an_error() {
        let endless = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", &[0; 9000][..]].concat();
        let long_v1 = [b"PROXY UNKNOWN ", &[b'x'; 92][..], b"\r\n"].concat();
        for bytes in [
            &b""[..],
            &V2[..20],
            b"GET / HTTP/1.1\r\n\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c\xcb\0\x71\x07\xc0\0\x02\x01\xa0\x28\0\x50",
            b"PROXY TCP4 203.0.113.7\r\n",
            &endless,
            &long_v1,
        ] {
            assert!(
                read(bytes).await.is_err(),
                "{}",
                bytes[..bytes.len().min(40)].escape_ascii()
            );
        }
    }
}
