//! NATS servers, sensors and hubs for the tests of a fleet, with keys and certificates as in
//! docs/fleet.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use async_nats::{Client, ConnectOptions, ServerAddr, jetstream};
use forever200_fleet::message::{self, Position};
use forever200_fleet::sensor::Sensor;
use forever200_ring::Record;
use forever200_testkit::process::{command, missing, programs, project};
use forever200_testkit::stack::{IN_A_NAMESPACE_OF_USERS, Setup};
use forever200_testkit::{Between, Nats, Stack, until};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Variable that is set where a test runs in a network namespace of its own; to `OF_USERS` where it
/// has a user namespace too.
pub(super) const IN_NAMESPACE: &str = "TEST_IN_NAMESPACE";
pub(super) const OF_USERS: &str = "of users";

/// More shares than tests that run side by side.
const SHARES: u32 = 1000;
/// The processors. A test takes one share; a test that measures times takes all of them.
static PROCESSORS: Semaphore = Semaphore::const_new(SHARES as usize);

/// NATS servers, and the keys of all sensors and hubs.
pub(super) struct Fleet {
    pub(super) nats: Nats,
    /// Another way to the first server, which a test may cut.
    pub(super) line: Between,
    /// Certificates, and a key for each name.
    pub(super) folder: TempDir,
    _processors: SemaphorePermit<'static>,
}

impl Fleet {
    pub(super) async fn start(servers: usize, sensors: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(1, servers, sensors).await
    }

    /// Starts a fleet when no other test of a fleet runs, and keeps the others waiting.
    pub(super) async fn start_alone(servers: usize, sensors: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(SHARES, servers, sensors).await
    }

    async fn start_with(shares: u32, servers: usize, sensors: &[&str]) -> anyhow::Result<Self> {
        let processors = PROCESSORS.acquire_many(shares).await?;
        let nats = Nats::new(servers)?;
        let first = nats.addresses().split(',').next().map(str::to_owned);
        let first = first.context("no server")?.replace("tls://", "");
        let mut fleet = Self {
            line: Between::start(first).await?,
            nats,
            folder: tempfile::tempdir()?,
            _processors: processors,
        };
        fleet.make_certificates()?;
        let mut accounts = vec![fleet.enroll("--hub")?];
        for sensor in sensors {
            accounts.push(fleet.enroll(sensor)?);
        }
        let secrets = fleet.folder.path().join("secrets");
        let settings = format!(
            "tls {{ cert_file: \"{0}/server.pem\", key_file: \"{0}/server.key\" }}\n\
             accounts {{\n{1}\n}}",
            secrets.display(),
            accounts.join("\n")
        );
        fleet.nats.start(&settings).await?;
        Ok(fleet)
    }

    /// Makes the certificates with the script that docs/fleet.md names.
    pub(super) fn make_certificates(&self) -> anyhow::Result<()> {
        let script = self.folder.path().join("certificates");
        std::fs::copy(project().join("deploy/fleet/certificates"), &script)?;
        let line = self.line.address();
        let line = line.rsplit_once(':').map(|(ip, _)| ip.to_owned());
        let names = self.nats.ips().into_iter().chain(line);
        // Run by bash, because a file that was just written cannot be executed while a process that
        // another thread starts still has it open (ETXTBSY).
        let made = command("bash").arg(script).args(names).output()?;
        ensure!(made.status.success(), "no certificates: {made:?}");
        Ok(())
    }

    /// Replaces the servers' certificate by one from the same authority that expired years ago.
    pub(super) fn make_expired_certificate(&self) -> anyhow::Result<()> {
        let secrets = self.folder.path().join("secrets");
        for file in ["server.pem", "server.key"] {
            std::fs::remove_file(secrets.join(file))?;
        }
        let script = self.folder.path().join("certificates");
        let made = command("faketime")
            .args(["2005-01-01 00:00:00", "bash"])
            .arg(script)
            .args(self.nats.ips())
            .output()
            .context(missing("faketime"))?;
        ensure!(made.status.success(), "no certificates: {made:?}");
        Ok(())
    }

    /// Makes a key, and returns the line for the list of accounts.
    pub(super) fn enroll(&self, name: &str) -> anyhow::Result<String> {
        let made = command(programs()?.join("forever200-fleet"))
            .args(["enroll", name])
            .output()?;
        let made = String::from_utf8(made.stdout)?;
        let mut lines = made.lines().filter(|line| !line.starts_with('#'));
        let user = lines.next().context("no entry")?.to_owned();
        std::fs::write(self.key(name), lines.next().context("no seed")?)?;
        Ok(user)
    }

    pub(super) fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.nk"))
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.folder.path().join("secrets/ca.pem")
    }

    /// Returns the variables with which a program can connect.
    pub(super) fn variables(&self, name: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
        let text = |path: PathBuf| path.to_str().map(str::to_owned).context("an odd name");
        let who = match name {
            "--hub" => vec![
                ("FOREVER200_FLEET", self.nats.addresses()),
                (
                    "FOREVER200_FLEET_REPLICAS",
                    self.nats.ips().len().to_string(),
                ),
            ],
            name => vec![
                ("FOREVER200_HUB", self.nats.addresses()),
                ("FOREVER200_SENSOR", name.to_owned()),
            ],
        };
        let secrets = [
            ("FOREVER200_HUB_KEY", text(self.key(name))?),
            ("FOREVER200_HUB_CA", text(self.authority())?),
        ];
        Ok(who.into_iter().chain(secrets).collect())
    }

    pub(super) async fn site(&self, name: &str) -> anyhow::Result<Site> {
        Site::start(&self.variables(name)?).await
    }

    /// Connects the test itself, with the key of this name.
    pub(super) async fn client(&self, name: &str) -> anyhow::Result<Client> {
        let seed = std::fs::read_to_string(self.key(name))?;
        let options = ConnectOptions::with_nkey(seed)
            .add_root_certificates(self.authority())
            .custom_inbox_prefix(format!("_INBOX.{name}"));
        let addresses = self.nats.addresses();
        let servers: Vec<ServerAddr> = addresses
            .split(',')
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        Ok(options.connect(servers).await?)
    }

    /// Runs `forever200-fleet check` for a name, with further variables.
    pub(super) fn check(&self, name: &str, further: &[(&str, &Path)]) -> anyhow::Result<Output> {
        let mut check = self.program(name, &["check"])?;
        Ok(check.envs(further.iter().copied()).output()?)
    }

    /// Returns the command `forever200-fleet`, as a person calls it at a sensor or at the hub.
    pub(super) fn program(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut program = command(programs()?.join("forever200-fleet"));
        program.args(arguments).envs(self.variables(name)?);
        Ok(program)
    }
}

/// A forever200 with a history in a folder of its own.
pub(super) struct Site {
    pub(super) stack: Stack,
    pub(super) history: TempDir,
}

/// Most requests that the history of a sensor may lack when the next is sent: half a ring.
pub(super) const MOST_AHEAD: u64 = 50;

impl Site {
    pub(super) async fn start(variables: &[(&str, String)]) -> anyhow::Result<Self> {
        let history = tempfile::tempdir()?;
        let folder = history.path().to_str().context("an odd name")?;
        let mut all = vec![("FOREVER200_HISTORY", folder)];
        all.extend(variables.iter().map(|(name, value)| (*name, &**value)));
        let edits = if std::env::var(IN_NAMESPACE).as_deref() == Ok(OF_USERS) {
            IN_A_NAMESPACE_OF_USERS
        } else {
            &[]
        };
        let stack = Stack::start_as(Setup {
            variables: &all,
            edits,
            ..Setup::default()
        })
        .await?;
        Ok(Self { stack, history })
    }

    /// Sends requests one after the other, each with another target, not faster than the history
    /// here takes them. A sensor that is short of CPU would lose, and count, requests that its ring
    /// cannot hold.
    pub(super) async fn ask(&self, numbers: std::ops::RangeInclusive<u64>) -> anyhow::Result<()> {
        let file = self.file()?;
        for number in numbers {
            until("the history has what was answered", || async {
                (newest(&file).ok()? + MOST_AHEAD > number).then_some(())
            })
            .await?;
            let request = format!("GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n");
            let reply = self.stack.send(request.as_bytes()).await?;
            ensure!(reply.starts_with(b"HTTP/1.1 200 Ok"), "no answer");
        }
        Ok(())
    }

    pub(super) fn file(&self) -> anyhow::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let path = self.history.path().join("history.db");
        Ok(Connection::open_with_flags(path, flags)?)
    }

    /// Returns, by name of the sensor, the sensor's numbers of the requests that this hub has, in
    /// the order in which they came.
    pub(super) fn numbers(&self) -> anyhow::Result<BTreeMap<String, Vec<u64>>> {
        let file = self.file()?;
        let mut statement = file.prepare(
            "SELECT name, number FROM sent JOIN sensor ON sensor.id = sensor ORDER BY request",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?;
        let mut numbers = BTreeMap::<String, Vec<u64>>::new();
        for row in rows {
            let (name, number) = row?;
            numbers.entry(name).or_default().push(number.unsigned_abs());
        }
        Ok(numbers)
    }

    /// Waits until this hub has `count` requests of a sensor, and returns their numbers.
    pub(super) async fn until_has(&self, sensor: &str, count: usize) -> anyhow::Result<Vec<u64>> {
        let what = format!("{count} requests of {sensor} at the hub");
        until(&what, || async {
            let numbers = self.numbers().ok()?.remove(sensor)?;
            (numbers.len() >= count).then_some(numbers)
        })
        .await
        .with_context(|| format!("{:?} {}", self.numbers(), self.stack.log()))
    }
}

pub(super) fn newest(file: &Connection) -> anyhow::Result<u64> {
    let newest = "SELECT coalesce(max(seq), 0) FROM request";
    let newest: i64 = file.query_row(newest, [], |row| row.get(0))?;
    Ok(newest.unsigned_abs())
}

pub(super) fn sensor(name: &str) -> anyhow::Result<Sensor> {
    name.parse().map_err(anyhow::Error::msg)
}

/// Returns a record with the present time, from which the time to the hub can be measured.
pub(super) fn record(seq: u64, raw: Vec<u8>) -> Record {
    Record {
        timestamp: jiff::Timestamp::now(),
        ..forever200_testkit::record(seq, raw)
    }
}

/// Publishes the first record of a sensor, as soon as there is a stream.
pub(super) async fn publish_first(
    client: &Client,
    sensor: &Sensor,
    record: &Record,
) -> anyhow::Result<()> {
    until("there is a stream", || async {
        publish(client, sensor, record).await.ok()
    })
    .await
}

/// Publishes a record without forever200's own publisher, and waits until the stream has it.
pub(super) async fn publish(
    client: &Client,
    sensor: &Sensor,
    record: &Record,
) -> anyhow::Result<()> {
    let position = Position {
        era: 1,
        seq: record.seq,
    };
    let headers = message::headers(sensor, position, 0);
    let context = jetstream::new(client.clone());
    let taken = context
        .publish_with_headers(sensor.subject(), headers, record.encode().into())
        .await?;
    taken.await?;
    Ok(())
}
