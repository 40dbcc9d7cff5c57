//! Questions about kinds, to a real file.

use std::path::Path;
use std::time::{Duration, Instant};

use forever200_ring::Record;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::history::found::Found;
use crate::history::{History, Item};
use crate::reader::entry::tests::{entry, record};
use crate::reader::privacy::Privacy;

const LARGE: u64 = 1 << 30;

/// A request as a test sends it.
pub(crate) struct Sent<'a> {
    pub(crate) source: &'a str,
    pub(crate) country: Option<&'a str>,
    pub(crate) time: &'a str,
    pub(crate) raw: &'a [u8],
}

/// Begins a history with these requests, numbered from 1.
pub(crate) fn history_of(folder: &Path, requests: &[Sent<'_>]) -> History {
    let history = History::open(folder, LARGE).unwrap();
    for (sent, seq) in requests.iter().zip(1..) {
        let record = Record {
            seq,
            src_ip: sent.source.parse().unwrap(),
            timestamp: sent.time.parse().unwrap(),
            ..record(sent.raw)
        };
        let mut found = Found::new(&entry(record.clone()));
        found.country = sent.country.map(str::to_owned);
        found.asn = sent.country.map(|_| 64496);
        offer(&history, Item::request(record, found));
    }
    let start = Instant::now();
    let last = requests.len() as u64;
    while history.questions().record(last).unwrap().is_none() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{last} was never written"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    history
}

fn offer(history: &History, item: Item) {
    let start = Instant::now();
    let mut item = Some(item);
    while let Some(again) = item.take() {
        item = history.offer(again).err();
        assert!(start.elapsed() < Duration::from_secs(30), "no room");
    }
}

fn sent<'a>(source: &'a str, country: &'a str, time: &'a str, raw: &'a [u8]) -> Sent<'a> {
    let country = Some(country).filter(|it| !it.is_empty());
    Sent {
        source,
        country,
        time,
        raw,
    }
}

const ENV: &[u8] = b"GET /.env HTTP/1.1\r\nHost: honey.example\r\n\r\n";
const OTHER_ENV: &[u8] = b"GET /x/.env HTTP/1.1\r\nHost: other.example\r\n\r\n";
const ODD: &[u8] = b"GET /qqq/1?a=x HTTP/1.1\r\nHost: odd.example\r\nUser-Agent: y\r\n\r\n";
const OTHER_ODD: &[u8] = b"GET /qqq/2?a=y HTTP/1.1\r\nHost: odd.example\r\nUser-Agent: y\r\n\r\n";

/// Makes a history of two kinds, each sent twice, over three days.
fn two_kinds(folder: &Path) -> History {
    let requests = [
        sent("203.0.113.1", "NL", "2026-10-01T10:00:00Z", ENV),
        sent("203.0.113.2", "US", "2026-10-01T11:00:00Z", OTHER_ENV),
        sent("203.0.113.2", "US", "2026-10-03T11:00:00.5Z", OTHER_ENV),
        sent("198.51.100.1", "", "2026-10-02T10:00:00Z", ODD),
        sent("198.51.100.1", "", "2026-10-02T12:00:00Z", OTHER_ODD),
    ];
    history_of(folder, &requests)
}

#[test]
fn all_kinds_are_there_with_what_was_counted() {
    let folder = TempDir::new().unwrap();
    let history = two_kinds(folder.path());
    let countries = ["nl".to_owned(), "DE".to_owned()];
    let (kinds, totals) = history
        .questions()
        .kinds(&countries, &Privacy::default())
        .unwrap();
    let [odd, env] = kinds.as_slice() else {
        panic!("{kinds:?}");
    };
    assert_eq!(
        (env.name.as_str(), env.category.as_deref()),
        ("dotenv-file", Some("secrets"))
    );
    assert_eq!((env.requests, env.sources, env.seq), (3, 2, 1));
    assert_eq!(env.sent_from, [true, false]);
    assert_eq!((odd.requests, odd.category.as_deref()), (2, None));
    assert_eq!(odd.title, "GET /qqq/1?a=x");
    assert_eq!((totals.requests, totals.countries), (5, 2));
    let ids = [env.id, odd.id].into_iter();
    let of = history.questions().countries_of(ids).unwrap();
    assert_eq!(
        (&of[&env.id].codes, of[&env.id].all),
        (&vec!["NL".to_owned(), "US".to_owned()], 2)
    );
    assert_eq!(of[&odd.id].all, 0);
}

#[test]
fn one_kind_is_told_with_its_specimen_and_its_newest_request() {
    let folder = TempDir::new().unwrap();
    let history = two_kinds(folder.path());
    let questions = history.questions();
    let env = questions
        .kind("dotenv-file", &Privacy::default())
        .unwrap()
        .unwrap();
    assert_eq!(
        (env.specimen.seq, env.newest.map(|it| it.seq)),
        (1, Some(3))
    );
    assert_eq!(&env.specimen.raw[..], ENV);
    let first = "2026-10-01T00:00:00Z"
        .parse::<Timestamp>()
        .unwrap()
        .as_second()
        / 86_400;
    assert_eq!(env.days, [(first, 2), (first + 2, 1)]);
    let sources: Vec<_> = env
        .sources
        .iter()
        .map(|it| (it.address.as_str(), it.requests))
        .collect();
    assert_eq!(sources, [("203.0.113.2", 2), ("203.0.113.1", 1)]);
    let networks: Vec<_> = env
        .networks
        .iter()
        .map(|it| (it.of.asn, it.requests, it.sources))
        .collect();
    assert_eq!(networks, [(64496, 3, 2)]);
    let countries: Vec<_> = env
        .countries
        .iter()
        .map(|it| (it.of.as_str(), it.requests))
        .collect();
    assert_eq!(countries, [("US", 2), ("NL", 1)]);
    let mut asked: Vec<_> = env
        .asked
        .iter()
        .map(|it| (it.name.as_str(), it.requests))
        .collect();
    asked.sort_unstable();
    assert_eq!(asked, [("honey.example", 1), ("other.example", 2)]);
    let (kinds, _) = questions.kinds(&[], &Privacy::default()).unwrap();
    let odd = questions
        .kind(&kinds[0].name, &Privacy::default())
        .unwrap()
        .unwrap();
    assert_eq!(
        (odd.specimen.seq, odd.newest.map(|it| it.seq)),
        (4, Some(5))
    );
    assert_eq!(odd.asked.iter().map(|it| it.requests).sum::<u64>(), 2);
    assert!(
        questions
            .kind("none", &Privacy::default())
            .unwrap()
            .is_none()
    );
    assert!(
        questions
            .kind("' OR 1=1 --", &Privacy::default())
            .unwrap()
            .is_none()
    );
}

#[test]
fn what_is_new_has_places_for_what_has_a_label() {
    let folder = TempDir::new().unwrap();
    let targets: Vec<Vec<u8>> = (0..26_u8)
        .map(|number| {
            let letter = char::from(b'a' + number);
            format!("GET /qqq{letter} HTTP/1.1\r\nHost: x.example\r\nUser-Agent: y\r\n\r\n")
                .into_bytes()
        })
        .collect();
    let mut requests = vec![sent("203.0.113.1", "NL", "2026-10-01T10:00:00Z", ENV)];
    let random = targets
        .iter()
        .map(|raw| sent("203.0.113.9", "", "2026-10-02T10:00:00Z", raw));
    requests.extend(random);
    let history = history_of(folder.path(), &requests);
    let (kinds, _) = history
        .questions()
        .new_kinds(5, 7, &Privacy::default())
        .unwrap();
    let labelled = kinds.iter().filter(|it| it.category.is_some()).count();
    assert_eq!((kinds.len(), labelled), (8, 1));
}
