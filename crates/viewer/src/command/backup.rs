//! `forever200-viewer backup`: copies the history as it is at one moment.
//!
//! In: a folder with a history, and the name of a file that does not exist. Out: the file, which is
//! a complete history.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::history::forget::copy;

/// Only the owner may read the copy, as with the history itself.
const FILE_MODE: u32 = 0o600;

/// The file to write the copy to.
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// File to create; it must not exist
    file: PathBuf,
}

/// Copies the history in a folder.
///
/// # Errors
/// There is no history, the file already exists, or reading or writing fails.
pub fn run(folder: &Path, what: &Backup) -> anyhow::Result<()> {
    let to = &what.file;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(to)
        .with_context(|| format!("cannot make {}", to.display()))?;
    let copied = copy(folder, to);
    if copied.is_err() {
        // A partial copy would be useless.
        let _ = std::fs::remove_file(to);
    }
    copied
}
