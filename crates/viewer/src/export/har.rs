//! Requests as an HTTP Archive, which browsers' developer tools and proxies open.
//!
//! In: entries. Out: HAR 1.2. What is not HTTP has no place in it and is left out.
//!
//! Format: <http://www.softwareishard.com/blog/har-12-spec/>.

use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_identify::http;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use serde_json::{Value, json};

use crate::bytes::decode::parameters;
use crate::export::json;
use crate::reader::entry::{Entry, text};

/// What a parser of addresses would stumble over.
const NOT_IN_AN_ADDRESS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Returns an archive of the HTTP requests among `entries`, the oldest first, as JSON.
///
/// One request is text before the next is laid out: as a tree of values, 101 with thousands of headers each
/// would take gigabytes.
#[must_use]
pub fn archive(entries: &[&Entry]) -> String {
    let creator = json!({ "name": "forever200", "version": env!("CARGO_PKG_VERSION") });
    let mut archive = format!(r#"{{"log":{{"version":"1.2","creator":{creator},"entries":["#);
    let requests = entries
        .iter()
        .rev()
        .filter_map(|entry| Some((entry, entry.http()?)));
    for (number, (entry, http)) in requests.enumerate() {
        archive += if number > 0 { "," } else { "" };
        archive += &json::to_string(&exchange(entry, &http));
    }
    archive + "]}}"
}

/// A name that begins with `_` is ours: HAR 1.2, "Custom fields".
fn exchange(entry: &Entry, http: &http::Request<'_>) -> Value {
    let record = &entry.record;
    // A number that no other connection has: a port that is not shown is none.
    let connection = if record.src_port == 0 {
        record.seq
    } else {
        record.src_port.into()
    };
    json!({
        "startedDateTime": format!("{:.6}", record.timestamp),
        "time": 0,
        "serverIPAddress": record.dest_ip,
        "connection": connection.to_string(),
        "request": request(entry, http),
        "response": {
            "status": 200,
            "statusText": "Ok",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [{ "name": "Content-Length", "value": "0" }, { "name": "Connection", "value": "close" }],
            "content": { "size": 0, "mimeType": "" },
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": 0,
        },
        "cache": {},
        "timings": { "send": 0, "wait": 0, "receive": 0 },
        "comment": comment(entry),
        "_seq": record.seq,
        "_src_ip": record.src_ip,
        "_src_prefix": entry.src_prefix,
        "_raw_base64": BASE64_STANDARD.encode(&record.raw),
    })
}

/// The titles of its labels.
fn comment(entry: &Entry) -> String {
    entry
        .labels
        .iter()
        .map(|label| &*label.signature.title)
        .collect::<Vec<_>>()
        .join("; ")
}

fn request(entry: &Entry, http: &http::Request<'_>) -> Value {
    let pair = |name: &[u8], value: &[u8]| json!({ "name": text(name), "value": text(value) });
    let (_, query) = http.path_and_query();
    let mut request = json!({
        "method": text(http.method),
        "url": address(entry, http.target),
        "httpVersion": text(http.version),
        "cookies": [],
        "headers": http.headers.iter().map(|it| pair(it.name, &it.plain_value())).collect::<Vec<_>>(),
        "queryString": parameters(query).iter().map(|(name, value)| pair(name, value)).collect::<Vec<_>>(),
        "headersSize": entry.record.raw.len() - http.behind_head.len(),
        "bodySize": http.body.len(),
    });
    if !http.body.is_empty() {
        let mime_type = http
            .values(b"content-type")
            .next()
            .map(text)
            .unwrap_or_default();
        request["postData"] = json!({ "mimeType": mime_type, "text": text(http.body) });
    }
    request
}

/// An address that any parser takes: at the address that the client connected to, whatever it called it.
fn address(entry: &Entry, target: &[u8]) -> String {
    let server = SocketAddr::new(entry.record.dest_ip, entry.record.dest_port);
    let slash = if target.starts_with(b"/") { "" } else { "/" };
    format!(
        "http://{server}{slash}{}",
        percent_encode(target, NOT_IN_AN_ADDRESS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::entry::tests::{entry, record};

    #[test]
    fn an_archive_has_the_http_requests_in_the_order_they_came() {
        let newer = entry(record(
            b"POST /b?x=%20y HTTP/1.0\r\nContent-Type: a/b\r\n\r\nhi\xff",
        ));
        let other = entry(record(b"\x16\x03\x01"));
        let older = entry(record(b"GET \"<a> b HTTP/1.1\r\n\r\n"));
        let archive: Value = serde_json::from_str(&archive(&[&newer, &other, &older])).unwrap();
        let entries = archive["log"]["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(
            entries[0]["request"]["url"],
            "http://192.0.2.1:80/%22%3Ca%3E%20b"
        );
        let request = &entries[1]["request"];
        assert_eq!(
            request["queryString"],
            json!([{ "name": "x", "value": " y" }])
        );
        assert_eq!(
            request["postData"],
            json!({ "mimeType": "a/b", "text": "hiÿ" })
        );
        assert_eq!(
            (&request["headersSize"], &request["bodySize"]),
            (&json!(46), &json!(3))
        );
    }
}
