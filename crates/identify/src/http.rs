//! The parts of an HTTP request, found in bytes that may be anything.
//!
//! In: the raw bytes. Out: slices of them, in the order sent. Judges nothing: what a strict parser
//! refuses (spaces in the target, 8-bit bytes, no version) is what people want to look at.

/// An HTTP request, as slices of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Up to the first space.
    pub method: &'a [u8],
    /// Between method and version, spaces and all.
    pub target: &'a [u8],
    /// `HTTP/1.1` and the like; empty for HTTP/0.9, which has none.
    pub version: &'a [u8],
    /// Name and value of each line of the head; a line without a colon is a name without a value.
    pub headers: Vec<(&'a [u8], &'a [u8])>,
    /// What follows the blank line.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Returns the values of all headers of this name, in any case, in the order sent.
    pub fn values(&self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        self.headers
            .iter()
            .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
            .map(|&(_, value)| value)
    }

    /// Splits the target at its first `?`: path, and query without it.
    #[must_use]
    pub fn path_and_query(&self) -> (&'a [u8], &'a [u8]) {
        let mark = self
            .target
            .iter()
            .position(|&byte| byte == b'?')
            .unwrap_or(self.target.len());
        (
            &self.target[..mark],
            self.target.get(mark + 1..).unwrap_or_default(),
        )
    }
}

/// Finds the parts of an HTTP request; `None` when the bytes do not begin like one.
#[must_use]
pub fn parse(raw: &[u8]) -> Option<Request<'_>> {
    let mut rest = raw;
    // RFC 9112, 2.2: empty lines may come first.
    while let Some(more) = rest
        .strip_prefix(b"\r\n")
        .or_else(|| rest.strip_prefix(b"\n"))
    {
        rest = more;
    }
    let (first, mut rest) = split_line(rest);
    let (method, target, version) = request_line(first)?;
    let mut headers = Vec::new();
    loop {
        let (line, more) = split_line(rest);
        rest = more;
        if line.is_empty() {
            return Some(Request {
                method,
                target,
                version,
                headers,
                body: rest,
            });
        }
        let colon = line
            .iter()
            .position(|&byte| byte == b':')
            .unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        headers.push((&line[..colon], value.trim_ascii()));
    }
}

fn request_line(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = line.iter().position(|&byte| byte == b' ')?;
    let (method, rest) = (&line[..space], line[space..].trim_ascii());
    let is_method = (1..=32).contains(&method.len())
        && method
            .iter()
            .all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(byte));
    let last_word = rest
        .iter()
        .rposition(|&byte| byte == b' ')
        .map_or(0, |space| space + 1);
    if !is_method {
        None
    } else if last_word > 0 && rest[last_word..].to_ascii_uppercase().starts_with(b"HTTP/") {
        Some((
            method,
            rest[..last_word].trim_ascii_end(),
            &rest[last_word..],
        ))
    } else if rest.starts_with(b"/") {
        Some((method, rest, b""))
    } else {
        None
    }
}

/// Splits at the first LF; the line comes without it and without a CR before it.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes
        .iter()
        .position(|&byte| byte == b'\n')
        .unwrap_or(bytes.len());
    let line = &bytes[..end];
    (
        line.strip_suffix(b"\r").unwrap_or(line),
        bytes.get(end + 1..).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_slices_in_the_order_sent() {
        let raw = b"\r\nPOST /a b?c HTTP/1.1\r\nHost: x\r\nhost :  y \nno colon\r\nEmpty:\r\n\r\nbody\r\n\r\n";
        let request = parse(raw).unwrap();
        assert_eq!(
            (request.method, request.target, request.version),
            (&b"POST"[..], &b"/a b?c"[..], &b"HTTP/1.1"[..])
        );
        let headers: [(&[u8], &[u8]); 4] = [
            (b"Host", b"x"),
            (b"host ", b"y"),
            (b"no colon", b""),
            (b"Empty", b""),
        ];
        assert_eq!(request.headers, headers);
        assert_eq!(request.body, b"body\r\n\r\n");
    }

    #[test]
    fn odd_requests_are_requests() {
        for (raw, target, version) in [
            (&b"GET /"[..], &b"/"[..], &b""[..]),
            (b"GET /\r\n", b"/", b""),
            (b"GET /\xff\0 HTTP/1.0\n", b"/\xff\0", b"HTTP/1.0"),
            (b"GET  /  HTTP/1.1", b"/", b"HTTP/1.1"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"*", b"HTTP/2.0"),
            (b"CONNECT x:443 http/1.1\r\n", b"x:443", b"http/1.1"),
        ] {
            let request = parse(raw).unwrap_or_else(|| panic!("{}", raw.escape_ascii()));
            assert_eq!((request.target, request.version), (target, version));
        }
    }

    #[test]
    fn a_target_is_split_at_its_first_question_mark() {
        let expected: [(&[u8], &[u8]); 4] =
            [(b"/a", b"b?c"), (b"/a", b""), (b"/a", b""), (b"", b"")];
        let requests: [&[u8]; 4] = [b"GET /a?b?c", b"GET /a", b"GET /a?", b"GET ? HTTP/1.1"];
        assert_eq!(
            requests.map(|raw| parse(raw).unwrap().path_and_query()),
            expected
        );
    }

    #[test]
    fn a_header_is_found_in_any_case() {
        let request = parse(b"GET / HTTP/1.1\r\nA: 1\r\nb: 2\r\na: 3\r\n\r\n").unwrap();
        assert!(request.values(b"A").eq([b"1", b"3"]) && request.values(b"c").next().is_none());
    }

    #[test]
    fn other_bytes_are_none() {
        for raw in [
            &b""[..],
            b"\r\n\r\n",
            b"GET",
            b"SSH-2.0-Go\r\n",
            b"\x16\x03\x01",
            b"EHLO x\r\n",
            b"* HTTP/1.1",
            b"/ /",
        ] {
            assert_eq!(parse(raw), None, "{}", raw.escape_ascii());
        }
    }
}
