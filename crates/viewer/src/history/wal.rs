//! The log of changes beside the file (`history.db-wal`), which must not grow without end.
//!
//! SQLite writes it back into the file by itself, but for what somebody still reads: a person who
//! leaves a query open, or visitors without a pause
//! (<https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files>). Here it is pressed to
//! do so once the log is long, and beyond a bound nothing is written any more.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// From this length on, in bytes, and again each time that it has grown by as much, readers are
/// waited for.
const LONG_BYTES: u64 = 32 * 1024 * 1024;
/// What it may take of the disk at most, beside one transaction.
const MOST_BYTES: u64 = 128 * 1024 * 1024;

/// Somebody reads for so long that the log would grow beyond its bound.
#[derive(Debug, thiserror::Error)]
#[error(
    "another process has been reading the file for too long, and the log of changes has {0} bytes"
)]
pub(super) struct TooLong(u64);

impl TooLong {
    /// In words, for the page.
    pub(super) fn reason(&self) -> &'static str {
        "another process has been reading its file for too long"
    }
}

/// Which file of all disks one is: another in its place is told from it, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// Returns which file is there; `None` where there is none.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    let found = path.metadata().ok()?;
    Some(FileId {
        device: found.dev(),
        inode: found.ino(),
    })
}

/// The log of a file.
#[derive(Debug)]
pub(super) struct Wal {
    path: PathBuf,
    id: Option<FileId>,
    /// Its length when readers were last waited for.
    tried: u64,
}

impl Wal {
    /// Of the file at this path.
    pub(super) fn of(file: &Path) -> Self {
        let mut path = file.as_os_str().to_owned();
        path.push("-wal");
        let path = PathBuf::from(path);
        Self {
            id: file_id(&path),
            path,
            tried: 0,
        }
    }

    /// Removes it once its file has gone: SQLite would take it for that of the next one.
    pub(super) fn remove(self) -> std::io::Result<()> {
        if self.id.is_some() && file_id(&self.path) == self.id {
            std::fs::remove_file(&self.path)?;
        }
        Ok(())
    }

    /// Has a long log written back. A reader is waited for as long as for a lock.
    ///
    /// # Errors
    /// It has reached its bound, or the disk refuses.
    pub(super) fn hold_short(&mut self, file: &Connection) -> anyhow::Result<()> {
        let bytes = self.bytes();
        if bytes < LONG_BYTES {
            self.tried = 0;
            return Ok(());
        }
        if bytes < self.tried + LONG_BYTES && bytes < MOST_BYTES {
            return Ok(());
        }
        self.tried = bytes;
        // It answers with a row; that somebody reads is no error.
        file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        let left = self.bytes();
        if left >= MOST_BYTES {
            return Err(TooLong(left).into());
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.path.metadata().map_or(0, |found| found.len())
    }
}
