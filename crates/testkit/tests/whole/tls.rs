//! TLS that haproxy decrypts on FOREVER200_BIND_TLS. Each client's record is right, and bytes that
//! are not TLS come through as they were sent.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use forever200_daemon::raise_file_limit;
use forever200_testkit::browser::{Browser, LAPTOP};
use forever200_testkit::load::{Attempts, Load, STEADY};
use forever200_testkit::process::{missing, project};
use forever200_testkit::stack::Setup;
use forever200_testkit::{
    RESPONSE, Stack, connect_from, exchange, exchange_from, get, get_json, loopback, until,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

/// Port where haproxy decrypts TLS in the tests.
const PORT: u16 = 8443;
/// sslscan and nmap try some hundred handshakes.
const LONGEST_RUN: Duration = Duration::from_secs(120);
/// While handshakes are held open, 99 of 100 requests are answered within this time, as in
/// tests/troubles.rs.
const ON_TIME: Duration = Duration::from_millis(50);

/// A forever200 that decrypts TLS.
struct Ended {
    stack: Stack,
    address: SocketAddr,
}

impl Ended {
    async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    async fn start_with(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_as(variables, &[]).await
    }

    async fn start_as(
        variables: &[(&str, &str)],
        edits: &[(&str, &str, &str)],
    ) -> anyhow::Result<Self> {
        let ip = loopback();
        let address = SocketAddr::new(ip.into(), PORT);
        let bind = address.to_string();
        let variables = [&[("FOREVER200_BIND_TLS", &*bind)], variables].concat();
        let setup = Setup {
            variables: &variables,
            edits,
            ..Setup::default()
        };
        let stack = Stack::start_at(ip, setup).await?;
        Ok(Self { stack, address })
    }

    /// Runs a command line in which `ADDRESS` becomes the address for TLS. Returns what it prints.
    async fn run(&self, package: &str, line: &str) -> anyhow::Result<String> {
        let line = line.replace("ADDRESS", &self.address.to_string());
        let line = line.replace("IP", &self.address.ip().to_string());
        let mut tool = Command::new("sh");
        tool.args(["-c", &line])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(LONGEST_RUN, tool.output()).await;
        let output = output.with_context(|| format!("{line} goes on and on"))??;
        // 127 is the status of a shell that does not find the program.
        ensure!(output.status.code() != Some(127), missing(package));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until there are `count` requests, and returns the newest.
    async fn newest(&self, count: u64) -> anyhow::Result<Value> {
        let list = self.stack.until_recorded(count).await?;
        Ok(list["requests"][0].clone())
    }
}

fn is_ja4(value: &Value, beginning: &str) -> bool {
    value
        .as_str()
        .is_some_and(|ja4| ja4.starts_with(beginning) && ja4.len() == 36)
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_recorded_decrypted_with_all_versions_of_tls() -> anyhow::Result<()> {
    let ended = Ended::start().await?;
    let to = ended.address;
    for (number, version, ja4) in [
        (1, "1.0", "t10d"),
        (2, "1.1", "t11d"),
        (3, "1.2", "t12d"),
        (4, "1.3", "t13d"),
    ] {
        let line = format!(
            "curl -isk --tlsv{version} --tls-max {version} --ciphers DEFAULT@SECLEVEL=0 \
             --connect-to a.example:443:ADDRESS -H X-Odd:Two https://a.example/v{version}"
        );
        let reply = ended.run("curl", &line).await?;
        assert_eq!(reply.as_bytes(), RESPONSE, "{version}");
        let request = ended.newest(number).await?;
        let tls = &request["tls"];
        assert_eq!(request["via"], "tls", "{request}");
        assert_eq!(tls["version"], format!("TLS {version}"), "{request}");
        assert_eq!(
            (&tls["sni"], &tls["alpn"]),
            (&json!("a.example"), &json!(["h2", "http/1.1"]))
        );
        ensure!(
            tls["cipher"].as_str().is_some_and(|it| it.contains("AES")),
            "{request}"
        );
        ensure!(is_ja4(&tls["ja4"], ja4), "{request}");
        assert_eq!(request["dest_port"], PORT);
        assert_eq!(request["dest_ip"], to.ip().to_string());
        let raw = get(ended.stack.front(), &format!("/home/requests/{number}/raw")).await?;
        let head = format!("GET /v{version} HTTP/1.1\r\nHost: a.example\r\nUser-Agent: curl/");
        ensure!(raw.body.starts_with(head.as_bytes()), "{}", raw.text());
        ensure!(
            raw.body.ends_with(b"\r\nAccept: */*\r\nX-Odd:Two\r\n\r\n"),
            "{}",
            raw.text()
        );
    }
    for (query, found) in [
        ("tls=on", 4),
        ("tls=1.0", 1),
        ("tls=failed", 0),
        ("-tls=1.3", 3),
        ("host=a.example", 4),
    ] {
        let list = get_json(ended.stack.front(), &format!("/home/api/requests?{query}")).await?;
        assert_eq!(
            list["requests"].as_array().map(Vec::len),
            Some(found),
            "{query}"
        );
    }
    let bad = get(ended.stack.front(), "/home/api/requests?tls=0.9").await?;
    assert_eq!(bad.status, 400);
    let stats = get_json(ended.stack.front(), "/home/api/stats").await?;
    assert_eq!(
        (&stats["tls"], &stats["tls_failed"]),
        (&json!(4), &json!(0))
    );
    let list = get(ended.stack.front(), "/home").await?.text();
    assert_eq!(list.matches("<span class=\"mark\">TLS 1.").count(), 4);
    let page = get(ended.stack.front(), "/home/requests/4").await?.text();
    for said in [
        "<dt>Agreed on</dt><dd>TLS 1.3, TLS_AES_",
        "haproxy decrypted the bytes",
        "/home?ja4=t13d",
    ] {
        ensure!(page.contains(said), "{said}: {page}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_without_a_request_is_a_record_of_what_was_asked_for() -> anyhow::Result<()> {
    let ended = Ended::start().await?;
    let shown = ended
        .run("openssl", "openssl s_client -connect ADDRESS -servername only.example -alpn spdy/3 -tls1_2 2>/dev/null")
        .await?;
    // OpenSSL 3.2 and later write the subject without spaces.
    let subject = shown.replace(' ', "");
    ensure!(subject.contains("subject=CN=localhost"), "{shown}");
    let request = ended.newest(1).await?;
    assert_eq!(
        (&request["bytes"], &request["protocol"], &request["via"]),
        (&json!(0), &json!("tls"), &json!("tls"))
    );
    assert_eq!(
        request["summary"],
        "TLS handshake for only.example, no request"
    );
    assert_eq!(
        request["asked_for"],
        json!({ "kind": "name", "name": "only.example" })
    );
    let tls = &request["tls"];
    assert_eq!(
        (&tls["version"], &tls["sni"], &tls["alpn"]),
        (
            &json!("TLS 1.2"),
            &json!("only.example"),
            &json!(["spdy/3"])
        )
    );
    ensure!(is_ja4(&tls["ja4"], "t12d"), "{request}");
    let stats = get_json(ended.stack.front(), "/home/api/stats").await?;
    assert_eq!(stats["silent"], 0);
    let page = get(ended.stack.front(), "/home/requests/1").await?;
    assert_eq!(page.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_that_begins_as_a_hello_has_a_page() -> anyhow::Result<()> {
    let ended = Ended::start().await?;
    // Handshake records that begin like a ClientHello: with one byte of it, with an empty one, and
    // with an impossible one.
    let noises = [
        &[0x16, 3, 1, 0, 1, 1][..],
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0],
        &[0x16, 3, 1, 0, 10, 1, 0, 0, 6, 9, 9, 0xff, 0xff, 0xff, 0xff],
    ];
    for (noise, number) in noises.into_iter().zip(1..) {
        exchange(ended.address, noise).await?;
        let request = ended.newest(number).await?;
        assert_eq!(request["bytes"], noise.len());
        let page = get(ended.stack.front(), &format!("/home/requests/{number}")).await?;
        let text = page.text();
        ensure!(page.status == 200 && text.contains("It failed"), "{text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_fails_is_a_record_of_the_hello() -> anyhow::Result<()> {
    let ended = Ended::start().await?;
    // curl does not know the authority of the certificate, and sends that alert.
    ended
        .run(
            "curl",
            "curl -s --connect-to a.example:443:ADDRESS https://a.example/",
        )
        .await?;
    let request = ended.newest(1).await?;
    assert_eq!(
        (&request["protocol"], &request["via"]),
        (&json!("tls"), &json!("proxy_v2"))
    );
    assert_eq!(
        request["tls"]["failed"], "tlsv1 alert unknown ca",
        "{request}"
    );
    assert_eq!(request["tls"]["sni"], "a.example");
    // TLS is expected on this port, so there is no label.
    assert_eq!(request["labels"], json!([]));
    ensure!(is_ja4(&request["tls"]["ja4"], "t13d"), "{request}");
    // An invalid hello: haproxy answers with an alert, and the bytes are kept.
    let hello = b"\x16\x03\x01\0\x05\x01\0\0\x01\0";
    let (reply, _) = exchange(ended.address, hello).await?;
    ensure!(reply.starts_with(b"\x15\x03"), "{}", reply.escape_ascii());
    ended.newest(2).await?;
    let raw = get(ended.stack.front(), "/home/requests/2/raw").await?;
    assert_eq!(raw.body, hello);
    // A client that goes away in the middle of the handshake.
    let mut stream = connect_from([127, 8, 8, 8].into(), ended.address).await?;
    stream.write_all(&hello_for("b.example")).await?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await?;
    assert_eq!(answer[..2], [0x16, 3]);
    drop(stream);
    let request = ended.newest(3).await?;
    assert_eq!(request["src_ip"], "127.8.8.8");
    assert_eq!(request["tls"]["sni"], "b.example");
    ensure!(request["tls"]["failed"].is_string(), "{request}");
    let raw = get(ended.stack.front(), "/home/requests/3/raw").await?;
    assert_eq!(raw.body, hello_for("b.example"));
    let stats = get_json(ended.stack.front(), "/home/api/stats").await?;
    assert_eq!(
        (&stats["tls_failed"], &stats["silent"]),
        (&json!(3), &json!(0))
    );
    let page = get(ended.stack.front(), "/home/requests/1").await?.text();
    ensure!(
        page.contains("It failed: tlsv1 alert unknown ca."),
        "{page}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_from_one_port_to_two_have_their_own_hellos() -> anyhow::Result<()> {
    let ip = loopback();
    let ports = [PORT, PORT + 1];
    let bind = ports.map(|port| format!("{ip}:{port}")).join(",");
    let variables = [("FOREVER200_BIND_TLS", &*bind)];
    let setup = Setup {
        variables: &variables,
        ..Setup::default()
    };
    let stack = Stack::start_at(ip, setup).await?;
    let mut source = SocketAddr::from(([127, 8, 8, 11], 0));
    let mut streams = Vec::new();
    for port in ports {
        let socket = TcpSocket::new_v4()?;
        // This allows two connections from the same port.
        socket.set_reuseaddr(true)?;
        socket.bind(source)?;
        let mut stream = socket.connect(stack.at(port)).await?;
        source = stream.local_addr()?;
        stream
            .write_all(&hello_for(&format!("{port}.example")))
            .await?;
        // By this time, haproxy has told the responder of the hello.
        stream.readable().await?;
        streams.push(stream);
    }
    // Both handshakes fail.
    drop(streams);
    let list = stack.until_recorded(2).await?;
    for request in list["requests"].as_array().into_iter().flatten() {
        assert_eq!(request["src_port"], source.port());
        let name = format!("{}.example", request["dest_port"]);
        assert_eq!(request["tls"]["sni"], name, "{request}");
    }
    Ok(())
}

/// A client may hold its connection for a long time.
#[tokio::test(flavor = "multi_thread")]
async fn haproxy_forgets_a_hello_that_it_has_told() -> anyhow::Result<()> {
    let (server, rule) = (
        "    server tls ",
        "    tcp-response content reject if { var(txn.hello) -m found }\n",
    );
    let edit = ("haproxy/haproxy.cfg", server, &*format!("{rule}{server}"));
    let ended = Ended::start_as(&[], &[edit]).await?;
    let reply = ended.run("curl", "curl -isk https://ADDRESS/x").await?;
    assert_eq!(reply.as_bytes(), RESPONSE);
    let request = ended.newest(1).await?;
    ensure!(is_ja4(&request["tls"]["ja4"], "t13i"), "{request}");
    Ok(())
}

/// Returns a hello of TLS 1.2 that a server answers.
fn hello_for(name: &str) -> Vec<u8> {
    let counted =
        |width: usize, bytes: &[u8]| [&bytes.len().to_be_bytes()[8 - width..], bytes].concat();
    let extension = |number: u8, content: &[u8]| [&[0, number][..], &counted(2, content)].concat();
    let names = counted(2, &[&[0][..], &counted(2, name.as_bytes())].concat());
    let algorithms = counted(2, &[4, 1, 8, 4]);
    let extensions = [extension(0, &names), extension(13, &algorithms)].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        // TLS_RSA_WITH_AES_128_GCM_SHA256
        &[0, 2, 0, 0x9c],
        &[1, 0],
        &counted(2, &extensions),
    ]
    .concat();
    let message = [&[1][..], &counted(3, &body)].concat();
    [&[0x16, 3, 1][..], &counted(2, &message)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tls_comes_through_the_same_port_byte_for_byte() -> anyhow::Result<()> {
    let ended = Ended::start().await?;
    let whole = hello_for("cut.example");
    let ssl2 = b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10".to_vec();
    let sent = [
        b"GET /plain HTTP/1.1\r\nX-Odd:  Two\r\n folded\r\n\r\n".to_vec(),
        b"SSH-2.0-Go\r\n".to_vec(),
        b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x0b\0\0\0".to_vec(),
        (0..=255).collect(),
        b"\x16".to_vec(),
        b"\x16\x03\x05\0\x05\x01\0\0\x01\0".to_vec(),
        // A handshake record that is not a hello.
        b"\x16\x03\x01\0\x05\x02\0\0\x01\0".to_vec(),
        whole[..whole.len() - 1].to_vec(),
        ssl2,
        b"GET /homework HTTP/1.1\r\n\r\n".to_vec(),
    ];
    for (number, bytes) in (1..).zip(&sent) {
        let mut stream = connect_from([127, 8, 8, 9].into(), ended.address).await?;
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await?;
        assert_eq!(reply, RESPONSE, "{}", bytes.escape_ascii());
        let request = ended.newest(number).await?;
        assert_eq!(
            (&request["via"], &request["src_ip"]),
            (&json!("proxy_v2"), &json!("127.8.8.9"))
        );
        let raw = get(ended.stack.front(), &format!("/home/requests/{number}/raw")).await?;
        assert_eq!(raw.body, *bytes, "{}", bytes.escape_ascii());
    }
    // A silent client is counted. The page is there without TLS too.
    drop(connect_from([127, 8, 8, 9].into(), ended.address).await?);
    until("the silent one is counted", || async {
        let stats = get_json(ended.address, "/home/api/stats").await.ok()?;
        (stats["silent"] == 1).then_some(())
    })
    .await?;
    // On the port without TLS, a hello is kept as it came, and is not answered with TLS.
    let (reply, _) = exchange(ended.stack.front(), &whole).await?;
    assert_eq!(reply, RESPONSE);
    let request = ended.newest(sent.len() as u64 + 1).await?;
    assert_eq!(request["tls"].get("cipher"), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_there_by_https_with_all_its_files_and_for_the_real_source()
-> anyhow::Result<()> {
    let ended = Ended::start().await?;
    ended.run("curl", "curl -sk https://ADDRESS/seen").await?;
    ended.newest(1).await?;
    let page = ended.run("curl", "curl -sk https://ADDRESS/home").await?;
    ensure!(page.contains("seen</a>"), "{page}");
    // Nothing on the page makes a browser fetch something without TLS.
    ensure!(
        !page.contains("=\"http:") && !page.contains("url("),
        "{page}"
    );
    for path in [
        "/home/static/style.css",
        "/home/static/script.js",
        "/home/api/requests",
        "/home/health",
    ] {
        let status = ended
            .run(
                "curl",
                &format!("curl -sk -o /dev/null -w '%{{http_code}}' https://ADDRESS{path}"),
            )
            .await?;
        assert_eq!(status, "200", "{path}");
    }
    let mine = "curl -sk --interface 127.8.8.10 'https://ADDRESS/home/api/requests?source=me'";
    ended
        .run(
            "curl",
            "curl -sk --interface 127.8.8.10 https://ADDRESS/mine",
        )
        .await?;
    ended.newest(2).await?;
    let list: Value = serde_json::from_str(&ended.run("curl", mine).await?)?;
    assert_eq!(list["requests"].as_array().map(Vec::len), Some(1), "{list}");
    // A page and then another path on the same connection. haproxy rewrites the second request, and
    // the record tells so.
    ended
        .run(
            "curl",
            "curl -sk https://ADDRESS/home https://ADDRESS/after",
        )
        .await?;
    let request = ended.newest(3).await?;
    assert_eq!(
        (&request["via"], &request["tls"]["version"]),
        (&json!("http"), &json!("TLS 1.3"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_browser_that_takes_the_certificate_has_the_page_and_its_events() -> anyhow::Result<()> {
    let ended = Ended::start().await?;
    let origin = format!("https://{}", ended.address);
    let browser = Browser::start(LAPTOP).await?;
    browser.follow(&format!("{origin}/home")).await?;
    exchange(
        ended.stack.front(),
        b"GET /while-it-watches HTTP/1.1\r\n\r\n",
    )
    .await?;
    let row = "document.querySelector('#requests').textContent.includes('/while-it-watches')";
    browser.until("a new request is on the page", row).await?;
    let styled = "return getComputedStyle(document.querySelector('.hidden')).position";
    assert_eq!(browser.run(styled).await?, "absolute");
    let log = browser.log().await?;
    ensure!(log.is_empty(), "{log:?}");
    for address in browser.requested().await? {
        ensure!(address.starts_with(&origin), "asked for {address}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn scanners_of_tls_find_a_server_and_are_recorded() -> anyhow::Result<()> {
    let ended = Ended::start().await?;
    let found = ended.run("sslscan", "sslscan --no-colour ADDRESS").await?;
    for said in [
        "TLSv1.0   enabled",
        "TLSv1.3   enabled",
        "Subject:  localhost",
        "RSA Key Strength:    2048",
    ] {
        ensure!(found.contains(said), "{said}: {found}");
    }
    let found = ended
        .run(
            "nmap",
            &format!("nmap -Pn -p {PORT} --script +ssl-enum-ciphers,+ssl-cert IP"),
        )
        .await?;
    for said in ["TLSv1.0", "TLSv1.2", "TLSv1.3", "commonName=localhost"] {
        ensure!(found.contains(said), "{said}: {found}");
    }
    let list = get_json(ended.stack.front(), "/home/api/requests").await?;
    ensure!(list["total"].as_u64() > Some(50), "{}", list["total"]);
    for request in list["requests"].as_array().into_iter().flatten() {
        assert_eq!(request["dest_port"], PORT, "{request}");
        // haproxy decrypted TLS, or the record tells why it failed, or it was not TLS.
        let tls = &request["tls"];
        let is_told = tls["cipher"].is_string() || tls["failed"].is_string();
        ensure!(is_told || request["via"] == "proxy_v2", "{request}");
    }
    let stats = get_json(ended.stack.front(), "/home/api/stats").await?;
    ensure!(stats["tls_failed"].as_u64() > Some(0), "{stats}");
    Ok(())
}

/// Returns what `supervisor/certificate` prints, or its error.
async fn certificate(
    run: &Path,
    variables: &[(&str, &Path)],
) -> anyhow::Result<Result<String, String>> {
    let mut script = Command::new(project().join("supervisor/certificate"));
    script
        .env_remove("FOREVER200_HISTORY")
        .env_remove("FOREVER200_CERTIFICATE");
    script
        .env("FOREVER200_RUN", run)
        .envs(variables.iter().copied());
    let output = script.output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
    Ok(if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    })
}

#[tokio::test]
async fn a_certificate_is_made_once_and_another_takes_its_place() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let run = folder.path();
    let history = run.join("history");
    let own = history.join("certificate.pem");
    let kept = [("FOREVER200_HISTORY", &*history)];
    assert_eq!(
        certificate(run, &kept).await?,
        Ok(own.display().to_string())
    );
    assert_eq!(own.metadata()?.permissions().mode() & 0o777, 0o600);
    assert_eq!(history.metadata()?.permissions().mode() & 0o777, 0o700);
    let first = std::fs::read_to_string(&own)?;
    certificate(run, &kept).await?.map_err(anyhow::Error::msg)?;
    assert_eq!(std::fs::read_to_string(&own)?, first);
    assert_eq!(std::fs::read_dir(&history)?.count(), 1, "a leftover");
    // Without a history, the certificate is beside the sockets.
    let off = [("FOREVER200_HISTORY", Path::new("Off"))];
    let beside = run.join("certificate.pem").display().to_string();
    assert_eq!(certificate(run, &off).await?, Ok(beside.clone()));

    let (certified, key) = first.split_once("-----BEGIN PRIVATE").context("no key")?;
    let key = format!("-----BEGIN PRIVATE{key}");
    let theirs = run.join("theirs");
    std::fs::create_dir(&theirs)?;
    let given = [("FOREVER200_CERTIFICATE", &*theirs)];
    let refused = |error: &str| Err(format!("FOREVER200_CERTIFICATE: {error}"));
    let neither = format!(
        "{} has neither fullchain.pem and privkey.pem nor tls.crt and tls.key",
        theirs.display()
    );
    assert_eq!(certificate(run, &given).await?, refused(&neither));
    for (cert_name, key_name) in [("tls.crt", "tls.key"), ("fullchain.pem", "privkey.pem")] {
        std::fs::write(theirs.join(cert_name), certified)?;
        std::fs::write(theirs.join(key_name), &key)?;
        let joined = run.join("given.pem");
        assert_eq!(
            certificate(run, &given).await?,
            Ok(joined.display().to_string())
        );
        assert_eq!(std::fs::read_to_string(&joined)?, first);
        // Without a given certificate, the own one is used again, and no copy of the given key
        // stays.
        assert_eq!(certificate(run, &off).await?, Ok(beside.clone()));
        ensure!(std::fs::read_to_string(&beside)? != first, "a given one");
        ensure!(!joined.exists(), "a copy of a key");
    }
    let file = theirs.join("one.pem");
    let given = [("FOREVER200_CERTIFICATE", &*file)];
    let said = file.display();
    assert_eq!(
        certificate(run, &given).await?,
        refused(&format!("cannot read {said}"))
    );
    for (content, error) in [
        ("", format!("there is no certificate in {said}")),
        (
            certified,
            format!("there is no key without a passphrase in {said}"),
        ),
    ] {
        std::fs::write(&file, content)?;
        assert_eq!(certificate(run, &given).await?, refused(&error));
    }
    std::fs::remove_file(run.join("certificate.pem"))?;
    certificate(run, &off).await?.map_err(anyhow::Error::msg)?;
    let other = std::fs::read_to_string(&beside)?;
    let (_, other_key) = other.split_once("-----BEGIN PRIVATE").context("no key")?;
    std::fs::write(&file, format!("{certified}-----BEGIN PRIVATE{other_key}"))?;
    let error = format!("the key in {said} is not that of the first certificate there");
    assert_eq!(certificate(run, &given).await?, refused(&error));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_certificate_is_one_line_in_the_log() -> anyhow::Result<()> {
    let ip = loopback();
    let bind = format!("{ip}:{PORT}");
    let variables = [
        ("FOREVER200_BIND_TLS", &*bind),
        ("FOREVER200_CERTIFICATE", "/nowhere.pem"),
    ];
    let mut stack = Stack::spawn(Setup {
        variables: &variables,
        ..Setup::default()
    })?;
    stack.until_ended().await?;
    ensure!(
        stack
            .log()
            .contains("\nFOREVER200_CERTIFICATE: cannot read /nowhere.pem\n"),
        "{}",
        stack.log()
    );
    Ok(())
}

/// As docs/haproxy.md says for an edited file.
#[tokio::test]
async fn haproxy_cfg_is_checked_with_what_a_start_gives_it() -> anyhow::Result<()> {
    let run = tempfile::tempdir()?;
    let path = format!("{}:/usr/sbin", std::env::var("PATH")?);
    for (tls, certificate, verdict) in [
        ("", "", "Configuration file is valid"),
        (":8443", "", "Configuration file is valid"),
        (
            ":8443",
            "/nowhere.pem",
            "FOREVER200_CERTIFICATE: cannot read /nowhere.pem",
        ),
    ] {
        let mut check = Command::new(project().join("supervisor/haproxy"));
        check.args(["-c", "-V"]);
        check.env("PATH", &path).env("FOREVER200_RUN", run.path());
        check.env("FOREVER200_BIND_TLS", tls);
        check.env("FOREVER200_CERTIFICATE", certificate);
        let output = check.output().await?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(said.trim_end(), verdict, "{tls} {certificate}");
    }
    Ok(())
}

/// A running haproxy reads its certificate again when it loads an edited file.
#[tokio::test]
async fn a_check_leaves_alone_what_a_running_haproxy_reads() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (run, theirs) = (folder.path().join("run"), folder.path().join("theirs"));
    std::fs::create_dir(&run)?;
    std::fs::create_dir(&theirs)?;
    let off: [(&str, &Path); 0] = [];
    let own = certificate(&theirs, &off)
        .await?
        .map_err(anyhow::Error::msg)?;
    let own = std::fs::read_to_string(own)?;
    let (certified, key) = own.split_once("-----BEGIN PRIVATE").context("no key")?;
    std::fs::write(theirs.join("tls.crt"), certified)?;
    std::fs::write(theirs.join("tls.key"), format!("-----BEGIN PRIVATE{key}"))?;
    let given = run.join("given.pem");
    std::fs::write(&given, "what is read")?;
    let theirs_said = theirs.display().to_string();
    let no_key =
        format!("FOREVER200_CERTIFICATE: there is no key without a passphrase in {theirs_said}");
    let valid = "Configuration file is valid".to_owned();
    let path = format!("{}:/usr/sbin", std::env::var("PATH")?);
    for (is_whole, certificate, verdict) in [
        (true, "", &valid),
        (true, &*theirs_said, &valid),
        (false, &*theirs_said, &no_key),
    ] {
        if !is_whole {
            std::fs::write(theirs.join("tls.key"), "")?;
        }
        let mut check = Command::new(project().join("supervisor/haproxy"));
        check.args(["-c", "-V"]).env_remove("FOREVER200_HISTORY");
        check.env("PATH", &path).env("FOREVER200_RUN", &run);
        check.env("FOREVER200_BIND_TLS", ":8443");
        check.env("FOREVER200_CERTIFICATE", certificate);
        let output = check.output().await?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(said.trim_end(), verdict, "{certificate}");
        assert_eq!(std::fs::read_to_string(&given)?, "what is read");
        assert_eq!(std::fs::read_dir(&run)?.count(), 1, "a leftover");
    }
    // A start whose certificate is refused leaves nothing behind either.
    let refused = [("FOREVER200_CERTIFICATE", &*theirs)];
    assert_eq!(certificate(&run, &refused).await?, Err(no_key));
    assert_eq!(std::fs::read_to_string(&given)?, "what is read");
    assert_eq!(std::fs::read_dir(&run)?.count(), 1, "a leftover");
    Ok(())
}

/// As the comment in `defaults base` of haproxy.cfg says.
#[tokio::test(flavor = "multi_thread")]
async fn lines_of_the_log_do_not_come_between_those_for_the_responder() -> anyhow::Result<()> {
    let cfg = "haproxy/haproxy.cfg";
    let edits = [
        (cfg, "#log stdout", "log stdout"),
        (cfg, "#option tcplog", "option tcplog"),
        (cfg, "    log-format \"tls\"\n", ""),
        (cfg, "set-log-level silent\n", "set-log-level info\n"),
    ];
    let ended = Ended::start_as(&[], &edits).await?;
    for number in [1, 3, 5] {
        ended.stack.send(b"GET /x HTTP/1.1\r\n\r\n").await?;
        ended.newest(number).await?;
        let reply = ended.run("curl", "curl -isk https://ADDRESS/x").await?;
        assert_eq!(reply.as_bytes(), RESPONSE);
        let request = ended.newest(number + 1).await?;
        ensure!(is_ja4(&request["tls"]["ja4"], "t13i"), "{request}");
    }
    ended.run("curl", "curl -s https://ADDRESS/").await?;
    let request = ended.newest(7).await?;
    assert_eq!(request["tls"]["failed"], "tlsv1 alert unknown ca");
    until("there is a line for each connection", || async {
        let log = ended.stack.log();
        let lines = log.matches(" front~ responder/responder ").count();
        (lines == 3 && log.contains(" front responder/responder ")).then_some(())
    })
    .await
    .with_context(|| ended.stack.log())?;
    let log = ended.stack.log();
    ensure!(!log.contains("tls hello"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_keeps_what_was_ended() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let history = folder.path().to_str().context("an odd name")?.to_owned();
    let ended = Ended::start_with(&[("FOREVER200_HISTORY", &history)]).await?;
    for name in ["a.example", "b.example"] {
        let line = format!("curl -sk --connect-to {name}:443:ADDRESS https://{name}/ -H Host:");
        ended.run("curl", &line).await?;
    }
    ended.run("curl", "curl -s https://ADDRESS/").await?;
    ended.newest(3).await?;
    // More requests than the ring holds.
    for number in 0..110_u64 {
        exchange(ended.stack.front(), b"GET /x HTTP/1.1\r\n\r\n").await?;
        ended.stack.until_recorded(4 + number).await?;
    }
    let found = async |query: &str| {
        let path = format!("/home/api/history?{query}");
        let page = get_json(ended.stack.front(), &path).await.ok()?;
        page["requests"].as_array().cloned()
    };
    let old = until("the history has them", || async {
        found("tls=on").await.filter(|it| it.len() == 2)
    })
    .await?;
    for (request, name) in old.iter().zip(["b.example", "a.example"]) {
        let tls = &request["tls"];
        assert_eq!(
            (&tls["sni"], &request["asked_for"]["name"]),
            (&json!(name), &json!(name))
        );
        ensure!(
            is_ja4(&tls["ja4"], "t13d") && tls["version"] == "TLS 1.3",
            "{request}"
        );
        let ja4 = tls["ja4"].as_str().unwrap_or_default();
        assert_eq!(
            found(&format!("ja4={ja4}&host={name}"))
                .await
                .map(|it| it.len()),
            Some(1)
        );
        let page = get(
            ended.stack.front(),
            &format!("/home/requests/{}", request["seq"]),
        )
        .await?;
        ensure!(
            page.text()
                .contains("<dt>Agreed on</dt><dd>TLS 1.3, TLS_AES_")
        );
    }
    let failed = found("tls=failed").await.context("no history")?;
    ensure!(
        failed.len() == 1 && failed[0]["tls"]["failed"] == "tlsv1 alert unknown ca",
        "{failed:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_offered_where_the_comments_are_removed() -> anyhow::Result<()> {
    let cfg = "haproxy/haproxy.cfg";
    let is_h2 = "{ var(txn.switches) -m bool }";
    let mode = format!("tcp-request content set-var(sess.mode) str(http) if {is_h2}");
    let switch = format!("tcp-request content switch-mode http proto h2 if {is_h2}");
    let switches = "tcp-request content set-var(txn.switches) bool(true)";
    let comments = [switches, &mode, &switch].map(|line| (format!("#{line}"), line));
    let mut edits = vec![(cfg, " alpn http/1.1", " alpn h2,http/1.1")];
    edits.extend(comments.iter().map(|(old, new)| (cfg, &**old, *new)));
    let ended = Ended::start_as(&[], &edits).await?;
    let line = "curl -sk --http2 https://ADDRESS/Odd https://ADDRESS/home/health https://ADDRESS/again \
        -H 'X-Odd: Two' -o /dev/null -o /dev/null -o /dev/null -w '%{http_version} %{http_code} %{size_download},'";
    let printed = ended.run("curl", line).await?;
    ensure!(printed.starts_with("2 200 0,2 200 "), "{printed}");
    ensure!(!printed.contains("2 200 0,2 200 0,"), "{printed}");
    let list = ended.stack.until_recorded(2).await?;
    for (number, target) in ["/again", "/Odd"].into_iter().enumerate() {
        let request = &list["requests"][number];
        assert_eq!(
            (&request["via"], &request["http"]["target"]),
            (&json!("http"), &json!(target))
        );
        ensure!(is_ja4(&request["tls"]["ja4"], "t13i"), "{request}");
    }
    assert_eq!(list["total"], 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_names_are_hidden_in_tls_too() -> anyhow::Result<()> {
    let variables = [
        ("FOREVER200_HIDE", "honeypot.example"),
        ("FOREVER200_MASK_SOURCES", "on"),
    ];
    let ended = Ended::start_with(&variables).await?;
    ended
        .run(
            "openssl",
            "openssl s_client -connect ADDRESS -servername www.honeypot.example >/dev/null 2>&1",
        )
        .await?;
    ended.newest(1).await?;
    ended
        .run(
            "curl",
            "curl -sk --connect-to honeypot.example:443:ADDRESS https://honeypot.example/",
        )
        .await?;
    ended.newest(2).await?;
    ended
        .run(
            "curl",
            "curl -s --connect-to honeypot.example:443:ADDRESS https://honeypot.example/",
        )
        .await?;
    ended.newest(3).await?;
    for path in [
        "/home",
        "/home/text",
        "/home/requests/1",
        "/home/requests/2",
        "/home/requests/3",
        "/home/export.ndjson",
        "/home/api/requests?raw=on",
    ] {
        let shown = get(ended.stack.front(), path).await?.text();
        ensure!(
            !shown.contains("honeypot") && !shown.contains("aG9uZXlwb3Q"),
            "{path}: {shown}"
        );
    }
    Ok(())
}

/// Tells whether haproxy closes a connection without looking at it. Otherwise its bytes are
/// answered when no more of a hello comes.
async fn is_refused(stream: &mut TcpStream) -> bool {
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    reply.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shares_of_sources_hold_and_the_other_port_has_room() -> anyhow::Result<()> {
    // A sixteenth of 160 is 10, and three eighths are 60.
    let ended = Ended::start_with(&[("FOREVER200_MAX_CONNECTIONS", "160")]).await?;
    let open = async |source: [u8; 4], to| {
        let mut stream = connect_from(source.into(), to).await?;
        stream.write_all(b"\x16\x03\x01").await?;
        anyhow::Ok(stream)
    };
    let current = async || {
        let csv = ended.stack.haproxy("show stat tls 1 -1").await.ok()?;
        let current = csv.lines().nth(1)?.split(',').nth(4)?;
        current.parse::<usize>().ok()
    };
    let mut held = Vec::new();
    for source in 1..=6 {
        for _ in 0..10 {
            held.push(open([127, 62, 0, source], ended.address).await?);
        }
        // Ten at a time. All at once is too many, because haproxy's threads accept side by side.
        // One by one takes too long on a busy machine, because haproxy ends the first after some
        // seconds.
        until("they are accepted", || async {
            current().await.filter(|&count| count == held.len())
        })
        .await?;
    }
    // The share of source 1 is used up, on the other port too. And three eighths of all connections
    // are used up.
    for (source, to) in [
        (1, ended.address),
        (1, ended.stack.front()),
        (7, ended.address),
    ] {
        let mut stream = open([127, 62, 0, source], to).await?;
        ensure!(is_refused(&mut stream).await, "{source} at {to}");
    }
    let request = b"GET /x HTTP/1.1\r\n\r\n";
    let reply = exchange_from([127, 62, 0, 7].into(), ended.stack.front(), request).await?;
    assert_eq!(reply, RESPONSE);
    drop(held);
    until("there is room again", || async {
        let reply = exchange_from([127, 62, 0, 1].into(), ended.address, request).await;
        reply.ok().filter(|reply| reply == RESPONSE)
    })
    .await?;
    Ok(())
}

/// Sends requests while forty visitors open the page and send one request by TLS; the first visitor
/// has this number. Returns the requests, and the sorted times that the page took.
async fn visited(
    ended: &Ended,
    paths: &str,
    first: u8,
) -> anyhow::Result<(Attempts, Vec<Duration>)> {
    let load = Load::start(ended.stack.front(), paths, STEADY);
    let mut pages = Vec::new();
    for number in first..first + 40 {
        let begun = tokio::time::Instant::now();
        let source = Ipv4Addr::new(127, 61, 0, number);
        let request = b"GET /home HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let page = exchange_from(source, ended.stack.front(), request).await?;
        ensure!(page.starts_with(b"HTTP/1.1 200"), "{}", page.escape_ascii());
        pages.push(begun.elapsed());
        let https = format!("curl -sk --interface {source} https://ADDRESS/among");
        let reply = ended
            .run("curl", &format!("{https} -w '%{{http_code}}'"))
            .await?;
        assert_eq!(reply, "200");
    }
    let attempts = load.stop().await?;
    assert_eq!(attempts.failed(), 0);
    pages.sort_unstable();
    Ok((attempts, pages))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_half_handshakes_delay_nobody() -> anyhow::Result<()> {
    raise_file_limit();
    let ended = Ended::start().await?;
    // The times without the half handshakes, because the machine may be busy.
    let (quiet, _) = visited(&ended, "before", 1).await?;
    let before = quiet.latency(0.99);
    let hello = hello_for("half.example");
    let mut held = Vec::new();
    for number in 0..2000_u32 {
        let source = Ipv4Addr::from_bits(Ipv4Addr::new(127, 60, 0, 1).to_bits() + number);
        let mut stream = connect_from(source, ended.address).await?;
        // Some handshakes stop in the hello, the others after it.
        let sent = if number % 4 == 0 {
            &hello[..hello.len() / 2]
        } else {
            &hello[..]
        };
        stream.write_all(sent).await?;
        held.push(stream);
    }
    // Wait until the server has answered, which costs as much as for any handshake. These clients
    // send nothing more.
    for (number, stream) in held.iter_mut().enumerate() {
        if number % 4 != 0 {
            stream.read_u8().await?;
        }
    }
    let (attempts, pages) = visited(&ended, "beside", 101).await?;
    let beside = attempts.latency(0.99);
    ensure!(
        beside < ON_TIME.max(before * 4),
        "{beside:?}, and {before:?} without them"
    );
    println!(
        "half handshakes: /x {:?} / {:?}, the page {:?} / {:?}",
        attempts.latency(0.5),
        attempts.latency(0.99),
        pages[20],
        pages[39]
    );
    // All of these connections are closed, and all are recorded.
    for mut stream in held {
        let mut rest = Vec::new();
        // With or without a reset. haproxy may still send an alert.
        let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut rest))
            .await
            .context("held for long")?;
    }
    let total = async || {
        let list = get_json(ended.stack.front(), "/home/api/requests")
            .await
            .ok()?;
        list["total"].as_u64()
    };
    let least = 2000 + (quiet.0.len() + attempts.0.len()) as u64 + 80;
    until("all are recorded", || async {
        total().await.filter(|&total| total >= least)
    })
    .await?;
    assert_eq!(total().await, Some(least));
    Ok(())
}
