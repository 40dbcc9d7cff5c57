//! Small services: users, logs, news and monitoring.

use super::reading::{
    Found, big, found_line, found_with, is_graphic, is_number, is_one_of, is_only_line, is_text,
    line, need, until_nul, words,
};

/// RFC 1288, 2.3: a query with `/W` (in full), which is no word of another protocol.
pub(super) fn finger(bytes: &[u8]) -> Option<Found> {
    let words = words(bytes);
    let (first, users) = words.split_first()?;
    need(first.eq_ignore_ascii_case(b"/W") && users.len() <= 1)?;
    need(is_only_line(bytes, line(bytes)))?;
    let user = users.first().copied().unwrap_or(b"everybody");
    found_with(2, [b"asks for ", user].concat())
}

/// RFC 1413, 3: two ports with a comma between them, and nothing more.
pub(super) fn ident(bytes: &[u8]) -> Option<Found> {
    let mut ports = line(bytes).split(|&byte| byte == b',');
    let is_port = |text: Option<&[u8]>| {
        let text = text.unwrap_or_default().trim_ascii();
        is_number(text) && text.len() <= 5
    };
    need(is_port(ports.next()) && is_port(ports.next()) && ports.next().is_none())?;
    need(is_only_line(bytes, line(bytes)))?;
    found_line(bytes)
}

/// RFC 5424, 6.2.1 and RFC 3164, 4.1: `<`, a priority up to 191, `>`, then version 1 or a month.
/// RFC 6587, 3.4.1: a length may stand before it.
pub(super) fn syslog(bytes: &[u8]) -> Option<Found> {
    let text = line(bytes);
    let start = text.iter().position(|&byte| byte == b'<')?;
    need(start == 0 || is_number(text.get(..start)?.strip_suffix(b" ")?))?;
    let end = text.iter().position(|&byte| byte == b'>')?;
    let priority = text.get(start + 1..end)?;
    let rest = text.get(end + 1..)?;
    let number: u16 = std::str::from_utf8(priority).ok()?.parse().ok()?;
    need(is_number(priority) && number <= 191)?;
    need(rest.starts_with(b"1 ") || MONTHS.iter().any(|month| rest.starts_with(month)))?;
    found_with(end + 1, rest)
}

/// The months as syslog writes them, each with the space behind it.
const MONTHS: [&[u8]; 12] = [
    b"Jan ", b"Feb ", b"Mar ", b"Apr ", b"May ", b"Jun ", b"Jul ", b"Aug ", b"Sep ", b"Oct ",
    b"Nov ", b"Dec ",
];

/// RFC 3977, 3 and 5; RFC 4643 for `AUTHINFO`: commands that only this protocol has.
pub(super) fn nntp(bytes: &[u8]) -> Option<Found> {
    let words = words(bytes);
    let (verb, values) = words.split_first()?;
    let is_nntp = match values {
        [] => is_one_of(verb, &["CAPABILITIES", "NEWGROUPS"]),
        [what] => {
            (is_one_of(verb, &["MODE"]) && is_one_of(what, &["READER", "STREAM"]))
                || (is_one_of(verb, &["GROUP", "LISTGROUP"]) && what.contains(&b'.'))
                || (is_one_of(verb, &["LIST"]) && is_one_of(what, &["ACTIVE", "NEWSGROUPS"]))
        }
        [what, ..] => is_one_of(verb, &["AUTHINFO"]) && is_one_of(what, &["USER", "PASS", "SASL"]),
    };
    need(is_nntp && is_text(bytes))?;
    found_line(bytes)
}

/// NRPE, `common.h`: a version of 2 to 4, a query (1), a checksum, a result code; then the name of
/// a check.
pub(super) fn nrpe(bytes: &[u8]) -> Option<Found> {
    let (version, kind) = (big(bytes, 0..2)?, big(bytes, 2..4)?);
    need((2..=4).contains(&version) && kind == 1)?;
    let check = match version {
        // 1,024 bytes for the name, and two bytes of padding.
        2 => {
            need(bytes.len() == 1036)?;
            until_nul(bytes.get(10..)?)
        }
        _ => {
            let length = big(bytes, 12..16)?;
            need(length > 0 && length <= 1024)?;
            until_nul(bytes.get(16..)?)
        }
    };
    let name = check.split(|&byte| byte == b'!').next()?;
    need(is_graphic(name))?;
    found_with(10, [b"asks for ", name].concat())
}
