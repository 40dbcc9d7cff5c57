use super::*;

/// Recorded from `openssl s_client -tls1_3 -servername a.b -alpn h2,http/1.1`, OpenSSL 3.0.19.
const TLS_13: &str = "\
    16030100fa010000f603032ad2651781a317c4e0ad66b46fd3cddb5187f338deb11298005131212a748e0520530e72a08f46\
    f3b9b1316de151321b956c61d5789f6cf568d2e8875f9a80e85d000813021303130100ff010000a500000008000600000361\
    2e62000b000403000102000a00160014001d0017001e0019001801000101010201030104002300000010000e000c02683208\
    687474702f312e310016000000170000000d001e001c040305030603080708080809080a080b080408050806040105010601\
    002b0003020304002d00020101003300260024001d0020575430f0ee0238fe29885f3fa9449f2c94a247f1e2b096282bf27c\
    e7bab3c71e";

/// Recorded from `openssl s_client -tls1_1 -noservername -cipher DEFAULT@SECLEVEL=0`, OpenSSL
/// 3.0.19.
const TLS_11: &str = "\
    16030100630100005f0302b6e354a2c755c4bf9f0df53db1875a6a3033f9bb1df99b0b96252276171fe36c000012c00ac014\
    0039c009c01300330035002f00ff01000024000b000403000102000a000c000a001d0017001e001900180023000000160000\
    00170000";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// Puts the length of the content, in `length_bytes` bytes, in front of it.
fn vector(length_bytes: usize, content: &[u8]) -> Vec<u8> {
    [
        &content.len().to_be_bytes()[size_of::<usize>() - length_bytes..],
        content,
    ]
    .concat()
}

/// Builds a record with a hello of TLS 1.2; `after` are the bytes that follow the compression
/// methods.
fn hello(ciphers: &[u8], after: &[u8]) -> Vec<u8> {
    let body = [
        &[3, 3],
        &[7; 32][..],
        &[0],
        &vector(2, ciphers),
        &[1, 0],
        after,
    ]
    .concat();
    [
        &[0x16, 3, 1][..],
        &vector(2, &[&[1], &vector(3, &body)[..]].concat()),
    ]
    .concat()
}

#[test]
fn a_recorded_hello_gives_all_it_offers() {
    let hello = parse(&bytes(TLS_13)).unwrap();
    assert_eq!(
        (hello.legacy_version, &hello.versions[..], hello.version()),
        (0x0303, &[0x0304][..], 0x0304)
    );
    assert_eq!(hello.server_name.as_deref(), Some(&b"a.b"[..]));
    assert_eq!(hello.alpn, [&b"h2"[..], b"http/1.1"]);
    assert_eq!(hello.ciphers, [0x1302, 0x1303, 0x1301, 0x00ff]);
    assert_eq!(
        hello.extensions,
        [0, 11, 10, 35, 16, 22, 23, 13, 43, 45, 51]
    );
    assert_eq!(
        hello.groups,
        [
            0x1d, 0x17, 0x1e, 0x19, 0x18, 0x100, 0x101, 0x102, 0x103, 0x104
        ]
    );
    assert_eq!(
        (
            hello.signature_algorithms[0],
            hello.signature_algorithms.len()
        ),
        (0x0403, 14)
    );
    assert!(hello.whole);
}

#[test]
fn the_fingerprint_of_a_recorded_hello_is_what_others_compute() {
    // Computed by a program in Python from the fields that tshark 4.0.17 shows.
    assert_eq!(
        parse(&bytes(TLS_13)).unwrap().ja4(),
        "t13d0411h2_16476d049b0b_78f1d400d464"
    );
    assert_eq!(
        parse(&bytes(TLS_11)).unwrap().ja4(),
        "t11i090500_c491f621fb4c_195413a0cc0f"
    );
}

#[test]
fn a_hello_may_have_no_extensions_or_empty_ones() {
    let none = parse(&hello(&[0, 0x2f, 0, 0x35], &[])).unwrap();
    assert_eq!(
        (&none.ciphers[..], &none.extensions[..], none.whole),
        (&[0x2f, 0x35][..], &[][..], true)
    );
    assert_eq!(none.ja4(), "t12i020000_f54dd463d39b_000000000000");
    let empty = parse(&hello(&[], &[0, 8, 0, 0, 0, 0, 0, 16, 0, 0])).unwrap();
    assert_eq!(
        (
            empty.server_name.as_deref(),
            &empty.extensions[..],
            empty.whole
        ),
        (None, &[0, 16][..], true)
    );
    assert_eq!(empty.ja4(), "t12d000200_000000000000_000000000000");
    let no_name = parse(&hello(&[], &[0, 9, 0, 0, 0, 5, 0, 3, 0, 0, 0])).unwrap();
    assert_eq!(
        (no_name.server_name.as_deref(), no_name.whole),
        (Some(&b""[..]), true)
    );
}

#[test]
fn grease_is_dropped_everywhere() {
    // An extension of GREASE with one byte, then 43, 10, 13 and 16, each with GREASE first.
    let extensions = "1a1a000100002b000706dada03040303000a00060004fafa001d000d00060004eaea0403001000080006020a0a026832";
    let greased = parse(&hello(
        &[0x0a, 0x0a, 0x13, 0x01, 0x0a, 0x1a],
        &vector(2, &bytes(extensions)),
    ))
    .unwrap();
    let expected = ClientHello {
        legacy_version: 0x0303,
        versions: vec![0x0304, 0x0303],
        server_name: None,
        alpn: vec![b"h2".to_vec()],
        ciphers: vec![0x1301, 0x0a1a],
        extensions: vec![43, 10, 13, 16],
        groups: vec![0x1d],
        signature_algorithms: vec![0x0403],
        whole: true,
    };
    assert_eq!(greased, expected);
}

#[test]
fn a_hello_may_be_spread_over_records() {
    let raw = bytes(TLS_13);
    for size in [1, 3, 4, 50, 249] {
        let records: Vec<u8> = raw[5..]
            .chunks(size)
            .flat_map(|part| [&[0x16, 3, 3][..], &vector(2, part)].concat())
            .collect();
        assert_eq!(parse(&records), parse(&raw), "{size}");
    }
    // The bytes that follow do not belong to the hello: another handshake message, an alert.
    let more = [
        &raw[..],
        &[0x16, 3, 3, 0, 2, 16, 0],
        &[0x15, 3, 3, 0, 2, 2, 40],
    ]
    .concat();
    assert_eq!(parse(&more), parse(&raw));
}

#[test]
fn a_part_of_a_hello_is_not_whole() {
    for raw in [bytes(TLS_13), bytes(TLS_11), hello(&[0, 0x2f], &[])] {
        for end in 0..raw.len() {
            let part = parse(&raw[..end]);
            assert_eq!(part.is_some(), end >= 11, "{end}");
            assert!(
                part.is_none_or(|part| !part.whole && part.ja4().len() == 36),
                "{end}"
            );
        }
    }
    let part = parse(&bytes(TLS_13)[..107]).unwrap();
    assert_eq!(
        (part.server_name.as_deref(), &part.extensions[..]),
        (Some(&b"a.b"[..]), &[0, 11][..])
    );
}

#[test]
fn no_mutation_panics() {
    let (raw, mut state) = (bytes(TLS_13), 1_u64);
    for _ in 0..20_000 {
        let mut raw = raw.clone();
        for _ in 0..4 {
            // Knuth's MMIX generator; its high bits are the random ones.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(state >> 40).unwrap() % raw.len();
            raw[at] = state.to_be_bytes()[0];
        }
        if let Some(hello) = parse(&raw) {
            assert_eq!(hello.ja4().chars().count(), 36);
        }
    }
}

#[test]
fn other_bytes_are_none() {
    for raw in [
        &b""[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\x00\x06\x02\0\0\x02\x03\x03",
        b"\x15\x03\x01\x00\x06\x01\0\0\x02\x03\x03",
        b"\x16\xfe\xff\x00\x06\x01\0\0\x02\x03\x03",
    ] {
        assert_eq!(parse(raw), None, "{}", raw.escape_ascii());
    }
}

#[test]
fn versions_have_names() {
    for (version, name) in [
        (0x0304, "TLS 1.3"),
        (0x0300, "SSL 3.0"),
        (0x0002, "SSL 2.0"),
        (0x7f1c, "0x7f1c"),
    ] {
        assert_eq!(version_name(version), name);
    }
}
