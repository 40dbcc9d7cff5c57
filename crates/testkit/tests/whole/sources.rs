//! Sources, with all programs as shipped: pages, JSON, lists for blocking, and what remains with
//! masked addresses.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, ensure};
use forever200_testkit::process::project;
use forever200_testkit::{Stack, exchange, exchange_from, get, get_json, until};
use serde_json::Value;
use tempfile::TempDir;

async fn start(folder: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Stack> {
    let folder = folder.to_str().context("an odd path")?;
    let settings = [&[("FOREVER200_HISTORY", folder)], settings].concat();
    Stack::start_with(&settings).await
}

/// Sends one request from each of these loopback addresses.
async fn send(stack: &Stack, requests: &[(&str, &str)]) -> anyhow::Result<()> {
    for (source, target) in requests {
        let source: Ipv4Addr = source.parse()?;
        let raw = format!(
            "GET {target} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: me at {source}\r\n\r\n"
        );
        exchange_from(source, stack.front(), raw.as_bytes()).await?;
    }
    Ok(())
}

async fn until_listed(stack: &Stack, sources: usize) -> anyhow::Result<Value> {
    let name = format!("{sources} sources are listed");
    until(&name, || async {
        let list = get_json(stack.front(), "/home/api/sources").await.ok()?;
        (list["sources"].as_array()?.len() == sources).then_some(list)
    })
    .await
}

fn holds(name: &str, answer: &Value) -> anyhow::Result<()> {
    let schema = std::fs::read(project().join("docs/sources.schema.json"))?;
    let mut schema: Value = serde_json::from_slice(&schema)?;
    schema["$ref"] = format!("#/$defs/{name}").into();
    let validator = jsonschema::validator_for(&schema)?;
    let faults: Vec<_> = validator
        .iter_errors(answer)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    ensure!(faults.is_empty(), "{name}: {faults:?} in {answer}");
    Ok(())
}

const REQUESTS: [(&str, &str); 4] = [
    ("127.0.7.8", "/.env"),
    ("127.0.7.8", "/wp-login.php"),
    ("127.0.7.9", "/.env"),
    ("127.0.6.1", "/nothing-known"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_source_has_a_row_a_page_and_its_json() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path(), &[]).await?;
    holds("list", &get_json(stack.front(), "/home/api/sources").await?)?;
    send(&stack, &REQUESTS).await?;
    let list = until_listed(&stack, 3).await?;
    holds("list", &list)?;
    let page = get(stack.front(), "/home/sources?sort=often").await?;
    ensure!(page.status == 200, "{}", page.text());
    ensure!(
        page.text().contains("/home/sources/127.0.7.8"),
        "{}",
        page.text()
    );
    let one = get_json(stack.front(), "/home/api/sources/127.0.7.8").await?;
    holds("source", &one)?;
    assert_eq!((&one["requests"], &one["kinds"]), (&2.into(), &2.into()));
    assert_eq!(one["hosts"][0]["value"], "shop.example");
    assert_eq!(one["neighbours"][0]["address"], "127.0.7.9");
    let mapped = get_json(stack.front(), "/home/api/sources/::ffff:127.0.7.8").await?;
    assert_eq!(mapped, one);
    let page = get(stack.front(), "/home/sources/127.0.7.8").await?;
    ensure!(
        page.text().contains("/home/history?source=127.0.7.8"),
        "{}",
        page.text()
    );
    ensure!(
        !page.text().contains("https://"),
        "a private address leads elsewhere"
    );
    let request = get(stack.front(), "/home/requests/1").await?;
    ensure!(
        request.text().contains("/home/sources/127.0.7.8"),
        "{}",
        request.text()
    );
    for (path, status) in [
        ("/home/sources/127.0.7.77", 404),
        ("/home/sources/2001:db8::1", 404),
        ("/home/sources/127.0.7.0_24", 404),
        ("/home/sources/x", 404),
        ("/home/api/sources/127.0.7.77", 404),
        ("/home/sources?sort=x", 400),
        ("/home/sources?before=x", 400),
        ("/home/sources?category=x", 400),
        ("/home/sources?limit=1", 400),
        ("/home/export.sources.txt?category=crawler", 400),
        ("/home/export.sources.txt?since=x", 400),
    ] {
        let answer = get(stack.front(), path).await?;
        assert_eq!(answer.status, status, "{path}");
    }
    Ok(())
}

/// Gives the row of a source, which has a loopback address here, an address of the internet.
fn move_source(folder: &Path, from: &str, to: &str) -> anyhow::Result<()> {
    let file = rusqlite::Connection::open(folder.join("history.db"))?;
    file.busy_timeout(std::time::Duration::from_secs(10))?;
    let moved = file.execute(
        "UPDATE source SET address = ?2 WHERE address = ?1",
        [from, to],
    )?;
    ensure!(moved == 1, "{from} is not there");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn attackers_are_listed_for_a_firewall_with_a_tag() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path(), &[]).await?;
    send(&stack, &REQUESTS).await?;
    until_listed(&stack, 3).await?;
    let list = async |query: &str| -> anyhow::Result<String> {
        let path = format!("/home/export.sources.txt{query}");
        Ok(get(stack.front(), &path).await?.text())
    };
    assert_eq!(list("").await?, "");
    move_source(folder.path(), "127.0.7.8", "8.8.4.4")?;
    move_source(folder.path(), "127.0.7.9", "2600::1")?;
    assert_eq!(list("").await?, "8.8.4.4\n2600::1\n");
    assert_eq!(list("?min=2&since=1h").await?, "8.8.4.4\n");
    assert_eq!(list("?category=login").await?, "8.8.4.4\n");
    let json = get_json(stack.front(), "/home/export.sources.json").await?;
    holds("blocklist", &json)?;
    let csv = get(stack.front(), "/home/export.sources.csv").await?;
    ensure!(csv.text().lines().count() == 3, "{}", csv.text());
    let tag = csv.header("etag").context("no tag")?.to_owned();
    let again = format!(
        "GET /home/export.sources.csv HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nIf-None-Match: {tag}\r\n\r\n"
    );
    let (again, _) = exchange(stack.front(), again.as_bytes()).await?;
    ensure!(
        again.starts_with(b"HTTP/1.1 304 "),
        "{}",
        String::from_utf8_lossy(&again)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn masked_addresses_are_networks_and_cannot_be_confirmed() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path(), &[("FOREVER200_MASK_SOURCES", "on")]).await?;
    send(&stack, &REQUESTS).await?;
    let list = until_listed(&stack, 2).await?;
    holds("list", &list)?;
    for path in [
        "/home/api/sources",
        "/home/sources",
        "/home/api/sources/127.0.7.0_24",
        "/home/sources/127.0.7.0_24",
    ] {
        let answer = get(stack.front(), path).await?;
        assert_eq!(answer.status, 200, "{path}");
        for hidden in ["127.0.7.8", "127.0.7.9", "127.0.6.1"] {
            ensure!(
                !answer.text().contains(hidden),
                "{hidden} in {path}: {}",
                answer.text()
            );
        }
    }
    for path in [
        "/home/sources/127.0.7.8",
        "/home/sources/127.0.7.99",
        "/home/sources/127.0.7.8_24",
        "/home/sources/127.0.7.8_32",
        "/home/sources/127.0.7.0_25",
    ] {
        assert_eq!(get(stack.front(), path).await?.status, 404, "{path}");
    }
    for form in ["txt", "csv", "json"] {
        let path = format!("/home/export.sources.{form}");
        assert_eq!(get(stack.front(), &path).await?.status, 403, "{path}");
    }
    Ok(())
}
