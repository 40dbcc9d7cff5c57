//! `forever200-viewer backup`: the history as it is at one moment, in a file of its own.
//!
//! In: a folder with a history, and the name of a file that is not there. Out: the file, which is a
//! history itself.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::history::forget::copy;

/// The copy is its owner's alone, as the file is.
const FILE_MODE: u32 = 0o600;

/// Where the copy goes.
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// File to be made; it may not be there
    file: PathBuf,
}

/// Copies the history in a folder.
///
/// # Errors
/// There is none, the file is there already, or the disk refuses.
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
        // Half a copy is none.
        let _ = std::fs::remove_file(to);
    }
    copied
}
