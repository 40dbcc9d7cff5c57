//! Sensors on a real file.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use forever200_ring::Record;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::history::forget::{What, forget};
use crate::history::sources::WantedSources;
use crate::history::tests::{LARGE, count as count_in, found, numbered, offer, until_written};
use crate::history::{History, Item};
use crate::reader::privacy::Privacy;
use crate::reader::sensor::tests::sent;

/// Offers a request of this kind from this sensor; `None` is this machine.
fn send(history: &History, seq: u64, sensor: Option<&str>, kind: &str, missing: u64) {
    let sensor = sensor.map(|name| {
        let mut sent = sent(name, seq);
        sent.missing = missing;
        sent
    });
    let record = Record {
        sensor,
        src_ip: [203, 0, 113, kind.len() as u8].into(),
        ..numbered(seq, kind.as_bytes())
    };
    offer(history, Item::request(record, found(kind)));
}

/// Makes a history of five requests: four of three sensors, and one of this machine.
fn history(folder: &Path) -> History {
    let history = History::open(folder, LARGE).unwrap();
    send(&history, 1, Some("berlin"), "one", 0);
    send(&history, 2, Some("lima"), "one", 7);
    send(&history, 3, None, "alone", 0);
    send(&history, 4, Some("berlin"), "three", 0);
    send(&history, 5, Some("oslo"), "one", 2);
    until_written(&history, 5);
    history
}

fn until_counted(history: &History, sensors: u64) {
    let (start, count) = (Instant::now(), history.sensors());
    while count.load(Ordering::Relaxed) != sensors {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{sensors} sensors were never counted"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn sensors_are_listed_in_each_order() {
    let folder = TempDir::new().unwrap();
    let history = history(folder.path());
    until_counted(&history, 3);
    let names = |sort, page| {
        let (rows, _) = history
            .questions()
            .sensors(sort, page, Timestamp::UNIX_EPOCH, &Privacy::default())
            .unwrap();
        rows.into_iter().map(|it| it.name).collect::<Vec<_>>()
    };
    assert_eq!(names(Sort::Name, 1), ["berlin", "lima", "oslo"]);
    assert_eq!(names(Sort::Missing, 1), ["lima", "oslo", "berlin"]);
    assert_eq!(names(Sort::Often, 1)[0], "berlin");
    assert_eq!(names(Sort::Name, 2), [""; 0]);
    assert_eq!(names(Sort::Name, u64::MAX), [""; 0]);
    let file = Connection::open(folder.path().join("history.db")).unwrap();
    let silent = "UPDATE sensor SET heard = 5 WHERE name = 'oslo'";
    file.execute(silent, []).unwrap();
    assert_eq!(names(Sort::Silent, 1)[0], "oslo");
    let hour_ago = Timestamp::now() - jiff::SignedDuration::from_hours(1);
    let (rows, all) = history
        .questions()
        .sensors(Sort::Missing, 1, hour_ago, &Privacy::default())
        .unwrap();
    let wanted = AllSensors {
        sensors: 3,
        silent: 1,
        requests: 4,
        missing: 9,
    };
    assert_eq!(all, wanted);
    assert_eq!((rows[0].requests, rows[0].missing), (1, 7));
    // No sensor could have counted these numbers.
    file.execute("UPDATE sensor SET requests = 9223372036854775807", [])
        .unwrap();
    assert!(
        history
            .questions()
            .sensors(Sort::Often, 1, hour_ago, &Privacy::default())
            .is_ok()
    );
}

#[test]
fn a_hidden_name_is_not_told_by_its_place() {
    let privacy = Privacy {
        hidden: "lima".parse().unwrap(),
        ..Privacy::default()
    };
    let order = |hidden: &str, sort| {
        let folder = TempDir::new().unwrap();
        let history = History::open(folder.path(), LARGE).unwrap();
        for (seq, name) in (1..).zip(["berlin", hidden, "oslo"]) {
            send(&history, seq, Some(name), "one", 0);
        }
        until_written(&history, 3);
        let file = Connection::open(folder.path().join("history.db")).unwrap();
        file.execute("UPDATE sensor SET heard = 5", []).unwrap();
        let rows = history
            .questions()
            .sensors(sort, 1, Timestamp::UNIX_EPOCH, &privacy);
        let (rows, _) = rows.unwrap();
        let shown: Vec<_> = rows
            .iter()
            .map(|row| shown_name(&row.name, &privacy).unwrap())
            .collect();
        assert_eq!(shown.len(), 3);
        shown
    };
    for sort in [Sort::Silent, Sort::Often, Sort::Missing, Sort::Name] {
        assert_eq!(order("a-lima", sort), order("z-lima", sort), "{sort:?}");
    }
}

#[test]
fn kinds_and_sources_know_how_many_sensors_saw_them() {
    let folder = TempDir::new().unwrap();
    let history = history(folder.path());
    let questions = history.questions();
    let seen = |kind: &str| {
        questions
            .kind(kind, &Privacy::default())
            .unwrap()
            .unwrap()
            .seen_by
    };
    let of_three = |sensors| Some(SeenBy { sensors, of: 3 });
    assert_eq!(seen("one"), of_three(3));
    assert_eq!(seen("three"), of_three(1));
    assert_eq!(seen("alone"), of_three(0));
    let (rows, _) = questions.kinds(&[], &Privacy::default()).unwrap();
    let of_kinds = questions
        .sensors_of_kinds(rows.iter().map(|row| row.id))
        .unwrap();
    for row in &rows {
        assert_eq!(
            of_kinds.get(&row.id).copied(),
            seen(&row.name),
            "{}",
            row.name
        );
    }
    let sources = |privacy: &Privacy| {
        let page = questions.sources(&WantedSources::default(), privacy, |_, _| true);
        let mut seen: Vec<_> = page
            .unwrap()
            .sources
            .into_iter()
            .map(|it| (it.address.to_string(), it.seen_by.map(|it| it.sensors)))
            .collect();
        seen.sort();
        seen
    };
    assert_eq!(
        sources(&Privacy::default()),
        [
            ("203.0.113.3".to_owned(), Some(3)),
            ("203.0.113.5".to_owned(), Some(1))
        ]
    );
    let masked = Privacy {
        mask_sources: true,
        ..Privacy::default()
    };
    assert_eq!(sources(&masked), [("203.0.113.0".to_owned(), Some(3))]);
}

#[test]
fn where_nothing_was_sent_nothing_is_said_of_sensors() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    send(&history, 1, None, "alone", 0);
    until_written(&history, 1);
    let questions = history.questions();
    assert_eq!(history.sensors().load(Ordering::Relaxed), 0);
    assert_eq!(
        questions
            .kind("alone", &Privacy::default())
            .unwrap()
            .unwrap()
            .seen_by,
        None
    );
    assert!(
        questions
            .sensors_of_kinds([1].into_iter())
            .unwrap()
            .is_empty()
    );
    let sources = questions.sources(&WantedSources::default(), &Privacy::default(), |_, _| true);
    assert_eq!(sources.unwrap().sources[0].seen_by, None);
    send(&history, 2, Some("lima"), "alone", 0);
    until_counted(&history, 1);
    // A file that has sensors is counted when it is opened.
    drop(history);
    let again = History::open(folder.path(), LARGE).unwrap();
    assert_eq!(again.sensors().load(Ordering::Relaxed), 1);
}

#[test]
fn sensors_go_when_everything_goes() {
    let folder = TempDir::new().unwrap();
    let history = history(folder.path());
    let title = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned();
    forget(folder.path(), &What::All, &title).unwrap();
    for table in ["sensor", "sent", "kind_sensor", "source_sensor"] {
        let query = format!("SELECT count(*) FROM {table}");
        assert_eq!(count_in(folder.path(), &query), 0, "{table}");
    }
    send(&history, 6, Some("lima"), "one", 1);
    until_written(&history, 6);
    let (rows, all) = history
        .questions()
        .sensors(Sort::Name, 1, Timestamp::UNIX_EPOCH, &Privacy::default())
        .unwrap();
    assert_eq!((rows[0].requests, rows[0].missing, all.sensors), (1, 1, 1));
}
