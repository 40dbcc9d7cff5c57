//! Nothing that strangers send is ever active on a page. Needs Chromium: `make test-browser`.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use anyhow::{Context, ensure};
use forever200_testkit::browser::{Browser, LAPTOP, PHONE};
use forever200_testkit::{Stack, exchange_from, get_json, payloads, until};

use super::page::{with_history, without_motion};

type Payload = (&'static str, Vec<u8>);

/// A request, its payloads, and whether its own page is opened. Lists show all requests.
#[derive(Clone)]
struct Made {
    of: Vec<Payload>,
    is_opened: bool,
    bytes: Vec<u8>,
}

/// A request that was sent, and is in the ring.
struct Sent {
    seq: u64,
    made: Made,
}

/// Payloads in one batch. Each is in two requests, and in a third one together with others. All of
/// these fit into the ring, with room for the /favicon.ico that a browser requests when it shows
/// text or JSON.
const BATCH: usize = 42;

/// Number of short payloads that share a request whose page is opened. Opening a page takes a tenth
/// of a second.
const TOGETHER: usize = 6;
/// Longest short payload, in bytes. A longer one, or one of several lines, has a page for itself.
const SHORT: usize = 200;

/// One of this many requests that consist of a payload alone has its page opened. That page shows
/// only bytes, which the page of an HTTP request shows too.
const RAW_PAGES: usize = 4;

/// Characters that a page must not contain unescaped, as a JavaScript regular expression.
const INVISIBLE: &str = r"[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff]|[\u{e0000}-\u{e0fff}]";

/// Returns the requests of a batch: for each payload an HTTP request with the payload in all
/// places, and a request that is the payload; and HTTP requests that several payloads share.
fn requests_of(batch: &[Payload]) -> Vec<Made> {
    let is_short = |payload: &Payload| {
        payload.1.len() <= SHORT && !payload.1.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
    };
    let (short, long): (Vec<_>, Vec<_>) = batch.iter().cloned().partition(is_short);
    let everywhere = |of: &[Payload], is_opened| Made {
        of: of.to_vec(),
        is_opened,
        bytes: with_everywhere(of),
    };
    let raw = |(number, payload): (usize, &Payload)| Made {
        of: vec![payload.clone()],
        is_opened: number % RAW_PAGES == 0,
        bytes: [b"\x01", &payload.1[..]].concat(),
    };
    let shared = short.chunks(TOGETHER).map(|some| everywhere(some, true));
    let of_long = long.chunks(1).map(|one| everywhere(one, true));
    let of_short = short.chunks(1).map(|one| everywhere(one, false));
    let all = shared.chain(of_long).chain(of_short);
    all.chain(batch.iter().enumerate().map(raw)).collect()
}

/// Returns an HTTP request with each payload in its path, query, headers and body.
fn with_everywhere(payloads: &[Payload]) -> Vec<u8> {
    let joined = |between: &[u8], form: fn(&[u8]) -> Vec<u8>| {
        let each: Vec<_> = payloads.iter().map(|(_, bytes)| form(bytes)).collect();
        each.join(between)
    };
    let path = joined(b"/", <[u8]>::to_vec);
    let query = joined(b"&", |bytes| [bytes, b"=", bytes].concat());
    let headers = joined(b"", |bytes| {
        [bytes, b": x\r\nX-Value: ", bytes, b"\r\n"].concat()
    });
    let body = joined(b"&", <[u8]>::to_vec);
    let kind = b"Content-Type: application/x-www-form-urlencoded\r\n";
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    let head = [
        b"POST /p/",
        &path[..],
        b"?",
        &query,
        b" HTTP/1.1\r\n",
        &headers,
    ]
    .concat();
    [&head, &kind[..], length.as_bytes(), &body].concat()
}

/// Fails if anything was active since the last check.
async fn calm(browser: &Browser, origin: &str, what: &str) -> anyhow::Result<()> {
    let log = browser.log().await?;
    ensure!(
        log.is_empty(),
        "{what}: {log:?} at {}",
        browser.client.current_url().await?
    );
    for address in browser.requested().await? {
        ensure!(address.starts_with(origin), "{what}: asked for {address}");
    }
    let script = format!(
        "return document.documentElement.textContent.match(/{INVISIBLE}/u)?.[0].codePointAt(0) ?? null"
    );
    let found = browser.run(&script).await?;
    ensure!(
        found.is_null(),
        "{what}: shows U+{:04x}",
        found.as_u64().unwrap_or_default()
    );
    Ok(())
}

/// Sends a batch of payloads at once, each request from an address of its own.
async fn send(stack: &Stack, batch: &[Payload], before: u64) -> anyhow::Result<Vec<Sent>> {
    let front = stack.front();
    let (mut sending, mut by_source) = (Vec::new(), HashMap::new());
    for (number, made) in (1..).zip(requests_of(batch)) {
        let client = Ipv4Addr::new(127, 88, 99, number);
        by_source.insert(client.to_string(), made.clone());
        sending.push(tokio::spawn(async move {
            exchange_from(client, front, &made.bytes).await
        }));
    }
    for sent in sending {
        sent.await??;
    }
    until("all are in the ring", || async {
        let list = get_json(front, "/home/api/requests").await.ok()?;
        let new = list["requests"]
            .as_array()?
            .iter()
            .filter(|request| request["seq"].as_u64() > Some(before));
        // A browser may have sent requests too.
        let ours = new.filter_map(|new| {
            let made = by_source.get(new["src_ip"].as_str()?)?.clone();
            let seq = new["seq"].as_u64()?;
            Some(Sent { seq, made })
        });
        Some(ours.collect::<Vec<_>>()).filter(|ours| ours.len() == by_source.len())
    })
    .await
}

/// Returns the address at which the request on this page is explained; `None` when the request is
/// too long for an address.
async fn explanation(browser: &Browser) -> anyhow::Result<Option<String>> {
    let link = "return document.querySelector('a[href^=\"/home/explain?b64\"]')?.href ?? null";
    let link = browser.run(link).await?;
    Ok(link.as_str().map(str::to_owned))
}

/// Returns the address of a search for a payload in a list.
fn search(origin: &str, list: &str, payload: &[u8]) -> anyhow::Result<String> {
    let mut address = url::Url::parse(&format!("{origin}{list}"))?;
    // haproxy answers an address beyond its buffer with 400.
    let text = String::from_utf8_lossy(&payload[..payload.len().min(1500)]);
    address.query_pairs_mut().append_pair("q", &text);
    Ok(address.into())
}

/// Fails if the page of a request does not show printable payloads as they are.
async fn shows_plain(browser: &Browser, made: &Made) -> anyhow::Result<()> {
    let shown = browser
        .run("return document.querySelector('#raw + pre').textContent")
        .await?;
    let shown = shown.as_str().unwrap_or_default();
    for (name, payload) in &made.of {
        let is_plain = payload.iter().all(|byte| matches!(byte, b' '..=b'~'));
        let text = std::str::from_utf8(payload).unwrap_or_default();
        ensure!(
            !is_plain || shown.contains(text),
            "{name}: {text} is not in {shown}"
        );
    }
    Ok(())
}

/// Visits every page and export that shows a batch of payloads.
async fn visit(browser: &Browser, stack: &Stack, requests: &[Sent]) -> anyhow::Result<()> {
    let origin = format!("http://{}/", stack.front());
    for path in [
        "home",
        "home/text",
        "home/api/requests?raw=true",
        "home?protocol=unknown",
        "home?view=wall",
        "home/history",
        "home/collection?sort=new",
        "home/sources?sort=new",
        "home/new.atom",
    ] {
        browser.open(&format!("{origin}{path}")).await?;
        calm(browser, &origin, path).await?;
    }
    for (number, sent) in requests
        .iter()
        .filter(|sent| sent.made.is_opened)
        .enumerate()
    {
        let names: Vec<_> = sent.made.of.iter().map(|(name, _)| *name).collect();
        let name = names.join(", ");
        browser
            .open(&format!("{origin}home/requests/{}", sent.seq))
            .await
            .context(name.clone())?;
        calm(browser, &origin, &name).await?;
        shows_plain(browser, &sent.made).await?;
        // The payloads once more, explained or searched for.
        let payloads: Vec<_> = sent.made.of.iter().map(|(_, bytes)| &bytes[..]).collect();
        let payloads = payloads.join(&b' ');
        let address = match number % 4 {
            0 | 1 => explanation(browser).await?,
            2 => Some(search(&origin, "home", &payloads)?),
            _ => Some(search(&origin, "home/labels", &payloads)?),
        };
        if let Some(address) = address {
            browser.open(&address).await.context(name.clone())?;
            calm(browser, &origin, &name).await?;
        }
    }
    // The page of a kind, whose title contains sent text where there is no label, and the page of a
    // source.
    if let Some(Sent { seq, .. }) = requests.first() {
        let json = get_json(stack.front(), &format!("/home/api/requests/{seq}")).await?;
        for (page, name) in [("collection", "kind"), ("sources", "src_ip")] {
            let name = json[name].as_str().context("no name")?;
            browser.open(&format!("{origin}home/{page}/{name}")).await?;
            calm(browser, &origin, page).await?;
        }
    }
    // A page that was downloaded is opened from a file.
    let newest = requests.iter().map(|sent| sent.seq).max().unwrap_or(1);
    for path in [
        "/home/export.html".to_owned(),
        format!("/home/requests/{newest}/html"),
    ] {
        let file = tempfile::Builder::new().suffix(".html").tempfile()?;
        std::fs::write(file.path(), stack.get(&path).await?.body)?;
        browser
            .open(&format!("file://{}", file.path().display()))
            .await?;
        calm(browser, "file://", &path).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn nothing_that_is_sent_is_ever_active_1_of_2() -> anyhow::Result<()> {
    half_is_never_active(0).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn nothing_that_is_sent_is_ever_active_2_of_2() -> anyhow::Result<()> {
    half_is_never_active(1).await
}

/// Sends every second payload. Two tests share the payloads, one for each of two processors.
async fn half_is_never_active(half: usize) -> anyhow::Result<()> {
    let history = tempfile::tempdir()?;
    let stack = with_history(&history).await?;
    let browser = Browser::start(LAPTOP).await?;
    let payloads = payloads::payloads();
    assert!(payloads.len() >= 150, "{}", payloads.len());
    let payloads: Vec<_> = payloads.into_iter().skip(half).step_by(2).collect();
    // A browser follows the list while all of it comes in.
    let watching = Browser::start(without_motion(PHONE)).await?;
    let wall = Browser::start(without_motion(LAPTOP)).await?;
    let origin = format!("http://{}/", stack.front());
    watching.open(&format!("{origin}home")).await?;
    wall.follow(&format!("{origin}home?view=wall")).await?;
    let mut newest = 0;
    for batch in payloads.chunks(BATCH) {
        let requests = send(&stack, batch, newest).await?;
        newest = requests
            .iter()
            .map(|sent| sent.seq)
            .max()
            .context("a batch")?;
        visit(&browser, &stack, &requests).await?;
        let has_newest = format!("document.getElementById('r{newest}') !== null");
        watching
            .until("the page that follows has them", &has_newest)
            .await?;
        calm(&watching, &origin, "the page that follows").await?;
        calm(&wall, &origin, "the wall").await?;
    }
    Ok(())
}
