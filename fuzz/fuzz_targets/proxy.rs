//! Reads a PROXY header: any bytes are a header or an error, the bytes behind the header stay as
//! they are, and its addresses are read.
#![no_main]

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use forever200_fuzz::choice;
use forever200_responder::proxy::{Addresses, read_header};
use forever200_ring::Via;
use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, Chain};

/// Longest header that is read.
const MAX_HEADER_BYTES: usize = 4096;
/// Most bytes that one read may fetch beyond that.
const READ_BYTES: usize = 4096;

/// Reads the header of a connection whose bytes come in two pieces; returns the addresses and the
/// bytes behind the header.
fn read(bytes: &[u8], cut: usize) -> Option<(Option<Addresses>, Vec<u8>)> {
    let mut stream: Chain<&[u8], &[u8]> = bytes[..cut].chain(&bytes[cut..]);
    let mut buffer = Vec::new();
    let read = {
        let reading = pin!(read_header(&mut stream, &mut buffer, Addresses::UNKNOWN));
        // All bytes are there, so reading never waits.
        let Poll::Ready(read) = reading.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("waits")
        };
        read.ok()
    };
    assert!(
        buffer.len() <= 2 * (MAX_HEADER_BYTES + READ_BYTES),
        "{} bytes read",
        buffer.len()
    );
    let (first, second) = stream.into_inner();
    read.map(|header| {
        let rest = [&buffer[header.length..], first, second].concat();
        (header.addresses, rest)
    })
}

fuzz_target!(|input: &[u8]| {
    let cut = input.len() * usize::from(choice(input)) / 256;
    let found = read(input, cut);
    assert_eq!(found, read(input, input.len()), "cut at {cut}");
    if let Some((_, rest)) = &found {
        assert!(
            input.ends_with(rest) && rest.len() < input.len(),
            "{} of {} are left",
            rest.len(),
            input.len()
        );
    }
    let mut numbers = Unstructured::new(input);
    if let Ok((header, expected)) = header(&mut numbers) {
        let request = numbers.take_rest();
        let bytes = [&header[..], request].concat();
        let found = read(&bytes, bytes.len() * usize::from(choice(input)) / 256);
        assert_eq!(
            found,
            Some((expected, request.to_vec())),
            "{}",
            header.escape_ascii()
        );
    }
});

/// Returns a header as haproxy would write it, with any addresses, and the expected result of
/// reading it.
fn header(numbers: &mut Unstructured<'_>) -> Result<(Vec<u8>, Option<Addresses>)> {
    let is_v6 = numbers.arbitrary()?;
    let ip = |numbers: &mut Unstructured<'_>| {
        Ok::<IpAddr, _>(if is_v6 {
            <[u8; 16]>::arbitrary(numbers)?.into()
        } else {
            <[u8; 4]>::arbitrary(numbers)?.into()
        })
    };
    let source = SocketAddr::new(ip(numbers)?, numbers.arbitrary()?);
    let destination = SocketAddr::new(ip(numbers)?, numbers.arbitrary()?);
    let addresses = |via| {
        Some(Addresses {
            source,
            destination,
            via,
            first_byte: None,
        })
    };
    Ok(match numbers.int_in_range(0..=4)? {
        0 => (v1(source, destination), addresses(Via::ProxyV1)),
        1 => (v2(0x20, source, destination, &[]), None),
        2 => (
            v2(0x21, source, destination, b"\x05\0\x04http"),
            addresses(Via::Http),
        ),
        // A TLV that has no meaning: PP2_TYPE_NOOP.
        3 => (
            v2(0x21, source, destination, b"\x04\0\x02\0\0"),
            addresses(Via::ProxyV2),
        ),
        _ => (v2(0x21, source, destination, &[]), addresses(Via::ProxyV2)),
    })
}

fn v1(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv6() { 6 } else { 4 };
    let ((from, from_port), (to, to_port)) = (
        (source.ip(), source.port()),
        (destination.ip(), destination.port()),
    );
    format!("PROXY TCP{family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
}

fn v2(command: u8, source: SocketAddr, destination: SocketAddr, tlvs: &[u8]) -> Vec<u8> {
    let octets = |ip| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let ports = [
        source.port().to_be_bytes(),
        destination.port().to_be_bytes(),
    ]
    .concat();
    let rest = [
        octets(source.ip()),
        octets(destination.ip()),
        ports,
        tlvs.to_vec(),
    ]
    .concat();
    let family = if source.is_ipv6() { 0x21 } else { 0x11 };
    let length = u16::try_from(rest.len())
        .expect("an address is short")
        .to_be_bytes();
    [
        &b"\r\n\r\n\0\r\nQUIT\n"[..],
        &[command, family],
        &length,
        &rest,
    ]
    .concat()
}
