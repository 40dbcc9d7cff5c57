//! Black-box tests of what an attacker could try against all programs as shipped. Tricks with HTTP
//! are in smuggling.rs, costly requests in bombs.rs, the image in container.rs, and what a browser
//! would run in browser/never_active.rs.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, ensure};
use forever200_testkit::payloads;
use forever200_testkit::probes;
use forever200_testkit::{
    RESPONSE, Stack, client, exchange, exchange_from, get, get_json, loopback, until,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A text in everything that a test sends and that must not come out in a wrong place.
const MARK: &str = "7f3aforged";
/// What the responder sends before a body comes.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Most bytes that the responder sends on one connection: 57 and 25.
const MAX_BYTES_OUT: usize = 82;

/// Sends all requests at the same time. Returns each with its reply.
async fn send_all(front: SocketAddr, all: Vec<Vec<u8>>) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let sending: Vec<_> = all
        .into_iter()
        .map(|bytes| {
            tokio::spawn(async move {
                exchange(front, &bytes)
                    .await
                    .map(|(reply, _)| (bytes, reply))
            })
        })
        .collect();
    let mut replies = Vec::new();
    for sent in sending {
        replies.push(sent.await??);
    }
    Ok(replies)
}

/// Returns requests with text that looks like a log line, or that a terminal obeys, in every place
/// that a client can fill.
fn forged() -> Vec<Vec<u8>> {
    let lines = [
        format!("\r\n2026-01-02 03:04:05,678 INFO {MARK} entered FATAL state\r\n"),
        format!("\n{{\"level\":\"ERROR\",\"message\":\"{MARK}\"}}\n"),
        format!("\x1b]0;{MARK}\x07\x1b[2J\x1b[31m{MARK}\x1bP{MARK}\x1b\\"),
        format!("\u{9b}31m{MARK}\u{85}\u{2028}\u{202e}{MARK}\u{0}%n%s${{env:{MARK}}}"),
        MARK.to_owned(),
    ];
    let places = |line: &String| {
        let encoded: String = line.bytes().map(|byte| format!("%{byte:02x}")).collect();
        [
            line.clone(),
            format!("GET /{line} HTTP/1.1\r\nHost: {line}\r\nUser-Agent: {line}\r\n\r\n"),
            format!("{line} / HTTP/1.1\r\n\r\n"),
            format!("PROXY TCP4 {line} 192.0.2.1 1 2\r\n"),
            format!("GET /home?q={line} HTTP/1.1\r\nHost: {line}\r\nConnection: close\r\n\r\n"),
            format!(
                "GET /home?{encoded}={encoded}&source={encoded} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            ),
            format!(
                "GET /home/{encoded} HTTP/1.1\r\nHost: {MARK}\r\nX-Forwarded-For: {MARK}\r\nConnection: close\r\n\r\n"
            ),
            format!("{MARK} /home HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            format!(
                "GET /home/health HTTP/1.1\r\nHost: x\r\n\r\nGET /{encoded} HTTP/1.1\r\nHost: x\r\n{MARK}\r\n\r\n"
            ),
            format!(
                "GET /home/events?format={encoded} HTTP/1.1\r\nLast-Event-ID: {MARK}\r\nConnection: close\r\n\r\n"
            ),
        ]
    };
    lines
        .iter()
        .flat_map(places)
        .map(String::into_bytes)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_a_client_reaches_a_log() -> anyhow::Result<()> {
    for format in ["text", "json"] {
        let stack = Stack::start_with(&[
            ("FOREVER200_LOG", "trace"),
            ("FOREVER200_LOG_FORMAT", format),
        ])
        .await?;
        // Also with haproxy's log line for each connection.
        for line in ["log stdout format raw local0 info", "option tcplog"] {
            stack.edit_haproxy_cfg(&format!("#{line}"), line)?;
        }
        stack.supervisorctl(&["signal", "USR2", "haproxy"])?;
        until("haproxy has a line for a connection", || async {
            stack.send(b"\x01").await.ok()?;
            stack.log().contains(" front ").then_some(())
        })
        .await
        .with_context(|| stack.log())?;
        send_all(stack.front(), forged()).await?;
        // Failures are logged too.
        stack.supervisorctl(&["stop", "memcached"])?;
        send_all(stack.front(), forged()).await?;
        until("trouble is logged", || async {
            stack
                .log()
                .contains("memcached is unreachable")
                .then_some(())
        })
        .await?;
        let log = stack.log();
        for line in log.lines() {
            ensure!(!line.contains(MARK), "{format}: {line:?}");
            ensure!(
                line.chars().all(|char| matches!(char, ' '..='~')),
                "{format}: {line:?}"
            );
        }
        ensure!(
            log.lines().filter(|line| line.contains(" front ")).count() > 50,
            "{format}: {log}"
        );
    }
    Ok(())
}

/// Tells whether a terminal or an editor obeys a character, or does not show it.
fn is_obeyed(char: char) -> bool {
    (char.is_control() && char != '\n')
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_of_an_export_begins_with_a_formula_or_holds_what_a_terminal_obeys()
-> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let formulas = ["=", "+", "-", "@", "\t=", "\r=", "|", "%0d%0a="]
        .map(|start| format!("{start}cmd|' /C calc'!A0"));
    let requests = formulas.iter().flat_map(|formula| {
        let head = format!("{formula} {formula} HTTP/1.1\r\n{formula}: {formula}\r\n\r\n{formula}");
        [head.into_bytes(), formula.clone().into_bytes()]
    });
    let payloads = payloads::payloads().into_iter().map(|(_, payload)| payload);
    let all: Vec<_> = requests.chain(payloads).collect();
    for some in all.chunks(100) {
        send_all(stack.front(), some.to_vec()).await?;
        for path in [
            "/home/text",
            "/home/export.ndjson",
            "/home/export.har",
            "/home/api/requests?raw=true",
        ] {
            let text = String::from_utf8(stack.get(path).await?.body)?;
            let obeyed = text.chars().find(|&char| is_obeyed(char));
            ensure!(obeyed.is_none(), "{path}: {obeyed:?}");
            for line in text.lines() {
                // A line of forever200's own begins with a number, the indent of a label, or JSON.
                let begins = line.is_empty()
                    || line
                        .starts_with(|first: char| first.is_ascii_digit() || " {".contains(first));
                ensure!(
                    begins && !line.trim_start().starts_with(['=', '+', '-', '@']),
                    "{path}: {line}"
                );
            }
        }
    }
    Ok(())
}

const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc0\0\x02\x01\xa0\x28\0\x50";
const V2_HTTP: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xcb\0\x71\x07\xc0\0\x02\x01\xa0\x28\0\x50\x05\0\x04http";

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_proxy_header_is_bytes_of_the_request() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let mut sent = HashMap::new();
    let headers = [
        V2,
        V2_HTTP,
        V2_LOCAL,
        b"PROXY TCP4 203.0.113.7 192.0.2.1 41000 80\r\n",
        b"PROXY UNKNOWN\r\n",
    ];
    let all = headers.iter().flat_map(|&header| {
        [b"", &b"GET /home HTTP/1.1\r\nHost: x\r\n\r\n"[..]].map(|rest| (header, rest))
    });
    for (number, (header, rest)) in (1..).zip(all) {
        let (client, bytes) = (Ipv4Addr::new(127, 88, 77, number), [header, rest].concat());
        assert_eq!(
            exchange_from(client, stack.front(), &bytes).await?,
            RESPONSE,
            "{}",
            bytes.escape_ascii()
        );
        sent.insert(client.to_string(), bytes);
    }
    let list = stack.until_recorded(sent.len() as u64).await?;
    for record in list["requests"].as_array().context("no list")? {
        let bytes = sent
            .remove(record["src_ip"].as_str().context("no source")?)
            .context("a forged source")?;
        assert_eq!(record["via"], "proxy_v2");
        let raw = stack
            .get(&format!("/home/requests/{}/raw", record["seq"]))
            .await?
            .body;
        assert_eq!(
            raw.escape_ascii().to_string(),
            bytes.escape_ascii().to_string()
        );
    }
    ensure!(sent.is_empty(), "{sent:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_forwarded_for_changes_no_source() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let claims = "X-Forwarded-For: 203.0.113.9\r\nX-Real-IP: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\nClient-IP: 203.0.113.9\r\n";
    let request = format!("GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{claims}\r\n");
    let after_home = format!("GET /home/health HTTP/1.1\r\nHost: x\r\n{claims}\r\n{request}");
    for (number, bytes) in (1..).zip([request.clone(), after_home]) {
        let front = stack.front();
        let sending = tokio::spawn(async move {
            exchange_from(Ipv4Addr::new(127, 88, 76, number), front, bytes.as_bytes()).await
        });
        let list = stack.until_recorded(number.into()).await?;
        assert_eq!(list["requests"][0]["src_ip"], format!("127.88.76.{number}"));
        assert_eq!(
            list["requests"][0]["via"],
            if number == 1 { "proxy_v2" } else { "http" }
        );
        sending.await??;
    }
    // haproxy's own header does not become a part of the request either.
    let raw = stack.get("/home/requests/2/raw").await?.text();
    ensure!(
        !raw.contains("127.88.76.2") && raw.contains("203.0.113.9"),
        "{raw}"
    );
    Ok(())
}

/// A port of the test to which no program of the stack may connect.
struct Lure(TcpListener);

impl Lure {
    async fn set() -> anyhow::Result<Self> {
        Ok(Self(TcpListener::bind((loopback(), 0)).await?))
    }

    /// Fails if somebody has connected before. Connections are accepted in their order, so the
    /// test's own must be the first.
    async fn nobody_came(self) -> anyhow::Result<()> {
        let ours = TcpStream::connect(self.0.local_addr()?).await?;
        let (_, first) = self.0.accept().await?;
        ensure!(first == ours.local_addr()?, "{first} came");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_no_proxy() -> anyhow::Result<()> {
    let (stack, lure) = (Stack::start().await?, Lure::set().await?);
    let SocketAddr::V4(to) = lure.0.local_addr()? else {
        anyhow::bail!("no IPv4")
    };
    let (port, ip) = (to.port().to_be_bytes(), to.ip().octets());
    let asks = [
        format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").into_bytes(),
        format!("CONNECT {to} HTTP/1.0\r\n\r\n").into_bytes(),
        format!("GET http://{to}/ HTTP/1.1\r\nHost: {to}\r\n\r\n").into_bytes(),
        format!("GET http://{to}/home HTTP/1.1\r\nHost: {to}\r\n\r\n").into_bytes(),
        format!("GET @{to}/ HTTP/1.1\r\nHost: {to}\r\n\r\n").into_bytes(),
        format!("GET / HTTP/1.1\r\nHost: {to}\r\nX-Forwarded-Host: {to}\r\n\r\n").into_bytes(),
        [b"\x04\x01", &port[..], &ip, b"\0"].concat(),
        [b"\x05\x01\0\x05\x01\0\x01", &ip[..], &port].concat(),
    ];
    for ask in asks {
        let mut stream = TcpStream::connect(stack.front()).await?;
        stream.write_all(&ask).await?;
        let mut reply = vec![0; RESPONSE.len()];
        stream.read_exact(&mut reply).await?;
        assert_eq!(reply, RESPONSE, "{}", ask.escape_ascii());
        // As if there were a tunnel now. The connection may already be closed.
        let _ = stream
            .write_all(b"GET /tunnel HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        let more = client::read_to_end(&mut stream).await.unwrap_or_default();
        assert_eq!(more, b"", "{}", ask.escape_ascii());
    }
    // On a connection that haproxy handles as HTTP, the answer comes at once, and then the
    // connection is closed.
    let ask = format!(
        "GET /home/health HTTP/1.1\r\nHost: x\r\n\r\nCONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n"
    );
    let tunnel = "GET /tunnel HTTP/1.1\r\nHost: x\r\n\r\n";
    let start = std::time::Instant::now();
    let (reply, _) = exchange(stack.front(), format!("{ask}{tunnel}").as_bytes()).await?;
    ensure!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    assert_eq!(
        String::from_utf8_lossy(&reply)
            .matches("HTTP/1.1 200")
            .count(),
        2,
        "{}",
        reply.escape_ascii()
    );
    // Nine requests, and what was sent after five of them. After a whole GET, it is not recorded.
    let list = stack.until_recorded(14).await?;
    assert_eq!(list["total"], 14);
    let requests = list["requests"].as_array().into_iter().flatten();
    let continuations = requests.filter(|request| request["continues"].is_u64());
    let sent: Vec<_> = continuations.map(|request| &request["summary"]).collect();
    assert_eq!(sent, ["GET /tunnel"; 5]);
    lure.nobody_came().await
}

/// Sends lines to memcached and returns its answer up to a line `end`.
async fn memcached(stack: &Stack, command: &str, end: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(stack.at(11211)).await?;
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .await?;
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(end) {
        ensure!(
            stream.read_buf(&mut said).await? > 0,
            "memcached: {}",
            said.escape_ascii()
        );
    }
    Ok(String::from_utf8(said)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_makes_the_viewer_speak_to_anybody() -> anyhow::Result<()> {
    let (stack, lure) = (Stack::start().await?, Lure::set().await?);
    stack.send(b"GET /x HTTP/1.1\r\n\r\n").await?;
    stack.until_recorded(1).await?;
    let to = lure.0.local_addr()?;
    let values = [
        format!("%0d%0aset%20{MARK}%200%200%201%0d%0aa%0d%0a"),
        "%0d%0aflush_all%0d%0a".to_owned(),
        "1%0d%0adelete%20forever200:slot:1%0d%0a".to_owned(),
        format!("http://{to}/"),
        format!("//{to}/"),
        format!(
            "gopher://{}/_set%20{MARK}%200%200%201%0d%0aa",
            stack.at(11211)
        ),
        "file:///etc/passwd".to_owned(),
        "dict://127.0.0.1:11211/flush_all".to_owned(),
    ];
    let routes = [
        "/home?q=",
        "/home?source=",
        "/home?label=",
        "/home?cve=",
        "/home?path=",
        "/home?as=",
        "/home?url=",
        "/home/",
        "/home/requests/",
        "/home/requests/1/",
        "/home/api/requests?limit=",
        "/home/api/requests/",
        "/home/events?after=",
        "/home/export.",
        "/home/export.har?label=",
        "/home/text?color=",
        "/home/static/",
        "/home/health?memcached=",
    ];
    for (route, value) in routes
        .iter()
        .flat_map(|route| values.iter().map(move |value| (route, value)))
    {
        // At the viewer's own address, where it also gets paths that haproxy does not know as
        // pages.
        let target = format!("{route}{value}");
        let status = get(stack.at(8080), &target).await?.status;
        ensure!(
            [200, 400, 404].contains(&status),
            "{route}{value}: {status}"
        );
    }
    let keys = memcached(&stack, "lru_crawler metadump all", "END\r\n").await?;
    let keys: Vec<_> = keys
        .lines()
        .filter_map(|line| line.strip_prefix("key=")?.split(' ').next())
        .collect();
    ensure!(
        keys.len() >= 4 && keys.iter().all(|key| key.starts_with("forever200%3A")),
        "{keys:?}"
    );
    let stats = memcached(&stack, "stats", "END\r\n").await?;
    for none in ["cmd_flush 0", "delete_hits 0", "delete_misses 0"] {
        ensure!(stats.contains(&format!("STAT {none}\r\n")), "{stats}");
    }
    assert_eq!(
        get_json(stack.front(), "/home/api/requests").await?["total"],
        1
    );
    lure.nobody_came().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_little_comes_back() -> anyhow::Result<()> {
    assert_eq!(RESPONSE.len() + CONTINUE.len(), MAX_BYTES_OUT);
    let stack = Stack::start().await?;
    let expects = [
        "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nExpect: 100-continue\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
        "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nPOST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "GET /\r\n",
        "\x01",
    ];
    let all = expects
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .chain(probes::probes().into_iter().map(|(_, bytes)| bytes));
    let replies = send_all(stack.front(), all.collect()).await?;
    let mut continued = 0;
    for (sent, reply) in replies {
        // At most one of each answer, whatever comes, and never a byte of what was sent.
        let rest = reply.strip_prefix(CONTINUE).unwrap_or(&reply);
        continued += usize::from(rest.len() < reply.len());
        assert_eq!(
            rest.escape_ascii().to_string(),
            RESPONSE.escape_ascii().to_string(),
            "{}",
            sent.escape_ascii()
        );
    }
    ensure!(continued >= 2, "{continued}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_are_for_their_own_user_alone() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    // Not only the folder keeps others away, but also the mode of each socket.
    for socket in ["haproxy.sock", "responder.sock", "supervisor.sock"] {
        let mode = std::fs::metadata(stack.run_path(socket))?
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{socket}: {mode:o}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_is_left_in_the_folder_for_temporary_files() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_str().context("an odd name")?;
    let mut stack = Stack::start_with(&[("TMPDIR", path)]).await?;
    let files = || anyhow::Ok(std::fs::read_dir(folder.path())?.collect::<Result<Vec<_>, _>>()?);
    send_all(
        stack.front(),
        probes::probes()
            .into_iter()
            .map(|(_, bytes)| bytes)
            .collect(),
    )
    .await?;
    for path in ["/home/export.pcap", "/home/export.har", "/home/export.html"] {
        stack.get(path).await?;
    }
    ensure!(files()?.is_empty(), "{:?}", files()?);
    stack.stop().await?;
    ensure!(files()?.is_empty(), "{:?}", files()?);
    Ok(())
}
