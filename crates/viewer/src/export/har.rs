//! Requests as an HTTP Archive (HAR), which browsers' developer tools and proxies open.
//!
//! In: entries. Out: HAR 1.2. Requests of other protocols than HTTP are left out.
//!
//! Format: <http://www.softwareishard.com/blog/har-12-spec/>.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_decode::parameters;
use forever200_identify::http;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::bytes::form::{content, form};
use crate::export::pcap::RESPONSE;
use crate::export::{Listing, json};
use crate::reader::entry::{Entry, text};
use crate::rfc3339;

/// Characters that a URL parser might reject, and `#`: an archive may not have fragments in its
/// URLs.
const NOT_IN_AN_ADDRESS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Returns an archive of HTTP requests, the oldest first. Requests of other protocols are left out.
#[must_use]
pub fn archive() -> Listing {
    let creator = json!({ "name": "forever200", "version": env!("CARGO_PKG_VERSION") });
    Listing {
        begin: format!(r#"{{"log":{{"version":"1.2","creator":{creator},"entries":["#).into(),
        between: b",",
        end: "]}}".into(),
        newest_first: false,
        // Two bytes become at most 39. If they are a cookie without a value, whose name is a
        // control character, they take 29 bytes as a cookie, 7 in its header and 3 in base64. So 24
        // for each byte is more than enough.
        most: Box::new(|entry| 24 * entry.record.raw.len() + 8192),
        one: Box::new(|entry| Some(json::to_string(&exchange(entry, &entry.request()?)).into())),
    }
}

/// One request and its answer. Names that begin with `_` are custom fields: HAR 1.2, "Custom
/// fields".
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
    #[serde(rename = "_sensor", skip_serializing_if = "Option::is_none")]
    sensor: Option<String>,
    #[serde(rename = "_raw_base64")]
    raw_base64: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    method: String,
    url: String,
    http_version: String,
    #[serde(serialize_with = "pairs")]
    cookies: Vec<(Vec<u8>, Vec<u8>)>,
    #[serde(serialize_with = "pairs")]
    headers: Vec<(&'a [u8], Cow<'a, [u8]>)>,
    #[serde(serialize_with = "pairs")]
    query_string: Vec<(Vec<u8>, Vec<u8>)>,
    headers_size: i64,
    body_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_data: Option<PostData>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    mime_type: String,
    /// The fields of a form. By the specification, an archive has either these or the text.
    /// Browsers write both, and so does this, for programs that read only one of them.
    #[serde(serialize_with = "pairs", skip_serializing_if = "Vec::is_empty")]
    params: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body with its chunks joined; as base64 if it is not UTF-8.
    text: String,
    /// `base64` if the text is base64. The content of a response has the field `encoding` for this.
    #[serde(rename = "_encoding", skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

#[derive(Serialize)]
struct Pair {
    name: String,
    value: String,
}

/// Serializes names and values. Only one pair at a time becomes text, because a head may have
/// thousands.
fn pairs<S: Serializer, N: AsRef<[u8]>, V: AsRef<[u8]>>(
    pairs: &[(N, V)],
    to: S,
) -> Result<S::Ok, S::Error> {
    let mut list = to.serialize_seq(Some(pairs.len()))?;
    for (name, value) in pairs {
        list.serialize_element(&Pair {
            name: text(name.as_ref()),
            value: text(value.as_ref()),
        })?;
    }
    list.end()
}

fn exchange<'a>(entry: &'a Entry, http: &http::Request<'a>) -> Exchange<'a> {
    let record = &entry.record;
    // The port identifies the connection; if it is not shown, the sequence number does.
    let connection = if record.src_port == 0 {
        record.seq
    } else {
        record.src_port.into()
    };
    let titles = entry.labels.iter().map(|label| &*label.signature.title);
    Exchange {
        started_date_time: rfc3339::micros(record.timestamp),
        time: 0,
        server_ip_address: record.dest_ip,
        connection: connection.to_string(),
        request: request(entry, http),
        // The same answer as `RESPONSE`, which is a copy of the responder's.
        response: json!({
            "status": 200,
            "statusText": "Ok",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [{ "name": "Content-Length", "value": "0" }, { "name": "Connection", "value": "close" }],
            "content": { "size": 0, "mimeType": "" },
            "redirectURL": "",
            "headersSize": RESPONSE.len(),
            "bodySize": 0,
        }),
        cache: json!({}),
        timings: json!({ "send": 0, "wait": 0, "receive": 0 }),
        comment: titles.collect::<Vec<_>>().join("; "),
        seq: record.seq,
        src_ip: record.src_ip,
        src_prefix: entry.src_prefix,
        sensor: entry.sensor.as_ref().map(|it| it.name.clone()),
        raw_base64: BASE64_STANDARD.encode(&record.raw),
    }
}

fn request<'a>(entry: &Entry, http: &http::Request<'a>) -> Request<'a> {
    let (_, query) = http.path_and_query();
    let headers = http.headers.iter();
    Request {
        method: text(http.method),
        url: address(entry, http.target),
        http_version: text(http.version),
        cookies: cookies(http),
        headers: headers.map(|it| (it.name, it.plain_value())).collect(),
        query_string: parameters(query),
        headers_size: headers_size(entry, http),
        body_size: body_size(entry, http),
        post_data: (!http.body.is_empty()).then(|| post_data(http)),
    }
}

/// Returns names and values of cookies as they were sent: RFC 6265, 4.2.1.
fn cookies(http: &http::Request<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut cookies = Vec::new();
    for header in &http.headers {
        if !header.name.eq_ignore_ascii_case(b"cookie") {
            continue;
        }
        let value = header.plain_value();
        for pair in value.split(|&byte| byte == b';') {
            let pair = pair.trim_ascii();
            if pair.is_empty() {
                continue;
            }
            let name_end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            let (name, rest) = pair.split_at(name_end);
            let value = rest.strip_prefix(b"=").unwrap_or_default();
            cookies.push((name.to_vec(), value.to_vec()));
        }
    }
    cookies
}

/// Returns the number of bytes of the head with its blank line; -1 (unknown) if the blank line is
/// missing.
fn headers_size(entry: &Entry, http: &http::Request<'_>) -> i64 {
    if http.unfinished && http.behind_head.is_empty() {
        return -1;
    }
    let size = entry.record.raw.len() - http.behind_head.len();
    i64::try_from(size).unwrap_or(-1)
}

/// Returns the number of bytes of the body as it was sent, with the framing of chunks, and with
/// bytes that were not kept.
fn body_size(entry: &Entry, http: &http::Request<'_>) -> u64 {
    let record = &entry.record;
    let missing = record.bytes.saturating_sub(record.raw.len() as u64);
    let missing_extra = record.extra.saturating_sub(http.extra.len() as u64);
    http.body.len() as u64 + missing.saturating_sub(missing_extra)
}

fn post_data(http: &http::Request<'_>) -> PostData {
    let content = content(http);
    let (text_of_body, encoding) = match std::str::from_utf8(&content) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (BASE64_STANDARD.encode(&content), Some("base64")),
    };
    // Privacy does not read `+` as a space across the borders of chunks. So a form in chunks has no
    // fields here.
    let params = if http.is_chunked {
        Vec::new()
    } else {
        form(http)
    };
    PostData {
        mime_type: http
            .values(b"content-type")
            .next()
            .map(text)
            .unwrap_or_default(),
        params,
        text: text_of_body,
        encoding,
    }
}

/// Returns a URL that any parser accepts. Its host is the address to which the client connected,
/// whatever the Host header says.
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
    use forever200_ring::Record;

    use super::*;
    use crate::reader::entry::tests::{entry, record};

    #[test]
    fn an_archive_has_the_http_requests_in_the_order_they_came() {
        let newer = entry(record(
            b"POST /b?x=%20y HTTP/1.0\r\nContent-Type: a/b\r\n\r\nhi\xff",
        ));
        let other = entry(record(b"\x16\x03\x01"));
        let older = entry(record(b"GET \"<a>#b?c=1 d HTTP/1.1\r\n\r\n"));
        let archive = archive().whole([&older, &other, &newer]);
        let archive: Value = serde_json::from_slice(&archive).unwrap();
        let entries = archive["log"]["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(
            entries[0]["request"]["url"],
            "http://192.0.2.1:80/%22%3Ca%3E%23b?c=1%20d"
        );
        let request = &entries[1]["request"];
        assert_eq!(
            request["queryString"],
            json!([{ "name": "x", "value": " y" }])
        );
        assert_eq!(
            request["postData"],
            json!({ "mimeType": "a/b", "text": "aGn/", "_encoding": "base64" })
        );
        assert_eq!(
            (&request["headersSize"], &request["bodySize"]),
            (&json!(46), &json!(3))
        );
    }

    fn archived(record: Record) -> Value {
        let archive = archive().whole([&entry(record)]);
        let mut archive: Value = serde_json::from_slice(&archive).unwrap();
        archive["log"]["entries"][0]["request"].take()
    }

    fn part<'a>(pair: &'a Value, name: &str) -> &'a str {
        pair[name].as_str().unwrap()
    }

    fn pairs_of(pairs: &Value) -> Vec<(&str, &str)> {
        let pairs = pairs.as_array().into_iter().flatten();
        pairs
            .map(|pair| (part(pair, "name"), part(pair, "value")))
            .collect()
    }

    #[test]
    fn forms_and_cookies_are_taken_apart() {
        let request = archived(record(
            b"POST /?a=1&a&=2 HTTP/1.1\r\nCookie: a=b=c; d;; =e \r\ncookie: f=\xff\r\n\
              Content-Type: Application/X-WWW-Form-Urlencoded; charset=utf-8\r\nContent-Length: 9\r\n\r\nx+y=%41&z",
        ));
        let cookies = [("a", "b=c"), ("d", ""), ("", "e"), ("f", "\u{ff}")];
        assert_eq!(pairs_of(&request["cookies"]), cookies);
        let query = [("a", "1"), ("a", ""), ("", "2")];
        assert_eq!(pairs_of(&request["queryString"]), query);
        let form = &request["postData"];
        assert_eq!(pairs_of(&form["params"]), [("x y", "A"), ("z", "")]);
        assert_eq!(
            (&form["text"], &form["_encoding"]),
            (&json!("x+y=%41&z"), &Value::Null)
        );
        assert_eq!(request["bodySize"], 9);
    }

    #[test]
    fn sizes_are_those_of_what_came() {
        let sizes = |record| {
            let request = archived(record);
            let size = |name: &str| request[name].as_i64().unwrap();
            (size("headersSize"), size("bodySize"))
        };
        assert_eq!(sizes(record(b"GET / HTTP/1.1\r\n\r\n")), (18, 0));
        assert_eq!(sizes(record(b"GET / HTTP/1.1\r\nHost: a")), (-1, 0));
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        assert_eq!(sizes(record(chunked)), (47, 12));
        assert_eq!(archived(record(chunked))["postData"]["text"], "ab");
        let long = b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nab";
        let truncated = |bytes: u64, extra| Record {
            bytes: long.len() as u64 + bytes,
            extra,
            truncated: true,
            ..record(long)
        };
        assert_eq!(sizes(truncated(98, 0)), (40, 100));
        assert_eq!(sizes(truncated(103, 5)), (40, 100));
    }

    #[test]
    fn no_request_takes_more_than_was_said() {
        let around = |before: &str, part: &[u8]| {
            let part = part.iter().copied().cycle().take(60_000);
            let bytes = before.bytes().chain(part).collect::<Vec<_>>();
            [&bytes[..], b"\r\n\r\n"].concat()
        };
        for part in [
            &b"\x01;"[..],
            b"\x9b&",
            b"a&",
            b"=&",
            b";",
            b"\x01\n",
            b"\\",
            b"\xff",
        ] {
            for before in [
                "GET /?",
                "GET / HTTP/1.1\r\nCookie: ",
                "POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n",
            ] {
                let raw = around(before, part);
                let (archive, entry) = (archive(), entry(record(&raw)));
                let most = (archive.most)(&entry);
                let took = (archive.one)(&entry).map_or(0, |one| one.len());
                assert!(took <= most, "{before}{}: {took}", part.escape_ascii());
            }
        }
    }
}
