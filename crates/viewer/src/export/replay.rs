//! A request as a shell line that sends the same bytes again.
//!
//! In: the bytes of a request, and where to send them. Out: one line for a POSIX shell: `curl` if
//! that sends exactly these bytes, `printf` into `nc` if not, a download into `nc` if that were too
//! long. Promises: printable ASCII only, the bytes never leave their quotes, and no host but the
//! given one is contacted. It does not outwit the visitor's own environment: where `http_proxy` is
//! set, curl asks the proxy; `--noproxy '*'` on every line is too much to read for that.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Serialize;

/// The longest line to paste; terminals and people give up beyond.
const MAX_LINE_BYTES: usize = 8 * 1024;
/// `-q` must come first: a `~/.curlrc` may add headers, follow redirects, or ask for compression.
const CURL: &str = "curl -q";
/// What curl says a body is, unless told otherwise.
const FORM: &str = "application/x-www-form-urlencoded";

/// A shell line that sends the bytes of a request again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// The program that sends: `curl` or `nc`.
    pub tool: &'static str,
    /// The line: printable ASCII, without a line break.
    pub line: String,
    /// It downloads the bytes by their number, and so works only as long as they are kept.
    pub downloads: bool,
}

/// Returns the line that sends `raw` to `host`.
///
/// `host` is as in a Host header: a name or an address, brackets round one with colons, perhaps a
/// port; `localhost` stands for anything else. `raw_url` is where the bytes can be downloaded.
///
/// The printf line is POSIX: format escapes are `\r`, `\n` and three octal digits. `nc` is called
/// without options, which differ between its makes; it ends when the peer closes.
#[must_use]
pub fn replay(raw: &[u8], host: &str, raw_url: &str) -> Replay {
    let (name, port) = endpoint(host).unwrap_or(("localhost", 80));
    let fits = |line: &String| line.len() <= MAX_LINE_BYTES;
    if raw.len() <= MAX_LINE_BYTES {
        if let Some(line) = curl(raw, name, port).filter(fits) {
            return Replay {
                tool: "curl",
                line,
                downloads: false,
            };
        }
        if let Some(line) =
            Some(format!("printf '{}' | nc {name} {port}", printf(raw))).filter(fits)
        {
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

/// Splits what a Host header may say into name and port. A leading `-` would be an option of nc.
fn endpoint(host: &str) -> Option<(&str, u16)> {
    let (name, port) = match host.rsplit_once(':') {
        // The last colon of an IPv6 address does not begin a port.
        Some((name, port)) if !port.ends_with(']') && host.parse::<Ipv6Addr>().is_err() => {
            (name, port.parse().ok()?)
        }
        _ => (host, 80),
    };
    let name = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    let is_name = name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    (is_name || name.parse::<Ipv6Addr>().is_ok()).then_some((name, port))
}

/// Returns the curl line that sends `raw`, or `None` where any curl since 7.74 sends other bytes.
///
/// Compared were 7.74, 7.88, 8.15 and 8.22. curl ends lines with CR LF and takes nothing but text.
fn curl(raw: &[u8], name: &str, port: u16) -> Option<String> {
    let (head, body) = std::str::from_utf8(raw).ok()?.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let (method, rest) = lines.next()?.split_once(' ')?;
    let (target, version) = rest.rsplit_once(' ')?;
    let lines: Vec<_> = lines.collect();
    if !lines
        .iter()
        .chain([&method, &target, &body])
        .all(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~')))
    {
        return None;
    }
    let mut words = vec![CURL.to_owned()];
    match (method, body.is_empty()) {
        ("GET", true) | ("POST", false) => {}
        ("HEAD", true) => words.push("-I".to_owned()),
        // After -X HEAD, curl would wait for a body that does not come.
        ("HEAD", false) => return None,
        _ if is_method(method) => words.push(format!("-X {method}")),
        _ => return None,
    }
    match version {
        "HTTP/1.1" => {}
        "HTTP/1.0" => words.push("--http1.0".to_owned()),
        _ => return None,
    }
    let host = if name.contains(':') {
        format!("[{name}]")
    } else {
        name.to_owned()
    };
    let host = if port == 80 {
        host
    } else {
        format!("{host}:{port}")
    };
    words.push(address(&host, target)?);
    words.extend(headers(
        lines,
        Some(host).filter(|_| is_kept_as_host(name)),
        body,
    )?);
    if !body.is_empty() {
        // Not -d: a body that begins with @ would name a file of the visitor.
        words.push(format!("--data-raw {}", quote(body)));
    }
    Some(words.join(" "))
}

fn is_method(method: &str) -> bool {
    method.starts_with(|first: char| first.is_ascii_alphabetic())
        && method
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Whether curl's own Host header says `name`: it rewrites numbers (`127.1`) and IPv6 addresses.
fn is_kept_as_host(name: &str) -> bool {
    let last_label = name.rsplit('.').next().unwrap_or_default();
    name.parse::<Ipv4Addr>().is_ok()
        || last_label.starts_with(|first: char| first.is_ascii_lowercase())
            && *name == name.to_ascii_lowercase()
}

/// Returns the URL, and the options without which curl would send another target.
fn address(host: &str, target: &str) -> Option<String> {
    // Some curl 8 turn %2f into %2F, take %2e for a dot, or drop a `?` at the end.
    let is_changed = |escape: &[u8]| match *escape {
        [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
            a.is_ascii_lowercase() || b.is_ascii_lowercase() || (a, b) == (b'2', b'E')
        }
        _ => false,
    };
    if target.is_empty() {
        return None;
    }
    if !target.starts_with('/')
        || target.contains([' ', '#'])
        || target.ends_with('?')
        || target.as_bytes().windows(3).any(is_changed)
    {
        return Some(format!(
            "{} --request-target {}",
            word(&format!("http://{host}")),
            quote(target)
        ));
    }
    let path = target.split('?').next().unwrap_or_default();
    let glob = if target.contains(['[', ']', '{', '}']) {
        "-g "
    } else {
        ""
    };
    let as_is = if path.split('/').any(|part| matches!(part, "." | "..")) {
        "--path-as-is "
    } else {
        ""
    };
    Some(format!(
        "{glob}{as_is}{}",
        word(&format!("http://{host}{target}"))
    ))
}

/// Returns the options that make curl send these header lines, in this order.
///
/// curl sends Host, User-Agent, Accept, then what -H says, then Content-Length and Content-Type. A
/// -H of the same name replaces one of its own: Host stays in its place, the others move to where
/// the -H is. `-H 'Name:'` sends nothing; once it has silenced curl's own Host, a second -H may
/// send any.
fn headers(mut lines: Vec<&str>, host: Option<String>, body: &str) -> Option<Vec<String>> {
    let end = lines.len();
    if !lines
        .iter()
        .zip(1..)
        .all(|(line, place)| is_sent_as_is(line, place == end))
    {
        return None;
    }
    let mut options = Vec::new();
    match take(&mut lines, 0, "Host", |_| true) {
        Some(value) if host.is_some_and(|host| host == value) => {}
        Some(value) => options.push(format!("-H {}", quote(&format!("Host: {value}")))),
        None => options.push("-H 'Host:'".to_owned()),
    }
    match take(&mut lines, 0, "User-Agent", |_| true) {
        Some(value) => options.push(format!("-A {}", quote(value))),
        None => options.extend(silence(&lines, "User-Agent")),
    }
    if take(&mut lines, 0, "Accept", |value| value == "*/*").is_none() {
        options.extend(silence(&lines, "Accept"));
    }
    if !body.is_empty() {
        for (name, default) in [
            ("Content-Type", FORM),
            ("Content-Length", &body.len().to_string()),
        ] {
            let last = lines.len().saturating_sub(1);
            if take(&mut lines, last, name, |value| value == default).is_none() {
                options.extend(silence(&lines, name));
            }
        }
    }
    options.extend(lines.into_iter().map(|line| match line.split_once(':') {
        Some((name, "")) => format!("-H {}", quote(&format!("{name};"))),
        _ => format!("-H {}", quote(line)),
    }));
    Some(options)
}

/// Returns the option that keeps curl from sending a header that is not among the lines.
fn silence(lines: &[&str], name: &str) -> Option<String> {
    (!lines.iter().any(|line| is_named(line, name))).then(|| format!("-H '{name}:'"))
}

/// Whether `-H` sends exactly this line.
fn is_sent_as_is(line: &str, is_last: bool) -> bool {
    // Without a colon, curl sends nothing; with @ in front, a file.
    let Some((name, value)) = line.split_once(':') else {
        return false;
    };
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    match name.to_ascii_lowercase().as_str() {
        // curl would encode the body in chunks, or wait for the server before the body.
        "transfer-encoding" | "expect" => false,
        // Since 8.16 or 8.17, the last in any case, and spelled like this.
        "connection" => is_last && value_of(line, "Connection").is_some(),
        _ => is_name && (value.is_empty() || !value.trim().is_empty()),
    }
}

/// Returns the value of a line that reads `Name: value`, as curl writes its own.
fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.strip_prefix(name)?.strip_prefix(": ")?;
    (!value.is_empty() && value.trim() == value).then_some(value)
}

/// Whether the line has this name, in any spelling: curl ignores case.
fn is_named(line: &str, name: &str) -> bool {
    line.split(':')
        .next()
        .is_some_and(|found| found.eq_ignore_ascii_case(name))
}

/// Takes out the header that curl sends at this place by itself, if it is the only one of its name.
fn take<'a>(
    lines: &mut Vec<&'a str>,
    place: usize,
    name: &str,
    is_wanted: impl Fn(&str) -> bool,
) -> Option<&'a str> {
    let value = value_of(lines.get(place)?, name).filter(|value| is_wanted(value))?;
    let is_only = lines.iter().filter(|line| is_named(line, name)).count() == 1;
    is_only.then(|| {
        lines.remove(place);
        value
    })
}

/// Quotes for a POSIX shell: only the quote itself is special in single quotes.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Quotes what some shell might not take as it is.
fn word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,+@%".contains(&byte);
    if text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        quote(text)
    }
}

/// Returns the format with which printf writes these bytes, fit for single quotes.
fn printf(raw: &[u8]) -> String {
    let mut format = String::with_capacity(raw.len());
    for (place, &byte) in raw.iter().enumerate() {
        match byte {
            b'\r' => format.push_str(r"\r"),
            b'\n' => format.push_str(r"\n"),
            // In front, it would begin an option.
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
