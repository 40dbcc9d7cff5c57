//! The image, built and run by the Docker engine.

use std::net::SocketAddr;
use std::process::{Command, Output};

use anyhow::{Context, ensure};

use crate::process::{project, until};

/// Runs a shell command in the project's folder and returns its stdout.
///
/// # Errors
/// It fails; the error has its stderr.
pub fn shell(command: &str) -> anyhow::Result<String> {
    let output = shell_output(command)?;
    ensure!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Runs a shell command in the project's folder.
///
/// # Errors
/// There is no shell.
pub fn shell_output(command: &str) -> anyhow::Result<Output> {
    Command::new("sh")
        .args(["-c", command])
        .current_dir(project())
        .output()
        .context(command.to_owned())
}

/// A container, removed when dropped.
pub struct Container(pub String);

impl Container {
    /// Builds and starts the image with further options, and publishes its port on loopback.
    ///
    /// # Errors
    /// The engine does not answer, or the image does not build or start.
    pub fn run(options: &str) -> anyhow::Result<Self> {
        shell("docker build -q -t forever200 .")?;
        Ok(Self(shell(&format!(
            "docker run -d -p 127.0.0.1::80 {options} forever200"
        ))?))
    }

    /// Returns the address at which its port 80 is published.
    ///
    /// # Errors
    /// It does not run.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(shell(&format!("docker port {} 80/tcp", self.0))?.parse()?)
    }

    /// Returns a field of `docker inspect`.
    ///
    /// # Errors
    /// It does not run.
    pub fn inspect(&self, field: &str) -> anyhow::Result<String> {
        shell(&format!(
            "docker inspect --format '{{{{{field}}}}}' {}",
            self.0
        ))
    }

    /// Runs a shell command in it, as its user. The command must not contain single quotes.
    ///
    /// # Errors
    /// It does not run.
    pub fn sh(&self, command: &str) -> anyhow::Result<String> {
        shell(&format!("docker exec {} sh -c '{command}'", self.0))
    }

    /// Returns what it has logged so far.
    #[must_use]
    pub fn logs(&self) -> String {
        shell(&format!("docker logs {} 2>&1", self.0)).unwrap_or_default()
    }

    /// Waits until Docker finds it healthy.
    ///
    /// # Errors
    /// It does not within 30 seconds.
    pub async fn until_healthy(&self) -> anyhow::Result<()> {
        until("it is healthy", || async {
            (self.inspect(".State.Health.Status").ok()? == "healthy").then_some(())
        })
        .await
        .with_context(|| self.logs())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = shell(&format!("docker rm -f -v {}", self.0));
    }
}
