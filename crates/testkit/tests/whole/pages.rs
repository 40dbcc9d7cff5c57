//! Which paths below /home are pages. haproxy.cfg and the viewer agree, and other paths are
//! recorded.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, ensure};
use forever200_testkit::process::project;
use forever200_testkit::{RESPONSE, Stack, get_json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CFG: &str = "haproxy/haproxy.cfg";

/// Adds every source file of the viewer to `found`.
fn sources(folder: &Path, found: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(std::fs::read_to_string(path)?);
        }
    }
    Ok(())
}

/// Returns the paths for which the viewer has routes, as in its sources.
fn routes() -> anyhow::Result<BTreeSet<String>> {
    let mut files = Vec::new();
    sources(&project().join("crates/viewer/src"), &mut files)?;
    let mut routes = BTreeSet::new();
    for file in files {
        for call in file.split(".route(").skip(1) {
            let path = call.split('"').nth(1).context("no path of a route")?;
            routes.insert(path.to_owned());
        }
    }
    Ok(routes)
}

/// Returns the words of the lines of haproxy.cfg that begin so.
fn words_after(beginning: &str) -> anyhow::Result<Vec<String>> {
    let cfg = std::fs::read_to_string(project().join(CFG))?;
    let mut words = Vec::new();
    for line in cfg.lines() {
        let plain = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(rest) = plain.strip_prefix(beginning) {
            words.extend(rest.split(' ').map(str::to_owned));
        }
    }
    Ok(words)
}

/// Returns the formats of a route, as in the viewer's sources.
fn formats(route: &str) -> anyhow::Result<BTreeSet<String>> {
    let (file, beginning, end) = if route.contains("{seq}") {
        ("web/request.rs", "match format.as_str() {", "_ =>")
    } else {
        ("export.rs", "fn name(self)", "\n    }\n")
    };
    let source = project().join("crates/viewer/src").join(file);
    let source = std::fs::read_to_string(source)?;
    let (_, rest) = source.split_once(beginning).context("no formats")?;
    let (arms, _) = rest.split_once(end).context("no end of the formats")?;
    let is_name = |word: &&str| !word.is_empty() && word.bytes().all(|it| it.is_ascii_lowercase());
    let quoted = arms.split('"').skip(1).step_by(2);
    Ok(quoted.filter(is_name).map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_knows_each_route_of_the_viewer_and_no_other() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let routes = routes()?;
    ensure!(routes.len() > 10, "{routes:?}");
    // An id is a number. Other parameters, except `{format}`, may be any word.
    let examples = |route: &str| -> anyhow::Result<Vec<String>> {
        let with_id = route.replace("{seq}", "1");
        let formats = formats(route)?.into_iter();
        Ok(match with_id.split_once('{') {
            Some((before, "format}")) => formats.map(|it| format!("{before}{it}")).collect(),
            Some((before, _)) => vec![format!("{before}x")],
            None => vec![with_id],
        })
    };
    let mut paths = Vec::new();
    for route in &routes {
        let examples = examples(route)?.into_iter();
        paths.extend(examples.map(|path| (route, path)));
    }
    ensure!(paths.len() >= routes.len() + 6, "{paths:?}");
    for (route, path) in &paths {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut stream = TcpStream::connect(stack.front()).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut first = [0; RESPONSE.len()];
        stream.read_exact(&mut first).await?;
        ensure!(
            first != RESPONSE,
            "{path} of {route}: add it to `acl page` in {CFG}, or it is a stranger's"
        );
    }
    for page in words_after("acl page var(txn.path) -m str ")? {
        ensure!(routes.contains(&page), "{page} is no route of the viewer");
    }
    let list = get_json(stack.front(), "/home/api/requests").await?;
    ensure!(list["total"] == 0, "{list}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_below_home_is_recorded() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let request = b"GET /home/help HTTP/1.1\r\nHost: x\r\nX-Odd:  Two\r\n\r\n";
    assert_eq!(stack.send(request).await?, RESPONSE);
    stack.until_recorded(1).await?;
    let raw = stack.get("/home/requests/1/raw").await?.body;
    assert_eq!(raw, request);
    // Also on the connection of a page, where haproxy rewrites it.
    let mut both = b"GET /home/health HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    both.extend(b"GET /home/help HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stack.send(&both).await?;
    let second = &stack.until_recorded(2).await?["requests"][0];
    assert_eq!(
        (&second["summary"], &second["via"]),
        (&"GET /home/help".into(), &"http".into())
    );
    // The viewer answers for a number that is not in the ring.
    let gone = stack.get("/home/requests/99999").await?;
    assert_eq!(gone.status, 404);
    assert_eq!(stack.until_recorded(2).await?["total"], 2);
    Ok(())
}
