//! A request as a curl command.
//!
//! In: the bytes of a request. Out: the command with which curl sends exactly these bytes, if there
//! is one. It was compared with curl 7.74, 7.88, 8.15 and 8.22. curl ends lines with CR LF, and its
//! arguments can only be text.

use std::net::Ipv4Addr;

use super::{Endpoint, quote, word};

/// `-q` must come first: a `~/.curlrc` may add headers, follow redirects, or ask for compression.
pub(super) const CURL: &str = "curl -q";
/// The Content-Type that curl sends by default.
const FORM: &str = "application/x-www-form-urlencoded";
/// The value of Accept that curl sends by default.
const ANYTHING: &str = "*/*";

/// Returns the curl command that sends `raw`, or `None` where any version since 7.74 would send
/// other bytes.
pub(super) fn line(raw: &[u8], endpoint: Endpoint<'_>) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let (first, rest) = head.split_once("\r\n").unwrap_or((head, ""));
    let (method, behind) = first.split_once(' ')?;
    let (target, version) = behind.rsplit_once(' ')?;
    let lines = Lines::new(rest);
    let is_text = is_printable(method) && is_printable(target) && is_printable(body);
    if !is_text || !lines.are_printable() {
        return None;
    }
    let mut words = vec![CURL.to_owned()];
    words.extend(method_options(method, !body.is_empty())?);
    match version {
        "HTTP/1.1" => {}
        "HTTP/1.0" => words.push("--http1.0".to_owned()),
        _ => return None,
    }
    let host = host(endpoint);
    words.push(address(&host, target)?);
    let own_host = is_kept_as_host(endpoint.name).then_some(&*host);
    words.extend(lines.options(own_host, body)?);
    if !body.is_empty() {
        // Not -d: a body that begins with @ would name a file of the visitor.
        words.push(format!("--data-raw {}", quote(body)));
    }
    Some(words.join(" "))
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Returns the options for a method; `None` if curl cannot send it.
fn method_options(method: &str, has_body: bool) -> Option<Vec<String>> {
    match (method, has_body) {
        ("GET", false) | ("POST", true) => Some(Vec::new()),
        ("HEAD", false) => Some(vec!["-I".to_owned()]),
        // With -X HEAD, curl would wait for the body of the answer, which does not come.
        ("HEAD", true) => None,
        _ if is_method(method) => Some(vec![format!("-X {method}")]),
        _ => None,
    }
}

fn is_method(method: &str) -> bool {
    let is_of_method = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    method.starts_with(|first: char| first.is_ascii_alphabetic())
        && method.bytes().all(is_of_method)
}

/// Returns the host and port as in a URL.
fn host(endpoint: Endpoint<'_>) -> String {
    let Endpoint { name, port } = endpoint;
    let name = if name.contains(':') {
        format!("[{name}]")
    } else {
        name.to_owned()
    };
    match port {
        80 => name,
        port => format!("{name}:{port}"),
    }
}

/// Tells whether curl sends `name` unchanged in its own Host header. It rewrites numbers (`127.1`)
/// and IPv6 addresses.
fn is_kept_as_host(name: &str) -> bool {
    let last_label = name.rsplit('.').next().unwrap_or_default();
    name.parse::<Ipv4Addr>().is_ok()
        || last_label.starts_with(|first: char| first.is_ascii_lowercase())
            && *name == name.to_ascii_lowercase()
}

/// Returns the URL, and the options without which curl would send another target.
fn address(host: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return None;
    }
    if !target.starts_with('/') || target.contains([' ', '#']) || is_changed(target) {
        let url = word(&format!("http://{host}"));
        return Some(format!("{url} --request-target {}", quote(target)));
    }
    let mut address = String::new();
    if target.contains(['[', ']', '{', '}']) {
        address.push_str("-g ");
    }
    let path = target.split('?').next().unwrap_or_default();
    if path.split('/').any(|part| matches!(part, "." | "..")) {
        address.push_str("--path-as-is ");
    }
    address.push_str(&word(&format!("http://{host}{target}")));
    Some(address)
}

/// Tells whether some versions of curl 8 change this target: they turn %2f into %2F, read %2e as a
/// dot, or drop a `?` at the end.
fn is_changed(target: &str) -> bool {
    let mut escapes = target.as_bytes().windows(3);
    target.ends_with('?') || escapes.any(is_changed_escape)
}

fn is_changed_escape(escape: &[u8]) -> bool {
    let [b'%', high, low] = *escape else {
        return false;
    };
    if !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit() {
        return false;
    }
    high.is_ascii_lowercase() || low.is_ascii_lowercase() || escape == b"%2E"
}

/// The header lines of a request. Lines that curl sends by itself are taken out one by one.
struct Lines<'a>(Vec<&'a str>);

impl<'a> Lines<'a> {
    fn new(lines: &'a str) -> Self {
        if lines.is_empty() {
            return Self(Vec::new());
        }
        Self(lines.split("\r\n").collect())
    }

    fn are_printable(&self) -> bool {
        self.0.iter().all(|line| is_printable(line))
    }

    fn are_sent_as_is(&self) -> bool {
        let Some((last, others)) = self.0.split_last() else {
            return true;
        };
        is_sent_as_is(last, true) && others.iter().all(|line| is_sent_as_is(line, false))
    }

    /// Returns the options with which curl sends these lines in this order. `host` is the value of
    /// curl's own Host header.
    ///
    /// curl sends Host, User-Agent, Accept, then the headers of -H, then Content-Length and
    /// Content-Type. A -H replaces curl's own header of the same name. Host then stays in its
    /// place; other headers move to the place of the -H. `-H 'Name:'` removes curl's own header.
    /// After curl's own Host is removed, a second -H may send any Host.
    fn options(mut self, host: Option<&str>, body: &str) -> Option<Vec<String>> {
        if !self.are_sent_as_is() {
            return None;
        }
        let mut options = Vec::new();
        match self.take(0, "Host") {
            Some(value) if host == Some(value) => {}
            Some(value) => options.push(format!("-H {}", quote(&format!("Host: {value}")))),
            None => options.push("-H 'Host:'".to_owned()),
        }
        match self.take(0, "User-Agent") {
            Some(value) => options.push(format!("-A {}", quote(value))),
            None => options.extend(self.silence("User-Agent")),
        }
        if !self.take_if(0, "Accept", ANYTHING) {
            options.extend(self.silence("Accept"));
        }
        if !body.is_empty() {
            let length = body.len().to_string();
            for (name, default) in [("Content-Type", FORM), ("Content-Length", &length)] {
                let last = self.0.len().saturating_sub(1);
                if !self.take_if(last, name, default) {
                    options.extend(self.silence(name));
                }
            }
        }
        for line in self.0 {
            let option = match line.split_once(':') {
                Some((name, "")) => quote(&format!("{name};")),
                _ => quote(line),
            };
            options.push(format!("-H {option}"));
        }
        Some(options)
    }

    /// Returns the option that removes curl's own header, if the request has no such header.
    fn silence(&self, name: &str) -> Option<String> {
        let is_there = self.0.iter().any(|line| is_named(line, name));
        (!is_there).then(|| format!("-H '{name}:'"))
    }

    /// Takes out the line at this place, if curl sends such a header there by itself. Returns its
    /// value.
    fn take(&mut self, place: usize, name: &str) -> Option<&'a str> {
        let value = self.only(place, name)?;
        self.0.remove(place);
        Some(value)
    }

    /// Takes out the line at this place, if it is the header `name` with this value. Tells whether
    /// it was.
    fn take_if(&mut self, place: usize, name: &str, value: &str) -> bool {
        let has_it = self.only(place, name) == Some(value);
        if has_it {
            self.0.remove(place);
        }
        has_it
    }

    /// Returns the value of the line at this place, if it has this name and no other line has it.
    fn only(&self, place: usize, name: &str) -> Option<&'a str> {
        let value = value_of(self.0.get(place)?, name)?;
        let others = self.0.iter().filter(|line| is_named(line, name));
        (others.count() == 1).then_some(value)
    }
}

/// Tells whether `-H` sends exactly this line.
fn is_sent_as_is(line: &str, is_last: bool) -> bool {
    // Without a colon, curl sends nothing; with @ at the beginning, it sends a file.
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
        // Since 8.16 or 8.17, curl always sends this header last and in this spelling.
        "connection" => is_last && value_of(line, "Connection").is_some(),
        _ => is_name && (value.is_empty() || !value.trim().is_empty()),
    }
}

/// Returns the value of a line `Name: value`, if it is written as curl writes its own headers.
fn value_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.strip_prefix(name)?.strip_prefix(": ")?;
    (!value.is_empty() && value.trim() == value).then_some(value)
}

/// Tells whether the line has this name, in upper or lower case: curl ignores case.
fn is_named(line: &str, name: &str) -> bool {
    let found = line.split(':').next().unwrap_or_default();
    found.eq_ignore_ascii_case(name)
}
