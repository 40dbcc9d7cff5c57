//! The state of the history: whether it can be written, how large it is, and which requests are not
//! kept.
//!
//! In: successes and failures of the writer, and gaps. Out: numbers, and a sentence for the page.
//! The sentence names no path, because everybody may read the page. The log has the error.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::ErrorCode;
use tracing::{error, info, warn};

use crate::history::gaps::Gaps;
use crate::history::keeper::Gap;

/// A transaction takes milliseconds. If one takes longer than this, the disk is slow.
const SLOW: Duration = Duration::from_secs(5);

/// The trouble that is reported once the writer's thread has ended.
const ENDED: &str = "its thread has ended";

/// The facts about the history that are known without reading the file.
#[derive(Debug, Default)]
pub(super) struct State {
    writing: Mutex<Writing>,
    gaps: Mutex<Gaps>,
    /// The newest number that the file had when it was opened. If several files were opened, the
    /// largest of these numbers.
    newest_at_opening: AtomicU64,
    /// The numbers that the file lacked when it was opened, and that the ring could still have.
    holes: Mutex<BTreeSet<u64>>,
    /// How many files were opened so far. A new file is begun when one is broken.
    files: AtomicU64,
    /// Requests in the file, and its size on the disk in bytes, after the last transaction.
    requests: AtomicU64,
    bytes: AtomicU64,
    /// Sensors in the file, for pages that do not query the history.
    sensors: Arc<AtomicU64>,
    /// Items that wait to be written.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct Writing {
    /// Why the last transaction failed.
    trouble: Option<&'static str>,
    /// When the current transaction began; `None` when there is none.
    since: Option<Instant>,
}

impl State {
    /// Returns a sentence that says what is wrong; `None` when nothing is.
    pub(super) fn trouble(&self) -> Option<String> {
        let writing = lock(&self.writing);
        let is_slow = writing.since.is_some_and(|since| since.elapsed() > SLOW);
        let reason = writing
            .trouble
            .or_else(|| is_slow.then_some("the disk is slow"))?;
        Some(format!("The history cannot be written: {reason}."))
    }

    /// Notes that a transaction begins.
    pub(super) fn transaction_begins(&self) {
        lock(&self.writing).since = Some(Instant::now());
    }

    /// Notes that writing failed. Logs only the first of several failures in a row.
    pub(super) fn failed(&self, error: &anyhow::Error) {
        let mut writing = lock(&self.writing);
        writing.since = None;
        if writing.trouble.replace(reason(error)).is_none() {
            let error = format!("{error:#}");
            warn!(%error, "the history cannot be written");
        }
    }

    /// Notes that the writer's thread has ended.
    pub(super) fn ended(&self) {
        let mut writing = lock(&self.writing);
        if writing.trouble.replace(ENDED) != Some(ENDED) {
            error!("the thread that writes the history has ended");
        }
    }

    /// Notes that writing succeeded.
    pub(super) fn writing_succeeded(&self) {
        let mut writing = lock(&self.writing);
        let took = writing.since.take().map(|since| since.elapsed());
        if let Some(took) = took.filter(|took| *took > SLOW) {
            warn!(seconds = took.as_secs(), "the history was written slowly");
        }
        if writing.trouble.take().is_some() {
            info!("the history is written again");
        }
    }

    /// Returns the gaps, locked.
    pub(super) fn gaps(&self) -> MutexGuard<'_, Gaps> {
        lock(&self.gaps)
    }

    /// Adds a gap.
    pub(super) fn count_gap(&self, gap: Gap, now: Timestamp) {
        self.gaps().add(gap, now);
    }

    /// Returns the numbers that the file lacked when it was opened, and that the ring could still
    /// have.
    pub(super) fn holes(&self) -> BTreeSet<u64> {
        lock(&self.holes).clone()
    }

    /// Returns the newest number that the file had when it was opened; `None` before a file was
    /// opened.
    pub(super) fn newest_at_opening(&self) -> Option<u64> {
        (self.file_number() > 0).then(|| self.newest_at_opening.load(Ordering::Relaxed))
    }

    /// Notes that a file was opened, with its newest number, the numbers that it lacks before that,
    /// and its gaps.
    pub(super) fn opened(
        &self,
        newest: u64,
        holes: BTreeSet<u64>,
        gaps_in_file: Gaps,
        now: Timestamp,
    ) {
        *lock(&self.holes) = holes;
        let mut gaps = self.gaps();
        let before = std::mem::replace(&mut *gaps, gaps_in_file);
        if self.file_number() == 0 {
            // These gaps were counted before the file was open. The file may have some of their
            // requests.
            for gap in before.0 {
                if let Some(gap) = gap.after(newest) {
                    gaps.add(gap, now);
                }
            }
        }
        self.newest_at_opening.fetch_max(newest, Ordering::Relaxed);
        self.files.fetch_add(1, Ordering::Release);
    }

    /// Notes how large the file is.
    pub(super) fn set_size(&self, requests: u64, bytes: u64) {
        self.requests.store(requests, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Notes how many sensors are in the file.
    pub(super) fn set_sensors(&self, sensors: u64) {
        self.sensors.store(sensors, Ordering::Relaxed);
    }

    /// Returns the number of sensors in the file. The writer keeps the number up to date.
    pub(super) fn sensors(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sensors)
    }

    /// Counts one more item that waits to be written.
    pub(super) fn count_waiting(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts this many items less that wait to be written.
    pub(super) fn count_no_longer_waiting(&self, items: usize) {
        self.waiting.fetch_sub(items, Ordering::Relaxed);
    }

    /// Returns the number of requests in the file, and its size on the disk in bytes. Both are 0
    /// before the first transaction.
    pub(super) fn size(&self) -> (u64, u64) {
        let [requests, bytes] = [&self.requests, &self.bytes];
        (
            requests.load(Ordering::Relaxed),
            bytes.load(Ordering::Relaxed),
        )
    }

    /// Returns how many items wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns how many files were opened so far, which is also the number of the current file.
    pub(super) fn file_number(&self) -> u64 {
        self.files.load(Ordering::Acquire)
    }
}

/// Returns the reason of an error, in words for the page.
fn reason(error: &anyhow::Error) -> &'static str {
    if let Some(own) = error.downcast_ref::<super::wal::TooLong>() {
        return own.reason();
    }
    let io = error.downcast_ref::<std::io::Error>();
    match io.map(std::io::Error::kind) {
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => return "the disk is full",
        Some(ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) => {
            return "its folder is read-only";
        }
        _ => {}
    }
    error
        .downcast_ref::<rusqlite::Error>()
        .map_or("see the log", reason_of_sqlite)
}

/// Returns what is wrong with the file, in words that name no path, because everybody may read the
/// page.
pub(crate) fn reason_of_sqlite(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process has locked the file"
        }
        Some(ErrorCode::DiskFull) => "the disk is full",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => "its folder is read-only",
        Some(ErrorCode::CannotOpen) => "its file cannot be opened",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "its file is broken",
        Some(ErrorCode::SystemIoFailure) => "the disk reports an error",
        Some(ErrorCode::OperationInterrupted) => "it takes too long",
        _ => "see the log",
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
