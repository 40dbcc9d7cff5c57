//! Many machines and one page: real sensors, NATS servers and hubs, with keys and certificates as
//! in docs/fleet.md.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use async_nats::{HeaderMap, jetstream};
use forever200_fleet::message::{self, Position};
use forever200_fleet::sensor::{ALL_ALIVE, STREAM};
use forever200_testkit::report::at_length;
use forever200_testkit::{Fault, until};
use futures_util::StreamExt;
use tokio::time::sleep;

use site::{Fleet, Site, publish, publish_first, record, sensor};

mod faults;
mod forget;
mod hostile;
mod keys;
mod kinds;
mod load;
mod open;
mod refused;
mod site;
mod tail;

/// How long the connection is cut in the long tests.
const LONG_CUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn what_two_sensors_answer_is_on_the_page_of_the_hub() -> anyhow::Result<()> {
    let fleet = Fleet::start(3, &["one", "two"]).await?;
    let hub = fleet.site("--hub").await?;
    let (one, two) = (fleet.site("one").await?, fleet.site("two").await?);
    one.ask(1..=120).await?;
    two.ask(1..=30).await?;
    let all: Vec<u64> = (1..=120).collect();
    assert_eq!(hub.until_has("one", 120).await?, all);
    assert_eq!(hub.until_has("two", 30).await?, all[..30]);
    let list = hub.stack.until_recorded(150).await?;
    let newest = &list["requests"][0];
    let path = newest["http"]["target"].as_str().context("no target")?;
    assert!(["/120", "/30"].contains(&path), "{path}");
    assert_eq!(list["total"], 150);
    for name in ["one", "--hub"] {
        let history = if name == "one" {
            &one.history
        } else {
            &hub.history
        };
        let well = fleet.check(name, &[("FOREVER200_HISTORY", history.path())])?;
        assert!(well.status.success(), "{well:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sensor_answers_while_no_server_is_there_is_sent_later() -> anyhow::Result<()> {
    let mut fleet = Fleet::start(1, &["one"]).await?;
    let hub = fleet.site("--hub").await?;
    let sensor = fleet.site("one").await?;
    sensor.ask(1..=10).await?;
    hub.until_has("one", 10).await?;
    fleet.nats.kill(0);
    // Twice as many as the ring holds.
    sensor.ask(11..=212).await?;
    fleet.nats.restart(0)?;
    let all: Vec<u64> = (1..=212).collect();
    assert_eq!(hub.until_has("one", 212).await?, all);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_to_which_nothing_comes_is_heard_of() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one"]).await?;
    let hub = fleet.site("--hub").await?;
    let sensor = fleet.site("one").await?;
    sensor.ask(1..=1).await?;
    hub.until_has("one", 1).await?;
    let file = hub.file()?;
    let heard = || file.query_row("SELECT heard FROM sensor", [], |row| row.get::<_, i64>(0));
    let after_the_request = heard()?;
    // A publisher sends a heartbeat when it starts, and each minute.
    sensor.stack.supervisorctl(&["restart", "publisher"])?;
    until("the hub has heard of it", || async {
        (heard().ok()? > after_the_request).then_some(())
    })
    .await
    .with_context(|| hub.stack.log())?;
    assert_eq!(hub.numbers()?["one"], [1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_cut_costs_nothing_once_it_is_back() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one"]).await?;
    let hub = fleet.site("--hub").await?;
    let mut variables = fleet.variables("one")?;
    variables.retain(|(name, _)| *name != "FOREVER200_HUB");
    variables.push(("FOREVER200_HUB", format!("tls://{}", fleet.line.address())));
    let sensor = Site::start(&variables).await?;
    sensor.ask(1..=20).await?;
    hub.until_has("one", 20).await?;
    fleet.line.always(Some(Fault::CutCommand));
    sensor.ask(21..=140).await?;
    until("the line was cut", || async {
        (fleet.line.happened() > 0).then_some(())
    })
    .await?;
    if at_length() {
        sleep(LONG_CUT).await;
    }
    assert_eq!(hub.numbers()?.get("one").map(Vec::len), Some(20));
    fleet.line.mend();
    sensor.ask(141..=160).await?;
    let all: Vec<u64> = (1..=160).collect();
    assert_eq!(hub.until_has("one", 160).await?, all);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_whose_history_was_removed_collects_all_again() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one"]).await?;
    let hub = fleet.site("--hub").await?;
    let sensor = fleet.site("one").await?;
    sensor.ask(1..=70).await?;
    hub.until_has("one", 70).await?;
    for file in ["history.db", "history.db-wal", "history.db-shm"] {
        std::fs::remove_file(hub.history.path().join(file))?;
    }
    sensor.ask(71..=80).await?;
    let mut numbers = hub.until_has("one", 80).await?;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=80).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_two_hubs_has_all_and_one_that_lost_its_history_gets_it_again() -> anyhow::Result<()>
{
    let fleet = Fleet::start(1, &["one", "two"]).await?;
    let (stays, mut lost) = (fleet.site("--hub").await?, fleet.site("--hub").await?);
    let (one, two) = (fleet.site("one").await?, fleet.site("two").await?);
    one.ask(1..=80).await?;
    two.ask(1..=30).await?;
    for hub in [&stays, &lost] {
        assert_eq!(
            hub.until_has("one", 80).await?,
            (1..=80).collect::<Vec<_>>()
        );
        assert_eq!(
            hub.until_has("two", 30).await?,
            (1..=30).collect::<Vec<_>>()
        );
    }
    lost.stack.stop().await?;
    for file in std::fs::read_dir(lost.history.path())? {
        std::fs::remove_file(file?.path())?;
    }
    one.ask(81..=120).await?;
    assert_eq!(
        stays.until_has("one", 120).await?,
        (1..=120).collect::<Vec<_>>()
    );
    lost.stack.start_again().await?;
    two.ask(31..=40).await?;
    for hub in [&stays, &lost] {
        hub.until_has("one", 120).await?;
        hub.until_has("two", 40).await?;
        let numbers = hub.numbers()?;
        for (name, newest) in [("one", 120), ("two", 40)] {
            let mut numbers = numbers.get(name).cloned().unwrap_or_default();
            numbers.sort_unstable();
            assert_eq!(numbers, (1..=newest).collect::<Vec<_>>(), "{name}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_continues_a_request_at_the_sensor_continues_it_at_the_hub() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one"]).await?;
    let hub = fleet.site("--hub").await?;
    // So that the hub's numbers differ from the sensor's.
    hub.ask(1..=5).await?;
    let client = fleet.client("one").await?;
    let one = sensor("one")?;
    publish_first(&client, &one, &record(1, b"CONNECT".to_vec())).await?;
    for (seq, continues) in [(2, 1), (3, 2), (4, 9)] {
        let next = forever200_ring::Record {
            continues: Some(continues),
            ..record(seq, b"more".to_vec())
        };
        publish(&client, &one, &next).await?;
    }
    hub.until_has("one", 4).await?;
    let file = hub.file()?;
    let mut statement = file.prepare(
        "SELECT earlier.number FROM sent JOIN request ON seq = sent.request \
         LEFT JOIN sent AS earlier ON earlier.request = continues ORDER BY sent.number",
    )?;
    let rows = statement.query_map([], |row| row.get::<_, Option<i64>>(0))?;
    let continued: Vec<_> = rows.collect::<Result<_, _>>()?;
    assert_eq!(continued, [None, Some(1), Some(2), None]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_floods_hides_none_of_the_others() -> anyhow::Result<()> {
    const FLOOD: u64 = 3000;
    let fleet = Fleet::start(1, &["flood", "quiet"]).await?;
    // The hub makes the stream, and is away while one of the sensors fills it.
    let hub = fleet.site("--hub").await?;
    let (flood, quiet) = (sensor("flood")?, sensor("quiet")?);
    let client = fleet.client("flood").await?;
    publish_first(&client, &flood, &record(1, b"first".to_vec())).await?;
    hub.stack.supervisorctl(&["stop", "collector"])?;
    for seq in 2..=FLOOD {
        publish(&client, &flood, &record(seq, vec![b'x'; 500])).await?;
    }
    let client = fleet.client("quiet").await?;
    for seq in 1..=10 {
        publish(
            &client,
            &quiet,
            &record(seq, b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        )
        .await?;
    }
    hub.stack.supervisorctl(&["start", "collector"])?;
    hub.until_has("quiet", 10).await?;
    let numbers = hub.numbers()?;
    let behind = FLOOD as usize - numbers.get("flood").map_or(0, Vec::len);
    assert!(behind > 0, "all of the flood was first");
    assert_eq!(hub.until_has("flood", FLOOD as usize).await?.len(), 3000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fills_the_stream_pushes_out_its_own_messages_alone() -> anyhow::Result<()> {
    const STREAM_BYTES: u64 = 128 << 20;
    const NOISE_BYTES: usize = 64 << 10;
    /// A mebibyte a second: half of what deploy/fleet/gate.cfg lets one address send.
    const PACE: Duration = Duration::from_millis(1000 / 16);
    let fleet = Fleet::start(1, &["loud", "quiet"]).await?;
    let mut variables = fleet.variables("--hub")?;
    variables.push(("FOREVER200_FLEET_BYTES", STREAM_BYTES.to_string()));
    let hub = Site::start(&variables).await?;
    let (loud, quiet) = (sensor("loud")?, sensor("quiet")?);
    let client = fleet.client("quiet").await?;
    let first = record(1, b"GET / HTTP/1.1\r\n\r\n".to_vec());
    publish_first(&client, &quiet, &first).await?;
    for seq in 2..=50 {
        let next = record(seq, b"GET / HTTP/1.1\r\n\r\n".to_vec());
        publish(&client, &quiet, &next).await?;
    }
    hub.until_has("quiet", 50).await?;

    let context = jetstream::new(fleet.client("loud").await?);
    let noise = bytes::Bytes::from(vec![0xff; NOISE_BYTES]);
    let messages = STREAM_BYTES / NOISE_BYTES as u64;
    // First the stream becomes almost full at once. Then the sensor goes on until it has sent more
    // than the stream holds.
    let mut pace = tokio::time::interval(PACE);
    for number in 0..messages + messages / 32 {
        if number > messages / 8 * 7 {
            pace.tick().await;
        }
        // The headers also claim that the messages are empty.
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Size", "0");
        let taken = context.publish_with_headers(loud.subject(), headers, noise.clone());
        taken.await?.await?;
    }
    // A hub that comes later gets all requests of the quiet sensor from the stream.
    let second = Site::start(&variables).await?;
    let all: Vec<u64> = (1..=50).collect();
    assert_eq!(second.until_has("quiet", 50).await?, all);
    let log = hub.stack.log();
    assert!(log.contains("the stream is almost full"), "{log}");
    assert!(!log.contains("no room can be made"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_the_subject_of_its_sensor_and_nothing_else() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one", "two"]).await?;
    let hub = fleet.site("--hub").await?;
    let (one, two) = (sensor("one")?, sensor("two")?);
    let client = fleet.client("one").await?;
    publish_first(&client, &one, &record(1, b"mine".to_vec())).await?;
    let asked = Duration::from_secs(2);
    let forged = record(1, b"forged".to_vec());
    let forged = tokio::time::timeout(asked, publish(&client, &two, &forged));
    assert!(!matches!(forged.await, Ok(Ok(()))), "it wrote as another");
    for subject in [
        "$JS.API.STREAM.DELETE.forever200",
        "$JS.API.STREAM.PURGE.forever200",
        "$JS.API.STREAM.INFO.forever200",
        "$JS.API.DIRECT.GET.forever200.forever200.two",
        "$JS.API.CONSUMER.CREATE.forever200",
    ] {
        let answer = tokio::time::timeout(asked, client.request(subject, "{}".into())).await;
        // The sensor's account has no JetStream. The servers answer so, or not at all.
        if let Ok(Ok(answer)) = answer {
            let said = String::from_utf8_lossy(&answer.payload);
            assert!(
                said.contains("not enabled for account"),
                "{subject}: {said}"
            );
        }
    }
    // A sensor cannot send a heartbeat for another one either. Messages on one connection arrive in
    // order, so the heartbeat for the other sensor would be first.
    let listener = fleet.client("--hub").await?;
    let mut alive = listener.subscribe(ALL_ALIVE).await?;
    // When this answer comes, the server knows of the subscription.
    jetstream::new(listener).get_stream(STREAM).await?;
    for sensor in [&two, &one] {
        let subject = sensor.alive_subject();
        client.publish(subject, bytes::Bytes::new()).await?;
    }
    let said = tokio::time::timeout(asked, alive.next()).await?;
    let said = said.context("nothing was said")?;
    assert_eq!(*said.subject, *one.alive_subject());
    // A message that is not a request is skipped.
    let position = Position { era: 1, seq: 2 };
    let headers = message::headers(&one, position, 0);
    let context = jetstream::new(client.clone());
    let noise = bytes::Bytes::from(vec![0xff; 65_536]);
    context
        .publish_with_headers(one.subject(), headers, noise)
        .await?
        .await?;
    publish(&client, &one, &record(3, b"after".to_vec())).await?;
    assert_eq!(hub.until_has("one", 2).await?, [1, 3]);
    assert_eq!(hub.numbers()?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_key_or_a_certificate_is_said() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one"]).await?;
    fleet.enroll("stranger")?;
    let folder = tempfile::tempdir()?;
    let other = fleet.folder.path().join("other");
    std::fs::create_dir(&other)?;
    let nobody = other.join("nothing.nk");
    let checks = [
        (
            fleet.check("stranger", &[("FOREVER200_HISTORY", folder.path())])?,
            "authorization violation",
        ),
        (
            fleet.check("one", &[("FOREVER200_HUB_KEY", &nobody)])?,
            "nothing.nk",
        ),
        (
            fleet.check("one", &[("FOREVER200_HUB_CA", Path::new("/dev/null"))])?,
            "cannot connect",
        ),
        (
            fleet.check("one", &[("FOREVER200_HISTORY", Path::new("off"))])?,
            "FOREVER200_HISTORY is off",
        ),
    ];
    for (check, reason) in checks {
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(!check.status.success(), "{said}");
        assert!(said.contains(reason), "{said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_nowhere_but_to_who_has_asked() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one", "two"]).await?;
    let hub = kinds::hub_that_tells(&fleet).await?;
    let (one, two) = (sensor("one")?, sensor("two")?);
    let client = fleet.client("one").await?;
    publish_first(&client, &one, &record(1, b"mine".to_vec())).await?;
    hub.until_has("one", 1).await?;
    kinds::until_answered(&client, &one.kinds_subject(), "").await?;
    let context = jetstream::new(fleet.client("--hub").await?);
    let stream = context.get_stream(STREAM).await?;
    let before = stream.get_info().await?.state;
    // The server would write its answer to this subject itself, and it may write anywhere.
    for reply in [
        two.subject(),
        two.alive_subject(),
        "$JS.API.STREAM.PURGE.forever200".to_owned(),
        "$JS.API.STREAM.DELETE.forever200".to_owned(),
    ] {
        for subject in [one.subject(), one.last_message(), one.kinds_subject()] {
            let body = bytes::Bytes::new();
            client
                .publish_with_reply(subject, reply.clone(), body)
                .await?;
        }
    }
    // When this question is answered, everything that the connection sent before has arrived.
    kinds::until_answered(&client, &one.kinds_subject(), "").await?;
    publish(&client, &one, &record(2, b"after".to_vec())).await?;
    assert_eq!(hub.until_has("one", 2).await?, [1, 2]);
    let after = stream.get_info().await?.state;
    assert_eq!(after.first_sequence, before.first_sequence);
    assert_eq!(
        after.messages,
        before.messages + 5,
        "four of its own, and the last"
    );
    assert_eq!(after.subjects_count, 1, "only its own");
    Ok(())
}

/// The numbers in flight may be far apart if the machine is also a hub, or its history was thinned
/// out.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_flight_is_sent_again_however_far_apart_its_numbers_are() -> anyhow::Result<()>
{
    let fleet = Fleet::start(1, &["one"]).await?;
    // The hub makes the stream.
    let hub = fleet.site("--hub").await?;
    let one = fleet.site("one").await?;
    one.ask(1..=200).await?;
    hub.until_has("one", 200).await?;
    let path = one.history.path().join("history.db");
    let file = rusqlite::Connection::open(path)?;
    file.busy_timeout(Duration::from_secs(10))?;
    file.execute("DELETE FROM request WHERE seq BETWEEN 11 AND 190", [])?;
    // As if these messages had been lost while later ones arrived.
    let context = jetstream::new(fleet.client("--hub").await?);
    let stream = context.get_stream(STREAM).await?;
    for number in 5..=10 {
        stream.delete_message(number).await?;
    }
    one.stack.kill("publisher").await?;
    let later = fleet.site("--hub").await?;
    let mut numbers = later.until_has("one", 200).await?;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
    Ok(())
}
