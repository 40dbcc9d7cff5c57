//! Deletes the oldest requests when the history is too large, and rows that no request references
//! any more.
//!
//! In: the file and its limit. Out: the file, one step smaller. A step is so small that the queue
//! waits for it only some milliseconds.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::history::blocks;

/// Requests that are deleted in one step.
const STEP_REQUESTS: i64 = 500;
/// Pages of the file that are given back to the disk in one step.
const STEP_PAGES: i64 = 256;
/// Most gaps that are kept. The oldest are deleted.
const MOST_GAPS: i64 = 10_000;
/// Rows of `found` that are checked in one step when a file is opened.
const SWEPT_ROWS: i64 = 1000;
/// Longest time for all steps of [`SWEPT_ROWS`].
const SWEEP_TIME: Duration = Duration::from_secs(1);

/// Deletes the oldest requests, one step of them, if the file is larger than `most_bytes`. Returns
/// how many were deleted; `None` if the file was not too large.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn make_room(file: &Connection, most_bytes: u64) -> rusqlite::Result<Option<u64>> {
    let number = |name| file.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let used = number("page_count")? - number("freelist_count")?;
    let bytes = used.saturating_mul(number("page_size")?).unsigned_abs();
    if bytes <= most_bytes {
        return Ok(None);
    }
    let mut delete = file.prepare_cached(
        "DELETE FROM request WHERE seq IN (SELECT seq FROM request ORDER BY seq LIMIT ?1)",
    )?;
    let gone = delete.execute([STEP_REQUESTS])?;
    blocks::drop_gone(file)?;
    file.prepare_cached(
        "DELETE FROM gap WHERE first_seq IN \
         (SELECT first_seq FROM gap ORDER BY first_seq DESC LIMIT -1 OFFSET ?1)",
    )?
    .execute([MOST_GAPS])?;
    // The statement returns a row for each page.
    let mut shrink = file.prepare(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))?;
    let mut rows = shrink.query([])?;
    while rows.next()?.is_some() {}
    Ok(Some(gone as u64))
}

/// Deletes rows of `found` that no request references, the oldest first. Earlier versions did not
/// delete them. When [`SWEEP_TIME`] is over, the rest stays until the file is opened the next time.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn drop_unreferenced(file: &Connection) -> rusqlite::Result<()> {
    let begun = Instant::now();
    let mut last = file
        .prepare("SELECT max(id) FROM (SELECT id FROM found WHERE id > ?1 ORDER BY id LIMIT ?2)")?;
    let mut delete = file.prepare(
        "DELETE FROM found WHERE id > ?1 AND id <= ?2 \
         AND NOT EXISTS (SELECT 1 FROM request WHERE request.found = found.id)",
    )?;
    let mut looked_at = 0;
    while begun.elapsed() < SWEEP_TIME {
        let step: Option<i64> = last.query_row([looked_at, SWEPT_ROWS], |row| row.get(0))?;
        let Some(step) = step else {
            break;
        };
        delete.execute([looked_at, step])?;
        looked_at = step;
    }
    Ok(())
}
