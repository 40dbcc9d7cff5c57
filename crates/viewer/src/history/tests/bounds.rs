//! Rows of which strangers can make many: they are deleted with their requests, or counted.

use super::*;

/// Bytes of a request that makes the writer panic.
const PANICS: &[u8] = b"a test that asks for a panic";

/// Panics if the bytes of the request ask for it.
pub(in crate::history) fn panic_if_asked(record: &Record) {
    assert!(record.raw != PANICS, "as a test has asked");
}

/// Offers a request with a label that no other request has.
fn put_with_labels(history: &History, seq: u64) {
    let labels = format!(" label-{seq} {} ", "and-another ".repeat(100).trim());
    let found = Found {
        labels,
        ..found("some")
    };
    offer(history, Item::request(numbered(seq, b"x"), found));
}

#[test]
fn labels_that_come_together_go_with_their_last_request() {
    let folder = TempDir::new().unwrap();
    let most_bytes = 4 * 1024 * 1024;
    let history = History::open(folder.path(), most_bytes).unwrap();
    for seq in 1..=4000 {
        put_with_labels(&history, seq);
    }
    until_written(&history, 4000);
    drop(history);
    let requests = count(folder.path(), "SELECT count(*) FROM request");
    let found = count(folder.path(), "SELECT count(*) FROM found");
    assert_eq!(found, requests);
    assert!((500..3000).contains(&requests), "{requests} are kept");
    let lost = "SELECT count(*) FROM request WHERE found NOT IN (SELECT id FROM found)";
    assert_eq!(count(folder.path(), lost), 0);
}

#[test]
fn an_older_file_loses_labels_that_no_request_has_when_it_is_opened() {
    let folder = TempDir::new().unwrap();
    let found = || count(folder.path(), "SELECT count(*) FROM found");
    let history = History::open(folder.path(), LARGE).unwrap();
    for seq in 1..=2500 {
        put_with_labels(&history, seq);
    }
    until_written(&history, 2500);
    drop(history);
    let file = Connection::open(folder.path().join(file::NAME)).unwrap();
    file.busy_timeout(Duration::from_secs(10)).unwrap();
    file.execute("DROP TRIGGER found_of_request_gone", [])
        .unwrap();
    file.execute("DELETE FROM request WHERE seq % 100 <> 0", [])
        .unwrap();
    drop(file);
    assert_eq!(found(), 2500);
    let history = History::open(folder.path(), LARGE).unwrap();
    assert_eq!(found(), 25);
    // A set of labels that is written again has a row again.
    put_with_labels(&history, 2501);
    until_written(&history, 2501);
    assert_eq!(found(), 26);
}

#[test]
fn days_of_a_kind_are_bounded_in_whatever_order_they_come() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let most = collection::MOST_DAYS as u64;
    for seq in 1..=3 * most {
        let hours = 24 * (3 * most - seq) as i64;
        let record = Record {
            timestamp: Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(hours),
            ..numbered(seq, b"x")
        };
        put(&history, &record);
    }
    until_written(&history, 3 * most);
    let days = |what: &str| count(folder.path(), &format!("SELECT {what}(day) FROM kind_day"));
    assert_eq!(days("count"), most as i64);
    assert_eq!(days("min"), 2 * most as i64);
}

#[test]
fn a_sensor_that_misses_more_than_can_be_counted_stops_nothing() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    for seq in 1..=3 {
        let sent = Sent {
            name: "one".into(),
            era: 5,
            seq,
            missing: u64::MAX,
            stream: seq,
            version: "0.1.0".into(),
        };
        let record = Record {
            sensor: Some(Box::new(sent)),
            ..numbered(seq, b"x")
        };
        put(&history, &record);
    }
    until_written(&history, 3);
    let missing = "SELECT missing FROM sensor";
    assert_eq!(count(folder.path(), missing), i64::MAX);
    assert_eq!(history.trouble(), None);
}

/// Makes the file refuse the request with this number.
fn refuse(folder: &Path, seq: u64) {
    let file = Connection::open(folder.join(file::NAME)).unwrap();
    file.busy_timeout(Duration::from_secs(10)).unwrap();
    let trigger = format!(
        "CREATE TRIGGER refused BEFORE INSERT ON request WHEN NEW.seq = {seq} \
         BEGIN SELECT RAISE(ABORT, 'refused'); END"
    );
    file.execute_batch(&trigger).unwrap();
}

#[test]
fn a_request_that_the_file_refuses_is_counted_and_the_others_are_written() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    refuse(folder.path(), 7);
    for seq in 1..=20 {
        put(&history, &numbered(seq, b"x"));
    }
    seven_is_counted(&history, folder.path());
}

#[test]
fn a_panic_of_the_writer_costs_the_request_that_it_was_at() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let sent = Sent {
        name: "one".into(),
        era: 5,
        seq: 77,
        missing: 0,
        stream: 1,
        version: "0.1.0".into(),
    };
    for seq in 1..=20 {
        let sensor = Some(Box::new(sent.clone()));
        let record = match seq {
            7 => Record {
                sensor,
                ..numbered(seq, PANICS)
            },
            _ => numbered(seq, b"x"),
        };
        put(&history, &record);
    }
    seven_is_counted(&history, folder.path());
    // The sensor need not send it again.
    let mut ledger = Ledger::new(folder.path().to_owned());
    assert!(ledger.has(&sent).unwrap());
}

/// Waits for the other requests, and checks that number 7 is counted as missing.
fn seven_is_counted(history: &History, folder: &Path) {
    until_written(history, 20);
    until("the gap", || count(folder, "SELECT count(*) FROM gap") == 1);
    assert_eq!(count(folder, "SELECT count(*) FROM request"), 19);
    let gap = "SELECT requests FROM gap WHERE first_seq = 7 AND last_seq = 7";
    assert_eq!(count(folder, gap), 1);
    assert_eq!(history.trouble(), None);
    let not_kept = history.not_kept(Timestamp::now()).unwrap();
    assert_eq!(not_kept.requests, 1);
}

#[test]
fn kinds_without_a_label_are_kept_also_after_a_clock_that_was_ahead() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let now = Timestamp::now();
    let next_year = now + jiff::SignedDuration::from_hours(24 * 365);
    let mut seq = 0;
    let mut send = |kind: &str, timestamp| {
        seq += 1;
        let record = Record {
            timestamp,
            ..numbered(seq, b"x")
        };
        offer(&history, Item::request(record, found(kind)));
        seq
    };
    for kind in 0..2200 {
        send(&format!("ahead-{kind}"), next_year);
        if kind < 1900 {
            send(&format!("ahead-{kind}"), next_year);
        }
    }
    send("once", now);
    let mut last = 0;
    for kind in 0..3 {
        for _ in 0..2 {
            last = send(&format!("often-{kind}"), now);
        }
    }
    until_written(&history, last);
    let of = |condition: &str| {
        let query = format!("SELECT count(*) FROM kind WHERE {condition}");
        count(folder.path(), &query)
    };
    assert_eq!(of("name = 'once'"), 1);
    assert_eq!(of("name GLOB 'often-*' AND requests = 2"), 3);
    assert_eq!(of("category IS NULL"), 2000);
}
