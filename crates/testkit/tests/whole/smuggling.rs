//! Black-box tests of attacks on HTTP: nothing is smuggled, split or poisoned between haproxy and
//! the viewer, and answers do not depend on what a client claims. Other attacks are in attacks.rs
//! and bombs.rs.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use forever200_testkit::{Response, Stack, client, get, get_json, until};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A text in everything that a test sends and that must not come out in a wrong place.
const MARK: &str = "7f3aforged";
const HEALTH: &[u8] = b"GET /home/health HTTP/1.1\r\nHost: x\r\n\r\n";

/// A client that keeps its connection.
struct KeptAlive {
    stream: TcpStream,
    received: Vec<u8>,
}

impl KeptAlive {
    async fn open(stack: &Stack) -> anyhow::Result<Self> {
        Ok(Self {
            stream: TcpStream::connect(stack.front()).await?,
            received: Vec::new(),
        })
    }

    async fn get(&mut self, path: &str) -> anyhow::Result<Response> {
        self.stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .await?;
        loop {
            if let Some(response) = Response::split_off(&mut self.received, "GET") {
                ensure!(self.received.is_empty(), "{path}: more than one response");
                return Ok(response);
            }
            ensure!(
                self.stream.read_buf(&mut self.received).await? > 0,
                "{path}: the connection was closed"
            );
        }
    }
}

/// Sends these bytes on a new connection, and returns the responses.
async fn responses(stack: &Stack, bytes: &[u8]) -> anyhow::Result<Vec<Response>> {
    let mut stream = TcpStream::connect(stack.front()).await?;
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    let mut reply = client::read_to_end(&mut stream).await?;
    let responses = std::iter::from_fn(|| Response::split_off(&mut reply, "GET")).collect();
    ensure!(reply.is_empty(), "no response: {}", reply.escape_ascii());
    Ok(responses)
}

/// Sends one request with these lines in its head, and returns the response.
async fn ask(address: SocketAddr, target: &str, lines: &str) -> anyhow::Result<Response> {
    let request = format!("GET {target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n");
    let (mut reply, _) = client::exchange(address, request.as_bytes()).await?;
    Response::split_off(&mut reply, "GET").with_context(|| format!("{target}: no response"))
}

/// Tells whether a response is the responder's.
fn is_empty_200(response: &Response) -> bool {
    let names: Vec<_> = response.headers.iter().map(|(name, _)| name).collect();
    response.status == 200 && names == ["content-length", "connection"] && response.body.is_empty()
}

/// Waits for the record of a request with this text, and returns it with its bytes.
async fn recorded(stack: &Stack, text: &str) -> anyhow::Result<(Value, Vec<u8>)> {
    let path = format!("/home/api/requests?limit=1&q={text}");
    let record = until(&format!("{text} is recorded"), || async {
        get_json(stack.front(), &path).await.ok()?["requests"]
            .get(0)
            .cloned()
    })
    .await?;
    let raw = stack
        .get(&format!("/home/requests/{}/raw", record["seq"]))
        .await?
        .body;
    Ok((record, raw))
}

/// Fields by which two programs may disagree about the body. The body is `0\r
/// \r
/// ` and then another request.
const AMBIGUOUS: &[&str] = &[
    "Content-Length: 5\r\nContent-Length: 0\r\n",
    "Content-Length: 0\r\nContent-Length: 5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 5\0\r\n",
    "Content-Length:\r\n 5\r\n",
    "Content-Length : 5\r\n",
    "Content_Length: 5\r\n",
    "Content-Length: 5\n",
    "X: y\rContent-Length: 5\r\n",
    "X: y\r\n Content-Length: 5\r\n",
    "Connection: Content-Length\r\nContent-Length: 5\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "Transfer-Encoding: chunked\nContent-Length: 5\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: identity, chunked\r\nContent-Length: 5\r\n",
    "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n",
    "Transfer-Encoding: \"chunked\"\r\nContent-Length: 5\r\n",
    "Transfer-Encoding:\x0bchunked\r\nContent-Length: 5\r\n",
    "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n",
    "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\nContent-Length: 5\r\n",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_smuggled_request_never_meets_another_client() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let mut others = KeptAlive::open(&stack).await?;
    let mut number = 0;
    for before in [&b""[..], HEALTH] {
        for (target, lines) in ["POST /home/text", "GET /home/text?q=ü", "POST /x"]
            .iter()
            .flat_map(|target| AMBIGUOUS.iter().map(move |lines| (target, lines)))
        {
            number += 1;
            let head = format!("{target} HTTP/1.1\r\nHost: x\r\n{lines}\r\n0\r\n\r\n");
            let smuggled = format!("GET /{MARK} HTTP/1.1\r\nHost: x\r\n\r\n");
            let attack = [before, head.as_bytes(), smuggled.as_bytes()].concat();
            let what = attack.escape_ascii().to_string();
            let responses = responses(&stack, &attack)
                .await
                .with_context(|| what.clone())?;
            let statuses: Vec<_> = responses
                .iter()
                .map(|response| response.status)
                .filter(|&it| it != 100)
                .collect();
            // There is no response if haproxy sees the client's end after nonsense. Otherwise there
            // is one for the request before, if any, one for this request, and perhaps one for the
            // smuggled request, as for any further request.
            let most = 2 + usize::from(!before.is_empty());
            ensure!((..=most).contains(&statuses.len()), "{what}: {statuses:?}");
            ensure!(
                statuses
                    .iter()
                    .all(|status| [200, 400, 405, 422].contains(status)),
                "{what}: {statuses:?}"
            );
            // In turn, two other clients use haproxy's connections to the viewer that the attacker
            // uses too.
            ensure!(
                others
                    .get("/home/health")
                    .await?
                    .text()
                    .starts_with(r#"{"status":"ok""#),
                "{what}"
            );
            ensure!(
                stack
                    .get("/home/api/requests")
                    .await?
                    .text()
                    .starts_with(r#"{"total":"#),
                "{what}"
            );
            let own = format!("/other-{number}-");
            let response = others.get(&own).await.with_context(|| what.clone())?;
            ensure!(
                (response.status, response.body.len()) == (200, 0),
                "{what}: {response:?}"
            );
            let (record, raw) = recorded(&stack, &own).await?;
            ensure!(
                record["src_port"] == others.stream.local_addr()?.port(),
                "{what}: {record}"
            );
            assert_eq!(
                raw.escape_ascii().to_string(),
                format!(r"GET {own} HTTP/1.1\r\nhost: x\r\n\r\n"),
                "{what}"
            );
        }
    }
    Ok(())
}

/// Names of the headers that the viewer and haproxy put into a response.
const HEADERS: &[&str] = &[
    "allow",
    "cache-control",
    "connection",
    "content-disposition",
    "content-length",
    "content-security-policy",
    "content-type",
    "date",
    "etag",
    "referrer-policy",
    "vary",
    "x-content-type-options",
    "x-robots-tag",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_line_of_a_response_is_a_clients() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    stack.send(b"GET /x HTTP/1.1\r\n\r\n").await?;
    stack.until_recorded(1).await?;
    for route in [
        "/home",
        "/home/",
        "/home?q=",
        "/home?source=",
        "/home?protocol=",
        "/home?incomplete=",
        "/home?view=",
        "/home?view=wall&q=",
        "/home/labels",
        "/home/explain",
        "/home/explain?b64=",
        "/home/requests/1",
        "/home/requests/1/raw",
        "/home/requests/1/html",
        "/home/requests/1/",
        "/home/api/requests?limit=",
        "/home/api/requests?label=",
        "/home/api/requests/1",
        "/home/api/stats",
        "/home/events?format=",
        "/home/text?color=",
        "/home/export.pcap?q=",
        "/home/export.ndjson",
        "/home/export.ndjson?since=",
        "/home/export.sources.txt?category=",
        "/home/export.",
        "/home/history",
        "/home/history?before=",
        "/home/history?since=",
        "/home/collection",
        "/home/collection?sort=",
        "/home/collection/",
        "/home/sources",
        "/home/sources?",
        "/home/sources/",
        "/home/sensors",
        "/home/sensors?sort=",
        "/home/new.atom",
        "/home/api/history?until=",
        "/home/api/collection",
        "/home/api/collection/",
        "/home/api/sources/",
        "/home/api/sensors?page=",
        "/home/metrics?",
        "/home/health",
        "/home/static/style.css",
        "/home/static/",
    ] {
        for split in [
            "%0d%0a",
            "%0a",
            "%0d",
            "%E5%98%8A%E5%98%8D",
            "%00%0d%0a",
            "\"%0d%0a",
            "/../%0d%0a",
            "\r",
            "\u{0b}",
        ] {
            let target = format!(
                "{route}{split}Set-Cookie:%20{MARK}=1{split}Location:%20//{MARK}{split}{split}<b>{MARK}"
            );
            for response in responses(
                &stack,
                format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
            )
            .await?
            {
                for (name, value) in &response.headers {
                    ensure!(
                        HEADERS.contains(&name.as_str()),
                        "{target}: {name}: {value}"
                    );
                    ensure!(!value.contains(MARK), "{target}: {name}: {value}");
                }
                // A page escapes what it repeats.
                ensure!(
                    !response.text().contains(&format!("<b>{MARK}")),
                    "{target}: {}",
                    response.text()
                );
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_header_claims_changes_no_response() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let without_date = |mut response: Response| {
        response.headers.retain(|(name, _)| name != "date");
        format!("{response:?}")
    };
    for path in [
        "/home",
        "/home/labels",
        "/home/explain?b64=R0VUIC8gSFRUUC8xLjENCg0K",
        "/home/text",
        "/home/api/requests",
        "/home/api/stats",
        "/home/health",
        "/home/x",
    ] {
        for claim in [
            format!("X-Forwarded-For: {MARK}, 203.0.113.9"),
            "X-Real-IP: 203.0.113.9".to_owned(),
            format!("Forwarded: for=203.0.113.9;host={MARK};proto=https"),
            format!("X-Forwarded-Host: {MARK}"),
            format!("X-Host: {MARK}"),
            "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443".to_owned(),
            format!("X-Forwarded-Prefix: /{MARK}"),
            "X-Original-URL: /home/static/style.css\r\nX-Rewrite-URL: /home/static/style.css"
                .to_owned(),
            "X-HTTP-Method-Override: DELETE\r\nX-Method-Override: DELETE".to_owned(),
            format!("Cookie: a={MARK}\r\nAuthorization: Basic {MARK}"),
            format!("Origin: http://{MARK}\r\nReferer: http://{MARK}/"),
            "Range: bytes=0-1\r\nIf-Range: x".to_owned(),
            "Connection: close, X-Forwarded-For, Host".to_owned(),
        ] {
            // Numbers on a page may change with the minute. Then it is tried again.
            until(&format!("{path} is the same with {claim}"), || async {
                let before = without_date(ask(stack.front(), path, "Host: x\r\n").await.ok()?);
                let claimed = ask(stack.front(), path, &format!("Host: x\r\n{claim}\r\n"))
                    .await
                    .ok()?;
                (without_date(claimed) == before).then_some(())
            })
            .await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_header_makes_no_link_and_nothing_active() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    stack.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    stack.until_recorded(1).await?;
    let empty = Stack::start().await?;
    let recording = Stack::start().await?;
    for host in [
        "evil.example",
        "evil.example:8080",
        "",
        "\"><script>alert(1)</script>evil",
        "evil'$(id)`id`",
        "evil/x?y#z",
        "user@evil",
        "-oevil",
        "evil evil",
        "evil\t",
        "evil:99999",
        "[::1]",
        "[evil",
        "..",
        "\u{202e}evil",
    ] {
        let lines = format!("Host: {host}\r\n");
        // haproxy 3.0 does not accept some of these heads as HTTP, so that even `/home` goes to the
        // responder. haproxy 2.6 accepts all.
        for path in ["/home", "/home/nothing"] {
            let response = ask(recording.front(), path, &lines).await?;
            ensure!(response.status == 200, "{host}: {}", response.status);
            ensure!(response.header("location").is_none(), "{host}");
        }
        // So the test asks for the pages at the viewer's own address, where all of these arrive.
        for (stack, path) in [(&empty, "/home"), (&stack, "/home/requests/1")] {
            let response = ask(stack.at(8080), path, &lines).await?;
            ensure!(response.status == 200, "{host}: {}", response.status);
            ensure!(response.header("location").is_none(), "{host}");
            let page = response.text();
            // The host may stand in the command to copy, if it is a plain name, and nowhere else.
            let shown = page
                .match_indices("evil")
                .map(|(at, _)| page[..at].rsplit('>').next().unwrap_or_default());
            for before in shown {
                ensure!(
                    before.starts_with("curl ") || before.starts_with("printf "),
                    "{host} after {before}"
                );
                ensure!(
                    !host.contains(['<', '$', '/', '@', ' ']),
                    "{host} after {before}"
                );
            }
            ensure!(
                !page.contains("<script>")
                    && !page.contains("href=\"http")
                    && !page.contains("=\"//"),
                "{host}: {page}"
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_files_built_in_are_served_and_only_they_may_be_kept() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    for file in [
        "style.css",
        "script.js",
        "live.js",
        "list.js",
        "wall.css",
        "wall.js",
        "icon.svg",
    ] {
        let response = stack.get(&format!("/home/static/{file}")).await?;
        assert_eq!(
            (response.status, response.header("vary")),
            (200, Some("accept-encoding")),
            "{file}"
        );
        assert_eq!(
            response.header("cache-control"),
            Some("public, max-age=31536000, immutable"),
            "{file}"
        );
    }
    for file in [
        "",
        "../",
        "../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "..%252f..%252fetc/passwd",
        "....//....//etc/passwd",
        "..\\..\\etc\\passwd",
        "..%5c..%5cetc%5cpasswd",
        "..;/etc/passwd",
        "%c0%ae%c0%ae/etc/passwd",
        "/etc/passwd",
        "//etc/passwd",
        "style.css/..",
        "style.css/x.js",
        "style.css%00.png",
        "style.css;x.png",
        "style.css%20",
        "STYLE.CSS",
        "./style.css",
        "x/../style.css",
        "%2e/style.css",
        "home.html",
        "../templates/home.html",
    ] {
        let target = format!("/home/static/{file}");
        let response = ask(stack.front(), &target, "Host: x\r\n").await?;
        ensure!(is_empty_200(&response), "{target}: {response:?}");
        // The viewer does not have this page at its own address either.
        let response = get(stack.at(8080), &target).await?;
        assert_eq!(
            (response.status, response.header("cache-control")),
            (404, Some("no-store")),
            "{target}"
        );
    }
    // Names of files that a cache might store, below a page.
    for path in [
        "/home/x.css",
        "/home/requests/1/x.js",
        "/home;x.css",
        "/home/text/x.css",
        "/home/api/requests.css",
    ] {
        let response = ask(stack.front(), path, "Host: x\r\n").await?;
        ensure!(is_empty_200(&response), "{path}: {response:?}");
        let response = get(stack.at(8080), path).await?;
        assert_eq!(
            (response.status, response.header("cache-control")),
            (404, Some("no-store")),
            "{path}"
        );
    }
    Ok(())
}
