//! The address that a request claims to come from. It is shown beside the source, and never in its
//! place.

use anyhow::ensure;
use forever200_testkit::{RESPONSE, Stack, exchange, get_json, until};
use serde_json::json;

const REQUEST: &[u8] =
    b"GET /x HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.7, 192.0.2.9\r\n\
    CF-Connecting-IP: 198.51.100.7\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_told_as_one_and_asked_for() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let history = folder.path().display().to_string();
    let stack = Stack::start_with(&[("FOREVER200_HISTORY", &history)]).await?;
    for request in [&b"GET /x HTTP/1.1\r\n\r\n"[..], REQUEST] {
        assert_eq!(exchange(stack.front(), request).await?.0, RESPONSE);
    }
    let list = stack.until_recorded(2).await?;
    let request = &list["requests"][0];
    assert_eq!(request["src_ip"], "127.0.0.1");
    let claims = json!([
        { "header": "X-Forwarded-For", "address": "198.51.100.7" },
        { "header": "X-Forwarded-For", "address": "192.0.2.9" },
        { "header": "CF-Connecting-IP", "address": "198.51.100.7" },
    ]);
    assert_eq!(request["claims"], claims);
    assert_eq!(list["requests"][1]["claims"], json!([]));
    until("the history has both", || async {
        let list = get_json(stack.front(), "/home/api/history").await.ok()?;
        (list["requests"].as_array()?.len() == 2).then_some(())
    })
    .await?;
    for address in ["/home/api/requests", "/home/api/history"] {
        for (query, count) in [
            ("claims=198.51.100.0/24", 1),
            ("claims=192.0.2.9", 1),
            ("-claims=192.0.2.9", 1),
            ("claims=127.0.0.1", 0),
            ("source=198.51.100.7", 0),
            ("claims=0.0.0.0/0&source=127.0.0.1", 1),
        ] {
            let list = get_json(stack.front(), &format!("{address}?{query}")).await?;
            let found = list["requests"].as_array().map_or(0, Vec::len);
            assert_eq!(found, count, "{address}?{query}");
        }
    }
    let page = stack.get("/home/requests/2").await?.text();
    ensure!(page.contains("<dt>Claims to be from</dt>"), "{page}");
    ensure!(
        page.contains("<dt>From</dt><dd><a href=\"/home?source=127.0.0.1\""),
        "{page}"
    );
    let page = stack.get("/home/requests/1").await?.text();
    ensure!(!page.contains("<dt>Claims to be from</dt>"), "{page}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_masked_as_a_source_is() -> anyhow::Result<()> {
    let stack = Stack::start_with(&[("FOREVER200_MASK_SOURCES", "on")]).await?;
    assert_eq!(exchange(stack.front(), REQUEST).await?.0, RESPONSE);
    let list = stack.until_recorded(1).await?;
    let claims = json!([
        { "header": "X-Forwarded-For", "address": "198.51.100.0/24" },
        { "header": "X-Forwarded-For", "address": "192.0.2.0/24" },
        { "header": "CF-Connecting-IP", "address": "198.51.100.0/24" },
    ]);
    assert_eq!(list["requests"][0]["claims"], claims);
    for path in [
        "/home/requests/1",
        "/home/requests/1/raw",
        "/home/requests/1/html",
        "/home/api/requests?raw=true",
        "/home/export.ndjson",
        "/home/text",
    ] {
        let text = stack.get(path).await?.text();
        ensure!(
            !text.contains("198.51.100.7") && !text.contains("192.0.2.9"),
            "{path}: {text}"
        );
    }
    // Nobody can find out by a filter whether a masked claim has this address.
    for (query, count) in [("claims=198.51.100.7", 0), ("claims=198.51.100.0/24", 1)] {
        let list = get_json(stack.front(), &format!("/home/api/requests?{query}")).await?;
        let found = list["requests"].as_array().map_or(0, Vec::len);
        assert_eq!(found, count, "{query}");
    }
    Ok(())
}
