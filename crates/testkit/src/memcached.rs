//! A memcached for one test.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::process::{loopback, missing, signal, until};

/// A running memcached, killed and reaped when dropped.
#[derive(Debug)]
pub struct Memcached {
    ip: Ipv4Addr,
    child: Option<Child>,
}

impl Memcached {
    /// Starts an empty memcached at an address of its own.
    ///
    /// # Errors
    /// memcached is not installed, or does not answer.
    pub async fn start() -> anyhow::Result<Self> {
        let mut memcached = Self {
            ip: loopback(),
            child: None,
        };
        memcached.restart().await?;
        Ok(memcached)
    }

    /// Kills memcached, if it runs, and starts an empty one at the same address.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill();
        let mut command = Command::new("memcached");
        // As root, memcached must be told which user to run as.
        command
            .args(["-u", "nobody", "-U", "0", "-l", &self.address()])
            .stderr(Stdio::null());
        self.child = Some(command.spawn().context(missing("memcached"))?);
        let address: SocketAddr = self.address().parse()?;
        until("memcached listens", || async {
            TcpStream::connect(address).await.ok()
        })
        .await?;
        Ok(())
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it with SIGSTOP. It keeps its connections but does not answer.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it continue, with SIGCONT.
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Returns its address, `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:11211", self.ip)
    }

    fn signal(&self, which: Signal) -> anyhow::Result<()> {
        signal(
            self.child.as_ref().context("memcached was killed")?.id(),
            which,
        )
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.kill();
    }
}
