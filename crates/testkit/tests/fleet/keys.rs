//! Wrong keys and certificates: what a person is told, and how often a server is asked.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use forever200_testkit::process::{command, programs};
use forever200_testkit::until;
use futures_util::{FutureExt, StreamExt};
use tempfile::TempDir;

use crate::site::Fleet;

/// How many attempts of a publisher the test waits for.
const ATTEMPTS: usize = 4;
/// The pauses before the last of these attempts together: half a second, one and two.
const PAUSES: Duration = Duration::from_millis(3500);

/// A publisher that runs by itself, killed and reaped when dropped.
struct Publisher {
    child: Child,
    folder: TempDir,
}

impl Publisher {
    fn start(fleet: &Fleet, name: &str, further: &[(&str, &Path)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let child = command(programs()?.join("forever200-fleet"))
            .arg("publish")
            .envs(fleet.variables(name)?)
            .env("FOREVER200_HISTORY", folder.path())
            .envs(further.iter().copied())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log"))?)
            .spawn()?;
        Ok(Self { child, folder })
    }

    /// Returns the lines that it has logged.
    fn log(&self) -> anyhow::Result<Vec<String>> {
        let log = std::fs::read_to_string(self.folder.path().join("log"))?;
        Ok(log.lines().map(str::to_owned).collect())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_server_or_a_key_is_said_once_and_not_tried_all_the_time()
-> anyhow::Result<()> {
    let mut fleet = Fleet::start(1, &["one"]).await?;
    fleet.enroll("stranger")?;
    let (key, handshake) = ("authentication error", "TLS handshake error");
    let stranger = fleet.key("stranger");
    let wrong_key = [("FOREVER200_HUB_KEY", &*stranger)];
    refused(&fleet, &wrong_key, key, "the server does not know this key").await?;
    let foreign = Fleet::start(1, &[]).await?;
    let authority = foreign.authority();
    let wrong_authority = [("FOREVER200_HUB_CA", &*authority)];
    let reason = "another authority signed the server's certificate";
    refused(&fleet, &wrong_authority, handshake, reason).await?;
    fleet.make_expired_certificate()?;
    fleet.nats.restart(0)?;
    fleet.nats.until_up(0).await?;
    let reason = "the server's certificate has expired";
    refused(&fleet, &[], handshake, reason).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_expires_while_a_sensor_sends_is_one_line_in_its_log()
-> anyhow::Result<()> {
    let mut fleet = Fleet::start(1, &["one"]).await?;
    let publisher = Publisher::start(&fleet, "one", &[])?;
    until("the publisher is connected", || async {
        let log = publisher.log().ok()?;
        log.iter()
            .any(|line| line.contains("connected"))
            .then_some(())
    })
    .await?;
    fleet.make_expired_certificate()?;
    fleet.nats.restart(0)?;
    let attempts = || fleet.nats.log(0).matches("expired certificate").count();
    until("the publisher tried again and again", || async {
        (attempts() >= ATTEMPTS).then_some(())
    })
    .await?;
    let log = publisher.log()?;
    let where_to_ask = "`forever200-fleet check` says why";
    let said = log.iter().filter(|line| line.contains(where_to_ask));
    assert_eq!(said.count(), 1, "{log:#?}");
    let check = fleet.check("one", &[])?;
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(said.contains("certificate has expired"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sensor_sent_is_deleted_from_the_stream_and_nothing_else() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one", "two"]).await?;
    let hub = fleet.site("--hub").await?;
    for (name, requests) in [("one", 3), ("two", 5)] {
        let sensor = fleet.site(name).await?;
        sensor.ask(1..=requests).await?;
        hub.until_has(name, requests as usize).await?;
    }
    let purge = |name: &str| fleet.program(name, &["purge", "two"]);
    let deleted = purge("--hub")?.output()?;
    let said = String::from_utf8_lossy(&deleted.stdout).into_owned();
    assert!(
        deleted.status.success() && said == "5 messages of two were deleted from the stream\n",
        "{deleted:?}"
    );
    assert!(!purge("one")?.output()?.status.success());
    let later = fleet.site("--hub").await?;
    later.until_has("one", 3).await?;
    assert_eq!(later.numbers()?.get("two"), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_said_and_what_both_answer_arrives_once() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one"]).await?;
    let hub = fleet.site("--hub").await?;
    let first = fleet.site("one").await?;
    first.ask(1..=10).await?;
    hub.until_has("one", 10).await?;
    let taken = "another machine has the same name";
    assert!(!first.stack.log().contains(taken));
    let second = fleet.site("one").await?;
    second.ask(1..=7).await?;
    hub.until_has("one", 17).await?;
    let check = fleet.check("one", &[("FOREVER200_HISTORY", first.history.path())])?;
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(!check.status.success() && said.contains(taken), "{said}");
    // Without this, the first publisher would find the other machine within a minute.
    first.stack.kill("publisher").await?;
    first.ask(11..=12).await?;
    let mut numbers = hub.until_has("one", 19).await?;
    for log in [first.stack.log(), second.stack.log()] {
        assert_eq!(log.matches(taken).count(), 1, "{log}");
    }
    let mut expected: Vec<u64> = (1..=12).chain(1..=7).collect();
    numbers.sort_unstable();
    expected.sort_unstable();
    assert_eq!(numbers, expected);
    Ok(())
}

/// Checks that neither `check` nor `publish` can connect, that both tell the reason, `publish` only
/// once, and that the pauses between attempts grow. The server logs `attempt` for each attempt.
async fn refused(
    fleet: &Fleet,
    variables: &[(&str, &Path)],
    attempt: &str,
    reason: &str,
) -> anyhow::Result<()> {
    let attempts = || fleet.nats.log(0).matches(attempt).count();
    let before = attempts();
    let check = fleet.check("one", variables)?;
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    ensure!(!check.status.success() && said.contains(reason), "{said}");
    // The server may log the attempt after its client has ended.
    until("the server has logged the attempt of the check", || async {
        (attempts() > before).then_some(())
    })
    .await?;
    let before = attempts();
    let begun = Instant::now();
    let publisher = Publisher::start(fleet, "one", variables)?;
    until("the publisher tried again and again", || async {
        (attempts() >= before + ATTEMPTS).then_some(())
    })
    .await
    .with_context(|| fleet.nats.log(0))?;
    ensure!(begun.elapsed() >= PAUSES, "{:?}", begun.elapsed());
    let log = publisher.log()?;
    ensure!(log.len() == 1 && log[0].contains(reason), "{log:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_gets_few_subscriptions_and_few_connections() -> anyhow::Result<()> {
    const MANY: usize = 100;
    let fleet = Fleet::start(1, &["one"]).await?;
    let client = fleet.client("one").await?;
    let mut subscriptions = Vec::new();
    for number in 0..MANY {
        subscriptions.push(client.subscribe(format!("a.{number}")).await?);
    }
    // When the message to the first subscription comes, all messages that were sent before it have
    // come.
    for number in (0..MANY).rev() {
        client.publish(format!("a.{number}"), Bytes::new()).await?;
    }
    let first = subscriptions[0].next().await;
    first.context("not even one subscription")?;
    let got = subscriptions[1..]
        .iter_mut()
        .filter_map(|it| it.next().now_or_never().flatten())
        .count();
    ensure!(got < 16, "{got} more");
    let mut connections = Vec::new();
    while connections.len() < MANY
        && let Ok(one) = fleet.client("one").await
    {
        connections.push(one);
    }
    ensure!(connections.len() == 7, "{} more", connections.len());
    Ok(())
}
