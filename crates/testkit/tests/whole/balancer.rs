//! forever200 behind another balancer, with `FOREVER200_ACCEPT_PROXY=on`: which sources the
//! requests have. With the real haproxy, and behind the balancers for which docs/ports.md has a
//! recipe.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;

use anyhow::{Context, ensure};
use forever200_testkit::process::{missing, project};
use forever200_testkit::stack::Setup;
use forever200_testkit::{RESPONSE, Stack, client, exchange, get_json, loopback, until};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\n\r\n";
const HOME: &[u8] = b"GET /home HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const EVENTS: &[u8] = b"GET /home/events HTTP/1.1\r\nHost: x\r\n\r\n";
const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 8);
/// The balancer's address, to which clients connect.
const BALANCER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 8443);
const CLIENT_PORT: u16 = 41_000;
/// Where Debian has nginx's module for connections that are not HTTP.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Returns a header of version 1 (doc/proxy-protocol.txt of haproxy, section 2.1).
fn version_1(client: Ipv4Addr) -> Vec<u8> {
    let (ip, port) = (BALANCER.ip(), BALANCER.port());
    format!("PROXY TCP4 {client} {ip} {CLIENT_PORT} {port}\r\n").into_bytes()
}

/// Returns a header of version 2 (section 2.2): PROXY, TCP over IPv4, 12 bytes of addresses.
fn version_2(client: Ipv4Addr) -> Vec<u8> {
    [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..],
        &client.octets(),
        &BALANCER.ip().octets(),
        &CLIENT_PORT.to_be_bytes(),
        &BALANCER.port().to_be_bytes(),
    ]
    .concat()
}

/// Starts a stack that expects headers, with this limit of connections.
async fn behind_a_balancer(switch: &str, connections: &str) -> anyhow::Result<Stack> {
    healthy(&[
        ("FOREVER200_ACCEPT_PROXY", switch),
        ("FOREVER200_MAX_CONNECTIONS", connections),
    ])
    .await
}

/// Starts a stack, and waits until its health check finds it healthy. The check sends a header too.
async fn healthy(variables: &[(&str, &str)]) -> anyhow::Result<Stack> {
    let stack = Stack::spawn(Setup {
        variables,
        ..Setup::default()
    })?;
    until("it is healthy", || async {
        stack.unhealthy().ok()?.is_none().then_some(())
    })
    .await
    .with_context(|| stack.log())?;
    Ok(stack)
}

/// Sends a header for this client and then the bytes, and returns the connection.
async fn begin(stack: &Stack, client: Ipv4Addr, bytes: &[u8]) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(stack.front()).await?;
    stream
        .write_all(&[&version_2(client), bytes].concat())
        .await?;
    Ok(stream)
}

/// Sends a request for this client, and tells whether it is answered. Beyond the limit, the
/// connection is closed, with or without a reset.
async fn is_answered(stack: &Stack, client: Ipv4Addr, request: &[u8]) -> anyhow::Result<bool> {
    let mut stream = begin(stack, client, request).await?;
    let reply = client::read_to_end(&mut stream).await;
    Ok(reply.is_ok_and(|reply| reply.starts_with(b"HTTP/1.1 200 ")))
}

/// Waits until haproxy counts this many connections of the client in one of its tables.
async fn until_counted(stack: &Stack, table: &str, count: usize) -> anyhow::Result<()> {
    until(&format!("{table} has {count}"), || async {
        let command = format!("show table {table} key ::ffff:{CLIENT}");
        let entry = stack.haproxy(&command).await.ok()?;
        entry
            .contains(&format!(" conn_cur={count}\n"))
            .then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_has_the_addresses_of_the_header() -> anyhow::Result<()> {
    for switch in ["on", "TRUE"] {
        let stack = behind_a_balancer(switch, "8000").await?;
        for (seq, header) in (1..).zip([version_1(CLIENT), version_2(CLIENT)]) {
            let bytes = [&header, REQUEST].concat();
            assert_eq!(stack.send(&bytes).await?, RESPONSE);
            let list = stack.until_recorded_by(stack.at(8080), seq).await?;
            let record = &list["requests"][0];
            assert_eq!(record["src_ip"], CLIENT.to_string());
            assert_eq!(record["src_port"], CLIENT_PORT);
            assert_eq!(record["dest_ip"], BALANCER.ip().to_string());
            assert_eq!(record["dest_port"], BALANCER.port());
            // The header is not a part of the request.
            assert_eq!(record["bytes"], REQUEST.len());
            let page = stack.send(&[&header, HOME].concat()).await?;
            let page = String::from_utf8_lossy(&page).into_owned();
            ensure!(page.contains("<!doctype html>"), "{page}");
            ensure!(page.contains("203.0.113.7"), "{page}");
        }
    }
    Ok(())
}

/// haproxy takes a server's `0.0.0.0` for the address that the client connected to, and a header
/// may name any address.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_leads_nowhere_but_to_the_viewer() -> anyhow::Result<()> {
    let viewer = "\nbackend viewer from page\n";
    let tell = format!("{viewer}    http-response set-header X-Reached %[bc_dst]\n");
    let stack = Stack::spawn(Setup {
        variables: &[
            ("FOREVER200_ACCEPT_PROXY", "on"),
            ("FOREVER200_VIEWER_LISTEN", "0.0.0.0:8380"),
        ],
        edits: &[("haproxy/haproxy.cfg", viewer, &tell)],
        ..Setup::default()
    })?;
    let header = format!("PROXY TCP4 {CLIENT} 127.9.9.9 {CLIENT_PORT} 80\r\n");
    let page = until("haproxy answers", || async {
        let page = stack.send(&[header.as_bytes(), HOME].concat()).await.ok()?;
        let page = String::from_utf8_lossy(&page).into_owned();
        page.starts_with("HTTP/1.1 200 ").then_some(page)
    })
    .await
    .with_context(|| stack.log())?;
    ensure!(page.contains("\r\nx-reached: 127.0.0.1\r\n"), "{page}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_header_is_closed_and_not_recorded() -> anyhow::Result<()> {
    let stack = behind_a_balancer("on", "8000").await?;
    for bytes in [REQUEST, HOME, b"\x16\x03\x01\0\0", b"PROXY TCP9 x\r\n"] {
        // With or without a reset.
        if let Ok((reply, _)) = exchange(stack.front(), bytes).await {
            ensure!(reply.is_empty(), "{}", reply.escape_ascii());
        }
    }
    assert!(is_answered(&stack, CLIENT, REQUEST).await?);
    let list = stack.until_recorded_by(stack.at(8080), 1).await?;
    assert_eq!(list["total"], 1);
    Ok(())
}

/// haproxy tells the responder of handshakes that fail, and of nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_header_is_no_failed_handshake() -> anyhow::Result<()> {
    let tls = SocketAddr::from((loopback(), 8443));
    let stack = healthy(&[
        ("FOREVER200_ACCEPT_PROXY", "on"),
        ("FOREVER200_BIND_TLS", &tls.to_string()),
    ])
    .await?;
    for address in [stack.front(), tls] {
        // With or without a reset.
        if let Ok((reply, _)) = exchange(address, REQUEST).await {
            ensure!(reply.is_empty(), "{}", reply.escape_ascii());
        }
    }
    // An invalid hello. The responder learns of it after those two connections.
    let hello = b"\x16\x03\x01\0\x05\x01\0\0\x01\0";
    exchange(tls, &[&version_2(CLIENT)[..], hello].concat()).await?;
    let list = until("the failed handshake is recorded", || async {
        let list = get_json(stack.at(8080), "/home/api/requests").await.ok()?;
        let newest = &list["requests"][0];
        let is_there = newest["src_ip"] == CLIENT.to_string();
        (is_there && newest["tls"]["failed"].is_string()).then_some(list)
    })
    .await
    .with_context(|| stack.log())?;
    assert_eq!(list["total"], 1, "{list}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_one_source_are_those_of_the_address_in_the_header() -> anyhow::Result<()> {
    let stack = behind_a_balancer("on", "400").await?;
    for (table, share, request, ask) in [
        ("sources", 25, &b"GET /ho"[..], REQUEST),
        ("each_visitor", 8, EVENTS, HOME),
    ] {
        let mut open = Vec::new();
        for _ in 0..share {
            open.push(begin(&stack, CLIENT, request).await?);
        }
        until_counted(&stack, table, share).await?;
        assert!(!is_answered(&stack, CLIENT, ask).await?, "{table}");
        assert!(is_answered(&stack, OTHER, ask).await?, "{table}");
        drop(open);
        until_counted(&stack, "sources", 0).await?;
        assert!(is_answered(&stack, CLIENT, ask).await?, "{table}");
    }
    // A balancer's own health check begins with the command LOCAL. The source of such a request is
    // the balancer.
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let (reply, _) = exchange(stack.front(), &[local, HOME].concat()).await?;
    ensure!(
        reply.starts_with(b"HTTP/1.1 200 "),
        "{}",
        reply.escape_ascii()
    );
    Ok(())
}

/// A wrong value must not count as `off`, or the balancer would be the source of all records.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_is_neither_on_nor_off_ends_haproxy_and_says_why() -> anyhow::Result<()> {
    let stack = Stack::spawn(Setup {
        variables: &[("FOREVER200_ACCEPT_PROXY", "yes")],
        ..Setup::default()
    })?;
    until("haproxy has said why", || async {
        let line = "FOREVER200_ACCEPT_PROXY is neither on nor off: yes";
        stack.log().contains(line).then_some(())
    })
    .await?;
    let complaint = stack.unhealthy()?.context("it is healthy")?;
    ensure!(complaint.contains("yes"), "{complaint}");
    Ok(())
}

/// The address of forever200 in the recipes of docs/ports.md.
const RECIPE_SERVER: &str = "192.0.2.10:80";

/// Returns the recipe that begins with this line.
fn recipe(begin: &str) -> anyhow::Result<String> {
    let document = std::fs::read_to_string(project().join("docs/ports.md"))?;
    let mut blocks = document.split("```text\n").skip(1);
    let block = blocks.find(|block| block.starts_with(begin));
    let (recipe, _) = block
        .and_then(|block| block.split_once("```"))
        .with_context(|| format!("no recipe begins with {begin}"))?;
    ensure!(recipe.contains(RECIPE_SERVER), "{recipe}");
    Ok(recipe.to_owned())
}

/// A request of HTTP, two that are not HTTP, and one whose client closes its side at once.
const SENT: [(&[u8], bool); 4] = [
    (REQUEST, false),
    (b"SSH-2.0-Go\r\n", false),
    (b"\x16\x03\x01\0\0\r\n\0\xff", false),
    (b"GET  /odd target HTTP/1.1\n\n", true),
];

/// Sends requests through a balancer, and checks their bytes and sources.
async fn passes_everything_on(stack: &Stack, balancer: SocketAddr) -> anyhow::Result<()> {
    until("the balancer listens", || async {
        TcpStream::connect(balancer).await.ok()
    })
    .await?;
    for (number, (bytes, ends_its_side)) in (1..).zip(SENT) {
        let client = Ipv4Addr::new(127, 88, 77, number);
        let mut stream = client::connect_from(client, balancer).await?;
        let port = stream.local_addr()?.port();
        stream.write_all(bytes).await?;
        if ends_its_side {
            stream.shutdown().await?;
        }
        assert_eq!(
            client::read_to_end(&mut stream).await?,
            RESPONSE,
            "{number}"
        );
        let list = stack
            .until_recorded_by(stack.at(8080), number.into())
            .await?;
        let record = &list["requests"][0];
        assert_eq!(record["src_ip"], client.to_string());
        assert_eq!(record["src_port"], port);
        assert_eq!(record["dest_ip"], balancer.ip().to_string());
        assert_eq!(record["dest_port"], balancer.port());
        let raw = client::get(stack.at(8080), &format!("/home/requests/{number}/raw")).await?;
        assert_eq!(raw.body, bytes);
    }
    let mut page = client::connect_from(Ipv4Addr::new(127, 88, 77, 9), balancer).await?;
    page.write_all(HOME).await?;
    let page = client::read_to_end(&mut page).await?;
    ensure!(String::from_utf8_lossy(&page).contains("127.88.77.4"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_haproxy_the_sources_are_real() -> anyhow::Result<()> {
    let stack = behind_a_balancer("on", "8000").await?;
    let (folder, balancer) = (tempfile::tempdir()?, SocketAddr::from((loopback(), 8300)));
    let recipe = recipe("defaults\n")?
        .replace("bind :80", &format!("bind {balancer}"))
        .replace(RECIPE_SERVER, &stack.front().to_string());
    let file = folder.path().join("haproxy.cfg");
    std::fs::write(&file, recipe)?;
    let _running = tokio::process::Command::new("haproxy")
        .args(["-db", "-f"])
        .arg(&file)
        .kill_on_drop(true)
        .spawn()
        .context(missing("haproxy"))?;
    passes_everything_on(&stack, balancer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_the_sources_are_real() -> anyhow::Result<()> {
    let stack = behind_a_balancer("on", "8000").await?;
    let (folder, balancer) = (tempfile::tempdir()?, SocketAddr::from((loopback(), 8300)));
    let recipe = recipe("stream {\n")?
        .replace("listen 80;", &format!("listen {balancer};"))
        .replace(RECIPE_SERVER, &stack.front().to_string());
    let folder_name = folder.path().display();
    let before = format!(
        "load_module {STREAM_MODULE};\ndaemon off; master_process off; pid {folder_name}/pid; \
         error_log stderr; events {{}}\n"
    );
    ensure!(
        Path::new(STREAM_MODULE).exists(),
        missing("libnginx-mod-stream")
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, before + &recipe)?;
    let _running = tokio::process::Command::new("nginx")
        .arg("-e")
        .arg("stderr")
        .arg("-c")
        .arg(&file)
        .kill_on_drop(true)
        .spawn()
        .context(missing("nginx"))?;
    passes_everything_on(&stack, balancer).await
}
