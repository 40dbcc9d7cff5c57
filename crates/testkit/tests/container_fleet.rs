//! The servers, the gate before them and the hub of deploy/fleet, started as in docs/fleet.md. The
//! tests need a Docker engine, so they are `ignored`; see `make test`.

use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::{ConnectOptions, jetstream};
use bytes::Bytes;
use forever200_testkit::container::shell;
use forever200_testkit::{Container, RESPONSE, exchange, get_json, until};
use tempfile::TempDir;

const PROJECT: &str = "forever200-fleet-test";
/// Variables for Compose: the project's name, and a free port of loopback for the hub's page.
const ENVIRONMENT: &str = "COMPOSE_PROJECT_NAME=forever200-fleet-test FOREVER200_PORT=127.0.0.1:0";
/// Bytes that deploy/fleet/gate.cfg lets one address send in a second.
const SHARE_BYTES: usize = 2 << 20;
const NOISE_BYTES: usize = 64 << 10;
/// How many seconds the noise takes through the gate. Without a limit it would take a tenth of a
/// second.
const SECONDS: usize = 8;
/// Longest wait for all of the noise to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// The services of deploy/fleet/compose.yml, in a copy of that folder, taken down when dropped.
struct Compose(TempDir);

impl Compose {
    /// Starts the services as docs/fleet.md says.
    fn up(sensors: &str) -> anyhow::Result<Self> {
        shell("docker build -q -t forever200 .")?;
        let compose = Self(tempfile::tempdir()?);
        let folder = compose.folder();
        shell(&format!(
            "cp deploy/fleet/* {folder} && cd {folder} && bash ./certificates localhost gate \
             && {ENVIRONMENT} bash ./enroll --hub {sensors} && {ENVIRONMENT} docker compose up -d --build",
        ))?;
        Ok(compose)
    }

    /// Runs a command in the folder.
    fn sh(&self, command: &str) -> anyhow::Result<String> {
        shell(&format!("cd {} && {ENVIRONMENT} {command}", self.folder()))
    }

    fn folder(&self) -> String {
        self.0.path().display().to_string()
    }

    fn secret(&self, name: &str) -> String {
        self.0
            .path()
            .join("secrets")
            .join(name)
            .display()
            .to_string()
    }

    /// Starts a sensor that reaches the servers through the gate, from an address of its own.
    fn sensor(&self, name: &str) -> anyhow::Result<Container> {
        Container::run(&format!(
            "--network {PROJECT}_default -e FOREVER200_SENSOR={name} -e FOREVER200_HUB=tls://gate:4222 \
             -e FOREVER200_HUB_KEY=/key.nk -e FOREVER200_HUB_CA=/ca.pem -v {}:/key.nk:ro -v {}:/ca.pem:ro",
            self.secret(&format!("{name}/key.nk")),
            self.secret("ca.pem"),
        ))
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        let _ = self.sh("docker compose down --volumes");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine: make test-container"]
async fn a_sensor_that_sends_without_a_pause_is_slowed_and_slows_no_other() -> anyhow::Result<()> {
    let compose = Compose::up("loud")?;
    let hub = compose.sh("docker compose port hub 80")?.parse()?;
    // A sensor is enrolled while the servers run.
    compose.sh("bash ./enroll quiet")?;
    let quiet = compose.sensor("quiet")?;
    let arrived = async |count: usize| {
        until(
            &format!("the hub has {count} requests of the quiet one"),
            || async {
                let list = get_json(hub, "/home/api/requests?sensor=quiet")
                    .await
                    .ok()?;
                (list["requests"].as_array()?.len() >= count).then_some(())
            },
        )
        .await
        .with_context(|| quiet.logs())
    };
    let ask = async || {
        until("the quiet one answers", || async {
            let request = b"GET /quiet HTTP/1.1\r\n\r\n";
            let (reply, _) = exchange(quiet.address().ok()?, request).await.ok()?;
            (reply == RESPONSE).then_some(())
        })
        .await
    };
    ask().await?;
    arrived(1).await?;

    let seed = std::fs::read_to_string(compose.secret("loud/key.nk"))?;
    let loud = ConnectOptions::with_nkey(seed.trim().to_owned())
        .add_root_certificates(compose.secret("ca.pem").into())
        .custom_inbox_prefix("_INBOX.loud")
        .connect("tls://localhost:4222")
        .await?;
    let noise = Bytes::from(vec![0xff; NOISE_BYTES]);
    let started = Instant::now();
    let sending = tokio::spawn(async move {
        for _ in 0..SECONDS * SHARE_BYTES / NOISE_BYTES {
            loud.publish("forever200.loud", noise.clone()).await?;
        }
        // The noise may still be in the system's buffers. When the last message is acknowledged,
        // all of it has arrived.
        let mut context = jetstream::new(loud);
        context.set_timeout(PATIENCE);
        context.publish("forever200.loud", noise).await?.await?;
        anyhow::Ok(())
    });
    for count in 2..=5 {
        ask().await?;
        arrived(count).await?;
    }
    sending.await??;
    let took = started.elapsed();
    assert!(took > Duration::from_secs(SECONDS as u64 - 2), "{took:?}");

    // The command from docs/fleet.md, with -T because there is no terminal.
    let purged = compose.sh("docker compose exec -T hub forever200-fleet purge loud")?;
    let sent = SECONDS * SHARE_BYTES / NOISE_BYTES + 1;
    assert!(purged.contains("were deleted from the stream"), "{purged}");
    assert!(purged.starts_with(&sent.to_string()), "{sent}: {purged}");
    Ok(())
}
