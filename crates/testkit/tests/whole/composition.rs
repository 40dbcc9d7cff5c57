//! All programs as shipped: supervisord, haproxy, memcached, responder and viewer, from a byte on
//! the front port to the page.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use forever200_testkit::load::{FULL, Load};
use forever200_testkit::probes;
use forever200_testkit::process::{command, programs, project, signal};
use forever200_testkit::stack::Setup;
use forever200_testkit::{
    RESPONSE, Response, Stack, client, connect_from, exchange, get, get_json, request, stack, until,
};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn requests(list: &Value) -> &Vec<Value> {
    list["requests"].as_array().expect("the list has requests")
}

fn seqs(list: &Value) -> Vec<u64> {
    requests(list)
        .iter()
        .map(|request| request["seq"].as_u64().expect("a number"))
        .collect()
}

/// The viewer or the responder would get half of haproxy's connections.
#[tokio::test]
async fn haproxy_is_not_started_where_the_viewer_or_the_responder_listens() -> anyhow::Result<()> {
    let run = tempfile::tempdir()?;
    let bound = |variables: &[(&str, &str)]| {
        let output = command(project().join("supervisor/haproxy"))
            .args(["-c", "-V"])
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH")?))
            .env("FOREVER200_RUN", run.path())
            .envs(variables.iter().copied())
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        let is_refused = said.contains("where the viewer or the responder listens");
        ensure!(is_refused != output.status.success(), "{said}");
        anyhow::Ok(is_refused)
    };
    let everywhere = ("FOREVER200_VIEWER_LISTEN", "0.0.0.0:8080");
    for (bind, viewer, is_refused) in [
        ("127.0.0.1:8080", None, true),
        (":80,localhost:8080", None, true),
        ("127.0.0.1:8000-8100", None, true),
        ("127.0.0.1:9990-9999", None, true),
        ("127.0.0.1:8081-9998", None, false),
        ("127.0.0.2:8080,:8080,:9999", None, false),
        (":8080", Some(everywhere), true),
        ("*:8080", Some(everywhere), true),
        ("127.0.0.1:8080", Some(everywhere), false),
        (":80", Some(everywhere), false),
    ] {
        let variables: Vec<_> = [("FOREVER200_BIND", bind)]
            .into_iter()
            .chain(viewer)
            .collect();
        assert_eq!(bound(&variables)?, is_refused, "{variables:?}");
    }
    Ok(())
}

fn http_get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Odd:  Two\r\n\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_probe_is_answered_and_arrives_byte_for_byte() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let probes = probes::probes();
    let front = stack.front();
    let exchanges: Vec<_> = probes
        .into_iter()
        .map(|(name, bytes)| {
            tokio::spawn(async move { (name, exchange(front, &bytes).await, bytes) })
        })
        .collect();
    let mut sent = Vec::new();
    for exchange in exchanges {
        let (name, reply, bytes) = exchange.await?;
        let (reply, client) = reply.context(name)?;
        assert_eq!(
            reply.escape_ascii().to_string(),
            RESPONSE.escape_ascii().to_string(),
            "{name}"
        );
        sent.push((name, bytes, client));
    }
    assert!(sent.len() >= 41, "{} probes", sent.len());
    let list = stack.until_recorded(sent.len() as u64).await?;
    for (name, bytes, client) in sent {
        let record = requests(&list)
            .iter()
            .find(|record| record["src_port"] == client.port())
            .context(name)?;
        assert_eq!(record["src_ip"], client.ip().to_string(), "{name}");
        assert_eq!(record["dest_ip"], front.ip().to_string(), "{name}");
        assert_eq!(record["dest_port"], front.port(), "{name}");
        assert_eq!(record["via"], "proxy_v2", "{name}");
        assert_eq!(record["bytes"], bytes.len(), "{name}");
        let raw = stack
            .get(&format!("/home/requests/{}/raw", record["seq"]))
            .await?;
        assert_eq!(raw.header("content-type"), Some("application/octet-stream"));
        assert_eq!(
            raw.body.escape_ascii().to_string(),
            bytes.escape_ascii().to_string(),
            "{name}"
        );
        // Each request has a page, whatever it is.
        let page = stack
            .get(&format!("/home/requests/{}", record["seq"]))
            .await?;
        assert_eq!(page.status, 200, "{name}");
    }
    assert_eq!(stack.get("/home").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_the_client_and_not_haproxy() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let mut stream = connect_from("127.99.88.77".parse()?, stack.front()).await?;
    let client = stream.local_addr()?;
    stream.write_all(&http_get("/from")).await?;
    assert_eq!(client::read_to_end(&mut stream).await?, RESPONSE);
    let list = stack.until_recorded(1).await?;
    assert_eq!(list["requests"][0]["src_ip"], "127.99.88.77");
    assert_eq!(list["requests"][0]["src_port"], client.port());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn home_is_the_viewers_and_all_else_is_the_responders() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    for (method, path, status) in [
        ("GET", "/home", 200),
        ("GET", "/home/", 200),
        ("GET", "/home?q=x", 200),
        ("GET", "/home?x", 400),
        ("HEAD", "/home", 200),
        ("POST", "/home", 405),
        ("DELETE", "/home/api/requests", 405),
        ("GET", "/home/requests/1", 404),
        ("GET", "/home/requests/1/har", 404),
        ("GET", "/home/api/requests/1", 404),
        ("GET", "/home/api/requests?limit=many", 400),
    ] {
        let response = request(stack.front(), method, path).await?;
        assert_eq!(response.status, status, "{method} {path}");
        let policy = response
            .header("content-security-policy")
            .context("no policy")?;
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-robots-tag", "noindex"),
        ] {
            assert_eq!(response.header(name), Some(value), "{method} {path}");
        }
        assert!(
            response.header("cache-control").is_some(),
            "{method} {path}"
        );
        let is_json = response
            .header("content-type")
            .is_some_and(|found| found == "application/json");
        let is_for_programs = path.starts_with("/home/api") || path.ends_with("/har");
        assert_eq!(is_json, is_for_programs, "{method} {path}");
        if status == 405 {
            assert_eq!(
                response.header("allow"),
                Some("GET,HEAD"),
                "{method} {path}"
            );
        }
    }
    for path in [
        "/",
        "/homework",
        "/home.php",
        "//home",
        "/%68ome",
        "/HOME",
        "/x/home",
        // Not pages: other paths below /home are recorded like any request.
        "/home/nothing",
        "/home/requests/abc",
        "/home/static/../../../etc/passwd",
    ] {
        assert_eq!(stack.send(&http_get(path)).await?, RESPONSE, "{path}");
    }
    let list = stack.until_recorded(10).await?;
    assert_eq!(list["total"], 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_kept_alive_connection_gets_the_page_and_the_200_in_turn() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let mut stream = TcpStream::connect(stack.front()).await?;
    let mut received = Vec::new();
    for path in ["/home", "/x", "/home"] {
        stream.write_all(&http_get(path)).await?;
        let response = loop {
            if let Some(response) = Response::split_off(&mut received, "GET") {
                break response;
            }
            anyhow::ensure!(
                stream.read_buf(&mut received).await? > 0,
                "{path}: the connection was closed"
            );
        };
        assert_eq!(response.status, 200, "{path}");
        assert_eq!(
            response.text().contains("<!doctype html>"),
            path == "/home",
            "{path}"
        );
    }
    let list = stack.until_recorded(1).await?;
    let record = &list["requests"][0];
    assert_eq!(
        (&record["via"], &record["summary"]),
        (&"http".into(), &"GET /x".into())
    );
    assert_eq!(record["src_port"], stream.local_addr()?.port());
    // The page tells that haproxy has rewritten these bytes.
    assert!(
        stack
            .get("/home/requests/1")
            .await?
            .text()
            .contains("rewritten by haproxy")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_home_split_anywhere_is_a_request_for_home() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let request = b"GET /home/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for cut in 1..request.len() {
        let mut stream = TcpStream::connect(stack.front()).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&request[..cut]).await?;
        tokio::task::yield_now().await;
        stream.write_all(&request[cut..]).await?;
        let reply = client::read_to_end(&mut stream).await?;
        assert!(
            reply.starts_with(b"HTTP/1.1 200 ") && reply.ends_with(b"}"),
            "{cut}: {}",
            reply.escape_ascii()
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_half_closes_and_bodies_pass_through_haproxy() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let mut sent = Vec::new();
    let chunked = b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for cut in 1..chunked.len() {
        let mut stream = TcpStream::connect(stack.front()).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&chunked[..cut]).await?;
        tokio::task::yield_now().await;
        stream.write_all(&chunked[cut..]).await?;
        assert_eq!(client::read_to_end(&mut stream).await?, RESPONSE, "{cut}");
        sent.push(chunked.to_vec());
    }
    let mut stream = TcpStream::connect(stack.front()).await?;
    stream.write_all(b"GET /half-close HT").await?;
    stream.shutdown().await?;
    assert_eq!(client::read_to_end(&mut stream).await?, RESPONSE);
    sent.push(b"GET /half-close HT".to_vec());

    let big = [
        b"POST /big HTTP/1.1\r\nContent-Length: 2097152\r\n\r\n",
        &vec![b'x'; 2_097_152][..],
    ]
    .concat();
    assert_eq!(stack.send(&big).await?, RESPONSE);
    sent.push(big[..65_536].to_vec());

    let list = stack.until_recorded(sent.len() as u64).await?;
    assert_eq!(list["total"], sent.len());
    for (seq, bytes) in (1..).zip(sent) {
        assert_eq!(
            stack.get(&format!("/home/requests/{seq}/raw")).await?.body,
            bytes,
            "{seq}"
        );
    }
    assert_eq!(
        (
            &list["requests"][0]["truncated"],
            &list["requests"][0]["ended"]
        ),
        (&true.into(), &"limit".into())
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_byte_and_a_health_check_are_not_requests() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    for _ in 0..5 {
        let mut stream = TcpStream::connect(stack.front()).await?;
        stream.shutdown().await?;
        assert_eq!(client::read_to_end(&mut stream).await?, b"");
    }
    stack.edit_haproxy_cfg(
        r#"server responder "${RESPONDER}" send-proxy-v2"#,
        r#"server responder "${RESPONDER}" send-proxy-v2 check inter 20ms"#,
    )?;
    stack.supervisorctl(&["signal", "USR2", "haproxy"])?;
    until("haproxy has checked it", || async {
        stack
            .haproxy("show stat responder 4 -1")
            .await
            .ok()
            .filter(|stat| stat.contains(",L4OK,"))
    })
    .await?;
    let list = until("five are counted", || async {
        get_json(stack.front(), "/home/api/requests")
            .await
            .ok()
            .filter(|list| list["silent"].as_u64() >= Some(5))
    })
    .await?;
    assert_eq!((&list["silent"], &list["total"]), (&5.into(), &0.into()));
    assert!(
        !stack.log().contains("connection dropped"),
        "{}",
        stack.log()
    );
    Ok(())
}

/// Browsers open connections before they need them.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_silent_for_long_still_gets_the_page() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let (mut ahead, mut never) = (
        TcpStream::connect(stack.front()).await?,
        TcpStream::connect(stack.front()).await?,
    );
    let start = Instant::now();
    // This connection ends when haproxy gives up. By then the other one has waited nearly as long.
    tokio::time::timeout(Duration::from_secs(8), never.read_u8())
        .await
        .expect_err("it is not given up so soon");
    ahead
        .write_all(b"GET /home HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await?;
    let page = client::read_to_end(&mut ahead).await?;
    assert!(
        page.ends_with(b"</html>") || page.ends_with(b"</html>\n"),
        "{}",
        page.escape_ascii()
    );
    assert_eq!(client::read_to_end(&mut never).await?, b"");
    assert!(
        (9..13).contains(&start.elapsed().as_secs()),
        "{:?}",
        start.elapsed()
    );
    let counted = || async {
        get_json(stack.front(), "/home/api/requests")
            .await
            .ok()
            .filter(|list| list["silent"].as_u64() == Some(1))
    };
    assert_eq!(until("it is counted", counted).await?["total"], 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_shows_is_what_was_sent() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let empty = stack.get("/home").await?.text();
    assert!(empty.contains("curl -i http://localhost/hello"), "{empty}");
    stack.send(&http_get("/<script>alert(1)</script>")).await?;
    stack.until_recorded(1).await?;
    for path in ["/home", "/home/requests/1"] {
        let page = stack.get(path).await?.text();
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;&#x2f;script&gt;"),
            "{page}"
        );
        assert!(!page.contains("<script>"), "{page}");
    }
    let page = stack.get("/home/requests/1").await?.text();
    assert!(page.contains(r"X-Odd:  Two<u>\r\n</u>"), "{page}");
    assert!(
        page.contains("47 45 54 20 2f <mark>3c 73 63  72 69 70 74"),
        "{page}"
    );
    let text = stack.get("/home/text").await?;
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(text.text().contains("GET /<script>alert(1)</script>"));
    let one = get_json(stack.front(), "/home/api/requests/1").await?;
    assert_eq!(
        one["http"]["headers"],
        serde_json::json!([["Host", "x"], ["X-Odd", "Two"]])
    );
    assert_eq!(one["raw_base64"].as_str().map(str::len), Some(88));
    let list = get_json(stack.front(), "/home/api/requests?raw=true&limit=1").await?;
    assert_eq!(list["requests"][0], one);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_102nd_request_replaces_the_first() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    for number in 1..=101 {
        stack.send(&http_get(&format!("/{number}"))).await?;
    }
    let list = stack.until_recorded(101).await?;
    assert_eq!(seqs(&list), (1..=101).rev().collect::<Vec<_>>());
    assert_eq!(stack.get("/home/requests/1").await?.status, 200);
    stack.send(&http_get("/102")).await?;
    let list = stack.until_recorded(102).await?;
    assert_eq!(seqs(&list), (2..=102).rev().collect::<Vec<_>>());
    let gone = stack.get("/home/requests/1").await?;
    assert_eq!(gone.status, 404);
    assert!(gone.text().contains("does not exist"), "{}", gone.text());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_1000_requests_by_50_clients_the_ring_holds_the_last_101() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let front = stack.front();
    let clients: Vec<_> = (0..50)
        .map(|client| {
            tokio::spawn(async move {
                for number in 0..20 {
                    let (reply, _) =
                        exchange(front, &http_get(&format!("/{client}/{number}"))).await?;
                    anyhow::ensure!(reply == RESPONSE, "{}", reply.escape_ascii());
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for client in clients {
        client.await??;
    }
    stack.until_recorded(1000).await?;
    let list = until("the last slots are written", || async {
        get_json(front, "/home/api/requests?raw=true")
            .await
            .ok()
            .filter(|list| seqs(list).last() == Some(&900))
    })
    .await?;
    assert_eq!(list["total"], 1000);
    assert_eq!(seqs(&list), (900..=1000).rev().collect::<Vec<_>>());
    let different: HashSet<_> = requests(&list)
        .iter()
        .map(|request| request["raw_base64"].as_str())
        .collect();
    assert_eq!(different.len(), 101);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_memcached_the_page_says_so_and_recovers() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    stack.send(&http_get("/x")).await?;
    stack.until_recorded(1).await?;
    stack.supervisorctl(&["stop", "memcached"])?;
    for (path, says) in [
        ("/home", "<h1>memcached is unreachable</h1>"),
        ("/home/requests/1", "<h1>memcached is unreachable</h1>"),
        (
            "/home/api/requests",
            r#"{"error":"The requests cannot be read"#,
        ),
        ("/home/health", r#""status":"the ring cannot be read""#),
    ] {
        let response = stack.get(path).await?;
        assert_eq!(response.status, 503, "{path}");
        assert!(
            response.text().contains(says),
            "{path}: {}",
            response.text()
        );
    }
    assert_eq!(stack.send(&http_get("/y")).await?, RESPONSE);
    stack.supervisorctl(&["start", "memcached"])?;
    assert_eq!(seqs(&stack.until_recorded(2).await?), [2, 1]);
    assert_eq!(stack.get("/home").await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_viewer_haproxy_says_so_and_requests_are_still_kept() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    stack.supervisorctl(&["stop", "viewer"])?;
    let mut reply = stack
        .send(b"GET /home HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await?;
    let response = Response::split_off(&mut reply, "GET").context("no response")?;
    assert_eq!(
        (response.status, response.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(
        response.text(),
        "The viewer is being restarted. A browser tries again by itself.\n"
    );
    assert_eq!(stack.send(&http_get("/x")).await?, RESPONSE);
    stack.supervisorctl(&["start", "viewer"])?;
    assert_eq!(seqs(&stack.until_recorded(1).await?), [1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_drains_and_leaves_nothing_behind() -> anyhow::Result<()> {
    let mut stack = Stack::start().await?;
    let front = stack.front();
    // A request in flight when the stop comes. It is complete after two seconds without a byte.
    let in_hand = tokio::spawn(exchange(
        front,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nhalf",
    ));
    let socket = stack.run_path("responder.sock");
    until("haproxy has passed it on", || async {
        let sockets = std::fs::read_to_string("/proc/net/unix").ok()?;
        let connections = sockets.matches(&*socket.to_string_lossy()).count();
        // The listening socket and the accepted connection.
        (connections >= 2).then_some(())
    })
    .await?;
    let start = Instant::now();
    assert!(stack.stop().await?.success());
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(in_hand.await??.0, RESPONSE);
    assert!(!stack.log().contains("Traceback"), "{}", stack.log());
    for port in [stack::FRONT_PORT, 8080, 9999, 11211] {
        assert!(
            TcpStream::connect(stack.at(port)).await.is_err(),
            "{port} is still open"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_be_started_ends_everything() -> anyhow::Result<()> {
    let mut stack = Stack::spawn(Setup {
        variables: &[("FOREVER200_MAX_REQUEST_BYTES", "many")],
        ..Setup::default()
    })?;
    stack.until_ended().await?;
    let log = stack.log();
    assert!(log.contains("responder entered FATAL state"), "{log}");
    assert!(
        log.contains("invalid value 'many' for '--max-request-bytes"),
        "{log}"
    );
    let mark = std::fs::read_to_string(stack.run_path("fatal"))?;
    assert!(mark.contains("PROCESS_STATE_FATAL"), "{mark}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_haproxy_cfg_is_loaded_without_losing_a_connection() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let load = Load::start(stack.front(), "reload", FULL);
    let idle = TcpStream::connect(stack.front()).await?;
    stack.until_recorded(50).await?;
    let bind = r#"    bind "${FOREVER200_BIND-:8000}""#;
    stack.edit_haproxy_cfg(bind, &format!("{bind}\n    bind {}", stack.at(8001)))?;
    stack.supervisorctl(&["signal", "USR2", "haproxy"])?;
    until("the new address answers", || async {
        get(stack.at(8001), "/home/health").await.ok()
    })
    .await?;
    assert_eq!(
        exchange(stack.at(8001), &http_get("/new")).await?.0,
        RESPONSE
    );
    assert_eq!(stack.send(&http_get("/old")).await?, RESPONSE);
    // A connection from before the reload is still served.
    let mut idle = idle;
    idle.write_all(&http_get("/idle")).await?;
    assert_eq!(client::read_to_end(&mut idle).await?, RESPONSE);
    let attempts = load.stop().await?;
    assert_eq!(attempts.failed(), 0, "of {}", attempts.0.len());
    Ok(())
}

/// A request may take 10 s in haproxy, while it may still become a request for a page, and 10 s at
/// the responder.
#[tokio::test(flavor = "multi_thread")]
async fn the_slowest_request_outlives_a_reload() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let mut slow = TcpStream::connect(stack.front()).await?;
    slow.write_all(b"POST /home").await?;
    until("haproxy has accepted it", || async {
        let info = stack.haproxy("show info").await.ok()?;
        info.contains("\nCurrConns: 1\n").then_some(())
    })
    .await?;
    stack.supervisorctl(&["signal", "USR2", "haproxy"])?;
    let (mut reading, mut writing) = slow.into_split();
    let more = tokio::spawn(async move {
        // haproxy holds the request as long as it may be for a page, and the responder as long as
        // more bytes come.
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        while writing.write_all(b"/").await.is_ok() {
            pace.tick().await;
        }
    });
    let before = Instant::now();
    let mut reply = Vec::new();
    reading.read_to_end(&mut reply).await?;
    more.abort();
    assert_eq!(reply, RESPONSE);
    assert!(
        before.elapsed() > Duration::from_secs(16),
        "it was not slow"
    );
    Ok(())
}

/// Runs a program with these variables until it ends. Returns its exit status and stderr.
fn run(
    program: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> anyhow::Result<(Option<i32>, String)> {
    let path = programs()?.join(program);
    let output = command(path)
        .args(arguments)
        .envs(variables.iter().copied())
        .env("NO_COLOR", "1")
        .output()?;
    Ok((output.status.code(), String::from_utf8(output.stderr)?))
}

#[test]
fn a_bad_flag_or_variable_is_one_clear_line_and_status_2() -> anyhow::Result<()> {
    for program in ["forever200-responder", "forever200-viewer"] {
        for (arguments, variables, says) in [
            (
                &["--listen", "nowhere"][..],
                &[][..],
                "invalid value 'nowhere' for '--listen <ADDRESS>'",
            ),
            (&["--wrong"], &[], "unexpected argument '--wrong'"),
            (
                &[],
                &[("FOREVER200_MEMCACHED", "11211")],
                "'--memcached <ADDRESS>': expected host:port",
            ),
            (
                &[],
                &[("FOREVER200_LOG_FORMAT", "xml")],
                "invalid value 'xml' for '--log-format <FORMAT>'",
            ),
            (
                &[],
                &[("FOREVER200_LOG", "a=b=c")],
                "invalid value 'a=b=c' for '--log <FILTER>'",
            ),
        ] {
            let (status, stderr) = run(program, arguments, variables)?;
            assert_eq!(status, Some(2), "{program}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{program}: {stderr}");
            assert!(stderr.contains(says), "{program}: {stderr}");
        }
    }
    for (name, value) in [
        ("FOREVER200_MAX_REQUEST_BYTES", "0"),
        ("FOREVER200_PROXY_PROTOCOL", "maybe"),
    ] {
        let (status, stderr) = run("forever200-responder", &[], &[(name, value)])?;
        assert_eq!((status, stderr.lines().count()), (Some(2), 1), "{stderr}");
    }
    Ok(())
}

#[test]
fn a_taken_address_is_named() -> anyhow::Result<()> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for program in ["forever200-responder", "forever200-viewer"] {
        let (status, stderr) = run(program, &["--listen", &address], &[])?;
        assert_eq!(status, Some(1), "{stderr}");
        assert!(
            stderr.contains(&format!("cannot listen on {address}")),
            "{stderr}"
        );
        assert!(stderr.contains("Address already in use"), "{stderr}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_asks_the_viewer_through_haproxy_and_the_responder() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    assert_eq!(stack.unhealthy()?, None);
    let complaint = async || stack.unhealthy()?.context("it is called healthy");

    let responder = stack.pid("responder")?.context("it does not run")?;
    signal(responder, Signal::STOP)?;
    let line = complaint().await?;
    assert!(line.starts_with("unhealthy: the responder"), "{line}");
    signal(responder, Signal::CONT)?;
    until("it is healthy again", || async {
        stack.unhealthy().ok()?.is_none().then_some(())
    })
    .await?;

    let haproxy = stack.haproxy("show info").await?;
    let worker = haproxy.lines().find_map(|line| line.strip_prefix("Pid: "));
    let worker = worker.context("haproxy does not say who it is")?.parse()?;
    signal(worker, Signal::STOP)?;
    let line = complaint().await?;
    assert!(line.starts_with("unhealthy: haproxy"), "{line}");
    signal(worker, Signal::CONT)?;

    stack.supervisorctl(&["stop", "memcached"])?;
    let line = complaint().await?;
    assert!(line.contains("503 Service Unavailable"), "{line}");
    stack.supervisorctl(&["stop", "haproxy"])?;
    let line = complaint().await?;
    assert!(line.starts_with("unhealthy: haproxy"), "{line}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_leave_no_record_no_count_and_no_log_line() -> anyhow::Result<()> {
    let stack = Stack::start_with(&[("FOREVER200_LOG", "debug")]).await?;
    let before = stack.log();
    assert!(before.contains("forever200_"), "{before}");
    for _ in 0..20 {
        assert_eq!(stack.unhealthy()?, None);
    }
    // The responder's TCP address, for the case without a socket.
    let tcp = command(programs()?.join("forever200-viewer"))
        .arg("health")
        .env("FOREVER200_BIND", stack.front().to_string())
        .env("FOREVER200_RESPONDER_LISTEN", stack.at(9999).to_string())
        .output()?;
    assert_eq!(String::from_utf8(tcp.stderr)?, "");
    assert_eq!(stack.send(&http_get("/x")).await?, RESPONSE);
    let list = stack.until_recorded(1).await?;
    assert_eq!((&list["silent"], &list["total"]), (&0.into(), &1.into()));
    let log = stack.log();
    let new = log.strip_prefix(&before).context("the log goes on")?;
    // supervisord's own lines, that programs have run long enough, may come at any time.
    let ours = new.lines().find(|line| line.contains("forever200_"));
    assert_eq!(ours, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_the_soft_limit_of_files_are_served() -> anyhow::Result<()> {
    let program = programs()?.join("forever200-responder");
    let address = std::net::SocketAddr::from((forever200_testkit::loopback(), 9999));
    let _responder = tokio::process::Command::from(command("sh"))
        .args([
            "-c",
            "ulimit -S -n 64; exec \"$0\" --listen \"$1\" --memcached 127.0.0.1:1",
            &program.to_string_lossy(),
        ])
        .arg(address.to_string())
        .kill_on_drop(true)
        .spawn()?;
    until("it listens", || async {
        TcpStream::connect(address).await.ok()
    })
    .await?;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(address).await?);
    }
    // The idle connections came first and are accepted first. They would make room only at their
    // deadline of 10 s.
    let start = Instant::now();
    assert_eq!(exchange(address, &http_get("/")).await?.0, RESPONSE);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    drop(idle);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_file_descriptors_it_waits_and_goes_on() -> anyhow::Result<()> {
    let program = programs()?.join("forever200-responder");
    let address = std::net::SocketAddr::from((forever200_testkit::loopback(), 9999));
    let mut responder = tokio::process::Command::from(command("sh"))
        .args([
            "-c",
            "ulimit -n 24; exec \"$0\" --listen \"$1\" --memcached 127.0.0.1:1",
            &program.to_string_lossy(),
        ])
        .arg(address.to_string())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Err(error) = until("it listens", || async {
        TcpStream::connect(address).await.ok()
    })
    .await
    {
        responder.kill().await?;
        anyhow::bail!(
            "{error}: {}",
            String::from_utf8(responder.wait_with_output().await?.stderr)?
        );
    }
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(TcpStream::connect(address).await?);
    }
    let log = responder.stderr.take().context("stderr is piped")?;
    let mut lines = tokio::io::BufReader::new(log).lines();
    while let Some(line) = lines.next_line().await? {
        if line.contains("cannot accept") && line.contains("Too many open files") {
            break;
        }
    }
    drop(clients);
    until("it answers", || async {
        exchange(address, &http_get("/"))
            .await
            .ok()
            .filter(|found| found.0 == RESPONSE)
    })
    .await?;
    Ok(())
}
