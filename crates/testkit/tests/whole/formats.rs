//! The formats for download, read by the programs that they are for: Wireshark's dissectors, a
//! parser of HTTP archives, a validator of JSON Schema, a shell with curl and nc.

use std::collections::HashSet;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_testkit::probes;
use forever200_testkit::process::{missing, project};
use forever200_testkit::{RESPONSE, Stack, client, exchange, get, get_json, tshark};
use serde_json::{Value, json};
use tokio::process::Command;

/// Starts a stack and sends every probe. Returns the stack, and what the API has for them.
async fn recorded() -> anyhow::Result<(Stack, Vec<Value>)> {
    let stack = Stack::start().await?;
    let probes = probes::probes();
    let count = probes.len() as u64;
    let front = stack.front();
    let sending: Vec<_> = probes
        .into_iter()
        .map(|(_, bytes)| tokio::spawn(async move { exchange(front, &bytes).await }))
        .collect();
    for sent in sending {
        sent.await??;
    }
    let requests = all_recorded(&stack, count).await?;
    Ok((stack, requests))
}

/// Waits until `count` requests are recorded and returns them, the newest first.
async fn all_recorded(stack: &Stack, count: u64) -> anyhow::Result<Vec<Value>> {
    stack.until_recorded(count).await?;
    let list = get_json(stack.front(), "/home/api/requests?raw=true").await?;
    let requests = list["requests"].as_array().cloned().context("no list")?;
    ensure!(
        requests.len() as u64 == count,
        "{} requests",
        requests.len()
    );
    Ok(requests)
}

fn raw(request: &Value) -> Vec<u8> {
    BASE64_STANDARD
        .decode(request["raw_base64"].as_str().expect("text"))
        .expect("base64")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn wireshark_finds_no_fault_with_a_capture() -> anyhow::Result<()> {
    let (stack, requests) = recorded().await?;
    let file = tempfile::NamedTempFile::new()?;
    let seq = &requests[3]["seq"];
    for (path, count) in [
        ("/home/export.pcap".to_owned(), requests.len()),
        (format!("/home/requests/{seq}/pcap"), 1),
    ] {
        let response = stack.get(&path).await?;
        assert_eq!(
            response.header("content-type"),
            Some("application/vnd.tcpdump.pcap")
        );
        let disposition = response.header("content-disposition").context("no name")?;
        assert!(
            disposition.starts_with("attachment; filename=\"forever200-")
                && disposition.ends_with(".pcap\"")
        );
        std::fs::write(file.path(), response.body)?;
        let seen = tshark::sees(file.path())?;
        assert_eq!(seen.complaints, Vec::<String>::new());
        assert_eq!(seen.streams.len(), count);
        for stream in seen.streams {
            let is_it = |request: &&Value| request["src_port"] == stream.client.port();
            let request = requests.iter().find(is_it).context("an unknown port")?;
            assert_eq!(text(&request["src_ip"]), stream.client.ip().to_string());
            assert_eq!(stream.server, stack.front());
            assert!(stream.request == raw(request), "{}", request["summary"]);
            assert_eq!(stream.response, RESPONSE);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_read_by_a_parser_of_archives() -> anyhow::Result<()> {
    let (stack, requests) = recorded().await?;
    let archive = stack.get("/home/export.har").await?.body;
    let har::Spec::V1_2(log) = har::from_slice(&archive)?.log else {
        anyhow::bail!("not HAR 1.2")
    };
    let of_http: Vec<_> = requests
        .iter()
        .rev()
        .filter(|request| !request["http"].is_null())
        .collect();
    assert_eq!(log.entries.len(), of_http.len());
    assert!(of_http.len() > 10 && of_http.len() < requests.len());
    for (entry, request) in log.entries.iter().zip(of_http) {
        assert_eq!(entry.request.method, text(&request["http"]["method"]));
        let headers: Vec<_> = entry
            .request
            .headers
            .iter()
            .map(|it| json!([it.name, it.value]))
            .collect();
        assert_eq!(Value::from(headers), request["http"]["headers"]);
        ensure!(
            url::Url::parse(&entry.request.url).is_ok(),
            "{}",
            entry.request.url
        );
        let one = stack
            .get(&format!("/home/requests/{}/har", request["seq"]))
            .await?;
        assert_eq!(
            (one.status, har::from_slice(&one.body).is_ok()),
            (200, true)
        );
    }
    let other = requests
        .iter()
        .find(|request| request["http"].is_null())
        .context("a TLS hello")?;
    assert_eq!(
        stack
            .get(&format!("/home/requests/{}/har", other["seq"]))
            .await?
            .status,
        404
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_cookies_and_bodies_of_any_bytes_are_in_an_archive() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let form = "POST /a?b=%20c HTTP/1.1\r\nHost: x\r\nCookie: sid=1; theme=dark\r\n\
        Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 14\r\n\r\nuser=a+b&pass=";
    let bytes = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n\0\xff\xfeA";
    for (number, request) in (1..).zip([form.as_bytes(), bytes]) {
        stack.send(request).await?;
        stack.until_recorded(number).await?;
    }
    let archive = stack.get("/home/export.har").await?.body;
    let har::Spec::V1_2(log) = har::from_slice(&archive)?.log else {
        anyhow::bail!("not HAR 1.2")
    };
    let [first, second] = &log.entries[..] else {
        anyhow::bail!("{} entries", log.entries.len())
    };
    let cookies = first.request.cookies.iter();
    let cookies: Vec<_> = cookies.map(|it| (&*it.name, &*it.value)).collect();
    assert_eq!(cookies, [("sid", "1"), ("theme", "dark")]);
    let query = first.request.query_string.iter();
    let query: Vec<_> = query.map(|it| (&*it.name, &*it.value)).collect();
    assert_eq!(query, [("b", " c")]);
    let posted = first.request.post_data.as_ref().context("no body")?;
    let params = posted.params.iter().flatten();
    let params: Vec<_> = params.map(|it| (&*it.name, it.value.as_deref())).collect();
    assert_eq!(params, [("user", Some("a b")), ("pass", Some(""))]);
    assert_eq!(posted.text.as_deref(), Some("user=a+b&pass="));
    let head = form.len() as i64 - 14;
    let sizes = (first.request.headers_size, first.request.body_size);
    assert_eq!(sizes, (head, 14));
    let answered = (first.response.headers_size, first.response.body_size);
    assert_eq!(answered, (RESPONSE.len() as i64, 0));
    let posted = second.request.post_data.as_ref().context("no body")?;
    let text = posted.text.as_deref().context("no text")?;
    assert_eq!(BASE64_STANDARD.decode(text)?, b"\0\xff\xfeA");
    // The names of fields that are not in the specification begin with an underscore.
    let archive: Value = serde_json::from_slice(&archive)?;
    let posted = |number: usize| &archive["log"]["entries"][number]["request"]["postData"];
    assert_eq!(posted(1)["_encoding"], "base64");
    assert!(posted(0).get("_encoding").is_none() && posted(1).get("params").is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_as_the_schema_says() -> anyhow::Result<()> {
    let schema: Value =
        serde_json::from_slice(&std::fs::read(project().join("docs/api.schema.json"))?)?;
    let holds = |name: &str, answer: &Value| {
        let mut schema = schema.clone();
        schema["$ref"] = format!("#/$defs/{name}").into();
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .expect("a schema");
        let faults: Vec<_> = validator
            .iter_errors(answer)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert_eq!(faults, Vec::<String>::new(), "{name}: {answer}");
    };
    let empty = Stack::start().await?;
    for (name, path) in [("list", "requests"), ("stats", "stats")] {
        holds(
            name,
            &get_json(empty.front(), &format!("/home/api/{path}")).await?,
        );
    }
    let (stack, requests) = recorded().await?;
    for (name, path) in [
        ("list", "requests"),
        ("list", "requests?raw=true&limit=3"),
        ("stats", "stats"),
        ("request", "requests/1"),
    ] {
        holds(
            name,
            &get_json(stack.front(), &format!("/home/api/{path}")).await?,
        );
    }
    for path in [
        "requests/9999",
        "requests/x",
        "nothing",
        "requests?limit=x",
        "requests?source=x",
        "requests?protocol=x",
    ] {
        // At the viewer's own address, because haproxy gives unknown paths to the responder.
        let response = get(stack.at(8080), &format!("/home/api/{path}")).await?;
        assert!(
            matches!(response.status, 400 | 404),
            "{path}: {}",
            response.status
        );
        holds("error", &serde_json::from_slice(&response.body)?);
    }
    let lines = stack.get("/home/export.ndjson").await?.text();
    let lines: Vec<Value> = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    lines.iter().for_each(|line| holds("request", line));
    assert!(lines.iter().eq(requests.iter().rev()));
    // The schema does not accept everything.
    let validator =
        jsonschema::validator_for(&json!({ "$ref": "#/$defs/list", "$defs": schema["$defs"] }))?;
    assert!(!validator.is_valid(&json!({ "total": -1 })));
    Ok(())
}

/// Undoes the escapes of the template.
fn unescape(html: &str) -> String {
    let escapes = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#x27;", "'"),
        ("&#x2f;", "/"),
        ("&amp;", "&"),
    ];
    escapes
        .iter()
        .fold(html.to_owned(), |text, (escape, char)| {
            text.replace(escape, char)
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_on_the_page_sends_the_same_bytes() -> anyhow::Result<()> {
    let (stack, requests) = recorded().await?;
    let before = requests.len();
    let mut running = Vec::new();
    let mut tools = HashSet::new();
    // As many requests as fit into the ring beside the first ones.
    let requests = &requests[..requests.len().min(101 - requests.len())];
    for request in requests {
        let path = format!("/home/requests/{}", request["seq"]);
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            stack.front()
        );
        let (page, _) = exchange(stack.front(), head.as_bytes()).await?;
        let page = String::from_utf8(page)?;
        let (_, after) = page
            .split_once("aria-label=\"Command\">")
            .context("no command")?;
        let command = unescape(after.split_once("</textarea>").context("no end")?.0);
        assert!(
            command.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{command}"
        );
        tools.insert(command.split(' ').next().unwrap_or_default().to_owned());
        running.push(tokio::spawn(
            Command::new("sh")
                .args(["-c", &command])
                .kill_on_drop(true)
                .output(),
        ));
    }
    assert_eq!(
        tools,
        HashSet::from(["curl".to_owned(), "printf".to_owned()])
    );
    for command in running {
        let output = command.await?.context(missing("curl netcat-openbsd"))?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let recorded = all_recorded(&stack, (before + requests.len()) as u64).await?;
    let sorted = |requests: &[Value]| {
        let mut raws: Vec<_> = requests
            .iter()
            .map(|request| raw(request).escape_ascii().to_string())
            .collect();
        raws.sort_unstable();
        raws
    };
    assert_eq!(sorted(&recorded[..requests.len()]), sorted(requests));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_is_a_table_and_coloured_when_asked() -> anyhow::Result<()> {
    let (stack, requests) = recorded().await?;
    let plain = stack.get("/home/text").await?.text();
    assert!(
        plain.chars().all(|char| char == '\n' || !char.is_control()),
        "{plain}"
    );
    // The labels of a request stand below it, indented.
    let (rows, says): (Vec<_>, Vec<_>) = plain
        .lines()
        .skip(2)
        .partition(|line| !line.starts_with("    "));
    assert_eq!(rows.len(), requests.len());
    assert!(
        says.iter().any(|line| line.starts_with("    exploit: ")),
        "{plain}"
    );
    let column = rows[0].find(" B  ").context("no column")?;
    assert!(
        rows.iter().all(|row| row[column..].starts_with(" B  ")),
        "{plain}"
    );
    let coloured = stack.get("/home/text?color=true").await?.text();
    assert!(coloured.contains("\x1b[32m"));
    let without = ["\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[0m"]
        .iter()
        .fold(coloured, |text, code| text.replace(code, ""));
    assert_eq!(without, plain);
    let filtered = stack.get("/home/text?protocol=ssh").await?.text();
    assert_eq!(
        filtered
            .lines()
            .filter(|line| !line.starts_with("    "))
            .count(),
        3,
        "{filtered}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_known_is_not_sent_again() -> anyhow::Result<()> {
    let (stack, requests) = recorded().await?;
    let ask = async |path: &str, more: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
        let (mut reply, _) = exchange(stack.front(), head.as_bytes()).await?;
        client::Response::split_off(&mut reply, "GET")
            .with_context(|| format!("{path}: no response"))
    };
    let path = "/home/api/requests";
    let first = ask(path, "").await?;
    let tag = first.header("etag").context("no tag")?.to_owned();
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    let again = ask(path, &format!("If-None-Match: {tag}\r\n")).await?;
    assert_eq!(
        (again.status, again.body.len(), again.header("etag")),
        (304, 0, Some(&*tag))
    );
    assert_eq!(
        ask(
            "/home/api/requests?limit=1",
            &format!("If-None-Match: {tag}\r\n")
        )
        .await?
        .status,
        200
    );
    stack.send(b"GET /new HTTP/1.1\r\n\r\n").await?;
    all_recorded(&stack, requests.len() as u64 + 1).await?;
    assert_eq!(
        ask(path, &format!("If-None-Match: {tag}\r\n"))
            .await?
            .status,
        200
    );
    // Compressed, for clients that accept it. (A compressed body has no length and comes in
    // chunks.)
    for path in [
        "/home",
        path,
        "/home/export.ndjson",
        "/home/static/style.css",
    ] {
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        );
        let (reply, _) = exchange(stack.front(), head.as_bytes()).await?;
        let text = String::from_utf8_lossy(&reply).to_ascii_lowercase();
        assert!(
            text.contains("\r\ncontent-encoding: gzip\r\n")
                && text.contains("\r\nvary: accept-encoding\r\n"),
            "{path}"
        );
        assert!(reply.len() < 100_000, "{path}: {} bytes", reply.len());
    }
    Ok(())
}
