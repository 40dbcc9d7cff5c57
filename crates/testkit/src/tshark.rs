//! Reads a capture file with Wireshark's dissectors.
//!
//! In: the path of a file. Out: its connections, and the faults that tshark finds.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::process::missing;

/// What tshark finds in a capture file.
#[derive(Debug, Default)]
pub struct Seen {
    /// The TCP connections, in the order in which they begin.
    pub streams: Vec<Stream>,
    /// A line for each packet with a fault: its number, its connection, the reasons.
    pub complaints: Vec<String>,
}

/// A TCP connection. The client is the side that sent the first packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Stream {
    /// Address of the client.
    pub client: SocketAddr,
    /// Address of the server.
    pub server: SocketAddr,
    /// What the client sent.
    pub request: Vec<u8>,
    /// What the server sent.
    pub response: Vec<u8>,
}

/// Filter for packets with a fault below the payload: not TCP, a wrong checksum (1 is "good"), or
/// anything that the analysis of sequence numbers and windows marks, whatever the severity. A port
/// that is used again is no fault, because clients do that. Expert information of other dissectors
/// is left out, because it is about the payload.
const FAULTS: &str = "!tcp || tcp.checksum.status != 1 || (ip && ip.checksum.status != 1) \
    || (tcp.analysis.flags && !tcp.analysis.reused_ports) || tcp.connection.rst || tcp.ack.nonzero";

/// Returns the connections and faults that tshark finds in a capture file.
///
/// # Errors
/// tshark is missing or fails, or a packet has no addresses.
pub fn sees(path: &Path) -> anyhow::Result<Seen> {
    let mut streams: BTreeMap<u32, Stream> = BTreeMap::new();
    let fields = [
        "tcp.stream",
        "ip.src",
        "ipv6.src",
        "tcp.srcport",
        "ip.dst",
        "ipv6.dst",
        "tcp.dstport",
        "tcp.payload",
    ];
    for line in tshark(path, "tcp", &fields)?.lines() {
        let mut values = line.split('\t');
        let mut value = || {
            values
                .next()
                .with_context(|| format!("too few fields: {line:.200}"))
        };
        let number = value()?
            .parse()
            .with_context(|| format!("no stream: {line:.200}"))?;
        let source = address(value()?, value()?, value()?)?;
        let destination = address(value()?, value()?, value()?)?;
        let payload = from_hex(value()?)?;
        let stream = streams.entry(number).or_insert_with(|| Stream {
            client: source,
            server: destination,
            request: Vec::new(),
            response: Vec::new(),
        });
        if source == stream.client {
            &mut stream.request
        } else {
            &mut stream.response
        }
        .extend(payload);
    }
    let faults = tshark(
        path,
        FAULTS,
        &[
            "frame.number",
            "tcp.stream",
            "_ws.expert.message",
            "_ws.malformed",
        ],
    )?;
    Ok(Seen {
        streams: streams.into_values().collect(),
        complaints: faults.lines().map(|line| line.replace('\t', " ")).collect(),
    })
}

/// Returns a line for each packet that the filter lets through, with the fields between tabs.
fn tshark(path: &Path, filter: &str, fields: &[&str]) -> anyhow::Result<String> {
    let mut tshark = Command::new("tshark");
    tshark.args([
        "-n",
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "ip.check_checksum:TRUE",
        "-T",
        "fields",
    ]);
    // Only the first value of a field counts: a payload that itself looks like packets would add a
    // second one. But a packet may have several messages.
    let all = if fields.contains(&"_ws.expert.message") {
        "occurrence=a"
    } else {
        "occurrence=f"
    };
    tshark.args(["-E", all, "-Y", filter]).arg("-r").arg(path);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let output = tshark.output().context(missing("tshark"))?;
    ensure!(
        output.status.success(),
        "tshark: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn address(v4: &str, v6: &str, port: &str) -> anyhow::Result<SocketAddr> {
    let ip: IpAddr = if v4.is_empty() { v6 } else { v4 }
        .parse()
        .with_context(|| format!("no address: {v4:?} {v6:?}"))?;
    Ok(SocketAddr::new(ip, port.parse()?))
}

fn from_hex(text: &str) -> anyhow::Result<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        bail!("half a byte");
    }
    pairs
        .iter()
        .map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?))
        .collect()
}
