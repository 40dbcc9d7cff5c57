//! The history on a real file.

use std::path::Path;
use std::time::{Duration, Instant};

use forever200_ring::{ByPort, Record, Sent, Tls};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::history::forget::{What, forget};
use crate::history::found::Found;
use crate::history::keeper::Gap;
use crate::history::kind::Kind;
use crate::reader::entry::tests::record as record_of;

pub(super) mod bounds;

pub(super) const LARGE: u64 = 1 << 30;

pub(super) fn found(name: &str) -> Found {
    let kind = Kind {
        name: name.to_owned(),
        title: format!("What {name} is"),
        category: None,
    };
    Found {
        kind,
        protocol: "http",
        labels: " ".into(),
        categories: " ".into(),
        host: None,
        user_agent: None,
        ja4: None,
        country: None,
        asn: None,
        as_name: None,
    }
}

pub(super) fn numbered(seq: u64, raw: &[u8]) -> Record {
    Record {
        seq,
        ..record_of(raw)
    }
}

pub(super) fn offer(history: &History, item: Item) {
    let start = Instant::now();
    let mut item = Some(item);
    while let Some(again) = item.take() {
        item = history.offer(again).err();
        assert!(start.elapsed() < Duration::from_secs(30), "no room");
    }
}

fn put(history: &History, record: &Record) {
    offer(history, Item::request(record.clone(), found("some")));
}

/// Waits until the file has a request.
pub(super) fn until_written(history: &History, seq: u64) {
    let start = Instant::now();
    while history.questions().record(seq).unwrap().is_none() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{seq} was never written"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn count(folder: &Path, query: &str) -> i64 {
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
    assert_eq!(history.questions().continued_by(1).unwrap(), Some(2));
    assert_eq!(history.questions().continued_by(2).unwrap(), None);
}

#[test]
fn what_a_sensor_sends_twice_is_written_once() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let sent = |seq, name: &str, number| {
        let sent = Sent {
            name: name.into(),
            era: 5,
            seq: number,
            missing: 0,
            stream: 100 + number,
            version: "0.1.0".into(),
        };
        Record {
            sensor: Some(Box::new(sent)),
            ..numbered(seq, b"GET / HTTP/1.1\r\n\r\n")
        }
    };
    put(&history, &sent(1, "one", 7));
    put(&history, &sent(2, "two", 7));
    put(&history, &sent(3, "one", 7));
    let mut last = sent(4, "one", 10);
    last.sensor.as_mut().unwrap().missing = 2;
    put(&history, &last);
    until_written(&history, 4);
    assert_eq!(
        history.questions().record(1).unwrap(),
        Some(sent(1, "one", 7))
    );
    assert_eq!(history.questions().record(3).unwrap(), None);
    let number = |query: &str| count(folder.path(), query);
    assert_eq!(number("SELECT count(*) FROM request"), 3);
    let of_one = "FROM sensor WHERE name = 'one'";
    assert_eq!(number(&format!("SELECT requests {of_one}")), 2);
    assert_eq!(number(&format!("SELECT missing {of_one}")), 2);
    assert_eq!(number("SELECT count(*) FROM kind_sensor"), 2);
    assert_eq!(number("SELECT count(*) FROM source_sensor"), 2);
    drop(history);
    let mut ledger = Ledger::new(folder.path().to_owned());
    assert_eq!(ledger.stream_position("three", 0).unwrap(), None);
    let mut position = || ledger.stream_position("one", 0).unwrap();
    assert_eq!(position(), Some(107));
    let file = Connection::open(folder.path().join(file::NAME)).unwrap();
    file.execute("DELETE FROM request", []).unwrap();
    file.execute("DELETE FROM kind", []).unwrap();
    // Requests that have left the history are not asked for again.
    assert_eq!(position(), Some(111));
    for table in ["sent", "kind_sensor", "source_sensor"] {
        assert_eq!(
            number(&format!("SELECT count(*) FROM {table}")),
            0,
            "{table}"
        );
    }
}

#[test]
fn where_to_go_on_is_told_by_what_came_last_whatever_a_clock_says() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let window = sent::WINDOW as u64;
    let send = |seq, era, number, stream| {
        let sent = Sent {
            name: "one".into(),
            era,
            seq: number,
            missing: 0,
            stream,
            version: "0.1.0".into(),
        };
        let sent = Record {
            sensor: Some(Box::new(sent)),
            ..numbered(seq, b"GET / HTTP/1.1\r\n\r\n")
        };
        put(&history, &sent);
    };
    // A first history, and then one of a sensor whose clock was set back.
    for number in 1..=window {
        send(number, 1_767_323_045_000_006, number, number);
    }
    for number in 1..=2 * window {
        send(window + number, 5, number, window + number);
    }
    // The last two requests have overtaken each other in flight.
    send(3 * window + 1, 5, 2 * window + 2, 3 * window + 2);
    send(3 * window + 2, 5, 2 * window + 1, 3 * window + 1);
    until_written(&history, 3 * window + 2);
    let mut ledger = Ledger::new(folder.path().to_owned());
    let position = |ledger: &mut Ledger| ledger.stream_position("one", 0).unwrap();
    assert_eq!(position(&mut ledger), Some(2 * window + 2));
    // A stream that was made anew counts from 1.
    send(3 * window + 3, 5, 2 * window + 3, 1);
    until_written(&history, 3 * window + 3);
    assert_eq!(position(&mut ledger), Some(1));
}

#[test]
fn what_a_person_deletes_stays_known_as_long_as_a_stream_may_bring_it_again() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let sent = |number| Sent {
        name: "one".into(),
        era: 5,
        seq: number,
        missing: 0,
        stream: 100 + number,
        version: "0.1.0".into(),
    };
    let all = 4 * sent::WINDOW as u64;
    for number in 1..=all {
        let record = Record {
            sensor: Some(Box::new(sent(number))),
            ..numbered(number, b"GET / HTTP/1.1\r\n\r\n")
        };
        put(&history, &record);
    }
    until_written(&history, all);
    let mut ledger = Ledger::new(folder.path().to_owned());
    let before = ledger.stream_position("one", 0).unwrap();
    forget(folder.path(), &What::All, &|_| String::new()).unwrap();
    assert_eq!(count(folder.path(), "SELECT count(*) FROM request"), 0);
    assert_eq!(ledger.stream_position("one", 0).unwrap(), before);
    let from = before.unwrap() - 100;
    for number in from..=all {
        assert!(ledger.has(&sent(number)).unwrap(), "{number}");
    }
    assert!(!ledger.has(&sent(all + 1)).unwrap());
    let mut records = vec![numbered(1, b"x"); 3];
    for (record, number) in records.iter_mut().zip([all, all + 1]) {
        record.sensor = Some(Box::new(sent(number)));
    }
    let has = ledger.has_each(records.iter()).unwrap();
    assert_eq!(has, [true, false, false]);
    let noted = "SELECT count(*) FROM forgotten";
    assert_eq!(count(folder.path(), noted), 3 * sent::WINDOW as i64);
    // Other requests came since, but none of this sensor.
    put(&history, &numbered(all + 1, b"GET / HTTP/1.1\r\n\r\n"));
    until_written(&history, all + 1);
    let position = ledger.stream_position("one", 0).unwrap();
    assert_eq!(position, Some(100 + all + 1));
}

#[test]
fn who_reads_a_history_beside_the_viewer_notices_that_it_was_replaced() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    put(&history, &numbered(1, b"GET / HTTP/1.1\r\n\r\n"));
    until_written(&history, 1);
    let outbox = Outbox::open(folder.path()).unwrap();
    let before = outbox.version().unwrap();
    assert_eq!(outbox.version().unwrap(), before);
    put(&history, &numbered(2, b"GET / HTTP/1.1\r\n\r\n"));
    until_written(&history, 2);
    assert_ne!(outbox.version().unwrap(), before);
    assert_eq!(outbox.after(1, 10).unwrap().len(), 1);
    std::fs::rename(
        folder.path().join(file::NAME),
        folder.path().join("aside.db"),
    )
    .unwrap();
    assert!(outbox.version().is_err());
    let again = History::open(folder.path(), LARGE).unwrap();
    put(&again, &numbered(3, b"GET / HTTP/1.1\r\n\r\n"));
    until_written(&again, 3);
    assert!(outbox.version().is_err());
    assert!(Outbox::open(folder.path()).unwrap().version().is_ok());
}

#[test]
fn a_file_of_the_first_version_keeps_what_it_has_and_takes_tls_and_blocks() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let plain = numbered(1, b"GET / HTTP/1.1\r\n\r\n");
    put(&history, &plain);
    until_written(&history, 1);
    drop(history);
    let file = Connection::open(folder.path().join(file::NAME)).unwrap();
    file.execute_batch(
        "ALTER TABLE payload DROP COLUMN tls; DROP TABLE block; \
         CREATE INDEX request_time ON request (time); PRAGMA user_version = 1",
    )
    .unwrap();
    drop(file);
    let history = History::open(folder.path(), LARGE).unwrap();
    let through_tls = |seq, sni: &str| {
        let tls = Tls {
            version: Some("TLSv1.3".into()),
            sni: Some(sni.into()),
            hello: Some("FgMB".into()),
            ..Tls::default()
        };
        Record {
            seq,
            via: forever200_ring::Via::Tls,
            tls: Some(Box::new(tls)),
            ..plain.clone()
        }
    };
    let names = ["a.example", "b.example", "a.example"];
    for (seq, name) in (2..).zip(names) {
        put(&history, &through_tls(seq, name));
    }
    until_written(&history, 4);
    assert_eq!(history.questions().record(1).unwrap(), Some(plain.clone()));
    for (seq, name) in (2..).zip(names) {
        let mut kept = through_tls(seq, name);
        // The hello is not kept: it is different each time, and only its fingerprint is of use.
        kept.tls.as_mut().unwrap().hello = None;
        assert_eq!(history.questions().record(seq).unwrap(), Some(kept));
    }
    assert_eq!(count(folder.path(), "SELECT count(*) FROM payload"), 3);
    assert_eq!(count(folder.path(), "PRAGMA user_version"), 3);
    let old_index = "SELECT count(*) FROM sqlite_schema WHERE name = 'request_time'";
    assert_eq!(count(folder.path(), old_index), 0);
    let since = Wanted {
        since: Some(plain.timestamp),
        ..Wanted::default()
    };
    assert_eq!(
        history
            .questions()
            .numbers(&since, 9)
            .unwrap()
            .unwrap()
            .len(),
        4
    );
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
    let file = Connection::open(folder.path().join(file::NAME)).unwrap();
    file.busy_timeout(Duration::from_secs(10)).unwrap();
    file.execute("DELETE FROM request WHERE seq % 3 = 0", [])
        .unwrap();
    assert_eq!(count(folder.path(), "SELECT count(*) FROM payload"), 2);
    file.execute("DELETE FROM request", []).unwrap();
    assert_eq!(count(folder.path(), "SELECT count(*) FROM source"), 0);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM kind_source"), 0);
    // The specimen stays.
    assert_eq!(count(folder.path(), "SELECT count(*) FROM payload"), 1);
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
    for ports in [ByPort::from([(22, 1), (23, 2)]), [(22, 5), (25, 4)].into()] {
        offer(&history, Item::SilentPorts(ports));
    }
    put(&history, &numbered(171, b"y"));
    until_written(&history, 171);
    let restored = history.questions().restore(now).unwrap();
    assert_eq!((restored.cursor, restored.records.len()), (171, 81));
    assert_eq!(restored.counts.silent, 9);
    assert_eq!(restored.silent_ports, ByPort::from([(22, 5), (25, 4)]));
    assert_eq!(restored.counts.minutes.values().sum::<u64>(), 151);
    drop(history);
    assert_eq!(
        History::open(folder.path(), LARGE)
            .unwrap()
            .newest_at_opening(),
        Some(171)
    );
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
    file.pragma_update(None, "user_version", 99).unwrap();
    let error = History::open(folder.path(), LARGE).err().unwrap();
    assert!(format!("{error:#}").contains("has version 99"), "{error:#}");
    file.pragma_update(None, "application_id", 1).unwrap();
    let error = History::open(folder.path(), LARGE).err().unwrap();
    assert!(
        format!("{error:#}").contains("not a history of forever200"),
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
        .offer(Item::request(numbered(seq + 1, b"x"), found("some")))
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

/// Offers a request of a kind with this name and without a label.
fn put_kind(history: &History, seq: u64, name: &str, raw: &[u8]) {
    offer(history, Item::request(numbered(seq, raw), found(name)));
}

fn put_labelled(history: &History, seq: u64, name: &str, raw: &[u8]) {
    let mut found = found(name);
    found.kind.category = Some(forever200_identify::Category::Exploit);
    offer(history, Item::request(numbered(seq, raw), found));
}

#[test]
fn a_flood_of_random_requests_pushes_no_kind_out_that_matters() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    put_labelled(&history, 1, "rare", b"an exploit");
    put_kind(&history, 2, "twice", b"seen twice");
    put_kind(&history, 3, "twice", b"seen twice");
    put_kind(&history, 4, "once", b"seen once");
    for seq in 5..=3000 {
        put_kind(&history, seq, &format!("random-{seq}"), &seq.to_be_bytes());
    }
    until_written(&history, 3000);
    let has = |name: &str| {
        let query = format!("SELECT count(*) FROM kind WHERE name = '{name}'");
        count(folder.path(), &query)
    };
    assert_eq!(
        ["rare", "twice", "once", "random-3000"].map(has),
        [1, 1, 0, 1]
    );
    assert_eq!(count(folder.path(), "SELECT count(*) FROM kind"), 2001);
    assert_eq!(
        count(
            folder.path(),
            "SELECT requests FROM kind WHERE name = 'twice'"
        ),
        2
    );
    let lost = "SELECT count(*) FROM kind_source WHERE kind NOT IN (SELECT id FROM kind)";
    assert_eq!(count(folder.path(), lost), 0);
}

#[test]
fn kinds_that_are_each_sent_twice_leave_room_for_new_ones() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    for seq in 0..4400 {
        put_kind(&history, seq + 1, &format!("pair-{}", seq / 2), b"x");
    }
    put_kind(&history, 4401, "new", b"y");
    until_written(&history, 4401);
    let often = "SELECT count(*) FROM kind WHERE requests > 1";
    assert_eq!(count(folder.path(), often), 1800);
    assert_eq!(
        count(
            folder.path(),
            "SELECT count(*) FROM kind WHERE name = 'new'"
        ),
        1
    );
}

#[test]
fn specimens_have_a_bound_and_long_ones_give_way_to_short_ones() {
    let folder = TempDir::new().unwrap();
    // An eighth of the history is for specimens.
    let history = History::open(folder.path(), 8 * 1024 * 1024).unwrap();
    let long = |seq: u64| vec![seq as u8; 60_000 + seq as usize];
    for seq in 1..=40 {
        put_labelled(&history, seq, &format!("kind-{seq}"), &long(seq));
    }
    until_written(&history, 40);
    let all = "SELECT sum(length(bytes)) FROM payload WHERE id IN (SELECT payload FROM kind)";
    assert!(count(folder.path(), all) <= 1024 * 1024);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM kind"), 40);
    let of_one = "SELECT kept FROM kind WHERE name = 'kind-40'";
    put_labelled(&history, 41, "kind-40", b"a short one");
    until_written(&history, 41);
    let kept = count(folder.path(), of_one);
    assert!(kept == 11 || kept == 4096, "{kept}");
    let truncated = "SELECT count(*) FROM kind WHERE kept < bytes AND truncated = 0";
    assert_eq!(count(folder.path(), truncated), 0);
}

#[test]
fn the_collection_outlives_its_requests() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    put_labelled(&history, 1, "some", b"the first");
    put_labelled(&history, 2, "some", b"another");
    until_written(&history, 2);
    let file = Connection::open(folder.path().join(file::NAME)).unwrap();
    file.busy_timeout(Duration::from_secs(10)).unwrap();
    file.execute("DELETE FROM request", []).unwrap();
    // The next transaction notices that rows are gone.
    put_labelled(&history, 3, "some", b"the third");
    until_written(&history, 3);
    let specimen = history.questions().record(1).unwrap().unwrap();
    assert_eq!(specimen, numbered(1, b"the first"));
    assert_eq!(history.questions().record(2).unwrap(), None);
    assert_eq!(count(folder.path(), "SELECT requests FROM kind"), 3);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM source"), 1);
}

/// Returns the queries of docs/history.md. Each stands in a block of its own.
fn questions_of_the_document() -> Vec<&'static str> {
    let document = include_str!("../../../../docs/history.md");
    let blocks = document.split("```sql\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

#[test]
fn the_questions_of_the_document_are_answered() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let now = jiff::Timestamp::now();
    let record = |seq| Record {
        timestamp: now,
        ..numbered(seq, b"GET /etc/passwd HTTP/1.1\r\n\r\n")
    };
    put(&history, &record(1));
    let gap = Gap {
        first: 2,
        last: 9,
        requests: 8,
        since: now,
        until: now,
    };
    offer(&history, Item::Gap(gap));
    put(&history, &record(10));
    until_written(&history, 10);
    let questions = questions_of_the_document();
    assert_eq!(questions.len(), 10);
    for question in questions {
        let rows = history.questions().ask(|file| {
            let mut statement = file.prepare(question)?;
            let rows = statement.query_map([], |_| Ok(()))?;
            Ok(rows.count())
        });
        assert!(rows.unwrap() > 0, "{question}");
    }
}

#[test]
fn the_document_has_the_tables_of_the_file() {
    let folder = TempDir::new().unwrap();
    drop(History::open(folder.path(), LARGE).unwrap());
    let of_document = Connection::open_in_memory().unwrap();
    let schema = include_str!("../../../../docs/history.sql");
    of_document.execute_batch(schema).unwrap();
    let of_file = Connection::open(folder.path().join(file::NAME)).unwrap();
    let all = |file: &Connection| -> Vec<String> {
        let mut statement = file
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    };
    assert_eq!(all(&of_document), all(&of_file));
}

/// With all ports open there are many ways: 65,536 ports, times the ways in which a request ends.
#[test]
fn a_way_goes_with_its_last_request_and_an_older_file_learns_it() {
    let folder = TempDir::new().unwrap();
    let ways = || count(folder.path(), "SELECT count(*) FROM way");
    let added = "FROM sqlite_schema WHERE name LIKE '%way%' AND type IN ('index', 'trigger') AND sql IS NOT NULL";
    drop(History::open(folder.path(), LARGE).unwrap());
    let path = folder.path().join(file::NAME);
    let file = Connection::open(&path).unwrap();
    let names: Vec<(String, String)> = file
        .prepare(&format!("SELECT type, name {added}"))
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    assert_eq!(names.len(), 5, "{names:?}");
    for (kind, name) in names {
        file.execute_batch(&format!("DROP {kind} {name}")).unwrap();
    }
    drop(file);
    let history = History::open(folder.path(), LARGE).unwrap();
    assert_eq!(count(folder.path(), &format!("SELECT count(*) {added}")), 5);
    for seq in 1..=20 {
        let mut record = numbered(seq, b"x");
        record.dest_port = 1000 + (seq % 10) as u16;
        put(&history, &record);
    }
    until_written(&history, 20);
    assert_eq!(ways(), 10);
    let file = Connection::open(&path).unwrap();
    file.busy_timeout(Duration::from_secs(10)).unwrap();
    file.execute("DELETE FROM request WHERE seq > 10", [])
        .unwrap();
    assert_eq!(ways(), 10);
    file.execute("DELETE FROM request", []).unwrap();
    // The way of the specimen stays.
    assert_eq!(ways(), 1);
    file.execute("DELETE FROM kind", []).unwrap();
    assert_eq!(ways(), 0);
}

fn names_in(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn until(name: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {name}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Overwrites the file except its first page, which says that it is a database.
fn break_file(path: &Path) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let noise = vec![0x5a; (length - 4096) as usize];
    file.write_all_at(&noise, 4096).unwrap();
}

/// Copies the log back into the file, as a person would.
fn write_back(folder: &Path) {
    let file = Connection::open(folder.join(file::NAME)).unwrap();
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
}

#[test]
fn a_file_that_breaks_while_it_is_written_is_set_aside_and_another_begun() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    offer(&history, Item::Number("silent", 9));
    for seq in 1..=200 {
        put(&history, &numbered(seq, &seq.to_be_bytes().repeat(100)));
    }
    until_written(&history, 200);
    write_back(folder.path());
    break_file(&folder.path().join(file::NAME));
    // SQLite sees the damage only when somebody has changed the file: until then its pages are in
    // memory.
    let changed = Connection::open(folder.path().join(file::NAME)).unwrap();
    let _ = changed.execute_batch("PRAGMA user_version = 3");
    drop(changed);
    put(&history, &numbered(201, b"after it"));
    until("the new file has it", || {
        matches!(history.questions().record(201), Ok(Some(_)))
    });
    assert_eq!(history.questions().record(200).unwrap(), None);
    let restored = history.questions().restore(jiff::Timestamp::now()).unwrap();
    assert_eq!((restored.cursor, restored.counts.silent), (201, 9));
    until("all is well", || history.trouble().is_none());
    let names = names_in(folder.path());
    let aside = names.iter().find(|it| it.starts_with("history.db.broken-"));
    assert!(aside.is_some(), "{names:?}");
}

#[test]
fn a_question_that_finds_the_file_broken_has_it_set_aside() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    for seq in 1..=200 {
        put(&history, &numbered(seq, &seq.to_be_bytes().repeat(100)));
    }
    until_written(&history, 200);
    write_back(folder.path());
    break_file(&folder.path().join(file::NAME));
    let other = History::open(folder.path(), LARGE);
    // The first page is not damaged.
    assert!(other.is_ok());
    drop(other);
    until("it is set aside", || {
        let _ = history.questions().record(100);
        let names = names_in(folder.path());
        names.iter().any(|it| it.starts_with("history.db.broken-"))
    });
    put(&history, &numbered(201, b"after it"));
    until("the new file has it", || {
        matches!(history.questions().record(201), Ok(Some(_)))
    });
}

#[test]
fn of_files_that_were_set_aside_three_are_kept() {
    let folder = TempDir::new().unwrap();
    for round in 0..6 {
        std::fs::write(folder.path().join(file::NAME), b"no database".repeat(500)).unwrap();
        drop(History::open(folder.path(), LARGE).unwrap());
        let names = names_in(folder.path());
        let aside = names.iter().filter(|it| {
            it.starts_with("history.db.broken-") && !it.ends_with("-wal") && !it.ends_with("-shm")
        });
        assert_eq!(aside.count(), 3.min(round + 1), "{names:?}");
        std::thread::sleep(Duration::from_millis(3));
    }
}

#[test]
fn a_file_that_is_removed_or_replaced_is_not_written_any_more() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(file::NAME);
    let history = History::open(folder.path(), LARGE).unwrap();
    put(&history, &numbered(1, b"before"));
    until_written(&history, 1);
    std::fs::rename(&path, folder.path().join("moved.db")).unwrap();
    put(&history, &numbered(2, b"after"));
    until("the new file has it", || {
        matches!(history.questions().record(2), Ok(Some(_)))
    });
    assert_eq!(history.questions().record(1).unwrap(), None);
    let query = "PRAGMA integrity_check";
    let file = Connection::open(&path).unwrap();
    let check: String = file.query_row(query, [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[test]
fn a_folder_that_cannot_be_written_is_no_reason_not_to_start() {
    let folder = TempDir::new().unwrap();
    // A folder stands in place of the file.
    let path = folder.path().join(file::NAME);
    std::fs::create_dir(&path).unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    put(&history, &numbered(1, b"x"));
    until("it says so", || history.trouble().is_some());
    assert!(history.questions().record(1).is_err());
    std::fs::remove_dir(&path).unwrap();
    until("it is written", || {
        matches!(history.questions().record(1), Ok(Some(_)))
    });
    until("all is well", || history.trouble().is_none());
}

#[test]
fn a_reader_who_never_ends_makes_the_log_grow_only_to_its_bound() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    put(&history, &numbered(1, b"x"));
    until_written(&history, 1);
    let reader = Connection::open(folder.path().join(file::NAME)).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let read = "SELECT count(*) FROM request";
    let _: i64 = reader.query_row(read, [], |row| row.get(0)).unwrap();
    let wal = folder.path().join("history.db-wal");
    let mut seq = 1;
    // On a busy machine, the trouble may say before that the disk is slow.
    let is_told = || {
        let trouble = history.trouble();
        trouble.is_some_and(|it| it.contains("reading its file"))
    };
    while !is_told() {
        let mut raw = vec![0x61; 60_000];
        raw.extend_from_slice(&seq.to_string().into_bytes());
        let request = Item::request(numbered(seq + 1, &raw), found("some"));
        if history.offer(request).is_ok() {
            seq += 1;
        } else {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(wal.metadata().unwrap().len() < 160 << 20, "it has no bound");
    }
    drop(reader);
    until_written(&history, seq);
    until("all is well", || history.trouble().is_none());
    assert!(wal.metadata().unwrap().len() < 64 << 20);
}

#[test]
fn the_gaps_of_one_flood_are_one_row_and_are_known_after_a_start() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let now = jiff::Timestamp::now();
    for at in 0..50_u64 {
        let gap = Gap {
            first: 1 + at * 100,
            last: 90 + at * 100,
            requests: 90,
            since: now,
            until: now,
        };
        offer(&history, Item::Gap(gap));
    }
    put(&history, &numbered(6000, b"x"));
    until_written(&history, 6000);
    drop(history);
    assert_eq!(count(folder.path(), "SELECT count(*) FROM gap"), 1);
    let history = History::open(folder.path(), LARGE).unwrap();
    assert_eq!(history.not_kept(now).unwrap().requests, 50 * 90);
}
