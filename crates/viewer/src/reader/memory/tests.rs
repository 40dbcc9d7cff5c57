//! What is counted as missing where the file is opened later than the reader begins.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::reader::entry::tests::{entry, record};

const MOST_BYTES: u64 = 1 << 30;
const LONGEST: Duration = Duration::from_secs(30);

/// A ring as it is seen when so many requests have come.
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

/// Looks again and again, until this is so.
fn until(memory: &mut Memory, cursor: u64, is_so: impl Fn(&Memory) -> bool) {
    let (snapshot, entries) = ring_at(cursor);
    let begun = Instant::now();
    while !is_so(memory) {
        assert!(begun.elapsed() < LONGEST, "it never is");
        memory.keep(&snapshot, &entries);
        std::thread::yield_now();
    }
}

fn number(folder: &Path, query: &str) -> u64 {
    let file = Connection::open(folder.join("history.db")).unwrap();
    file.busy_timeout(LONGEST).unwrap();
    let number = file.query_row(query, [], |row| row.get::<_, i64>(0));
    number.unwrap().unsigned_abs()
}

/// A history of the requests up to a number, with none missing but the first ones.
fn history_up_to(folder: &Path, cursor: u64) {
    let history = Arc::new(History::open(folder, MOST_BYTES).unwrap());
    let mut memory = Memory::new(history);
    let is_written = |memory: &Memory| memory.history.now().requests == cursor.min(SLOTS);
    until(&mut memory, cursor, is_written);
}

/// Locks a file so that nobody else can even read it.
fn lock(folder: &Path) -> Connection {
    let file = Connection::open(folder.join("history.db")).unwrap();
    file.busy_timeout(LONGEST).unwrap();
    file.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        .unwrap();
    file
}

fn missing(memory: &Memory) -> u64 {
    memory.state().not_kept.map_or(0, |it| it.requests)
}

#[test]
fn what_the_file_has_is_not_missing_though_it_was_locked_at_the_start() {
    for (held, at_start, at_end, lost) in [
        // All that had left the ring is in the file.
        (101, 150, 160, 0),
        // Some of it came while no viewer ran.
        (101, 300, 310, 98),
        (101, 202, 202, 0),
        (101, 203, 203, 1),
        // And some while the file was locked: the queue has room for two rings and no more.
        (101, 150, 1000, 1000 - 101 - 150),
    ] {
        let folder = TempDir::new().unwrap();
        history_up_to(folder.path(), held);
        let locked = lock(folder.path());
        let history = Arc::new(History::open(folder.path(), MOST_BYTES).unwrap());
        assert!(history.trouble().is_some());
        let mut memory = Memory::new(history);
        for cursor in [at_start, at_end] {
            let (snapshot, entries) = ring_at(cursor);
            memory.keep(&snapshot, &entries);
        }
        // What came before is told neither as kept nor as missing.
        assert!(missing(&memory) <= at_end - at_start, "{at_start}");
        drop(locked);
        let is_known = |memory: &Memory| memory.history.known_up_to().is_some();
        until(&mut memory, at_end, is_known);
        let account = |_: &Memory| {
            let written = number(folder.path(), "SELECT count(*) FROM request");
            let gaps = number(folder.path(), "SELECT coalesce(sum(requests), 0) FROM gap");
            written + gaps == at_end
        };
        until(&mut memory, at_end, account);
        assert_eq!(missing(&memory), lost, "{held}, {at_start}, {at_end}");
        let gaps = number(folder.path(), "SELECT coalesce(sum(requests), 0) FROM gap");
        assert_eq!(gaps, lost, "{held}, {at_start}, {at_end}");
    }
}
