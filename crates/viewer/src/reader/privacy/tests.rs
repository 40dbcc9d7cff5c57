//! Tests that hidden texts and addresses are blanked in every way of writing, and nothing else is.

use std::io::Write;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use forever200_decode::{Limits, decode};
use percent_encoding::percent_decode;

use super::*;
use crate::reader::entry::tests::record;

mod encodings;
mod forms;
mod hostile;

const HOST: &str = "honey.example.net";

fn hiding(list: &str) -> Privacy {
    Privacy {
        mask_sources: false,
        hidden: list.parse().unwrap(),
    }
}

fn masking() -> Privacy {
    Privacy {
        mask_sources: true,
        hidden: Hidden::default(),
    }
}

/// Returns what is shown of these bytes.
fn shown(privacy: &Privacy, raw: &[u8]) -> String {
    let shown = privacy.show(&record(raw)).record.raw;
    assert_eq!(shown.len(), raw.len());
    shown.escape_ascii().to_string()
}

/// Appends letters that make the bytes worth compressing: otherwise they would be stored as they
/// are.
fn compressible(bytes: &[u8]) -> Vec<u8> {
    [bytes, &b" and".repeat(100)].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&compressible(bytes)).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_address_is_cut_to_its_network() {
    for (source, network, prefix) in [
        ("203.0.113.7", "203.0.113.0", 24),
        ("::ffff:203.0.113.7", "203.0.113.0", 24),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::", 48),
        // 6to4: the address of 203.0.113.7 is in it.
        ("2002:cb00:7107::1", "2002:cb00:7100::", 40),
    ] {
        let record = Record {
            src_ip: source.parse().unwrap(),
            ..record(b"x")
        };
        let shown = masking().show(&record);
        assert_eq!(
            (shown.record.src_ip, shown.src_prefix),
            (network.parse().unwrap(), Some(prefix)),
            "{source}"
        );
        assert_eq!(
            (shown.record.src_port, shown.record.dest_ip),
            (0, record.dest_ip)
        );
    }
    let nobody = Record {
        src_ip: Ipv4Addr::UNSPECIFIED.into(),
        src_port: 0,
        ..record(b"x")
    };
    assert_eq!(masking().show(&nobody).src_prefix, None);
}

#[test]
fn who_hides_nothing_sees_all() {
    let privacy = hiding(" ");
    let record = record(b"GET /?from=203.0.113.7 HTTP/1.1\r\n\r\n");
    let shown = privacy.show(&record);
    assert_eq!(
        (
            shown.record,
            shown.src_prefix,
            shown.blanked,
            privacy.notice()
        ),
        (record, None, 0, String::new())
    );
}

#[test]
fn the_address_that_was_connected_to_goes_with_any_text() {
    let shown = |dest_ip: &str| {
        let record = Record {
            dest_ip: dest_ip.parse().unwrap(),
            ..record(b"x")
        };
        hiding(HOST).show(&record).record.dest_ip.to_string()
    };
    assert_eq!(
        (shown("192.0.2.1"), shown("2001:db8::1")),
        ("0.0.0.0".to_owned(), "::".to_owned())
    );
}

#[test]
fn a_source_is_blanked_in_its_own_bytes() {
    let raw = b"GET /?203.0.113.7&203.0.113.8 HTTP/1.1\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n";
    let expected =
        r"GET /?xxxxxxxxxxx&203.0.113.8 HTTP/1.1\r\nX-Forwarded-For: xxxxxxxxxxx\r\n\r\n";
    assert_eq!(shown(&masking(), raw), expected);
}

#[test]
fn an_address_is_known_in_every_way_to_write_it() {
    for (address, raw) in [
        ("203.0.113.7", &b"http://203.0.113.7:80/"[..]),
        ("203.0.113.7", b"203-0-113-7.example.com"),
        ("203.0.113.7", b"host_203_0_113_7"),
        ("203.0.113.7", b"7.113.0.203.in-addr.arpa"),
        ("203.0.113.7", b"http://3405803783/"),
        ("203.0.113.7", b"http://0xCB007107/"),
        ("203.0.113.7", b"http://0xcb.0x0.0x71.0x7/"),
        ("203.0.113.7", b"http://0xcb.0x00.0x71.0x07/"),
        ("203.0.113.7", b"http://0313.0.0161.07/"),
        ("203.0.113.7", b"http://0313.0000.0161.0007/"),
        ("203.0.113.7", b"http://[::ffff:cb00:7107]/"),
        (
            "203.0.113.7",
            b"2\x000\x003\x00.\x000\x00.\x001\x001\x003\x00.\x007\x00",
        ),
        ("203.0.113.7", b"\x05\x01\x00\x01\xcb\x00\x71\x07\x00\x50"),
        ("203.0.113.7", b"\x03203\x010\x03113\x017\x00"),
        ("2001:db8::a:1", b"http://[2001:DB8::A:1]/"),
        ("2001:DB8:0::A:1", b"http://[2001:db8:0:0:0:0:a:1]/"),
        ("2001:db8::a:1", b"2001:0db8:0000:0000:0000:0000:000a:0001"),
        ("2001:db8::a:1", b"2001-db8--a-1.ipv6-literal.net"),
        (
            "2001:db8::a:1",
            b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\x0a\0\x01",
        ),
        (
            "2001:db8::a:1",
            b"1.0.0.0.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
        ),
    ] {
        let shown = hiding(&format!("{HOST}, {address}")).show(&record(raw));
        assert!(shown.blanked > 0, "{}", raw.escape_ascii());
    }
    assert_eq!(
        shown(
            &hiding("203.0.113.7"),
            b"\x05\x01\x00\x01\xcb\x00\x71\x07\x00\x50"
        ),
        r"\x05\x01\x00\x01\x00\x00\x00\x00\x00P"
    );
    // Flags and a count in every DNS query, and not 1.0.0.1.
    assert_eq!(
        shown(&hiding("1.0.0.1"), b"\x01\x00\x00\x01"),
        r"\x01\x00\x00\x01"
    );
}

#[test]
fn a_text_is_blanked_in_its_encoding() {
    let privacy = hiding(HOST);
    for (raw, expected) in [
        (
            &b"Host: Honey.EXAMPLE.net:80"[..],
            "Host: xxxxxxxxxxxxxxxxx:80",
        ),
        (b"a%20honey%2eexample%2Enet", "a%20xxxxx%78xxxxxxx%78xxx"),
        (
            b"honey%252eexample%25252enet",
            "xxxxx%2578xxxxxxx%252578xxx",
        ),
        (b"honey%%32%65example.net", "xxxxx%%37%38xxxxxxxxxxx"),
        (
            br"honey\u002eexample\x2enet",
            r"xxxxx\\u0078xxxxxxx\\x78xxx",
        ),
        (b"honey%u002eexample.net", "xxxxx%u0078xxxxxxxxxxx"),
        (
            b"\x05honey\x07example\x03net\0",
            r"\x05xxxxx\x07xxxxxxx\x03xxx\x00",
        ),
        (b"%honey.example.net%", "%xxxxxxxxxxxxxxxxx%"),
        (b"honey.example.org 100% %2e", "honey.example.org 100% %2e"),
    ] {
        assert_eq!(shown(&privacy, raw), expected);
    }
}

#[test]
fn every_letter_may_be_escaped_and_base64_begin_anywhere() {
    let privacy = hiding(HOST);
    let escaped: String = HOST.bytes().map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(
        shown(&privacy, escaped.as_bytes()),
        "%78".repeat(HOST.len())
    );
    for before in ["", "a", "ab", "/", "x=/", "user:"] {
        for plain in [
            format!("{before}{HOST}"),
            format!("admin:{HOST}>>>???"),
            format!("{HOST}\u{ff}{HOST}"),
        ] {
            let blanked = plain.replace(HOST, &"x".repeat(HOST.len()));
            for engine in [&BASE64_STANDARD, &BASE64_STANDARD_NO_PAD, &BASE64_URL_SAFE] {
                let raw = format!("{before}{}", engine.encode(&plain));
                let expected = format!("{before}{}", engine.encode(&blanked));
                assert_eq!(shown(&privacy, raw.as_bytes()), expected, "{plain}");
                let escaped = raw.replace('=', "%3D").replace('/', "%2f");
                let shown = shown(&privacy, escaped.as_bytes());
                assert_eq!(
                    percent_decode(shown.as_bytes()).decode_utf8_lossy(),
                    expected,
                    "{plain}"
                );
            }
        }
    }
}

#[test]
fn one_encoding_inside_the_other_hides_nothing() {
    let privacy = hiding(HOST);
    let twice = BASE64_STANDARD.encode(BASE64_STANDARD.encode(format!("http://{HOST}/")));
    let lines = BASE64_STANDARD.encode(format!("{}{HOST}", "-".repeat(50)));
    let (first, second) = lines.split_at(76);
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(&compressible(HOST.as_bytes())).unwrap();
    let gzipped = gzip(format!("to {HOST}").as_bytes());
    let in_chunks = [b"5\r\n", &gzipped[..5], b"\r\nff\r\n", &gzipped[5..]].concat();
    for (head, body) in [
        ("", twice.into_bytes()),
        ("", format!("{first}\r\n{second}").into_bytes()),
        ("", zlib.finish().unwrap()),
        ("", [b"a=b&c=", &gzipped[..]].concat()),
        ("", BASE64_STANDARD.encode(&gzipped).into_bytes()),
        (
            "",
            gzip(&gzip(format!("%2f{}", HOST.replace('.', "%2e")).as_bytes())),
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            b"8\r\nto honey\r\n20\r\n.example.net\r\n".to_vec(),
        ),
        ("Transfer-Encoding: chunked\r\n", in_chunks),
    ] {
        let raw = [
            format!("POST /a?b HTTP/1.1\r\nHost: x\r\n{head}\r\n").as_bytes(),
            &body,
        ]
        .concat();
        let shown = privacy.show(&record(&raw));
        assert!(
            !raw.windows(HOST.len())
                .any(|window| window == HOST.as_bytes()),
            "it is not encoded"
        );
        assert!(
            shown.blanked > 0 && shown.record.raw.len() == raw.len(),
            "{}",
            raw.escape_ascii()
        );
        assert!(
            shown
                .record
                .raw
                .starts_with(b"POST /a?b HTTP/1.1\r\nHost: x\r\n")
        );
        for part in decode(&shown.record.raw, true, Limits::SHOWN) {
            let text = part.bytes.escape_ascii().to_string().to_lowercase();
            assert!(!text.contains(HOST), "{}: {text}", part.what());
        }
        // And nothing is blanked where there is nothing to hide.
        assert_eq!(
            hiding("elsewhere.example.org").show(&record(&raw)).blanked,
            0
        );
    }
}

#[test]
fn what_cannot_be_looked_through_is_blanked() {
    let bomb = gzip(&vec![b'a'; 1_000_000]);
    let raw = [b"POST / HTTP/1.1\r\n\r\n", &bomb[..]].concat();
    assert!(shown(&hiding(HOST), &raw).ends_with("xxxxxxxx"));
    // So many possible beginnings that trying all of them would take a second.
    let many = b"x^2 + ".repeat(10 * 1024);
    assert!(shown(&hiding(HOST), &many).ends_with("xxxxxxxx"));
    // Long plain text does not use up the work.
    let long = b"some words%20in a row, and/more+of_them; ".repeat(1_500);
    assert_eq!(hiding(HOST).show(&record(&long)).blanked, 0);
    // Bytes beyond the limit are blanked, those before it are not.
    let longer = [&long[..], &b" a".repeat(100_000)].concat();
    let shown = hiding(HOST).show(&record(&longer));
    assert!(shown.not_all_examined && shown.record.raw.ends_with(b"xxxx"));
    assert!(shown.record.raw.starts_with(b"some words%20in"));
    // Four encodings deep: the limit of privacy and of the page.
    let deep = (0..4).fold(HOST.to_owned(), |text, _| BASE64_STANDARD.encode(text));
    assert!(hiding(HOST).show(&record(deep.as_bytes())).blanked > 0);
}

#[test]
fn what_labels_say_of_a_record_may_be_asked_about() {
    let privacy = Privacy {
        mask_sources: true,
        ..hiding(HOST)
    };
    let source: IpAddr = [203, 0, 113, 7].into();
    for (text, is_named) in [
        ("ldap://honey[.]example[.]net:1389/a", true),
        ("hxxp://203[.]0[.]113[.]7/x.sh", true),
        ("hxxp://203[.]0[.]113[.]8/x.sh", false),
    ] {
        assert_eq!(
            privacy.is_named_in(&source.into(), text),
            is_named,
            "{text}"
        );
    }
    let other: IpAddr = [198, 51, 100, 1].into();
    assert!(!privacy.is_named_in(&other.into(), "203[.]0[.]113[.]7"));
}

#[test]
fn a_list_that_makes_no_sense_is_refused() {
    for list in [
        "abc",
        "203.0.113.7,",
        ",",
        "a.example, x",
        &"x".repeat(256),
        &vec!["text"; 65].join(","),
    ] {
        assert!(list.parse::<Hidden>().is_err(), "{list}");
    }
    assert_eq!(
        " 203.0.113.7 , a.example"
            .parse::<Hidden>()
            .unwrap()
            .count(),
        2
    );
}

#[test]
fn any_bytes_are_looked_through() {
    let privacy = Privacy {
        mask_sources: true,
        ..hiding("203.0.113.99,honey.example.net")
    };
    // Everything that begins an encoding or an address, next to what may follow.
    let parts: [&[u8]; 16] = [
        b"%",
        b"25",
        b"\\u00",
        b"\\x",
        b"2e",
        b"%u0",
        b"honey",
        b".example.net",
        b"/",
        b"=",
        b"\r\n",
        b"\x1f\x8b\x08",
        b"\x78\x9c",
        b"aG9uZXkuZXhhbXBsZS5uZXQ",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\n",
    ];
    let mut random = 1_u32;
    for _ in 0..3000 {
        let raw: Vec<u8> = (0..8)
            .flat_map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                parts[(random >> 28) as usize]
            })
            .copied()
            .collect();
        let shown = privacy.show(&record(&raw));
        assert_eq!(shown.record.raw.len(), raw.len());
        let again = privacy.show(&shown.record);
        assert_eq!(again.record.raw, shown.record.raw, "{}", raw.escape_ascii());
    }
}

#[test]
fn claimed_addresses_are_masked_as_sources_are() {
    let raw = b"GET / HTTP/1.1\r\nX-Forwarded-For: 198.51.100.7, 198.51.100.9, 192.0.2.1\r\n\r\n198.51.100.9";
    let told = |privacy: &Privacy| {
        let claims = privacy.show(&record(raw)).claims.unwrap();
        let told: Vec<_> = claims.into_iter().map(|it| it.address).collect();
        told.join(" ")
    };
    assert_eq!(told(&masking()), "198.51.100.0/24 192.0.2.0/24");
    let both = Privacy {
        mask_sources: true,
        ..hiding("192.0.2.1")
    };
    assert_eq!(told(&both), "198.51.100.0/24");
    let shown = shown(&masking(), raw);
    assert!(
        !shown.contains("198.51.100") && !shown.contains("192.0.2"),
        "{shown}"
    );
    // Without masking, claims are read from the shown bytes.
    assert_eq!(hiding(HOST).show(&record(raw)).claims, None);
}
