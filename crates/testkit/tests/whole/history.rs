//! The history outlives the ring, with all programs as shipped. Numbers go on, whatever was killed
//! or copied.

use std::path::Path;

use anyhow::{Context, ensure};
use forever200_testkit::load::{Load, STEADY};
use forever200_testkit::process::signal;
use forever200_testkit::stack::{FRONT_PORT, Setup};
use forever200_testkit::{RESPONSE, Stack, get_json, until};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

fn get(number: u64) -> Vec<u8> {
    format!("GET /{number} HTTP/1.1\r\n\r\n").into_bytes()
}

async fn start(folder: &Path) -> anyhow::Result<Stack> {
    let folder = folder.to_str().context("an odd path")?;
    Stack::start_with(&[("FOREVER200_HISTORY", folder)]).await
}

/// Sends requests with these numbers in their paths, and waits until the page has the last. Sends
/// them no faster than the viewer describes them, because on a busy machine the ring would roll
/// over those that are not described yet.
async fn send(stack: &Stack, numbers: std::ops::RangeInclusive<u64>) -> anyhow::Result<()> {
    let last = *numbers.end();
    for number in numbers {
        stack.send(&get(number)).await?;
        if number % 50 == 0 || number == last {
            stack.until_recorded(number).await?;
        }
    }
    Ok(())
}

async fn list(stack: &Stack) -> anyhow::Result<Value> {
    get_json(stack.front(), "/home/api/requests?raw=true").await
}

/// Checks that each request of the list has its number in its path.
fn is_in_order(list: &Value, total: u64) -> anyhow::Result<()> {
    ensure!(list["total"] == total, "{} in all", list["total"]);
    for request in list["requests"].as_array().context("no list")? {
        let summary = format!("GET /{}", request["seq"]);
        ensure!(request["summary"] == summary, "{request}");
    }
    Ok(())
}

/// Waits until the file has `requests` requests.
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
    stack.until_recorded(130).await?;
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

/// A copy of the folder is like a disk after a power failure. SQLite promises that it can be
/// opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_folder_at_any_moment_is_a_history() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path()).await?;
    for round in 0..10 {
        send(&stack, round * 30 + 1..=round * 30 + 30).await?;
        let copy = TempDir::new()?;
        // The viewer is stopped, so that all files are from the same moment.
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

/// Returns pairs of the number in the path and the number in the list, the oldest first.
fn by_path(list: &Value) -> anyhow::Result<Vec<(u64, u64)>> {
    let requests = list["requests"].as_array().context("no list")?;
    let numbers = requests.iter().rev().map(|request| {
        let path = request["http"]["target"].as_str()?;
        Some((
            path.trim_start_matches('/').parse().ok()?,
            request["seq"].as_u64()?,
        ))
    });
    Ok(numbers.collect::<Option<_>>().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_while_memcached_is_refilled_is_numbered_after_all_before()
-> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path()).await?;
    send(&stack, 1..=150).await?;
    until_written(folder.path(), 150).await?;
    for program in ["memcached", "responder"] {
        let pid = stack.pid(program)?.context("it does not run")?;
        signal(pid, Signal::KILL)?;
    }
    // Sent at once. They are answered, because supervisord holds the responder's socket.
    for number in 151..=170 {
        let reply = stack.send(&get(number)).await?;
        assert_eq!(reply, RESPONSE, "{number}");
    }
    stack.until_running().await?;
    let list = stack.until_recorded(170).await?;
    is_in_order(&list, 170)?;
    let numbers = by_path(&list)?;
    ensure!(numbers.iter().all(|(path, seq)| path == seq), "{numbers:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_and_the_time_of_the_first_start_are_back_with_an_empty_memcached()
-> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mut stack = start(folder.path()).await?;
    send(&stack, 1..=40).await?;
    // A connection that never sends a byte.
    let silent = TcpStream::connect(stack.front()).await?;
    drop(silent);
    let stats = || async {
        let stats = get_json(stack.front(), "/home/api/stats").await.ok()?;
        (stats["silent"] == 1 && stats["silent_ports"][0]["port"] == FRONT_PORT).then_some(stats)
    };
    let before = until("the silent one is counted", stats).await?;
    until_written(folder.path(), 40).await?;
    until("the silent one is written", || async {
        let file = rusqlite::Connection::open(folder.path().join("history.db")).ok()?;
        let query = "SELECT sum(value) FROM number WHERE name = 'silent' OR name GLOB 'silent:*'";
        let silent: i64 = file.query_row(query, [], |row| row.get(0)).ok()?;
        (silent == 2).then_some(())
    })
    .await?;
    stack.stop().await?;
    stack.start_again().await?;
    stack.until_recorded(40).await?;
    let after = get_json(stack.front(), "/home/api/stats").await?;
    for name in [
        "total",
        "since",
        "silent",
        "silent_ports",
        "first_request_seconds",
        "held",
    ] {
        assert_eq!(before[name], after[name], "{name}");
    }
    let sum = |stats: &Value| -> Option<u64> {
        stats["quarters"]
            .as_array()?
            .iter()
            .map(Value::as_u64)
            .sum()
    };
    assert_eq!((sum(&before), sum(&after)), (Some(40), Some(40)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_viewer_misses_is_counted() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path()).await?;
    let load = Load::start(stack.front(), "killed", STEADY);
    for round in 1..=5 {
        stack.until_recorded(round * 60).await?;
        stack.kill("viewer").await?;
        stack.until_up().await?;
    }
    let attempts = load.stop().await?;
    assert_eq!(attempts.failed(), 0);
    let sent = attempts.0.len() as u64;
    let accounts = || -> rusqlite::Result<(u64, u64)> {
        let file = rusqlite::Connection::open(folder.path().join("history.db"))?;
        let query =
            "SELECT (SELECT count(*) FROM request), (SELECT coalesce(sum(requests), 0) FROM gap)";
        file.query_row(query, [], |row| {
            Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))
        })
    };
    // How many requests are missing depends on how long a start takes. The ring holds one second of
    // them here.
    until("all are written, or counted as missing", || async {
        let (written, missing) = accounts().ok()?;
        (written + missing == sent).then_some(())
    })
    .await
    .with_context(|| format!("{sent} {:?}", accounts()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_without_the_history_lowers_no_number_while_memcached_lives() -> anyhow::Result<()>
{
    let folder = TempDir::new()?;
    let path = folder.path().to_str().context("an odd path")?;
    // The variable's value is in a file, so that a restart of the viewer alone reads it again.
    let switch = folder.path().join("switch");
    std::fs::write(&switch, path)?;
    let viewer = format!(
        "FOREVER200_HISTORY=$(cat {}) exec forever200-viewer'",
        switch.display()
    );
    let stack = Stack::start_as(Setup {
        edits: &[("supervisord.conf", "exec forever200-viewer'", &viewer)],
        ..Setup::default()
    })
    .await?;
    send(&stack, 1..=130).await?;
    until_written(folder.path(), 130).await?;
    for (history, last) in [("off", 140), (path, 150), ("off", 160)] {
        std::fs::write(&switch, history)?;
        stack.kill("viewer").await?;
        stack.until_up().await?;
        send(&stack, last - 9..=last).await?;
        is_in_order(&list(&stack).await?, last)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_a_moment_before_a_stop_is_kept() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let mut stack = start(folder.path()).await?;
    for last in [20, 40, 60] {
        for number in last - 19..=last {
            stack.send(&get(number)).await?;
        }
        stack.stop().await?;
        stack.start_again().await?;
        is_in_order(&stack.until_recorded(last).await?, last)?;
    }
    Ok(())
}
