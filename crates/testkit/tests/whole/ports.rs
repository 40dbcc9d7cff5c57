//! Many ports: to which port a request came, everywhere it is shown, and requests that come through
//! a redirect of all ports.

use std::process::Output;

use anyhow::{Context, ensure};
use forever200_testkit::process::{command, missing, project, signal};
use forever200_testkit::stack::{FRONT_PORT, IN_A_NAMESPACE_OF_USERS, Setup, are_recorded};
use forever200_testkit::{RESPONSE, Stack, client, exchange, get_json, loopback, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The document with the command for nft.
const DOCUMENT: &str = "docs/ports.md";
/// How that command begins.
const REDIRECT: &str = "sudo nft ";
/// Starts a stack that listens on `FRONT_PORT`, and on three ports in a range.
async fn on_many_ports(variables: &[(&str, &str)]) -> anyhow::Result<Stack> {
    let own = loopback();
    let bind = format!("{own}:{FRONT_PORT},{own}:2300-2302");
    let all = [&[("FOREVER200_BIND", bind.as_str())], variables].concat();
    let setup = Setup {
        variables: &all,
        ..Setup::default()
    };
    Stack::start_at(own, setup).await
}

fn seqs(list: &Value) -> Vec<u64> {
    let requests = list["requests"].as_array().into_iter().flatten();
    requests.filter_map(|it| it["seq"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_is_told_and_asked_for_everywhere() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let history = folder.path().display().to_string();
    let stack = on_many_ports(&[("FOREVER200_HISTORY", &history)]).await?;
    let one = b"GET /one HTTP/1.1\r\n\r\n";
    assert_eq!(exchange(stack.front(), one).await?.0, RESPONSE);
    stack.until_recorded(1).await?;
    // With only one port, there is no column.
    let page = stack.get("/home").await?.text();
    ensure!(page.contains("<table id=\"requests\" data-"), "{page}");
    ensure!(!page.contains("<dl class=\"by-port\">"), "{page}");
    for (seq, port) in (2..).zip([2301, 2302, 2301]) {
        assert_eq!(exchange(stack.at(port), one).await?.0, RESPONSE);
        let list = stack.until_recorded(seq).await?;
        assert_eq!(list["requests"][0]["dest_port"], port);
    }
    let page = stack.get("/home").await?.text();
    ensure!(
        page.contains("<table id=\"requests\" class=\"ports\""),
        "{page}"
    );
    ensure!(
        page.contains("<td class=\"port\"><a href=\"/home?port=2301\">2301</a></td>"),
        "{page}"
    );
    let text = stack.get("/home/text").await?.text();
    ensure!(
        text.contains(" to :2301  ") && text.contains(" to :2302  "),
        "{text}"
    );
    let stats = get_json(stack.front(), "/home/api/stats").await?;
    let ports = json!([
        { "port": 2301, "requests": 2 },
        { "port": 2302, "requests": 1 },
        { "port": FRONT_PORT, "requests": 1 },
    ]);
    assert_eq!(stats["ports"], ports);
    until_kept(&stack, 4).await?;
    for list in ["/home/api/requests", "/home/api/history"] {
        for (query, found) in [
            ("port=2301", &[4, 2][..]),
            ("port=2300-2399", &[4, 3, 2]),
            ("-port=2301", &[3, 1]),
            ("port=2300", &[]),
        ] {
            let answer = get_json(stack.front(), &format!("{list}?{query}")).await?;
            assert_eq!(seqs(&answer), found, "{list}?{query}");
        }
        let wrong = stack.get(&format!("{list}?port=0x50")).await?;
        assert_eq!(wrong.status, 400, "{list}");
    }
    let lines = stack.get("/home/export.ndjson?port=2302").await?.text();
    assert_eq!(lines.lines().count(), 1, "{lines}");
    let source = get_json(stack.front(), "/home/api/sources/127.0.0.1").await?;
    assert_eq!(source["ports"][0], json!({ "value": 2301, "requests": 2 }));
    let kind = list_kind(&stack).await?;
    assert_eq!(kind["ports"], ports);
    let page = stack
        .get(&format!("/home/collection/{}", name_of(&kind)))
        .await?
        .text();
    ensure!(page.contains("To port, lately"), "{page}");
    Ok(())
}

async fn until_kept(stack: &Stack, count: usize) -> anyhow::Result<()> {
    until("the history has them", || async {
        let list = get_json(stack.front(), "/home/api/history").await.ok()?;
        (seqs(&list).len() == count).then_some(())
    })
    .await
}

fn name_of(kind: &Value) -> &str {
    kind["kind"].as_str().unwrap_or_default()
}

/// Returns the only kind of the collection.
async fn list_kind(stack: &Stack) -> anyhow::Result<Value> {
    let all = get_json(stack.front(), "/home/api/collection").await?;
    let name = all["kinds"][0]["kind"].as_str().context("no kind")?;
    get_json(stack.front(), &format!("/home/api/collection/{name}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_greeting_is_counted_by_port() -> anyhow::Result<()> {
    let stack = on_many_ports(&[]).await?;
    for port in [2300, 2301, 2300] {
        let mut silent = TcpStream::connect(stack.at(port)).await?;
        silent.shutdown().await?;
        assert_eq!(client::read_to_end(&mut silent).await?, b"");
    }
    let counted = json!([
        { "port": 2300, "connections": 2 },
        { "port": 2301, "connections": 1 },
    ]);
    until("they are counted", || async {
        let stats = get_json(stack.front(), "/home/api/stats").await.ok()?;
        (stats["silent"] == 3 && stats["silent_ports"] == counted).then_some(())
    })
    .await?;
    let page = stack.get("/home").await?.text();
    ensure!(page.contains("Silent, by port"), "{page}");
    Ok(())
}

/// Returns the command of the document, for the device and the port of the test.
fn redirect() -> anyhow::Result<String> {
    let document = std::fs::read_to_string(project().join(DOCUMENT))?;
    let line = document.lines().find(|line| line.starts_with(REDIRECT));
    let line = line.context("no line for nft")?;
    ensure!(
        line.contains("\"eth0\"") && line.contains("to :8000;"),
        "{line}"
    );
    let line = line.replace("sudo ", "").replace("eth0", "server");
    Ok(line.replace(":8000", &format!(":{FRONT_PORT}")))
}

/// Returns commands for two network namespaces with a cable between them. The server's address is
/// 192.0.2.1, the client's 192.0.2.2.
fn in_a_network_of_its_own() -> anyhow::Result<String> {
    let script = "ip link set lo up
        unshare --net sleep infinity & client=$!
        while [ \"$(readlink /proc/$client/ns/net)\" = \"$(readlink /proc/self/ns/net)\" ]; do sleep 0.01; done
        ip link add name server type veth peer name client netns $client
        ip addr add 192.0.2.1/24 dev server && ip link set server up
        nsenter --target $client --net sh -c \"ip link set lo up && ip addr add 192.0.2.2/24 dev client && ip link set client up\"
        echo $client >client.pid";
    let redirect = redirect()?;
    let all = format!("set -e; {script}; {redirect}; exec supervisord -c supervisord.conf");
    let quoted = all.replace('\'', "'\\''");
    Ok(format!(
        "exec unshare --map-root-user --net sh -c '{quoted}'; "
    ))
}

/// Runs curl in the network of a process.
fn curl(pid: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    command("nsenter")
        .args(["--target", pid, "--user", "--net", "--preserve-credentials"])
        .args(["curl", "--silent", "--include", "--max-time", "30"])
        .args(arguments)
        .output()
        .context(missing("util-linux curl"))
}

/// Waits until haproxy runs, and returns its process id. Its network is its own, so the test cannot
/// ask it for a page from outside.
async fn until_haproxy_runs(stack: &Stack) -> anyhow::Result<u32> {
    until("haproxy runs", || async {
        stack.pid("haproxy").ok().flatten()
    })
    .await
}

/// Only one socket listens, but the record has the port to which the client connected. haproxy gets
/// it from the kernel (`SO_ORIGINAL_DST`).
#[tokio::test(flavor = "multi_thread")]
async fn with_all_ports_redirected_a_record_has_the_one_that_was_asked_for() -> anyhow::Result<()> {
    let before = in_a_network_of_its_own()?;
    let stack = Stack::spawn(Setup {
        variables: &[("FOREVER200_BIND", &format!(":{FRONT_PORT}"))],
        edits: IN_A_NAMESPACE_OF_USERS,
        before: &before,
        ..Setup::default()
    })?;
    let server = until_haproxy_runs(&stack)
        .await
        .with_context(|| format!("{}: {}", missing("nftables iproute2"), stack.log()))?;
    let client = std::fs::read_to_string(stack.run_path("client.pid"))?;
    let (client, server) = (client.trim(), server.to_string());
    let api = format!("http://192.0.2.1:{FRONT_PORT}/home/api/requests");
    let list = || -> Option<Value> {
        let answer = curl(&server, &[&api]).ok()?;
        let body = answer
            .stdout
            .windows(4)
            .position(|end| end == b"\r\n\r\n")?;
        serde_json::from_slice(&answer.stdout[body + 4..]).ok()
    };
    until("the page is there", || async {
        list().filter(|list| !list["since"].is_null())
    })
    .await
    .with_context(|| stack.log())?;
    for (seq, port) in (1..).zip([1, 23, 80, 2323, FRONT_PORT, 65_535]) {
        let url = format!("http://192.0.2.1:{port}/x");
        assert_eq!(curl(client, &[&url])?.stdout, RESPONSE, "{port}");
        let list = until("it is recorded", || async {
            list().filter(|list| are_recorded(list, seq))
        })
        .await?;
        let record = &list["requests"][0];
        assert_eq!(record["src_ip"], "192.0.2.2");
        assert_eq!(record["dest_ip"], "192.0.2.1");
        assert_eq!(record["dest_port"], port);
    }
    // The owner's SSH port is not redirected.
    ensure!(curl(client, &["http://192.0.2.1:22/x"])?.stdout.is_empty());
    // Each port has the page.
    let page = curl(client, &["http://192.0.2.1:8080/home"])?.stdout;
    ensure!(String::from_utf8_lossy(&page).contains("<!doctype html>"));
    Ok(())
}

/// The viewer, the responder and memcached listen on ports of a loopback address. The ports of the
/// viewer and the responder may be among haproxy's.
#[tokio::test(flavor = "multi_thread")]
async fn the_ports_of_the_viewer_and_the_responder_may_be_among_them() -> anyhow::Result<()> {
    let inside = "ip link set lo up && exec supervisord -c supervisord.conf";
    let before = format!("exec unshare --map-root-user --net sh -c '{inside}'; ");
    let stack = Stack::spawn(Setup {
        variables: &[("FOREVER200_BIND", ":80,:8080,:9999,:2300-2399")],
        edits: IN_A_NAMESPACE_OF_USERS,
        before: &before,
        ..Setup::default()
    })?;
    let server = until_haproxy_runs(&stack)
        .await
        .with_context(|| stack.log())?
        .to_string();
    let answers = async || {
        for port in [80, 8080, 9999, 2399] {
            // Another address than that of the viewer and the responder.
            let url = format!("http://127.0.0.9:{port}/x");
            until(&format!("{port} answers"), || async {
                let answer = curl(&server, &[&url]).ok()?;
                (answer.stdout == RESPONSE).then_some(())
            })
            .await
            .with_context(|| stack.log())?;
        }
        until("it is healthy", || async {
            let page = curl(&server, &["http://127.0.0.9:8080/home/health"]).ok()?;
            page.stdout.starts_with(b"HTTP/1.1 200").then_some(())
        })
        .await
        .with_context(|| stack.log())
    };
    answers().await?;
    // When it restarts, haproxy already listens on this port of all addresses. It starts all the
    // same.
    for program in ["viewer", "responder"] {
        let pid = stack.pid(program)?.context("it does not run")?;
        signal(pid, Signal::KILL)?;
        until("another one runs", || async {
            let now = stack.pid(program).ok()??;
            (now != pid).then_some(())
        })
        .await?;
        answers().await?;
    }
    ensure!(!stack.log().contains("in use"), "{}", stack.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_very_address_of_the_viewer_is_refused() -> anyhow::Result<()> {
    let own = loopback();
    let bind = format!("{own}:{FRONT_PORT},{own}:8080");
    let variables = [
        ("FOREVER200_BIND", bind.as_str()),
        ("FOREVER200_VIEWER_LISTEN", &format!("{own}:8080")),
    ];
    let stack = Stack::spawn(Setup {
        variables: &variables,
        ..Setup::default()
    })?;
    until("haproxy has said why", || async {
        let line =
            format!("FOREVER200_BIND or FOREVER200_BIND_TLS has {own}:8080, where the viewer");
        stack.log().contains(&line).then_some(())
    })
    .await
}
