//! Keeps the write-ahead log beside the file (`history.db-wal`) short.
//!
//! SQLite copies the log back into the file by itself, except the part that somebody still reads. A
//! person may leave a query open, or visitors may read without a pause
//! (<https://www.sqlite.org/wal.html#avoiding_excessively_large_wal_files>). This module waits for
//! readers when the log is long. When the log has reached its bound, nothing is written any more.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// Length of the log, in bytes, from which the writer waits for readers. It waits again each time
/// that the log has grown by this length.
const LONG_BYTES: u64 = 32 * 1024 * 1024;
/// Most bytes of the log on the disk, in addition to one transaction.
const MOST_BYTES: u64 = 128 * 1024 * 1024;

/// Somebody has been reading for so long that the log has reached its bound.
#[derive(Debug, thiserror::Error)]
#[error(
    "another process has been reading the file for too long, and the log of changes has {0} bytes"
)]
pub(super) struct TooLong(u64);

impl TooLong {
    /// Returns the reason in words for the page.
    pub(super) fn reason(&self) -> &'static str {
        "another process has been reading its file for too long"
    }
}

/// The id of a file, whatever its name. Another file in its place has another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// Returns the id of the file at this path; `None` if there is none.
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
    /// Length of the log when the writer last waited for readers.
    tried: u64,
}

impl Wal {
    /// Returns the log of the file at this path.
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

    /// Removes the log after its file is gone. Otherwise SQLite would use it as the log of the next
    /// file.
    pub(super) fn remove(self) -> std::io::Result<()> {
        if self.id.is_some() && file_id(&self.path) == self.id {
            std::fs::remove_file(&self.path)?;
        }
        Ok(())
    }

    /// Copies the log back into the file if it is long. Waits for readers, but not longer than for
    /// a lock.
    ///
    /// # Errors
    /// The log has reached its bound, or the disk refuses.
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
        // The statement returns a row. It is no error if somebody still reads.
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
