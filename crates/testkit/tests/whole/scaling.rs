//! Three responders on one ring, as in docs/scaling.md. The page has the records of each, and each
//! record once.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use forever200_testkit::load::{Attempts, Load, Pace};
use forever200_testkit::process::{command, missing, programs, project};
use forever200_testkit::stack::Setup;
use forever200_testkit::{Stack, get, get_json, loopback, until};
use serde_json::Value;
use tempfile::TempDir;

/// Port of the further responders. Each has an address of its own.
const PORT: u16 = 9999;
/// Port where haproxy decrypts TLS.
const TLS_PORT: u16 = 8443;

/// Forty requests a second. The ring holds two and a half seconds of them, so that the viewer's
/// reader misses none on a busy machine.
const SLOW: Pace = Pace {
    clients: 4,
    interval: Duration::from_millis(100),
};

/// A responder that stands for one on another machine. It is killed and reaped when dropped.
struct Far {
    address: SocketAddr,
    memcached: String,
    child: Child,
}

impl Far {
    fn start(front: Ipv4Addr) -> anyhow::Result<Self> {
        let address = SocketAddr::new(loopback().into(), PORT);
        let memcached = format!("{front}:11211");
        let child = Self::spawn(address, &memcached)?;
        Ok(Self {
            address,
            memcached,
            child,
        })
    }

    fn spawn(address: SocketAddr, memcached: &str) -> anyhow::Result<Child> {
        let mut responder = command(programs()?.join("forever200-responder"));
        responder.args(["--listen", &address.to_string(), "--proxy-protocol", "on"]);
        responder.args(["--memcached", memcached]);
        Ok(responder.stderr(Stdio::null()).spawn()?)
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.child = Self::spawn(self.address, &self.memcached)?;
        Ok(())
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A forever200 with two further responders.
struct Scaled {
    stack: Stack,
    far: [Far; 2],
    history: TempDir,
}

impl Scaled {
    async fn start() -> anyhow::Result<Self> {
        let front = loopback();
        let far = [Far::start(front)?, Far::start(front)?];
        let shipped = std::fs::read_to_string(project().join("haproxy/haproxy.cfg"))?;
        let scaled = written_for(&far)?;
        let history = tempfile::tempdir()?;
        let folder = history.path().to_str().context("an odd name")?;
        let tls = format!("{front}:{TLS_PORT}");
        let setup = Setup {
            variables: &[
                ("FOREVER200_HISTORY", folder),
                ("FOREVER200_BIND_TLS", &tls),
            ],
            edits: &[("haproxy/haproxy.cfg", &shipped, &scaled)],
            ..Setup::default()
        };
        let stack = Stack::start_at(front, setup).await?;
        Ok(Self {
            stack,
            far,
            history,
        })
    }

    /// Waits until the ring has records of `count` responders.
    async fn until_responders(&self, count: usize) -> anyhow::Result<()> {
        until(&format!("the ring is from {count} responders"), || async {
            let list = get_json(self.stack.front(), "/home/api/requests").await;
            (responders(&list.ok()?).len() == count).then_some(())
        })
        .await
    }

    /// Waits until the history has all requests that were answered. Returns the numbers of all its
    /// requests, by path.
    async fn by_path(&self, attempts: &Attempts) -> anyhow::Result<HashMap<String, Vec<u64>>> {
        until("the history has all answered requests", || async {
            let export = get(self.stack.front(), "/home/export.ndjson?since=1h").await;
            let mut by_path: HashMap<String, Vec<u64>> = HashMap::new();
            for line in export.ok()?.text().lines() {
                let request: Value = serde_json::from_str(line).ok()?;
                let path = request["http"]["target"].as_str()?.to_owned();
                by_path
                    .entry(path)
                    .or_default()
                    .push(request["seq"].as_u64()?);
            }
            let mut answered = attempts.answered();
            answered
                .all(|attempt| by_path.contains_key(&attempt.path))
                .then_some(by_path)
        })
        .await
        .with_context(|| self.stack.log())
    }

    /// Sends a request through TLS. If curl checks the certificate (`looked_at`), the handshake
    /// must fail.
    async fn through_tls(&self, path: &str, looked_at: bool) -> anyhow::Result<()> {
        let port = self.stack.at(TLS_PORT);
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["--silent", "--max-time", "10"]);
        if !looked_at {
            curl.arg("--insecure");
        }
        let status = curl.arg(format!("https://{port}{path}")).status().await;
        let status = status.context(missing("curl"))?;
        ensure!(status.success() != looked_at, "{path}: {status}");
        Ok(())
    }
}

/// Returns the configuration that the document tells a reader to write.
fn written_for(far: &[Far; 2]) -> anyhow::Result<String> {
    let mut script = command(project().join("deploy/scaling/haproxy-cfg"));
    let addresses = far.iter().map(|far| far.address.to_string());
    let output = script.args(addresses).output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

fn responders(list: &Value) -> BTreeSet<&str> {
    let requests = list["requests"].as_array().into_iter().flatten();
    requests
        .filter_map(|request| request["responder"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_three_responders_record_is_there_once_also_when_one_is_killed() -> anyhow::Result<()>
{
    let mut scaled = Scaled::start().await?;
    let load = Load::start(scaled.stack.front(), "scaled", SLOW);
    scaled.until_responders(3).await?;
    scaled.far[0].kill()?;
    scaled.until_responders(2).await?;
    scaled.far[0].restart()?;
    scaled.until_responders(3).await?;
    let attempts = load.stop().await?;
    let by_path = scaled.by_path(&attempts).await?;
    let numbers: BTreeSet<_> = by_path.values().flatten().collect();
    let requests: usize = by_path.values().map(Vec::len).sum();
    assert_eq!(numbers.len(), requests, "a number is there twice");
    // Requests that the responder had in flight when it died: haproxy may have sent them again, or
    // their clients got nothing, or the responder had already taken a number for them.
    let twice = by_path.values().filter(|numbers| numbers.len() > 1).count();
    let last = numbers.last().map_or(0, |&&number| number) as usize;
    for (what, count) in [
        ("twice", twice),
        ("failed", attempts.failed()),
        ("numbers without a request", last - requests),
    ] {
        ensure!(count <= SLOW.clients, "{count} {what}");
    }
    drop(scaled.history);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_tls_is_known_to_whichever_responder_gets_it() -> anyhow::Result<()> {
    let scaled = Scaled::start().await?;
    let front = scaled.stack.front();
    until("three responders have seen a hello", || async {
        scaled.through_tls("/x", false).await.ok()?;
        let mut list = get_json(front, "/home/api/requests").await.ok()?;
        let requests = list["requests"].as_array_mut()?;
        requests.retain(|request| request["tls"]["ja4"].is_string());
        (responders(&list).len() == 3).then_some(())
    })
    .await
    .with_context(|| scaled.stack.log())?;
    let before = get_json(front, "/home/api/requests").await?;
    let before = before["total"].as_u64().context("a number")?;
    scaled.through_tls("/", true).await?;
    let failed = scaled.stack.until_recorded(before + 1).await?;
    ensure!(failed["requests"][0]["tls"]["failed"].is_string());
    scaled.through_tls("/last", false).await?;
    let list = scaled.stack.until_recorded(before + 2).await?;
    // All three responders learned of the failed handshake, and only one recorded it.
    assert_eq!(list["total"], before + 2);
    assert_eq!(list["requests"][0]["http"]["target"], "/last");
    Ok(())
}
