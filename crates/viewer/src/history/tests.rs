//! The history on a real file.

use std::path::Path;
use std::time::{Duration, Instant};

use forever200_ring::Record;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::history::keeper::Gap;
use crate::history::kind::Kind;
use crate::reader::entry::tests::record as record_of;

const LARGE: u64 = 1 << 30;

fn kind(name: &str) -> Kind {
    Kind {
        name: name.to_owned(),
        title: format!("What {name} is"),
        category: None,
    }
}

fn numbered(seq: u64, raw: &[u8]) -> Record {
    Record {
        seq,
        ..record_of(raw)
    }
}

fn offer(history: &History, item: Item) {
    let start = Instant::now();
    let mut item = Some(item);
    while let Some(again) = item.take() {
        item = history.offer(again).err();
        assert!(start.elapsed() < Duration::from_secs(30), "no room");
    }
}

fn put(history: &History, record: &Record) {
    offer(history, Item::Request(record.clone(), kind("some")));
}

/// Waits until the file has a request.
fn until_written(history: &History, seq: u64) {
    let start = Instant::now();
    while history.questions().record(seq).unwrap().is_none() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{seq} was never written"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn count(folder: &Path, query: &str) -> i64 {
    let file = Connection::open(folder.join(file::NAME)).unwrap();
    file.query_row(query, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_record_reads_back_as_it_was() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let plain = numbered(1, b"GET / HTTP/1.1\r\n\r\n\0\xff");
    let odd = Record {
        src_ip: "2001:db8::1".parse().unwrap(),
        dest_ip: "::ffff:192.0.2.1".parse().unwrap(),
        via: forever200_ring::Via::Http,
        ended: forever200_ring::Ended::Deadline,
        truncated: true,
        bytes: 1 << 40,
        extra: 7,
        continues: Some(1),
        ..numbered(2, b"")
    };
    for record in [&plain, &odd] {
        put(&history, record);
    }
    until_written(&history, 2);
    assert_eq!(history.questions().record(1).unwrap(), Some(plain));
    assert_eq!(history.questions().record(2).unwrap(), Some(odd));
    assert_eq!(history.questions().record(3).unwrap(), None);
    assert_eq!(history.questions().neighbours(1).unwrap(), (Some(2), None));
}

#[test]
fn a_payload_is_there_once_and_goes_with_its_last_request() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    for seq in 1..=300 {
        put(
            &history,
            &numbered(seq, if seq % 3 == 0 { b"three" } else { b"other" }),
        );
    }
    // The same number again changes nothing.
    put(&history, &numbered(300, b"again"));
    put(&history, &numbered(301, b"last"));
    until_written(&history, 301);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM payload"), 3);
    let threes = "SELECT requests FROM payload WHERE bytes = CAST('three' AS BLOB)";
    assert_eq!(count(folder.path(), threes), 100);
    let file = Connection::open(folder.path().join(file::NAME)).unwrap();
    file.busy_timeout(Duration::from_secs(10)).unwrap();
    file.execute("DELETE FROM request WHERE seq % 3 = 0", [])
        .unwrap();
    assert_eq!(count(folder.path(), "SELECT count(*) FROM payload"), 2);
    assert_eq!(
        count(folder.path(), "SELECT sum(requests) FROM source"),
        201
    );
}

#[test]
fn a_file_that_is_large_enough_grows_no_further() {
    let folder = TempDir::new().unwrap();
    let most_bytes = 2 * 1024 * 1024;
    let history = History::open(folder.path(), most_bytes).unwrap();
    for seq in 1..=4000 {
        let raw = seq.to_string().repeat(500);
        put(&history, &numbered(seq, raw.as_bytes()));
    }
    until_written(&history, 4000);
    drop(history);
    let kept = count(folder.path(), "SELECT count(*) FROM request");
    assert!((500..2000).contains(&kept), "{kept} requests are kept");
    let bytes = folder.path().join(file::NAME).metadata().unwrap().len();
    assert!(bytes < 2 * most_bytes, "{bytes} bytes");
    assert_eq!(count(folder.path(), "SELECT max(seq) FROM request"), 4000);
}

#[test]
fn what_is_restored_is_the_ring_and_what_was_counted() {
    let folder = TempDir::new().unwrap();
    let now = record_of(b"").timestamp;
    let history = History::open(folder.path(), LARGE).unwrap();
    for seq in 1..=150 {
        put(&history, &numbered(seq, b"x"));
    }
    let gap = Gap {
        first: 151,
        last: 170,
        requests: 20,
        since: now,
        until: now,
    };
    offer(&history, Item::Gap(gap));
    offer(&history, Item::Number("silent", 9));
    put(&history, &numbered(171, b"y"));
    until_written(&history, 171);
    let restored = history.questions().restore(now).unwrap();
    assert_eq!((restored.cursor, restored.records.len()), (171, 81));
    assert_eq!(restored.counts.silent, 9);
    assert_eq!(restored.counts.minutes.values().sum::<u64>(), 151);
    drop(history);
    assert_eq!(History::open(folder.path(), LARGE).unwrap().newest(), 171);
}

#[test]
fn a_broken_file_is_set_aside_and_a_newer_one_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(file::NAME);
    std::fs::write(
        &path,
        b"this is no database, however long it is".repeat(200),
    )
    .unwrap();
    drop(History::open(folder.path(), LARGE).unwrap());
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        names
            .iter()
            .any(|name| name.starts_with("history.db.broken-")),
        "{names:?}"
    );
    let file = Connection::open(&path).unwrap();
    file.pragma_update(None, "user_version", 2).unwrap();
    let error = History::open(folder.path(), LARGE).err().unwrap();
    assert!(
        format!("{error:#}").contains("is of version 2"),
        "{error:#}"
    );
    file.pragma_update(None, "application_id", 1).unwrap();
    let error = History::open(folder.path(), LARGE).err().unwrap();
    assert!(
        format!("{error:#}").contains("no history of forever200"),
        "{error:#}"
    );
}

#[test]
fn nobody_waits_for_a_file_that_is_locked() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let other = Connection::open(folder.path().join(file::NAME)).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut seq = 0;
    let start = Instant::now();
    while history
        .offer(Item::Request(numbered(seq + 1, b"x"), kind("some")))
        .is_ok()
    {
        seq += 1;
        assert!(seq < 1000, "the queue has no end");
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    let trouble = Instant::now();
    while history.trouble().is_none() {
        assert!(
            trouble.elapsed() < Duration::from_secs(30),
            "it says nothing"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    other.execute_batch("COMMIT").unwrap();
    until_written(&history, seq);
    assert_eq!(history.trouble(), None);
}

#[test]
fn the_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let inner = folder.path().join("a/b");
    let history = History::open(&inner, LARGE).unwrap();
    put(&history, &numbered(1, b"x"));
    until_written(&history, 1);
    for name in ["", "history.db", "history.db-wal", "history.db-shm"] {
        let mode = inner.join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}

#[test]
fn a_question_that_takes_too_long_is_given_up() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    let start = Instant::now();
    let answer = history
        .questions()
        .ask(|file| file.query_row(endless, [], |row| row.get::<_, i64>(0)));
    assert!(answer.is_err());
    assert!(start.elapsed() < Duration::from_secs(20));
}
