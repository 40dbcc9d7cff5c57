//! A history in trouble while requests come in. Requests are answered as fast as before, the page
//! still shows the ring, and one line on it tells what is wrong. When the trouble is over, writing
//! goes on, and requests that were not kept are counted.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use forever200_testkit::clock::{Clock, HAPROXY_KEEPS_TIME};
use forever200_testkit::load::{Attempts, Load, STEADY};
use forever200_testkit::process::{command, missing, signal};
use forever200_testkit::report::{milliseconds, row};
use forever200_testkit::stack::Setup;
use forever200_testkit::{Stack, get_json, until};
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// Ninety-nine of a hundred requests are answered within this time. A request that waited for the
/// disk would take a second or more. On a busy machine, answers alone take a tenth of a second.
const ON_TIME: Duration = Duration::from_millis(400);
const VIEWER: &str = "exec forever200-viewer'";
/// Starts the viewer with a small disk of its own for the history, which no other process sees. For
/// that it has a mount namespace, and without root also a user namespace.
const SMALL_DISK: &str = r#"user=; [ "$(id -u)" = 0 ] || user=--map-root-user
    exec unshare $user --mount sh -c "
        mount -t tmpfs -o OPTIONS none \"$FOREVER200_HISTORY\" && exec setpriv --pdeathsig KILL forever200-viewer"'"#;

/// A stack with a history in a folder of its own.
struct Kept {
    stack: Stack,
    folder: TempDir,
}

impl Kept {
    async fn start() -> anyhow::Result<Self> {
        Self::start_as(Setup::default()).await
    }

    /// Starts a stack whose history has a disk of its own, mounted with these options.
    async fn start_on_disk(options: &str) -> anyhow::Result<Self> {
        let viewer = SMALL_DISK.replace("OPTIONS", options);
        Self::start_as(Setup {
            edits: &[("supervisord.conf", VIEWER, &viewer)],
            ..Setup::default()
        })
        .await
    }

    async fn start_as(setup: Setup<'_>) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let path = folder.path().to_str().context("an odd path")?;
        let stack = Stack::start_as(Setup {
            variables: &[("FOREVER200_HISTORY", path)],
            ..setup
        })
        .await?;
        Ok(Self { stack, folder })
    }

    /// Returns the path of the folder as the viewer sees it.
    fn folder(&self) -> anyhow::Result<PathBuf> {
        let viewer = self.stack.pid("viewer")?.context("no viewer")?;
        let seen = self.folder.path().strip_prefix("/")?;
        Ok(Path::new(&format!("/proc/{viewer}/root")).join(seen))
    }

    async fn stats(&self) -> anyhow::Result<Value> {
        get_json(self.stack.front(), "/home/api/stats").await
    }

    /// Waits until the page tells what is wrong. Checks that nothing else is wrong: the stack is
    /// healthy, and the page shows new requests.
    async fn until_told(&self, reason: &str) -> anyhow::Result<()> {
        let sentence = format!("The history cannot be written: {reason}.");
        until(&format!("it says {sentence}"), || async {
            let stats = self.stats().await.ok()?;
            (stats["history"]["trouble"] == sentence.as_str()).then_some(())
        })
        .await
        .with_context(|| self.stack.log())?;
        let page = self.stack.get("/home").await?;
        assert_eq!(page.status, 200);
        ensure!(page.text().contains(&sentence), "the page says nothing");
        let health = get_json(self.stack.front(), "/home/health").await?;
        assert_eq!(health["status"], "ok");
        assert_eq!(health["history"], sentence.as_str());
        assert_eq!(self.stack.unhealthy()?, None);
        Ok(())
    }

    /// Waits until nothing is wrong and each request is written or counted as missing. Returns how
    /// many are missing.
    async fn until_well(&self) -> anyhow::Result<u64> {
        until("all is well", || async {
            let stats = self.stats().await.ok()?;
            stats["history"]["trouble"].is_null().then_some(())
        })
        .await
        .with_context(|| self.stack.log())?;
        let page = self.stack.get("/home").await?.text();
        ensure!(
            !page.contains("The history cannot"),
            "the page still says so"
        );
        let missing = until("all requests are accounted for", || async {
            let stats = self.stats().await.ok()?;
            let (written, missing) = self.accounts().ok()?;
            let counted = &stats["history"]["not_kept"]["requests"];
            let is_told = counted.as_u64().unwrap_or_default() == missing;
            (stats["total"] == written + missing && is_told).then_some(missing)
        })
        .await
        .with_context(|| format!("{:?} {:?}", self.accounts(), self.stack.log()))?;
        let sentence = "answered, but not kept in the history";
        let page = self.stack.get("/home").await?.text();
        assert_eq!(page.contains(sentence), missing > 0);
        Ok(missing)
    }

    /// Returns how many requests are in the file, and how many it counts as missing. It reads a
    /// copy, because SQLite would resolve the link `/proc/PID/root` and look for the file outside.
    fn accounts(&self) -> anyhow::Result<(u64, u64)> {
        let (folder, copy) = (self.folder()?, TempDir::new()?);
        for name in ["history.db", "history.db-wal"] {
            std::fs::copy(folder.join(name), copy.path().join(name))?;
        }
        let file = Connection::open(copy.path().join("history.db"))?;
        let number = |query| {
            file.query_row(query, [], |row| row.get::<_, i64>(0))
                .map(i64::unsigned_abs)
        };
        Ok((
            number("SELECT count(*) FROM request")?,
            number("SELECT coalesce(sum(requests), 0) FROM gap")?,
        ))
    }

    /// Opens the file as a person would.
    fn connect(&self) -> anyhow::Result<Connection> {
        let file = Connection::open(self.folder.path().join("history.db"))?;
        file.busy_timeout(Duration::from_secs(10))?;
        Ok(file)
    }

    /// Waits until this many more requests have come.
    async fn until_more(&self, requests: u64) -> anyhow::Result<()> {
        let stats = self.stats().await?;
        let total = stats["total"].as_u64().context("no total")?;
        self.stack.until_recorded(total + requests).await?;
        Ok(())
    }
}

fn check(trouble: &str, attempts: &Attempts) -> anyhow::Result<()> {
    let times = [0.5, 0.99, 1.0].map(|share| milliseconds(attempts.latency(share)));
    let (requests, failed) = (attempts.0.len(), attempts.failed());
    row(
        "history",
        &[&trouble, &requests, &failed, &times.join(" / ")],
    );
    assert_eq!(failed, 0);
    let most = attempts.latency(0.99);
    ensure!(most < ON_TIME, "{most:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_delays_nobody_and_is_told_until_there_is_room() -> anyhow::Result<()> {
    let kept = Kept::start_on_disk("size=8m,mode=700").await?;
    let load = Load::start(kept.stack.front(), "full", STEADY);
    kept.until_more(50).await?;
    let filler = kept.folder()?.join("filler");
    let mut file = File::create(&filler)?;
    while file.write_all(&[0x61; 4096]).is_ok() {}
    drop(file);
    kept.until_told("the disk is full").await?;
    // More requests than can wait in memory and in the ring.
    kept.until_more(500).await?;
    std::fs::remove_file(filler)?;
    kept.until_more(50).await?;
    check("disk full", &load.stop().await?)?;
    let missing = kept.until_well().await?;
    ensure!(missing > 0, "nothing is missing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_can_only_be_read_at_the_start_is_no_reason_not_to_start()
-> anyhow::Result<()> {
    let kept = Kept::start_on_disk("ro,size=8m,mode=700").await?;
    let load = Load::start(kept.stack.front(), "read-only", STEADY);
    kept.until_told("its folder is read-only").await?;
    let viewer = kept.stack.pid("viewer")?.context("no viewer")?;
    let folder = kept.folder.path().display();
    let enter = if rustix::process::geteuid().is_root() {
        ""
    } else {
        "--user --preserve-credentials"
    };
    // A device is named, because otherwise mount repeats the present options, and in Debian 13
    // these name a user who does not exist in the namespace.
    let remount =
        format!("nsenter {enter} --mount --target {viewer} mount -o remount,rw none {folder}");
    let status = command("sh").args(["-c", &remount]).status()?;
    ensure!(status.success(), "{remount}");
    kept.until_more(50).await?;
    check("folder read-only at the start", &load.stop().await?)?;
    kept.until_well().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_somebody_locks_delays_nobody() -> anyhow::Result<()> {
    let kept = Kept::start().await?;
    let load = Load::start(kept.stack.front(), "locked", STEADY);
    kept.until_more(50).await?;
    let person = kept.connect()?;
    person.execute_batch("BEGIN EXCLUSIVE")?;
    kept.until_told("another process has locked the file")
        .await?;
    kept.until_more(500).await?;
    person.execute_batch("COMMIT")?;
    kept.until_more(50).await?;
    check("file locked by sqlite3", &load.stop().await?)?;
    let missing = kept.until_well().await?;
    ensure!(missing > 0, "nothing is missing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_has_that_is_locked_at_the_start_is_not_missing() -> anyhow::Result<()> {
    let kept = Kept::start().await?;
    let load = Load::start(kept.stack.front(), "locked at the start", STEADY);
    // More requests than the ring holds.
    kept.until_more(250).await?;
    kept.stack.supervisorctl(&["stop", "viewer"])?;
    let person = kept.connect()?;
    // A lock that keeps all others even from reading.
    person.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")?;
    kept.stack.supervisorctl(&["start", "viewer"])?;
    kept.until_told("another process has locked the file")
        .await?;
    drop(person);
    check("file locked at the start", &load.stop().await?)?;
    let missing = kept.until_well().await?;
    let written = kept.accounts()?.0;
    ensure!(written > 250, "{written} are written, {missing} missing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_breaks_is_set_aside_while_it_runs() -> anyhow::Result<()> {
    let kept = Kept::start().await?;
    let load = Load::start(kept.stack.front(), "broken", STEADY);
    kept.until_more(200).await?;
    let folder = kept.folder.path();
    let person = kept.connect()?;
    person.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let path = folder.join("history.db");
    let length = path.metadata()?.len();
    let mut file = File::options().write(true).open(&path)?;
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(4096))?;
    file.write_all(&vec![0x5a; (length - 4096) as usize])?;
    drop((file, person));
    let aside = || {
        let names = std::fs::read_dir(folder).ok()?;
        let mut names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.find(|name| name.starts_with("history.db.broken-"))
    };
    let viewer = kept.stack.pid("viewer")?;
    until("it is set aside", || async {
        // SQLite trusts its cache until somebody else changes the file.
        let person = kept.connect().ok()?;
        let _ = person.execute_batch("PRAGMA user_version = 2");
        aside()
    })
    .await
    .with_context(|| kept.stack.log())?;
    kept.until_more(50).await?;
    check("file broken while it runs", &load.stop().await?)?;
    until("the new file is written", || async {
        (kept.accounts().ok()?.0 > 50).then_some(())
    })
    .await?;
    let file = kept.connect()?;
    let check: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    assert_eq!(check, "ok");
    assert_eq!(kept.stack.pid("viewer")?, viewer, "it was started again");
    let log = kept.stack.log();
    ensure!(
        log.contains("the history is broken, a new one begins"),
        "{log}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_broken_at_the_start_is_set_aside() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    std::fs::write(folder.path().join("history.db"), b"no database".repeat(999))?;
    let path = folder.path().to_str().context("an odd path")?;
    let stack = Stack::start_with(&[("FOREVER200_HISTORY", path)]).await?;
    stack.send(b"GET / HTTP/1.1\r\n\r\n").await?;
    stack.until_recorded(1).await?;
    let log = stack.log();
    ensure!(
        log.contains("the history is broken, a new one begins"),
        "{log}"
    );
    ensure!(log.contains("history.db.broken-"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_newer_version_is_refused_with_one_clear_line() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let path = folder.path().to_str().context("an odd path")?;
    let mut stack = Stack::start_with(&[("FOREVER200_HISTORY", path)]).await?;
    stack.stop().await?;
    let file = Connection::open(folder.path().join("history.db"))?;
    let version: i32 = file.pragma_query_value(None, "user_version", |row| row.get(0))?;
    file.pragma_update(None, "user_version", 99)?;
    drop(file);
    ensure!(stack.start_again().await.is_err(), "it has started");
    // supervisord gives up after some seconds and ends, so that the container ends with a failure.
    stack.until_ended().await?;
    ensure!(
        stack.run_path("fatal").exists(),
        "nothing tells the container"
    );
    let log = stack.log();
    let line =
        format!("Error: {path}/history.db has version 99, and this program supports {version}");
    ensure!(log.lines().any(|it| it == line), "{log}");
    Ok(())
}

/// An `strace` that makes each write of the viewer slow, like a worn-out SD card or a network disk.
struct SlowDisk(Child);

impl SlowDisk {
    fn of(viewer: u32) -> anyhow::Result<Self> {
        let delay = "inject=pwrite64,fdatasync,fsync:delay_enter=3000000";
        let strace = command("strace")
            .args([
                "-f",
                "-qq",
                "-o",
                "/dev/null",
                "-e",
                "trace=pwrite64,fdatasync,fsync",
                "-e",
            ])
            .args([delay, "-p", &viewer.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context(missing("strace"))?;
        Ok(Self(strace))
    }

    /// Ends strace, which first detaches from the viewer.
    fn end(&mut self) -> anyhow::Result<()> {
        signal(self.0.id(), Signal::INT)?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_delays_nobody() -> anyhow::Result<()> {
    let kept = Kept::start().await?;
    let load = Load::start(kept.stack.front(), "slow", STEADY);
    kept.until_more(50).await?;
    let mut slow = SlowDisk::of(kept.stack.pid("viewer")?.context("no viewer")?)?;
    kept.until_told("the disk is slow").await?;
    kept.until_more(300).await?;
    slow.end()?;
    kept.until_more(50).await?;
    check("disk slow: 3 s a write", &load.stop().await?)?;
    kept.until_well().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_by_a_year_stops_nothing() -> anyhow::Result<()> {
    let clock = Clock::right()?;
    let kept = Kept::start_as(Setup {
        before: &clock.before(),
        edits: &[HAPROXY_KEEPS_TIME],
        ..Setup::default()
    })
    .await?;
    let load = Load::start(kept.stack.front(), "clock", STEADY);
    kept.until_more(50).await?;
    clock.set("-365d")?;
    kept.until_more(50).await?;
    // After a restart with an empty memcached, the ring is read from the history.
    kept.stack.kill("viewer").await?;
    kept.stack.until_up().await?;
    kept.until_more(50).await?;
    let attempts = load.stop().await?;
    assert_eq!(attempts.failed(), 0);
    let stats = kept.stats().await?;
    ensure!(stats["last_minute"].as_u64() > Some(0), "{stats}");
    until("all are written", || async {
        let (written, missing) = kept.accounts().ok()?;
        let total = kept.stats().await.ok()?["total"].as_u64()?;
        (written + missing == total).then_some(())
    })
    .await
    .with_context(|| kept.stack.log())?;
    let file = kept.connect()?;
    let query = "SELECT count(DISTINCT strftime('%Y', time / 1000000, 'unixepoch')) FROM request";
    let years: i64 = file.query_row(query, [], |row| row.get(0))?;
    assert_eq!(years, 2);
    Ok(())
}
