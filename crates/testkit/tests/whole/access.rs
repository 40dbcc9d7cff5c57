//! Who may look at the page, and how many connections each may have.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use forever200_testkit::process::{command, programs};
use forever200_testkit::stack::Setup;
use forever200_testkit::{
    RESPONSE, Response, Stack, client, connect_from, exchange, exchange_from, get, until,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CFG: &str = "haproxy/haproxy.cfg";
/// An address that is neither 127.0.0.1 nor in 192.0.2.0/24.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 99, 88, 78);
/// A request whose answer lasts as long as the client likes.
const EVENTS: &[u8] = b"GET /home/events HTTP/1.1\r\nHost: x\r\n\r\n";

fn home(headers: &str) -> Vec<u8> {
    format!("GET /home HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_login_strangers_are_asked_for_the_password_and_recorded() -> anyhow::Result<()> {
    let edits = [
        (CFG, "#userlist owners", "userlist owners"),
        (
            CFG,
            "#    user admin insecure-password \"CHOOSE-A-PASSWORD\"",
            "    user admin insecure-password \"s3cret\"",
        ),
        (CFG, "#use_backend login", "use_backend login"),
    ];
    let stack = Stack::spawn(Setup {
        edits: &edits,
        ..Setup::default()
    })?;
    // The health check asks for /home/health, which needs no password.
    until("it is healthy", || async {
        get(stack.front(), "/home/health")
            .await
            .ok()
            .filter(|it| it.status == 200)
    })
    .await?;
    // admin:s3cret, admin:wrong, and text that is not base64.
    for (headers, status) in [
        ("", 401),
        ("Authorization: Basic YWRtaW46d3Jvbmc=\r\n", 401),
        ("Authorization: Basic !\r\n", 401),
        ("Authorization: Basic YWRtaW46czNjcmV0\r\n", 200),
    ] {
        let mut reply = stack.send(&home(headers)).await?;
        let response = Response::split_off(&mut reply, "GET").context("no response")?;
        assert_eq!(response.status, status, "{headers}");
        assert_eq!(
            response.header("www-authenticate").is_some(),
            status == 401,
            "{headers}"
        );
        assert_eq!(
            response.text().contains("<!doctype html>"),
            status == 200,
            "{headers}"
        );
    }
    for path in [
        "/home/api/requests",
        "/home/events",
        "/home/static/style.css",
        "/home/requests/1/raw",
    ] {
        assert_eq!(stack.get(path).await?.status, 401, "{path}");
    }
    // A target in UTF-8 does not get past the password.
    for (headers, status) in [
        ("", 401),
        ("Authorization: Basic YWRtaW46czNjcmV0\r\n", 200),
    ] {
        let look = format!("GET /home/text?q=ü HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let mut reply = stack.send(look.as_bytes()).await?;
        let response = Response::split_off(&mut reply, "GET").context("no response")?;
        assert_eq!(response.status, status, "{headers}");
    }
    assert_eq!(
        stack.send(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n").await?,
        RESPONSE
    );
    // All requests but the two that were let in are on the page; the one with the wrong password
    // with its bytes.
    let list = stack.until_recorded_by(stack.at(8080), 9).await?;
    assert_eq!(list["total"], 9);
    let requests = list["requests"].as_array().context("a list")?;
    let wrong = requests
        .iter()
        .find(|request| request["http"].to_string().contains("YWRtaW46d3Jvbmc="));
    assert_eq!(
        wrong.context("the wrong password is not there")?["via"],
        "http"
    );
    assert!(!list.to_string().contains("YWRtaW46czNjcmV0"), "{list}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_can_be_kept_from_all_but_some_networks() -> anyhow::Result<()> {
    let private = "tcp-request content accept if !{ src 127.0.0.0/8 10.0.0.0/8";
    for (line, shipped) in [
        (
            "tcp-request content accept if !{ src 127.0.0.1 192.0.2.0/24 }",
            "",
        ),
        // All tests use addresses of 127.0.0.0/8. Only a part of it is let in, so that the others
        // are strangers.
        (
            private,
            "tcp-request content accept if !{ src 127.0.0.0/10 10.0.0.0/8",
        ),
    ] {
        let edited = if shipped.is_empty() { line } else { shipped };
        let edits = [(CFG, &*format!("#{line}"), edited)];
        let stack = Stack::start_as(Setup {
            edits: &edits,
            ..Setup::default()
        })
        .await?;
        assert_eq!(
            exchange_from(STRANGER, stack.front(), &home("")).await?,
            RESPONSE,
            "{line}"
        );
        let list = stack.until_recorded(1).await?;
        let stranger = &list["requests"][0];
        assert_eq!(
            (&stranger["summary"], &stranger["via"]),
            (&"GET /home".into(), &"proxy_v2".into())
        );
        assert_eq!(stack.get("/home").await?.status, 200, "{line}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_on_in_any_case() -> anyhow::Result<()> {
    for on in ["ON", "1", "True"] {
        let stack = Stack::start_with(&[("FOREVER200_PAGE", on)]).await?;
        assert_eq!(stack.unhealthy()?, None, "{on}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_page_off_home_is_as_any_path() -> anyhow::Result<()> {
    for off in ["off", "0", "FALSE", "of"] {
        let stack = Stack::spawn(Setup {
            variables: &[("FOREVER200_PAGE", off)],
            ..Setup::default()
        })?;
        until("it answers", || async {
            stack
                .send(&home(""))
                .await
                .ok()
                .filter(|reply| reply == RESPONSE)
        })
        .await?;
        // The viewer's own address still has the page, for a port on loopback or a tunnel.
        let list = stack.until_recorded_by(stack.at(8080), 1).await?;
        // A website may let its own name resolve to this address.
        for (host, status) in [
            ("127.0.0.1:8080", 200),
            ("localhost", 200),
            ("evil.example", 421),
        ] {
            let request =
                format!("GET /home HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            let (mut reply, _) = exchange(stack.at(8080), request.as_bytes()).await?;
            let response = Response::split_off(&mut reply, "GET").context("no response")?;
            assert_eq!(response.status, status, "{host}");
        }
        assert_eq!(list["requests"][0]["summary"], "GET /home");
        if off != "of" {
            let (viewer, bind) = (stack.at(8080).to_string(), stack.front().to_string());
            let socket = stack.run_path("responder.sock").display().to_string();
            let health = command(programs()?.join("forever200-viewer"))
                .arg("health")
                .envs([
                    ("FOREVER200_PAGE", off),
                    ("FOREVER200_VIEWER_LISTEN", &viewer),
                    ("FOREVER200_BIND", &bind),
                    ("FOREVER200_RESPONDER_SOCKET", &socket),
                ])
                .output()?;
            assert!(
                health.status.success(),
                "{}",
                String::from_utf8_lossy(&health.stderr)
            );
        }
    }
    Ok(())
}

/// Opens `count` connections from a source, and sends bytes on each.
async fn open(
    source: Ipv4Addr,
    stack: &Stack,
    count: usize,
    bytes: &[u8],
) -> anyhow::Result<Vec<TcpStream>> {
    let mut open = Vec::new();
    for _ in 0..count {
        let mut stream = connect_from(source, stack.front()).await?;
        stream.write_all(bytes).await?;
        open.push(stream);
    }
    Ok(open)
}

/// Sends a request from a source, and tells whether it is answered. Beyond the limit, the
/// connection is closed, with or without a reset.
async fn is_answered(source: Ipv4Addr, stack: &Stack, request: &[u8]) -> bool {
    exchange_from(source, stack.front(), request)
        .await
        .is_ok_and(|reply| reply.starts_with(b"HTTP/1.1 200 "))
}

/// Starts a stack with this limit of connections; the default is 8,000.
async fn with_connections(connections: usize) -> anyhow::Result<Stack> {
    let number = connections.to_string();
    let variables = [("FOREVER200_MAX_CONNECTIONS", &*number)];
    let variables = if connections == 8000 {
        &[]
    } else {
        &variables[..]
    };
    Stack::start_with(variables).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_source_has_a_sixteenth_of_all_connections_or_8() -> anyhow::Result<()> {
    for (connections, share) in [(8000, 500), (400, 25), (60, 8)] {
        let stack = with_connections(connections).await?;
        let request = b"GET / HTTP/1.1\r\n\r\n";
        let mut greedy = open(STRANGER, &stack, share, b"GET /ho").await?;
        until("haproxy has accepted them", || async {
            let table = stack.haproxy("show table sources").await.ok()?;
            let all = format!("conn_cur={share}\n");
            table.contains(&all).then_some(())
        })
        .await?;
        assert!(!is_answered(STRANGER, &stack, request).await, "{share}");
        assert!(is_answered(Ipv4Addr::new(127, 99, 88, 79), &stack, request).await);
        assert_eq!(exchange(stack.front(), request).await?.0, RESPONSE);
        // All of them are answered when their time is over, or at once when they send more.
        let mut first = greedy.swap_remove(0);
        first.write_all(b"rse HTTP/1.1\r\n\r\n").await?;
        assert_eq!(client::read_to_end(&mut first).await?, RESPONSE);
        drop(greedy);
        until("there is room again", || async {
            is_answered(STRANGER, &stack, request).await.then_some(())
        })
        .await?;
    }
    Ok(())
}

/// Opens event streams from addresses of 127.98.0.0/16, starting with the address of number
/// `first`; `of_each` from each address.
async fn watch(
    stack: &Stack,
    first: usize,
    addresses: usize,
    of_each: usize,
) -> anyhow::Result<Vec<TcpStream>> {
    let mut watching = Vec::new();
    for number in first..first + addresses {
        let [high, low] = u16::try_from(number)?.to_be_bytes();
        let source = Ipv4Addr::new(127, 98, high, low);
        watching.extend(open(source, stack, of_each, EVENTS).await?);
    }
    Ok(watching)
}

/// Waits until haproxy counts `count` connections that have asked for a page.
async fn until_visitors(stack: &Stack, count: usize) -> anyhow::Result<()> {
    until(&format!("there are {count} visitors"), || async {
        let table = stack.haproxy("show table visitors").await.ok()?;
        let all = format!("conn_cur={count}\n");
        table.contains(&all).then_some(())
    })
    .await
}

/// Waits until there is room for one more visitor from an address.
async fn until_let_in(source: Ipv4Addr, stack: &Stack) -> anyhow::Result<()> {
    until("there is room again", || async {
        is_answered(source, stack, &home("")).await.then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_50_connections_to_the_page_or_8() -> anyhow::Result<()> {
    for (connections, share) in [(8000, 50), (2400, 15), (400, 8)] {
        let stack = with_connections(connections).await?;
        let watching = open(STRANGER, &stack, share, EVENTS).await?;
        until_visitors(&stack, share).await?;
        assert!(!is_answered(STRANGER, &stack, &home("")).await, "{share}");
        // Other addresses get in, and other requests of this address are answered.
        assert!(is_answered(Ipv4Addr::new(127, 99, 88, 79), &stack, &home("")).await);
        assert_eq!(
            exchange_from(STRANGER, stack.front(), b"GET / HTTP/1.1\r\n\r\n").await?,
            RESPONSE
        );
        drop(watching);
        until_let_in(STRANGER, &stack).await?;
    }
    Ok(())
}

/// haproxy forgets what it counted for a request when the next request comes on the same
/// connection.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_request_of_a_connection_counts_as_the_first() -> anyhow::Result<()> {
    let stack = with_connections(400).await?;
    let first = b"GET /home/health HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut connections = Vec::new();
    for _ in 0..9 {
        let mut stream = open(STRANGER, &stack, 1, first).await?.remove(0);
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        assert_eq!(status, *b"HTTP/1.1 200");
        connections.push(stream);
    }
    until_visitors(&stack, 0).await?;
    for stream in &mut connections[..8] {
        stream.write_all(EVENTS).await?;
    }
    until_visitors(&stack, 8).await?;
    let mut ninth = connections.pop().context("the ninth")?;
    ninth.write_all(EVENTS).await?;
    until("the ninth is closed", || async {
        is_over(&ninth).then_some(())
    })
    .await?;
    assert!(!connections.iter().any(is_over));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_look_cannot_take_the_room_of_those_who_are_recorded() -> anyhow::Result<()> {
    forever200_daemon::raise_file_limit();
    // The limit of connections, how many sources fill a quarter of it, with how many connections
    // each, and three eighths of the limit.
    for (connections, full, of_each, reserve) in
        [(8000, 40, 50, 3000), (400, 20, 5, 150), (20, 2, 4, 12)]
    {
        let stack = with_connections(connections).await?;
        let mut watching = watch(&stack, 256, full, of_each).await?;
        until_visitors(&stack, full * of_each).await?;
        // An address with 4 or more connections gets no further one. An address without any gets 4.
        let greedy = Ipv4Addr::new(127, 98, 1, 0);
        assert!(!is_answered(greedy, &stack, &home("")).await);
        let mut own = open(STRANGER, &stack, 3, EVENTS).await?;
        until_visitors(&stack, full * of_each + 3).await?;
        assert!(is_answered(STRANGER, &stack, &home("")).await);
        // haproxy counts the answered connection for a moment longer.
        until_visitors(&stack, full * of_each + 3).await?;
        own.extend(open(STRANGER, &stack, 1, EVENTS).await?);
        until_visitors(&stack, full * of_each + 4).await?;
        assert!(!is_answered(STRANGER, &stack, &home("")).await);
        // Fill three eighths of all connections.
        let rest = reserve - full * of_each - 4;
        watching.extend(watch(&stack, 1024, rest / 4, 4).await?);
        watching.extend(watch(&stack, 2048, 1, rest % 4).await?);
        until_visitors(&stack, reserve).await?;
        let late = Ipv4Addr::new(127, 99, 88, 79);
        assert!(!is_answered(late, &stack, &home("")).await);
        // The health check still gets in, and so do requests that are not for a page.
        assert_eq!(stack.unhealthy()?, None);
        assert_eq!(stack.get("/home").await?.status, 200);
        let request = b"GET /x HTTP/1.1\r\n\r\n";
        assert_eq!(exchange_from(late, stack.front(), request).await?, RESPONSE);
        drop((watching, own));
        until_let_in(late, &stack).await?;
    }
    Ok(())
}

/// Neither the limit for a source nor the two for visitors apply to it.
#[tokio::test(flavor = "multi_thread")]
async fn the_machine_itself_has_no_share() -> anyhow::Result<()> {
    let stack = with_connections(60).await?;
    let watching = open(Ipv4Addr::LOCALHOST, &stack, 40, EVENTS).await?;
    for stream in &watching {
        stream.readable().await?;
    }
    assert_eq!(stack.get("/home").await?.status, 200);
    assert!(is_answered(STRANGER, &stack, &home("")).await);
    assert!(!watching.iter().any(is_over));
    Ok(())
}

/// What very many sources could do, with fewer of them: they take all connections, and each is as
/// slow as it may be.
#[tokio::test(flavor = "multi_thread")]
async fn when_all_connections_are_taken_there_is_room_again_within_24_seconds() -> anyhow::Result<()>
{
    let stack = Stack::start_with(&[("FOREVER200_MAX_CONNECTIONS", "60")]).await?;
    let mut greedy = Vec::new();
    for number in 0..60 {
        let source = Ipv4Addr::new(127, 99, 86, number + 1);
        // A third of them each: nothing at all, bytes that may become /home, and the beginning of a
        // long body.
        let beginnings: [&[u8]; 3] = [
            b"",
            b"GET /ho",
            b"POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n",
        ];
        greedy.extend(open(source, &stack, 1, beginnings[usize::from(number % 3)]).await?);
    }
    let all_taken = async || {
        stack
            .haproxy("show info")
            .await
            .ok()
            .filter(|info| info.contains("\nCurrConns: 60\n"))
    };
    until("all connections are taken", all_taken).await?;
    let start = Instant::now();
    // One connection waits in the kernel's queue. The greedy ones go on, a byte a second.
    let waiting = tokio::spawn(exchange_from(
        STRANGER,
        stack.front(),
        b"GET /waiting HTTP/1.1\r\n\r\n",
    ));
    let mut going = greedy.len();
    while going > 0 {
        assert!(
            start.elapsed() < Duration::from_secs(24),
            "{going} still there"
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The third that sent nothing stays silent.
        for (_, stream) in greedy
            .iter()
            .enumerate()
            .filter(|(number, _)| number % 3 > 0)
        {
            let _ = stream.try_write(b"x");
        }
        going = greedy.iter().filter(|stream| !is_over(stream)).count();
    }
    assert_eq!(waiting.await??, RESPONSE);
    Ok(())
}

/// Asks for a page on each connection in turn, again and again, and closes none of them. Not on all
/// at once, because another rule would close them.
async fn keep_alive(mut connections: Vec<TcpStream>, request: &[u8]) {
    let mut pause = tokio::time::interval(Duration::from_secs(1));
    loop {
        pause.tick().await;
        for connection in &mut connections {
            if connection.write_all(request).await.is_ok() {
                let _ = connection.read(&mut [0; 4096]).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_connections_alive_does_not_keep_the_last_ones() -> anyhow::Result<()> {
    let stack = with_connections(64).await?;
    let request = b"GET /home/health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut kept = Vec::new();
    for number in 1..=8 {
        let source = Ipv4Addr::new(127, 99, 85, number);
        for _ in 0..8 {
            let mut connection = open(source, &stack, 1, request).await?.swap_remove(0);
            let read = connection.read(&mut [0; 4096]).await?;
            ensure!(read > 0, "no page");
            kept.push(connection);
        }
    }
    let keeping = tokio::spawn(keep_alive(kept, request));
    until("half of them are free", || async {
        let info = stack.haproxy("show info").await.ok()?;
        let connections = info
            .lines()
            .find_map(|line| line.strip_prefix("CurrConns: "));
        (connections?.parse::<u32>().ok()? <= 40).then_some(())
    })
    .await?;
    for path in ["/x", "/home"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(
            is_answered(STRANGER, &stack, request.as_bytes()).await,
            "{path}"
        );
    }
    keeping.abort();
    Ok(())
}

/// Tells whether the other side has closed a connection, whatever was sent on it before.
fn is_over(stream: &TcpStream) -> bool {
    loop {
        match stream.try_read(&mut [0; 256]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_not_for_whom_another_site_sends() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    stack.send(b"GET /x HTTP/1.1\r\n\r\n").await?;
    stack.until_recorded(1).await?;
    for (path, is_file) in [
        ("/home/requests/1/raw", true),
        ("/home/requests/1/pcap", true),
        ("/home/export.har", true),
        ("/home/requests/1", false),
        ("/home", false),
    ] {
        for (header, is_other) in [
            ("", false),
            ("Sec-Fetch-Site: same-origin\r\n", false),
            ("Sec-Fetch-Site: none\r\n", false),
            ("Sec-Fetch-Site: same-site\r\n", true),
            ("Sec-Fetch-Site: cross-site\r\n", true),
        ] {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n");
            let mut reply = stack.send(request.as_bytes()).await?;
            let response = Response::split_off(&mut reply, "GET").context("no response")?;
            let expected = if is_file && is_other { 403 } else { 200 };
            assert_eq!(response.status, expected, "{path} {header}");
        }
    }
    Ok(())
}
