//! What is deleted is gone, down to the bytes.

use forever200_ring::Record;
use tempfile::TempDir;

use super::*;
use crate::history::tests::{LARGE, count, found, numbered, offer, until_written};
use crate::history::{History, Item};

fn send(history: &History, seq: u64, source: &str, kind: &str, raw: &str) {
    let mut found = found(kind);
    found.kind.title = raw.to_owned();
    found.host = Some(format!("{source}.example"));
    let record = Record {
        src_ip: source.parse().unwrap(),
        timestamp: Timestamp::from_second(1_800_000_000 + seq as i64).unwrap(),
        ..numbered(seq, raw.as_bytes())
    };
    offer(history, Item::request(record, found));
}

/// Tells whether a text is in any file of the folder.
fn is_on_disk(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap();
    files.flatten().any(|entry| {
        // A file that SQLite has just removed has no bytes.
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        memchr::memmem::find(&bytes, text.as_bytes()).is_some()
    })
}

fn title(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).into_owned()
}

#[test]
fn a_source_goes_with_its_specimens_while_the_file_is_written() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    for seq in 1..=400 {
        let source = format!("198.51.{}.{}", seq % 4, seq % 50);
        let raw = format!("request {seq} of 198.51.{}", seq % 4);
        send(&history, seq, &source, &format!("kind-{}", seq % 8), &raw);
    }
    send(&history, 401, "198.51.3.1", "only-there", "a secret");
    until_written(&history, 401);
    let network = What::Source("198.51.3.0/24".parse().unwrap());
    let forgotten = forget(folder.path(), &network, &title).unwrap();
    assert!(forgotten.is_clean);
    assert_eq!((forgotten.requests, forgotten.kinds), (101, 3));
    for text in ["198.51.3.", "of 198.51.3", "a secret"] {
        assert!(!is_on_disk(folder.path(), text), "{text}");
    }
    let counted = |query: &str| count(folder.path(), query);
    assert_eq!(counted("SELECT count(*) FROM request"), 300);
    assert_eq!(counted("SELECT sum(requests) FROM kind"), 300);
    assert_eq!(counted("SELECT sum(requests) FROM kind_day"), 300);
    assert_eq!(counted("SELECT sum(requests) FROM kind_source"), 300);
    // The writer goes on, and does not use the ids of rows that it remembered.
    send(&history, 402, "198.51.3.1", "kind-1", "again");
    until_written(&history, 402);
    let lost = "SELECT count(*) FROM request WHERE source NOT IN (SELECT id FROM source) \
                OR found NOT IN (SELECT id FROM found)";
    assert_eq!(counted(lost), 0);
    assert_eq!(history.trouble(), None);
}

#[test]
fn a_kind_does_not_tell_when_a_source_that_is_gone_sent_it() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    for (seq, source) in [(1, "198.51.3.1"), (2, "192.0.2.1"), (3, "198.51.3.1")] {
        send(&history, seq, source, "kind", "a request");
    }
    until_written(&history, 3);
    let times = "SELECT count(*) FROM kind WHERE (first, last) = (SELECT time, time FROM request WHERE seq = 2)";
    assert_eq!(count(folder.path(), times), 0);
    let network = What::Source("198.51.3.0/24".parse().unwrap());
    forget(folder.path(), &network, &title).unwrap();
    assert_eq!(count(folder.path(), times), 1);
}

/// A request that comes while its source is deleted is deleted in the next round, or stays.
#[test]
fn of_a_source_that_keeps_sending_only_what_is_left_counts() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let sent = [
        (1, "198.51.3.1", "kind"),
        (2, "192.0.2.1", "kind"),
        (3, "198.51.3.1", "other"),
        (4, "198.51.3.1", "kind"),
        (5, "198.51.3.1", "kind"),
    ];
    for (seq, source, kind) in sent {
        send(&history, seq, source, kind, kind);
    }
    until_written(&history, 5);
    drop(history);
    let mut file = file::open_present(folder.path(), LOCK_TIME).unwrap();
    let network = "198.51.3.0/24".parse().unwrap();
    of_source(&mut file, network, 3, &title, &mut Forgotten::default()).unwrap();
    let rows = |query: &str| -> Vec<(i64, i64, i64)> {
        let mut statement = file.prepare(query).unwrap();
        let seconds = |time: i64| time / 1_000_000 - 1_800_000_000;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, seconds(row.get(1)?), seconds(row.get(2)?)))
        });
        rows.unwrap().map(Result::unwrap).collect()
    };
    let of_source = "SELECT requests, first, last FROM source WHERE address = '198.51.3.1'";
    assert_eq!(rows(of_source), [(2, 4, 5)]);
    let own = "SELECT kind_source.requests, kind_source.first, kind_source.last FROM kind_source \
               JOIN source ON source.id = source WHERE address = '198.51.3.1'";
    assert_eq!(rows(own), [(2, 4, 5)]);
    assert_eq!(rows("SELECT requests, first, last FROM kind"), [(3, 2, 5)]);
    assert_eq!(count(folder.path(), "SELECT sources FROM kind"), 2);
    assert_eq!(
        count(folder.path(), "SELECT sum(requests) FROM kind_day"),
        3
    );
}

/// Returns a second, as `send` counts them, on the day that is this many days after the first.
fn on_day(day: u64, second: u64) -> u64 {
    day * 86_400 + second
}

#[test]
fn counts_by_day_go_with_a_source_whose_oldest_requests_had_left_before() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let (gone, stays) = ("198.51.100.1", "192.0.2.1");
    let sent = [
        (on_day(0, 1), stays, "both"),
        (on_day(1, 1), gone, "both"),
        (on_day(1, 2), gone, "both"),
        (on_day(1, 3), stays, "both"),
        (on_day(1, 4), gone, "other"),
        (on_day(1, 5), stays, "other"),
        (on_day(2, 1), gone, "both"),
        (on_day(2, 2), stays, "both"),
        (on_day(2, 3), stays, "other"),
        (on_day(2, 4), gone, "label"),
    ];
    for (seq, source, kind) in sent {
        send(&history, seq, source, kind, kind);
    }
    until_written(&history, on_day(2, 4));
    // The oldest requests leave a history that is full, and the counts stay.
    let file = rusqlite::Connection::open(folder.path().join(file::NAME)).unwrap();
    file.busy_timeout(LOCK_TIME).unwrap();
    let full = format!("DELETE FROM request WHERE seq <= {}", on_day(1, 4));
    file.execute_batch(&full).unwrap();
    drop(file);
    let network = What::Source("198.51.100.1/32".parse().unwrap());
    assert_eq!(forget(folder.path(), &network, &title).unwrap().requests, 2);
    let days = |kind: &str| {
        let by_day = (0..3).map(|day| {
            let first = (1_800_000_000 + on_day(day, 0) as i64) / 86_400;
            let query = format!(
                "SELECT coalesce(sum(kind_day.requests), 0) FROM kind_day JOIN kind ON kind.id = kind \
                 WHERE name = '{kind}' AND day = {first}"
            );
            count(folder.path(), &query)
        });
        by_day.collect::<Vec<_>>()
    };
    assert_eq!(days("both"), [1, 1, 1]);
    assert_eq!(days("other"), [0, 1, 1]);
    assert_eq!(days("label"), [0, 0, 0]);
    let odd = "SELECT count(*) FROM kind WHERE requests <> \
               (SELECT sum(requests) FROM kind_day WHERE kind = kind.id)";
    assert_eq!(count(folder.path(), odd), 0);
    assert_eq!(
        count(
            folder.path(),
            "SELECT count(*) FROM kind_day WHERE requests < 1"
        ),
        0
    );
}

#[test]
fn a_specimen_is_replaced_by_another_request_of_its_kind() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    send(&history, 1, "198.51.100.1", "some", "bytes-of-one");
    send(&history, 2, "198.51.100.2", "some", "the second");
    until_written(&history, 2);
    let network = What::Source("198.51.100.1/32".parse().unwrap());
    forget(folder.path(), &network, &title).unwrap();
    assert!(!is_on_disk(folder.path(), "bytes-of-one"));
    let specimen = "SELECT count(*) FROM kind WHERE seq = 2 AND title = 'the second' \
                    AND source = '198.51.100.2' AND requests = 1 AND sources = 1";
    assert_eq!(count(folder.path(), specimen), 1);
}

#[test]
fn what_came_before_a_time_goes() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    send(&history, 1, "198.51.100.1", "old", "an old one");
    send(&history, 2, "198.51.100.1", "both", "in between");
    send(&history, 10, "198.51.100.1", "both", "a new one");
    until_written(&history, 10);
    let time = What::Before(Timestamp::from_second(1_800_000_010).unwrap());
    let forgotten = forget(folder.path(), &time, &title).unwrap();
    assert_eq!((forgotten.requests, forgotten.kinds), (2, 1));
    assert!(!is_on_disk(folder.path(), "an old one") && !is_on_disk(folder.path(), "in between"));
    let left =
        "SELECT count(*) FROM kind WHERE title = 'a new one' AND requests = 1 AND sources = 1";
    assert_eq!(count(folder.path(), left), 1);
    // The kind is no newer than before: otherwise a feed would show it once more.
    let first = "SELECT first / 1000000 FROM kind";
    assert_eq!(count(folder.path(), first), 1_800_000_002);
    let source = "SELECT requests FROM source";
    assert_eq!(count(folder.path(), source), 1);
}

#[test]
fn what_is_left_of_each_kind_is_counted_by_itself() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let sender = "198.51.100.1";
    for seq in 1..=5 {
        send(&history, seq, sender, "early", "early");
    }
    for seq in 6..=9 {
        send(&history, seq, sender, "late", "late");
    }
    send(&history, 10, sender, "early", "early");
    for seq in 11..=20 {
        send(&history, seq, sender, "late", "late");
    }
    until_written(&history, 20);
    let time = What::Before(Timestamp::from_second(1_800_000_008).unwrap());
    forget(folder.path(), &time, &title).unwrap();
    for (name, requests, first) in [("early", 1, 10), ("late", 12, 8)] {
        let left = format!(
            "SELECT count(*) FROM kind JOIN kind_source ON kind = kind.id WHERE name = '{name}' \
             AND kind.requests = {requests} AND kind_source.requests = {requests} \
             AND kind_source.first = {first} * 1000000 + 1800000000000000 \
             AND {requests} = (SELECT sum(requests) FROM kind_day WHERE kind = kind.id)"
        );
        assert_eq!(count(folder.path(), &left), 1, "{name}");
    }
}

#[test]
fn what_came_since_counts_even_where_it_has_left_the_history() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let day = 86_400;
    send(&history, 1, "198.51.100.1", "kind", "early");
    for seq in 2 * day..2 * day + 5 {
        send(&history, seq, "198.51.100.2", "kind", "gone since");
    }
    send(&history, 3 * day, "198.51.100.3", "kind", "here");
    until_written(&history, 3 * day);
    // Requests are deleted like this when the file is full.
    let file = rusqlite::Connection::open(folder.path().join("history.db")).unwrap();
    let full = "DELETE FROM request WHERE seq < 259200";
    assert_eq!(file.execute(full, []).unwrap(), 6);
    let time = What::Before(Timestamp::from_second(1_800_000_000 + day as i64).unwrap());
    forget(folder.path(), &time, &title).unwrap();
    assert_eq!(count(folder.path(), "SELECT requests FROM kind"), 6);
}

#[test]
fn numbers_go_on_when_everything_is_gone() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    for seq in 1..=1200 {
        send(
            &history,
            seq,
            "198.51.100.1",
            &format!("kind-{seq}"),
            "gone",
        );
    }
    until_written(&history, 1200);
    let forgotten = forget(folder.path(), &What::All, &title).unwrap();
    assert_eq!((forgotten.requests, forgotten.sources), (1200, 1));
    drop(history);
    assert!(!is_on_disk(folder.path(), "bytes-of-all") && !is_on_disk(folder.path(), "198.51.100"));
    for table in [
        "request",
        "payload",
        "source",
        "kind",
        "kind_source",
        "kind_day",
        "found",
        "way",
    ] {
        assert_eq!(
            count(folder.path(), &format!("SELECT count(*) FROM {table}")),
            0,
            "{table}"
        );
    }
    let history = History::open(folder.path(), LARGE).unwrap();
    assert_eq!(history.newest_at_opening(), Some(1200));
    let restored = history.questions().restore(Timestamp::now()).unwrap();
    assert_eq!((restored.cursor, restored.records.len()), (1200, 0));
}

#[test]
fn a_copy_is_a_history_of_its_own() {
    let (folder, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let history = History::open(folder.path(), LARGE).unwrap();
    send(&history, 7, "198.51.100.1", "some", "a request");
    until_written(&history, 7);
    copy(folder.path(), &to.path().join(file::NAME)).unwrap();
    let copied = History::open(to.path(), LARGE).unwrap();
    assert_eq!(copied.newest_at_opening(), Some(7));
    assert!(forget(&to.path().join("nothing"), &What::All, &title).is_err());
}
