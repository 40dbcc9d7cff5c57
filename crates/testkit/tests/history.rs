//! What outlives the ring, on the real composition: numbers go on, whatever was killed or copied.

use std::path::Path;

use anyhow::{Context, ensure};
use forever200_testkit::process::signal;
use forever200_testkit::{Stack, get_json, until};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

fn get(number: u64) -> Vec<u8> {
    format!("GET /{number} HTTP/1.1\r\n\r\n").into_bytes()
}

async fn start(folder: &Path) -> anyhow::Result<Stack> {
    let folder = folder.to_str().context("an odd path")?;
    Stack::start_with(&[("FOREVER200_HISTORY", folder)]).await
}

/// Sends requests with these numbers in their path, and waits until the page has the last.
async fn send(stack: &Stack, numbers: std::ops::RangeInclusive<u64>) -> anyhow::Result<()> {
    let last = *numbers.end();
    for number in numbers {
        stack.send(&get(number)).await?;
    }
    stack.until_recorded(last).await?;
    Ok(())
}

async fn list(stack: &Stack) -> anyhow::Result<Value> {
    get_json(stack.front(), "/home/api/requests?raw=true").await
}

/// Checks that each number of the list stands for the request that was sent as such.
fn is_in_order(list: &Value, total: u64) -> anyhow::Result<()> {
    ensure!(list["total"] == total, "{} in all", list["total"]);
    for request in list["requests"].as_array().context("no list")? {
        let summary = format!("GET /{}", request["seq"]);
        ensure!(request["summary"] == summary, "{request}");
    }
    Ok(())
}

/// Waits until the file has so many requests.
async fn until_written(folder: &Path, requests: i64) -> anyhow::Result<()> {
    let held = || -> rusqlite::Result<i64> {
        let file = rusqlite::Connection::open(folder.join("history.db"))?;
        file.query_row("SELECT count(*) FROM request", [], |row| row.get(0))
    };
    let name = format!("{requests} requests are written");
    until(&name, || async { (held().ok()? == requests).then_some(()) }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_requests_outlive_a_stop() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mut stack = start(folder.path()).await?;
    send(&stack, 1..=130).await?;
    until_written(folder.path(), 130).await?;
    let before = list(&stack).await?;
    stack.stop().await?;
    stack.start_again().await?;
    let after = list(&stack).await?;
    is_in_order(&after, 130)?;
    assert_eq!(before["requests"], after["requests"]);
    assert_eq!(before["since"], after["since"]);
    send(&stack, 131..=132).await?;
    is_in_order(&list(&stack).await?, 132)
}

#[tokio::test(flavor = "multi_thread")]
async fn memcached_and_the_responder_may_die_at_once() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path()).await?;
    let mut sent = 0;
    for round in 1..=5 {
        send(&stack, sent + 1..=round * 40).await?;
        sent = round * 40;
        until_written(folder.path(), sent as i64).await?;
        for program in ["memcached", "responder"] {
            let pid = stack
                .pid(program)?
                .with_context(|| format!("{program} does not run"))?;
            signal(pid, Signal::KILL)?;
        }
        stack.until_running().await?;
        is_in_order(&list(&stack).await?, sent)?;
    }
    Ok(())
}

/// What a copy of the folder holds is what a disk holds when the power goes: SQLite promises that it opens.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_folder_at_any_moment_is_a_history() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path()).await?;
    for round in 0..10 {
        send(&stack, round * 30 + 1..=round * 30 + 30).await?;
        let copy = TempDir::new()?;
        // All of it as of one moment.
        let viewer = stack.pid("viewer")?.context("no viewer")?;
        signal(viewer, Signal::STOP)?;
        for name in ["history.db", "history.db-wal"] {
            std::fs::copy(folder.path().join(name), copy.path().join(name))?;
        }
        signal(viewer, Signal::CONT)?;
        let file = rusqlite::Connection::open(copy.path().join("history.db"))?;
        let check: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        assert_eq!(check, "ok");
        let held: i64 = file.query_row("SELECT count(*) FROM request", [], |row| row.get(0))?;
        ensure!(held >= round as i64 * 30 - 101, "{held} in round {round}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn off_means_that_nothing_is_written_to_a_disk() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mut stack = Stack::start_with(&[("FOREVER200_HISTORY", "off")]).await?;
    send(&stack, 1..=3).await?;
    stack.stop().await?;
    stack.start_again().await?;
    assert_eq!(list(&stack).await?["total"], 0);
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 0);
    Ok(())
}
