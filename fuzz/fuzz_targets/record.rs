//! Reads a value of memcached: if it is a record, it is written as the same record, and finds its
//! slot.
#![no_main]

use forever200_ring::record::MAX_LINE_BYTES;
use forever200_ring::ring::{due_in, slot_of};
use forever200_ring::{Record, Ring};
use jiff::{RoundMode, TimestampRound, Unit};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let Ok(record) = Record::decode(value.to_vec()) else {
        return;
    };
    assert!(value.ends_with(&record.raw) && record.raw.len() < value.len());
    assert!(record.raw.len() as u64 <= record.bytes);
    let encoded = record.encode();
    // Some fields may be shorter in a line that others wrote than in ours, and ours may then be too
    // long to be read.
    if encoded
        .iter()
        .position(|&byte| byte == b'\n')
        .is_some_and(|line| line < MAX_LINE_BYTES)
    {
        let again = Record::decode(encoded.clone()).expect("what is written can be read");
        assert_eq!(again.encode(), encoded);
        // Our timestamps have no more than microseconds.
        let micros = TimestampRound::new()
            .smallest(Unit::Microsecond)
            .mode(RoundMode::Floor);
        let timestamp = record.timestamp.round(micros).unwrap_or(record.timestamp);
        assert_eq!(
            again,
            Record {
                timestamp,
                ..record.clone()
            }
        );
    }
    let seq = record.seq;
    assert_eq!(due_in(slot_of(seq), seq), seq);
    let mut ring = Ring::default();
    ring.insert(record.clone());
    ring.insert(Record {
        seq: seq.saturating_sub(101),
        ..record.clone()
    });
    assert_eq!((ring.newest_seq(), ring.get(seq)), (seq, Some(&record)));
});
