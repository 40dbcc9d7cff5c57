//! Opens the file of the history, makes it if there is none, and sets it aside if it is broken.
//!
//! In: a folder. Out: a connection that may write. Refuses a file of a later version or of another
//! program, and a folder that belongs to another user and that everybody may write to.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tracing::warn;

/// Name of the file in its folder.
pub(super) const NAME: &str = "history.db";
/// SQL that makes an empty file a history.
const SCHEMA: &str = include_str!("../../../../docs/history.sql");
/// Marks the part of [`SCHEMA`] that is also run on a file that exists already.
const LATER: &str = "-- Later:";
/// The values that the first lines of [`SCHEMA`] set:
/// <https://www.sqlite.org/pragma.html#pragma_application_id>
const APPLICATION_ID: i32 = 0x4632_3030;
const VERSION: i32 = 3;
/// Migrates a file from version 1 to 2.
const FROM_1: &str =
    "BEGIN IMMEDIATE; ALTER TABLE payload ADD COLUMN tls TEXT; PRAGMA user_version = 2; COMMIT;";
/// Migrates a file from version 2 to 3: a million requests take half a second.
const FROM_2: &str = "BEGIN IMMEDIATE; \
    CREATE TABLE block (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL) STRICT; \
    INSERT INTO block SELECT seq / 256, min(time), max(time) FROM request GROUP BY 1; \
    DROP INDEX IF EXISTS request_time; PRAGMA user_version = 3; COMMIT;";
/// Longest wait for another process that has the file locked. After that, the items of the
/// transaction wait in memory for the next try.
const LOCK_TIME: Duration = Duration::from_secs(1);
/// SQLite's cache of pages of the file, in KiB.
const CACHE_KIB: i32 = 2048;
/// How many statements stay prepared: more than one transaction uses.
const STATEMENTS: usize = 64;
/// Length of the write-ahead log at which SQLite checkpoints it, in pages of 4 KiB. At SQLite's own
/// 1000, pages that change all the time are copied back so often that it takes a quarter of all CPU
/// time of writing.
const LOG_PAGES: i32 = 4000;
/// Most bytes of the log on the disk after a checkpoint: as many as [`LOG_PAGES`].
const LOG_BYTES: i32 = 16 * 1024 * 1024;
/// Only their owner may use the folder and the file, which hold addresses and passwords of
/// strangers.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Bit of a folder's mode by which everybody may write to it.
const OTHERS_WRITE: u32 = 0o002;
/// How many files that were set aside are kept, the newest. A disk that breaks each new file must
/// not fill up.
const MOST_ASIDE: usize = 3;
const ASIDE: &str = "history.db.broken-";

/// Why a history is not opened, though the disk works.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Others could put a file of their own in place of the history.
    #[error("{0} belongs to another user, and everybody may write to it")]
    Folder(PathBuf),
    /// There is no such folder, and none can be made.
    #[error("cannot make {path}, the folder of the history: {error}")]
    NoFolder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It belongs to another user, and this one may not write to it.
    #[error(
        "{path} belongs to user {owner}, and this program runs as user {me}, who may not write there. \
         Give it to user {me} (`chown -R {me}`, on the host where it is mounted), or name another folder in FOREVER200_HISTORY",
        path = path.display()
    )]
    AnotherUsers {
        /// The folder or the file.
        path: PathBuf,
        /// Number of the user to whom it belongs.
        owner: u32,
        /// Number of the user that this program runs as.
        me: u32,
    },
    /// A later version made it.
    #[error("{path} has version {found}, and this program supports {VERSION}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version of its schema.
        found: i32,
    },
    /// It is a database of another program.
    #[error("{0} is a database, but not a history of forever200")]
    Foreign(PathBuf),
}

/// Opens the history in a folder; makes both where they are missing.
///
/// A file that is no database any more is set aside under another name, and a new one is begun.
///
/// # Errors
/// The disk refuses, or see [`OpenError`].
pub(super) fn open(folder: &Path) -> anyhow::Result<Connection> {
    make_folder(folder)?;
    let path = folder.join(NAME);
    match open_file(&path) {
        Err(error) if is_broken(&error) => begin_anew(folder, &error),
        // The error says all in one line.
        Err(error) if is_refused(&error) => Err(error),
        opened => opened.with_context(|| format!("cannot open {}", path.display())),
    }
}

/// Sets a broken file aside, and begins a new one.
///
/// # Errors
/// The disk refuses.
pub(super) fn begin_anew(folder: &Path, error: &anyhow::Error) -> anyhow::Result<Connection> {
    let path = folder.join(NAME);
    set_aside(&path, error)?;
    drop_oldest_aside(folder)?;
    open_file(&path)
}

/// Tells whether another try cannot help.
pub(super) fn is_refused(error: &anyhow::Error) -> bool {
    error.is::<OpenError>()
}

fn make_folder(folder: &Path) -> anyhow::Result<()> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder);
    if let Err(error) = made {
        let path = folder.to_owned();
        return Err(match error.kind() {
            ErrorKind::PermissionDenied | ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                OpenError::NoFolder { path, error }.into()
            }
            _ => anyhow::Error::from(error).context(format!("cannot make {}", path.display())),
        });
    }
    let found = folder.metadata()?;
    // A volume of Kubernetes with `fsGroup` belongs to root, and its group may write.
    if !is_mine(found.uid()) && found.mode() & OTHERS_WRITE != 0 {
        return Err(OpenError::Folder(folder.to_owned()).into());
    }
    Ok(())
}

fn is_mine(owner: u32) -> bool {
    owner == rustix::process::geteuid().as_raw()
}

/// Returns the error for a file that cannot be opened. If that is because the file or its folder
/// belongs to another user, the error says so.
fn explained(path: &Path, error: io::Error) -> anyhow::Error {
    if error.kind() != ErrorKind::PermissionDenied {
        return error.into();
    }
    let candidates = [Some(path), path.parent()];
    for path in candidates.into_iter().flatten() {
        match path.metadata().map(|found| found.uid()) {
            Ok(owner) if !is_mine(owner) => {
                return OpenError::AnotherUsers {
                    path: path.to_owned(),
                    owner,
                    me: rustix::process::geteuid().as_raw(),
                }
                .into();
            }
            _ => {}
        }
    }
    error.into()
}

fn open_file(path: &Path) -> anyhow::Result<Connection> {
    // Made here, because SQLite would make it readable for all.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(|error| explained(path, error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags)?;
    file.busy_timeout(LOCK_TIME)?;
    check(&file, path)?;
    file.pragma_update(None, "journal_mode", "wal")?;
    file.pragma_update(None, "synchronous", "normal")?;
    file.pragma_update(None, "cache_size", -CACHE_KIB)?;
    file.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    file.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    file.pragma_update(None, "temp_store", "memory")?;
    file.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(file)
}

/// Opens a history that exists, to change it while a viewer may write it.
///
/// # Errors
/// There is no history, the disk refuses, or see [`OpenError`].
pub(super) fn open_present(folder: &Path, lock_time: Duration) -> anyhow::Result<Connection> {
    let path = folder.join(NAME);
    anyhow::ensure!(path.is_file(), "there is no {}", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> anyhow::Result<Connection> {
        let file = Connection::open_with_flags(&path, flags)?;
        file.busy_timeout(lock_time)?;
        check(&file, &path)?;
        Ok(file)
    };
    open().with_context(|| format!("cannot open {}", path.display()))
}

/// Lays out an empty file, migrates an older one, and refuses a file that is not for this program.
fn check(file: &Connection, path: &Path) -> anyhow::Result<()> {
    let number = |name| file.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = file.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 && application == 0 {
        // Lets the file shrink by small steps. SQLite accepts this for an empty file only.
        file.pragma_update(None, "auto_vacuum", "incremental")?;
        file.execute_batch(&format!("BEGIN;{SCHEMA}COMMIT;"))?;
        return Ok(());
    }
    if application != APPLICATION_ID {
        return Err(OpenError::Foreign(path.to_owned()).into());
    }
    if version > VERSION {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found: version,
        }
        .into());
    }
    if version < 2 {
        file.execute_batch(FROM_1)?;
    }
    if version < 3 {
        file.execute_batch(FROM_2)?;
    }
    add_later(file)?;
    Ok(())
}

/// Runs the part of the schema from [`LATER`] on, for files that were begun without it. Nothing is
/// written to a file that has all of it, so a full disk is a reason to refuse only a file that was
/// begun by an older version: questions need the newer tables.
fn add_later(file: &Connection) -> rusqlite::Result<()> {
    let later = SCHEMA.find(LATER).and_then(|at| SCHEMA.get(at..));
    file.execute_batch(later.unwrap_or_default())
}

/// Tells whether an error means that the file is broken.
pub(super) fn is_broken(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<rusqlite::Error>()
        .is_some_and(says_broken)
}

/// Tells whether an error of SQLite means that the file is broken.
pub(super) fn says_broken(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    )
}

/// Gives a broken file, and the log of changes that belongs to it, another name.
fn set_aside(path: &Path, error: &anyhow::Error) -> anyhow::Result<()> {
    let aside = path.with_file_name(format!("{ASIDE}{}", Timestamp::now().as_millisecond()));
    // The file first: without it, nobody opens the other two.
    for part in ["", "-wal", "-shm"] {
        let from = with_suffix(path, part);
        if from.exists() {
            std::fs::rename(&from, with_suffix(&aside, part))?;
        }
    }
    let error = format!("{error:#}");
    warn!(%error, aside = %aside.display(), "the history is broken, a new one begins");
    Ok(())
}

fn drop_oldest_aside(folder: &Path) -> io::Result<()> {
    let names =
        std::fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut aside: Vec<String> = names
        .filter(|name| {
            name.starts_with(ASIDE) && !name.ends_with("-wal") && !name.ends_with("-shm")
        })
        .collect();
    aside.sort_unstable();
    let surplus = aside.len().saturating_sub(MOST_ASIDE);
    for name in aside.drain(..surplus) {
        warn!(name, "a history that was set aside before is removed");
        for part in ["", "-wal", "-shm"] {
            match std::fs::remove_file(folder.join(format!("{name}{part}"))) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
