//! Real tools send requests to a running stack, and each is recognised by its name and by what it
//! does.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use forever200_testkit::events::Events;
use forever200_testkit::exchange;
use forever200_testkit::process::missing;
use forever200_testkit::stack::{FRONT_PORT, Stack};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

/// nmap tries 140 scripts, and some wait in vain.
const LONGEST_RUN: Duration = Duration::from_secs(120);

/// How a tool was recognised.
#[derive(Debug, Default)]
struct Seen {
    ids: BTreeSet<String>,
    categories: BTreeSet<String>,
}

/// Runs a tool against a stack of its own, and returns the labels of all its requests.
async fn run(package: &str, line: &str, folder: &Path) -> anyhow::Result<Seen> {
    let stack = Stack::start().await?;
    let mut events = Events::open(stack.front(), "/home/events?after=0", "").await?;
    let collecting = tokio::spawn(async move {
        let mut seen = Seen::default();
        while let Ok(Some(event)) = events.next("request").await {
            let request: Value = serde_json::from_str(&event.data)?;
            for label in request["labels"].as_array().into_iter().flatten() {
                seen.ids.extend(label["id"].as_str().map(str::to_owned));
                seen.categories
                    .extend(label["category"].as_str().map(str::to_owned));
            }
        }
        anyhow::Ok(seen)
    });
    let line = line
        .replace("{ip}", &stack.front().ip().to_string())
        .replace("{port}", &FRONT_PORT.to_string());
    let mut words = line.split(' ');
    let mut tool = Command::new(words.next().unwrap_or_default());
    tool.args(words)
        .current_dir(folder)
        .env("HOME", folder)
        .kill_on_drop(true);
    let ended = timeout(LONGEST_RUN, tool.output())
        .await
        .with_context(|| format!("{line} goes on and on"))?;
    ended.with_context(|| missing(package))?;
    // The event stream ends with its server, after all events were sent. The viewer may still have
    // to describe some requests.
    let total = recorded(&stack).await?;
    ensure!(total > 0, "{line} sent nothing");
    stack.until_recorded(total).await?;
    drop(stack);
    collecting.await?
}

/// Returns the number of requests, from memcached.
async fn recorded(stack: &Stack) -> anyhow::Result<u64> {
    let (answer, _) = exchange(stack.at(11211), b"get forever200:cursor\r\nquit\r\n").await?;
    let answer = String::from_utf8(answer)?;
    Ok(answer.lines().nth(1).context("no cursor")?.trim().parse()?)
}

#[tokio::test]
async fn curl_and_its_secrets_are_recognised() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let seen = run(
        "curl",
        "curl -s http://{ip}:{port}/.git/config",
        folder.path(),
    )
    .await?;
    ensure!(seen.ids.iter().any(|id| id.contains("curl")), "{seen:?}");
    ensure!(seen.categories.contains("secrets"), "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn gobuster_is_recognised() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("words"), ".env\nphpinfo.php\nadmin\n")?;
    let line = "gobuster dir --no-color -q -z --exclude-length 0 -u http://{ip}:{port} -w words";
    let seen = run("gobuster", line, folder.path()).await?;
    ensure!(
        seen.ids.iter().any(|id| id.contains("gobuster")),
        "{seen:?}"
    );
    Ok(())
}

#[tokio::test]
async fn sqlmap_and_its_injections_are_recognised() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let seen = run(
        "sqlmap",
        "sqlmap -u http://{ip}:{port}/item?id=1 --batch --flush-session",
        folder.path(),
    )
    .await?;
    ensure!(seen.ids.iter().any(|id| id.contains("sqlmap")), "{seen:?}");
    ensure!(
        seen.ids.iter().any(|id| id.starts_with("sql-injection")),
        "{seen:?}"
    );
    ensure!(seen.categories.contains("exploit"), "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn nmap_and_its_scripts_are_recognised() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let line = "nmap -Pn -n -sV --script +http-* --script-timeout 3s -p {port} {ip}";
    let seen = run("nmap", line, folder.path()).await?;
    ensure!(seen.ids.iter().any(|id| id.contains("nmap")), "{seen:?}");
    for category in ["exploit", "recon", "secrets", "login"] {
        ensure!(
            seen.categories.contains(category),
            "no {category} in {seen:?}"
        );
    }
    Ok(())
}
