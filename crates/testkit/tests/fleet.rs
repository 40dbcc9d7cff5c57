//! Many machines and one page: real sensors, real servers of NATS, a real hub, with keys and certificates as
//! docs/fleet.md makes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, ensure};
use async_nats::{Client, ConnectOptions, jetstream};
use forever200_fleet::message::{self, Position};
use forever200_fleet::sensor::Sensor;
use forever200_ring::{Ended, Record, Via};
use forever200_testkit::process::{command, programs, project};
use forever200_testkit::report::{rounds, row};
use forever200_testkit::stack::Setup;
use forever200_testkit::{Nats, Stack, until};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// Servers, and the keys of all who may reach them.
struct Fleet {
    nats: Nats,
    /// Certificates, and a key for each name.
    folder: TempDir,
}

impl Fleet {
    async fn start(servers: usize, sensors: &[&str]) -> anyhow::Result<Self> {
        let mut fleet = Self {
            nats: Nats::new(servers)?,
            folder: tempfile::tempdir()?,
        };
        fleet.make_certificates()?;
        let mut users = vec![fleet.enroll("--hub")?];
        for sensor in sensors {
            users.push(fleet.enroll(sensor)?);
        }
        let secrets = fleet.folder.path().join("secrets");
        let settings = format!(
            "tls {{ cert_file: \"{0}/server.pem\", key_file: \"{0}/server.key\" }}\n\
             authorization {{ users: [\n{1}\n] }}",
            secrets.display(),
            users.join("\n")
        );
        fleet.nats.start(&settings).await?;
        Ok(fleet)
    }

    /// With the script of docs/fleet.md.
    fn make_certificates(&self) -> anyhow::Result<()> {
        let script = self.folder.path().join("certificates");
        std::fs::copy(project().join("deploy/fleet/certificates"), &script)?;
        let made = command(script).args(self.nats.ips()).output()?;
        ensure!(made.status.success(), "no certificates: {made:?}");
        Ok(())
    }

    /// Makes a key, and returns the entry for the list of users.
    fn enroll(&self, name: &str) -> anyhow::Result<String> {
        let made = command(programs()?.join("forever200-fleet"))
            .args(["enroll", name])
            .output()?;
        let made = String::from_utf8(made.stdout)?;
        let mut lines = made.lines().filter(|line| !line.starts_with('#'));
        let user = lines.next().context("no entry")?.to_owned();
        std::fs::write(self.key(name), lines.next().context("no seed")?)?;
        Ok(user)
    }

    fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.nk"))
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("secrets/ca.pem")
    }

    /// Returns the variables by which a program is let in.
    fn variables(&self, name: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
        let text = |path: PathBuf| path.to_str().map(str::to_owned).context("an odd name");
        let who = match name {
            "--hub" => vec![("FOREVER200_FLEET", self.nats.addresses())],
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

    async fn site(&self, name: &str) -> anyhow::Result<Site> {
        Site::start(&self.variables(name)?).await
    }

    /// Connects as a program of the test's own that has the key of this name.
    async fn client(&self, name: &str) -> anyhow::Result<Client> {
        let seed = std::fs::read_to_string(self.key(name))?;
        let options = ConnectOptions::with_nkey(seed)
            .add_root_certificates(self.authority())
            .custom_inbox_prefix(format!("_INBOX.{name}"));
        Ok(options.connect(self.nats.addresses()).await?)
    }

    /// Runs `forever200-fleet check` for a name, with variables beside the usual.
    fn check(&self, name: &str, further: &[(&str, &Path)]) -> anyhow::Result<Output> {
        let mut check = command(programs()?.join("forever200-fleet"));
        check.arg("check").envs(self.variables(name)?);
        check.envs(further.iter().copied());
        Ok(check.output()?)
    }
}

/// A forever200 with a history in a folder of its own.
struct Site {
    stack: Stack,
    history: TempDir,
}

/// Requests that the history of a sensor may lack while the next is sent: half a ring.
const MOST_AHEAD: u64 = 50;

impl Site {
    async fn start(variables: &[(&str, String)]) -> anyhow::Result<Self> {
        let history = tempfile::tempdir()?;
        let folder = history.path().to_str().context("an odd name")?;
        let mut all = vec![("FOREVER200_HISTORY", folder)];
        all.extend(variables.iter().map(|(name, value)| (*name, &**value)));
        let stack = Stack::start_as(Setup {
            variables: &all,
            ..Setup::default()
        })
        .await?;
        Ok(Self { stack, history })
    }

    /// Sends requests one after the other, each with another target, not faster than the history here takes them: a sensor
    /// that is short of CPU loses what its ring cannot hold, and counts it.
    async fn ask(&self, numbers: std::ops::RangeInclusive<u64>) -> anyhow::Result<()> {
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

    fn file(&self) -> anyhow::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let path = self.history.path().join("history.db");
        Ok(Connection::open_with_flags(path, flags)?)
    }

    /// Numbers at the sensors of what this hub has, by the name of the sensor, in the order in which they came.
    fn numbers(&self) -> anyhow::Result<BTreeMap<String, Vec<u64>>> {
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

    /// Waits until this hub has so many requests of a sensor.
    async fn until_has(&self, sensor: &str, count: usize) -> anyhow::Result<Vec<u64>> {
        let what = format!("{count} requests of {sensor} at the hub");
        until(&what, || async {
            let numbers = self.numbers().ok()?.remove(sensor)?;
            (numbers.len() >= count).then_some(numbers)
        })
        .await
        .with_context(|| format!("{:?} {}", self.numbers(), self.stack.log()))
    }
}

fn newest(file: &Connection) -> anyhow::Result<u64> {
    let newest = "SELECT coalesce(max(seq), 0) FROM request";
    let newest: i64 = file.query_row(newest, [], |row| row.get(0))?;
    Ok(newest.unsigned_abs())
}

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
async fn whatever_is_killed_nothing_is_lost_and_nothing_is_there_twice() -> anyhow::Result<()> {
    let mut fleet = Fleet::start(3, &["one"]).await?;
    let hub = fleet.site("--hub").await?;
    let sensor = fleet.site("one").await?;
    let mut sent = 0;
    for _ in 0..rounds().div_ceil(2) {
        for program in [
            "collector",
            "viewer",
            "memcached",
            "publisher",
            "server",
            "servers",
        ] {
            sensor.ask(sent + 1..=sent + 20).await?;
            match program {
                "server" => fleet.nats.restart(0)?,
                "servers" => (0..3).try_for_each(|number| fleet.nats.restart(number))?,
                "publisher" => sensor.stack.kill(program).await?,
                _ => hub.stack.kill(program).await?,
            }
            sensor.ask(sent + 21..=sent + 40).await?;
            sent += 40;
            let mut numbers = hub.until_has("one", sent as usize).await?;
            numbers.sort_unstable();
            assert_eq!(numbers, (1..=sent).collect::<Vec<_>>(), "{program}");
        }
    }
    row("fleet", &[&"kill -9 of each part", &sent, &0, &0]);
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

fn record(seq: u64, raw: Vec<u8>) -> Record {
    Record {
        seq,
        timestamp: jiff::Timestamp::now(),
        src_ip: "203.0.113.7".parse().expect("an address"),
        src_port: 41000,
        dest_ip: "192.0.2.1".parse().expect("an address"),
        dest_port: 80,
        via: Via::ProxyV2,
        bytes: raw.len() as u64,
        extra: 0,
        truncated: false,
        ended: Ended::Complete,
        continues: None,
        tls: None,
        sensor: None,
        responder: "0123abcd".into(),
        raw: raw.into(),
    }
}

/// Publishes a record as a sensor that is not ours does, and waits until the stream has it.
async fn publish(client: &Client, sensor: &Sensor, record: &Record) -> anyhow::Result<()> {
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

#[tokio::test(flavor = "multi_thread")]
async fn one_that_floods_hides_none_of_the_others() -> anyhow::Result<()> {
    const FLOOD: u64 = 3000;
    let fleet = Fleet::start(1, &["flood", "quiet"]).await?;
    // The hub makes the stream, and is away while one of them fills it.
    let hub = fleet.site("--hub").await?;
    let (flood, quiet): (Sensor, Sensor) = (
        "flood".parse().map_err(anyhow::Error::msg)?,
        "quiet".parse().map_err(anyhow::Error::msg)?,
    );
    let client = fleet.client("flood").await?;
    until("there is a stream", || async {
        publish(&client, &flood, &record(1, b"first".to_vec()))
            .await
            .ok()
    })
    .await?;
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
async fn a_key_opens_the_subject_of_its_sensor_and_nothing_else() -> anyhow::Result<()> {
    let fleet = Fleet::start(1, &["one", "two"]).await?;
    let hub = fleet.site("--hub").await?;
    let (one, two): (Sensor, Sensor) = (
        "one".parse().map_err(anyhow::Error::msg)?,
        "two".parse().map_err(anyhow::Error::msg)?,
    );
    let client = fleet.client("one").await?;
    until("there is a stream", || async {
        publish(&client, &one, &record(1, b"mine".to_vec()))
            .await
            .ok()
    })
    .await?;
    let asked = Duration::from_secs(2);
    let forged = tokio::time::timeout(
        asked,
        publish(&client, &two, &record(1, b"forged".to_vec())),
    );
    assert!(!matches!(forged.await, Ok(Ok(()))), "it wrote as another");
    for subject in [
        "$JS.API.STREAM.DELETE.forever200",
        "$JS.API.STREAM.PURGE.forever200",
        "$JS.API.STREAM.INFO.forever200",
        "$JS.API.DIRECT.GET.forever200.forever200.two",
        "$JS.API.CONSUMER.CREATE.forever200",
    ] {
        let answer = tokio::time::timeout(asked, client.request(subject, "{}".into())).await;
        assert!(!matches!(answer, Ok(Ok(_))), "{subject}");
    }
    // What is none of ours is passed over.
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
