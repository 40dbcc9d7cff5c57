//! Processes that belong to a test, and waiting for conditions.

use std::future::Future;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::report::at_length;

/// Longest wait for anything. It is long because the machine may be busy. Only a test that fails
/// waits so long.
const DEADLINE: Duration = Duration::from_secs(30);
/// Time between two checks of a condition.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `check` returns a value, and returns that.
///
/// # Errors
/// `check` returned `None` for 30 seconds.
pub async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = check().await {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {DEADLINE:?} in vain until {what}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Returns a loopback address for one test. Each process has 64 of the 2²⁴ addresses, and after 64
/// calls they repeat. Processes whose ids are 262,144 apart have the same addresses.
#[must_use]
pub fn loopback() -> Ipv4Addr {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let taken = TAKEN.fetch_add(1, Ordering::Relaxed) % 64;
    let [_, a, b, c] = (std::process::id().wrapping_mul(64) + taken).to_be_bytes();
    // Never 127.0.0.x, which other programs use.
    Ipv4Addr::new(127, a.max(1), b, c)
}

/// Builds the project's programs and returns their folder. They are built like the test, or for
/// release if [`at_length`].
///
/// # Errors
/// They do not build.
pub fn programs() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

fn build() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let mut folder = test
        .ancestors()
        .nth(2)
        .context("a test lies in target/PROFILE/deps")?
        .to_owned();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet"]);
    if at_length() {
        folder.set_file_name("release");
    }
    if folder.ends_with("release") {
        // The release build, as in the image.
        cargo.arg("--release");
        for program in ["fleet", "responder", "viewer"] {
            cargo.arg(format!("-pforever200-{program}"));
        }
    } else {
        // With a test among the targets, the dependencies have the same features as under `make
        // test`; otherwise Cargo would compile twelve of them again. One test is enough.
        cargo.args(["--workspace", "--bins", "--test", "sbom"]);
    }
    if !cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?
        .success()
    {
        bail!("the programs do not build");
    }
    Ok(folder)
}

/// Returns a command without the project's variables in its environment, whatever the caller has
/// set.
#[must_use]
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FOREVER200_"))
    {
        command.env_remove(name);
    }
    command
}

/// Returns the error text for a program that could not be started: how to install it.
#[must_use]
pub fn missing(package: &str) -> String {
    format!("cannot start it: apt-get install {package}")
}

/// Returns the time that this share of the sorted times does not exceed; zero where there are none.
#[must_use]
pub fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(at.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

/// Returns the project's folder.
#[must_use]
pub fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Sends a signal.
///
/// # Errors
/// There is no such process.
pub fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("not a process id")?;
    kill_process(pid, signal).with_context(|| format!("signalling {pid:?}"))
}

/// Returns the processes of a session, such as supervisord's and all that it started, and the
/// resident memory of each in KiB.
#[must_use]
pub fn session(session: u32) -> Vec<(u32, u64)> {
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // proc(5): after the name in parentheses come state, parent, group and session; the 22nd is
        // the number of resident pages.
        let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        let fields: Vec<_> = stat
            .rsplit_once(')')
            .map_or("", |(_, fields)| fields)
            .split_whitespace()
            .collect();
        if fields.get(3) == Some(&session.to_string().as_str()) {
            let pages: u64 = fields
                .get(21)
                .and_then(|pages| pages.parse().ok())
                .unwrap_or_default();
            found.push((pid, pages * rustix::param::page_size() as u64 / 1024));
        }
    }
    found
}

/// Kills every process of a session.
pub fn kill_session(of: u32) {
    for (pid, _) in session(of) {
        let _ = signal(pid, Signal::KILL);
    }
}
