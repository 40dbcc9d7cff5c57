//! Deletes requests from the history for a person, while a viewer may write it.
//!
//! In: a folder, and what is to be deleted. Out: the file without it, down to the bytes on the
//! disk. Deletes in small steps, each in a transaction, so that the writer waits for some
//! milliseconds. Only at the end, when the file is rewritten, does the writer wait for seconds. The
//! newest number stays known, so that no deleted request is written again, and no number is used
//! twice.

use std::net::IpAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use ipnet::IpNet;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::history::collection::{DAY_MICROS, SPECIMEN_BYTES};
use crate::history::row::integer;
use crate::history::sources::json_list;
use crate::history::{blocks, file, kind, questions, sent};

/// Rows that are deleted in one step.
const STEP_ROWS: i64 = 500;
/// Pause between two steps, in which the writer can write. SQLite has no queue for a lock, so
/// without this pause the writer might not get it.
const STEP_PAUSE: Duration = Duration::from_millis(10);
/// Longest wait for a lock.
const LOCK_TIME: Duration = Duration::from_secs(30);
/// Most rounds of deletion. A further round deletes requests that were still in flight to the file
/// when the round before began.
const ROUNDS: usize = 5;
/// Pause between two rounds.
const ROUND_PAUSE: Duration = Duration::from_millis(500);
/// The name of a request's kind: its first label, or the shape of its payload.
const NAME_OF_KIND: &str =
    "iif(labels = ' ', shape, substr(labels, 2, instr(substr(labels, 2), ' ') - 1))";

/// What is to be deleted.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// All requests from a network.
    Source(IpNet),
    /// All requests before a time.
    Before(Timestamp),
    /// Everything.
    All,
}

/// How much was deleted.
#[derive(Debug, Default)]
pub struct Forgotten {
    /// Requests.
    pub requests: u64,
    /// Sources that are not there any more.
    pub sources: u64,
    /// Kinds that are not there any more.
    pub kinds: u64,
    /// No byte of what was deleted is in the file, or in the log beside it.
    pub is_clean: bool,
}

/// Makes the title of a kind without a label from its specimen.
type Title<'a> = &'a dyn Fn(&[u8]) -> String;

/// Deletes requests from the history in a folder. `title` makes the title of a kind that gets
/// another specimen.
///
/// # Errors
/// There is no history, the disk refuses, or others keep it locked.
pub fn forget(folder: &Path, what: &What, title: Title<'_>) -> anyhow::Result<Forgotten> {
    let mut file = file::open_present(folder, LOCK_TIME)?;
    file.pragma_update(None, "secure_delete", true)?;
    let mut forgotten = Forgotten::default();
    for _ in 0..ROUNDS {
        let before = forgotten.requests;
        let last = keep_newest(&mut file)?;
        step(&mut file, |file| sent::note_newest(file))?;
        match what {
            What::Source(network) => of_source(&mut file, *network, last, title, &mut forgotten)?,
            What::Before(time) => before_time(&mut file, *time, last, title, &mut forgotten)?,
            What::All => {
                all(&mut file, last, &mut forgotten)?;
                break;
            }
        }
        if forgotten.requests == before {
            break;
        }
        sleep(ROUND_PAUSE);
    }
    forgotten.is_clean = wipe(&file)?;
    Ok(forgotten)
}

/// Copies the history in a folder into an empty file, as it is at one moment.
///
/// # Errors
/// There is no history, or the disk refuses.
pub fn copy(folder: &Path, to: &Path) -> anyhow::Result<()> {
    let file = file::open_present(folder, LOCK_TIME)?;
    let name = to.to_str().context("the name of the copy is not UTF-8")?;
    file.execute("VACUUM INTO ?1", [name])?;
    Ok(())
}

/// Runs a step in a transaction, and then pauses, so that others can write.
fn step<T>(
    file: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    sleep(STEP_PAUSE);
    Ok(done)
}

/// Writes the newest number to the file, and returns it. Requests that come later are not deleted
/// in this round.
fn keep_newest(file: &mut Connection) -> rusqlite::Result<i64> {
    step(file, |file| {
        let newest = questions::newest(file)?;
        file.execute(
            "INSERT OR REPLACE INTO number (name, value) VALUES ('newest', ?1)",
            [newest],
        )?;
        Ok(newest)
    })
}

fn of_source(
    file: &mut Connection,
    network: IpNet,
    last: i64,
    title: Title<'_>,
    forgotten: &mut Forgotten,
) -> rusqlite::Result<()> {
    for id in sources_in(file, network)? {
        // Read before the step, because it goes through all requests of the source. So the writer
        // need not wait.
        let gone = gone_before(file, id)?;
        step(file, |file| {
            uncount(file, id)?;
            gone.iter().try_for_each(|gone| lower_days(file, gone))
        })?;
        let condition = "source = ?1 AND seq <= ?2";
        forgotten.requests += delete_requests(file, condition, id, last)?;
        forgotten.sources += step(file, |file| {
            let is_used = "EXISTS (SELECT 1 FROM request WHERE source = ?1)";
            let query = format!("DELETE FROM source WHERE id = ?1 AND NOT {is_used}");
            if file.execute(&query, [id])? == 0 {
                count_anew(file, id)?;
            }
            let is_gone = "SELECT NOT EXISTS (SELECT 1 FROM source WHERE id = ?1)";
            file.query_row(is_gone, [id], |row| row.get::<_, bool>(0))
        })? as u64;
    }
    let is_meant = |source: &str, _| is_in(network, source);
    replace_specimens(file, is_meant, title, forgotten)
}

/// Tells whether an address of the file is in a network.
fn is_in(network: IpNet, address: &str) -> bool {
    let address: Option<IpAddr> = address.parse().ok();
    address.is_some_and(|address| network.contains(&address.to_canonical()))
}

fn sources_in(file: &Connection, network: IpNet) -> rusqlite::Result<Vec<i64>> {
    let mut statement = file.prepare("SELECT id, address FROM source")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if is_in(network, row.get_ref(1)?.as_str().unwrap_or_default()) {
            found.push(row.get(0)?);
        }
    }
    Ok(found)
}

/// Requests of one source and one kind that are counted, but have left the history already.
struct GoneBefore {
    kind: i64,
    requests: i64,
    /// The days of the source's first and last request of that kind, days since 1970.
    first: i64,
    last: i64,
}

/// Returns the requests of a source that the history counts but does not hold any more, by kind.
fn gone_before(file: &Connection, source: i64) -> rusqlite::Result<Vec<GoneBefore>> {
    let query = format!(
        "WITH held AS (SELECT {NAME_OF_KIND} AS name, count(*) AS requests FROM request \
         JOIN found ON found.id = found JOIN payload ON payload.id = payload WHERE source = ?1 GROUP BY 1) \
         SELECT kind.id, own.requests - coalesce(held.requests, 0), own.first / ?2, own.last / ?2 \
         FROM kind_source AS own JOIN kind ON kind.id = own.kind LEFT JOIN held ON held.name = kind.name \
         WHERE own.source = ?1 AND own.requests > coalesce(held.requests, 0)"
    );
    let mut statement = file.prepare(&query)?;
    let rows = statement.query_map([source, DAY_MICROS], |row| {
        Ok(GoneBefore {
            kind: row.get(0)?,
            requests: row.get(1)?,
            first: row.get(2)?,
            last: row.get(3)?,
        })
    })?;
    rows.collect()
}

/// Subtracts requests that have left the history from the counts by day. Their days are not known
/// any more. The counts of the oldest days are lowered first, because the oldest requests leave the
/// history first.
fn lower_days(file: &Transaction<'_>, gone: &GoneBefore) -> rusqlite::Result<()> {
    let days: Vec<(i64, i64)> = file
        .prepare_cached(
            "SELECT day, requests FROM kind_day WHERE kind = ?1 AND day BETWEEN ?2 AND ?3 ORDER BY day",
        )?
        .query_map([gone.kind, gone.first, gone.last], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut left = gone.requests;
    for (day, requests) in days {
        let taken = left.min(requests);
        left -= taken;
        file.prepare_cached(
            "UPDATE kind_day SET requests = requests - ?3 WHERE kind = ?1 AND day = ?2",
        )?
        .execute([gone.kind, day, taken])?;
    }
    file.prepare_cached("DELETE FROM kind_day WHERE kind = ?1 AND requests <= 0")?
        .execute([gone.kind])?;
    Ok(())
}

/// Subtracts the requests of a source from the counts of kinds.
fn uncount(file: &Transaction<'_>, source: i64) -> rusqlite::Result<()> {
    file.execute(
        "UPDATE kind SET sources = max(kind.sources - 1, 0), requests = max(kind.requests - own.requests, 0) \
         FROM kind_source AS own WHERE own.kind = kind.id AND own.source = ?1",
        [source],
    )?;
    file.execute(
        "UPDATE kind SET \
         first = iif(own.first > kind.first, kind.first, coalesce((SELECT min(other.first) FROM kind_source AS other \
         WHERE other.kind = kind.id AND other.source <> ?1), kind.first)), \
         last = iif(own.last < kind.last, kind.last, coalesce((SELECT max(other.last) FROM kind_source AS other \
         WHERE other.kind = kind.id AND other.source <> ?1), kind.last)) \
         FROM kind_source AS own WHERE own.kind = kind.id AND own.source = ?1",
        [source],
    )?;
    file.execute(
        "DELETE FROM kind_country WHERE country = (SELECT country FROM source WHERE id = ?1) \
         AND kind IN (SELECT kind FROM kind_source WHERE source = ?1) AND NOT EXISTS (SELECT 1 FROM kind_source AS other \
         JOIN source ON source.id = other.source WHERE other.kind = kind_country.kind AND other.source <> ?1 \
         AND source.country = kind_country.country)",
        [source],
    )?;
    file.execute("DELETE FROM kind_source WHERE source = ?1", [source])?;
    Ok(())
}

/// Counts again the requests that a source has sent since the deletion began. Some of them may have
/// come before the counts of the source were deleted, and were lost from the counts with them.
fn count_anew(file: &Transaction<'_>, source: i64) -> rusqlite::Result<()> {
    file.execute(
        "UPDATE source SET (requests, first, last) = (SELECT count(*), min(time), max(time) FROM request \
         WHERE source = ?1) WHERE id = ?1 AND EXISTS (SELECT 1 FROM request WHERE source = ?1)",
        [source],
    )?;
    let held = format!(
        "WITH held AS (SELECT {NAME_OF_KIND} AS name, count(*) AS requests, min(request.time) AS first, max(request.time) AS last \
         FROM request JOIN found ON found.id = found JOIN payload ON payload.id = payload WHERE source = ?1 GROUP BY 1)"
    );
    let own = "FROM kind_source AS own WHERE own.kind = kind.id AND own.source = ?1";
    file.execute(
        &format!(
            "{held} UPDATE kind SET requests = kind.requests + held.requests - coalesce((SELECT own.requests {own}), 0), \
             sources = kind.sources + NOT EXISTS (SELECT 1 {own}), \
             first = min(kind.first, held.first), last = max(kind.last, held.last) FROM held WHERE held.name = kind.name"
        ),
        [source],
    )?;
    file.execute(
        &format!(
            "{held} INSERT OR REPLACE INTO kind_source (kind, source, requests, first, last) \
             SELECT kind.id, ?1, held.requests, held.first, held.last FROM held JOIN kind ON kind.name = held.name"
        ),
        [source],
    )?;
    file.execute(
        "INSERT OR IGNORE INTO kind_country (kind, country) SELECT kind, country FROM kind_source \
         JOIN source ON source.id = source WHERE source.id = ?1 AND country IS NOT NULL",
        [source],
    )?;
    Ok(())
}

/// Deletes the requests that meet a condition, step by step, and returns how many. In the
/// condition, `?1` is `value` and `?2` is `last`. Triggers delete the rows that nothing references
/// any more.
fn delete_requests(
    file: &mut Connection,
    condition: &str,
    value: i64,
    last: i64,
) -> rusqlite::Result<u64> {
    let query = format!(
        "SELECT seq FROM request WHERE {condition} AND seq > ?3 ORDER BY seq LIMIT {STEP_ROWS}"
    );
    let mut deleted = 0;
    let mut looked_at = 0;
    loop {
        let gone = step(file, |file| {
            let seqs: Vec<i64> = file
                .prepare_cached(&query)?
                .query_map(params![value, last, looked_at], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let listed = json_list(&seqs);
            uncount_days(file, &listed)?;
            file.prepare_cached(
                "DELETE FROM request WHERE seq IN (SELECT value FROM json_each(?1))",
            )?
            .execute([listed])?;
            blocks::drop_gone(file)?;
            Ok(seqs)
        })?;
        let Some(&newest) = gone.last() else {
            return Ok(deleted);
        };
        looked_at = newest;
        deleted += gone.len() as u64;
    }
}

/// Subtracts the requests with these numbers from the counts by day.
fn uncount_days(file: &Transaction<'_>, seqs: &str) -> rusqlite::Result<()> {
    let query = format!(
        "WITH gone AS (SELECT {NAME_OF_KIND} AS name, \
         time / ?2 AS day, count(*) AS requests FROM json_each(?1) JOIN request ON seq = value \
         JOIN found ON found.id = found JOIN payload ON payload.id = payload GROUP BY 1, 2) \
         UPDATE kind_day SET requests = max(kind_day.requests - gone.requests, 0) FROM gone JOIN kind ON kind.name = gone.name \
         WHERE kind_day.kind = kind.id AND kind_day.day = gone.day"
    );
    file.prepare_cached(&query)?
        .execute(params![seqs, DAY_MICROS])?;
    file.prepare_cached("DELETE FROM kind_day WHERE requests <= 0")?
        .execute([])?;
    Ok(())
}

fn before_time(
    file: &mut Connection,
    time: Timestamp,
    last: i64,
    title: Title<'_>,
    forgotten: &mut Forgotten,
) -> rusqlite::Result<()> {
    let time = time.as_microsecond();
    let count = |file: &Connection| {
        let query = "SELECT count(*) FROM source";
        file.query_row(query, [], |row| row.get::<_, i64>(0))
    };
    let sources = count(file)?;
    forgotten.requests += delete_requests(file, "time < ?1 AND seq <= ?2", time, last)?;
    forgotten.sources += (sources - count(file)?).max(0).unsigned_abs();
    recount_sources(file, time)?;
    step(file, |file| {
        file.execute("DELETE FROM kind_source WHERE last < ?1", [time])?;
        file.execute(
            "DELETE FROM kind_day WHERE day < ?1 / ?2",
            [time, DAY_MICROS],
        )?;
        file.execute("DELETE FROM gap WHERE until < ?1", [time])
    })?;
    recount_kinds_of_sources(file, time)?;
    replace_specimens(file, |_, at| at < time, title, forgotten)?;
    step(file, |file| {
        forgotten.kinds += file.execute("DELETE FROM kind WHERE last < ?1", [time])? as u64;
        file.execute(
            // `first` stays: otherwise a feed would report the kind again after each deletion.
            // Sources whose requests have all left the history are only in the counts by day.
            "UPDATE kind SET requests = max(\
                 (SELECT coalesce(sum(requests), 0) FROM kind_source WHERE kind = kind.id), \
                 (SELECT coalesce(sum(requests), 0) FROM kind_day WHERE kind = kind.id)), \
             sources = (SELECT count(*) FROM kind_source WHERE kind = kind.id) WHERE first < ?1",
            [time],
        )
    })?;
    Ok(())
}

/// Counts again the requests of each source that first came before a time. Earlier requests are
/// deleted already.
fn recount_sources(file: &mut Connection, time: i64) -> rusqlite::Result<()> {
    loop {
        let changed = step(file, |file| {
            file.execute(
                "UPDATE source SET (requests, first) = (SELECT count(*), max(coalesce(min(time), ?1), ?1) FROM request \
                 WHERE source = source.id) WHERE id IN (SELECT id FROM source WHERE first < ?1 LIMIT ?2)",
                [time, STEP_ROWS],
            )
        })?;
        if changed == 0 {
            return Ok(());
        }
    }
}

/// Counts again, for each kind, the requests of each source that first sent it before a time.
fn recount_kinds_of_sources(file: &mut Connection, time: i64) -> rusqlite::Result<()> {
    let held = format!(
        "WITH held AS (SELECT source, {NAME_OF_KIND} AS name, count(*) AS requests, min(request.time) AS first \
         FROM json_each(?2) JOIN request ON source = value AND request.time >= ?1 \
         JOIN found ON found.id = found JOIN payload ON payload.id = payload GROUP BY 1, 2) \
         UPDATE kind_source SET requests = held.requests, first = held.first \
         FROM held JOIN kind ON kind.name = held.name \
         WHERE kind_source.source = held.source AND kind_source.kind = kind.id AND kind_source.first = ?1"
    );
    loop {
        let is_done = step(file, |file| {
            let query = "SELECT DISTINCT source FROM kind_source WHERE first < ?1 LIMIT ?2";
            let sources: Vec<i64> = file
                .prepare_cached(query)?
                .query_map([time, STEP_ROWS], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let listed = json_list(&sources);
            // The source has sent the kind again since that time. If those requests have left the
            // history, all that is known is that there was one.
            file.prepare_cached(
                "UPDATE kind_source SET requests = 1, first = ?1 \
                 WHERE source IN (SELECT value FROM json_each(?2)) AND first < ?1",
            )?
            .execute(params![time, listed])?;
            file.prepare_cached(&held)?.execute(params![time, listed])?;
            Ok(sources.is_empty())
        })?;
        if is_done {
            return Ok(());
        }
    }
}

fn all(file: &mut Connection, last: i64, forgotten: &mut Forgotten) -> rusqlite::Result<()> {
    let sources = "SELECT count(*) FROM source";
    let sources: i64 = file.query_row(sources, [], |row| row.get(0))?;
    loop {
        let query = "DELETE FROM kind WHERE id IN (SELECT id FROM kind WHERE seq <= ?1 LIMIT ?2)";
        let kinds = step(file, |file| file.execute(query, [last, STEP_ROWS]))?;
        forgotten.kinds += kinds as u64;
        if kinds == 0 {
            break;
        }
    }
    forgotten.requests = delete_requests(file, "?1 = 0 AND seq <= ?2", 0, last)?;
    forgotten.sources = sources.unsigned_abs();
    step(file, |file| {
        file.execute("DELETE FROM gap WHERE last_seq <= ?1", [last])?;
        file.execute(
            "DELETE FROM number WHERE name NOT IN ('newest', 'since')",
            [],
        )?;
        file.execute(
            "DELETE FROM found WHERE id NOT IN (SELECT found FROM request)",
            [],
        )?;
        let used = "SELECT sensor FROM sent UNION SELECT sensor FROM kind_sensor UNION SELECT sensor FROM source_sensor";
        file.execute(&format!("DELETE FROM sensor WHERE id NOT IN ({used})"), [])?;
        let used = "SELECT way FROM request UNION SELECT way FROM kind";
        file.execute(&format!("DELETE FROM way WHERE id NOT IN ({used})"), [])
    })?;
    Ok(())
}

/// Gives another specimen to each kind whose specimen is to be deleted. Deletes the kind if the
/// history has no other.
fn replace_specimens(
    file: &mut Connection,
    is_meant: impl Fn(&str, i64) -> bool,
    title: Title<'_>,
    forgotten: &mut Forgotten,
) -> rusqlite::Result<()> {
    for (id, name, is_labelled) in kinds_with(file, is_meant)? {
        let is_replaced = step(file, |file| {
            let Some((seq, raw)) = another(file, &name, is_labelled)? else {
                file.execute("DELETE FROM kind WHERE id = ?1", [id])?;
                return Ok(false);
            };
            let title = kind::title(&title(&raw));
            file.execute(
                "UPDATE kind SET title = iif(category IS NULL, ?3, title), (seq, time, payload, kept, source, source_port, way, \
                 bytes, extra, truncated, continues) = (SELECT seq, request.time, payload, length(payload.bytes), address, \
                 source_port, way, request.bytes, extra, truncated, continues FROM request \
                 JOIN payload ON payload.id = payload JOIN source ON source.id = source WHERE seq = ?2) WHERE id = ?1",
                params![id, seq, title],
            )?;
            Ok(true)
        })?;
        forgotten.kinds += u64::from(!is_replaced);
    }
    Ok(())
}

fn kinds_with(
    file: &Connection,
    is_meant: impl Fn(&str, i64) -> bool,
) -> rusqlite::Result<Vec<(i64, String, bool)>> {
    let mut statement =
        file.prepare("SELECT id, name, category IS NOT NULL, source, time FROM kind")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if is_meant(row.get_ref(3)?.as_str().unwrap_or_default(), row.get(4)?) {
            found.push((row.get(0)?, row.get(1)?, row.get(2)?));
        }
    }
    Ok(found)
}

/// Returns the newest request of a kind that is short enough for a specimen, with its bytes.
fn another(
    file: &Connection,
    name: &str,
    is_labelled: bool,
) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
    let condition = if is_labelled {
        "found IN (SELECT id FROM found WHERE substr(labels, 1, length(?1) + 2) = ' ' || ?1 || ' ')"
    } else {
        "shape = ?1 AND found IN (SELECT id FROM found WHERE labels = ' ')"
    };
    let query = format!(
        "SELECT seq, payload.bytes FROM request JOIN payload ON payload.id = payload \
         WHERE {condition} AND length(payload.bytes) <= ?2 ORDER BY seq DESC LIMIT 1"
    );
    let mut statement = file.prepare_cached(&query)?;
    let found = statement.query_row(params![name, integer(SPECIMEN_BYTES as u64)], |row| {
        Ok((row.get(0)?, row.get(1)?))
    });
    found.optional()
}

/// Rewrites the file, because free pages and free parts of pages keep what was there, and empties
/// the log. Tells whether it could.
fn wipe(file: &Connection) -> rusqlite::Result<bool> {
    let is_new = file.execute_batch("VACUUM").is_ok();
    let deadline = Instant::now() + LOCK_TIME;
    loop {
        let is_busy = file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            row.get::<_, bool>(0)
        })?;
        if !is_busy {
            return Ok(is_new);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        sleep(STEP_PAUSE);
    }
}

#[cfg(test)]
mod tests;
