//! Black-box tests of requests that cost an attacker little and might cost the machine much. The
//! bounds allow for a debug build on a busy machine. What they must catch takes at least ten times
//! as much.

use std::io::Write;
use std::process::Output;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use forever200_testkit::process::{command, programs};
use forever200_testkit::{RESPONSE, Response, Stack};

/// Longest wait for an answer. haproxy gives up after 15 s, and holds a connection that it cannot
/// decide about for 10 s.
const PATIENCE: Duration = Duration::from_secs(8);
/// Most memory that a test may make the viewer take, in kB. It starts with 30 MB.
const MAX_GROWTH_KB: u64 = 200_000;
/// The largest page of a request, in bytes: its 64 KiB as text, hex and base64, and its decoded
/// parts.
const MAX_PAGE_BYTES: usize = 4_000_000;

fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn zlib(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// Returns many different bombs in one request.
fn many(make: impl Fn(u8) -> Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let bombs: Vec<_> = (0..32)
        .map(|n| Ok(BASE64_STANDARD.encode(gzip(&make(n))?)))
        .collect::<anyhow::Result<_>>()?;
    Ok(bombs.join(" ").into_bytes())
}

fn bombs() -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
    let nested = gzip(&gzip(&gzip(&vec![0; 100_000_000])?)?)?;
    Ok(vec![
        ("60 MB of zeros", gzip(&vec![0; 60_000_000])?),
        ("60 MB of zeros, zlib", zlib(&vec![0; 60_000_000])?),
        (
            "one inside the other",
            BASE64_STANDARD.encode(nested).into_bytes(),
        ),
        ("many", many(|n| [&[n][..], &[0; 262_143]].concat())?),
        (
            "many, each byte in another way",
            many(|n| [&[n][..], &b"a\0".repeat(131_071)].concat())?,
        ),
        (
            "many of JSON",
            many(|n| format!("[{n},{}1]", "[],".repeat(87_000)).into_bytes())?,
        ),
        ("deep JSON", gzip(&b"[".repeat(262_144))?),
        ("deep XML", gzip(&b"<a>".repeat(87_000))?),
        ("percent signs", b"%25".repeat(21_000)),
        ("each byte in another way", b"a\0".repeat(32_000)),
    ])
}

fn post(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /bomb HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Gets a page, and fails if that takes too long.
async fn quickly(stack: &Stack, path: &str) -> anyhow::Result<Response> {
    let start = Instant::now();
    let response = stack.get(path).await?;
    ensure!(
        start.elapsed() < PATIENCE,
        "{path:.60}: {:?}",
        start.elapsed()
    );
    Ok(response)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decompression_bomb_costs_a_page_of_no_great_size() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    quickly(&stack, "/home").await?;
    let before = stack.peak_memory("viewer")?;
    for (seq, (name, body)) in (1..).zip(bombs()?) {
        ensure!(stack.send(&post(&body)).await? == RESPONSE, "{name}");
        stack.until_recorded(seq).await?;
        let page = quickly(&stack, &format!("/home/requests/{seq}"))
            .await
            .context(name)?;
        ensure!(
            page.status == 200 && page.body.len() < MAX_PAGE_BYTES,
            "{name}: {} bytes",
            page.body.len()
        );
        let grown = stack.peak_memory("viewer")?.saturating_sub(before);
        ensure!(grown < MAX_GROWTH_KB, "{name}: {grown} kB");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_thousands_of_headers_fit_into_an_archive_and_memory() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let request = [
        b"GET /x HTTP/1.1\r\n",
        &b"a:b\r\n".repeat(12_500)[..],
        b"\r\n",
    ]
    .concat();
    for _ in 0..30 {
        stack.send(&request).await?;
    }
    stack.until_recorded(30).await?;
    let before = stack.peak_memory("viewer")?;
    for path in [
        "/home/export.har",
        "/home/export.ndjson",
        "/home/export.html",
        "/home/requests/1",
    ] {
        assert_eq!(quickly(&stack, path).await?.status, 200, "{path}");
        let grown = stack.peak_memory("viewer")?.saturating_sub(before);
        ensure!(grown < MAX_GROWTH_KB, "{path}: {grown} kB");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_for_the_text_itself_and_takes_no_expression() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    stack.send(b"GET /(a+)+$ HTTP/1.1\r\n\r\n").await?;
    for _ in 0..20 {
        stack.send(&post(&b"a".repeat(60_000))).await?;
    }
    stack.until_recorded(21).await?;
    for (q, found) in [
        ("(a%2B)%2B%24", 1),
        ("a%2B", 1),
        (".*", 0),
        ("a%7B60000%7D", 0),
        ("aaaaaaaa", 20),
    ] {
        let list: serde_json::Value = serde_json::from_slice(
            &quickly(&stack, &format!("/home/api/requests?q={q}"))
                .await?
                .body,
        )?;
        assert_eq!(
            list["requests"].as_array().map(Vec::len),
            Some(found),
            "{q}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_filters_are_answered_at_once() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let numbered = |count: usize| (0..count).map(|n| format!("x{n}=1&")).collect::<String>();
    // A condition that is repeated has no effect, so these all differ.
    let different = |name: &str| (0..400).map(|n| format!("{name}={n}&")).collect::<String>();
    for (target, status) in [
        (format!("/home?q={}", "a".repeat(7000)), 200),
        (format!("/home?{}", numbered(900)), 400),
        (format!("/home?{}", "q=1&".repeat(1000)), 200),
        (format!("/home?{}", different("q")), 400),
        (format!("/home?{}", different("-path")), 400),
        (format!("/home?{}", "q[]=1&".repeat(1000)), 400),
        (format!("/home?q={}", "%5C".repeat(2000)), 200),
        (format!("/home?source={}", "1,".repeat(3000)), 400),
        (format!("/home?as={}", "9".repeat(7000)), 400),
        (
            format!("/home/api/requests?limit={}", "9".repeat(7000)),
            400,
        ),
        (format!("/home/requests/{}", "9".repeat(7000)), 404),
    ] {
        assert_eq!(
            quickly(&stack, &target).await?.status,
            status,
            "{target:.60}"
        );
    }
    // An address that is too long for haproxy is like any other request: it gets a 200 and a row.
    let long = [
        numbered(2500),
        numbered(10_000),
        "a".repeat(12_000),
        "a/".repeat(30_000),
        "%25".repeat(20_000),
    ];
    for query in &long {
        let start = Instant::now();
        assert_eq!(
            stack
                .send(format!("GET /home?{query} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
                .await?,
            RESPONSE
        );
        ensure!(
            start.elapsed() < PATIENCE,
            "{} bytes: {:?}",
            query.len(),
            start.elapsed()
        );
    }
    let many = format!(
        "GET /home HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X: y\r\n".repeat(1000)
    );
    let start = Instant::now();
    assert_eq!(stack.send(many.as_bytes()).await?, RESPONSE);
    ensure!(
        start.elapsed() < PATIENCE,
        "1000 headers: {:?}",
        start.elapsed()
    );
    stack.until_recorded(long.len() as u64 + 1).await?;
    Ok(())
}

/// Runs `identify` on these bytes, with one signature that has this expression.
fn identify(expression: &str, bytes: &[u8]) -> anyhow::Result<Output> {
    let (mut signatures, mut request) = (
        tempfile::NamedTempFile::new()?,
        tempfile::NamedTempFile::new()?,
    );
    let explanation =
        "An expression that other engines take a time for that grows as its square, or worse.";
    writeln!(
        signatures,
        "replace = true\n[[signature]]\nid = \"own\"\ntitle = \"Our own\"\ncategory = \"recon\"\nexplanation = \"{explanation}\"\nmatch.request.regex = '{expression}'\nexamples = []"
    )?;
    request.write_all(bytes)?;
    let mut identify = command(programs()?.join("forever200-viewer"));
    identify
        .arg("identify")
        .arg("--signatures")
        .args([signatures.path(), request.path()]);
    Ok(identify.output()?)
}

#[test]
fn an_expression_of_a_signature_takes_linear_time_or_is_refused() -> anyhow::Result<()> {
    let bytes = [&b"a".repeat(65_000)[..], b"!"].concat();
    for (expression, status) in [
        ("(a+)+$", 0),
        ("(a|aa)+$", 0),
        ("(a|a?)+b", 0),
        ("(.*)(.*)(.*)(.*)b", 0),
        ("(a*)*b", 0),
        ("(a{1000}){1000}", 2),
        ("((a{100}){100}){100}", 2),
        ("(?=a)b", 2),
    ] {
        programs()?;
        let start = Instant::now();
        let output = identify(expression, &bytes)?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(status),
            "{expression}: {stderr}"
        );
        ensure!(
            start.elapsed() < PATIENCE,
            "{expression}: {:?}",
            start.elapsed()
        );
        ensure!(
            status == 0 || (stderr.lines().count() == 1 && stderr.contains("own: ")),
            "{expression}: {stderr}"
        );
    }
    Ok(())
}
