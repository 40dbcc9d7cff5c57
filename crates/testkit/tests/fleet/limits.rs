//! What a message may be is what a record may be: the figures stand in two crates.

use bytes::Bytes;
use forever200_fleet::message::{self, Delivery, MAX_BODY_BYTES, MessageError, Position};
use forever200_fleet::sensor::Sensor;
use forever200_ring::record::{MAX_HELLO_CHARS, MAX_LINE_BYTES};
use forever200_ring::{Record, Tls};

use super::site::record;

/// The longest request that can be kept, in bytes: `--max-request-bytes` of the responder.
const MAX_REQUEST_BYTES: usize = 1_000_000;

/// Reads a message with a record whose hello is so long.
fn read(hello_chars: usize) -> Result<Record, MessageError> {
    let sensor: Sensor = "one".parse().expect("it is a name");
    let mut record = record(2, b"GET / HTTP/1.1\r\n\r\n".to_vec());
    record.tls = Some(Box::new(Tls {
        hello: Some("A".repeat(hello_chars)),
        ..Tls::default()
    }));
    let headers = message::headers(&sensor, Position { era: 1, seq: 2 }, 0);
    let delivery = Delivery {
        sequence: 1,
        published: record.timestamp,
    };
    let body = Bytes::from(record.encode());
    message::read(&sensor, Some(&headers), &body, delivery)
}

#[test]
fn a_message_takes_the_longest_record_and_none_that_is_longer() {
    assert_eq!(MAX_BODY_BYTES, MAX_REQUEST_BYTES + MAX_LINE_BYTES);
    assert!(read(MAX_HELLO_CHARS).is_ok());
    let longer = read(MAX_HELLO_CHARS + 1);
    assert!(matches!(longer, Err(MessageError::Field("tls"))));
}
