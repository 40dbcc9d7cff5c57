//! Tests every way of writing a hidden text, in every encoding that the page undoes.

use forever200_decode::parameters;

use super::*;
use crate::bytes::indent::indent;

/// Hidden texts, and how senders may write each.
pub(super) const FORMS: [(&str, &[&str]); 4] = [
    (
        "203.0.113.29",
        &[
            "203.0.113.29",
            "203-0-113-29",
            "203_0_113_29",
            "203[.]0[.]113[.]29",
            "29.113.0.203.in-addr.arpa",
            "29-113-0-203",
            "203.0.28957",
            "203.28957",
            "//203.28957/",
            "3405803805",
            "0xCB00711D",
            "0x00cb00711d",
            "cb00711d",
            "031300070435",
            "0031300070435",
            "203.000.113.029",
            "203.0.113.035",
            "0313.0.0161.035",
            "0313.0000.0161.0035",
            "0xcb.0.0161.29",
            "0xcb.0x0.0x71.0x1d",
            "0xcb.0.0x711d",
            "0313.0x711d",
            "ip203.0.113.29x",
            "1.203.0.113.29",
            "203.0.113.29.1",
            "1203.0.113.299",
            "::ffff:203.0.113.29",
            "::FFFF:cb00:711d",
            "::ffff:cb00:711D",
            "0:0:0:0:0:ffff:cb00:711d",
            "::203.0.113.29",
            "::cb00:711d",
            "64:ff9b::203.0.113.29",
            "64:ff9b::cb00:711d",
            "2002:cb00:711d::1",
            "--ffff-cb00-711d",
            "2\x000\x003\x00.\x000\x00.\x001\x001\x003\x00.\x002\x009\x00",
            "\x002\x000\x003\x00.\x000\x00.\x001\x001\x003\x00.\x002\x009",
            "\x03203\x010\x03113\x0229",
        ],
    ),
    (
        "2001:db8::99",
        &[
            "2001:db8::99",
            "2001:0db8::99",
            "2001:0DB8::0099",
            "2001:db8:0:0::99",
            "2001:db8::0:0:99",
            "2001:db8:0:0:0:0:0:99",
            "2001:0db8:0000:0000:0000:0000:0000:0099",
            "00002001:db8::099",
            "2001:db8::0.0.0.153",
            "2001:db8:0:0:0:0:0.0.0.153",
            "[2001:db8::99]:80",
            "2001:db8::99:8080",
            "2001-db8--99.ipv6-literal.net",
            "2001_db8__99",
            "2001-0db8-0-0-0-0-0-99",
            "9.9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            "2.0.0.1.0.d.b.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.9",
            "20010db8000000000000000000000099",
            "0x20010DB8000000000000000000000099",
            "42540766411282592856903984951653826713",
            "x2001:db8::99x",
        ],
    ),
    (
        "honey.example.net",
        &[
            "honey.example.net",
            "HONEY.Example.NET",
            "www.honey.example.network",
            "h\x00o\x00n\x00e\x00y\x00.\x00e\x00x\x00a\x00m\x00p\x00l\x00e\x00.\x00n\x00e\x00t\x00",
            "\x05honey\x07example\x03net",
        ],
    ),
    ("my secret", &["my secret", "My Secret"]),
];

type Wrapping = (&'static str, fn(&[u8]) -> Vec<u8>);

/// Encodings that the page undoes in any part of a request, also one inside the other.
const WRAPPINGS: [Wrapping; 14] = [
    ("as it is", |text| text.to_vec()),
    ("each byte in URL encoding", |text| percent(text, |_| true)),
    ("what is no letter in URL encoding", |text| {
        percent(text, |byte| !byte.is_ascii_alphanumeric())
    }),
    ("every other byte in URL encoding", |text| {
        percent(text, |byte| byte % 2 == 0)
    }),
    ("base64", |text| BASE64_STANDARD.encode(text).into_bytes()),
    ("base64 without padding, of something longer", |text| {
        let longer = [b"a ", text, b" and so on???>>>"].concat();
        BASE64_STANDARD_NO_PAD.encode(longer).into_bytes()
    }),
    ("base64 for URLs", |text| {
        let longer = [b">>>???", text].concat();
        BASE64_URL_SAFE.encode(longer).into_bytes()
    }),
    ("base64 behind others", |text| {
        let encoded = BASE64_STANDARD.encode([b"user:", text].concat());
        format!("a=b&c={encoded}").into_bytes()
    }),
    ("gzip", |text| gzip(text)),
    ("zlib, 78 01", |text| zlib(text, 1)),
    ("zlib, 78 5e", |text| zlib(text, 4)),
    ("zlib, 78 9c", |text| zlib(text, 6)),
    ("zlib, 78 da", |text| zlib(text, 9)),
    ("stored", |text| zlib(text, 0)),
];

/// Compresses a text. The second header byte is the one of an encoder of this level: RFC 1950.
fn zlib(text: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(&compressible(text)).unwrap();
    let mut stream = encoder.finish().unwrap();
    stream[1] = match level {
        0 | 1 => 0x01,
        2..6 => 0x5e,
        6 => 0x9c,
        _ => 0xda,
    };
    stream
}

fn percent(text: &[u8], is_encoded: fn(u8) -> bool) -> Vec<u8> {
    let encode = |&byte: &u8| match is_encoded(byte) {
        true => format!("%{byte:02X}").into_bytes(),
        false => vec![byte],
    };
    text.iter().flat_map(encode).collect()
}

/// Returns requests that hold these bytes, each in another part.
pub(super) fn requests(bytes: &[u8]) -> Vec<Vec<u8>> {
    let request = |line: &[u8], head: &[u8], body: &[u8]| {
        [line, b" HTTP/1.1\r\nHost: x\r\n", head, b"\r\n", body].concat()
    };
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let chunk =
        |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let chunks = [chunk(first), chunk(second), b"0\r\n\r\n".to_vec()].concat();
    let mut requests = vec![
        bytes.to_vec(),
        request(b"POST /", b"", bytes),
        request(
            b"POST /",
            b"Content-Length: 2\r\n",
            &[b"ab", bytes].concat(),
        ),
        request(b"POST /", b"Transfer-Encoding: chunked\r\n", &chunks),
    ];
    // Bytes with line ends, or with white space around them, can be no target and no value.
    let is_value = !bytes.contains(&b'\n') && bytes.trim_ascii() == bytes;
    if is_value {
        requests.push(request(&[b"GET ", bytes].concat(), b"", b""));
        requests.push(request(&[b"GET /?q=", bytes].concat(), b"", b""));
        requests.push(request(b"GET /", &[b"X: ", bytes, b"\r\n"].concat(), b""));
        // A space may be a fold.
        let folded: Vec<u8> = bytes
            .iter()
            .flat_map(|byte| match byte {
                b' ' => &b"\r\n "[..],
                other => std::slice::from_ref(other),
            })
            .copied()
            .collect();
        // White space next to a fold is removed with it.
        if *forever200_head::unfolded(&folded) == *bytes {
            requests.push(request(
                b"GET /",
                &[b"X: ", &folded[..], b"\r\n"].concat(),
                b"",
            ));
        }
    }
    requests
}

/// Returns everything that the page shows of a request.
pub(super) fn all_shown(privacy: &Privacy, source: IpAddr, raw: &[u8]) -> Vec<Vec<u8>> {
    let http = forever200_identify::http::parse(raw);
    let mut all = vec![raw.to_vec()];
    for is_http in [http.is_some(), false] {
        let parts = decode(raw, is_http, Limits::SHOWN);
        let parts = privacy.show_decoded(&source.into(), parts, Limits::SHOWN);
        all.extend(parts.iter().map(|part| part.what().into_bytes()));
        all.extend(parts.into_iter().map(|part| part.bytes));
    }
    if let Some(http) = &http {
        let forms = [http.path_and_query().1, http.body.trim_ascii()];
        let pairs = forms.into_iter().flat_map(parameters);
        all.extend(pairs.flat_map(|(name, value)| [name, value]));
        all.extend(
            http.headers
                .iter()
                .map(|header| header.plain_value().into_owned()),
        );
        all.push(http.body.to_vec());
    }
    let indented: Vec<_> = all.iter().filter_map(|bytes| indent(bytes)).collect();
    all.extend(indented);
    all
}

pub(super) fn contains(bytes: &[u8], form: &str) -> bool {
    let form = form.as_bytes();
    bytes
        .windows(form.len())
        .any(|window| window.eq_ignore_ascii_case(form))
}

/// Asserts that nothing that is shown of these bytes contains the form.
fn assert_hidden(privacy: &Privacy, bytes: &[u8], form: &str, how: &str) {
    for raw in requests(bytes) {
        let shown = privacy.show(&record(&raw));
        assert_eq!(shown.record.raw.len(), raw.len());
        assert!(shown.blanked > 0, "{form:?}, {how}: {}", raw.escape_ascii());
        assert!(!shown.not_all_examined, "{form:?}, {how}");
        for part in all_shown(privacy, shown.record.src_ip, &shown.record.raw) {
            assert!(
                !contains(&part, form),
                "{form:?}, {how}: {} in {}",
                part.escape_ascii(),
                raw.escape_ascii()
            );
        }
    }
}

#[test]
fn every_form_is_hidden_in_everything_that_the_page_undoes() {
    for (hidden, forms) in FORMS {
        let privacy = hiding(hidden);
        for form in forms {
            for (how, wrap) in WRAPPINGS {
                assert_hidden(&privacy, &wrap(form.as_bytes()), form, how);
            }
        }
    }
}

#[test]
fn one_wrapping_inside_the_other_hides_no_form() {
    for (hidden, forms) in FORMS {
        let privacy = hiding(hidden);
        for form in [forms[0], forms[forms.len() - 1]] {
            for (outer_how, outer) in WRAPPINGS {
                for (inner_how, inner) in WRAPPINGS {
                    let bytes = outer(&inner(form.as_bytes()));
                    assert_hidden(&privacy, &bytes, form, &format!("{inner_how}, {outer_how}"));
                }
            }
        }
    }
}

#[test]
fn a_space_may_be_written_as_a_plus() {
    let privacy = hiding("my secret, a+b c");
    for query in [
        "my+secret",
        "my%20secret",
        "m%79+s%65cret",
        "%6dy%20secret+x",
        "a%2bb+c",
    ] {
        for raw in [
            format!("GET /?q=1&w={query} HTTP/1.1\r\n\r\n"),
            format!(
                "POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\nq={query}"
            ),
        ] {
            let shown = privacy.show(&record(raw.as_bytes()));
            assert!(shown.blanked > 0, "{raw}");
            for part in all_shown(&privacy, shown.record.src_ip, &shown.record.raw) {
                assert!(
                    !contains(&part, "my secret") && !contains(&part, "a+b c"),
                    "{raw}"
                );
            }
        }
    }
}

#[test]
fn escapes_of_languages_are_undone() {
    let privacy = hiding("honey.example.net, 203.0.113.29");
    for dot in [
        r"\x2e",
        r"\056",
        r"\56",
        r"\u002e",
        r"\U0000002e",
        r"\u{2e}",
        "%u002e",
        r"\.",
    ] {
        for text in [
            "honey.example.net",
            "203.0.113.29",
            "a honey.example.net,203.0.113.29 b",
        ] {
            let raw = text.replace('.', dot);
            let raws = [raw.clone(), BASE64_STANDARD.encode(&raw)];
            for raw in raws {
                let shown = privacy.show(&record(raw.as_bytes()));
                assert!(shown.blanked > 0, "{raw}");
                assert!(!contains(&shown.record.raw, &raw), "{raw}");
            }
        }
    }
}

#[test]
fn what_is_part_of_something_hidden_does_not_save_the_rest() {
    let privacy = hiding("203.0.113.7, host-203.0.113.7.example.net, example.net, my host-203");
    for (raw, expected) in [
        ("host-203.0.113.7.example.net", "x".repeat(28)),
        ("my host-203.0.113.7.example.net!", "x".repeat(31) + "!"),
        (
            "host-203%2e0.113.7.example.net",
            "xxxxxxxx%78xxxxxxxxxxxxxxxxxxx".to_owned(),
        ),
    ] {
        assert_eq!(shown(&privacy, raw.as_bytes()), expected);
    }
}

#[test]
fn what_only_resembles_an_address_is_shown() {
    let privacy =
        hiding("1.2.3.4, 1.0.0.1, 10.0.0.5, 97.98.99.100, 104.116.116.112, 0::1, 2001:db8::99");
    for text in [
        "GET /1.2.3.45/1.2.3/1.2.3.5 HTTP/1.1",
        "HTTP/1.1 1.1 1.0 10.5 v1.65537",
        "abcd http http:// abcdef",
        "2024-11-27 10:30:01 12:34:56.789",
        "2001:db8::9 2001:db8::1 fe80::1 2001:db8::999 a::b",
        "00:1b:44:11:3a:b7 550e8400-e29b-41d4-a716-446655440000",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36",
        "16909061 0x01020305 deadbeef face:b00c",
        "std::string::npos a::1b",
    ] {
        assert_eq!(shown(&privacy, text.as_bytes()), text);
    }
    // A length, and padding.
    let zeros = [&[0; 40][..], &[1]].concat();
    assert_eq!(privacy.show(&record(&zeros)).blanked, 0);
}
