//! Sources on a real file.

use std::collections::BTreeSet;

use forever200_ring::Record;
use tempfile::TempDir;

use super::*;
use crate::history::blocklist::WantedAddresses;
use crate::history::tests::{LARGE, found, numbered, offer, until_written};
use crate::history::{History, Item};
use crate::page::global::is_global;

/// Offers a request of this source and kind, with a category or without.
fn send(history: &History, seq: u64, source: &str, kind: &str, category: Option<Category>) {
    let mut found = found(kind);
    found.kind.category = category;
    if let Some(category) = category {
        found.labels = format!(" {kind} ");
        found.categories = format!(" {} ", category.name());
    }
    found.host = Some(format!("{kind}.example"));
    found.country = Some(if source.contains(':') { "DE" } else { "NL" }.to_owned());
    found.asn = Some(64_496);
    let record = Record {
        src_ip: source.parse().unwrap(),
        timestamp: Timestamp::from_second(1_800_000_000 + seq as i64).unwrap(),
        ..numbered(seq, format!("{kind} {source}").as_bytes())
    };
    offer(history, Item::request(record, found));
}

fn addresses(page: &SourcesPage) -> Vec<String> {
    page.sources
        .iter()
        .map(|it| it.address.to_string())
        .collect()
}

fn masked() -> Privacy {
    Privacy {
        mask_sources: true,
        ..Privacy::default()
    }
}

fn by_category(wanted: Option<Category>) -> impl Fn(&str, Option<&str>) -> bool {
    move |_, category| category == wanted.map(Category::name)
}

fn asked(history: &History, wanted: &WantedSources, privacy: &Privacy) -> SourcesPage {
    let is_of = by_category(match wanted.category {
        Some(WantedCategory::Labelled(category)) => Some(category),
        Some(WantedCategory::Unrecognised) | None => None,
    });
    history.questions().sources(wanted, privacy, is_of).unwrap()
}

#[test]
fn sources_are_listed_in_each_order_and_by_what_they_sent() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let (exploit, none) = (Some(Category::Exploit), None);
    send(&history, 1, "198.51.100.1", "a", exploit);
    send(&history, 2, "203.0.113.7", "b", none);
    send(&history, 3, "2001:db8::5", "a", exploit);
    send(&history, 4, "198.51.100.1", "b", none);
    send(&history, 5, "0.0.0.0", "b", none);
    until_written(&history, 5);
    let list = |wanted: WantedSources| addresses(&asked(&history, &wanted, &Privacy::default()));
    let sorted = |sort| WantedSources {
        sort,
        ..WantedSources::default()
    };
    let (one, seven, five) = ("198.51.100.1", "203.0.113.7", "2001:db8::5");
    assert_eq!(list(sorted(Sort::Last)), [one, five, seven]);
    assert_eq!(list(sorted(Sort::Often)), [one, five, seven]);
    assert_eq!(list(sorted(Sort::New)), [five, seven, one]);
    let of = |category| WantedSources {
        category: Some(category),
        ..WantedSources::default()
    };
    let labelled = WantedCategory::Labelled(Category::Exploit);
    assert_eq!(list(of(labelled)), [one, five]);
    assert_eq!(list(of(WantedCategory::Unrecognised)), [one, seven]);
    let country = Some("DE".to_owned());
    assert_eq!(
        list(WantedSources {
            country,
            ..WantedSources::default()
        }),
        [five]
    );
    let asn = Some(1);
    assert!(
        list(WantedSources {
            asn,
            ..WantedSources::default()
        })
        .is_empty()
    );
    let network = Some("203.0.113.0/24".parse().unwrap());
    assert_eq!(
        list(WantedSources {
            network,
            ..WantedSources::default()
        }),
        [seven]
    );
    let page = asked(&history, &WantedSources::default(), &Privacy::default());
    let first = &page.sources[0];
    assert_eq!((first.requests, first.kinds), (2, 2));
    assert_eq!(
        first.kind.as_ref().map(|kind| kind.name.as_str()),
        Some("a")
    );
}

#[test]
fn pages_of_the_list_have_each_source_once() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let mut seq = 0;
    for round in 0..2 {
        for host in 0..120 {
            seq += 1;
            let source = format!("198.51.{}.{}", 100 + host % 60, host);
            // Every other source comes twice. Many have the same time and the same count.
            if round == 0 || host % 2 == 0 {
                send(&history, seq, &source, "a", None);
            }
        }
    }
    until_written(&history, seq - 1);
    for (privacy, expected) in [(Privacy::default(), 120), (masked(), 60)] {
        for sort in [Sort::Last, Sort::Often, Sort::New] {
            let mut wanted = WantedSources {
                sort,
                ..WantedSources::default()
            };
            let (mut all, mut pages) = (BTreeSet::new(), 0);
            loop {
                let page = asked(&history, &wanted, &privacy);
                assert!(page.sources.len() <= PAGE_SOURCES);
                for address in addresses(&page) {
                    assert!(all.insert(address.clone()), "{address} twice, {sort:?}");
                }
                pages += 1;
                wanted.after = page.next;
                if page.next.is_none() {
                    break;
                }
            }
            assert_eq!(all.len(), expected, "{sort:?} in {pages} pages");
        }
    }
}

#[test]
fn where_addresses_are_masked_there_are_networks_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let sources = [
        "198.51.100.1",
        "198.51.100.250",
        "198.51.101.1",
        "2001:db8::1",
        "2001:db8:0:1:2:3:4:5",
        "2001:db8:1::1",
    ];
    for (seq, source) in (1..).zip(sources) {
        send(&history, seq, source, "a", None);
    }
    until_written(&history, 6);
    let page = asked(&history, &WantedSources::default(), &masked());
    let shown: BTreeSet<_> = page
        .sources
        .iter()
        .map(|it| format!("{}/{} {}", it.address, it.prefix.unwrap_or(0), it.requests))
        .collect();
    let expected = [
        "198.51.100.0/24 2",
        "198.51.101.0/24 1",
        "2001:db8:1::/48 1",
        "2001:db8::/48 2",
    ];
    assert!(shown.iter().eq(&expected.map(str::to_owned)), "{shown:?}");
    let one = |address: &str| {
        let address = address.parse().unwrap();
        history.questions().one_source(address, &masked()).unwrap()
    };
    let network = one("198.51.100.0").unwrap();
    assert_eq!((network.source.requests, network.looked_at), (2, 2));
    assert!(network.neighbours.is_empty());
    assert_eq!(one("2001:db8::").unwrap().source.requests, 2);
    assert!(one("198.51.102.0").is_none());
    // A filter for an address finds no more than a filter for its network.
    let narrow = WantedSources {
        network: Some("198.51.100.250/32".parse().unwrap()),
        ..WantedSources::default()
    };
    assert!(asked(&history, &narrow, &masked()).sources.is_empty());
}

#[test]
fn a_network_of_many_addresses_is_told_as_its_row_in_the_list() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let sources = MOST_OF_NETWORK as u64 + 50;
    for seq in 1..=sources {
        // The first and the last source stand at the end of the order of addresses.
        let host = if seq == 1 { 0xffff } else { 0x1000 + seq };
        send(&history, seq, &format!("2001:db8:7::{host:x}"), "a", None);
    }
    send(&history, sources + 1, "2001:db8:7::fffe", "a", None);
    until_written(&history, sources + 1);
    let page = asked(&history, &WantedSources::default(), &masked());
    let [row] = &page.sources[..] else {
        panic!("{} rows", page.sources.len())
    };
    let address = "2001:db8:7::".parse().unwrap();
    let one = history.questions().one_source(address, &masked()).unwrap();
    let one = one.unwrap().source;
    assert_eq!(row.requests, sources + 1);
    assert_eq!(
        (one.requests, one.first, one.last),
        (row.requests, row.first, row.last)
    );
}

#[test]
fn neighbours_are_those_seen_last_wherever_their_addresses_are() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    for seq in 1..=1100_u64 {
        send(
            &history,
            seq,
            &format!("2001:db8:7::{:x}", 0x1000 + seq),
            "a",
            None,
        );
    }
    until_written(&history, 1100);
    let one = "2001:db8:7::1001".parse().unwrap();
    let one = history.questions().one_source(one, &Privacy::default());
    let one = one.unwrap().unwrap();
    assert_eq!(one.neighbours.len() + one.more_neighbours, 1099);
    let newest = format!("2001:db8:7::{:x}", 0x1000 + 1100);
    assert_eq!(one.neighbours[0].address.to_string(), newest);
}

#[test]
fn a_source_is_told_with_its_kinds_names_and_neighbours() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    send(&history, 1, "198.51.100.1", "a", None);
    send(&history, 2, "198.51.100.1", "b", Some(Category::Secrets));
    send(&history, 3, "198.51.100.1", "a", None);
    send(&history, 4, "198.51.100.9", "a", None);
    send(&history, 5, "198.51.101.9", "a", None);
    until_written(&history, 5);
    let plain = Privacy::default();
    let one = |address: &str| {
        let address = address.parse().unwrap();
        history.questions().one_source(address, &plain).unwrap()
    };
    let found = one("198.51.100.1").unwrap();
    let kinds: Vec<_> = found
        .kinds
        .iter()
        .map(|kind| (kind.name.as_str(), kind.requests))
        .collect();
    assert_eq!(kinds, [("b", 1), ("a", 2)]);
    let hosts: Vec<_> = found
        .hosts
        .texts
        .iter()
        .map(|(text, count)| (text.as_str(), count.requests))
        .collect();
    assert_eq!(hosts, [("a.example", 2), ("b.example", 1)]);
    assert_eq!(found.ports.iter().map(|(_, count)| count).sum::<u64>(), 3);
    let neighbours: Vec<_> = found
        .neighbours
        .iter()
        .map(|it| it.address.to_string())
        .collect();
    assert_eq!(neighbours, ["198.51.100.9"]);
    assert!(one("198.51.100.2").is_none() && one("0.0.0.0").is_none());
}

#[test]
fn a_blocklist_has_attackers_of_the_internet_and_nobody_who_says_who_they_are() {
    let folder = TempDir::new().unwrap();
    let history = History::open(folder.path(), LARGE).unwrap();
    let exploit = Some(Category::Exploit);
    send(&history, 1, "8.8.4.4", "a", exploit);
    send(&history, 2, "8.8.4.4", "a", exploit);
    send(&history, 3, "9.9.9.9", "a", exploit);
    send(&history, 4, "9.9.9.9", "bot", Some(Category::Crawler));
    send(&history, 5, "10.0.0.1", "a", exploit);
    send(&history, 6, "203.0.113.1", "a", exploit);
    send(&history, 7, "2600::1", "a", exploit);
    send(&history, 8, "1.1.1.1", "b", Some(Category::Ordinary));
    send(&history, 9, "4.4.4.4", "a", exploit);
    // The source says who it is by a second label.
    let mut second = found("a");
    second.kind.category = exploit;
    second.labels = " a scanner ".into();
    second.categories = " exploit research-scanner ".into();
    let record = Record {
        src_ip: "5.5.5.5".parse().unwrap(),
        ..numbered(10, b"second")
    };
    offer(&history, Item::request(record, second));
    until_written(&history, 10);
    let own: IpAddr = "4.4.4.4".parse().unwrap();
    let is_reason = by_category(exploit);
    let list = |min, since: Option<i64>| -> Vec<String> {
        let wanted = WantedAddresses {
            is_reason: &is_reason,
            min,
            since: since.map(|second| Timestamp::from_second(second).unwrap()),
            is_own: &|address| address == own,
            with_reasons: true,
        };
        let is_polite = |name: &str| ["crawler", "research-scanner"].contains(&name);
        let (listed, is_whole) = history.questions().blocklist(&wanted, is_polite).unwrap();
        assert!(is_whole && listed.iter().all(|it| is_global(it.address)));
        listed.iter().map(|it| it.address.to_string()).collect()
    };
    assert_eq!(list(1, None), ["8.8.4.4", "2600::1"]);
    assert_eq!(list(2, None), ["8.8.4.4"]);
    assert_eq!(list(1, Some(1_800_000_007)), ["2600::1"]);
}
