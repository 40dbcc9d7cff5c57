//! Tests that read captures back with etherparse: addresses, checksums, times, every byte.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use jiff::Timestamp;

use super::*;

const V4: [&str; 2] = ["203.0.113.7:41000", "192.0.2.1:80"];
const V6: [&str; 2] = ["[2001:db8::1]:41000", "[2001:db8::2]:80"];
const MICROS: i64 = 1_767_323_045_000_006;

struct Read {
    micros: i64,
    ends: [SocketAddr; 2],
    tcp: TcpHeader,
    payload: Vec<u8>,
}

fn record(seq: u64, micros: i64, ends: [&str; 2], raw: &[u8]) -> Record {
    let [source, destination] = ends.map(|end| end.parse::<SocketAddr>().unwrap());
    Record {
        seq,
        timestamp: Timestamp::from_microsecond(micros).unwrap(),
        src_ip: source.ip(),
        src_port: source.port(),
        dest_ip: destination.ip(),
        dest_port: destination.port(),
        ..crate::reader::entry::tests::record(raw)
    }
}

/// Reads a capture back and checks every checksum.
fn read(file: &[u8]) -> Vec<Read> {
    let (head, mut rest) = file.split_at(24);
    assert_eq!(
        head,
        b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x65\0\0\0"
    );
    let mut packets = Vec::new();
    while let Some((head, tail)) = rest.split_at_checked(PACKET_HEADER_BYTES) {
        let [seconds, micros, held, length] =
            [0, 4, 8, 12].map(|at| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()));
        assert_eq!(held, length);
        let (bytes, tail) = tail.split_at(length as usize);
        assert!(bytes.len() <= MTU_BYTES.into());
        rest = tail;
        let packet = SlicedPacket::from_ip(bytes).unwrap();
        let Some(TransportSlice::Tcp(slice)) = packet.transport else {
            panic!("not TCP")
        };
        let tcp = slice.to_header();
        let [from, to]: [IpAddr; 2] = match packet.net.unwrap() {
            NetSlice::Ipv4(ip) => {
                let ip = ip.header();
                assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
                assert_eq!(
                    slice.calc_checksum_ipv4(ip.source(), ip.destination()),
                    Ok(tcp.checksum)
                );
                [ip.source_addr().into(), ip.destination_addr().into()]
            }
            NetSlice::Ipv6(ip) => {
                let ip = ip.header();
                assert_eq!(
                    slice.calc_checksum_ipv6(ip.source(), ip.destination()),
                    Ok(tcp.checksum)
                );
                [ip.source_addr().into(), ip.destination_addr().into()]
            }
            NetSlice::Arp(_) => panic!("not IP"),
        };
        packets.push(Read {
            micros: i64::from(seconds) * 1_000_000 + i64::from(micros),
            ends: [
                SocketAddr::new(from, tcp.source_port),
                SocketAddr::new(to, tcp.destination_port),
            ],
            payload: slice.payload().to_vec(),
            tcp,
        });
    }
    packets
}

/// Reassembles one connection as its two ends would, and returns the bytes that each sent.
fn reassemble(packets: &[Read]) -> [Vec<u8>; 2] {
    let client = packets[0].ends[0];
    let mut next = [
        packets[0].tcp.sequence_number,
        packets[1].tcp.sequence_number,
    ];
    let mut sent = [Vec::new(), Vec::new()];
    for (
        index,
        Read {
            ends, tcp, payload, ..
        },
    ) in packets.iter().enumerate()
    {
        let from = usize::from(ends[0] != client);
        assert_eq!(tcp.sequence_number, next[from], "packet {index}");
        assert_eq!(
            tcp.acknowledgment_number,
            if index == 0 { 0 } else { next[1 - from] },
            "packet {index}"
        );
        next[from] += payload.len() as u32 + u32::from(tcp.syn) + u32::from(tcp.fin);
        sent[from].extend(payload);
    }
    sent
}

#[test]
fn a_record_is_one_whole_connection_and_its_first_byte_has_its_time() {
    let packets = read(&capture([&record(7, MICROS, V4, &[b'a'; 2000])]));
    let shown: Vec<_> = packets
        .iter()
        .map(
            |Read {
                 micros,
                 ends,
                 tcp,
                 payload,
             }| {
                let flags = [
                    (tcp.syn, "S"),
                    (tcp.fin, "F"),
                    (tcp.psh, "P"),
                    (tcp.ack, "."),
                ];
                let flags: String = flags
                    .into_iter()
                    .filter_map(|(set, flag)| set.then_some(flag))
                    .collect();
                format!(
                    "{} {} {flags} {}",
                    micros - MICROS,
                    ends[0].port(),
                    payload.len()
                )
            },
        )
        .collect();
    let expected = [
        "-3 41000 S 0",
        "-2 80 S. 0",
        "-1 41000 . 0",
        "0 41000 . 1460",
        "1 80 . 0",
        "2 41000 P. 540",
        "3 80 . 0",
        "4 80 P. 57",
        "5 41000 . 0",
        "6 80 F. 0",
        "7 41000 . 0",
        "8 41000 F. 0",
        "9 80 . 0",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn every_byte_comes_back() {
    let noise: Vec<u8> = (0..1 << 20)
        .map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for length in [0, 1, 1440, 1441, 1460, 1461, 65_536, 1 << 20] {
        for (ends, seq) in [
            (V4, 0),
            (V6, 7),
            ([V4[0], V6[1]], INITIAL_SEQUENCES - 1),
            ([V6[0], V4[1]], u64::MAX),
        ] {
            let packets = read(&capture([&record(seq, MICROS, ends, &noise[..length])]));
            let [request, response] = reassemble(&packets);
            assert!(request == noise[..length], "{length} bytes");
            assert_eq!(response, forever200_testkit::RESPONSE);
        }
    }
}

#[test]
fn the_ends_are_those_of_the_record_and_of_one_family_and_never_the_same() {
    for (ends, expected) in [
        (V4, V4),
        (V6, V6),
        ([V4[0], V6[1]], ["[::ffff:203.0.113.7]:41000", V6[1]]),
        ([V6[0], V4[1]], [V6[0], "[::ffff:192.0.2.1]:80"]),
        (["0.0.0.0:0", V4[1]], ["0.0.0.0:49153", V4[1]]),
        (["0.0.0.0:0", "0.0.0.0:0"], ["0.0.0.0:49153", "0.0.0.0:0"]),
        (["0.0.0.0:80", "0.0.0.0:80"], ["0.0.0.0:81", "0.0.0.0:80"]),
        (
            ["[::ffff:0.0.0.0]:80", "0.0.0.0:80"],
            ["[::ffff:0.0.0.0]:81", "[::ffff:0.0.0.0]:80"],
        ),
    ] {
        let packets = read(&capture([&record(1, MICROS, ends, b"a")]));
        assert_eq!(packets[0].ends.map(|end| end.to_string()), expected);
    }
}

#[test]
fn clients_without_a_port_are_told_apart_and_do_not_wait() {
    let ends = ["203.0.113.0:0", V4[1]];
    let records = [1, 2, 16_384, u64::MAX].map(|seq| record(seq, MICROS, ends, b"a"));
    let packets = read(&capture(&records));
    let firsts = packets
        .iter()
        .filter(|packet| packet.tcp.syn && !packet.tcp.ack);
    let firsts: Vec<_> = firsts
        .map(|packet| (packet.micros - MICROS, packet.ends[0].port()))
        .collect();
    assert_eq!(
        firsts,
        [(-3, 49_153), (-3, 49_154), (-3, 49_152), (-3, 65_535)]
    );
}

#[test]
fn packets_are_in_the_order_of_time_and_connections_between_the_same_ends_do_not_mix() {
    let other = ["203.0.113.8:41000", V4[1]];
    let records = [
        record(3, MICROS, other, b"c"),
        record(2, MICROS + 5, V4, b"b"),
        record(1, MICROS, V4, b"a"),
    ];
    let packets = read(&capture(&records));
    assert!(packets.is_sorted_by_key(|packet| packet.micros));
    let (mixed, other): (Vec<_>, Vec<_>) = packets
        .into_iter()
        .partition(|packet| packet.ends.contains(&V4[0].parse().unwrap()));
    let (first, second) = mixed.split_at(11);
    assert_eq!(
        [first, second, &other].map(|packets| reassemble(packets)[0].clone()),
        [b"a", b"b", b"c"]
    );
    assert_eq!(
        [first, second, &other].map(|packets| packets[3].micros - MICROS),
        [0, 11, 0]
    );
}

#[test]
fn a_time_that_the_file_cannot_hold_becomes_the_nearest() {
    for (timestamp, micros) in [
        (Timestamp::MIN, 0),
        (Timestamp::UNIX_EPOCH, 0),
        (Timestamp::MAX, LAST_MICROS as i64),
    ] {
        let packets = read(&capture([&Record {
            timestamp,
            ..record(1, 0, V4, b"a")
        }]));
        assert_eq!(
            (packets[0].micros, reassemble(&packets)[0].as_slice()),
            (micros, &b"a"[..])
        );
    }
}
