//! Records to pages: what the templates are given.
//!
//! In: records as [`Request`]. Out: HTML and plain text. The template escapes; what is made here
//! is visible text only.

use std::fmt::Write;

use forever200_identify::http;
use forever200_ring::{Record, SLOTS, Snapshot};
use jiff::Timestamp;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

use crate::api::{List, Request};
use crate::printable::{self, Piece};

/// The style sheet, served under an address that changes with it.
pub const STYLE: &str = include_str!("../static/style.css");
/// The icon. Without one on the page, browsers ask for /favicon.ico, which would be recorded.
pub const ICON: &str = include_str!("../static/icon.svg");
/// Bytes on a line of the hex dump.
const HEX_COLUMNS: usize = 16;

/// The templates, ready to render.
pub struct Pages(Environment<'static>);

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    request: &'a Request<'a>,
    source: String,
    age: String,
    time: String,
}

#[derive(Serialize)]
struct HeaderRow {
    name: Vec<Piece>,
    value: Vec<Piece>,
}

impl Pages {
    /// Compiles the templates.
    ///
    /// # Panics
    /// A template does not compile, which a test would have found.
    #[must_use]
    pub fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // The names end in .html: that is what turns escaping on.
        for (name, source) in [
            ("base.html", include_str!("../templates/base.html")),
            ("home.html", include_str!("../templates/home.html")),
            ("request.html", include_str!("../templates/request.html")),
            ("message.html", include_str!("../templates/message.html")),
            ("macros.html", include_str!("../templates/macros.html")),
        ] {
            environment.add_template(name, source).expect("the templates compile");
        }
        environment.add_global("style", asset_address("style.css", STYLE));
        environment.add_global("icon", asset_address("icon.svg", ICON));
        Self(environment)
    }

    /// Renders the list. `host` is the name by which the visitor knows this machine.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn home(&self, snapshot: &Snapshot, host: &str) -> anyhow::Result<String> {
        let now = Timestamp::now();
        let list = List::new(snapshot, SLOTS as usize, false);
        let rows: Vec<_> = list.requests.iter().map(|request| Row::new(request, now)).collect();
        let list = Serde(&list);
        let (rows, unreadable) = (Serde(&rows), snapshot.unreadable);
        self.render("home.html", context! { list, rows, unreadable, host })
    }

    /// Renders one request.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn request(&self, record: &Record) -> anyhow::Result<String> {
        let request = Request::new(record, false);
        let row = Row::new(&request, Timestamp::now());
        let http = http::parse(&record.raw);
        let body = http.as_ref().map(|http| printable::pieces(http.body)).unwrap_or_default();
        let headers: Vec<_> = http.into_iter().flat_map(|http| http.headers).map(HeaderRow::new).collect();
        let (row, headers, body) = (Serde(&row), Serde(&headers), Serde(&body));
        let raw = printable::pieces(&record.raw);
        let (raw, hex) = (Serde(&raw), hex_dump(&record.raw));
        self.render("request.html", context! { row, headers, body, raw, hex })
    }

    /// Renders a page that says one thing: an error, most often.
    ///
    /// # Errors
    /// The template fails, which is a bug.
    pub fn message(&self, title: &str, text: &str, refresh: bool) -> anyhow::Result<String> {
        self.render("message.html", context! { title, text, refresh })
    }

    fn render(&self, template: &str, context: minijinja::Value) -> anyhow::Result<String> {
        Ok(self.0.get_template(template)?.render(context)?)
    }
}

impl Default for Pages {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Row<'a> {
    fn new(request: &'a Request<'a>, now: Timestamp) -> Self {
        let record = request.record;
        Self {
            request,
            source: source(record),
            age: age(now.as_second() - record.timestamp.as_second()),
            time: format!("{:.6}", record.timestamp),
        }
    }
}

impl HeaderRow {
    fn new((name, value): (&[u8], &[u8])) -> Self {
        Self { name: printable::pieces(name), value: printable::pieces(value) }
    }
}

/// Renders the list as plain text: a line each, the newest first, nothing that a terminal obeys.
#[must_use]
pub fn text(snapshot: &Snapshot) -> String {
    let list = List::new(snapshot, SLOTS as usize, false);
    let mut text = format!("{} requests so far, the last {}:\n\n", list.total, list.requests.len());
    for request in &list.requests {
        let Record { seq, timestamp, bytes, .. } = request.record;
        let source = source(request.record);
        writeln!(text, "{seq:>8}  {timestamp:.0}  {source:<21}  {bytes:>7} B  {}", request.summary)
            .expect("a String takes every write");
    }
    text
}

/// Returns the client's address and port, or that nobody knows it.
fn source(record: &Record) -> String {
    match (record.src_ip, record.src_port) {
        (ip, 0) if ip.is_unspecified() => "unknown".to_owned(),
        (ip, port) => std::net::SocketAddr::new(ip, port).to_string(),
    }
}

/// Returns how long ago something was, in its largest unit.
fn age(seconds: i64) -> String {
    match seconds {
        ..1 => "now".to_owned(),
        1..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// Returns offset, bytes and their ASCII characters, 16 bytes a line, as `hexdump -C` lays it out.
fn hex_dump(bytes: &[u8]) -> String {
    let mut dump = String::with_capacity(bytes.len() / HEX_COLUMNS * 79);
    for (line, chunk) in bytes.chunks(HEX_COLUMNS).enumerate() {
        let half = |half: &[u8]| half.iter().map(|byte| format!("{byte:02x} ")).collect::<String>();
        let (left, right) = chunk.split_at(chunk.len().min(HEX_COLUMNS / 2));
        let ascii: String =
            chunk.iter().map(|&byte| if matches!(byte, b' '..=b'~') { char::from(byte) } else { '.' }).collect();
        writeln!(dump, "{:08x}  {:<24} {:<24} |{ascii}|", line * HEX_COLUMNS, half(left), half(right))
            .expect("a String takes every write");
    }
    dump
}

/// Returns the address of an asset, with a hash of its content.
fn asset_address(name: &str, content: &str) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("/home/static/{name}?v={:08x}", hasher.finish() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hex_dump_looks_like_that_of_hexdump() {
        let dump = hex_dump(b"GET / HTTP/1.1\r\n\0\xff<");
        assert_eq!(
            dump,
            "00000000  47 45 54 20 2f 20 48 54  54 50 2f 31 2e 31 0d 0a  |GET / HTTP/1.1..|\n\
             00000010  00 ff 3c                                          |..<|\n"
        );
    }

    #[test]
    fn an_age_has_one_unit() {
        let ages = [-5, 0, 1, 59, 60, 3599, 3600, 86_399, 86_400, 864_000].map(age);
        let expected = [
            "now",
            "now",
            "1 s ago",
            "59 s ago",
            "1 min ago",
            "59 min ago",
            "1 h ago",
            "23 h ago",
            "1 d ago",
            "10 d ago",
        ];
        assert_eq!(ages, expected);
    }
}
