//! All programs as shipped, under supervisord, with the project's two configuration files.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::client::{Response, exchange, get, get_json};
use crate::process::{command, kill_session, loopback, missing, programs, session, signal, until};
use crate::stack::setup::{HAPROXY_CFG, SUPERVISORD_CONF, edit};

pub mod setup;

pub use setup::Setup;

/// The edits for a stack in a user namespace. Root is the only user there, and memcached runs as
/// root only when it is told to.
pub const IN_A_NAMESPACE_OF_USERS: &[(&str, &str, &str)] = &[
    ("supervisord.conf", "[ \"$(id -u)\" != 0 ] ||", "true ||"),
    (
        "supervisord.conf",
        "memcached -U 0",
        "memcached -u root -U 0",
    ),
];

/// haproxy's port. It is not 8000, because `make run` may use that on every address beside the
/// tests.
pub const FRONT_PORT: u16 = 8200;
/// Name of the file in the stack's folder with the log of all programs.
const LOG: &str = "log";

/// A running forever200; all its processes are killed when it is dropped.
pub struct Stack {
    ip: Ipv4Addr,
    folder: TempDir,
    environment: Vec<(OsString, OsString)>,
    supervisord: Child,
}

impl Stack {
    /// Starts everything at a loopback address of its own and waits until it answers.
    ///
    /// # Errors
    /// A program is missing, or does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// Starts everything with further variables.
    ///
    /// # Errors
    /// A program is missing, or does not come up.
    pub async fn start_with(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_as(Setup {
            variables,
            ..Setup::default()
        })
        .await
    }

    /// Starts everything with this setup.
    ///
    /// # Errors
    /// A program is missing, or does not come up, or there is nothing to edit.
    pub async fn start_as(setup: Setup<'_>) -> anyhow::Result<Self> {
        Self::start_at(loopback(), setup).await
    }

    /// Starts everything with this setup, at a loopback address that the caller has chosen.
    ///
    /// # Errors
    /// A program is missing, or does not come up, or there is nothing to edit.
    pub async fn start_at(ip: Ipv4Addr, setup: Setup<'_>) -> anyhow::Result<Self> {
        let stack = Self::spawn_at(ip, setup)?;
        stack.until_up().await.with_context(|| stack.log())?;
        Ok(stack)
    }

    /// Starts supervisord and does not wait for its programs.
    ///
    /// # Errors
    /// supervisord or one of the project's programs is missing, or there is nothing to edit.
    pub fn spawn(setup: Setup<'_>) -> anyhow::Result<Self> {
        Self::spawn_at(loopback(), setup)
    }

    fn spawn_at(ip: Ipv4Addr, setup: Setup<'_>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let environment = setup.environment(ip, folder.path())?;
        setup.copy_files(ip, folder.path())?;
        let supervisord = start_supervisord(folder.path(), &environment, setup)?;
        Ok(Self {
            ip,
            folder,
            environment,
            supervisord,
        })
    }

    /// Waits until haproxy answers for the viewer, and the responder has begun.
    ///
    /// # Errors
    /// They do not within 30 seconds.
    pub async fn until_up(&self) -> anyhow::Result<()> {
        until("the viewer is healthy", || async {
            get(self.front(), "/home/health")
                .await
                .ok()
                .filter(|response| response.status == 200)
        })
        .await?;
        // The responder listens before its recorder writes `since`.
        until("the responder has begun", || async {
            get_json(self.front(), "/home/api/requests")
                .await
                .ok()
                .filter(|list| !list["since"].is_null())
        })
        .await?;
        Ok(())
    }

    /// Returns the address of haproxy.
    #[must_use]
    pub fn front(&self) -> SocketAddr {
        self.at(FRONT_PORT)
    }

    /// Returns this stack's address with another port.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.ip, port).into()
    }

    /// Returns a path in the folder for sockets.
    #[must_use]
    pub fn run_path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sends bytes through haproxy and returns the reply.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn send(&self, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(exchange(self.front(), bytes).await?.0)
    }

    /// Gets a page through haproxy.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn get(&self, path: &str) -> anyhow::Result<Response> {
        get(self.front(), path).await
    }

    /// Waits until `count` requests were recorded, and returns the list of the API.
    ///
    /// # Errors
    /// They were not within 30 seconds.
    pub async fn until_recorded(&self, count: u64) -> anyhow::Result<Value> {
        self.until_recorded_by(self.front(), count).await
    }

    /// Waits as `until_recorded`, but gets the list from `page`. That is the viewer's own address,
    /// for a stack whose haproxy does not let everybody in.
    ///
    /// # Errors
    /// They were not within 30 seconds.
    pub async fn until_recorded_by(&self, page: SocketAddr, count: u64) -> anyhow::Result<Value> {
        until(&format!("{count} requests are recorded"), || async {
            let list = get_json(page, "/home/api/requests").await.ok()?;
            are_recorded(&list, count).then_some(list)
        })
        .await
        .with_context(|| self.log())
    }

    /// Edits this stack's haproxy.cfg: replaces `old`, which must be there, by `new`.
    ///
    /// # Errors
    /// There is no `old` in the file.
    pub fn edit_haproxy_cfg(&self, old: &str, new: &str) -> anyhow::Result<()> {
        edit(&self.run_path(HAPROXY_CFG), old, new)
    }

    /// Runs supervisorctl and returns what it prints.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn supervisorctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = command("supervisorctl")
            .args(["-c", "supervisord.conf"])
            .args(arguments)
            .current_dir(&self.folder)
            .envs(self.environment.iter().cloned())
            .output()
            .context(missing("supervisor"))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Runs the health check as the image does, and returns what it reports; `None` when all is
    /// well.
    ///
    /// # Errors
    /// It cannot be started, or its exit status and what it writes disagree.
    pub fn unhealthy(&self) -> anyhow::Result<Option<String>> {
        let output = command(programs()?.join("forever200-viewer"))
            .arg("health")
            .envs(self.environment.iter().cloned())
            .output()?;
        let complaint = String::from_utf8(output.stderr)?;
        ensure!(
            output.status.success() == complaint.is_empty(),
            "{complaint}"
        );
        Ok(Some(complaint).filter(|complaint| !complaint.is_empty()))
    }

    /// Sends a command to haproxy's runtime socket and returns what it answers.
    ///
    /// # Errors
    /// haproxy does not run.
    pub async fn haproxy(&self, command: &str) -> anyhow::Result<String> {
        let mut socket = UnixStream::connect(self.run_path("haproxy.sock")).await?;
        socket.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// Returns how many connections haproxy has opened to the responder so far.
    ///
    /// # Errors
    /// haproxy does not run, or tells no such number.
    pub async fn handed_over(&self) -> anyhow::Result<usize> {
        let csv = self.haproxy("show stat responder 2 -1").await?;
        let column = |line: &str| line.split(',').nth(7).map(str::to_owned);
        let mut lines = csv.lines();
        anyhow::ensure!(lines.next().and_then(column).as_deref() == Some("stot"));
        let total = lines.next().and_then(column).context("no statistics")?;
        Ok(total.parse()?)
    }

    /// Returns a program's process id; `None` while it does not run.
    ///
    /// # Errors
    /// supervisorctl cannot be started.
    pub fn pid(&self, program: &str) -> anyhow::Result<Option<u32>> {
        Ok(self
            .supervisorctl(&["pid", program])?
            .parse()
            .ok()
            .filter(|&pid| pid > 0))
    }

    /// Waits until supervisord reports all programs as RUNNING. A program that ends before that is
    /// started again only after a pause. Programs of a fleet are not started where this is not part
    /// of one.
    ///
    /// # Errors
    /// It does not within 30 seconds.
    pub async fn until_running(&self) -> anyhow::Result<()> {
        until("all programs are running", || async {
            let status = self.supervisorctl(&["status"]).ok()?;
            all_run(&status).then_some(())
        })
        .await
        .with_context(|| self.log())
    }

    /// Kills a program with SIGKILL and waits until supervisord has started it again.
    ///
    /// # Errors
    /// It does not run, or does not come back.
    pub async fn kill(&self, program: &str) -> anyhow::Result<()> {
        let Some(old) = self.pid(program)? else {
            bail!("{program} does not run")
        };
        signal(old, Signal::KILL)?;
        until(&format!("{program} is back"), || async {
            self.pid(program).ok()?.filter(|&new| new != old)
        })
        .await?;
        Ok(())
    }

    /// Kills supervisord alone with SIGKILL, and waits until none of its programs runs any more.
    ///
    /// # Errors
    /// Some still run after 30 seconds; the error names them.
    pub async fn kill_supervisord(&mut self) -> anyhow::Result<()> {
        let id = self.supervisord.id();
        self.supervisord.kill()?;
        self.supervisord.wait()?;
        // A process that has ended but was not reaped has no memory.
        let running = || session(id).into_iter().filter(|&(_, memory)| memory > 0);
        until("all programs have ended", || async {
            running().next().is_none().then_some(())
        })
        .await
        .with_context(|| {
            let names = running().map(|(pid, _)| {
                std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
            });
            format!(
                "still running: {}",
                names.collect::<String>().escape_debug()
            )
        })
    }

    /// Starts supervisord again, at the same address and in the same folder, and waits until
    /// everything answers.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.supervisord =
            start_supervisord(self.folder.path(), &self.environment, Setup::default())?;
        self.until_up().await.with_context(|| self.log())
    }

    /// Tells supervisord to stop, waits, and returns its exit status.
    ///
    /// # Errors
    /// It does not end within 30 seconds.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        signal(self.supervisord.id(), Signal::TERM)?;
        self.until_ended().await
    }

    /// Waits until supervisord has ended, and returns its exit status.
    ///
    /// # Errors
    /// It does not end within 30 seconds.
    pub async fn until_ended(&mut self) -> anyhow::Result<ExitStatus> {
        let log = self.log();
        let supervisord = std::cell::RefCell::new(&mut self.supervisord);
        until("supervisord has ended", || async {
            supervisord.borrow_mut().try_wait().ok().flatten()
        })
        .await
        .with_context(|| log)
    }

    /// Returns the most memory that a program has taken so far, in KiB: `VmHWM` of proc(5).
    ///
    /// The number may fall by some KiB, because the kernel counts pages for each core and adds them
    /// up later. So use `saturating_sub` to find out by how much it has grown.
    ///
    /// # Errors
    /// The program does not run.
    pub fn peak_memory(&self, program: &str) -> anyhow::Result<u64> {
        let pid = self
            .pid(program)?
            .with_context(|| format!("{program} does not run"))?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Returns the resident memory of all programs, supervisord included, in KiB.
    #[must_use]
    pub fn memory(&self) -> u64 {
        session(self.supervisord.id())
            .into_iter()
            .map(|(_, memory)| memory)
            .sum()
    }

    /// Returns what all programs have logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.run_path(LOG)).unwrap_or_default()
    }
}

/// Tells whether a list of the API holds `count` requests or more, of which it has the latest 101.
///
/// `total` alone does not tell that. The cursor moves first, and the slots are written after it,
/// the newest last. So a reader may pass a slot before it is written, and still see the newest.
#[must_use]
pub fn are_recorded(list: &Value, count: u64) -> bool {
    let total = list["total"].as_u64().unwrap_or_default();
    let held = list["requests"].as_array().map_or(0, Vec::len) as u64;
    total >= count && list["requests"][0]["seq"] == total && held == total.min(101)
}

/// Tells from the output of `supervisorctl status` whether all programs run. Programs of a fleet
/// are left out where they are not started.
#[must_use]
pub fn all_run(status: &str) -> bool {
    let runs_or_is_not_to =
        |line: &str| line.contains(" RUNNING ") || line.ends_with("Not started");
    status.lines().all(runs_or_is_not_to)
}

impl Drop for Stack {
    fn drop(&mut self) {
        // supervisord first, because it would start the others again.
        let _ = self.supervisord.kill();
        kill_session(self.supervisord.id());
        let _ = self.supervisord.wait();
    }
}

fn start_supervisord(
    folder: &Path,
    environment: &[(OsString, OsString)],
    setup: Setup<'_>,
) -> anyhow::Result<Child> {
    let log = append(&folder.join(LOG))?;
    let script = format!("{}exec supervisord -c {SUPERVISORD_CONF}", setup.before);
    // In a session of its own, by which all of its processes are found later.
    command("setsid")
        .args(["sh", "-c", &script])
        .current_dir(folder)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(setup.lines.unwrap_or(log.try_clone()?.into()))
        .stderr(setup.output.unwrap_or(log.into()))
        .spawn()
        .context(missing("supervisor haproxy memcached"))
}

fn append(path: &Path) -> anyhow::Result<File> {
    Ok(OpenOptions::new().create(true).append(true).open(path)?)
}
