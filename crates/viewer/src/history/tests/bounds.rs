//! What strangers can make many of: it goes with their requests, or is counted.

use super::*;

/// Offers a request that has labels of its own.
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
    // What is written again has a row again.
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
