//! Which of the two a connection is for: what haproxy.cfg makes of the first bytes, on the real haproxy.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use forever200_testkit::process::project;
use forever200_testkit::stack::Setup;
use forever200_testkit::{RESPONSE, Response, Stack, client, exchange, get_json};
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CFG: &str = "haproxy/haproxy.cfg";
/// Nothing that waits in haproxy is given up while a test runs.
const PATIENT: [(&str, &str, &str); 2] = [
    (CFG, "inspect-delay 10s", "inspect-delay 1h"),
    (CFG, "timeout client 15s", "timeout client 1h"),
];

/// Goes to the responder before another byte comes.
const AT_ONCE: &[&[u8]] = &[
    // Commands of other protocols, with each kind of line end, in capitals and not.
    b"HELP\n",
    b"HELP\r\n",
    b"QUIT\n",
    b"QUIT\r\n",
    b"INFO\n",
    b"INFO\r\n",
    b"STATS\n",
    b"PING\r\n",
    b"NOOP\r\n",
    b"LIST\r\n",
    b"CAPA\r\n",
    b"STLS\r\n",
    b"HELO x\r\n",
    b"EHLO x\r\n",
    b"USER root\r\n",
    b"AUTH x\r\n",
    b"NICK x\r\n",
    b"G\n",
    b"GET\n",
    b"GET \n",
    b"GET /\n",
    b"GET /h\r\n",
    b"GET /home\n",
    b"GET /home\r\n",
    b"help\n",
    b"stats\r\n",
    b"info",
    b"h",
    b"get",
    b"Get /ho",
    b"version\n",
    b"*1\r\n$4\r\nINFO\r\n",
    b"SSH-2.0-x\r\n",
    b"OPTIONS sip:x SIP/2.0\r\n",
    b"<policy-file-request/>\0",
    b"{\"id\":1}",
    b"STRANGERS",
    // Line ends, blanks and NUL.
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b" ",
    b"\t",
    b" GET /home",
    b"\0",
    b"\0\0",
    b"G\0",
    b"GET \0",
    b"GET /\0",
    b"GET /home\0",
    b"GET /home/\0",
    b"GET /home?\0x",
    // Digits, 8 bits, and other bytes that are no capitals.
    b"0",
    b"1",
    b"2 /home",
    b"G3T /home",
    b"G-T",
    b"\x7f",
    b"\x80",
    b"\xff\xff",
    b"GET\xa0/home",
    b"GET /\xe4",
    b"GET /hom\xc3\xa9",
    b"\x16\x03\x01",
    b"\x03\0\0\x13",
    b"\xef\xbb\xbfGET /home",
    // Near to /home, and other than it.
    b"GET /x",
    b"GET /H",
    b"GET //",
    b"GET /homf",
    b"GET /homework",
    b"GET /home.php",
    b"GET /home;x",
    b"GET /home#",
    b"GET /home%2f",
    b"GET /%68ome",
    b"GET  /home",
    b"GET\t/home",
    b"GET home",
    b"GET *",
    b"GET ?",
    b"GET http://x/home",
    b"PROPFIND /home",
    b"get /home HTTP/1.1\r\n\r\n",
    // A first line for /home that is not one of HTTP/1, or not for a page.
    b"GET /home/\r\n",
    b"GET /home/ \r\n",
    b"GET /home HTTP\r\n",
    b"GET /home HTTP/1.1 \r\n",
    b"GET /home HTTP/1.2\r\n",
    b"GET /home HTTP/11\r\n",
    b"GET /home HTTP/2.0\r\n\r\n",
    b"PRI /home HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /home ICY/1.0\r\n",
    b"GET /home /x HTTP/1.1\r\n",
    b"GET /home\x0bHTTP/1.1\r\n",
    b"GET /home/help HTTP/1.1\r\n",
    b"GET /home/help HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /home/Labels HTTP/1.1\r\n",
    b"GET /home/wp-login.php?x HTTP/1.1\r\n",
    b"GET /home/requests HTTP/1.1\r\n",
    b"GET /home/requests/x HTTP/1.1\r\n",
    b"GET /home/requests/1/ HTTP/1.1\r\n",
    b"GET /home/requests/1/../../x HTTP/1.1\r\n",
    b"GET /home/static/../../etc/passwd HTTP/1.1\r\n",
    b"GET /home//text HTTP/1.1\r\n",
    b"GET /home/te%78t HTTP/1.1\r\n",
    // haproxy would write over the line end, or does not take the head for HTTP.
    b"GET /home HTTP/1.1\r\nX: y\r\n z\r\n\r\n",
    b"GET /home HTTP/1.1\r\nX: y\n\tz\r\n\r\n",
    b"GET /home HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET /home HTTP/1.1\r\n: x\r\n\r\n",
    b"GET /home?\xff HTTP/1.1\r\n\r\n",
    b"GET /home HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
];

/// May still become a request for a page, so it stays in haproxy.
const WAITS: &[&[u8]] = &[
    b"G",
    b"GET",
    b"QUIT",
    b"OPTIONS",
    b"GET ",
    b"GET /",
    b"GET /h",
    b"GET /ho",
    b"GET /hom",
    b"GET /home",
    b"OPTIONS /home",
    b"GET /home/",
    b"GET /home?",
    b"GET /home ",
    b"GET /home/help",
    b"GET /home?q=\xff",
    b"GET /home HTTP/1.",
    b"GET /home HTTP/1.1",
    b"GET /home HTTP/1.1\r",
    b"GET /home HTTP/1.1\r\n",
    b"GET /home HTTP/1.1\r\nHost: x\r\n",
    b"HEAD /home/text HTTP/1.0\n",
];

/// Gets an answer of the viewer.
const FOR_THE_VIEWER: &[&[u8]] = &[
    b"GET /home HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /home HTTP/1.0\r\n\r\n",
    b"GET /home HTTP/1.1\n\n",
    b"GET /home/ HTTP/1.1\r\n\r\n",
    b"GET /home? HTTP/1.1\r\n\r\n",
    b"GET /home/?q=/../ HTTP/1.1\r\n\r\n",
    b"GET /home?q=a?b HTTP/1.1\r\n\r\n",
    b"HEAD /home HTTP/1.1\r\n\r\n",
    b"OPTIONS /home/text HTTP/1.1\r\n\r\n",
    b"POST /home HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /home/requests/99999 HTTP/1.1\r\n\r\n",
    b"GET /home/requests/99999/raw HTTP/1.1\r\n\r\n",
    b"GET /home/api/requests/99999 HTTP/1.1\r\n\r\n",
    b"GET /home/export.xml HTTP/1.1\r\n\r\n",
];

/// Sends bytes and returns the connection.
async fn begin(stack: &Stack, bytes: &[u8]) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(stack.front()).await?;
    stream.write_all(bytes).await?;
    Ok(stream)
}

/// Returns how many connections haproxy has handed to the responder so far.
async fn handed_over(stack: &Stack) -> anyhow::Result<usize> {
    let csv = stack.haproxy("show stat responder 2 -1").await?;
    let column = |line: &str| line.split(',').nth(7).map(str::to_owned);
    let mut lines = csv.lines();
    ensure!(lines.next().and_then(column).as_deref() == Some("stot"));
    let total = lines.next().and_then(column).context("no statistics")?;
    Ok(total.parse()?)
}

async fn patient() -> anyhow::Result<Stack> {
    let edits = &PATIENT;
    Stack::start_as(Setup {
        edits,
        ..Setup::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn first_bytes_go_at_once_or_wait_or_are_for_the_viewer() -> anyhow::Result<()> {
    let stack = patient().await?;
    let mut waiting = Vec::new();
    for bytes in WAITS {
        waiting.push((bytes, begin(&stack, bytes).await?));
    }
    let mut going = Vec::new();
    for bytes in AT_ONCE {
        going.push((bytes, begin(&stack, bytes).await?));
    }
    for (bytes, mut stream) in going {
        let reply = client::read_to_end(&mut stream)
            .await
            .with_context(|| bytes.escape_ascii().to_string())?;
        ensure!(
            reply == RESPONSE,
            "{}: {}",
            bytes.escape_ascii(),
            reply.escape_ascii()
        );
    }
    for bytes in FOR_THE_VIEWER {
        let what = bytes.escape_ascii();
        let mut stream = begin(&stack, bytes).await?;
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
    // Those that wait were there first, and none of them was handed over.
    ensure!(handed_over(&stack).await? == AT_ONCE.len());
    for (bytes, mut stream) in waiting {
        // No more comes: then they go on as they are.
        stream.shutdown().await?;
        ensure!(
            client::read_to_end(&mut stream).await? == RESPONSE,
            "{}",
            bytes.escape_ascii()
        );
    }
    let all = AT_ONCE.iter().chain(WAITS);
    let mut sent: Vec<_> = all.map(|bytes| bytes.to_vec()).collect();
    stack.until_recorded(sent.len() as u64).await?;
    let last = sent.len();
    let mut kept = Vec::new();
    for seq in last - 100..=last {
        let raw = stack.get(&format!("/home/requests/{seq}/raw")).await?;
        kept.push(raw.body);
    }
    // The ring holds 101 of them, byte for byte.
    for raw in kept {
        let at = sent.iter().position(|bytes| *bytes == raw);
        sent.remove(at.with_context(|| raw.escape_ascii().to_string())?);
    }
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

/// Every file of the viewer's sources.
fn sources(folder: &Path, found: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(std::fs::read_to_string(path)?);
        }
    }
    Ok(())
}

/// The paths that the viewer has routes for, as they stand in its sources.
fn routes() -> anyhow::Result<BTreeSet<String>> {
    let mut files = Vec::new();
    sources(&project().join("crates/viewer/src"), &mut files)?;
    let mut routes = BTreeSet::new();
    for file in files {
        for call in file.split(".route(").skip(1) {
            let path = call.split('"').nth(1).context("no path of a route")?;
            routes.insert(path.to_owned());
        }
    }
    Ok(routes)
}

/// The words of the lines of haproxy.cfg that begin so.
fn words_after(beginning: &str) -> anyhow::Result<Vec<String>> {
    let cfg = std::fs::read_to_string(project().join(CFG))?;
    let mut words = Vec::new();
    for line in cfg.lines() {
        let plain = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(rest) = plain.strip_prefix(beginning) {
            words.extend(rest.split(' ').map(str::to_owned));
        }
    }
    Ok(words)
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_knows_each_route_of_the_viewer_and_no_other() -> anyhow::Result<()> {
    let (stack, routes) = (Stack::start().await?, routes()?);
    ensure!(routes.len() > 10, "{routes:?}");
    // An id is a number, any other parameter is a word.
    let example = |route: &str| {
        let with_id = route.replace("{seq}", "1");
        match with_id.split_once('{') {
            Some((before, _)) => format!("{before}word"),
            None => with_id,
        }
    };
    for route in &routes {
        let path = example(route);
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut stream = begin(&stack, request.as_bytes()).await?;
        let mut first = [0; RESPONSE.len()];
        stream.read_exact(&mut first).await?;
        ensure!(
            first != RESPONSE,
            "{route}: add it to `acl page` in {CFG}, or it is a stranger's"
        );
    }
    for page in words_after("acl page var(txn.path) -m str ")? {
        ensure!(routes.contains(&page), "{page} is no route of the viewer");
    }
    let list = get_json(stack.front(), "/home/api/requests").await?;
    ensure!(list["total"] == 0, "{list}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_below_home_is_recorded() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let request = b"GET /home/help HTTP/1.1\r\nHost: x\r\nX-Odd:  Two\r\n\r\n";
    assert_eq!(stack.send(request).await?, RESPONSE);
    stack.until_recorded(1).await?;
    let raw = stack.get("/home/requests/1/raw").await?.body;
    assert_eq!(raw, request);
    // On the connection of a page, too; there haproxy has rewritten it.
    let mut both = b"GET /home/health HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    both.extend(b"GET /home/help HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stack.send(&both).await?;
    let second = &stack.until_recorded(2).await?["requests"][0];
    assert_eq!(
        (&second["summary"], &second["via"]),
        (&"GET /home/help".into(), &"http".into())
    );
    // A number that is not in the ring is the viewer's to say.
    let gone = stack.get("/home/requests/99999").await?;
    assert_eq!(gone.status, 404);
    assert_eq!(stack.until_recorded(2).await?["total"], 2);
    Ok(())
}

fn time(record: &Value) -> anyhow::Result<Timestamp> {
    Ok(record["timestamp"].as_str().context("no time")?.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_record_is_that_of_its_first_byte() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    // haproxy holds these until its 10 s are over.
    let mut silent_at_first = TcpStream::connect(stack.front()).await?;
    let before = Timestamp::now();
    let mut held = begin(&stack, b"GET /ho").await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let second = Timestamp::now();
    silent_at_first.write_all(b"GET /hello ").await?;
    let reply = client::read_to_end(&mut silent_at_first).await?;
    assert_eq!(reply, RESPONSE);
    assert_eq!(client::read_to_end(&mut held).await?, RESPONSE);
    let answered = Timestamp::now();

    let list = stack.until_recorded(2).await?;
    let (held, silent_at_first) = (time(&list["requests"][0])?, time(&list["requests"][1])?);
    ensure!(before <= held, "{before} {held}");
    ensure!(
        answered.duration_since(held).as_secs() >= 10,
        "{held} {answered}"
    );
    // The time of the byte, not of the connection.
    ensure!(second <= silent_at_first, "{second} {silent_at_first}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_connection_of_a_page_each_request_has_its_own_time() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let mut stream = begin(&stack, b"GET /home/health HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    stream.readable().await?;
    for seq in 1..=2 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let before = Timestamp::now();
        stream
            .write_all(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
            .await?;
        let list = stack.until_recorded(seq).await?;
        let record = &list["requests"][0];
        assert_eq!(record["via"], "http");
        let time = time(record)?;
        ensure!(before <= time && time <= Timestamp::now(), "{time}");
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
