//! Makes one line. The line of a request has the fields of its JSON in `export/json.rs`. The fields
//! of a gap are here.
//!
//! In: a request or a gap. Out: a line of JSON with `event_type` as the first field.

use serde::Serialize;

use crate::export::json;
use crate::history::keeper::Gap;
use crate::reader::Entry;
use crate::rfc3339;

/// Replaces the brace with which the JSON of a request begins.
const REQUEST: &[u8] = b"{\"event_type\":\"request\",";

/// The reason why requests have no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// They left the ring before the viewer saw them: more came than it can describe.
    LeftTheRing,
    /// The queue was full: the program that reads the lines is too slow.
    SlowReader,
    /// The line could not be made, which is a bug.
    NoLine,
}

/// Requests that have no line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missing {
    pub(super) reason: Reason,
    pub(super) gap: Gap,
}

#[derive(Serialize)]
struct GapLine {
    event_type: &'static str,
    timestamp: String,
    reason: Reason,
    requests: u64,
    first_seq: u64,
    last_seq: u64,
    since: String,
    until: String,
}

/// Adds the line of a request. With `raw`, the line has the request's bytes.
pub(super) fn add_request(lines: &mut Vec<u8>, entry: &Entry, raw: bool) {
    let json = json::request(entry, raw);
    lines.extend_from_slice(REQUEST);
    lines.extend_from_slice(json.get(1..).unwrap_or_default());
    lines.push(b'\n');
}

/// Adds the line of a gap, which says how many requests have no line.
pub(super) fn add_gap(lines: &mut Vec<u8>, missing: &Missing) {
    let Missing { reason, gap } = *missing;
    let until = rfc3339::micros(gap.until);
    let line = json::to_string(&GapLine {
        event_type: "gap",
        timestamp: until.clone(),
        reason,
        requests: gap.requests,
        first_seq: gap.first,
        last_seq: gap.last,
        since: rfc3339::micros(gap.since),
        until,
    });
    lines.extend_from_slice(line.as_bytes());
    lines.push(b'\n');
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::reader::entry::tests::{entry, record};

    #[test]
    fn a_line_is_what_an_export_has_with_the_event_before_it() {
        let entry = entry(record(b"GET /\n\x1b HTTP/1.1\r\n\r\n"));
        for raw in [true, false] {
            let mut lines = Vec::new();
            add_request(&mut lines, &entry, raw);
            let line = String::from_utf8(lines).unwrap();
            assert_eq!(line.matches('\n').count(), 1);
            let mut value: serde_json::Value = serde_json::from_str(&line).unwrap();
            let event = value.as_object_mut().unwrap().remove("event_type").unwrap();
            assert_eq!(event, "request");
            let json: serde_json::Value =
                serde_json::from_slice(&json::request(&entry, raw)).unwrap();
            assert_eq!(value, json);
            assert_eq!(value.get("raw_base64").is_some(), raw);
        }
    }

    #[test]
    fn a_gap_says_which_numbers_are_missing_and_why() {
        let gap = Gap {
            first: 3,
            last: 9,
            requests: 5,
            since: Timestamp::UNIX_EPOCH,
            until: Timestamp::UNIX_EPOCH,
        };
        let missing = Missing {
            reason: Reason::SlowReader,
            gap,
        };
        let mut lines = Vec::new();
        add_gap(&mut lines, &missing);
        let time = "1970-01-01T00:00:00.000000Z";
        let expected = format!(
            "{{\"event_type\":\"gap\",\"timestamp\":\"{time}\",\"reason\":\"slow_reader\",\"requests\":5,\
             \"first_seq\":3,\"last_seq\":9,\"since\":\"{time}\",\"until\":\"{time}\"}}\n"
        );
        assert_eq!(String::from_utf8(lines).unwrap(), expected);
    }
}
