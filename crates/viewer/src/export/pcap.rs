//! Writes records into a capture file: each request as a TCP connection that could have carried it.
//!
//! In: records. Out: a classic pcap file, for Wireshark, Suricata and the like. Addresses, ports,
//! the request's bytes and the time of its first byte are real. Handshake, segments,
//! acknowledgements, response and end are made up, in the same way for every record. The bytes are
//! not interpreted. How the connection really ended is not shown: a client that reset it seems to
//! close it normally.
//!
//! Format: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html> and
//! <https://www.tcpdump.org/linktypes.html>. Headers in the packets: RFC 791, RFC 8200, RFC 9293.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use etherparse::{PacketBuilder, TcpHeader, TcpOptions};
use forever200_ring::Record;

use crate::export::Listing;

/// The answer of the responder, which is always the same. A copy of `RESPONSE` in the responder's
/// `connection.rs`: the viewer does not depend on that crate.
pub(super) const RESPONSE: &[u8] =
    b"HTTP/1.1 200 Ok\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The magic number for times in microseconds; version 2.4; two fields that are zero; the length of
/// the longest packet; and `LINKTYPE_RAW`, with which packets begin with the IP header.
const FILE_HEADER: [u32; 6] = [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 65_535, 101];
/// Length of the header before each packet in the file.
const PACKET_HEADER_BYTES: usize = 16;

/// Longest IP packet. It is the longest packet of Ethernet, so that the file can be replayed.
const MTU_BYTES: u16 = 1500;
/// Length of IP and TCP headers without options, for IPv4 and IPv6.
const IPV4_HEADERS_BYTES: u16 = 40;
const IPV6_HEADERS_BYTES: u16 = 60;
/// The largest window without scaling. It suffices, because at most one segment is unacknowledged.
const WINDOW_BYTES: u16 = u16::MAX;
const HOPS: u8 = 64;
/// Number of different initial sequence numbers. None is near the end of 32 bits: where a
/// connection wraps around, Wireshark reports a duplicate acknowledgement.
const INITIAL_SEQUENCES: u64 = 1 << 30;

/// The first dynamic port (RFC 6335, 6), and how many there are. Programs that read captures
/// connect no protocol with them.
const FIRST_DYNAMIC_PORT: u16 = 49_152;
const DYNAMIC_PORTS: u64 = 16_384;

/// Upper limit for the bytes of a connection in the capture beside its full data packets.
const CONNECTION_BYTES: usize = 1024;

const SECOND_MICROS: u64 = 1_000_000;
/// The latest time that the file format can hold, in 2106.
const LAST_MICROS: u64 = u32::MAX as u64 * SECOND_MICROS + (SECOND_MICROS - 1);
/// The three packets of the handshake take a microsecond each, before the first byte.
const HANDSHAKE_MICROS: i64 = 3;

/// A packet that is yet to be encoded.
struct Packet<'a> {
    micros: i64,
    from: IpAddr,
    to: IpAddr,
    tcp: TcpHeader,
    payload: &'a [u8],
}

/// A connection, and its packets so far.
struct Connection<'a> {
    client: End,
    server: End,
    /// The time of the next packet.
    micros: i64,
    packets: Vec<Packet<'a>>,
}

struct End {
    address: SocketAddr,
    /// Sequence number of the next byte that this end sends.
    sequence: u32,
}

#[derive(Clone, Copy)]
enum Side {
    Client,
    Server,
}

/// Returns a capture file of any number of records, the oldest first. One connection follows the
/// other, so packets of different connections are not in order of time. Programs that read captures
/// accept this.
#[must_use]
pub fn connections() -> Listing {
    Listing {
        begin: file(&[]).into(),
        between: b"",
        end: "".into(),
        newest_first: false,
        most: Box::new(|entry| most_bytes(&entry.record)),
        one: Box::new(|entry| {
            let capture = capture([&entry.record]);
            Some(Bytes::from(capture).split_off(size_of_val(&FILE_HEADER)))
        }),
    }
}

/// Returns an upper limit for the bytes of a record's connection in a capture.
///
/// A full segment has at least 1440 bytes. Its packet and the acknowledgement have 76 bytes of
/// headers each, together less than a fifth of the segment.
#[must_use]
pub fn most_bytes(record: &Record) -> usize {
    record.raw.len() * 6 / 5 + CONNECTION_BYTES
}

/// Returns a capture file (classic pcap, `LINKTYPE_RAW`, microseconds, little endian) in which each
/// record is one TCP connection: handshake, request, response 200, end.
///
/// Packets are in order of time. The packets of one connection are a microsecond apart. The first
/// one with bytes of the request has the record's timestamp, and the handshake comes just before
/// it. If there are no bytes, the response has the timestamp. Two connections between the same ends
/// never overlap, because they could not be told apart: the second one is delayed until the first
/// one is over. Times that the file cannot hold (before 1970, after 2106) become the nearest
/// possible time.
///
/// Port 0 means that the client's port is unknown or not shown. Such clients get ports that depend
/// on `seq`. Otherwise all clients of one network would have the same pair of ends, and be delayed.
///
/// The missing bytes of a truncated record leave no gap in the sequence numbers: the request ends
/// with the last byte that was kept. Initial sequence numbers depend on `seq`. So a record has the
/// same packets in every file, and the SYN of a second connection between the same ends does not
/// look like a retransmission.
///
/// If one address is IPv4 and the other IPv6, the IPv4 one is mapped (`::ffff:192.0.2.1`). If both
/// ends are the same, the last bit of the client's port is inverted, so that the two sides differ.
#[must_use]
pub fn capture<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<u8> {
    let mut records: Vec<_> = records.into_iter().collect();
    records.sort_by_key(|record| (record.timestamp, record.seq));
    let mut over = HashMap::new();
    let mut packets = Vec::new();
    for record in records {
        let mut connection = Connection::new(record);
        let (client, server) = (connection.client.address, connection.server.address);
        let over = over
            .entry((client.min(server), client.max(server)))
            .or_insert(i64::MIN);
        connection.micros = connection.micros.max(*over);
        connection.talk(&record.raw);
        *over = connection.micros;
        packets.append(&mut connection.packets);
    }
    packets.sort_by_key(|packet| packet.micros);
    file(&packets)
}

impl<'a> Connection<'a> {
    fn new(record: &Record) -> Self {
        let mut client = SocketAddr::new(record.src_ip, record.src_port);
        if record.src_port == 0 {
            client.set_port(FIRST_DYNAMIC_PORT + (record.seq % DYNAMIC_PORTS) as u16);
        }
        let mut server = SocketAddr::new(record.dest_ip, record.dest_port);
        if client.is_ipv4() != server.is_ipv4() {
            client.set_ip(mapped(client.ip()).into());
            server.set_ip(mapped(server.ip()).into());
        }
        if client == server {
            client.set_port(client.port() ^ 1);
        }
        let sequence = (record.seq % INITIAL_SEQUENCES) as u32 * 2;
        Self {
            client: End {
                address: client,
                sequence,
            },
            server: End {
                address: server,
                sequence: sequence + 1,
            },
            micros: record.timestamp.as_microsecond() - HANDSHAKE_MICROS,
            packets: Vec::new(),
        }
    }

    /// Adds all packets: the client sends `request`, the server acknowledges every segment and
    /// answers.
    fn talk(&mut self, request: &'a [u8]) {
        use Side::{Client, Server};
        let headers = if self.client.address.is_ipv4() {
            IPV4_HEADERS_BYTES
        } else {
            IPV6_HEADERS_BYTES
        };
        let segment_bytes = MTU_BYTES - headers;
        let [high, low] = segment_bytes.to_be_bytes();
        // RFC 9293, 3.7.1: option 2, of four bytes, is the maximum segment size.
        let syn = TcpHeader {
            syn: true,
            options: TcpOptions::from([2, 4, high, low]),
            ..TcpHeader::default()
        };
        let syn_ack = TcpHeader {
            ack: true,
            ..syn.clone()
        };
        let ack = TcpHeader {
            ack: true,
            ..TcpHeader::default()
        };
        let push = TcpHeader {
            psh: true,
            ..ack.clone()
        };
        let fin = TcpHeader {
            fin: true,
            ..ack.clone()
        };

        self.send(Client, &syn, b"");
        self.send(Server, &syn_ack, b"");
        self.send(Client, &ack, b"");
        let mut segments = request.chunks(segment_bytes.into()).peekable();
        while let Some(segment) = segments.next() {
            self.send(
                Client,
                if segments.peek().is_some() {
                    &ack
                } else {
                    &push
                },
                segment,
            );
            self.send(Server, &ack, b"");
        }
        self.send(Server, &push, RESPONSE);
        self.send(Client, &ack, b"");
        self.send(Server, &fin, b"");
        self.send(Client, &ack, b"");
        self.send(Client, &fin, b"");
        self.send(Server, &ack, b"");
    }

    /// Adds a packet; `kind` has its flags and options.
    fn send(&mut self, side: Side, kind: &TcpHeader, payload: &'a [u8]) {
        let (from, to) = match side {
            Side::Client => (&mut self.client, &self.server),
            Side::Server => (&mut self.server, &self.client),
        };
        let tcp = TcpHeader {
            source_port: from.address.port(),
            destination_port: to.address.port(),
            sequence_number: from.sequence,
            acknowledgment_number: if kind.ack { to.sequence } else { 0 },
            window_size: WINDOW_BYTES,
            ..kind.clone()
        };
        self.packets.push(Packet {
            micros: self.micros,
            from: from.address.ip(),
            to: to.address.ip(),
            tcp,
            payload,
        });
        // SYN and FIN each take one sequence number, like a byte.
        let length = payload.len() as u32 + u32::from(kind.syn) + u32::from(kind.fin);
        from.sequence = from.sequence.wrapping_add(length);
        self.micros += 1;
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn file(packets: &[Packet<'_>]) -> Vec<u8> {
    let headers_bytes = PACKET_HEADER_BYTES + usize::from(IPV6_HEADERS_BYTES);
    let mut file = Vec::with_capacity(
        packets
            .iter()
            .map(|packet| headers_bytes + packet.payload.len())
            .sum(),
    );
    file.extend(FILE_HEADER.into_iter().flat_map(u32::to_le_bytes));
    for packet in packets {
        packet.encode(&mut file);
    }
    file
}

impl Packet<'_> {
    fn encode(&self, file: &mut Vec<u8>) {
        let ip = match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                PacketBuilder::ipv4(from.octets(), to.octets(), HOPS)
            }
            (from, to) => PacketBuilder::ipv6(mapped(from).octets(), mapped(to).octets(), HOPS),
        };
        let packet = ip.tcp_header(self.tcp.clone());
        let length = packet.size(self.payload.len()) as u32;
        let micros = u64::try_from(self.micros).unwrap_or(0).min(LAST_MICROS);
        let (seconds, micros) = (
            (micros / SECOND_MICROS) as u32,
            (micros % SECOND_MICROS) as u32,
        );
        // The length twice: in the file, and on the wire.
        file.extend(
            [seconds, micros, length, length]
                .into_iter()
                .flat_map(u32::to_le_bytes),
        );
        packet
            .write_to_vec(file, self.payload)
            .expect("a segment is shorter than IP's length fields can say");
    }
}

#[cfg(test)]
mod tests;
