//! JSON, HTTP archive and page show the same of a head, and the same that framing uses.

use std::sync::Arc;

use forever200_identify::Labeller;
use forever200_ring::{Ended, Record};
use forever200_testkit::heads::{Case, End, HEADS};
use forever200_testkit::record;
use forever200_viewer::bytes::printable::{self, LineFeeds};
use forever200_viewer::export::{har, json};
use forever200_viewer::page::detail::Detail;
use forever200_viewer::reader::Describer;
use forever200_viewer::reader::entry::{Entry, text};
use forever200_viewer::reader::locations::Locations;
use forever200_viewer::reader::privacy::Privacy;
use serde_json::{Value, json};

/// Returns a request as the responder records it. The responder has a test with the same table.
fn recorded(case: &Case) -> Record {
    let (ended, extra) = match case.end {
        End::Whole(extra) => (Ended::Complete, extra),
        End::Open | End::Unfinished => (Ended::Quiet, 0),
    };
    Record {
        extra,
        ended,
        ..record(7, case.bytes)
    }
}

/// Returns the text of the pieces that a page shows.
fn shown(pieces: &Value) -> String {
    let pieces = pieces.as_array().into_iter().flatten();
    pieces.filter_map(|piece| piece["text"].as_str()).collect()
}

/// Returns the text that the page makes of bytes.
fn printed(bytes: &[u8]) -> String {
    let pieces = printable::pieces(bytes, LineFeeds::Sent);
    pieces.map(|piece| piece.text).collect()
}

#[test]
fn every_reader_of_a_head_says_the_same() {
    let describer = Describer {
        labeller: Arc::new(Labeller::built_in()),
        locations: Locations::default(),
        privacy: Privacy::default(),
    };
    let mut of_http = 0;
    for case in HEADS {
        let name = case.bytes.escape_ascii().to_string();
        let entry = Entry::new(&recorded(case), 1, &describer);
        let json: Value = serde_json::from_slice(&json::request(&entry, false)).expect("JSON");
        let archive: Value = serde_json::from_slice(&har::archive().whole([&entry])).expect("JSON");
        let Some([method, target, version]) = case.line.filter(|_| json["protocol"] == "http")
        else {
            let others = [
                "rtsp", "sip", "icap", "http2", "unknown", "smtp", "ssh", "redis", "tls",
            ];
            let has_head_of_another = case
                .line
                .is_some_and(|line| !line[2].starts_with(b"HTTP/1"));
            let is_other = others.iter().any(|other| json["protocol"] == *other);
            assert!(
                case.line.is_none() || has_head_of_another && is_other,
                "{name}: {json}"
            );
            assert!(json["http"].is_null(), "{name}");
            continue;
        };
        of_http += 1;
        let fields: Vec<_> = case
            .fields
            .iter()
            .map(|(name, value)| json!([text(name), text(value)]))
            .collect();
        let http = &json["http"];
        assert_eq!(http["method"], text(method), "{name}");
        assert_eq!(http["target"], text(target), "{name}");
        assert_eq!(http["version"], text(version), "{name}");
        assert_eq!(http["headers"], json!(fields), "{name}");
        assert_eq!(http["body_bytes"], case.body, "{name}");
        assert_eq!(entry.incomplete, case.end == End::Unfinished, "{name}");

        let request = &archive["log"]["entries"][0]["request"];
        let fields: Vec<_> = case
            .fields
            .iter()
            .map(|(name, value)| json!({ "name": text(name), "value": text(value) }))
            .collect();
        assert_eq!(request["method"], text(method), "{name}");
        assert_eq!(request["httpVersion"], text(version), "{name}");
        assert_eq!(request["headers"], json!(fields), "{name}");
        assert_eq!(request["bodySize"], case.body, "{name}");

        let page =
            serde_json::to_value(Detail::new(&entry, "localhost", &describer)).expect("JSON");
        let on_page: Vec<_> = page["headers"]["shown"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|field| (shown(&field["name"]), shown(&field["value"])))
            .collect();
        let expected: Vec<_> = case
            .fields
            .iter()
            .map(|(name, value)| (printed(name), printed(value)))
            .collect();
        assert_eq!(on_page, expected, "{name}");
        assert_eq!(shown(&page["version"]), printed(version), "{name}");
    }
    assert!(of_http > 110, "{of_http}");
}
