//! Requests as an HTTP Archive, which browsers' developer tools and proxies open.
//!
//! In: entries. Out: HAR 1.2. What is not HTTP has no place in it and is left out.
//!
//! Format: <http://www.softwareishard.com/blog/har-12-spec/>.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_identify::http;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::bytes::decode::parameters;
use crate::export::Listing;
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

/// Returns an archive of HTTP requests, the oldest first; those of other protocols have no place in it.
#[must_use]
pub fn archive() -> Listing {
    let creator = json!({ "name": "forever200", "version": env!("CARGO_PKG_VERSION") });
    Listing {
        begin: format!(r#"{{"log":{{"version":"1.2","creator":{creator},"entries":["#).into(),
        between: b",",
        end: "]}}".into(),
        newest_first: false,
        // Most is an object of 24 bytes for two, a parameter without a value.
        most: Box::new(|entry| 16 * entry.record.raw.len() + 8192),
        one: Box::new(|entry| Some(json::to_string(&exchange(entry, &entry.request()?)).into())),
    }
}

/// One request and its answer. A name that begins with `_` is ours: HAR 1.2, "Custom fields".
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Exchange<'a> {
    started_date_time: String,
    time: u64,
    #[serde(rename = "serverIPAddress")]
    server_ip_address: IpAddr,
    connection: String,
    request: Request<'a>,
    response: Value,
    cache: Value,
    timings: Value,
    comment: String,
    #[serde(rename = "_seq")]
    seq: u64,
    #[serde(rename = "_src_ip")]
    src_ip: IpAddr,
    #[serde(rename = "_src_prefix")]
    src_prefix: Option<u8>,
    #[serde(rename = "_raw_base64")]
    raw_base64: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    method: String,
    url: String,
    http_version: String,
    cookies: [(); 0],
    #[serde(serialize_with = "pairs")]
    headers: Vec<(&'a [u8], Cow<'a, [u8]>)>,
    #[serde(serialize_with = "pairs")]
    query_string: Vec<(Vec<u8>, Vec<u8>)>,
    headers_size: usize,
    body_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_data: Option<PostData>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    mime_type: String,
    text: String,
}

#[derive(Serialize)]
struct Pair {
    name: String,
    value: String,
}

/// Names and values become text one at a time: a head may have thousands.
fn pairs<S: Serializer, N: AsRef<[u8]>, V: AsRef<[u8]>>(
    pairs: &[(N, V)],
    to: S,
) -> Result<S::Ok, S::Error> {
    let pair = |(name, value): &(N, V)| Pair {
        name: text(name.as_ref()),
        value: text(value.as_ref()),
    };
    to.collect_seq(pairs.iter().map(pair))
}

fn exchange<'a>(entry: &'a Entry, http: &http::Request<'a>) -> Exchange<'a> {
    let record = &entry.record;
    // A number that no other connection has: a port that is not shown is none.
    let connection = if record.src_port == 0 {
        record.seq
    } else {
        record.src_port.into()
    };
    let titles = entry.labels.iter().map(|label| &*label.signature.title);
    Exchange {
        started_date_time: format!("{:.6}", record.timestamp),
        time: 0,
        server_ip_address: record.dest_ip,
        connection: connection.to_string(),
        request: request(entry, http),
        response: json!({
            "status": 200,
            "statusText": "Ok",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [{ "name": "Content-Length", "value": "0" }, { "name": "Connection", "value": "close" }],
            "content": { "size": 0, "mimeType": "" },
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": 0,
        }),
        cache: json!({}),
        timings: json!({ "send": 0, "wait": 0, "receive": 0 }),
        comment: titles.collect::<Vec<_>>().join("; "),
        seq: record.seq,
        src_ip: record.src_ip,
        src_prefix: entry.src_prefix,
        raw_base64: BASE64_STANDARD.encode(&record.raw),
    }
}

fn request<'a>(entry: &Entry, http: &http::Request<'a>) -> Request<'a> {
    let (_, query) = http.path_and_query();
    let post_data = (!http.body.is_empty()).then(|| PostData {
        mime_type: http
            .values(b"content-type")
            .next()
            .map(text)
            .unwrap_or_default(),
        text: text(http.body),
    });
    Request {
        method: text(http.method),
        url: address(entry, http.target),
        http_version: text(http.version),
        cookies: [],
        headers: http
            .headers
            .iter()
            .map(|it| (it.name, it.plain_value()))
            .collect(),
        query_string: parameters(query),
        headers_size: entry.record.raw.len() - http.behind_head.len(),
        body_size: http.body.len(),
        post_data,
    }
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
        let archive = archive().whole([&older, &other, &newer]);
        let archive: Value = serde_json::from_slice(&archive).unwrap();
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
