//! Functions that the fuzz targets share.
//!
//! A seed is just a request, a header, a value or a query. If a target needs more (where to cut,
//! how a record came), it takes that from the last byte of the input. So targets can use each
//! other's seeds.

pub mod html;

use std::sync::{Arc, LazyLock};

use forever200_identify::Labeller;
use forever200_ring::{Ended, Record, Sent, Tls, Via};
use forever200_viewer::reader::Describer;
use forever200_viewer::reader::Entry;
use forever200_viewer::reader::locations::Locations;
use forever200_viewer::reader::privacy::Privacy;

/// Describes with the built-in signatures and without a file of addresses, so that a run needs
/// nothing but its input.
pub static DESCRIBER: LazyLock<Arc<Describer>> = LazyLock::new(|| {
    Arc::new(Describer {
        labeller: Labeller::built_in().into(),
        locations: Locations::default(),
        privacy: Privacy::default(),
    })
});

/// Returns the last byte of an input, which chooses a variant of the target; 0 for an empty input.
#[must_use]
pub fn choice(input: &[u8]) -> u8 {
    input.last().copied().unwrap_or_default()
}

/// Returns a record of these bytes. Their last byte chooses all other fields.
#[must_use]
pub fn record(seq: u64, raw: &[u8]) -> Record {
    let choice = usize::from(choice(raw));
    let truncated = choice % 7 == 6;
    Record {
        seq,
        timestamp: "2026-01-02T03:04:05.000006Z".parse().expect("a time"),
        src_ip: ["203.0.113.7", "2001:db8::7", "0.0.0.0", "::"][choice / 4 % 4]
            .parse()
            .expect("an address"),
        src_port: [41000, 0][choice % 2],
        dest_ip: ["192.0.2.1", "2001:db8::1"][choice / 2 % 2]
            .parse()
            .expect("an address"),
        dest_port: 80,
        via: [Via::ProxyV2, Via::ProxyV1, Via::Peer, Via::Http, Via::Tls][choice / 16 % 5],
        bytes: raw.len() as u64 + u64::from(truncated),
        extra: (choice / 8 % 2) as u64,
        truncated,
        ended: [
            Ended::Complete,
            Ended::Quiet,
            Ended::Eof,
            Ended::Limit,
            Ended::Deadline,
        ][choice % 5],
        tls: (choice / 64 % 2 == 1).then(|| Box::new(tls(raw))),
        sensor: (choice / 128 % 2 == 1).then(|| Box::new(sent(raw))),
        continues: [None, seq.checked_sub(1).filter(|&first| first > 0)][choice / 32 % 2],
        responder: "0123abcd".to_owned(),
        raw: raw.to_vec().into(),
    }
}

/// Returns facts about TLS, in which these bytes are the texts from the client.
fn tls(raw: &[u8]) -> Tls {
    let text = String::from_utf8_lossy(&raw[..raw.len().min(80)]).into_owned();
    let failed = (raw.len() % 3 == 2).then(|| "no shared cipher".to_owned());
    Tls {
        version: Some("TLSv1.3".to_owned()),
        cipher: Some("TLS_AES_256_GCM_SHA384".to_owned()),
        sni: Some(text.clone()),
        alpn: Some(text),
        hello: (raw.len() % 3 == 1).then(|| "FgMBAAUBAAABAA==".to_owned()),
        ja4: None,
        failed,
    }
}

/// Returns a described record of these bytes.
#[must_use]
pub fn entry(seq: u64, raw: &[u8]) -> Entry {
    Entry::new(&record(seq, raw), 1, &DESCRIBER)
}

/// Returns a sensor with any text as its version and, for inputs of odd length, as its name.
fn sent(raw: &[u8]) -> Sent {
    let text = String::from_utf8_lossy(raw).into_owned();
    let is_proper = raw.len() % 2 == 0;
    Sent {
        name: if is_proper { "berlin-1" } else { &text }.to_owned(),
        era: raw.len() as u64,
        seq: 1,
        missing: 0,
        stream: 1,
        version: text,
    }
}
