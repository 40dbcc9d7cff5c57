//! The name or address that a request asks for, and what a TLS hello offers. The page, JSON, lines,
//! events and filters have the same.

use anyhow::{Context, ensure};
use forever200_testkit::events::Events;
use forever200_testkit::{Stack, get_json};
use serde_json::{Value, json};

/// Returns a TLS hello that asks for this name and offers HTTP/2.
fn hello(name: &str) -> Vec<u8> {
    let counted =
        |width: usize, bytes: &[u8]| [&bytes.len().to_be_bytes()[8 - width..], bytes].concat();
    let extension = |number: u8, content: &[u8]| [&[0, number][..], &counted(2, content)].concat();
    let names = counted(2, &[&[0][..], &counted(2, name.as_bytes())].concat());
    let protocols = counted(2, &counted(1, b"h2"));
    let extensions = [extension(0, &names), extension(16, &protocols)].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &[0, 2, 0x13, 1],
        &[1, 0],
        &counted(2, &extensions),
    ]
    .concat();
    let message = [&[1][..], &counted(3, &body)].concat();
    [&[0x16, 3, 1][..], &counted(2, &message)].concat()
}

/// Returns the requests, in the order in which they are sent: the bytes of each, and what JSON has
/// about what it asks for.
fn requests(own: &str) -> Vec<(Vec<u8>, Value)> {
    let get = |target: &str, hosts: &[&str]| {
        let headers: String = hosts
            .iter()
            .map(|host| format!("Host: {host}\r\n"))
            .collect();
        format!("GET {target} HTTP/1.1\r\n{headers}\r\n").into_bytes()
    };
    let asked = |kind: &str, name: &str| json!({ "kind": kind, "name": name });
    let own_as_number = own.split('.').fold(0_u32, |number, part| {
        number << 8 | part.parse::<u32>().unwrap_or_default()
    });
    let long = "a".repeat(60_000);
    let name = asked("name", "example.com");
    vec![
        (get("/", &[&format!("{own}:80")]), asked("own-address", own)),
        (
            get("/", &[&own_as_number.to_string()]),
            asked("own-address", own),
        ),
        (
            get("/", &["LOCALHOST:8080"]),
            asked("own-address", "localhost"),
        ),
        (
            get("/", &["203.0.113.7"]),
            asked("other-address", "203.0.113.7"),
        ),
        (get("/", &["Example.COM:443"]), name.clone()),
        (get("/", &["", "example.com", "b.example"]), name.clone()),
        (get("http://user@example.com:80/a", &[]), name.clone()),
        (b"CONNECT example.com:443 HTTP/1.1\r\n\r\n".to_vec(), name),
        (hello("www.example.com"), asked("name", "www.example.com")),
        (get("/", &["<b>\u{202e}"]), asked("odd", "<b>\\u{202e}")),
        (
            get("/", &[&long]),
            asked("odd", &format!("{}…", &long[..79])),
        ),
        (b"GET / HTTP/1.0\r\n\r\n".to_vec(), Value::Null),
        (b"SSH-2.0-Go\r\n".to_vec(), Value::Null),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_shown_says_the_same_of_whom_a_request_is_after() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let own = stack.front().ip().to_string();
    let requests = requests(&own);
    let count = requests.len();
    for (number, (bytes, _)) in (1..).zip(&requests) {
        stack.send(bytes).await?;
        stack.until_recorded(number).await?;
    }
    let list = get_json(stack.front(), "/home/api/requests").await?;
    let list = list["requests"].as_array().context("no list")?;
    let lines = stack.get("/home/export.ndjson").await?.text();
    let mut lines = lines.lines();
    let mut events = Events::open(stack.front(), "/home/events?after=0", "").await?;
    for (request, (bytes, asked_for)) in list.iter().rev().zip(&requests) {
        let sent = bytes[..bytes.len().min(200)].escape_ascii();
        assert_eq!(&request["asked_for"], asked_for, "{sent}");
        let line: Value = serde_json::from_str(lines.next().context("no line")?)?;
        let event = events.next("request").await?.context("no event")?;
        let event: Value = serde_json::from_str(&event.data)?;
        for field in ["asked_for", "tls"] {
            assert_eq!(line[field], request[field], "{sent}");
            assert_eq!(event[field], request[field], "{sent}");
        }
    }
    let hello = &list[count - 9]["tls"];
    let ja4 = hello["ja4"].as_str().context("no fingerprint")?;
    assert_eq!(
        hello,
        &json!({ "version": "TLS 1.2", "sni": "www.example.com", "alpn": ["h2"], "ja4": ja4 })
    );
    ensure!(list[0]["tls"].is_null() && list[count - 1]["tls"].is_null());
    for (query, found) in [
        ("host=example.com", 4),
        ("host=EXAMPLE.com:80", 4),
        ("host=.example.com", 5),
        ("host=www.example.com", 1),
        ("host=name", 5),
        ("host=address", 4),
        ("host=own-address", 3),
        ("host=other-address", 1),
        ("host=odd", 2),
        ("host=hidden", 0),
        ("host=none", 2),
        ("-host=address&-host=none", 7),
        ("-host=.example.com&host=name", 0),
        (&format!("host={own}"), 2),
        (&format!("ja4={}", ja4.to_uppercase()), 1),
        (&format!("-ja4={ja4}"), count - 1),
        ("ja4=t13", 0),
    ] {
        let list = get_json(stack.front(), &format!("/home/api/requests?{query}")).await?;
        let matching = list["requests"].as_array().map(Vec::len);
        assert_eq!(matching, Some(found), "{query}");
        let page = stack.get(&format!("/home?{query}")).await?.text();
        assert_eq!(page.matches("<tr id=\"r").count(), found, "{query}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_say_it_in_words_and_lead_to_others() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let own = stack.front().ip().to_string();
    for (number, (bytes, _)) in (1..).zip(&requests(&own)) {
        stack.send(bytes).await?;
        stack.until_recorded(number).await?;
    }
    for (seq, said) in [
        (
            1,
            "<a href=\"/home?host=own-address\">your address</a></dd>",
        ),
        (
            3,
            "<a href=\"/home?host=own-address\">your address</a> (localhost)</dd>",
        ),
        (
            4,
            "<a href=\"/home?host=203.0.113.7\">203.0.113.7</a>, another address</dd>",
        ),
        (5, "<a href=\"/home?host=example.com\">example.com</a></dd>"),
        (
            9,
            "<dt>Server name</dt><dd><a href=\"/home?host=www.example.com\">www.example.com</a></dd>",
        ),
        (9, "<a href=\"/home?ja4=t12d0102h2_"),
        (
            10,
            "<a href=\"/home?host=odd\">&lt;b&gt;\\u{202e}</a>, neither a name nor an address</dd>",
        ),
        (12, "<a href=\"/home?host=none\">nothing</a></dd>"),
    ] {
        let page = stack.get(&format!("/home/requests/{seq}")).await?.text();
        ensure!(page.contains(said), "{seq} does not say {said}: {page}");
    }
    // The list shows only names.
    let page = stack.get("/home").await?.text();
    let named = page
        .matches("<td class=\"asked\"><a href=\"/home?host=")
        .count();
    assert_eq!(
        (named, page.matches("<td class=\"asked\">").count()),
        (5, 13)
    );
    let narrowed = stack.get("/home?method=GET").await?.text();
    ensure!(narrowed.contains("<a href=\"/home?method=GET&amp;host=example.com\""));
    let text = stack.get("/home/text").await?.text();
    assert_eq!(text.matches("  (for example.com)\n").count(), 4, "{text}");
    Ok(())
}
