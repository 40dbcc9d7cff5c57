//! The pages of the history show times in the visitor's own zone, and at a click in UTC, like the
//! list. Needs Chromium: `make test-browser`.

use anyhow::{Context, ensure};
use fantoccini::Locator;
use forever200_testkit::browser::{Browser, LAPTOP, PHONE, Visitor};
use forever200_testkit::stack::Setup;
use forever200_testkit::{Stack, get_json, until};
use serde_json::json;

/// A zone far from UTC, not by whole hours, and the same in summer and in winter.
const ZONE: &str = "Asia/Kolkata";
const ZONE_NAME: &str = "GMT+5:30";
const ZONE_MS: i64 = 19_800_000;
/// A script that returns the text of each visible time, and the same time in a zone that is this
/// many milliseconds from UTC.
const TOLD: &str = "return [...document.querySelectorAll('main time')]
    .filter((time) => time.checkVisibility())
    .map((time) => [time.innerText, new Date(Date.parse(time.dateTime) + MS).toISOString()])";

/// Starts a stack with a request in its history. Returns it, and the addresses of pages with its
/// time.
async fn with_history(folder: &tempfile::TempDir) -> anyhow::Result<(Stack, Vec<String>)> {
    let folder = folder.path().to_str().context("an odd path")?;
    let setup = Setup {
        variables: &[("FOREVER200_HISTORY", folder)],
        ..Setup::default()
    };
    let stack = Stack::start_as(setup).await?;
    stack.send(b"GET /.env HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let kind = until("it has a kind", || async {
        let collection = get_json(stack.front(), "/home/api/collection").await.ok()?;
        let kind = collection["kinds"][0]["kind"].as_str()?;
        Some(kind.to_owned())
    })
    .await?;
    let pages = [
        "/home/history",
        "/home/collection",
        "/home/sources",
        "/home/sources/127.0.0.1",
        "/home/requests/1",
        &format!("/home/collection/{kind}"),
    ];
    let pages = pages.map(|page| format!("http://{}{page}", stack.front()));
    Ok((stack, pages.into()))
}

/// Tells whether an RFC 3339 time has this time of day. It may have fewer digits after the second
/// than a page.
fn has_clock(time: &str, clock: &str) -> bool {
    let seconds = clock.split('.').next().unwrap_or(clock);
    time[11..].starts_with(seconds)
}

/// Fails unless every time of a page is in the zone that is `ms` milliseconds from UTC. Returns how
/// many times there are.
async fn all_told(browser: &Browser, page: &str, ms: i64) -> anyhow::Result<usize> {
    let told = browser.run(&TOLD.replace("MS", &ms.to_string())).await?;
    let told: Vec<(String, String)> = serde_json::from_value(told)?;
    for (text, time) in &told {
        let parts: Vec<_> = text.split(' ').collect();
        let days = parts.iter().filter(|part| part.contains('-'));
        let clocks = parts
            .iter()
            .filter(|part| part.contains(':') && !part.contains('+'));
        let right = days.clone().all(|day| time.starts_with(day))
            && clocks.clone().all(|clock| has_clock(time, clock));
        let count = days.count() + clocks.count();
        ensure!(right && count > 0, "{page}: {text} for {time}");
        let zone = if ms == 0 { "UTC" } else { ZONE_NAME };
        let named = parts
            .last()
            .filter(|part| part.starts_with(char::is_uppercase));
        ensure!(named.is_none_or(|named| *named == zone), "{page}: {text}");
    }
    Ok(told.len())
}

/// Clicks on one choice of time zone.
async fn choose(browser: &Browser, value: &str) -> anyhow::Result<()> {
    let choice = format!("[name=times][value={value}]");
    let choice = browser.client.find(Locator::Css(&choice)).await?;
    choice.click().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn times_of_the_history_are_the_visitors_and_in_utc_at_a_click() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (_stack, pages) = with_history(&folder).await?;
    let [history, collection, sources, source, request, kind] = &pages[..] else {
        anyhow::bail!("six pages")
    };
    for visitor in [LAPTOP, PHONE] {
        let browser = Browser::start(visitor).await?;
        let zone = json!({ "timezoneId": ZONE });
        browser
            .devtools("Emulation.setTimezoneOverride", zone)
            .await?;
        // Without a choice, times are in the visitor's zone, and its name is shown.
        for page in [history, collection, source] {
            browser.open(page).await?;
            ensure!(all_told(&browser, page, ZONE_MS).await? >= 2, "{page}");
            let text = browser.text().await?;
            ensure!(text.contains(ZONE_NAME), "{page}: {text}");
            choose(&browser, "utc").await?;
            ensure!(all_told(&browser, page, 0).await? >= 2, "{page}");
            choose(&browser, "local").await?;
            all_told(&browser, page, ZONE_MS).await?;
            browser.run("localStorage.clear()").await?;
        }
        // The page shows how long ago, as the list does, and the time.
        browser.open(sources).await?;
        let ago = browser.run("return document.querySelector('td.when:last-child time').innerText");
        let ago = ago.await?;
        ensure!(
            ago.as_str().is_some_and(|ago| ago.ends_with(" ago")),
            "{ago}"
        );
        for (value, ms) in [("local", ZONE_MS), ("utc", 0)] {
            choose(&browser, value).await?;
            // A phone has room only for the last time.
            ensure!(all_told(&browser, sources, ms).await? >= 1);
        }
        // The choice also holds on the other pages.
        for page in [history, collection, source] {
            browser.open(page).await?;
            all_told(&browser, page, 0).await?;
        }
        // The pages of a request and of a kind have times too.
        for (page, count) in [(request, 1), (kind, 2)] {
            browser.open(page).await?;
            ensure!(all_told(&browser, page, 0).await? >= count, "{page}");
            let here =
                "return [...document.querySelectorAll('.here')].map((here) => here.innerText)";
            let here: Vec<String> = serde_json::from_value(browser.run(here).await?)?;
            ensure!(
                here.iter().filter(|here| here.ends_with(ZONE_NAME)).count() >= count,
                "{here:?}"
            );
        }
        let log = browser.log().await?;
        ensure!(log.is_empty(), "{log:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn without_javascript_times_of_the_history_are_in_utc() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (_stack, pages) = with_history(&folder).await?;
    let visitor = Visitor {
        javascript: false,
        ..LAPTOP
    };
    let browser = Browser::start(visitor).await?;
    for page in &pages {
        browser.open(page).await?;
        let is_ago = page.ends_with("/sources");
        if is_ago {
            choose(&browser, "utc").await?;
        }
        let times = browser.client.find_all(Locator::Css("main time")).await?;
        ensure!(!times.is_empty(), "{page}");
        for time in times {
            let (text, when) = (time.text().await?, time.attr("datetime").await?);
            let when = when.context("no time")?;
            let clock = text.split(' ').find(|part| part.contains(':'));
            let is_right = clock.is_none_or(|clock| has_clock(&when, clock));
            ensure!(
                is_right && !text.contains("ago"),
                "{page}: {text} for {when}"
            );
        }
        let offered = browser
            .client
            .find_all(Locator::Css("[name=times]"))
            .await?;
        for choice in offered {
            let value = choice.attr("value").await?.unwrap_or_default();
            ensure!(value != "local" || !choice.is_displayed().await?, "{page}");
        }
    }
    Ok(())
}
