//! Parts of a fleet are killed, cut off or away. The tests look for requests that are missing at
//! the hub afterwards, or there twice.
//!
//! Each test prints rows of docs/reliability.md. `make test` tries each fault once or twice, `make
//! faults` as often as that document says.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use forever200_ring::ring::slot_key;
use forever200_ring::{Record, Store};
use forever200_testkit::process::{missing, signal};
use forever200_testkit::report::{at_length, milliseconds, rounds, row};
use forever200_testkit::until;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::site::{Fleet, IN_NAMESPACE, OF_USERS, Site, publish, publish_first, record, sensor};

/// Requests before a fault. As many come during it or after it.
const HALF: u64 = 20;
/// Requests while a hub is away: three times as many as its ring holds.
const WHILE_AWAY: u64 = 303;
/// How long a connection is cut in the long tests.
const LONG_CUT: Duration = Duration::from_secs(60);

/// The parts that are killed.
const PARTS: [&str; 8] = [
    "collector",
    "viewer",
    "memcached",
    "publisher",
    "one server",
    "leader",
    "two servers",
    "three servers",
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_nothing_is_lost_and_nothing_is_there_twice() -> anyhow::Result<()> {
    let mut fleet = Fleet::start(3, &["one"]).await?;
    let hub = fleet.site("--hub").await?;
    let sensor = fleet.site("one").await?;
    let rounds = if at_length() { rounds() } else { 1 };
    let mut longest = [Duration::ZERO; PARTS.len()];
    let mut sent = 0;
    // One part after the other, because supervisord waits longer each time before it restarts a
    // program that dies again and again.
    for _ in 0..rounds {
        for (part, longest) in PARTS.into_iter().zip(&mut longest) {
            sensor.ask(sent + 1..=sent + HALF).await?;
            let killed = kill(part, &mut fleet, &hub, &sensor).await?;
            sensor.ask(sent + HALF + 1..=sent + 2 * HALF).await?;
            for server in killed {
                fleet.nats.restart(server)?;
            }
            let begun = Instant::now();
            sent += 2 * HALF;
            all_once(&hub, sent).await.context(part)?;
            *longest = begun.elapsed().max(*longest);
        }
    }
    let requests = rounds as u64 * 2 * HALF;
    for (part, longest) in PARTS.into_iter().zip(longest) {
        let name = format!("kill -9 of {part}");
        row(
            "fleet",
            &[&name, &rounds, &requests, &0, &0, &milliseconds(longest)],
        );
    }
    Ok(())
}

/// Kills a part of the fleet. Returns the servers that do not run after that; supervisord restarts
/// everything else.
async fn kill(
    part: &str,
    fleet: &mut Fleet,
    hub: &Site,
    sensor: &Site,
) -> anyhow::Result<Vec<usize>> {
    let servers = match part {
        "one server" => vec![0],
        "leader" => vec![leader(fleet).await?],
        "two servers" => vec![0, 1],
        "three servers" => vec![0, 1, 2],
        "publisher" => {
            sensor.stack.kill(part).await?;
            Vec::new()
        }
        _ => {
            hub.stack.kill(part).await?;
            Vec::new()
        }
    };
    for &server in &servers {
        fleet.nats.kill(server);
    }
    Ok(servers)
}

/// Returns the number of the server that leads the stream.
async fn leader(fleet: &Fleet) -> anyhow::Result<usize> {
    until("the servers have a leader", || async {
        let check = fleet.check("--hub", &[]).ok()?;
        let said = String::from_utf8(check.stdout).ok()?;
        let (name, _) = said.split_once("servers: n")?.1.split_once(" leads")?;
        name.parse().ok()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_was_away_for_longer_than_its_ring_reaches_gets_all() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one"]).await?;
    let mut hub = fleet.site("--hub").await?;
    let sensor = fleet.site("one").await?;
    let (mut sent, mut longest) = (0, Duration::ZERO);
    for _ in 0..rounds() {
        sensor.ask(sent + 1..=sent + HALF).await?;
        sent += HALF;
        all_once(&hub, sent).await?;
        hub.stack.stop().await?;
        sensor.ask(sent + 1..=sent + WHILE_AWAY).await?;
        sent += WHILE_AWAY;
        let begun = Instant::now();
        hub.stack.start_again().await?;
        all_once(&hub, sent).await?;
        longest = longest.max(begun.elapsed());
    }
    let name = "the hub is stopped while the sensor answers three times its ring";
    row(
        "fleet",
        &[&name, &rounds(), &sent, &0, &0, &milliseconds(longest)],
    );
    Ok(())
}

/// memcached loses a request before the viewer has read it, and the collector dies before it has
/// written the request again. The collector must not be so far ahead that the next collector does
/// not read the request again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_on_its_way_is_found_by_the_next_collector() -> anyhow::Result<()> {
    const LOST: u64 = 3;
    const ALL: u64 = 160;
    /// More requests than may overtake the lost one.
    const MANY: usize = 80;
    /// The collector would write the lost request again after twice this time.
    const MOST_WAIT: Duration = Duration::from_millis(1000);
    let fleet = Fleet::start(1, &["one"]).await?;
    let hub = fleet.site("--hub").await?;
    let (client, one) = (fleet.client("one").await?, sensor("one")?);
    let viewer = hub.stack.pid("viewer")?.context("no viewer")?;
    publish_first(&client, &one, &get(1)).await?;
    hub.until_has("one", 1).await?;
    signal(viewer, Signal::STOP)?;
    for seq in 2..=10 {
        publish(&client, &one, &get(seq)).await?;
    }
    let store = Store::new(hub.stack.at(11211).to_string());
    until("it is in the ring", || async {
        store.record(LOST).await.ok().flatten().map(drop)
    })
    .await?;
    let mut memcached = TcpStream::connect(hub.stack.at(11211)).await?;
    let command = format!("delete {}\r\n", slot_key(LOST));
    memcached.write_all(command.as_bytes()).await?;
    let mut deleted = [0; 9];
    memcached.read_exact(&mut deleted).await?;
    ensure!(deleted == *b"DELETED\r\n", "{}", deleted.escape_ascii());
    signal(viewer, Signal::CONT)?;
    for seq in 11..=ALL {
        publish(&client, &one, &get(seq)).await?;
    }
    // Both results are right here. If the collector is far ahead, it is killed at once.
    let _ = timeout(MOST_WAIT, hub.until_has("one", MANY)).await;
    hub.stack.kill("collector").await?;
    all_once(&hub, ALL).await
}

/// The kernel drops all packets to and from a server, so neither side notices.
#[tokio::test(flavor = "multi_thread")]
async fn packets_that_are_dropped_for_a_while_cost_nothing() -> anyhow::Result<()> {
    if std::env::var_os(IN_NAMESPACE).is_none() {
        return in_namespace("faults::packets_that_are_dropped_for_a_while_cost_nothing");
    }
    ip("link set lo up")?;
    let fleet = Fleet::start(1, &["one"]).await?;
    let hub = fleet.site("--hub").await?;
    let sensor = fleet.site("one").await?;
    let (mut sent, mut longest) = (0, Duration::ZERO);
    let rounds = if at_length() { rounds() } else { 1 };
    for _ in 0..rounds {
        sensor.ask(sent + 1..=sent + HALF).await?;
        sent += HALF;
        all_once(&hub, sent).await?;
        nft("add table inet cut")?;
        nft("add chain inet cut in { type filter hook input priority 0; }")?;
        nft("add rule inet cut in tcp dport 4222 counter drop")?;
        nft("add rule inet cut in tcp sport 4222 counter drop")?;
        sensor.ask(sent + 1..=sent + 6 * HALF).await?;
        if at_length() {
            sleep(LONG_CUT).await;
        }
        let there = hub.numbers()?.get("one").map_or(0, Vec::len);
        ensure!(there as u64 == sent, "{there} of {sent} came through");
        nft("delete table inet cut")?;
        sent += 6 * HALF;
        let begun = Instant::now();
        all_once(&hub, sent).await?;
        longest = longest.max(begun.elapsed());
    }
    let name = "all packets dropped for 60 s";
    row(
        "fleet",
        &[&name, &rounds, &sent, &0, &0, &milliseconds(longest)],
    );
    Ok(())
}

fn get(seq: u64) -> Record {
    record(seq, format!("GET /{seq} HTTP/1.1\r\n\r\n").into_bytes())
}

/// Runs a test of this program in a network namespace of its own, in which it may set rules.
fn in_namespace(test: &str) -> anyhow::Result<()> {
    // Root needs no user namespace; memcached then runs as another user.
    let is_root = rustix::process::geteuid().is_root();
    let (map, namespace) = if is_root {
        (None, "of the network")
    } else {
        (Some("--map-root-user"), OF_USERS)
    };
    let status = Command::new("unshare")
        .args(map)
        .arg("--net")
        .arg(std::env::current_exe()?)
        .args(["--exact", test, "--nocapture"])
        .env(IN_NAMESPACE, namespace)
        .status()
        .context(missing("util-linux"))?;
    ensure!(status.success(), "it failed in its namespace");
    Ok(())
}

fn ip(arguments: &str) -> anyhow::Result<()> {
    run(Command::new("ip").args(arguments.split(' ')), "iproute2")
}

fn nft(rule: &str) -> anyhow::Result<()> {
    run(Command::new("nft").arg(rule), "nftables")
}

fn run(command: &mut Command, package: &str) -> anyhow::Result<()> {
    let done = command.output().with_context(|| missing(package))?;
    ensure!(done.status.success(), "{done:?}");
    Ok(())
}

/// Waits until a hub has the requests up to this number, and checks that it has each once.
async fn all_once(hub: &Site, newest: u64) -> anyhow::Result<()> {
    let mut numbers = hub.until_has("one", usize::try_from(newest)?).await?;
    numbers.sort_unstable();
    let all: Vec<u64> = (1..=newest).collect();
    ensure!(numbers == all, "{} of {newest}: {numbers:?}", numbers.len());
    Ok(())
}
