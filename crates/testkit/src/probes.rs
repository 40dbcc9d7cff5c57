//! What strangers send to port 80, HTTP or not. The probes were written for these tests, like what
//! is seen on the internet.

/// Returns the name and the bytes of each probe.
#[must_use]
pub fn probes() -> Vec<(&'static str, Vec<u8>)> {
    let mut probes: Vec<(&str, Vec<u8>)> = ODD
        .iter()
        .chain(PLAIN)
        .map(|&(name, bytes)| (name, bytes.to_vec()))
        .collect();
    probes.push((
        "a header of 20 kB",
        [
            b"GET / HTTP/1.1\r\nHost: x\r\nX: ",
            &[b'a'; 20_000][..],
            b"\r\n\r\n",
        ]
        .concat(),
    ));
    probes.push((
        "a target of 8 kB",
        [b"GET /", &[b'%'; 8000][..], b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat(),
    ));
    probes.push((
        "200 headers",
        [b"GET / HTTP/1.1\r\n", &b"A: b\r\n".repeat(200)[..], b"\r\n"].concat(),
    ));
    probes.push(("every byte there is", (0..=255).collect()));
    probes.push(("65,536 zeros", vec![0; 65_536]));
    probes
}

/// haproxy in `mode http` would refuse or rewrite these.
const ODD: &[(&str, &[u8])] = &[
    ("TLS 1.2 hello", b"\x16\x03\x01\x00\x31\x01\x00\x00\x2d\x03\x03\x5f\x5e\x5d\x5c\x5b\x5a\x59\x58\x57\x56\x55\x54\x53\x52\x51\x50\x4f\x4e\x4d\x4c\x4b\x4a\x49\x48\x47\x46\x45\x44\x43\x42\x41\x40\x00\x00\x04\xc0\x2f\x00\x35\x01\x00\x00\x00"),
    ("RDP with a cookie", b"\x03\x00\x00\x2f\x2a\xe0\x00\x00\x00\x00\x00Cookie: mstshash=Administr\r\n\x01\x00\x08\x00\x03\x00\x00\x00"),
    ("SSH banner", b"SSH-2.0-libssh2_1.11.0\r\n"),
    ("SMB1 negotiate", b"\x00\x00\x00\x2f\xffSMB\x72\x00\x00\x00\x00\x18\x01\x28\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x2a\x04\x00\x00\x00\x00\x00\x0c\x00\x02NT LM 0.12\x00"),
    ("space in the target", b"GET /a b c HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("8-bit target", b"GET /\xff\xfe\xe4 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("NUL in the target", b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("HTTP/0.9", b"GET /\r\n"),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: one\r\nHost: two\r\n\r\n"),
    ("LF only", b"GET /lf HTTP/1.1\nHost: x\n\n"),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64\x00\x04\x00\xa0\x00\x00\x00\x02\x00\x00\x00\x00"),
    ("two lengths", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 3\r\n\r\nabc"),
    ("length and chunks", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("a space before the colon", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"),
    ("a header without a colon", b"GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n"),
    ("a folded header", b"GET / HTTP/1.1\r\nHost: x\r\nX-Fold: a\r\n  b\r\n\r\n"),
    ("mixed case and double spaces", b"GET /  HTTP/1.1\r\nhOsT:   x\r\nX-Odd:  Two\r\n\r\n"),
    ("absolute form", b"GET http://example.com/a HTTP/1.1\r\nHost: example.com\r\n\r\n"),
    ("CONNECT", b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"),
    ("an unknown version", b"GET / HTTP/9.9\r\nHost: x\r\n\r\n"),
];

const PLAIN: &[(&str, &[u8])] = &[
    ("GET", b"GET / HTTP/1.1\r\nHost: 203.0.113.7\r\nUser-Agent: Mozilla/5.0 zgrab/0.x\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n"),
    ("HTTP/1.0 without a header", b"GET / HTTP/1.0\r\n\r\n"),
    ("a body by length", b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\nuser=admin&pass=\r\n"),
    ("a body in chunks", b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\nTrailer: 1\r\n\r\n"),
    ("more body than announced", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nabcdef"),
    ("less body than announced", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\nabc"),
    ("two requests at once", b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("an empty line first", b"\r\nGET /late HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("half a head", b"GET /half HTTP/1.1\r\nHost: x\r\n"),
    ("a single letter", b"G"),
    ("nothing but line ends", b"\r\n\r\n"),
    ("RTSP", b"OPTIONS / RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
    ("SIP", b"OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm;branch=foo\r\nContent-Length: 0\r\n\r\n"),
    ("an unknown method", b"MGLNDD_203.0.113.7_80\n"),
    ("SOCKS5", b"\x05\x01\x00"),
    ("SOCKS4", b"\x04\x01\x00\x50\xcb\x00\x71\x07\x00"),
    ("Redis", b"*1\r\n$4\r\nINFO\r\n"),
    ("MQTT", b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test"),
    ("mining", b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n"),
    ("DNS over TCP", b"\x00\x1e\x00\x06\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07version\x04bind\x00\x00\x10\x00\x03"),
    ("LDAP", b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x02\x04\x00\x80\x00"),
    ("a forged PROXY header", b"PROXY TCP4 198.51.100.1 198.51.100.2 1 2\r\nGET / HTTP/1.1\r\n\r\n"),
    ("a forged PROXY header, version 2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x01\0\x02GET / HTTP/1.1\r\n\r\n"),
    ("a log4j lookup", b"GET /?x=${jndi:ldap://127.0.0.1/a} HTTP/1.1\r\nHost: x\r\nUser-Agent: ${${lower:j}ndi:dns://127.0.0.1}\r\n\r\n"),
    ("a script in the target", b"GET /<script>alert(1)</script>?\"'> HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a word that begins like home", b"GET /ho"),
    ("home without a version", b"GET /home\r\n"),
    ("home by a proxy", b"GET http://203.0.113.7/home HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("a folded header, asking for home's neighbour", b"GET /homes HTTP/1.1\r\nHost: x\r\nX: a\r\n\tb\r\n\r\n"),
    ("terminal escapes", b"GET /\x1b]0;owned\x07\x1b[2J HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("bidi and zero width", b"GET /\xe2\x80\xae\xe2\x80\x8b HTTP/1.1\r\nHost: x\r\n\r\n"),
];
