//! Failures are reported in the format that was asked for: a program never gets a page.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use forever200_identify::Labeller;
use forever200_ring::{Counts, KnownRing, Ring, Store};
use forever200_testkit::{Memcached, get, loopback, record, request, until};
use forever200_viewer::reader::Describer;
use forever200_viewer::reader::locations::Locations;
use forever200_viewer::reader::privacy::Privacy;
use forever200_viewer::web::{self, Hosts};
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;

/// Starts a viewer of this store, in this process.
async fn viewer_of(store: Store) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((loopback(), 0)).await?;
    let viewer = listener.local_addr()?;
    let describer = Describer {
        labeller: Arc::new(Labeller::built_in()),
        locations: Locations::default(),
        privacy: Privacy::default(),
    };
    let hosts = Hosts::default();
    let stopped = std::future::pending();
    tokio::spawn(web::run(
        listener, store, describer, None, None, hosts, stopped,
    ));
    Ok(viewer)
}

/// Starts a viewer of a ring with one request, number 5, which is not HTTP.
async fn viewer_of_one(memcached: &Memcached) -> anyhow::Result<SocketAddr> {
    let store = Store::new(memcached.address());
    let nothing = store.snapshot().await?;
    let ring = Ring::default();
    store
        .put_back(
            &nothing,
            KnownRing {
                cursor: 5,
                ring: &ring,
                counts: None,
                since: Timestamp::UNIX_EPOCH,
                first: None,
            },
        )
        .await?;
    store
        .write(&[record(5, b"\x16\x03\x01")], &Counts::default())
        .await?;
    let viewer = viewer_of(store).await?;
    until("it is shown", async || {
        let shown = get(viewer, "/home/requests/5").await.ok()?;
        (shown.status == 200).then_some(())
    })
    .await?;
    Ok(viewer)
}

/// Sends a request, and checks status and format of the answer. Returns its text.
async fn told(
    viewer: SocketAddr,
    method: &str,
    path: &str,
    expected: (u16, &str),
) -> anyhow::Result<String> {
    let response = request(viewer, method, path).await?;
    let content_type = response.header("content-type").unwrap_or_default();
    let text = response.text();
    let found = (response.status, content_type);
    ensure!(
        found.0 == expected.0 && found.1.starts_with(expected.1),
        "{method} {path}: {found:?}, not {expected:?}: {text}"
    );
    if content_type.starts_with("application/json") {
        let value: Value = serde_json::from_str(&text).context("JSON")?;
        let error = value["error"].as_str().context("no error")?;
        return Ok(error.to_owned());
    }
    let is_page = text.contains("<html");
    ensure!(
        is_page == (expected.1 == HTML),
        "{method} {path}: {expected:?}: {text}"
    );
    if !is_page {
        let line = text.strip_suffix('\n').context("no line")?;
        ensure!(!line.is_empty() && !line.contains('\n'), "{path}: {text}");
    }
    Ok(text)
}

const HTML: &str = "text/html";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

#[tokio::test]
async fn a_bad_query_is_told_in_the_form_that_was_asked_for() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let viewer = viewer_of_one(&memcached).await?;
    for (path, form) in [
        ("/home", HTML),
        ("/home/requests/5", HTML),
        ("/home/text", TEXT),
        ("/home/events", JSON),
        ("/home/api/requests", JSON),
        ("/home/export.ndjson", JSON),
        ("/home/export.har", JSON),
        ("/home/export.pcap", TEXT),
        ("/home/export.html", TEXT),
    ] {
        for (query, named) in [
            ("bad=1", "bad: "),
            ("q=x&-bad=", "-bad: "),
            ("source=here", "source: "),
            ("protocol=gopher", "protocol: "),
        ] {
            let said = told(viewer, "GET", &format!("{path}?{query}"), (400, form)).await?;
            ensure!(said.contains(named), "{path}?{query}: {said}");
        }
        // The message has only visible characters, and is one line.
        let said = told(
            viewer,
            "GET",
            &format!("{path}?%1b%3Cb%3E%0a=1"),
            (400, form),
        )
        .await?;
        ensure!(!said.contains('\x1b'), "{said}");
    }
    for (path, form, named) in [
        ("/home/text?color=red", TEXT, "color: "),
        ("/home/events?format=xml", JSON, "format: "),
        ("/home/events?after=x", JSON, "after: "),
        ("/home/api/requests?limit=x", JSON, "limit: "),
    ] {
        let said = told(viewer, "GET", path, (400, form)).await?;
        ensure!(said.contains(named), "{path}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_form_that_was_asked_for() -> anyhow::Result<()> {
    let memcached = Memcached::start().await?;
    let viewer = viewer_of_one(&memcached).await?;
    for (path, form) in [
        ("/home/requests/4", HTML),
        ("/home/requests/x", HTML),
        ("/home/nothing", HTML),
        ("/home/requests/4/raw", TEXT),
        ("/home/requests/4/pcap", TEXT),
        ("/home/requests/4/har", JSON),
        ("/home/requests/x/raw", TEXT),
        ("/home/requests/5/exe", TEXT),
        // This request is not HTTP.
        ("/home/requests/5/har", JSON),
        ("/home/export.exe", TEXT),
        ("/home/api/requests/4", JSON),
        ("/home/api/nothing", JSON),
        // Not UTF-8.
        ("/home/requests/%ff", HTML),
        ("/home/requests/5/%ff", TEXT),
        ("/home/export.%ff", TEXT),
        ("/home/collection/%ff", HTML),
        ("/home/sources/%c0%af", HTML),
        ("/home/api/requests/%ff", JSON),
        ("/home/api/collection/%ff", JSON),
        ("/home/api/sources/%ff", JSON),
    ] {
        told(viewer, "GET", path, (404, form)).await?;
    }
    for (path, form) in [
        ("/home", HTML),
        ("/home/requests/5", HTML),
        ("/home/text", TEXT),
        ("/home/export.pcap", TEXT),
        ("/home/requests/5/raw", TEXT),
        ("/home/static/style.css", TEXT),
        ("/home/events", JSON),
        ("/home/export.ndjson", JSON),
        ("/home/api/stats", JSON),
        ("/home/health", JSON),
    ] {
        told(viewer, "POST", path, (405, form)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn that_memcached_is_away_is_told_in_the_form_that_was_asked_for() -> anyhow::Result<()> {
    // The port is free, so nobody answers.
    let nobody = TcpListener::bind((loopback(), 0)).await?;
    let address = nobody.local_addr()?;
    drop(nobody);
    let viewer = viewer_of(Store::new(address.to_string())).await?;
    for (path, form) in [
        ("/home", HTML),
        ("/home/requests/5", HTML),
        ("/home/text", TEXT),
        ("/home/export.pcap", TEXT),
        ("/home/requests/5/raw", TEXT),
        ("/home/requests/5/pcap", TEXT),
        ("/home/requests/5/har", JSON),
        ("/home/events", JSON),
        ("/home/export.ndjson", JSON),
        ("/home/export.har", JSON),
        ("/home/api/requests", JSON),
        ("/home/api/stats", JSON),
        ("/home/health", JSON),
    ] {
        let said = told(viewer, "GET", path, (503, form)).await?;
        ensure!(!said.is_empty(), "{path}");
    }
    Ok(())
}
