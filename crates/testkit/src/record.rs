//! A record as a responder writes it, for tests that need one.

use bytes::Bytes;
use forever200_ring::{Ended, Record, Via};

/// Returns the record of a whole request with these bytes, from a documentation address. A test
/// changes the fields that it is about.
#[must_use]
pub fn record(seq: u64, raw: impl AsRef<[u8]>) -> Record {
    let raw = Bytes::copy_from_slice(raw.as_ref());
    Record {
        seq,
        timestamp: "2026-01-02T03:04:05.000006Z".parse().expect("a time"),
        src_ip: [203, 0, 113, 7].into(),
        src_port: 41000,
        dest_ip: [192, 0, 2, 1].into(),
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
        raw,
    }
}
