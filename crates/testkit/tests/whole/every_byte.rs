//! All bytes that a client sends are kept, however the connection ends. Through haproxy, as
//! shipped.

use anyhow::Context;
use forever200_testkit::heads::{End, HEADS};
use forever200_testkit::{RESPONSE, Stack, client, exchange, exchange_from, until};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const HELLO: &[u8] = b"\x16\x03\x01\x00\x31\x01\x00\x00\x2d\x03\x03hello";

/// Returns the requests of the list, the oldest first.
fn oldest_first(list: &Value) -> Vec<&Value> {
    let requests = list["requests"].as_array().expect("the list has requests");
    requests.iter().rev().collect()
}

async fn raw(stack: &Stack, request: &Value) -> anyhow::Result<Vec<u8>> {
    Ok(stack
        .get(&format!("/home/requests/{}/raw", request["seq"]))
        .await?
        .body)
}

/// These were seen on the internet. The first version cut them and called them complete.
#[tokio::test(flavor = "multi_thread")]
async fn one_write_is_one_record() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let body = [b'A'; 5000];
    let requests: Vec<(Vec<u8>, u64, &str)> = vec![
        (
            [b"POST /x HTTP/1.1\r\nHost: a.example\r\n\r\n", &body[..]].concat(),
            0,
            "quiet",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5),
            108,
            "complete",
        ),
        (
            [b"PUT /x HTTP/1.1\r\nContent-Length: 7\r\n\r\n", &body[..]].concat(),
            4993,
            "complete",
        ),
        (
            [
                &b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..],
                &body,
            ]
            .concat(),
            5000,
            "complete",
        ),
        (
            [b"CONNECT a:443 HTTP/1.1\r\n\r\n", HELLO].concat(),
            HELLO.len() as u64,
            "complete",
        ),
        (
            [
                &b"GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"[..],
                b"\x81\x05hello",
            ]
            .concat(),
            7,
            "complete",
        ),
        (
            [b"POST /long HTTP/1.1\r\n\r\n", &body.repeat(12)[..]].concat(),
            0,
            "quiet",
        ),
        ([HELLO, &body.repeat(12)[..]].concat(), 0, "quiet"),
    ];
    for (request, ..) in &requests {
        assert_eq!(stack.send(request).await?, RESPONSE);
    }
    let list = stack.until_recorded(requests.len() as u64).await?;
    assert_eq!(list["total"], requests.len());
    for (record, (request, extra, ended)) in oldest_first(&list).into_iter().zip(&requests) {
        let shown = request[..request.len().min(60)].escape_ascii();
        assert_eq!(raw(&stack, record).await?, *request, "{shown}");
        assert_eq!(record["bytes"], request.len(), "{shown}");
        assert_eq!(
            (&record["extra"], &record["ended"]),
            (&(*extra).into(), &(*ended).into())
        );
        assert_eq!(record["truncated"], false, "{shown}");
    }
    let incomplete = stack.get("/home/api/requests?incomplete=on").await?.text();
    assert!(incomplete.contains(r#""requests":[]"#), "{incomplete}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_head_of_the_table_arrives_as_it_is() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    // In groups of about as many as the ring holds.
    for cases in HEADS.chunks(100) {
        let before = stack.get("/home/api/requests?limit=1").await?.text();
        let before: Value = serde_json::from_str(&before)?;
        let front = stack.front();
        let exchanges: Vec<_> = cases
            .iter()
            .map(|case| tokio::spawn(async move { (case, exchange(front, case.bytes).await) }))
            .collect();
        let mut sent = Vec::new();
        for exchange in exchanges {
            let (case, reply) = exchange.await?;
            let (reply, client) = reply.with_context(|| case.bytes.escape_ascii().to_string())?;
            assert_eq!(reply, RESPONSE, "{}", case.bytes.escape_ascii());
            sent.push((case, client));
        }
        let total = before["total"].as_u64().context("a total")? + cases.len() as u64;
        let list = stack.until_recorded(total).await?;
        for (case, client) in sent {
            let shown = case.bytes.escape_ascii();
            let of_client = |record: &&&Value| record["src_port"] == client.port();
            let records = oldest_first(&list);
            let record = records
                .iter()
                .find(of_client)
                .with_context(|| shown.to_string())?;
            assert_eq!(raw(&stack, record).await?, case.bytes, "{shown}");
            let extra = if let End::Whole(extra) = case.end {
                extra
            } else {
                0
            };
            assert_eq!(record["extra"], extra, "{shown}");
            let is_whole = record["ended"] == "complete";
            assert_eq!(is_whole, matches!(case.end, End::Whole(_)), "{shown}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_the_answer_continues_the_request() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    for (first, second) in [
        (
            &b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"[..],
            HELLO,
        ),
        (
            b"GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            b"\x81\x05hello",
        ),
        (b"EHLO a.example\r\n", b"MAIL FROM:<a@a.example>\r\n"),
    ] {
        let before = stack.get("/home/api/requests?limit=1").await?.text();
        let before: Value = serde_json::from_str(&before)?;
        let before = before["total"].as_u64().context("a total")?;
        let mut stream = TcpStream::connect(stack.front()).await?;
        stream.write_all(first).await?;
        let mut reply = vec![0; RESPONSE.len()];
        stream.read_exact(&mut reply).await?;
        assert_eq!(reply, RESPONSE);
        stream.write_all(second).await?;
        let list = stack.until_recorded(before + 2).await?;
        let (two, one) = (&list["requests"][0], &list["requests"][1]);
        assert_eq!(raw(&stack, one).await?, first);
        assert_eq!(raw(&stack, two).await?, second);
        assert_eq!(
            (&two["continues"], &one["continues"]),
            (&one["seq"], &Value::Null)
        );
        assert_eq!(
            (&two["src_port"], &two["via"]),
            (&one["src_port"], &"proxy_v2".into())
        );
        let page = stack
            .get(&format!("/home/requests/{}", two["seq"]))
            .await?
            .text();
        assert!(page.contains(&format!(
            r#"<a href="/home/requests/{}">request"#,
            one["seq"]
        )));
        let page = stack
            .get(&format!("/home/requests/{}", one["seq"]))
            .await?
            .text();
        assert!(page.contains("Continued by"), "{page}");
    }
    Ok(())
}

/// Sends the head, and a little later the rest, like a client that does not know the length.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_a_segment_of_its_own_is_kept() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let head = b"POST /late HTTP/1.0\r\n\r\n";
    let mut stream = TcpStream::connect(stack.front()).await?;
    stream.set_nodelay(true)?;
    stream.write_all(head).await?;
    until("haproxy has handed over the head", || async {
        stack.handed_over().await.ok().filter(|&count| count == 1)
    })
    .await?;
    stream.write_all(b"the body").await?;
    stream.shutdown().await?;
    assert_eq!(client::read_to_end(&mut stream).await?, RESPONSE);
    let list = stack.until_recorded(1).await?;
    assert_eq!(
        raw(&stack, &list["requests"][0]).await?,
        [&head[..], b"the body"].concat()
    );
    Ok(())
}

/// 480 connections of one source take all memory for requests that are being read.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_holds_all_the_room_cuts_nobody_else() -> anyhow::Result<()> {
    forever200_daemon::raise_file_limit();
    let stack = Stack::start().await?;
    let greedy = [
        &b"POST /held HTTP/1.1\r\nContent-Length: 65000\r\n\r\n"[..],
        &[b'x'; 40_000],
    ]
    .concat();
    let mut held = Vec::new();
    for _ in 0..480 {
        let mut stream = TcpStream::connect(stack.front()).await?;
        stream.write_all(&greedy).await?;
        held.push(stream);
    }
    let request = [
        &b"POST /x HTTP/1.1\r\nContent-Length: 6000\r\n\r\n"[..],
        &[b'y'; 6000],
    ]
    .concat();
    for number in 2..12 {
        let source = std::net::Ipv4Addr::new(127, 60, 0, number);
        assert_eq!(
            exchange_from(source, stack.front(), &request).await?,
            RESPONSE
        );
        // Checked at once, because the ring rolls over it when the held requests are recorded.
        let record = until("it is recorded", || async {
            let newest = "/home/api/requests?path=/x&limit=1";
            let list: Value = serde_json::from_str(&stack.get(newest).await.ok()?.text()).ok()?;
            let is_mine = list["requests"][0]["src_ip"] == source.to_string();
            is_mine.then(|| list["requests"][0].clone())
        })
        .await?;
        assert_eq!(
            (&record["bytes"], &record["truncated"]),
            (&request.len().into(), &false.into())
        );
    }
    // All memory was really taken: held requests were truncated.
    until("the greedy ones are cut", || async {
        let list = stack
            .get("/home/api/requests?path=/held")
            .await
            .ok()?
            .text();
        list.contains(r#""truncated":true"#).then_some(())
    })
    .await
}
