//! Whether a connection goes to the viewer or to the responder: the rules of haproxy.cfg for the
//! first bytes, in the real haproxy.

use std::time::Duration;

use anyhow::{Context, ensure};
use forever200_testkit::stack::Setup;
use forever200_testkit::{RESPONSE, Response, Stack, client, exchange, until};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

mod first_bytes;

use first_bytes::{AT_ONCE, FOR_THE_VIEWER, WAITS};

const CFG: &str = "haproxy/haproxy.cfg";
/// Edits with which haproxy gives up no waiting connection while a test runs.
const PATIENT: [(&str, &str, &str); 2] = [
    (CFG, "inspect-delay 10s", "inspect-delay 1h"),
    (CFG, "timeout client 15s", "timeout client 1h"),
];

/// Sends bytes and returns the connection.
async fn begin(stack: &Stack, bytes: &[u8]) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(stack.front()).await?;
    stream.write_all(bytes).await?;
    Ok(stream)
}

async fn patient() -> anyhow::Result<Stack> {
    let edits = &PATIENT;
    Stack::start_as(Setup {
        edits,
        ..Setup::default()
    })
    .await
}

/// Opens a connection for each of these bytes, and sends them.
async fn begin_all<'a>(
    stack: &Stack,
    all: &[&'a [u8]],
) -> anyhow::Result<Vec<(&'a [u8], TcpStream)>> {
    let mut begun = Vec::new();
    for bytes in all {
        begun.push((*bytes, begin(stack, bytes).await?));
    }
    Ok(begun)
}

/// Fails unless the answer to these bytes is the responder's.
async fn is_answered(bytes: &[u8], mut stream: TcpStream) -> anyhow::Result<()> {
    let what = bytes.escape_ascii();
    let reply = client::read_to_end(&mut stream).await;
    let reply = reply.with_context(|| what.to_string())?;
    ensure!(reply == RESPONSE, "{what}: {}", reply.escape_ascii());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn first_bytes_go_at_once_or_wait() -> anyhow::Result<()> {
    let stack = patient().await?;
    let waiting = begin_all(&stack, WAITS).await?;
    for (bytes, stream) in begin_all(&stack, AT_ONCE).await? {
        is_answered(bytes, stream).await?;
    }
    // The waiting connections came first, and none of them was handed over.
    ensure!(stack.handed_over().await? == AT_ONCE.len());
    for (bytes, mut stream) in waiting {
        // The client closes its side. Then the bytes go on as they are.
        stream.shutdown().await?;
        is_answered(bytes, stream).await?;
    }
    let all = AT_ONCE.iter().chain(WAITS);
    let mut sent: Vec<_> = all.map(|bytes| bytes.to_vec()).collect();
    let last = sent.len();
    stack.until_recorded(last as u64).await?;
    // The ring holds the last 101 of them, byte for byte.
    for seq in last - 100..=last {
        let raw = stack.get(&format!("/home/requests/{seq}/raw")).await?.body;
        let at = sent.iter().position(|bytes| *bytes == raw);
        sent.remove(at.with_context(|| raw.escape_ascii().to_string())?);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_a_page_is_answered_by_the_viewer() -> anyhow::Result<()> {
    let stack = patient().await?;
    for (bytes, mut stream) in begin_all(&stack, FOR_THE_VIEWER).await? {
        let what = bytes.escape_ascii();
        let mut reply = Vec::new();
        let response = loop {
            if let Some(response) = Response::split_off(&mut reply, "HEAD") {
                break response;
            }
            ensure!(stream.read_buf(&mut reply).await? > 0, "{what}: closed");
        };
        ensure!(
            response.header("content-security-policy").is_some(),
            "{what}: {response:?}"
        );
    }
    ensure!(stack.handed_over().await? == 0);
    Ok(())
}

/// A condition that is true while haproxy has a copy of a request beside its buffer.
const COPIES: &str = "{ var(txn.came) -m found } or { var(txn.path) -m found }";
/// Rules that reject a connection, and the lines of haproxy.cfg after which they are inserted: in
/// each backend, to find out whether it still has a copy.
const BACKENDS: [(&str, &str); 4] = [
    ("tcp-request content reject", "    option redispatch 1\n"),
    ("tcp-request content reject", "\nbackend unencoded\n"),
    ("http-response deny", "\nbackend viewer from page\n"),
    ("http-response deny", "\nbackend responder_http\n"),
];

/// A client may hold its connection for long, with as many bytes as haproxy's buffer has room for.
#[tokio::test(flavor = "multi_thread")]
async fn haproxy_holds_no_copy_of_what_it_has_handed_over() -> anyhow::Result<()> {
    let edited = BACKENDS.map(|(rule, place)| format!("{place}    {rule} if {COPIES}\n"));
    let edits = std::array::from_fn::<_, 4, _>(|at| (CFG, BACKENDS[at].1, &*edited[at]));
    let stack = Stack::start_as(Setup {
        edits: &edits,
        ..Setup::default()
    })
    .await?;
    let path = "a".repeat(12_000);
    let long = [
        format!("GET /home/{path} HTTP/1.1\r\n"),
        format!("GET /home/collection/{path} HTTP/1.1\r\n\r\n"),
        format!("GET /home/collection/{path} HTTP/1.1\r\nno colon\r\n"),
        format!("GET /home/collection/{path}?q=ü HTTP/1.1\r\nHost: x\r\n"),
    ];
    let long = long.each_ref().map(|request| request.as_bytes());
    let for_the_responder = [AT_ONCE, WAITS, &long].concat();
    for (bytes, mut stream) in begin_all(&stack, &for_the_responder).await? {
        stream.shutdown().await?;
        is_answered(bytes, stream).await?;
    }
    for (bytes, mut stream) in begin_all(&stack, FOR_THE_VIEWER).await? {
        stream.shutdown().await?;
        let mut reply = client::read_to_end(&mut stream).await?;
        let what = bytes.escape_ascii().to_string();
        let response = Response::split_off(&mut reply, "HEAD").context(what.clone())?;
        ensure!(
            response.header("content-security-policy").is_some(),
            "{what}: {response:?}"
        );
    }
    // Another path on the connection of a page.
    let mut stream = begin(&stack, b"GET /home/health HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let next = b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(next).await?;
    let mut reply = client::read_to_end(&mut stream).await?;
    let mut status = || Response::split_off(&mut reply, "GET").map(|it| it.status);
    assert_eq!([status(), status()], [Some(200); 2]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_on_as_soon_as_it_is_decided() -> anyhow::Result<()> {
    let stack = patient().await?;
    for (first, rest) in [
        ("QUIT", "\n"),
        ("G", "ARBAGE!"),
        ("GET /h", "ello HTTP/1.1\r\n\r\n"),
        ("GET /home", "work HTTP/1.1\r\n\r\n"),
        ("GET /home/", "help HTTP/1.1\r\n\r\n"),
        ("GET /home ", "HTTP/3.0\r\n\r\n"),
        ("GET /home HTTP/1.1\r\nX: y\r\n", " z\r\n\r\n"),
    ] {
        let mut stream = begin(&stack, first.as_bytes()).await?;
        stream.write_all(rest.as_bytes()).await?;
        ensure!(
            client::read_to_end(&mut stream).await? == RESPONSE,
            "{first}"
        );
    }
    ensure!(stack.until_recorded(7).await?["total"] == 7);
    Ok(())
}

/// How much haproxy's clock may be wrong. haproxy reads the clock when it wakes, and then handles
/// everything that is there. Bytes that come meanwhile get the time of the waking; with 2.6.12 that
/// was 0.4 ms before they were sent.
const CLOCK: SignedDuration = SignedDuration::from_millis(20);

fn time(record: &Value) -> anyhow::Result<Timestamp> {
    Ok(record["timestamp"].as_str().context("no time")?.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_record_is_that_of_its_first_byte() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    // haproxy holds both connections until its 10 s are over.
    let mut silent_at_first = TcpStream::connect(stack.front()).await?;
    let before = Timestamp::now();
    let mut held = begin(&stack, b"GET /ho").await?;
    until("haproxy has accepted both", || async {
        let info = stack.haproxy("show info").await.ok()?;
        info.contains("\nCurrConns: 2\n").then_some(())
    })
    .await?;
    // So that the byte comes later than the connection by more than haproxy's clock may be wrong.
    sleep(Duration::from_millis(100)).await;
    let second = Timestamp::now();
    silent_at_first.write_all(b"GET /hello ").await?;
    let reply = client::read_to_end(&mut silent_at_first).await?;
    assert_eq!(reply, RESPONSE);
    assert_eq!(client::read_to_end(&mut held).await?, RESPONSE);
    let answered = Timestamp::now();

    let list = stack.until_recorded(2).await?;
    let (held, silent_at_first) = (time(&list["requests"][0])?, time(&list["requests"][1])?);
    ensure!(before - CLOCK <= held, "{before} {held}");
    ensure!(
        answered.duration_since(held).as_secs() >= 10,
        "{held} {answered}"
    );
    // The record has the time of the byte, not of the connection.
    ensure!(
        second - CLOCK <= silent_at_first,
        "{second} {silent_at_first}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_connection_of_a_page_each_request_has_its_own_time() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let mut stream = begin(&stack, b"GET /home/health HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    stream.readable().await?;
    for seq in 1..=2 {
        let before = Timestamp::now();
        stream
            .write_all(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
            .await?;
        let list = stack.until_recorded(seq).await?;
        let record = &list["requests"][0];
        assert_eq!(record["via"], "http");
        let time = time(record)?;
        ensure!(before - CLOCK <= time && time <= Timestamp::now(), "{time}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_haproxy_has_no_room_for_is_recorded() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let request = |length| {
        let q = "x".repeat(length);
        format!("GET /home?q={q} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes()
    };
    let (reply, _) = exchange(stack.front(), &request(7_000)).await?;
    ensure!(reply != RESPONSE, "7,000 characters are a visitor's");
    for (seq, length) in (1..).zip([14_000, 20_000]) {
        let request = request(length);
        assert_eq!(stack.send(&request).await?, RESPONSE, "{length}");
        stack.until_recorded(seq).await?;
        let raw = stack.get(&format!("/home/requests/{seq}/raw")).await?;
        ensure!(raw.body == request, "{length}: {}", raw.body.len());
    }
    Ok(())
}

/// As many lines, and as long ones, as haproxy accepts as HTTP. Without the rule, the viewer would
/// answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_folded_line_is_seen_behind_many_others() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    for (seq, end) in (1..).zip(["\n", "\r\n"]) {
        let lines = format!("a: {}{end}", "x".repeat(60)).repeat(90);
        let request = format!("GET /home HTTP/1.1{end}{lines} z{end}{end}").into_bytes();
        assert_eq!(stack.send(&request).await?, RESPONSE, "{end:?}");
        stack.until_recorded(seq).await?;
        let raw = stack.get(&format!("/home/requests/{seq}/raw")).await?;
        ensure!(raw.body == request, "{end:?}: {}", raw.body.len());
    }
    Ok(())
}
