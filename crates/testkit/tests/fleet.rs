//! Many machines and one page: real sensors, a real NATS, a real hub.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use forever200_testkit::stack::Setup;
use forever200_testkit::{Nats, Stack, until};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// A forever200 with a history in a folder of its own.
struct Site {
    stack: Stack,
    history: TempDir,
}

impl Site {
    async fn start(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let history = tempfile::tempdir()?;
        let folder = history.path().to_str().context("an odd name")?;
        let mut all = vec![("FOREVER200_HISTORY", folder)];
        all.extend_from_slice(variables);
        let stack = Stack::start_as(Setup {
            variables: &all,
            ..Setup::default()
        })
        .await?;
        Ok(Self { stack, history })
    }

    async fn sensor(name: &str, nats: &Nats) -> anyhow::Result<Self> {
        let addresses = nats.addresses("nats");
        Self::start(&[("FOREVER200_HUB", &addresses), ("FOREVER200_SENSOR", name)]).await
    }

    async fn hub(nats: &Nats) -> anyhow::Result<Self> {
        let addresses = nats.addresses("nats");
        Self::start(&[("FOREVER200_FLEET", &addresses)]).await
    }

    /// Sends requests one after the other, each with another target.
    async fn ask(&self, name: &str, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
        for number in numbers {
            let request = format!("GET /{name}/{number} HTTP/1.1\r\nHost: x\r\n\r\n");
            let reply = self.stack.send(request.as_bytes()).await?;
            ensure!(reply.starts_with(b"HTTP/1.1 200 Ok"), "no answer");
        }
        Ok(())
    }

    fn file(&self) -> anyhow::Result<Connection> {
        open(self.history.path())
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
        until(
            &format!("{count} requests of {sensor} at the hub"),
            || async {
                let numbers = self.numbers().ok()?.remove(sensor)?;
                (numbers.len() >= count).then_some(numbers)
            },
        )
        .await
        .with_context(|| self.stack.log())
    }
}

fn open(folder: &Path) -> anyhow::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(
        folder.join("history.db"),
        flags,
    )?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_sensors_answer_is_on_the_page_of_the_hub() -> anyhow::Result<()> {
    let nats = Nats::start(1, "").await?;
    let hub = Site::hub(&nats).await?;
    let one = Site::sensor("one", &nats).await?;
    let two = Site::sensor("two", &nats).await?;
    one.ask("one", 1..121).await?;
    two.ask("two", 1..31).await?;
    let all: Vec<u64> = (1..=120).collect();
    assert_eq!(hub.until_has("one", 120).await?, all);
    assert_eq!(hub.until_has("two", 30).await?, all[..30]);
    let list = hub.stack.until_recorded(150).await?;
    let newest = &list["requests"][0];
    let path = newest["http"]["target"].as_str().context("no target")?;
    assert!(["/one/120", "/two/30"].contains(&path), "{path}");
    assert_eq!(list["total"], 150);
    Ok(())
}
