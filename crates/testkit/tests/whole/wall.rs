//! The wall: what a projector shows, and how requests come in. Most tests need Chromium: `make
//! test-browser`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use fantoccini::Locator;
use forever200_testkit::browser::{Browser, LAPTOP, Visitor};
use forever200_testkit::events::Events;
use forever200_testkit::{Stack, exchange, until};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// A common request, with a label.
const OFTEN: &[u8] = b"GET /.env HTTP/1.1\r\nHost: x\r\n\r\n";
const RARE: &[u8] = b"GET /nothing-else-is-like-it HTTP/1.1\r\nHost: x\r\n\r\n";
/// Resolutions of projectors, new and old.
const SCREENS: [(u32, u32); 4] = [(1920, 1080), (1280, 720), (1280, 800), (1024, 768)];

/// Requests that come in at a rate until this is dropped.
struct Traffic(JoinHandle<()>);

impl Traffic {
    fn start(front: SocketAddr, a_second: u32) -> Self {
        Self(tokio::spawn(async move {
            let begun = Instant::now();
            for number in 0.. {
                sleep_until(begun + Duration::from_secs(1) / a_second * number).await;
                let _ = exchange(front, OFTEN).await;
            }
        }))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a stack with some requests. Returns it and the address of its wall.
async fn stack_of(requests: u64) -> anyhow::Result<(Stack, String)> {
    let stack = Stack::start().await?;
    for _ in 0..requests {
        stack.send(OFTEN).await?;
    }
    stack.until_recorded(requests).await?;
    let address = format!("http://{}/home?view=wall", stack.front());
    Ok((stack, address))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wall_is_a_view_of_the_list() -> anyhow::Result<()> {
    let (stack, _) = stack_of(2).await?;
    stack.send(RARE).await?;
    stack.until_recorded(3).await?;
    let wall = stack.get("/home?view=wall").await?.text();
    ensure!(wall.matches("<li id=\"w").count() == 3, "{wall}");
    // The link back to the list is the only link.
    ensure!(wall.matches("<a ").count() == 1, "{wall}");
    let wall = stack.get("/home?view=wall&category=secrets").await?.text();
    ensure!(wall.matches("<li id=\"w").count() == 2, "{wall}");
    ensure!(wall.contains("href=\"/home?category=secrets\""), "{wall}");
    let list = stack.get("/home?view=&method=GET").await?;
    ensure!(list.text().contains("id=\"requests\""));
    for query in ["view=floor", "view=wall&view=wall", "view=wall&as=here"] {
        let refused = stack.get(&format!("/home?{query}")).await?;
        let name = if query.contains("as=") { "as:" } else { "view" };
        ensure!(
            refused.status == 400 && refused.text().contains(name),
            "{query}: {}",
            refused.text()
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_is_told_of_one_request_a_second() -> anyhow::Result<()> {
    let (stack, _) = stack_of(1).await?;
    let _traffic = Traffic::start(stack.front(), 20);
    let mut events = Events::open(stack.front(), "/home/events?format=wall", "").await?;
    let first = events.next("row").await?.context("the end")?;
    ensure!(first.data.starts_with("<li id=\"w"), "{}", first.data);
    let begun = Instant::now();
    for _ in 0..3 {
        events.next("row").await?.context("the end")?;
        // The numbers at the top come too, however many rows there are.
        events.next("strip").await?.context("the end")?;
    }
    let took = begun.elapsed();
    ensure!(took >= Duration::from_millis(2900), "3 rows in {took:?}");
    Ok(())
}

/// A script that notes the rows that come in.
const WATCH: &str = "window.came = [];
    new MutationObserver((changes) => {
        for (const { addedNodes } of changes) for (const row of addedNodes) came.push([performance.now(), row.innerText]);
    }).observe(document.querySelector('#wall'), { childList: true });";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn twenty_a_second_come_in_one_a_second() -> anyhow::Result<()> {
    let (stack, address) = stack_of(30).await?;
    let browser = Browser::start(LAPTOP).await?;
    browser.resize(1920, 1080, 1).await?;
    browser.follow(&address).await?;
    browser.run(WATCH).await?;
    let _traffic = Traffic::start(stack.front(), 20);
    sleep(Duration::from_secs(8)).await;
    let came: Vec<(f64, String)> = serde_json::from_value(browser.run("return came").await?)?;
    ensure!((5..=9).contains(&came.len()), "{} in 8 s", came.len());
    for pair in came.windows(2) {
        let gap = pair[1].0 - pair[0].0;
        ensure!(gap >= 995.0, "{gap} ms between two rows");
    }
    let links =
        browser.run("return document.querySelectorAll('#wall a, #wall button, #strip a').length");
    assert_eq!(links.await?, 0);
    let log = browser.log().await?;
    ensure!(log.is_empty(), "{log:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn the_rarest_comes_first_and_the_newest_stands_at_the_top() -> anyhow::Result<()> {
    let (stack, address) = stack_of(30).await?;
    let browser = Browser::start(LAPTOP).await?;
    browser.follow(&address).await?;
    browser.run(WATCH).await?;
    // The first row comes in at once. The other requests come within the next second, in which no
    // row comes in.
    for number in 0..12 {
        stack.send(if number == 6 { RARE } else { OFTEN }).await?;
    }
    browser.until("some came in", "came.length >= 4").await?;
    let came: Vec<(f64, String)> = serde_json::from_value(browser.run("return came").await?)?;
    let at = came
        .iter()
        .position(|(_, text)| text.contains("nothing-else"));
    // A row may have come in between two of the requests.
    ensure!(at.is_some_and(|at| at <= 2), "{came:?}");
    let times = "return [...document.querySelectorAll('#wall time')].map((time) => time.dateTime.slice(0, 19))";
    let times: Vec<String> = serde_json::from_value(browser.run(times).await?)?;
    ensure!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn one_screen_holds_whole_rows_and_does_not_scroll() -> anyhow::Result<()> {
    let (stack, address) = stack_of(60).await?;
    stack
        .send(&[b"GET /", &[b'w'; 3000][..], b" HTTP/1.1\r\n\r\n"].concat())
        .await?;
    let browser = Browser::start(Visitor {
        dark: true,
        ..LAPTOP
    })
    .await?;
    for (width, height) in SCREENS {
        browser.resize(width, height, 1).await?;
        browser.follow(&address).await?;
        let sizes = "const page = document.documentElement;
            const list = document.querySelector('#wall').getBoundingClientRect();
            const places = [...document.querySelectorAll('#wall li')].map((row) => row.getBoundingClientRect());
            const isIn = (row) => row.left < list.right && row.top < list.bottom;
            const isCut = (row) => isIn(row) && (row.bottom > list.bottom + 1 || row.right > list.right + 1);
            return [page.scrollWidth - innerWidth, page.scrollHeight - innerHeight, places.filter(isCut).length,
                places.filter(isIn).length, parseFloat(getComputedStyle(document.querySelector('.title')).fontSize)]";
        let sizes: Vec<f64> = serde_json::from_value(browser.run(sizes).await?)?;
        let what = format!("{width}x{height}: {sizes:?}");
        ensure!(sizes[..3] == [0.0, 0.0, 0.0], "{what}");
        ensure!(sizes[3] >= 7.0, "{what}");
        // For a screen that is 1.5 m high and ten metres away, letters must be 4 cm high.
        ensure!(
            sizes[4] >= f64::from(height.min(width * 9 / 16)) * 0.036,
            "{what}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn escape_and_one_link_lead_back_to_the_list() -> anyhow::Result<()> {
    let (stack, address) = stack_of(1).await?;
    let browser = Browser::start(LAPTOP).await?;
    let press = |key: &'static str| async {
        let focused = browser.client.active_element().await?;
        focused.send_keys(key).await.map_err(anyhow::Error::from)
    };
    let is_back = "location.pathname + location.search === '/home?method=GET'";
    browser.follow(&format!("{address}&method=GET")).await?;
    press("\u{e00c}").await?;
    browser.until("Escape leads back", is_back).await?;
    // From the list to the wall, and back by the wall's link.
    let wall = browser.client.find(Locator::LinkText("Wall")).await?;
    wall.click().await?;
    browser
        .until("the wall", "location.search.endsWith('view=wall')")
        .await?;
    press("\u{e004}").await?;
    assert_eq!(
        browser.run("return document.activeElement.id").await?,
        "back"
    );
    press("\u{e007}").await?;
    browser.until("the link leads back", is_back).await?;
    drop(stack);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn without_javascript_the_wall_loads_itself_anew() -> anyhow::Result<()> {
    let (stack, address) = stack_of(1).await?;
    let browser = Browser::start(Visitor {
        javascript: false,
        ..LAPTOP
    })
    .await?;
    browser.open(&address).await?;
    stack.send(RARE).await?;
    until("the new row is there", || async {
        let rows = browser
            .client
            .find_all(Locator::Css("#wall li"))
            .await
            .ok()?;
        (rows.len() == 2).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_wall_that_nobody_sees_counts_and_one_cut_off_goes_on() -> anyhow::Result<()> {
    let (stack, address) = stack_of(1).await?;
    let browser = Browser::start(LAPTOP).await?;
    browser.follow(&address).await?;
    let hide = "Object.defineProperty(document, 'hidden', { configurable: true, get: () => window.isHidden });
        window.isHidden = true; live.follow()";
    browser.run(hide).await?;
    stack.send(RARE).await?;
    stack.until_recorded(2).await?;
    browser.run("live.countHidden()").await?;
    browser
        .until("the title counts", "document.title.startsWith('(1) Wall')")
        .await?;
    browser
        .run("window.isHidden = false; live.follow()")
        .await?;
    browser
        .until("it catches up", "document.getElementById('w2') !== null")
        .await?;
    assert_eq!(
        browser.run("return document.title").await?,
        Value::from("Wall · forever200")
    );
    stack.kill("viewer").await?;
    stack.send(OFTEN).await?;
    let goes_on = browser.until("it goes on", "document.getElementById('w3') !== null");
    timeout(Duration::from_secs(60), goes_on).await??;
    Ok(())
}
