//! A request as a shell command that sends the same bytes again.
//!
//! In: the bytes of a request, and where to send them. Out: one line for a POSIX shell. It runs
//! `curl` if that sends exactly these bytes, else `printf` piped into `nc`, or a download piped
//! into `nc` if the line would be too long.
//!
//! The line has only printable ASCII, the bytes never leave their quotes, and only the given host
//! is contacted. But the visitor's environment applies: if `http_proxy` is set, curl asks the
//! proxy. To prevent this, every line would need `--noproxy '*'`, which would make it harder to
//! read.

mod curl;

use std::fmt::Write;
use std::net::Ipv6Addr;

use serde::Serialize;

use curl::CURL;

/// The longest line that terminals and people can handle.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// A shell command that sends the bytes of a request again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// The program that sends: `curl` or `nc`.
    pub tool: &'static str,
    /// The line: printable ASCII, without a line break.
    pub line: String,
    /// The line downloads the bytes by their sequence number, so it works only while they are kept.
    pub downloads: bool,
}

/// Where the request is sent to.
#[derive(Clone, Copy)]
struct Endpoint<'a> {
    /// A name or an address, without brackets.
    name: &'a str,
    port: u16,
}

impl Endpoint<'_> {
    const DEFAULT: Self = Self {
        name: "localhost",
        port: 80,
    };
}

/// Returns the line that sends `raw` to `host`.
///
/// `host` is as in a Host header: a name or an address, with brackets if it has colons, and perhaps
/// a port. Anything else is replaced by `localhost`. `raw_url` is where the bytes can be
/// downloaded.
///
/// The printf command is POSIX: format escapes are `\r`, `\n` and three octal digits. `nc` gets no
/// options, because they differ between its implementations; it ends when the peer closes.
#[must_use]
pub fn replay(raw: &[u8], host: &str, raw_url: &str) -> Replay {
    let endpoint = endpoint(host).unwrap_or(Endpoint::DEFAULT);
    let Endpoint { name, port } = endpoint;
    if raw.len() <= MAX_LINE_BYTES {
        if let Some(line) = curl::line(raw, endpoint)
            && line.len() <= MAX_LINE_BYTES
        {
            return Replay {
                tool: "curl",
                line,
                downloads: false,
            };
        }
        let line = format!("printf '{}' | nc {name} {port}", printf(raw));
        if line.len() <= MAX_LINE_BYTES {
            return Replay {
                tool: "nc",
                line,
                downloads: false,
            };
        }
    }
    let raw_url: String = raw_url.chars().filter(char::is_ascii_graphic).collect();
    Replay {
        tool: "nc",
        line: format!("{CURL} -s {} | nc {name} {port}", word(&raw_url)),
        downloads: true,
    }
}

/// Splits the value of a Host header; `None` if it is invalid.
fn endpoint(host: &str) -> Option<Endpoint<'_>> {
    let Endpoint { mut port, .. } = Endpoint::DEFAULT;
    let mut name = host;
    // The last colon of an IPv6 address does not begin a port.
    let is_ipv6 = host.parse::<Ipv6Addr>().is_ok();
    if let Some((before, digits)) = host.rsplit_once(':')
        && !digits.ends_with(']')
        && !is_ipv6
    {
        name = before;
        port = digits.parse().ok()?;
    }
    if let Some(rest) = name.strip_prefix('[')
        && let Some(inside) = rest.strip_suffix(']')
    {
        name = inside;
    }
    let is_known = is_name(name) || name.parse::<Ipv6Addr>().is_ok();
    is_known.then_some(Endpoint { name, port })
}

/// Tells whether this is a name or an IPv4 address. A leading `-` would be an option of nc.
fn is_name(name: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.bytes().all(is_of_name)
}

/// Quotes a text for a POSIX shell: in single quotes, only the quote itself is special.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Quotes a text if some shell might change it otherwise.
fn word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,+@%".contains(&byte);
    if text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        quote(text)
    }
}

/// Returns the format with which printf writes these bytes, for use in single quotes.
fn printf(raw: &[u8]) -> String {
    let mut format = String::with_capacity(raw.len());
    for (place, &byte) in raw.iter().enumerate() {
        match byte {
            b'\r' => format.push_str(r"\r"),
            b'\n' => format.push_str(r"\n"),
            // At the beginning, it would begin an option.
            b'-' if place == 0 => format.push_str(r"\055"),
            b' '..=b'~' if !b"'%\\".contains(&byte) => format.push(char::from(byte)),
            // Three digits, so that a digit may follow.
            _ => write!(format, "\\{byte:03o}").expect("a String takes every write"),
        }
    }
    format
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW_URL: &str = "http://203.0.113.7/home/requests/9/raw";

    #[track_caller]
    fn check(raw: impl AsRef<[u8]>, line: &str) {
        let replay = replay(raw.as_ref(), "203.0.113.7", RAW_URL);
        assert_eq!(replay.line, line);
        assert_eq!(
            replay.tool,
            if line.starts_with("curl -q -s") || !line.starts_with("curl") {
                "nc"
            } else {
                "curl"
            }
        );
    }

    #[test]
    fn what_curl_sends_is_said_with_no_more_than_it_needs() {
        for (raw, line) in [
            (
                "GET /a?b=c HTTP/1.1\r\nHost: 203.0.113.7\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
                "curl -q 'http://203.0.113.7/a?b=c' -A 'curl/7.88.1'",
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nuser-agent: x\r\nX: 1:\r\nE:\r\nX: 1:\r\nConnection: close\r\n\r\n",
                "curl -q http://203.0.113.7/ -H 'Host: a' -H 'Accept:' -H 'user-agent: x' -H 'X: 1:' -H 'E;' \
                 -H 'X: 1:' -H 'Connection: close'",
            ),
            (
                "POST /x HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nAccept: */*\r\nContent-Length: 2\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\n\r\n@'",
                r"curl -q http://203.0.113.7/x -H 'Host: a' -A 'b' --data-raw '@'\'''",
            ),
            (
                "PUT / HTTP/1.1\r\nAccept: */*\r\nContent-Length: 5\r\nhost: a\r\n\r\na=b",
                "curl -q -X PUT http://203.0.113.7/ -H 'Host:' -H 'User-Agent:' -H 'Content-Type:' \
                 -H 'Content-Length: 5' -H 'host: a' --data-raw 'a=b'",
            ),
            (
                "HEAD / HTTP/1.0\r\n\r\n",
                "curl -q -I --http1.0 http://203.0.113.7/ -H 'Host:' -H 'User-Agent:' -H 'Accept:'",
            ),
        ] {
            check(raw, line);
        }
    }

    #[test]
    fn a_target_that_curl_would_change_is_named_apart() {
        for (target, words) in [
            ("/a/../b", "--path-as-is http://203.0.113.7/a/../b"),
            ("/?a[]={1}", "-g 'http://203.0.113.7/?a[]={1}'"),
            ("/$(x)`y`';z", r"'http://203.0.113.7/$(x)`y`'\'';z'"),
            ("/%2Fa%zz", "http://203.0.113.7/%2Fa%zz"),
            ("/%2f", "http://203.0.113.7 --request-target '/%2f'"),
            ("/?", "http://203.0.113.7 --request-target '/?'"),
            ("/a b#c", "http://203.0.113.7 --request-target '/a b#c'"),
            (
                "http://x/",
                "http://203.0.113.7 --request-target 'http://x/'",
            ),
            ("*", "http://203.0.113.7 --request-target '*'"),
        ] {
            let raw = format!(
                "GET {target} HTTP/1.1\r\nHost: 203.0.113.7\r\nUser-Agent: a\r\nAccept: */*\r\n\r\n"
            );
            check(raw, &format!("curl -q {words} -A 'a'"));
        }
    }

    #[test]
    fn what_curl_cannot_send_goes_through_nc() {
        for (raw, format) in [
            (
                &b"GET / HTTP/1.1\nHost: a\n\n"[..],
                r"GET / HTTP/1.1\nHost: a\n\n",
            ),
            (
                b"GET / HTTP/1.1\r\nConnection: x\r\nA: b\r\n\r\n",
                r"GET / HTTP/1.1\r\nConnection: x\r\nA: b\r\n\r\n",
            ),
            (
                b"GET / HTTP/1.1\r\n@/etc/passwd: \r\n\r\n",
                r"GET / HTTP/1.1\r\n@/etc/passwd: \r\n\r\n",
            ),
            (
                b"GET / HTTP/1.1\r\nExpect: a\r\n\r\nb",
                r"GET / HTTP/1.1\r\nExpect: a\r\n\r\nb",
            ),
            (
                b"GET / HTTP/1.1\r\nA: \xe4\r\n\r\n",
                r"GET / HTTP/1.1\r\nA: \344\r\n\r\n",
            ),
            (b"\x16\x03\x01\x000", r"\026\003\001\0000"),
            (
                b"-%s\\n'; id; '\t$(id)\x7f",
                r"\055\045s\134n\047; id; \047\011$(id)\177",
            ),
            (b"", ""),
        ] {
            check(raw, &format!("printf '{format}' | nc 203.0.113.7 80"));
        }
    }

    #[test]
    fn what_is_too_long_to_paste_is_downloaded() {
        check(
            [b'a'; 9000],
            &format!("curl -q -s {RAW_URL} | nc 203.0.113.7 80"),
        );
        check(
            [0xff; 3000],
            &format!("curl -q -s {RAW_URL} | nc 203.0.113.7 80"),
        );
    }

    #[test]
    fn a_host_comes_with_or_without_a_port_and_never_as_an_option() {
        for (host, nc, curl) in [
            ("a.example", "a.example 80", "http://a.example/"),
            ("a:8080", "a 8080", "http://a:8080/"),
            ("a:80", "a 80", "http://a/"),
            ("[::1]", "::1 80", "'http://[::1]/'"),
            ("[::1]:81", "::1 81", "'http://[::1]:81/'"),
            ("::1", "::1 80", "'http://[::1]/'"),
            ("-e/bin/sh", "localhost 80", "http://localhost/"),
            ("a;id", "localhost 80", "http://localhost/"),
            ("a:99999", "localhost 80", "http://localhost/"),
            ("", "localhost 80", "http://localhost/"),
        ] {
            assert_eq!(
                replay(b"x", host, RAW_URL).line,
                format!("printf 'x' | nc {nc}")
            );
            let raw = b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\nAccept: */*\r\n\r\n";
            assert_eq!(
                replay(raw, host, RAW_URL).line,
                format!("curl -q {curl} -H 'Host: x' -A 'y'")
            );
        }
    }

    #[test]
    fn no_byte_leaves_its_quotes_or_the_line() {
        for byte in 0..=255 {
            for raw in [
                &[byte][..],
                &[
                    b"GET /",
                    &[byte][..],
                    b" HTTP/1.1\r\nA: ",
                    &[byte],
                    b"\r\n\r\n",
                    &[byte],
                ]
                .concat(),
            ] {
                let line = replay(raw, "a", RAW_URL).line;
                assert!(
                    line.bytes().all(|byte| matches!(byte, b' '..=b'~')),
                    "{line}"
                );
                assert_eq!(
                    line.replace(r"'\''", "").matches('\'').count() % 2,
                    0,
                    "{line}"
                );
            }
        }
    }
}
