//! Searches of a real file, compared with the same conditions on a list.

use std::ops::ControlFlow;

use memchr::memmem::Finder;
use tempfile::TempDir;

use super::*;
use crate::history::History;
use crate::history::tests::{LARGE, found, numbered, offer, until_written};
use crate::history::writer::Item;
use crate::reader::sensor::tests::sent as sent_by;

/// A request of these tests.
struct Sent {
    seq: u64,
    label: &'static str,
    source: [u8; 4],
    word: &'static str,
    port: u16,
    /// The sensor that sent it; empty if it came to this machine.
    sensor: &'static str,
}

impl Sent {
    fn raw(&self) -> String {
        format!("GET /{}/{} HTTP/1.1\r\n\r\n", self.word, self.seq % 200)
    }

    fn categories(&self) -> &'static str {
        match self.label {
            "rare" => " ordinary ",
            _ => " exploit ordinary ",
        }
    }
}

/// Returns requests with the numbers up to 3,000, without every seventh.
fn sent() -> Vec<Sent> {
    let numbers = (1..=3000).filter(|seq| seq % 7 != 0);
    let of = |seq: u64| Sent {
        seq,
        label: if seq % 500 == 1 { "rare" } else { "usual" },
        source: [203, 0, 113, (seq % 100) as u8],
        word: ["Apple", "pear", "plum"][(seq % 3) as usize],
        port: if seq % 400 == 2 { 2323 } else { 80 },
        sensor: match seq % 50 {
            3 => "quiet",
            number if number < 25 => "berlin",
            _ => "",
        },
    };
    numbers.map(of).collect()
}

fn history(folder: &TempDir) -> History {
    let history = History::open(folder.path(), LARGE).unwrap();
    for it in sent() {
        let mut found = found(it.label);
        found.labels = format!(" {} ", it.label);
        found.categories = it.categories().into();
        found.host = Some(format!("{}.example", it.word.to_lowercase()));
        let mut record = numbered(it.seq, it.raw().as_bytes());
        record.src_ip = it.source.into();
        record.dest_port = it.port;
        record.sensor = Some(sent_by(it.sensor, it.seq)).filter(|sent| !sent.name.is_empty());
        record.timestamp = Timestamp::from_second(it.seq as i64 * 60).unwrap();
        offer(&history, Item::request(record, found));
    }
    until_written(&history, 2999);
    history
}

/// The conditions of a search, and which requests are expected.
struct Case {
    conditions: Vec<Condition>,
    texts: Vec<&'static str>,
    meets: fn(&Sent) -> bool,
}

impl Case {
    fn new(conditions: Vec<Condition>, meets: fn(&Sent) -> bool) -> Self {
        Self {
            conditions,
            texts: Vec::new(),
            meets,
        }
    }

    /// Adds texts that the bytes must contain as well.
    fn with_texts(self, texts: &[&'static str]) -> Self {
        Self {
            texts: texts.to_vec(),
            ..self
        }
    }
}

fn texts(texts: &[&str]) -> Vec<Vec<Finder<'static>>> {
    let finder = |text: &&str| vec![Finder::new(text.as_bytes()).into_owned()];
    texts.iter().map(finder).collect()
}

/// Goes through all pages in one direction, and returns the numbers.
fn all(history: &History, case: &Case, mut start: Start, most: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    for _ in 0..5000 {
        let wanted = Wanted {
            conditions: case.conditions.clone(),
            texts: texts(&case.texts),
            start,
            ..Wanted::default()
        };
        let take = |record: Record| ControlFlow::Continue(Some(record.seq));
        let page = history.questions().search(&wanted, most, take).unwrap();
        assert!(page.items.is_sorted_by(|a, b| a > b), "{:?}", page.items);
        let is_ascending = matches!(start, Start::After(_));
        if is_ascending {
            seqs.splice(0..0, page.items);
        } else {
            seqs.extend(page.items);
        }
        match page.more {
            None => return seqs,
            Some(seq) if is_ascending => start = Start::After(seq),
            Some(seq) => start = Start::Before(seq),
        }
    }
    panic!("no end")
}

#[test]
fn each_page_goes_on_where_the_last_ended() {
    let folder = TempDir::new().unwrap();
    let history = history(&folder);
    let source = |text: &str| Column::Source(text.parse().unwrap());
    let label = |id: &str| Column::Labels(vec![id.to_owned()]);
    let sensor = |name: &str| Column::Sensor(name.to_owned());
    let category = |name| Column::Category(Some(name));
    let host = |name: &str| Column::Host(name.to_owned());
    let is = Condition::is;
    let is_not = |column| Condition {
        column,
        excludes: true,
    };
    let cases = [
        Case::new(vec![], |_| true),
        Case::new(vec![is(label("rare"))], |it| it.label == "rare"),
        Case::new(vec![is_not(label("rare"))], |it| it.label != "rare"),
        Case::new(vec![is(source("203.0.113.7/32"))], |it| it.source[3] == 7),
        Case::new(vec![is(source("203.0.113.64/26"))], |it| it.source[3] >= 64),
        Case::new(vec![is(Column::Port(2300..=2399))], |it| it.port == 2323),
        Case::new(vec![is_not(Column::Port(2323..=2323))], |it| it.port == 80),
        Case::new(vec![is(Column::Port(80..=80)), is(label("rare"))], |it| {
            it.port == 80 && it.label == "rare"
        }),
        Case::new(vec![], |it| it.word == "Apple").with_texts(&["/apple/"]),
        Case::new(vec![], |it| it.word == "Apple" && it.seq % 200 == 3)
            .with_texts(&["/apple/3 http", "get"]),
        Case::new(vec![is_not(source("203.0.113.0/28"))], |it| {
            it.word == "Apple" && it.source[3] >= 16
        })
        .with_texts(&["/apple/"]),
        Case::new(vec![is(label("rare"))], |it| {
            it.label == "rare" && it.word == "pear"
        })
        .with_texts(&["pear"]),
        Case::new(vec![is(label("usual"))], |_| false).with_texts(&["nothing"]),
        Case::new(vec![is(sensor("berlin"))], |it| {
            it.sensor == "berlin" && it.word == "Apple"
        })
        .with_texts(&["/apple/"]),
        Case::new(vec![is(sensor("quiet"))], |it| it.sensor == "quiet"),
        Case::new(vec![is(sensor("berlin"))], |it| it.sensor == "berlin"),
        Case::new(vec![is_not(sensor("berlin"))], |it| it.sensor != "berlin"),
        Case::new(vec![is_not(sensor("quiet")), is(label("rare"))], |it| {
            it.sensor != "quiet" && it.label == "rare"
        }),
        Case::new(vec![is(sensor("nobody"))], |_| false),
        Case::new(vec![is(host("PEAR.example"))], |it| it.word == "pear"),
        Case::new(vec![is_not(host("apple.example"))], |it| it.word != "Apple"),
        Case::new(vec![is(category("exploit"))], |it| it.label != "rare"),
        Case::new(vec![is(category("ordinary"))], |it| it.label == "rare"),
        Case::new(vec![is_not(category("ordinary"))], |it| it.label != "rare"),
    ];
    for case in cases {
        let wanted = sent().into_iter().rev().filter(case.meets).map(|it| it.seq);
        let wanted: Vec<_> = wanted.collect();
        let asked = Wanted {
            conditions: case.conditions.clone(),
            texts: texts(&case.texts),
            ..Wanted::default()
        };
        let numbers = history.questions().numbers(&asked, 5000).unwrap();
        assert_eq!(numbers.as_ref(), Some(&wanted), "{asked:?}");
        for start in [Start::Newest, Start::After(0)] {
            for most in [1, 7, 300] {
                if most == 1 && wanted.len() > 100 {
                    continue;
                }
                assert_eq!(
                    all(&history, &case, start, most),
                    wanted,
                    "{:?} {:?} {start:?} {most}",
                    case.conditions,
                    case.texts
                );
            }
        }
    }
}

#[test]
fn what_stands_where_the_payloads_begin_to_be_searched_is_found_once() {
    let folder = TempDir::new().unwrap();
    let history = history(&folder);
    let sent = sent();
    let near = READ_FIRST as usize - 1..=READ_FIRST as usize + 1;
    for (start, place) in
        near.flat_map(|it| [(Start::Newest, sent.len() - 1 - it), (Start::After(0), it)])
    {
        let text = sent[place].raw().to_lowercase();
        let alike = sent
            .iter()
            .rev()
            .filter(|it| it.raw().to_lowercase() == text);
        let wanted = Wanted {
            texts: texts(&[text.as_str()]),
            start,
            ..Wanted::default()
        };
        let take = |record: Record| ControlFlow::Continue(Some(record.seq));
        let page = history.questions().search(&wanted, 300, take).unwrap();
        assert_eq!(
            page.items,
            alike.map(|it| it.seq).collect::<Vec<_>>(),
            "{start:?} {place}"
        );
    }
}

#[test]
fn many_conditions_are_held_as_one_set_for_each_column() {
    let folder = TempDir::new().unwrap();
    let history = history(&folder);
    let source = |network: &str, excludes| Condition {
        column: Column::Source(network.parse().unwrap()),
        excludes,
    };
    let mut conditions = Vec::new();
    for prefix in 0..=20 {
        conditions.push(source(&format!("203.0.113.0/{prefix}"), false));
    }
    conditions.push(source("203.0.113.0/26", false));
    conditions.push(source("203.0.113.16/28", true));
    conditions.push(source("203.0.113.32/29", true));
    let case = Case::new(
        conditions.clone(),
        |it| matches!(it.source[3], 0..16 | 40..64),
    );
    let wanted = Wanted {
        conditions,
        ..Wanted::default()
    };
    let sets = history
        .questions()
        .ask(|file| Ok(Search::new(file, &wanted, SEARCH_TIME)?.sets.len()));
    assert_eq!(sets.unwrap(), 2);
    let expected: Vec<u64> = sent()
        .iter()
        .rev()
        .filter(|it| (case.meets)(it))
        .map(|it| it.seq)
        .collect();
    assert_eq!(all(&history, &case, Start::Newest, 100), expected);
}

#[test]
fn times_bound_a_search() {
    let folder = TempDir::new().unwrap();
    let history = history(&folder);
    let wanted = |since: i64, until: i64| Wanted {
        since: Timestamp::from_second(since).ok(),
        until: Timestamp::from_second(until).ok(),
        ..Wanted::default()
    };
    let numbers = |wanted| history.questions().numbers(&wanted, 100).unwrap();
    assert_eq!(numbers(wanted(600, 780)), Some(vec![12, 11, 10]));
    assert_eq!(numbers(wanted(0, 60)), Some(vec![]));
    assert_eq!(
        numbers(wanted(0, 6000)),
        Some((1..100).rev().filter(|seq| seq % 7 != 0).collect())
    );
    assert_eq!(numbers(wanted(0, 60_000)), None, "more than 100");
}

/// At a hub, requests that a sensor answered days ago have numbers of today.
#[test]
fn times_bound_a_search_in_whatever_order_they_came() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let is_late = |seq: u64| seq % 10 == 3;
    for seq in 1..=600 {
        let mut record = numbered(seq, b"GET / HTTP/1.1\r\n\r\n");
        let seconds = seq as i64 + if is_late(seq) { 0 } else { 100_000 };
        record.timestamp = Timestamp::from_second(seconds).unwrap();
        let mut found = found("any");
        found.labels = " any ".into();
        offer(&history, Item::request(record, found));
    }
    until_written(&history, 600);
    let numbers = |since, until, conditions| {
        let wanted = Wanted {
            since: Timestamp::from_second(since).ok(),
            until: Timestamp::from_second(until).ok(),
            conditions,
            ..Wanted::default()
        };
        history.questions().numbers(&wanted, 1000).unwrap().unwrap()
    };
    // Without a condition the search goes through requests; with one, it looks them up.
    for conditions in [
        vec![],
        vec![Condition::is(Column::Labels(vec!["any".into()]))],
    ] {
        let late: Vec<u64> = (1..=600).rev().filter(|&seq| is_late(seq)).collect();
        assert_eq!(numbers(0, 1000, conditions.clone()), late);
        let others: Vec<u64> = (101..=600).rev().filter(|&seq| !is_late(seq)).collect();
        assert_eq!(numbers(100_101, 200_000, conditions), others);
    }
}

#[test]
fn a_search_that_breaks_off_goes_on_with_what_it_left() {
    let folder = TempDir::new().unwrap();
    let history = history(&folder);
    let mut left = 3;
    let page = history
        .questions()
        .search(&Wanted::default(), 50, |record| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            ControlFlow::Continue(Some(record.seq))
        });
    let page = page.unwrap();
    assert_eq!(
        (page.items, page.more),
        (vec![3000, 2999, 2998], Some(2998))
    );
}

#[test]
fn a_kind_without_a_label_has_all_its_requests_whoever_sent_the_bytes_first() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    for (seq, label) in [
        (1, Some("crawler")),
        (2, None),
        (3, Some("crawler")),
        (4, None),
    ] {
        let mut found = found(label.unwrap_or("http-shape"));
        if let Some(label) = label {
            found.labels = format!(" {label} ");
            found.kind.category = Some(Category::Crawler);
        }
        offer(&history, Item::request(numbered(seq, b"the same"), found));
    }
    until_written(&history, 4);
    let wanted = Wanted {
        conditions: vec![
            Condition::is(Column::Kind("http-shape".into())),
            Condition::is(Column::Category(None)),
        ],
        ..Wanted::default()
    };
    let numbers = history.questions().numbers(&wanted, 9).unwrap();
    assert_eq!(numbers, Some(vec![4, 2]));
}
