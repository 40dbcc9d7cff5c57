//! Tests of encodings that the page undoes but `layers` does not: privacy examines the decoded
//! parts.

use std::net::IpAddr;

use super::forms::{FORMS, all_shown, contains, requests};
use super::*;

type Encoding = (&'static str, fn(&[u8]) -> Vec<u8>);

/// Every decoder of the page, as a sender would use it.
const ENCODINGS: [Encoding; 17] = [
    ("HTML, each character", |text| {
        each(text, |byte| format!("&#{byte};"))
    }),
    ("HTML, some characters", |text| {
        some(text, |byte| format!("&#x{byte:x};"))
    }),
    ("quoted-printable", |text| {
        [
            &each(text, |byte| format!("={byte:02X}"))[..],
            b"=\r\n=3D=3D",
        ]
        .concat()
    }),
    ("escapes of bytes", |text| {
        each(text, |byte| format!(r"\x{byte:02x}"))
    }),
    ("escapes of characters", |text| {
        some(text, |byte| format!(r"\u{byte:04x}"))
    }),
    ("%u", |text| each(text, |byte| format!("%u{byte:04x}"))),
    ("hex", |text| {
        [&b"a long beginning "[..], text]
            .concat()
            .iter()
            .flat_map(|byte| format!("{byte:02x}").into_bytes())
            .collect()
    }),
    ("hex with a sign", |text| {
        [
            &b"0x6162632c"[..],
            &each(text, |byte| format!("{byte:02x}")),
        ]
        .concat()
    }),
    ("UTF-16, little", |text| {
        text.iter().flat_map(|&byte| [byte, 0]).collect()
    }),
    ("UTF-16, big, with a mark", |text| {
        [
            b"\xfe\xff".to_vec(),
            text.iter().flat_map(|&byte| [0, byte]).collect(),
        ]
        .concat()
    }),
    ("base64 of UTF-16", |text| {
        let utf16: Vec<u8> = text.iter().flat_map(|&byte| [byte, 0]).collect();
        BASE64_STANDARD.encode(utf16).into_bytes()
    }),
    ("base64 behind a path", |text| {
        format!(
            "/Basic/Command/Base64/{}",
            BASE64_STANDARD.encode([b"wget ", text].concat())
        )
        .into_bytes()
    }),
    ("base64 in lines of JSON", |text| {
        let long = [&b"-".repeat(70)[..], text].concat();
        let lines = BASE64_STANDARD.encode(long).into_bytes();
        format!(
            "\"{}\"",
            lines
                .chunks(76)
                .map(String::from_utf8_lossy)
                .collect::<Vec<_>>()
                .join("\\n")
        )
        .into_bytes()
    }),
    ("zlib with a small window", |text| {
        let mut stream = zlib_of(text);
        stream[..2].copy_from_slice(&[0x18, 0x19]);
        stream
    }),
    ("Zstandard", |text| {
        [
            b"\x28\xb5\x2f\xfd\xa0",
            &(text.len() as u32).to_le_bytes()[..],
            &(text.len() as u32 * 8 + 1).to_le_bytes()[..3],
            text,
        ]
        .concat()
    }),
    ("Brotli", |text| {
        [
            &((text.len() as u32 - 1) << 4 | 1 << 20).to_le_bytes()[..3],
            text,
            b"\x03",
        ]
        .concat()
    }),
    ("raw deflate", |text| zlib_of(text)[2..].to_vec()),
];

fn zlib_of(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&compressible(text)).unwrap();
    encoder.finish().unwrap()
}

fn each(text: &[u8], write: fn(u8) -> String) -> Vec<u8> {
    text.iter()
        .flat_map(|&byte| write(byte).into_bytes())
        .collect()
}

/// Encodes only signs and digits.
fn some(text: &[u8], write: fn(u8) -> String) -> Vec<u8> {
    let encode = |&byte: &u8| match byte.is_ascii_alphabetic() {
        true => vec![byte],
        false => write(byte).into_bytes(),
    };
    text.iter().flat_map(encode).collect()
}

/// Returns requests that hold these bytes, also as a body whose coding the head names, and after a
/// text.
fn all_requests(how: &str, bytes: &[u8]) -> Vec<Vec<u8>> {
    let coding = if how == "Brotli" { "br" } else { "deflate" };
    let head = format!("POST / HTTP/1.1\r\nContent-Encoding: {coding}\r\n\r\n");
    let mut all = requests(bytes);
    // As a whole, the digits before the address would make another address. The page does not show
    // it as a whole.
    all.retain(|raw| memchr::memmem::find(raw, b"Content-Length: 2\r\n").is_none());
    all.push([head.as_bytes(), bytes].concat());
    all
}

#[test]
fn what_every_decoder_gives_is_looked_through() {
    let mut decoded = [0; ENCODINGS.len()];
    for (hidden, forms) in FORMS {
        let source: Option<IpAddr> = hidden.parse().ok();
        for privacy in [hiding(hidden), masking()] {
            if privacy.mask_sources && source.is_none() {
                continue;
            }
            for form in forms {
                for (at, (how, encode)) in ENCODINGS.iter().enumerate() {
                    for raw in all_requests(how, &encode(form.as_bytes())) {
                        decoded[at] += usize::from(would_show(&privacy, source, &raw, form, how));
                    }
                }
            }
        }
    }
    assert!(decoded.iter().all(|&count| count > 20), "{decoded:?}");
}

/// Returns whether the form would have been shown without privacy.
fn would_show(
    privacy: &Privacy,
    source: Option<IpAddr>,
    raw: &[u8],
    form: &str,
    how: &str,
) -> bool {
    let mut record = record(raw);
    record.src_ip = source.unwrap_or(record.src_ip);
    let open = Privacy::default();
    let is_shown = all_shown(&open, record.src_ip, raw)
        .iter()
        .any(|part| contains(part, form));
    let shown = privacy.show(&record).record.raw;
    for part in all_shown(privacy, record.src_ip, &shown) {
        assert!(
            !contains(&part, form),
            "{form:?}, {how}: {} in {}",
            part.escape_ascii(),
            raw.escape_ascii()
        );
    }
    is_shown
}
