//! NATS servers for one test: one server, or a cluster of three.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use anyhow::Context;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::process::{command, loopback, missing, until};

const CLIENTS: u16 = 4222;
const ROUTES: u16 = 6222;

/// Running servers, killed and reaped when dropped.
#[derive(Debug)]
pub struct Nats {
    folder: TempDir,
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    ip: Ipv4Addr,
    child: Option<Child>,
}

impl Nats {
    /// Chooses addresses, and starts nothing yet.
    ///
    /// # Errors
    /// There is no temporary folder.
    pub fn new(servers: usize) -> anyhow::Result<Self> {
        let server = || Server {
            ip: loopback(),
            child: None,
        };
        Ok(Self {
            folder: tempfile::tempdir()?,
            servers: std::iter::repeat_with(server).take(servers).collect(),
        })
    }

    /// Starts all servers, with JetStream. `settings` are further lines of their configuration.
    ///
    /// # Errors
    /// nats-server is not installed, or does not answer.
    pub async fn start(&mut self, settings: &str) -> anyhow::Result<()> {
        self.set(settings)?;
        for number in 0..self.servers.len() {
            self.restart(number)?;
        }
        for number in 0..self.servers.len() {
            self.until_up(number).await?;
        }
        Ok(())
    }

    /// Writes the configuration, which each server reads at its next start.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn set(&self, settings: &str) -> anyhow::Result<()> {
        for number in 0..self.servers.len() {
            std::fs::write(
                self.path(number, "conf"),
                self.configuration(number, settings),
            )?;
        }
        Ok(())
    }

    fn configuration(&self, number: usize, settings: &str) -> String {
        let ip = self.servers[number].ip;
        let store = self.path(number, "data").display().to_string();
        let mut text = format!(
            "server_name: n{number}\nlisten: {ip}:{CLIENTS}\n\
             jetstream {{ store_dir: \"{store}\", max_file_store: 4GB, max_memory_store: 256MB }}\n{settings}\n"
        );
        if self.servers.len() > 1 {
            let routes = self
                .servers
                .iter()
                .map(|it| format!("nats://{}:{ROUTES}", it.ip));
            let routes = routes.collect::<Vec<_>>().join(", ");
            text += &format!(
                "cluster {{ name: forever200, listen: {ip}:{ROUTES}, routes: [{routes}] }}\n"
            );
        }
        text
    }

    fn path(&self, number: usize, name: &str) -> PathBuf {
        self.folder.path().join(format!("{number}.{name}"))
    }

    /// Kills a server, if it runs, and starts it again with the same data.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn restart(&mut self, number: usize) -> anyhow::Result<()> {
        self.kill(number);
        let log = std::fs::File::create(self.path(number, "log"))?;
        let mut server = command("nats-server");
        server
            .arg("-c")
            .arg(self.path(number, "conf"))
            .stdout(Stdio::null())
            .stderr(log);
        self.servers[number].child = Some(server.spawn().context(missing("nats-server"))?);
        Ok(())
    }

    /// Waits until a server takes connections.
    ///
    /// # Errors
    /// It does not within 30 seconds.
    pub async fn until_up(&self, number: usize) -> anyhow::Result<()> {
        let address = SocketAddr::from((self.servers[number].ip, CLIENTS));
        until("nats-server listens", || async {
            TcpStream::connect(address).await.ok()
        })
        .await
        .with_context(|| self.log(number))?;
        Ok(())
    }

    /// Kills a server with SIGKILL.
    pub fn kill(&mut self, number: usize) {
        if let Some(mut child) = self.servers[number].child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Returns the addresses of all servers, between commas.
    #[must_use]
    pub fn addresses(&self) -> String {
        let servers = self.servers.iter();
        let addresses = servers.map(|it| format!("tls://{}:{CLIENTS}", it.ip));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Returns the IP addresses of all servers, for their certificates.
    #[must_use]
    pub fn ips(&self) -> Vec<String> {
        self.servers.iter().map(|it| it.ip.to_string()).collect()
    }

    /// Returns what a server has logged since its last start.
    #[must_use]
    pub fn log(&self, number: usize) -> String {
        std::fs::read_to_string(self.path(number, "log")).unwrap_or_default()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        for number in 0..self.servers.len() {
            self.kill(number);
        }
    }
}
