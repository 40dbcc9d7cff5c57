//! The collection, with all programs as shipped: pages, JSON, and the feed of new kinds.

use std::path::Path;

use anyhow::{Context, ensure};
use forever200_testkit::process::project;
use forever200_testkit::{Stack, get_json, until};

use serde_json::Value;
use tempfile::TempDir;

const SHELLSHOCK: &[u8] = b"GET /cgi-bin/x HTTP/1.1\r\nUser-Agent: () { :;}; /bin/id\r\n\r\n";
const ENV: &[u8] = b"GET /.env HTTP/1.1\r\nHost: honey.example\r\n\r\n";
const OTHER_ENV: &[u8] = b"GET /a/.env HTTP/1.1\r\nHost: honey.example\r\n\r\n";
const ODD: &[u8] = b"GET /qqq<b>x HTTP/1.1\r\nHost: x.example\r\nUser-Agent: y\r\n\r\n";

/// Starts a stack with a history that has five requests of three kinds.
async fn collected(folder: &Path) -> anyhow::Result<Stack> {
    let folder = folder.to_str().context("an odd path")?;
    let stack = Stack::start_with(&[("FOREVER200_HISTORY", folder)]).await?;
    for raw in [ENV, OTHER_ENV, SHELLSHOCK, ODD, ENV] {
        stack.send(raw).await?;
    }
    until("all kinds are in the collection", || async {
        let found = collection(&stack, "").await.ok()?;
        let kinds = found["kinds"].as_array()?;
        let requests: u64 = kinds
            .iter()
            .filter_map(|kind| kind["requests"].as_u64())
            .sum();
        (requests == 5).then_some(())
    })
    .await?;
    Ok(stack)
}

async fn collection(stack: &Stack, query: &str) -> anyhow::Result<Value> {
    get_json(stack.front(), &format!("/home/api/collection{query}")).await
}

/// Returns the names of the kinds that a query finds; `odd` for a kind without a label.
async fn names(stack: &Stack, query: &str) -> anyhow::Result<Vec<String>> {
    let found = collection(stack, query).await?;
    let kinds = found["kinds"].as_array().context("no kinds")?;
    let name = |kind: &Value| match kind["category"].as_str() {
        Some(_) => kind["kind"].as_str().unwrap_or_default().to_owned(),
        None => "odd".to_owned(),
    };
    Ok(kinds.iter().map(name).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_are_listed_ordered_and_filtered() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = collected(folder.path()).await?;
    let [env, shellshock, odd] = ["dotenv-file", "bash-shellshock", "odd"];
    for (query, expected) in [
        ("", vec![shellshock, env, odd]),
        ("?sort=often", vec![env, shellshock, odd]),
        ("?sort=new", vec![shellshock, env, odd]),
        ("?sort=oldest", vec![shellshock, env, odd]),
        ("?category=secrets", vec![env]),
        (
            "?-category=secrets&-category=unrecognised",
            vec![shellshock],
        ),
        ("?category=unrecognised", vec![odd]),
        ("?cve=CVE-2014-6271", vec![shellshock]),
        ("?q=QQQ", vec![odd]),
        ("?country=NL", vec![]),
    ] {
        assert_eq!(names(&stack, query).await?, expected, "{query}");
        let page = stack.get(&format!("/home/collection{query}")).await?;
        assert_eq!(page.status, 200, "{query}");
    }
    for (query, says) in [
        ("?sort=x", "sort: expected"),
        ("?source=me", "unknown condition for kinds"),
        ("?limit=3", "unknown parameter"),
    ] {
        let page = stack.get(&format!("/home/collection{query}")).await?;
        ensure!(
            page.status == 400 && page.text().contains(says),
            "{query}: {}",
            page.text()
        );
    }
    let page = stack.get("/home/collection").await?.text();
    ensure!(
        page.contains("<b>5</b> requests") && page.contains("<b>2</b> kinds with a label"),
        "{page}"
    );
    ensure!(
        page.contains("&lt;b&gt;") && !page.contains("qqq<b>"),
        "{page}"
    );
    // The link to kinds without a label keeps the other conditions.
    let page = stack.get("/home/collection?q=QQQ&sort=new").await?.text();
    let link = "\"/home/collection?q=QQQ&amp;category=unrecognised&amp;sort=new\">1 without";
    ensure!(page.contains(link), "{page}");
    ensure!(
        page.contains("rel=\"alternate\" type=\"application/atom+xml\""),
        "{page}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_has_a_page() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = collected(folder.path()).await?;
    let found = collection(&stack, "?sort=often").await?;
    for kind in found["kinds"].as_array().context("no kinds")? {
        let name = kind["kind"].as_str().context("no name")?;
        let page = stack.get(&format!("/home/collection/{name}")).await?;
        ensure!(page.status == 200, "{name}: {}", page.status);
        let page = page.text();
        ensure!(
            page.contains("first seen here today") && page.contains("Raw request"),
            "{page}"
        );
        ensure!(!page.contains("qqq<b>"), "{page}");
    }
    let env = stack.get("/home/collection/dotenv-file").await?.text();
    for part in [
        "3 from 1 source",
        "honey.example</a> <b>×3",
        "/home/history?kind=dotenv-file",
    ] {
        ensure!(env.contains(part), "{part}: {env}");
    }
    for path in ["/home/collection/none", "/home/api/collection/none"] {
        assert_eq!(stack.get(path).await?.status, 404, "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_as_the_schema_says() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = collected(folder.path()).await?;
    let validator = |name: &str| -> anyhow::Result<_> {
        let read = |file: &str| std::fs::read_to_string(project().join("docs").join(file));
        // One document of both schemas.
        let own =
            read("collection.schema.json")?.replace("api.schema.json#/$defs/", "#/$defs/api_");
        let mut schema: Value = serde_json::from_str(&own)?;
        let api = read("api.schema.json")?.replace("#/$defs/", "#/$defs/api_");
        let api: Value = serde_json::from_str(&api)?;
        for (name, definition) in api["$defs"].as_object().context("no definitions")? {
            schema["$defs"][format!("api_{name}")] = definition.clone();
        }
        schema["$ref"] = format!("#/$defs/{name}").into();
        Ok(jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)?)
    };
    let holds = |name: &str, answer: &Value| -> anyhow::Result<()> {
        let validator = validator(name)?;
        let faults = validator.iter_errors(answer);
        let faults: Vec<_> = faults
            .map(|it| format!("{}: {it}", it.instance_path()))
            .collect();
        ensure!(faults.is_empty(), "{faults:?}: {answer}");
        Ok(())
    };
    let found = collection(&stack, "").await?;
    holds("collection", &found)?;
    for kind in found["kinds"].as_array().context("no kinds")? {
        let path = format!(
            "/home/api/collection/{}",
            kind["kind"].as_str().unwrap_or_default()
        );
        let whole = get_json(stack.front(), &path).await?;
        holds("whole_kind", &whole)?;
        assert_eq!(whole["request"]["seq"], whole["specimen"]);
        assert_eq!(whole["requests"], kind["requests"]);
    }
    let env = get_json(stack.front(), "/home/api/collection/dotenv-file").await?;
    assert_eq!(env["newest"], 5);
    // The schema does not accept everything.
    let mut odd = found.clone();
    odd["kinds"][0]["odd"] = 1.into();
    ensure!(!validator("collection")?.is_valid(&odd));
    ensure!(!validator("whole_kind")?.is_valid(&found["kinds"][0]));
    Ok(())
}

/// Asks for the feed with a header. Returns the status and the body.
async fn feed(stack: &Stack, header: &str) -> anyhow::Result<(String, String)> {
    let request = format!(
        "GET /home/new.atom HTTP/1.1\r\nHost: honey.example\r\n{header}Connection: close\r\n\r\n"
    );
    let reply = String::from_utf8(stack.send(request.as_bytes()).await?)?;
    let (head, body) = reply.split_once("\r\n\r\n").context("no head")?;
    Ok((head.to_owned(), body.to_owned()))
}

fn header<'a>(head: &'a str, name: &str) -> anyhow::Result<&'a str> {
    let value = head
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.with_context(|| format!("no {name}: {head}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_has_an_entry_for_each_kind_once() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = collected(folder.path()).await?;
    let (head, xml) = feed(&stack, "").await?;
    assert_eq!(
        header(&head, "content-type")?,
        "application/atom+xml; charset=utf-8"
    );
    assert_eq!(xml.matches("<entry>").count(), 3, "{xml}");
    ensure!(
        xml.contains("http://honey.example/home/collection/bash-shellshock"),
        "{xml}"
    );
    ensure!(xml.contains("&lt;b&gt;") && !xml.contains("<b>"), "{xml}");
    let tag = header(&head, "etag")?;
    let (head, _) = feed(&stack, &format!("If-None-Match: {tag}\r\n")).await?;
    ensure!(head.starts_with("HTTP/1.1 304"), "{head}");
    // A condition with a time has no effect, because the feed may change within the same second, or
    // a request may come late.
    for condition in [
        "If-None-Match: W/\"0\"\r\n",
        "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n",
        "If-Modified-Since: yesterday\r\n",
    ] {
        let (head, again) = feed(&stack, condition).await?;
        ensure!(
            head.starts_with("HTTP/1.1 200") && again == xml,
            "{condition}: {head}"
        );
    }
    // Another request of the same kind changes nothing; a new kind does.
    stack.send(ENV).await?;
    stack
        .send(b"GET /.git/config HTTP/1.1\r\nHost: x\r\n\r\n")
        .await?;
    until("the new kind is in the feed", || async {
        let (_, xml) = feed(&stack, "").await.ok()?;
        (xml.matches("<entry>").count() == 4).then_some(())
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_history_there_is_no_collection() -> anyhow::Result<()> {
    let stack = Stack::start_with(&[("FOREVER200_HISTORY", "off")]).await?;
    for path in [
        "/home/collection",
        "/home/collection/x",
        "/home/api/collection",
        "/home/new.atom",
    ] {
        let response = stack.get(path).await?;
        ensure!(response.status == 404, "{path}: {}", response.status);
        ensure!(
            response.text().contains("FOREVER200_HISTORY is off"),
            "{path}"
        );
    }
    Ok(())
}
