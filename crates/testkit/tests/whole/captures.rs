//! `FOREVER200_CAPTURES`: a line for each request, in a file and on standard output, with fast,
//! slow and absent readers.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, pipe};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_testkit::process::project;
use forever200_testkit::stack::Setup;
use forever200_testkit::{RESPONSE, Stack, exchange, get_json, until};
use jsonschema::Validator;
use serde_json::Value;
use tempfile::TempDir;

/// Returns a validator for docs/captures.schema.json and the schemas that it refers to.
fn schema() -> anyhow::Result<Validator> {
    let read = |file: &str| std::fs::read_to_string(project().join("docs").join(file));
    let own = read("captures.schema.json")?.replace("api.schema.json#/$defs/", "#/$defs/api_");
    let mut schema: Value = serde_json::from_str(&own)?;
    let api = read("api.schema.json")?.replace("#/$defs/", "#/$defs/api_");
    let api: Value = serde_json::from_str(&api)?;
    for (name, definition) in api["$defs"].as_object().context("no definitions")? {
        schema["$defs"][format!("api_{name}")] = definition.clone();
    }
    let options = jsonschema::options().should_validate_formats(true);
    Ok(options.build(&schema)?)
}

/// Returns the lines in a file so far. Fails if one is not whole or does not match the schema.
fn lines(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(serde_json::from_str);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>()?;
    let schema = schema()?;
    for line in &lines {
        let faults = schema.iter_errors(line);
        let faults: Vec<_> = faults.map(|fault| fault.to_string()).collect();
        ensure!(faults.is_empty(), "{faults:?}: {line}");
    }
    Ok(lines)
}

/// Returns how many requests the lines have or count as missing.
fn accounted(lines: &[Value]) -> u64 {
    let of_one = |line: &Value| match line["event_type"].as_str() {
        Some("gap") => line["requests"].as_u64().unwrap_or_default(),
        _ => 1,
    };
    lines.iter().map(of_one).sum()
}

/// Waits until the lines of a file account for `count` requests, and returns them.
async fn until_accounted(path: &Path, count: u64) -> anyhow::Result<Vec<Value>> {
    until(&format!("{count} requests have a line"), || async {
        let lines = lines(path).ok()?;
        (accounted(&lines) >= count).then_some(lines)
    })
    .await
    .with_context(|| format!("{:?}", lines(path).map(|lines| accounted(&lines))))
}

/// Returns how many requests the history lacks.
fn not_kept(stats: &Value) -> u64 {
    let requests = &stats["history"]["not_kept"]["requests"];
    requests.as_u64().unwrap_or_default()
}

/// Returns the numbers of the requests, in the order of their lines.
fn numbers(lines: &[Value]) -> Vec<u64> {
    let requests = lines.iter().filter(|line| line["event_type"] == "request");
    requests.filter_map(|line| line["seq"].as_u64()).collect()
}

fn raw(line: &Value) -> anyhow::Result<Vec<u8>> {
    let base64 = line["raw_base64"].as_str().context("no bytes")?;
    Ok(BASE64_STANDARD.decode(base64)?)
}

/// Sends these requests at the same time.
async fn burst(stack: &Stack, requests: impl Iterator<Item = Vec<u8>>) -> anyhow::Result<()> {
    let front = stack.front();
    let sent: Vec<_> = requests
        .map(|bytes| tokio::spawn(async move { exchange(front, &bytes).await }))
        .collect();
    for sent in sent {
        ensure!(sent.await??.0 == RESPONSE);
    }
    Ok(())
}

fn get(name: usize) -> Vec<u8> {
    format!("GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

/// Starts a stack that writes lines into the file `lines` of this folder.
async fn with_file(folder: &TempDir, variables: &[(&str, &str)]) -> anyhow::Result<Stack> {
    let path = folder.path().join("lines");
    let path = path.to_str().context("an odd name")?;
    let variables = [&[("FOREVER200_CAPTURES", path)], variables].concat();
    Stack::start_with(&variables).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_one_line_in_order_also_those_of_a_burst() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("lines");
    let history = folder.path().join("history");
    let history = history.to_str().context("an odd name")?;
    let stack = with_file(&folder, &[("FOREVER200_HISTORY", history)]).await?;
    let odd = b"\x16\x03\x01\x00\xff\"\n\\\x00\xe2\x80\xae".to_vec();
    stack.send(&odd).await?;
    let first = until_accounted(&file, 1).await?;
    assert_eq!(raw(&first[0])?, odd);
    for batch in 0..20 {
        burst(&stack, (batch * 40..batch * 40 + 40).map(get)).await?;
    }
    let lines = until_accounted(&file, 801).await?;
    assert_eq!(accounted(&lines), 801);
    let numbers = numbers(&lines);
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let gaps = lines.iter().filter(|line| line["event_type"] == "gap");
    let missing: u64 = gaps.filter_map(|gap| gap["requests"].as_u64()).sum();
    assert_eq!(numbers.len() as u64 + missing, 801);
    // The history accounts for all requests too. It lacks what the lines lack, and also requests
    // for which its own queue had no room while other programs had the cores.
    let stats = until("the history accounts for all", || async {
        let stats = get_json(stack.front(), "/home/api/stats").await.ok()?;
        let metrics = stack.get("/home/metrics").await.ok()?.text();
        let kept = metrics
            .lines()
            .find_map(|line| line.strip_prefix("forever200_history_requests "))?;
        (kept.parse::<u64>().ok()? + not_kept(&stats) == 801).then_some(stats)
    })
    .await?;
    ensure!(not_kept(&stats) >= missing, "{stats} {missing}");
    assert_eq!(stats["lines"]["written"], numbers.len() as u64);
    // The newest line is the same as in an export.
    let export = stack.get("/home/export.ndjson").await?.text();
    let mut newest: Value = serde_json::from_str(export.lines().last().context("no line")?)?;
    newest["event_type"] = "request".into();
    assert_eq!(lines.last(), Some(&newest));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_renamed_is_opened_anew_on_hup() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, rotated) = (folder.path().join("lines"), folder.path().join("lines.1"));
    let stack = with_file(&folder, &[("FOREVER200_CAPTURES_RAW", "off")]).await?;
    stack.send(&get(1)).await?;
    let lines = until_accounted(&file, 1).await?;
    ensure!(lines[0].get("raw_base64").is_none(), "{lines:?}");
    std::fs::rename(&file, &rotated)?;
    stack.send(&get(2)).await?;
    until_accounted(&rotated, 2).await?;
    stack.supervisorctl(&["signal", "HUP", "viewer"])?;
    until("the file is there again", || async {
        file.exists().then_some(())
    })
    .await?;
    stack.send(&get(3)).await?;
    let lines = until_accounted(&file, 1).await?;
    assert_eq!(numbers(&lines), [3]);
    assert_eq!(numbers(&self::lines(&rotated)?), [1, 2]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_history_a_restart_writes_no_line_twice_and_loses_none() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("lines");
    let history = folder.path().join("history");
    let history = history.to_str().context("an odd name")?;
    let mut stack = with_file(&folder, &[("FOREVER200_HISTORY", history)]).await?;
    burst(&stack, (0..10).map(get)).await?;
    until_accounted(&file, 10).await?;
    // Restart the viewer alone, while requests come.
    let sending = burst(&stack, (10..60).map(get));
    let (sent, restarted) = tokio::join!(sending, async {
        stack.supervisorctl(&["restart", "viewer"])
    });
    sent?;
    restarted?;
    until_accounted(&file, 60).await?;
    // Restart everything: memcached gets the ring back from the history.
    ensure!(stack.stop().await?.success());
    stack.start_again().await?;
    stack.send(&get(60)).await?;
    let lines = until_accounted(&file, 61).await?;
    assert_eq!(numbers(&lines), (1..=61).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_shown_is_in_no_line() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("lines");
    let privacy = [
        ("FOREVER200_HIDE", "honey.example"),
        ("FOREVER200_MASK_SOURCES", "on"),
    ];
    let stack = with_file(&folder, &privacy).await?;
    let request = b"GET /?u=honey.example HTTP/1.1\r\nHost: honey.example\r\n\r\n";
    stack.send(request).await?;
    let lines = until_accounted(&file, 1).await?;
    let text = String::from_utf8(raw(&lines[0])?)?;
    ensure!(!text.contains("honey"), "{text}");
    ensure!(!lines[0].to_string().contains("honey"), "{}", lines[0]);
    assert_eq!(lines[0]["src_prefix"], 24);
    assert_eq!(lines[0]["src_port"], 0);
    Ok(())
}

/// Starts a stack whose lines go to the writer.
async fn with_pipe(writer: PipeWriter) -> anyhow::Result<Stack> {
    Stack::start_as(Setup {
        variables: &[("FOREVER200_CAPTURES", "stdout")],
        lines: Some(Stdio::from(writer)),
        ..Setup::default()
    })
    .await
}

/// Reads lines in a thread of its own until they account for `count` requests.
async fn read_accounted(reader: PipeReader, count: u64) -> anyhow::Result<Vec<Value>> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut lines = Vec::new();
        for line in BufReader::new(reader).lines() {
            let line = line?;
            let value = serde_json::from_str(&line);
            lines.push(value.with_context(|| format!("no JSON: {line:.200}"))?);
            if accounted(&lines) >= count {
                break;
            }
        }
        anyhow::Ok(lines)
    });
    reading.await?
}

/// Returns a request of the greatest length that is kept, with the bytes that take the most room in
/// JSON.
fn longest(name: usize) -> Vec<u8> {
    let mut request = format!("\x01{name} ").into_bytes();
    request.resize(60_000, 0x1b);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lines_arrive_whole_on_standard_output_and_nothing_else_does() -> anyhow::Result<()> {
    let (reader, writer) = pipe()?;
    let stack = with_pipe(writer).await?;
    let reading = tokio::spawn(read_accounted(reader, 60));
    for name in 0..30 {
        stack.send(&longest(name)).await?;
        stack.send(&get(name)).await?;
        if name % 10 == 5 {
            // All programs log, also supervisord.
            stack.kill("memcached").await?;
            stack.supervisorctl(&["signal", "USR2", "haproxy"])?;
        }
    }
    let lines = reading.await??;
    assert_eq!(accounted(&lines), 60);
    for line in lines.iter().filter(|line| line["event_type"] == "request") {
        let bytes = raw(line)?;
        ensure!(line["bytes"] == bytes.len() as u64, "{line}");
    }
    ensure!(stack.log().contains("spawned: 'memcached'"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stands_still_delays_nothing_and_is_told_what_it_missed() -> anyhow::Result<()>
{
    let (reader, writer) = pipe()?;
    let stack = with_pipe(writer).await?;
    let mut sent = 0;
    until("lines are dropped", || {
        let (stack, name) = (&stack, sent);
        sent += 10;
        async move {
            burst(stack, (name..name + 10).map(longest)).await.ok()?;
            let stats = get_json(stack.front(), "/home/api/stats").await.ok()?;
            (stats["lines"]["dropped"].as_u64()? > 0).then_some(())
        }
    })
    .await?;
    // The page and the health check still work, and supervisord still obeys.
    ensure!(stack.get("/home").await?.status == 200);
    ensure!(stack.unhealthy()?.is_none());
    ensure!(stack.log().contains("lines are dropped"));
    stack.kill("memcached").await?;
    stack.until_up().await?;
    let metrics = stack.get("/home/metrics").await?.text();
    let dropped = metrics.lines().find_map(|line| {
        let value = line.strip_prefix("forever200_lines_dropped_total ")?;
        value.parse::<u64>().ok()
    });
    ensure!(dropped > Some(0), "{metrics}");
    let lines = read_accounted(reader, sent as u64).await?;
    assert_eq!(accounted(&lines), sent as u64);
    let gap = lines.iter().find(|line| line["reason"] == "slow_reader");
    ensure!(gap.is_some(), "no gap");
    let numbers = numbers(&lines);
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_reader_that_stands_still() -> anyhow::Result<()> {
    let (_reader, writer) = pipe()?;
    let stack = with_pipe(writer).await?;
    for name in 0..10 {
        stack.send(&longest(name)).await?;
    }
    until("lines wait", || async {
        let metrics = stack.get("/home/metrics").await.ok()?.text();
        let nothing = "forever200_lines_waiting_bytes 0\n";
        (metrics.contains("lines_waiting_bytes") && !metrics.contains(nothing)).then_some(())
    })
    .await?;
    stack.supervisorctl(&["stop", "viewer"])?;
    let log = stack.log();
    ensure!(log.contains("stopped: viewer"), "{log}");
    ensure!(!log.contains("killing 'viewer'"), "{log}");
    Ok(())
}
