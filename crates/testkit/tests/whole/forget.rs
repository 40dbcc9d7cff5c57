//! Requests that a person deletes from the history are gone and do not come back, with all programs
//! as shipped.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, ensure};
use forever200_testkit::process::{command, programs};
use forever200_testkit::{Stack, exchange_from, get_json, until};
use tempfile::TempDir;

const GONE: Ipv4Addr = Ipv4Addr::new(127, 0, 77, 1);
const STAYS: Ipv4Addr = Ipv4Addr::new(127, 0, 78, 1);

async fn start(folder: &Path) -> anyhow::Result<Stack> {
    let folder = folder.to_str().context("an odd path")?;
    Stack::start_with(&[("FOREVER200_HISTORY", folder)]).await
}

/// Sends `count` requests from an address, each with a text of its own.
async fn send(stack: &Stack, source: Ipv4Addr, text: &str, count: u64) -> anyhow::Result<()> {
    for number in 0..count {
        let raw = format!("GET /{text}-{number} HTTP/1.1\r\nHost: {text}.example\r\n\r\n");
        exchange_from(source, stack.front(), raw.as_bytes()).await?;
    }
    Ok(())
}

fn number(folder: &Path, query: &str) -> anyhow::Result<i64> {
    let file = rusqlite::Connection::open(folder.join("history.db"))?;
    file.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(file.query_row(query, [], |row| row.get(0))?)
}

async fn until_written(folder: &Path, last: i64) -> anyhow::Result<()> {
    until(&format!("request {last} is written"), || async {
        let newest = number(folder, "SELECT max(seq) FROM request").ok()?;
        (newest == last).then_some(())
    })
    .await
}

/// Runs the command. Returns its exit status and its output.
fn forget(folder: &Path, arguments: &[&str]) -> anyhow::Result<(Option<i32>, String)> {
    let output = command(programs()?.join("forever200-viewer"))
        .arg("forget")
        .args(arguments)
        .env("FOREVER200_HISTORY", folder)
        .output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8(text)?))
}

/// Checks that no file in the folder contains a text.
fn is_nowhere(folder: &Path, text: &str) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let bytes = std::fs::read(entry?.path())?;
        let has = bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes());
        ensure!(!has, "{text} is on the disk");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_gone_while_the_viewer_runs_and_after_it_starts_again() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path()).await?;
    send(&stack, GONE, "vanishes", 30).await?;
    send(&stack, STAYS, "stays", 30).await?;
    until_written(folder.path(), 60).await?;
    let (status, said) = forget(folder.path(), &["--source", "127.0.77.0/24"])?;
    ensure!(
        status == Some(0) && said.starts_with("30 requests, 1 sources"),
        "{said}"
    );
    for text in ["vanishes", "127.0.77.1"] {
        is_nowhere(folder.path(), text)?;
    }
    // The ring still has these requests, and a restarted viewer reads them there.
    let viewer = stack.pid("viewer")?.context("no viewer")?;
    stack.kill("viewer").await?;
    stack.until_running().await?;
    ensure!(
        stack.pid("viewer")? != Some(viewer),
        "it did not start again"
    );
    send(&stack, STAYS, "later", 1).await?;
    until_written(folder.path(), 61).await?;
    let list = get_json(stack.front(), "/home/api/requests").await?;
    assert_eq!(list["requests"].as_array().map(Vec::len), Some(61));
    assert_eq!(number(folder.path(), "SELECT count(*) FROM request")?, 31);
    assert_eq!(number(folder.path(), "SELECT count(*) FROM gap")?, 0);
    is_nowhere(folder.path(), "vanishes")
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_go_on_after_everything_is_gone_from_the_history_and_the_ring() -> anyhow::Result<()>
{
    let folder = TempDir::new()?;
    let mut stack = start(folder.path()).await?;
    send(&stack, GONE, "vanishes", 12).await?;
    until_written(folder.path(), 12).await?;
    let (status, said) = forget(folder.path(), &["--all"])?;
    ensure!(status == Some(0) && said.contains("memcached"), "{said}");
    is_nowhere(folder.path(), "vanishes")?;
    stack.stop().await?;
    stack.start_again().await?;
    send(&stack, STAYS, "stays", 1).await?;
    until_written(folder.path(), 13).await?;
    assert_eq!(number(folder.path(), "SELECT count(*) FROM request")?, 1);
    is_nowhere(folder.path(), "vanishes")
}

#[test]
fn what_cannot_be_understood_deletes_nothing() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    for arguments in [
        &["--source", "x"][..],
        &["--before", "x"],
        &["--all", "--before", "7d"],
        &[],
        &["--history", "off", "--all"],
    ] {
        let (status, said) = forget(folder.path(), arguments)?;
        ensure!(
            status == Some(2) && said.lines().count() == 1,
            "{arguments:?}: {said}"
        );
    }
    let (status, said) = forget(folder.path(), &["--all"])?;
    ensure!(status == Some(1) && said.contains("there is no"), "{said}");
    Ok(())
}
