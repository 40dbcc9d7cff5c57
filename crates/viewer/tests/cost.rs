//! What it costs at most to describe one record, in processor time: whatever a stranger sends, others are described soon.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use forever200_identify::Labeller;
use forever200_ring::Record;
use forever200_testkit::hostile::Filler;
use forever200_testkit::report::{at_length, row};
use forever200_viewer::reader::locations::Locations;
use forever200_viewer::reader::privacy::Privacy;
use forever200_viewer::reader::{Describer, Entry};
use rustix::time::{ClockId, clock_gettime};

use record::record;

mod record;

/// What one record may take in a release build. In a debug build it is thirty times that.
const MOST: Duration = Duration::from_millis(20);
/// Another than the hidden one.
const SOURCE: [u8; 4] = [203, 0, 113, 77];
/// As long as a request is kept by default, and as long as it may be.
const LENGTHS: [usize; 2] = [65_536, 1_000_000];

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// What makes each part of describing work, as far as is known: splitting, decoding, searching, unpacking.
fn fillers() -> Vec<(&'static str, Vec<u8>)> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&[b'a'; 100_000]).expect("a Vec takes all");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&[b'%'; 100_000]).expect("a Vec takes all");
    let words = "select union script passwd jndi ldap wget cmd exec php cgi-bin admin ../ ";
    vec![
        ("noise", Filler::Random.bytes(65_536)),
        ("headers", Filler::Headers.bytes(65_536)),
        ("control characters", Filler::Controls.bytes(65_536)),
        ("base64", b"YWRtaW46YWRtaW4".to_vec()),
        ("percent signs", b"%25".to_vec()),
        ("overlong UTF-8", b"%c0%ae%c0%af".to_vec()),
        ("look-ups", b"${jndi:${lower:l}${lower:d}a}".to_vec()),
        ("open look-ups", b"${${".to_vec()),
        ("parameters", b"a=b&".to_vec()),
        ("words of signatures", words.as_bytes().to_vec()),
        ("addresses", b"203.0.113.".to_vec()),
        ("groups", b"2001:db8::".to_vec()),
        ("downloads", b"wget http://a.example/;".to_vec()),
        ("commands", b";wget http://a.example/;ls ".to_vec()),
        ("commands inside", b"$(sh -c 'id';`id`".to_vec()),
        ("quotes", b";id \\\"'".to_vec()),
        ("values", b"=a\"a'a".to_vec()),
        ("beginnings of zlib", b"\x78\x9c".to_vec()),
        ("zlib", zlib.finish().expect("a Vec takes all")),
        ("gzip", gzip.finish().expect("a Vec takes all")),
        ("line ends", b"\r\n".to_vec()),
        ("chunks", b"1\r\na\r\n".to_vec()),
        ("brackets", b"[{<".to_vec()),
        ("references of HTML", b"&#65;".to_vec()),
        ("no references of HTML", b"&#".to_vec()),
        ("quoted-printable", b"=3D=3D=41".to_vec()),
        ("escapes", b"\\u0041\\x41".to_vec()),
        ("slashes of base64", b"YW5k/and+/".to_vec()),
        ("nothing but slashes", b"/".to_vec()),
        ("hexadecimal", b"776765742061206220632064206520".to_vec()),
        ("UTF-16", b"%\x004\x001\0".to_vec()),
        (
            "parts of a form",
            b"--b\r\nContent-Type: a\r\n\r\nb\r\n".to_vec(),
        ),
        (
            "many in base64",
            b"bWFueSB3b3JkcyBhbmQgbW9yZSB3Z2V0IA== ".to_vec(),
        ),
        ("many packed ones in base64", many_packed()),
        ("nested", nested()),
        ("words in base64", words_in_base64()),
    ]
}

/// Streams that differ, each of which unpacks to much.
fn many_packed() -> Vec<u8> {
    let one = |number: u8| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        let text = [&[number][..], &b"%41".repeat(10_000)].concat();
        gzip.write_all(&text).expect("a Vec takes all");
        let packed = gzip.finish().expect("a Vec takes all");
        BASE64_STANDARD.encode(packed) + " "
    };
    (0..40).map(one).collect::<String>().into_bytes()
}

/// One encoding inside the other, as deep as it goes.
fn nested() -> Vec<u8> {
    let mut text = "select union script wget http://a.example/; ".repeat(250);
    for _ in 0..4 {
        text = BASE64_STANDARD.encode(text);
    }
    text.into_bytes()
}

/// What signatures look for, where it is hidden.
fn words_in_base64() -> Vec<u8> {
    let words = "select union script passwd jndi ldap wget cmd exec php cgi-bin admin ../ ";
    let words = words.repeat(600);
    (BASE64_STANDARD.encode(words) + " ").into_bytes()
}

/// Bytes in each part of a request.
fn requests(filler: &[u8], length: usize) -> Vec<Vec<u8>> {
    let many: Vec<u8> = filler.iter().copied().cycle().take(length - 200).collect();
    let around = |before: &str, after: &str| [before.as_bytes(), &many, after.as_bytes()].concat();
    vec![
        around("", ""),
        // The end of what the words begin.
        around("", ";sh"),
        around("GET /", " HTTP/1.1\r\n\r\n"),
        around("GET /?q=", " HTTP/1.1\r\n\r\n"),
        around("GET / HTTP/1.1\r\nUser-Agent: ", "\r\n\r\n"),
        around(
            "POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n",
            "",
        ),
        around("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", ""),
        around("\x16\x03\x01\x40\x00\x01\x00\x3f\x7f\x03\x03", ""),
    ]
}

#[test]
fn no_record_takes_more_than_its_time() {
    let hidden = "203.0.113.7,honey.example.net,192.0.2.80,2001:db8::7";
    let open = Privacy::default();
    let masked = Privacy {
        mask_sources: true,
        hidden: hidden.parse().expect("a list"),
    };
    let patience = if cfg!(debug_assertions) { 30 } else { 1 };
    for (how, privacy) in [("open", open), ("masked", masked)] {
        let labeller = Arc::new(Labeller::built_in());
        let describer = Describer {
            labeller,
            locations: Locations::default(),
            privacy,
        };
        let mut dearest = (Duration::ZERO, "", 0);
        for (name, filler) in fillers() {
            // The longest alone where it takes time: what costs more than in proportion shows there.
            for length in if at_length() {
                &LENGTHS[..]
            } else {
                &LENGTHS[..1]
            } {
                for raw in requests(&filler, *length) {
                    let record = Record {
                        src_ip: SOURCE.into(),
                        ..record(7, &raw)
                    };
                    // The first one compiles what is compiled once. Of two more, the quicker one was less disturbed.
                    drop(Entry::new(&record, 1, &describer));
                    let time = (0..2).map(|_| {
                        let start = processor_time();
                        drop(Entry::new(&record, 1, &describer));
                        processor_time() - start
                    });
                    let time = time.min().unwrap_or_default();
                    dearest = dearest.max((time, name, *length));
                }
            }
        }
        let (time, name, length) = dearest;
        row(
            "cost",
            &[
                &how,
                &name,
                &length,
                &format!("{:.1} ms", time.as_secs_f64() * 1000.0),
            ],
        );
        assert!(
            time < MOST * patience,
            "{how}: {name}, {length} bytes: {time:?}"
        );
    }
}
