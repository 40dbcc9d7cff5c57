//! A clock, libfaketime's, that a test can set while programs run.
//!
//! In: how far it is from the real one. Out: what a [`Setup`](crate::stack::Setup) needs for the
//! programs to read it.

use std::path::PathBuf;

use tempfile::TempDir;

/// haproxy keeps the real clock: with the faketime and the haproxy of Debian 13 it never starts.
/// Its jemalloc asks for the time while libfaketime is being set up, which waits for itself
/// (`pthread_once` within `pthread_once`).
pub const HAPROXY_KEEPS_TIME: (&str, &str, &str) = (
    "supervisor/haproxy",
    "exec haproxy",
    "exec env -u LD_PRELOAD haproxy",
);

/// A clock. It shows the real time until it is set.
#[derive(Debug)]
pub struct Clock {
    folder: TempDir,
}

impl Clock {
    /// Makes a clock that shows the real time.
    ///
    /// # Errors
    /// No file can be written.
    pub fn right() -> std::io::Result<Self> {
        let clock = Self {
            folder: TempDir::new()?,
        };
        clock.set("+0")?;
        Ok(clock)
    }

    /// Sets the clock to an offset from the real time, such as `-365d`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set(&self, offset: &str) -> std::io::Result<()> {
        // Renamed in one step, because libfaketime of Debian 13 ends a program that finds the file
        // empty.
        let next = self.folder.path().join("next");
        std::fs::write(&next, offset)?;
        std::fs::rename(&next, self.path())
    }

    /// Returns the shell commands to run before the programs, for
    /// [`before`](crate::stack::Setup::before).
    #[must_use]
    pub fn before(&self) -> String {
        // As when a machine's clock is set, the monotonic clock stays as it is.
        format!(
            "export LD_PRELOAD=$(echo /usr/lib/*/faketime/libfaketimeMT.so.1) FAKETIME_TIMESTAMP_FILE={} \
             FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1; \
             [ -e \"$LD_PRELOAD\" ] || {{ echo apt-get install faketime >&2; exit 1; }}; ",
            self.path().display()
        )
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("clock")
    }
}
