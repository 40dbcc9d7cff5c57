//! One message of the stream: a request as a sensor recorded it.
//!
//! In: at a sensor, the position of a request; at the hub, a message. Out: the headers of a
//! message; a record. A sensor may be in a stranger's hands, so the hub checks lengths and fields,
//! and takes the sensor's name from the subject, never from the body.

use std::ops::RangeInclusive;

use async_nats::HeaderMap;
use bytes::Bytes;
use forever200_ring::record::{DecodeError, MAX_HELLO_CHARS, MAX_LINE_BYTES, MAX_NUMBER};
use forever200_ring::{Record, Sent};
use jiff::{SignedDuration, Timestamp};

use crate::sensor::Sensor;

/// Longest body, in bytes: the longest request that can be kept, and its line of JSON. The limit of
/// NATS is a little higher.
pub const MAX_BODY_BYTES: usize = 1_000_000 + MAX_LINE_BYTES;
/// Header with the id by which a hub recognises a message, `NAME-ERA-SEQ`. It is not `Nats-Msg-Id`,
/// because the servers compare those ids across all subjects: a sensor could use the ids of another
/// sensor, whose messages the servers would then drop.
pub const ID: &str = "Forever200-Id";
/// Header with the number of requests before this one that the sensor answered but can no longer
/// send.
const MISSING: &str = "Forever200-Missing";
/// Header with the version of the sensor's program.
const VERSION: &str = "Forever200-Version";
/// Longest version, in characters.
const MAX_VERSION_CHARS: usize = 20;
/// Sequence numbers that a request at a sensor can have. The largest is a thousand requests a
/// second for thirty years. The era has no such range: a machine without a clock begins in 1970,
/// and nothing is computed from the era.
const SEQS: RangeInclusive<u64> = 1..=1_000_000_000_000;
/// Longest name of a responder, which is eight hexadecimal digits.
const RESPONDER_CHARS: usize = 8;
/// Longest text in the field `tls`, except the hello, in bytes: the 255 of a host name, times
/// three, because a byte that is not UTF-8 becomes three bytes.
const MAX_TLS_TEXT_BYTES: usize = 3 * 255;
/// By how much a sensor's clock may be ahead of the clock of the NATS servers.
const AHEAD: SignedDuration = SignedDuration::from_secs(10);
/// Earliest time of a request, in seconds since 1970: 1 January 2019. None was recorded before.
const EARLIEST: i64 = 1_546_300_800;

/// The place of a request at its sensor: in which of the sensor's histories, and at which number
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// When the history began, in microseconds since 1970. A history that begins again has another
    /// era.
    pub era: u64,
    /// The sequence number.
    pub seq: u64,
}

/// What the stream says about a message.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// The message's number in the stream.
    pub sequence: u64,
    /// When the stream took the message.
    pub published: Timestamp,
}

/// Why a hub does not accept a message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It is longer than any request can be.
    #[error("{0} bytes are more than a request can have")]
    Length(usize),
    /// Its id is not `NAME-ERA-SEQ` with the name in its subject and a number that a sensor can
    /// have.
    #[error("its id is not one of this sensor")]
    Id,
    /// Its id and its record have different numbers.
    #[error("its id says number {id}, and its record {record}")]
    Number {
        /// Number in the id.
        id: u64,
        /// Number in the record.
        record: u64,
    },
    /// A field is not as the programs write it: too long, too large, or with other characters.
    #[error("its field {0} is not as forever200 writes it")]
    Field(&'static str),
    /// It says that more requests before it are missing than there were.
    #[error("it says that {0} requests before it are missing")]
    Missing(u64),
    /// With the fields that a hub adds, its line of JSON is too long to be read again.
    #[error("its line of JSON has {0} bytes with what the hub adds")]
    Line(usize),
    /// Its body is not a record.
    #[error(transparent)]
    Record(#[from] DecodeError),
}

impl Position {
    /// Returns the id of the message with the request at this position.
    #[must_use]
    pub fn id(&self, sensor: &Sensor) -> String {
        format!("{sensor}-{}-{}", self.era, self.seq)
    }

    /// Reads the position from an id; `None` where the id is not one of this sensor.
    #[must_use]
    pub fn of_id(id: &str, sensor: &Sensor) -> Option<Self> {
        let rest = id.strip_prefix(sensor.as_str())?.strip_prefix('-')?;
        let (era, seq) = rest.split_once('-')?;
        let position = Self {
            era: era.parse().ok().filter(|&era| era <= MAX_NUMBER)?,
            seq: seq.parse().ok().filter(|seq| SEQS.contains(seq))?,
        };
        // Refuses numbers with a sign or leading zeros, so that each position has one id only.
        (position.id(sensor) == id).then_some(position)
    }
}

/// Returns the headers of a message.
#[must_use]
pub fn headers(sensor: &Sensor, position: Position, missing: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ID, position.id(sensor));
    headers.insert(VERSION, env!("CARGO_PKG_VERSION"));
    if missing > 0 {
        headers.insert(MISSING, missing.to_string());
    }
    headers
}

/// Returns the record in a message of `sensor`. The record has the sensor's number; the hub later
/// gives it one of its own. A request that is longer than `most_bytes` is cut there and marked as
/// truncated, because a hub's memcached and pages have room for that length.
///
/// # Errors
/// The message is not as a sensor sends it: see [`MessageError`].
pub fn read(
    sensor: &Sensor,
    headers: Option<&HeaderMap>,
    body: &Bytes,
    delivery: Delivery,
    most_bytes: usize,
) -> Result<Record, MessageError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(MessageError::Length(body.len()));
    }
    let header = |name| headers?.get(name).map(async_nats::HeaderValue::as_str);
    let position = header(ID).and_then(|id| Position::of_id(id, sensor));
    let position = position.ok_or(MessageError::Id)?;
    let mut record = Record::decode(body.clone())?;
    if record.seq != position.seq {
        return Err(MessageError::Number {
            id: position.seq,
            record: record.seq,
        });
    }
    check_fields(&record)?;
    cut(&mut record, most_bytes);
    record.timestamp = likely_time(record.timestamp, delivery.published);
    record.sensor = Some(Box::new(Sent {
        name: sensor.to_string(),
        era: position.era,
        seq: position.seq,
        missing: missing(header(MISSING), position.seq)?,
        stream: delivery.sequence,
        version: version(header(VERSION).unwrap_or_default()),
    }));
    check_line(&record)?;
    Ok(record)
}

/// Returns how many requests before this one are missing. These must be fewer than its number
/// `seq`.
fn missing(said: Option<&str>, seq: u64) -> Result<u64, MessageError> {
    let missing = said.and_then(|number| number.parse().ok()).unwrap_or(0);
    if missing >= seq {
        return Err(MessageError::Missing(missing));
    }
    Ok(missing)
}

/// Refuses a record whose line would be too long in the hub's ring. There it gets other numbers,
/// which may have more digits.
fn check_line(record: &Record) -> Result<(), MessageError> {
    let widest = Record {
        seq: MAX_NUMBER,
        continues: record.continues.map(|_| MAX_NUMBER),
        raw: Bytes::new(),
        ..record.clone()
    };
    let line_bytes = widest.encode().len();
    if line_bytes > MAX_LINE_BYTES {
        return Err(MessageError::Line(line_bytes));
    }
    Ok(())
}

/// Refuses texts and numbers that forever200 never writes.
fn check_fields(record: &Record) -> Result<(), MessageError> {
    let is_hexadecimal = record
        .responder
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit());
    if record.responder.len() > RESPONDER_CHARS || !is_hexadecimal {
        return Err(MessageError::Field("responder"));
    }
    for (name, number) in [
        ("bytes", record.bytes),
        ("extra", record.extra),
        ("continues", record.continues.unwrap_or(0)),
    ] {
        if number > MAX_NUMBER {
            return Err(MessageError::Field(name));
        }
    }
    let Some(tls) = &record.tls else {
        return Ok(());
    };
    let texts = [
        &tls.version,
        &tls.cipher,
        &tls.sni,
        &tls.alpn,
        &tls.ja4,
        &tls.failed,
    ];
    let has_long = texts
        .into_iter()
        .flatten()
        .any(|text| text.len() > MAX_TLS_TEXT_BYTES);
    if has_long
        || tls
            .hello
            .as_ref()
            .is_some_and(|hello| hello.len() > MAX_HELLO_CHARS)
    {
        return Err(MessageError::Field("tls"));
    }
    Ok(())
}

/// Cuts a long request as the responder does. Its field `bytes` keeps the whole length.
fn cut(record: &mut Record, most_bytes: usize) {
    if record.raw.len() > most_bytes {
        // A copy, as a slice would keep the whole message in memory.
        record.raw = Bytes::copy_from_slice(&record.raw[..most_bytes]);
        record.truncated = true;
    }
}

/// Returns the time `said` by the sensor, or the time at which the stream took the message if
/// `said` cannot be right. A sensor with a wrong clock must not put its requests before or behind
/// all others.
fn likely_time(said: Timestamp, published: Timestamp) -> Timestamp {
    let latest = published.checked_add(AHEAD).unwrap_or(published);
    if said.as_second() < EARLIEST || said > latest {
        published
    } else {
        said
    }
}

fn version(said: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    said.chars().filter(plain).take(MAX_VERSION_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use forever200_ring::Tls;

    use super::*;

    const PUBLISHED: &str = "2026-01-02T03:04:06Z";
    const MOST_BYTES: usize = 65_536;

    fn record(seq: u64) -> Record {
        forever200_testkit::record(seq, b"\0\xff{}")
    }

    fn sensor() -> Sensor {
        "one".parse().unwrap()
    }

    fn read_as(id: &str, record: &Record) -> Result<Record, MessageError> {
        let mut headers = headers(&sensor(), Position { era: 12, seq: 7 }, 3);
        headers.insert(ID, id);
        let delivery = Delivery {
            sequence: 90,
            published: PUBLISHED.parse().unwrap(),
        };
        let body = record.encode().into();
        read(&sensor(), Some(&headers), &body, delivery, MOST_BYTES)
    }

    #[test]
    fn what_is_sent_is_read_as_it_was_and_says_who_sent_it() {
        let read = read_as("one-12-7", &record(7)).unwrap();
        let sent = Sent {
            name: "one".into(),
            era: 12,
            seq: 7,
            missing: 3,
            stream: 90,
            version: env!("CARGO_PKG_VERSION").into(),
        };
        assert_eq!(read.sensor.as_deref(), Some(&sent));
        assert_eq!(
            Record {
                sensor: None,
                ..read
            },
            record(7)
        );
    }

    #[test]
    fn who_sent_it_is_what_its_subject_says() {
        let forged = Sent {
            name: "other".into(),
            era: 1,
            seq: 1,
            missing: 1 << 50,
            stream: 1,
            version: "9".into(),
        };
        let forged = Record {
            sensor: Some(Box::new(forged)),
            ..record(7)
        };
        let read = read_as("one-12-7", &forged).unwrap();
        assert_eq!(read.sensor.unwrap().name, "one");
    }

    #[test]
    fn an_id_has_one_form_and_its_own_name() {
        for id in [
            "one-12-07",
            "one-+12-7",
            "one-12",
            "one-12-7-",
            "two-12-7",
            "one12-7",
            "",
            "one--12--7",
            "one-12-18446744073709551615",
            "one-12-1000000000001",
            "one-12-0",
        ] {
            assert_eq!(Position::of_id(id, &sensor()), None, "{id}");
            assert!(
                matches!(read_as(id, &record(7)), Err(MessageError::Id)),
                "{id}"
            );
        }
    }

    #[test]
    fn what_no_sensor_sends_is_refused() {
        assert!(matches!(
            read_as("one-12-7", &record(8)),
            Err(MessageError::Number { id: 7, record: 8 })
        ));
        let long_name = Record {
            responder: "0".repeat(9),
            ..record(7)
        };
        let long_text = Record {
            tls: Some(Box::new(Tls {
                sni: Some("a".repeat(MAX_TLS_TEXT_BYTES + 1)),
                ..Tls::default()
            })),
            ..record(7)
        };
        let large_number = Record {
            extra: MAX_NUMBER + 1,
            ..record(7)
        };
        for (forged, field) in [
            (long_name, "responder"),
            (long_text, "tls"),
            (large_number, "extra"),
        ] {
            let read = read_as("one-12-7", &forged);
            assert!(matches!(read, Err(MessageError::Field(name)) if name == field));
        }
        let delivery = Delivery {
            sequence: 1,
            published: PUBLISHED.parse().unwrap(),
        };
        let headers = headers(&sensor(), Position { era: 12, seq: 7 }, 0);
        for body in [&b""[..], b"{}", b"{}\n", b"\n", b"\xff\xff"] {
            let body = Bytes::from_static(body);
            assert!(matches!(
                read(&sensor(), Some(&headers), &body, delivery, MOST_BYTES),
                Err(MessageError::Record(_))
            ));
        }
        let long = Bytes::from(vec![b'x'; MAX_BODY_BYTES + 1]);
        assert!(matches!(
            read(&sensor(), Some(&headers), &long, delivery, MOST_BYTES),
            Err(MessageError::Length(_))
        ));
        assert!(matches!(
            read(
                &sensor(),
                None,
                &record(7).encode().into(),
                delivery,
                MOST_BYTES
            ),
            Err(MessageError::Id)
        ));
    }

    #[test]
    fn no_more_can_be_missing_than_there_were_before() {
        let delivery = Delivery {
            sequence: 1,
            published: PUBLISHED.parse().unwrap(),
        };
        let position = Position { era: 12, seq: 7 };
        let body = record(7).encode().into();
        for (missing, is_taken) in [(6, true), (7, false), (MAX_NUMBER, false)] {
            let headers = headers(&sensor(), position, missing);
            let read = read(&sensor(), Some(&headers), &body, delivery, MOST_BYTES);
            assert_eq!(read.is_ok(), is_taken, "{missing}");
        }
    }

    /// Whatever numbers a record gets at the hub, a record that is accepted can be read again from
    /// the hub's ring.
    #[test]
    fn a_line_that_is_too_long_with_what_the_hub_adds_is_refused() {
        let with_hello = |chars| Record {
            continues: Some(6),
            tls: Some(Box::new(Tls {
                sni: Some("\u{1}".repeat(575)),
                hello: Some("A".repeat(chars)),
                ..Tls::default()
            })),
            ..record(7)
        };
        let lengths = 5000..=MAX_HELLO_CHARS;
        let longest = lengths
            .rev()
            .find(|&chars| read_as("one-12-7", &with_hello(chars)).is_ok())
            .unwrap();
        assert!(longest < MAX_HELLO_CHARS);
        assert!(Record::decode(with_hello(MAX_HELLO_CHARS).encode()).is_ok());
        let taken = read_as("one-12-7", &with_hello(longest)).unwrap();
        let at_hub = Record {
            seq: MAX_NUMBER,
            continues: Some(MAX_NUMBER),
            ..taken
        };
        assert_eq!(Record::decode(at_hub.encode()).unwrap(), at_hub);
        let longer = read_as("one-12-7", &with_hello(longest + 1));
        assert!(matches!(longer, Err(MessageError::Line(_))));
    }

    #[test]
    fn a_long_request_is_cut_to_what_the_hub_keeps_and_says_how_long_it_was() {
        let long = forever200_testkit::record(7, vec![b'x'; 1_000_000]);
        let read = read_as("one-12-7", &long).unwrap();
        assert_eq!(read.raw, long.raw[..MOST_BYTES]);
        assert_eq!((read.bytes, read.truncated), (1_000_000, true));
        let fits = forever200_testkit::record(7, vec![b'x'; MOST_BYTES]);
        let read = read_as("one-12-7", &fits).unwrap();
        assert_eq!((read.raw, read.truncated), (fits.raw, false));
        let cut_before = Record {
            bytes: 2_000_000,
            truncated: true,
            ..long
        };
        let read = read_as("one-12-7", &cut_before).unwrap();
        assert_eq!((read.bytes, read.truncated), (2_000_000, true));
        assert_eq!(read.raw.len(), MOST_BYTES);
    }

    #[test]
    fn a_clock_that_is_wrong_does_not_decide_when_a_request_came() {
        let published: Timestamp = PUBLISHED.parse().unwrap();
        for wrong in ["9999-01-01T00:00:00Z", "1970-01-01T00:00:00Z"] {
            let wrong = Record {
                timestamp: wrong.parse().unwrap(),
                ..record(7)
            };
            let read = read_as("one-12-7", &wrong).unwrap();
            assert_eq!(read.timestamp, published);
        }
    }

    #[test]
    fn a_version_is_short_and_plain() {
        assert_eq!(version("0.1.0-rc.1+x"), "0.1.0-rc.1+x");
        assert_eq!(version("<b>\u{202e}1</b>\n"), "b1b");
        assert_eq!(version(&"1".repeat(99)).len(), MAX_VERSION_CHARS);
    }
}
