//! How many sensors saw a kind. A sensor's page shows what its hub tells, and nobody else can tell
//! it.

use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::{Client, Subscriber};
use forever200_fleet::sensor::ALL_KINDS;
use forever200_ring::HubCounts;
use forever200_testkit::{get_json, until};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::open::Open;
use crate::site::{Fleet, Site, publish_first, record, sensor};

/// Two kinds. Both sensors see the first one; only the first sensor sees the second one.
const BOTH: (&str, &[u8]) = ("dotenv-file", b"GET /.env HTTP/1.1\r\nHost: x\r\n\r\n");
const ALONE: (&str, &[u8]) = (
    "git-folder",
    b"GET /.git/config HTTP/1.1\r\nHost: x\r\n\r\n",
);
/// Text of the page where a hub told something.
const AT_HUB: &str = "At the hub";

pub(super) async fn hub_that_tells(fleet: &Fleet) -> anyhow::Result<Site> {
    let mut variables = fleet.variables("--hub")?;
    variables.push(("FOREVER200_FLEET_SEEN_BY", "on".to_owned()));
    Site::start(&variables).await
}

async fn page(site: &Site, kind: &str) -> anyhow::Result<String> {
    let page = site.stack.get(&format!("/home/collection/{kind}")).await?;
    ensure!(page.status == 200, "{kind}: {}", page.status);
    Ok(page.text())
}

async fn until_page_says(site: &Site, kind: &str, text: &str) -> anyhow::Result<()> {
    until(&format!("the page of {kind} says {text}"), || async {
        page(site, kind).await.ok()?.contains(text).then_some(())
    })
    .await
    .with_context(|| site.stack.log())
}

async fn until_in_history(site: &Site, count: u64) -> anyhow::Result<()> {
    let file = site.file()?;
    until("the history has all", || async {
        (crate::site::newest(&file).ok()? >= count).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_kind_says_how_many_sensors_of_the_hub_saw_it() -> anyhow::Result<()> {
    let fleet = Fleet::start(3, &["one", "two"]).await?;
    let hub = hub_that_tells(&fleet).await?;
    let (one, two) = (fleet.site("one").await?, fleet.site("two").await?);
    for request in [BOTH.1, ALONE.1] {
        one.stack.send(request).await?;
    }
    two.stack.send(BOTH.1).await?;
    hub.until_has("one", 2).await?;
    hub.until_has("two", 1).await?;
    assert!(!page(&one, BOTH.0).await?.contains(AT_HUB));
    // A publisher asks when it starts, and every five minutes.
    one.stack.supervisorctl(&["restart", "publisher"])?;
    until_page_says(&one, BOTH.0, "seen by 2 of 2 sensors").await?;
    until_page_says(&one, ALONE.0, "seen by 1 of 2 sensors").await?;
    let path = format!("/home/api/collection/{}", ALONE.0);
    let json = get_json(one.stack.front(), &path).await?;
    assert_eq!(json["at_hub"], serde_json::json!({ "sensors": 1, "of": 2 }));
    // The hub itself has no hub that could tell it something.
    let json = get_json(hub.stack.front(), &path).await?;
    assert!(json["at_hub"].is_null(), "{json}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_says_nothing_of_kinds_unless_it_is_told_to() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one"]).await?;
    let hub = fleet.site("--hub").await?;
    let one = fleet.site("one").await?;
    one.stack.send(BOTH.1).await?;
    hub.until_has("one", 1).await?;
    let client = fleet.client("one").await?;
    let asked = client.request(sensor("one")?.kinds_subject(), BOTH.0.into());
    let answer = asked.await;
    assert!(answer.is_err(), "{answer:?}");
    Ok(())
}

async fn ask(client: &Client, subject: String, question: &str) -> anyhow::Result<HubCounts> {
    let answer = client.request(subject, question.to_owned().into()).await?;
    HubCounts::decode(&answer.payload, 256).context("no answer of ours")
}

/// Asks until the hub answers, and returns the answer.
pub(super) async fn until_answered(
    client: &Client,
    subject: &str,
    question: &str,
) -> anyhow::Result<HubCounts> {
    until("the hub answers", || async {
        ask(client, subject.to_owned(), question).await.ok()
    })
    .await
}

/// Checks that the first message to come is the last one that the test has sent.
async fn first_is(received: &mut Subscriber, subject: &str) -> anyhow::Result<()> {
    let first = timeout(Duration::from_secs(30), received.next()).await?;
    let first = first.context("nothing came")?;
    ensure!(*first.subject == *subject, "{first:?} came");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sensor_hears_or_answers_what_another_asks() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one", "two"]).await?;
    let hub = hub_that_tells(&fleet).await?;
    let (one, two) = (sensor("one")?, sensor("two")?);
    let (client, other) = (fleet.client("one").await?, fleet.client("two").await?);
    let request = record(1, BOTH.1.to_vec());
    publish_first(&client, &one, &request).await?;
    hub.until_has("one", 1).await?;
    // The other sensor subscribes to everything that its account allows.
    let mut all = other.subscribe(">").await?;
    other.flush().await?;
    let question = format!("{}\n{}", BOTH.0, ALONE.0);
    let counts = until_answered(&client, &one.kinds_subject(), &question).await?;
    assert_eq!(counts.of, 1);
    assert_eq!(counts.kinds, [(BOTH.0.to_owned(), 1)].into());
    let mut inbox = client.subscribe("_INBOX.one.>").await?;
    client.flush().await?;
    for subject in ["_INBOX.one.forged", "_R_.forged", &one.kinds_subject()] {
        other.publish(subject.to_owned(), "9\n".into()).await?;
    }
    other.flush().await?;
    // Neither the first sensor's question nor its answer came here.
    first_is(&mut all, "_INBOX.one.forged").await?;
    client.publish("_INBOX.one.last", "".into()).await?;
    first_is(&mut inbox, "_INBOX.one.last").await?;
    // The other sensor cannot ask as the first one.
    let forged = ask(&other, one.kinds_subject(), BOTH.0).await;
    assert!(forged.is_err(), "{forged:?}");
    until_answered(&other, &two.kinds_subject(), BOTH.0).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_none_of_ours_ends_no_answering() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one"]).await?;
    let hub = hub_that_tells(&fleet).await?;
    let one = sensor("one")?;
    let client = fleet.client("one").await?;
    publish_first(&client, &one, &record(1, BOTH.1.to_vec())).await?;
    hub.until_has("one", 1).await?;
    until_answered(&client, &one.kinds_subject(), BOTH.0).await?;
    for question in [vec![b'\n'; 1_000_000], vec![0xff; 99], Vec::new()] {
        let subject = one.kinds_subject();
        client
            .publish(subject.clone(), question.clone().into())
            .await?;
        let reply = "_INBOX.one.odd";
        client
            .publish_with_reply(subject, reply, question.into())
            .await?;
    }
    let odd = format!("'; DROP TABLE kind; --\n{}\n{}", "k".repeat(9999), BOTH.0);
    let counts = ask(&client, one.kinds_subject(), &odd).await?;
    assert_eq!(counts.kinds, [(BOTH.0.to_owned(), 1)].into());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_of_ours_is_on_no_page() -> anyhow::Result<()> {
    let open = Open::start("").await?;
    let hub = open.hub(&[]).await?;
    let one = open.sensor("one").await?;
    for request in [BOTH.1, ALONE.1] {
        one.stack.send(request).await?;
    }
    hub.until_has("one", 2).await?;
    until_in_history(&one, 2).await?;
    let client = open.context().await?.client();
    let mut questions = client.subscribe(ALL_KINDS).await?;
    client.flush().await?;
    let good = format!("5\n{} 3\nnever-asked 4\n<b> 1\n{} 6\n", BOTH.0, ALONE.0);
    for answer in [
        vec![b'9'; 900_000],
        b"5\n\xff".to_vec(),
        Vec::new(),
        good.into_bytes(),
    ] {
        one.stack.supervisorctl(&["restart", "publisher"])?;
        let question = timeout(Duration::from_secs(30), questions.next()).await?;
        let question = question.context("no question")?;
        let to = question.reply.context("no way back")?;
        client.publish(to, answer.into()).await?;
    }
    until_page_says(&one, BOTH.0, "seen by 3 of 5 sensors").await?;
    assert!(!page(&one, ALONE.0).await?.contains(AT_HUB));
    let store = forever200_ring::Store::new(one.stack.at(11211).to_string());
    let held = store.hub_counts().await?;
    assert_eq!(held.kinds, [(BOTH.0.to_owned(), 3)].into());
    Ok(())
}
