//! Tests of what is counted as missing if the file is opened after the reader has begun.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::history::forget::{self, What};
use crate::reader::entry::tests::{entry, record};

const MOST_BYTES: u64 = 1 << 30;
const LONGEST: Duration = Duration::from_secs(30);

/// Returns the ring at this cursor, and its entries.
fn ring_at(cursor: u64) -> (Snapshot, Vec<Arc<Entry>>) {
    let mut snapshot = Snapshot::default();
    snapshot.cursor = cursor;
    let mut entries = Vec::new();
    for seq in (cursor.saturating_sub(SLOTS) + 1..=cursor).rev() {
        let record = forever200_ring::Record {
            seq,
            ..record(b"GET / HTTP/1.1\r\n\r\n")
        };
        entries.push(Arc::new(entry(record.clone())));
        snapshot.ring.insert(record);
    }
    (snapshot, entries)
}

/// Looks again and again, until `is_so` returns true.
fn until(link: &mut HistoryLink, cursor: u64, is_so: impl Fn(&HistoryLink) -> bool) {
    let (snapshot, entries) = ring_at(cursor);
    let begun = Instant::now();
    while !is_so(link) {
        assert!(begun.elapsed() < LONGEST, "the condition is never met");
        link.keep(&snapshot, &entries);
        std::thread::yield_now();
    }
}

fn number(folder: &Path, query: &str) -> u64 {
    let file = Connection::open(folder.join("history.db")).unwrap();
    file.busy_timeout(LONGEST).unwrap();
    let number = file.query_row(query, [], |row| row.get::<_, i64>(0));
    number.unwrap().unsigned_abs()
}

/// Writes a history up to this number. Only requests that have left the ring are missing.
fn history_up_to(folder: &Path, cursor: u64) {
    let history = Arc::new(History::open(folder, MOST_BYTES).unwrap());
    let mut link = HistoryLink::new(history);
    let is_written = |link: &HistoryLink| link.history.now().requests == cursor.min(SLOTS);
    until(&mut link, cursor, is_written);
}

/// Locks the history so that nobody else can even read it.
fn lock(folder: &Path) -> Connection {
    let file = Connection::open(folder.join("history.db")).unwrap();
    file.busy_timeout(LONGEST).unwrap();
    file.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        .unwrap();
    file
}

fn missing(link: &HistoryLink) -> u64 {
    link.state().not_kept.map_or(0, |it| it.requests)
}

#[test]
fn what_the_file_has_is_not_missing_though_it_was_locked_at_the_start() {
    for (held, at_start, at_end, lost) in [
        // All requests that had left the ring are in the file.
        (101, 150, 160, 0),
        // Some requests came while no viewer ran.
        (101, 300, 310, 98),
        (101, 202, 202, 0),
        (101, 203, 203, 1),
        // Some came while the file was locked: the queue has room for two rings only.
        (101, 150, 1000, 1000 - 101 - 150),
    ] {
        let folder = TempDir::new().unwrap();
        history_up_to(folder.path(), held);
        let locked = lock(folder.path());
        let history = Arc::new(History::open(folder.path(), MOST_BYTES).unwrap());
        assert!(history.trouble().is_some());
        let mut link = HistoryLink::new(history);
        for cursor in [at_start, at_end] {
            let (snapshot, entries) = ring_at(cursor);
            link.keep(&snapshot, &entries);
        }
        // Requests before `at_start` count neither as kept nor as missing.
        assert!(missing(&link) <= at_end - at_start, "{at_start}");
        drop(locked);
        let is_known = |link: &HistoryLink| link.history.newest_at_opening().is_some();
        until(&mut link, at_end, is_known);
        let account = |_: &HistoryLink| {
            let written = number(folder.path(), "SELECT count(*) FROM request");
            let gaps = number(folder.path(), "SELECT coalesce(sum(requests), 0) FROM gap");
            written + gaps == at_end
        };
        until(&mut link, at_end, account);
        assert_eq!(missing(&link), lost, "{held}, {at_start}, {at_end}");
        let gaps = number(folder.path(), "SELECT coalesce(sum(requests), 0) FROM gap");
        assert_eq!(gaps, lost, "{held}, {at_start}, {at_end}");
    }
}

fn in_file(folder: &Path, sql: &str) {
    let file = Connection::open(folder.join("history.db")).unwrap();
    file.busy_timeout(LONGEST).unwrap();
    file.execute_batch(sql).unwrap();
}

fn written_and_missing(folder: &Path) -> (u64, u64) {
    (
        number(folder, "SELECT count(*) FROM request"),
        number(folder, "SELECT coalesce(sum(requests), 0) FROM gap"),
    )
}

/// A kill between two transactions must not leave later requests without the gap before them.
#[test]
fn what_is_missing_is_written_before_what_came_after_it() {
    let folder = TempDir::new().unwrap();
    history_up_to(folder.path(), 101);
    in_file(
        folder.path(),
        "CREATE TRIGGER gap_first BEFORE INSERT ON request WHEN NEW.seq > 101 \
         AND NOT EXISTS (SELECT 1 FROM gap) BEGIN SELECT RAISE(ROLLBACK, 'no gap'); END",
    );
    let history = Arc::new(History::open(folder.path(), MOST_BYTES).unwrap());
    let mut link = HistoryLink::new(history);
    let all = |_: &HistoryLink| written_and_missing(folder.path()) == (202, 798);
    until(&mut link, 1000, all);
    assert_eq!(missing(&link), 798);
}

/// Writes a history as a kill in a flood leaves it: it has every second one of the last 70 numbers.
fn history_with_holes(folder: &Path) {
    history_up_to(folder, 101);
    let history = History::open(folder, MOST_BYTES).unwrap();
    let gap = Gap {
        first: 102,
        last: 130,
        requests: 29,
        since: Timestamp::now(),
        until: Timestamp::now(),
    };
    assert!(history.offer(Item::Gap(gap)).is_ok());
    let (snapshot, entries) = ring_at(200);
    for entry in entries.iter().rev().filter(|it| it.record.seq > 130) {
        let seq = entry.record.seq;
        if seq.is_multiple_of(2) {
            let record = snapshot.ring.get(seq).unwrap().clone();
            let request = Item::request(record, Found::new(entry));
            assert!(history.offer(request).is_ok());
        }
    }
    let begun = Instant::now();
    while written_and_missing(folder) != (101 + 35, 29) {
        assert!(begun.elapsed() < LONGEST, "it is never written");
        std::thread::yield_now();
    }
}

#[test]
fn what_a_kill_left_out_is_taken_from_the_ring_or_counted() {
    for (cursor, written, lost) in [
        // All missing requests are still in the ring.
        (200, 171, 29),
        (210, 181, 29),
        // Some are: ten of the holes, up to 150, have left it.
        (251, 171 - 10 + 51, 29 + 10),
        // None is.
        (1000, 136 + 101, 29 + 35 + 699),
    ] {
        let folder = TempDir::new().unwrap();
        history_with_holes(folder.path());
        let history = Arc::new(History::open(folder.path(), MOST_BYTES).unwrap());
        let mut link = HistoryLink::new(history);
        let is_all = |_: &HistoryLink| written_and_missing(folder.path()) == (written, lost);
        until(&mut link, cursor, is_all);
        assert_eq!(missing(&link), lost, "{cursor}");
        let kinds = number(folder.path(), "SELECT sum(requests) FROM kind");
        assert_eq!(kinds, written, "{cursor}");
    }
}

#[test]
fn what_a_person_deleted_is_not_taken_from_the_ring_again() {
    let folder = TempDir::new().unwrap();
    history_with_holes(folder.path());
    let title = |_: &[u8]| String::new();
    forget::forget(folder.path(), &What::All, &title).unwrap();
    let history = Arc::new(History::open(folder.path(), MOST_BYTES).unwrap());
    let mut link = HistoryLink::new(history);
    let is_new = |_: &HistoryLink| written_and_missing(folder.path()) == (10, 0);
    until(&mut link, 210, is_new);
    assert_eq!(missing(&link), 0);
}
