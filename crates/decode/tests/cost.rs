//! Measures the most processor time that decoding a request can take.

use std::io::Write;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use forever200_decode::{Limits, decode};
use rustix::time::{ClockId, clock_gettime};

/// Most processor time for a request of `LENGTH` bytes in a release build; a debug build may take
/// thirty times as long.
const MOST: Duration = Duration::from_millis(5);
const LENGTH: usize = 65_536;

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

fn packed(text: &[u8]) -> String {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(text).expect("a Vec takes all");
    BASE64_STANDARD.encode(gzip.finish().expect("a Vec takes all")) + " "
}

/// Returns bytes that make a decoder work: openings without an end, levels, runs, and streams.
fn fillers() -> Vec<Vec<u8>> {
    let mut nested = "wget http://a.example/; ".repeat(400);
    for _ in 0..4 {
        nested = BASE64_STANDARD.encode(nested);
    }
    let many: String = (0..40)
        .map(|number| packed(&[&[number][..], &b"%41".repeat(10_000)].concat()))
        .collect();
    let texts = [
        "{",
        "&#",
        "&#65;",
        "&lt;",
        "=3D",
        "=3D=3D=41",
        "%25",
        "%2525",
        "%u0041",
        "%",
        "\\u0041",
        "\\x41",
        "\\",
        "\\/",
        "A",
        "YWRtaW46YWRtaW4",
        "YW5k/and+/",
        "/",
        "+",
        "=",
        "/=",
        "a/",
        "AAAAAAAAAAAAAAAA\r\n",
        "0x61",
        "776765742061206220632064206520",
        "7767657420612062206320642065 ",
        "--b\r\nContent-A: b\r\n\r\nc\r\n",
        "--\r\n",
        "a\0",
        "\0",
        "\u{78}\u{1}",
        "bWFueSB3b3JkcyBhbmQgbW9yZQ== ",
        "many words and more; ",
        "\r\n",
        "1\r\na\r\n",
        "X: a%41\r\n",
    ];
    let bytes = [
        &b"\x78\x9c"[..],
        b"\x08\x1d",
        b"\x28\xb5\x2f\xfd\x20\x0c\x61\0\0",
        b"\x1f\x8b\x08\0",
    ];
    let texts = texts.iter().map(|text| text.as_bytes().to_vec());
    let bytes = bytes.iter().map(|bytes| bytes.to_vec());
    let made = [
        nested.into_bytes(),
        many.into_bytes(),
        packed(&[b'a'; 1_000_000]).into_bytes(),
    ];
    texts.chain(bytes).chain(made).collect()
}

#[test]
fn no_request_takes_more_than_its_time() {
    let patience = if cfg!(debug_assertions) { 30 } else { 1 };
    let heads = [
        "",
        "GET /",
        "GET / HTTP/1.1\r\nCookie: ",
        "GET / HTTP/1.1\r\n",
        "POST / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Encoding: deflate, br\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    let mut dearest = (Duration::ZERO, String::new());
    for filler in fillers() {
        for head in heads {
            let mut raw = head.as_bytes().to_vec();
            raw.extend(filler.iter().cycle().take(LENGTH - head.len()));
            // The quicker of two measurements was less disturbed.
            let time = (0..2).map(|_| {
                let start = processor_time();
                std::hint::black_box(decode(&raw, !head.is_empty(), Limits::DESCRIBED));
                processor_time() - start
            });
            let time = time.min().unwrap_or_default();
            let name = raw[..raw.len().min(80)].escape_ascii().to_string();
            if time > dearest.0 {
                dearest = (time, name);
            }
        }
    }
    println!("{dearest:?}");
    assert!(dearest.0 < MOST * patience, "{dearest:?}");
}
