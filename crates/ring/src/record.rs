//! One stored request: a line of JSON, a newline, then the bytes as they came.
//!
//! In: what the responder knows about a request. Out: the value of a slot, and back. The bytes are
//! neither escaped nor in base64, so that `echo "get forever200:slot:7" | nc 127.0.0.1 11211` shows
//! a request that a person can read. Does not interpret the request.

use std::net::IpAddr;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest line of JSON that is read. Our lines have about 300 bytes, and at most 8,000 more with a
/// TLS hello.
pub const MAX_LINE_BYTES: usize = 9 * 1024;
/// Longest TLS hello in a record, in base64: 4 KiB. The longest hellos of browsers have 2 KiB.
pub const MAX_HELLO_CHARS: usize = 5464;

/// Largest number that is accepted, 2⁵³ - 1. Any reader of JSON can read it, and it is enough for
/// 285 years of a million requests a second. A larger number was not written by this program, and
/// is ignored.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;

/// One request as received, and the facts about its connection.
///
/// Serializes to the line of JSON, without [`raw`](Self::raw). Suricata, Cowrie and T-Pot use the
/// same field names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Sequence number, from 1; 0 until the recorder gives it one.
    pub seq: u64,
    /// When the first byte came, UTC, microseconds.
    #[serde(with = "rfc3339_micros")]
    pub timestamp: Timestamp,
    /// The client's address; unspecified (`0.0.0.0`) if it is unknown.
    pub src_ip: IpAddr,
    /// The client's port; 0 if it is unknown.
    pub src_port: u16,
    /// The address that the client connected to.
    pub dest_ip: IpAddr,
    /// The port that the client connected to.
    pub dest_port: u16,
    /// How the addresses were learned.
    pub via: Via,
    /// Length of the request in bytes, as received; more than `raw` holds when truncated.
    pub bytes: u64,
    /// How many of these bytes follow the end of the first HTTP request: a second HTTP request, for
    /// example, or a body that is longer than the head says.
    #[serde(default)]
    pub extra: u64,
    /// `raw` is a prefix of what was received.
    pub truncated: bool,
    /// Why reading stopped.
    pub ended: Ended,
    /// The sequence number of the request after whose answer these bytes came, on the same
    /// connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<u64>,
    /// The TLS of the connection; `None` for a request without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<Tls>>,
    /// The sensor that recorded the request; `None` for a request that came to this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor: Option<Box<Sent>>,
    /// Which responder wrote the record: eight hexadecimal digits, drawn when the responder starts.
    pub responder: String,
    /// The bytes as they came.
    #[serde(skip)]
    pub raw: Bytes,
}

/// How the source and destination of a record were learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// From a PROXY protocol header, version 2; the bytes are untouched.
    ProxyV2,
    /// From a PROXY protocol header, version 1; the bytes are untouched.
    ProxyV1,
    /// From the socket: no proxy was in between.
    Peer,
    /// From a PROXY header, but haproxy had the request in `mode http` and rewrote its head.
    Http,
    /// From a PROXY header, version 2; the bytes are those that the client encrypted.
    Tls,
}

/// What haproxy says about the TLS that it terminated, as short texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// The version that both sides agreed on, as OpenSSL names it: `TLSv1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The cipher suite that both sides agreed on, as OpenSSL names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The name of the host that the client asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The protocol that both sides agreed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// The client's hello in base64, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hello: Option<String>,
    /// The fingerprint of a hello that is no longer kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja4: Option<String>,
    /// Why the handshake failed. The bytes of the record are then the hello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// For a request that a sensor sent: which sensor recorded it, and under which number. Sensor, era
/// and number together are the request's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Name of the sensor.
    pub name: String,
    /// The time when the sensor's sequence numbers began at 1, in microseconds since 1970.
    pub era: u64,
    /// The request's sequence number at the sensor, in this era.
    pub seq: u64,
    /// How many requests before it the sensor answered but cannot send any more.
    #[serde(default)]
    pub missing: u64,
    /// The request's number in the NATS stream (`docs/fleet.md`) that brought it.
    pub stream: u64,
    /// Version of forever200 on the sensor.
    pub version: String,
}

impl Sent {
    /// Longest name of a sensor, in characters.
    pub const MAX_NAME_CHARS: usize = 40;

    /// Tells whether this can be the name of a sensor: 1 to 40 of a-z, 0-9 and `-`. These need no
    /// escape in a subject of NATS, in a link and in the name of a file.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        is_plain(text, Self::MAX_NAME_CHARS)
    }
}

/// Tells whether a text is 1 to `max_chars` of a-z, 0-9 and `-`.
pub(crate) fn is_plain(text: &str, max_chars: usize) -> bool {
    let is_one = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=max_chars).contains(&text.len()) && text.bytes().all(is_one)
}

/// Why the responder stopped reading and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Framing says that all of the request was received; it knows HTTP, RTSP, SIP, ICAP and ICE
    /// (Icecast's source protocol). `truncated` tells whether all of the request was kept.
    Complete,
    /// No more bytes came: for 250 ms if nothing tells the end, for 2 s if more had to come.
    Quiet,
    /// The client closed its side, or reset the connection.
    Eof,
    /// The client sent 1 MiB more than is kept.
    Limit,
    /// The connection's time was over.
    Deadline,
}

/// Why a value in memcached is not a record.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There is no newline within the first 9 KiB.
    #[error("no line of JSON at the start")]
    NoLine,
    /// The line is not the line of a record.
    #[error("the line of JSON is not a record's: {0}")]
    Line(#[from] serde_json::Error),
    /// The length in the line is not the length of the bytes after the line.
    #[error("the line says {said} bytes, {held} are there")]
    Length {
        /// Length that the line gives, in bytes.
        said: u64,
        /// Length of the bytes after the line.
        held: usize,
    },
}

impl Record {
    /// Returns the value of the record's slot.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(384 + self.raw.len());
        serde_json::to_writer(&mut value, self)
            .expect("a record has string keys only, and a Vec takes every write");
        value.push(b'\n');
        value.extend_from_slice(&self.raw);
        value
    }

    /// Reads the value of a slot.
    ///
    /// # Errors
    /// The value is not a record: see [`DecodeError`].
    pub fn decode(value: impl Into<Bytes>) -> Result<Self, DecodeError> {
        let mut line = value.into();
        let end = line
            .iter()
            .take(MAX_LINE_BYTES)
            .position(|&byte| byte == b'\n');
        let raw = line.split_off(end.ok_or(DecodeError::NoLine)?).slice(1..);
        let record = Self {
            raw,
            ..serde_json::from_slice(&line)?
        };
        let (said, held) = (record.bytes, record.raw.len());
        if record.truncated && held as u64 <= said || held as u64 == said {
            Ok(record)
        } else {
            Err(DecodeError::Length { said, held })
        }
    }
}

/// Times as RFC 3339 in UTC with six digits for the fraction, as Suricata writes them.
mod rfc3339_micros {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        timestamp: &Timestamp,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{timestamp:.6}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(raw: &'static [u8]) -> Record {
        Record {
            seq: 7,
            timestamp: "2026-01-02T03:04:05.000006Z".parse().unwrap(),
            src_ip: "2001:db8::1".parse().unwrap(),
            src_port: 41000,
            dest_ip: "192.0.2.1".parse().unwrap(),
            dest_port: 80,
            via: Via::ProxyV2,
            bytes: raw.len() as u64,
            extra: 0,
            truncated: false,
            ended: Ended::Complete,
            continues: None,
            tls: None,
            sensor: None,
            responder: "0123abcd".into(),
            raw: Bytes::from_static(raw),
        }
    }

    #[test]
    fn a_value_is_a_line_of_json_and_the_bytes_as_they_came() {
        let value = record(b"GET / HTTP/1.1\r\n\r\n\0\xff").encode();
        assert_eq!(
            value.escape_ascii().to_string(),
            concat!(
                r#"{\"seq\":7,\"timestamp\":\"2026-01-02T03:04:05.000006Z\",\"src_ip\":\"2001:db8::1\","#,
                r#"\"src_port\":41000,\"dest_ip\":\"192.0.2.1\",\"dest_port\":80,\"via\":\"proxy_v2\","#,
                r#"\"bytes\":20,\"extra\":0,\"truncated\":false,\"ended\":\"complete\",\"responder\":\"0123abcd\"}"#,
                r"\nGET / HTTP/1.1\r\n\r\n\x00\xff"
            )
        );
    }

    #[test]
    fn every_record_reads_back_as_it_was() {
        for raw in [
            &b""[..],
            b"\n",
            b"\n\n{}",
            b"\xff\0\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
        ] {
            let written = record(raw);
            assert_eq!(Record::decode(written.encode()).unwrap(), written);
        }
        let continuation = Record {
            continues: Some(6),
            extra: 2,
            ..record(b"more")
        };
        assert_eq!(Record::decode(continuation.encode()).unwrap(), continuation);
        let through_tls = Record {
            via: Via::Tls,
            tls: Some(Box::new(Tls {
                version: Some("TLSv1.3".into()),
                sni: Some("\u{fffd}\u{1}\"".repeat(255)),
                hello: Some("A".repeat(MAX_HELLO_CHARS)),
                ..Tls::default()
            })),
            ..record(b"GET / HTTP/1.1\r\n\r\n")
        };
        assert_eq!(Record::decode(through_tls.encode()).unwrap(), through_tls);
        let sent = Record {
            sensor: Some(Box::new(Sent {
                name: "berlin-1".into(),
                era: 1_767_323_045_000_006,
                seq: 12,
                missing: 3,
                stream: 900,
                version: "0.1.0".into(),
            })),
            ..record(b"GET / HTTP/1.1\r\n\r\n")
        };
        assert_eq!(Record::decode(sent.encode()).unwrap(), sent);
        let truncated = Record {
            bytes: 90_000,
            truncated: true,
            ..record(b"prefix")
        };
        assert_eq!(Record::decode(truncated.encode()).unwrap(), truncated);
    }

    #[test]
    fn a_foreign_value_is_refused_with_its_reason() {
        let short = [&record(b"abc").encode()[..], b"d"].concat();
        let long_line = [&b" ".repeat(MAX_LINE_BYTES)[..], &record(b"").encode()].concat();
        for (value, reason) in [
            (&b""[..], "no line of JSON at the start"),
            (b"hello", "no line of JSON at the start"),
            (b"hello\nworld", "the line of JSON is not a record's"),
            (b"{}\n", "the line of JSON is not a record's: missing field"),
            (&short, "the line says 3 bytes, 4 are there"),
            (&long_line, "no line of JSON at the start"),
        ] {
            let error = Record::decode(value.to_vec()).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}
