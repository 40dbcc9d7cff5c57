//! `curl http://HOST/home/text?q=Müller`: a request is also for a page if its query is typed and
//! not encoded.

use std::net::Ipv4Addr;

use anyhow::{Context, ensure};
use forever200_testkit::process::command;
use forever200_testkit::{
    RESPONSE, Response, Stack, client, connect_from, exchange, exchange_from, get_json, loopback,
    stack::Setup, until,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// An address other than the machine's own, which has no limit.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 99, 88, 78);
const EVENTS: &[u8] = "GET /home/events?q=ü HTTP/1.1\r\nHost: x\r\n\r\n".as_bytes();
/// The target of the request that the searches below find.
const FOUND: &str = "/?name=M%C3%BCller";

/// Asks for this target, which is sent as it is, and returns the body of the answer.
async fn look(stack: &Stack, target: &str) -> anyhow::Result<String> {
    let look = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut reply = stack.send(look.as_bytes()).await?;
    let response = Response::split_off(&mut reply, "GET").with_context(|| target.to_owned())?;
    ensure!(reply.is_empty() && response.status == 200, "{response:?}");
    ensure!(
        response.header("content-security-policy").is_some(),
        "{target}: {response:?}"
    );
    Ok(response.text())
}

/// Sends the request that the searches find.
async fn record(stack: &Stack) -> anyhow::Result<()> {
    let request = format!("GET {FOUND} HTTP/1.1\r\nHost: x\r\n\r\n");
    stack.send(request.as_bytes()).await?;
    stack.until_recorded(1).await?;
    Ok(())
}

/// Asks for targets with one call of curl, and returns the status of each.
fn curl(targets: &[String]) -> anyhow::Result<String> {
    let mut curl = command("curl");
    curl.args(["-s", "-k", "-w", "%{http_code} "]);
    for target in targets {
        curl.args(["-o", "/dev/null", target]);
    }
    Ok(String::from_utf8(curl.output()?.stdout)?)
}

async fn total(stack: &Stack) -> anyhow::Result<u64> {
    let list = get_json(stack.front(), "/home/api/requests").await?;
    list["total"].as_u64().context("no total")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_need_not_be_encoded() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    record(&stack).await?;
    for target in [
        "/home/text?q=Müller",
        "/home/text?source=me&q=M%C3%BCller&path=ü",
        "/home/text?q=name%3DMüller",
        "/home/text?q=name=Müller",
        "/home/text?-q=100%25+ü+%26+a%2Bb",
    ] {
        let found = look(&stack, target).await?.contains(FOUND);
        assert_eq!(found, !target.contains("path="), "{target}");
    }
    for target in ["/home/text?q=Möller", "/home/text?-q=Müller"] {
        assert!(!look(&stack, target).await?.contains(FOUND), "{target}");
    }
    // As long as haproxy has room for after encoding.
    let long = format!("/home/text?-q={}", "ü".repeat(900));
    let look_long = format!("GET {long} HTTP/1.1\r\nHost: x\r\n\r\n");
    ensure!(stack.send(look_long.as_bytes()).await? != RESPONSE);
    // The page repeats the search text as it was typed.
    let typed = "ü€🦀 100% a+b & c=d";
    let page = look(&stack, "/home?q=ü€🦀+100%25+a%2Bb+%26+c=d").await?;
    assert!(page.contains(&typed.replace('&', "&amp;")), "{page}");
    assert_eq!(total(&stack).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_comes_in_pieces_is_one() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let look = "GET /home/text?q=ü HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n".as_bytes();
    for at in 1..look.len() {
        let (first, rest) = look.split_at(at);
        let mut stream = TcpStream::connect(stack.front()).await?;
        stream.set_nodelay(true)?;
        stream.write_all(first).await?;
        tokio::task::yield_now().await;
        stream.write_all(rest).await?;
        let mut reply = client::read_to_end(&mut stream).await?;
        let response = Response::split_off(&mut reply, "GET").context("no response")?;
        ensure!(
            response.header("content-security-policy").is_some(),
            "{at}: {response:?}"
        );
    }
    assert_eq!(total(&stack).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_looks_on_one_connection_and_by_tls() -> anyhow::Result<()> {
    let ip = loopback();
    let tls = format!("{ip}:8443");
    let variables = [("FOREVER200_BIND_TLS", &*tls)];
    let setup = Setup {
        variables: &variables,
        ..Setup::default()
    };
    let stack = Stack::start_at(ip, setup).await?;
    for origin in [
        format!("http://{}", stack.front()),
        format!("https://{tls}"),
    ] {
        let targets = ["text?q=Müller", "text", "text?q=Möller", "health", "?q=ü"];
        let targets = targets.map(|target| format!("{origin}/home/{target}"));
        assert_eq!(curl(&targets)?, "200 200 200 200 200 ", "{origin}");
    }
    let list = get_json(stack.front(), "/home/api/requests").await?;
    assert_eq!(list["total"], 0, "{list}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_to_encode_is_recorded() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let long = format!(
        "GET /home?q={} HTTP/1.1\r\nHost: x\r\n\r\n",
        "ü".repeat(1100)
    );
    assert_eq!(stack.send(long.as_bytes()).await?, RESPONSE);
    stack.until_recorded(1).await?;
    let raw = stack.get("/home/requests/1/raw").await?;
    assert_eq!(raw.body, long.as_bytes());
    Ok(())
}

/// Returns how many connections haproxy has open now for targets that are not encoded.
async fn open_now(stack: &Stack) -> Option<usize> {
    let csv = stack.haproxy("show stat utf8 1 -1").await.ok()?;
    csv.lines().nth(1)?.split(',').nth(4)?.parse().ok()
}

/// Opens `count` event streams from a source, and waits until haproxy counts `all` in total.
async fn watch(
    stack: &Stack,
    source: Ipv4Addr,
    count: usize,
    all: usize,
) -> anyhow::Result<Vec<TcpStream>> {
    until("earlier ones are closed", || async {
        (open_now(stack).await? == all - count).then_some(())
    })
    .await?;
    let mut watching = Vec::new();
    for _ in 0..count {
        let mut stream = connect_from(source, stack.front()).await?;
        stream.write_all(EVENTS).await?;
        watching.push(stream);
    }
    until(&format!("there are {all} visitors"), || async {
        let table = stack.haproxy("show table visitors").await.ok()?;
        let all = format!("conn_cur={all}\n");
        table.contains(&all).then_some(())
    })
    .await?;
    Ok(watching)
}

/// With 400 connections, one source may have 8, as for any page. The two further connections that
/// each of these needs may take a sixteenth of all.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_look_so_have_the_shares_of_all_who_look() -> anyhow::Result<()> {
    let stack = Stack::start_with(&[("FOREVER200_MAX_CONNECTIONS", "400")]).await?;
    let mut watching = watch(&stack, STRANGER, 8, 8).await?;
    let encoded = b"GET /home?q=%C3%BC HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let typed = "GET /home?q=ü HTTP/1.1\r\nHost: x\r\n\r\n".as_bytes();
    let is_answered = async |source, request| {
        let reply = exchange_from(source, stack.front(), request).await;
        reply.is_ok_and(|reply| reply.starts_with(b"HTTP/1.1 200 "))
    };
    assert!(!is_answered(STRANGER, encoded).await);
    assert!(!is_answered(STRANGER, typed).await);
    let other = Ipv4Addr::new(127, 99, 88, 79);
    assert!(is_answered(other, typed).await);
    watching.extend(watch(&stack, other, 4, 12).await?);
    let third = Ipv4Addr::new(127, 99, 88, 80);
    assert!(!is_answered(third, typed).await);
    assert!(is_answered(third, encoded).await);
    let (reply, _) = exchange(stack.front(), b"GET /x HTTP/1.1\r\n\r\n").await?;
    assert_eq!(reply, RESPONSE);
    drop(watching);
    until("there is room again", || async {
        is_answered(third, typed).await.then_some(())
    })
    .await
}
