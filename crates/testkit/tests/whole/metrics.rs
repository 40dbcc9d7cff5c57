//! `/home/metrics`: what is counted, the names, and the queries of the dashboard.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use forever200_testkit::process::{missing, project};
use forever200_testkit::stack::Setup;
use forever200_testkit::{Stack, exchange_from, until};
use serde_json::Value;

async fn metrics(stack: &Stack) -> anyhow::Result<String> {
    let response = stack.get("/home/metrics").await?;
    ensure!(response.status == 200, "{}", response.status);
    let format = response.header("content-type");
    assert_eq!(format, Some("text/plain; version=0.0.4; charset=utf-8"));
    Ok(response.text())
}

/// Returns the value of a metric with its labels.
fn value(metrics: &str, name: &str) -> Option<f64> {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(value)
}

/// Waits until a metric has this value.
async fn until_is(stack: &Stack, name: &str, expected: f64) -> anyhow::Result<String> {
    until(&format!("{name} is {expected}"), || async {
        let metrics = metrics(stack).await.ok()?;
        (value(&metrics, name) == Some(expected)).then_some(metrics)
    })
    .await
    .with_context(|| stack.log())
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_no_fault_with_the_metrics() -> anyhow::Result<()> {
    let stack = Stack::start_with(&[("FOREVER200_CAPTURES", "/dev/null")]).await?;
    stack.send(b"GET /.env HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let name = "forever200_lines_written_total";
    let metrics = until_is(&stack, name, 1.0).await?;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(missing("prometheus"))?;
    let mut input = promtool.stdin.take().context("no input")?;
    input.write_all(metrics.as_bytes())?;
    drop(input);
    let output = promtool.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success() && said.is_empty(), "{said}");
    // Each metric has a help text.
    for line in metrics.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).context("no name")?;
        ensure!(metrics.contains(&format!("# HELP {name} ")), "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_counted_once_also_after_a_restart() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let history = folder.path().to_str().context("an odd name")?;
    for history in ["off", history] {
        let stack = Stack::start_with(&[("FOREVER200_HISTORY", history)]).await?;
        let port = stack.front().port();
        let requests = [
            &b"GET /.env HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"GET /.env HTTP/1.1\r\nHost: x\r\n\r\n",
            b"SSH-2.0-Go\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
        ];
        for request in requests {
            stack.send(request).await?;
        }
        let bytes = requests.map(<[u8]>::len).iter().sum::<usize>();
        let by_port = format!("forever200_requests_by_port_total{{port=\"{port}\"}}");
        let metrics = until_is(&stack, &by_port, 4.0).await?;
        for (name, expected) in [
            ("forever200_requests_total", 4.0),
            (
                "forever200_requests_by_category_total{category=\"secrets\"}",
                2.0,
            ),
            (
                "forever200_requests_by_category_total{category=\"webshell\"}",
                0.0,
            ),
            (
                "forever200_requests_by_protocol_total{protocol=\"ssh\"}",
                1.0,
            ),
            (
                "forever200_requests_by_protocol_total{protocol=\"http\"}",
                3.0,
            ),
            ("forever200_requests_incomplete_total", 1.0),
            ("forever200_request_bytes_total", bytes as f64),
            ("forever200_requests_missed_total", 0.0),
            ("forever200_describe_duration_seconds_count", 4.0),
            ("forever200_memcached_up", 1.0),
            ("forever200_ring_requests", 4.0),
        ] {
            assert_eq!(value(&metrics, name), Some(expected), "{name}: {metrics}");
        }
        let has_history = value(&metrics, "forever200_history_up").is_some();
        assert_eq!(has_history, history != "off");
        if has_history {
            until_is(&stack, "forever200_history_requests", 4.0).await?;
        }
        // After a restart, requests that were counted are not counted again.
        stack.supervisorctl(&["restart", "viewer"])?;
        stack.until_up().await?;
        stack.send(b"GET /new HTTP/1.1\r\nHost: x\r\n\r\n").await?;
        until_is(&stack, &by_port, 1.0).await?;
        until_is(&stack, "forever200_requests_total", 5.0).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_go_on_while_memcached_is_away_and_name_no_client() -> anyhow::Result<()> {
    let stack = Stack::start_as(Setup::default()).await?;
    let client = "127.6.5.4";
    let odd = b"GET / HTTP/1.1\r\nHost: odd-name.example\r\nX: 127.6.5.4\r\n\r\n";
    exchange_from(client.parse()?, stack.front(), odd).await?;
    let name = "forever200_requests_by_protocol_total{protocol=\"http\"}";
    let metrics = until_is(&stack, name, 1.0).await?;
    ensure!(!metrics.contains(client) && !metrics.contains("odd-name"));
    stack.supervisorctl(&["stop", "memcached"])?;
    let metrics = until_is(&stack, "forever200_memcached_up", 0.0).await?;
    assert_eq!(value(&metrics, "forever200_requests_total"), Some(1.0));
    Ok(())
}

/// Adds all texts below a key `expr` to `found`.
fn expressions(of: &Value, found: &mut Vec<String>) {
    match of {
        Value::Object(fields) => {
            if let Some(expression) = fields.get("expr").and_then(Value::as_str) {
                found.push(expression.to_owned());
            }
            fields.values().for_each(|value| expressions(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_every_metric() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let history = folder.path().to_str().context("an odd name")?;
    let outlets = [
        ("FOREVER200_CAPTURES", "/dev/null"),
        ("FOREVER200_HISTORY", history),
    ];
    let stack = Stack::start_with(&outlets).await?;
    stack.send(b"GET / HTTP/1.1\r\n\r\n").await?;
    let metrics = until_is(&stack, "forever200_lines_written_total", 1.0).await?;
    let types = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeSet<_> = types.filter_map(|line| line.split(' ').next()).collect();
    let document = std::fs::read_to_string(project().join("docs/metrics.md"))?;
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let names = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
    let documented: BTreeSet<_> = names
        .filter(|name| name.starts_with("forever200_"))
        .collect();
    let differ: Vec<_> = served.symmetric_difference(&documented).collect();
    ensure!(differ.is_empty(), "in one of the two alone: {differ:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dashboard_draws_is_there() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let history = folder.path().to_str().context("an odd name")?;
    let outlets = [
        ("FOREVER200_CAPTURES", "/dev/null"),
        ("FOREVER200_HISTORY", history),
    ];
    let stack = Stack::start_with(&outlets).await?;
    stack.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let metrics = until_is(&stack, "forever200_lines_written_total", 1.0).await?;
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let names: BTreeSet<_> = lines
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let dashboard = std::fs::read(project().join("docs/grafana.json"))?;
    let mut drawn = Vec::new();
    expressions(&serde_json::from_slice(&dashboard)?, &mut drawn);
    ensure!(drawn.len() >= 10, "the dashboard is not read: {drawn:?}");
    for expression in drawn {
        let words = expression.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        let ours: Vec<_> = words
            .filter(|word| word.starts_with("forever200_"))
            .collect();
        ensure!(!ours.is_empty(), "{expression}");
        for name in ours {
            ensure!(names.contains(name), "{name}: {expression}");
        }
    }
    Ok(())
}
