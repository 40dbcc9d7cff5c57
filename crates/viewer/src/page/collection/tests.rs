//! Tests of the collection and of the pages of kinds, as they may be shown.

use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::history::kinds::tests::{Sent, history_of};
use crate::page::collection::choice::CollectionQuery;
use crate::reader::entry::tests::describer;
use crate::reader::privacy::{Privacy, Title};

const NOW: &str = "2026-11-27T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn pages(mask_sources: bool, hidden: &str) -> Pages {
    let privacy = Privacy {
        mask_sources,
        hidden: hidden.parse().unwrap(),
    };
    Pages::new(Arc::new(describer(privacy)), true)
}

/// Returns a kind with this many requests, the last one at `now`.
fn row(name: &str, title: &str, category: Option<&str>, requests: u64) -> KindRow {
    KindRow {
        id: 1,
        name: name.to_owned(),
        title: title.to_owned(),
        title_shown: TitleShown::Whole,
        category: category.map(str::to_owned),
        requests,
        sources: 1,
        first: now().as_microsecond() - 1_000_000 * requests as i64,
        last: now().as_microsecond(),
        seq: 1,
        sent_from: Vec::new(),
    }
}

fn rows() -> Vec<KindRow> {
    vec![
        row("bash-shellshock", "Old title", Some("exploit"), 5),
        row("dotenv-file", "Old title", Some("secrets"), 90),
        row("was-a-label", "What it was", Some("exploit"), 7),
        row("http-00ff", "GET /qqq", None, 1),
    ]
}

fn read(query: &str) -> Result<(Choice, FilterQuery), String> {
    let filter: FilterQuery = serde_urlencoded::from_str(query).unwrap();
    let order: CollectionQuery = serde_urlencoded::from_str(query).unwrap();
    Ok((Choice::new(&filter, &order)?, filter))
}

fn names(query: &str) -> Vec<String> {
    let (choice, _) = read(query).unwrap();
    let (rows, pages) = (rows(), pages(false, ""));
    let collection = Collection::new(&rows, &Totals::default(), &choice, &pages, now());
    collection.kinds.into_iter().map(|it| it.kind).collect()
}

fn page(rows: &[KindRow], query: &str, pages: &Pages) -> String {
    let (choice, filter) = read(query).unwrap();
    let totals = Totals {
        requests: 103,
        countries: 2,
        since: Some(now().as_microsecond()),
    };
    let collection = Collection::new(rows, &totals, &choice, pages, now());
    pages.collection(&collection, &filter).unwrap()
}

#[test]
fn kinds_come_in_the_order_that_is_asked_for() {
    let [shellshock, env, gone, odd] =
        ["bash-shellshock", "dotenv-file", "was-a-label", "http-00ff"];
    assert_eq!(names(""), [shellshock, gone, env, odd]);
    assert_eq!(names("sort=rare"), names(""));
    assert_eq!(names("sort=often"), [env, gone, shellshock, odd]);
    assert_eq!(names("sort=new"), [shellshock, gone, env, odd]);
    assert_eq!(names("sort=oldest"), [shellshock, gone, env, odd]);
    assert!(
        read("sort=size")
            .unwrap_err()
            .starts_with("sort: expected rare")
    );
    assert!(read("page=0").is_err() && read("page=x").is_err());
    assert_eq!(names("page=9999999999"), names(""));
}

#[test]
fn conditions_of_kinds_choose_and_others_are_refused() {
    let [shellshock, env, gone, odd] =
        ["bash-shellshock", "dotenv-file", "was-a-label", "http-00ff"];
    for (query, expected) in [
        ("category=exploit", vec![shellshock, gone]),
        ("-category=exploit", vec![env, odd]),
        ("category=unrecognised", vec![odd]),
        ("cve=cve-2014-6271", vec![shellshock]),
        ("q=SHELLSHOCK", vec![shellshock]),
        ("q=2014-6271&q=shell", vec![shellshock]),
        ("q=what+it+was", vec![gone]),
        ("q=old+title", vec![]),
        ("label=dotenv-file", vec![env]),
        ("-label=dotenv-file&-q=qqq", vec![shellshock, gone]),
        ("category=&q=", vec![shellshock, gone, env, odd]),
        ("country=NL", vec![]),
    ] {
        assert_eq!(names(query), expected, "{query}");
    }
    for query in [
        "method=GET",
        "-source=me",
        "path=/x",
        "host=x",
        "body=on",
        "as=AS1",
    ] {
        let error = read(query).unwrap_err();
        assert!(
            error.contains("unknown condition for kinds"),
            "{query}: {error}"
        );
    }
    assert!(
        read("category=bad")
            .unwrap_err()
            .contains("expected one of")
    );
}

#[test]
fn titles_are_those_of_the_labels_now_or_what_they_were() {
    let page = page(&rows(), "", &pages(false, ""));
    assert!(!page.contains("Old title"));
    for part in [
        "What it was",
        "CVE-2014-6271",
        "Shellshock",
        "GET &#x2f;qqq",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn a_hostile_title_is_text() {
    let hostile = "</a><script>\u{202e}\u{1b}[31m\u{9b}\0";
    let page = page(&[row("http-00ff", hostile, None, 1)], "", &pages(false, ""));
    assert!(
        page.contains("&lt;&#x2f;a&gt;&lt;script&gt;\\xe2\\x80\\xae\\x1b[31m"),
        "{page}"
    );
    assert!(
        !page.contains("<script>")
            && page
                .chars()
                .all(|it| it == '\n' || printable::is_visible(it))
    );
    let empty = self::page(&[row("http-00ff", "", None, 1)], "", &pages(false, ""));
    assert!(empty.contains("(nothing that can be shown)"));
}

#[test]
fn a_title_that_names_what_is_hidden_is_not_shown() {
    let mut rows = [
        row("http-00ff", "GET /?to=honey.example.net", None, 1),
        row("http-11ff", "GET /?me=203.0.113.7", None, 1),
        row("http-22ff", "GET /harmless", None, 1),
    ];
    let open = page(&rows, "", &pages(false, ""));
    assert!(open.contains("honey.example.net") && open.contains("203.0.113.7"));
    let closed = pages(true, "honey.example.net");
    for row in &mut rows {
        row.title_shown = closed.privacy().title(&Title {
            text: &row.title,
            sender: "203.0.113.7".parse().unwrap(),
            raw: b"",
            tls: "",
        });
    }
    let page = page(&rows, "", &closed);
    assert!(
        !page.contains("honey.example.net") && !page.contains("203.0.113.7"),
        "{page}"
    );
    assert!(page.contains("harmless") && page.contains("1 kind"));
    // It cannot be searched for either.
    let (choice, _) = read("q=honey").unwrap();
    let collection = Collection::new(&rows, &Totals::default(), &choice, &closed, now());
    assert_eq!(collection.matching, 0);
}

#[test]
fn a_page_of_thousands_of_kinds_is_short() {
    let pages = pages(false, "");
    let signatures: Vec<_> = pages.describer.labeller.signatures().take(2400).collect();
    let of_labels = signatures
        .iter()
        .map(|it| row(&it.id, "x", Some(it.category.name()), 1));
    let title = "\u{1f600}<\u{202e}".repeat(60);
    let of_others = (0..3600).map(|it| row(&format!("http-{it:012x}"), &title, None, 1));
    let rows: Vec<KindRow> = of_labels.chain(of_others).collect();
    for query in ["", "page=20", "page=60", "category=unrecognised"] {
        let page = page(&rows, query, &pages);
        assert!(page.len() < 100_000, "{query}: {}", page.len());
    }
    assert!(page(&rows, "", &pages).contains("page 1 of 60"));
    assert!(page(&rows, "page=60", &pages).contains("page 60 of 60"));
}

#[test]
fn new_kinds_are_marked_for_a_day() {
    let mut kinds = rows();
    kinds[0].first = now().as_microsecond() - NEW_MICROS - 1;
    let shown = |row: &KindRow| ShownKind::new(&Candidate { row, label: None }, now()).is_new;
    assert_eq!((shown(&kinds[0]), shown(&kinds[1])), (false, true));
}

/// Returns the page of the kind that is made from these requests.
fn kind_page(requests: &[Sent<'_>], name: &str, pages: &Pages) -> Option<String> {
    let folder = TempDir::new().unwrap();
    let history = history_of(folder.path(), requests);
    let whole = history.questions().kind(name, pages.privacy());
    let whole = whole.unwrap().unwrap();
    let page = pages.kind_page(&whole, now())?;
    Some(pages.kind(&page, "a.example").unwrap())
}

const ENV: &[u8] = b"GET /.env HTTP/1.1\r\nHost: honey.example.net\r\n\r\n";

fn sent<'a>(source: &'a str, time: &'a str, raw: &'a [u8]) -> Sent<'a> {
    Sent {
        source,
        country: Some("NL"),
        time,
        raw,
    }
}

#[test]
fn the_page_of_a_kind_has_its_specimen_and_who_sends_it() {
    let requests = [
        sent("203.0.113.7", "2026-11-25T10:00:00Z", ENV),
        sent("203.0.113.9", "2026-11-26T10:00:00Z", ENV),
        sent(
            "203.0.113.9",
            "2026-11-27T10:00:00Z",
            b"GET /a/.env.bak HTTP/1.1\r\n\r\n",
        ),
    ];
    let page = kind_page(&requests, "dotenv-file", &pages(false, "")).unwrap();
    for part in [
        ".env file with passwords",
        "daily for 3 days",
        "seen by nearly everybody: in at least 20 of 24 published logs",
        "3 from 2 sources",
        "href=\"/home/sources/203.0.113.9\"",
        "AS64496",
        "honey.example.net</a> <b>×2",
        "/home/history?kind=dotenv-file",
        "Specimen, request 1",
        "Raw request",
        "/home/requests/3\">request 3</a> GET &#x2f;a&#x2f;.env.bak",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // The text of the label appears once.
    assert_eq!(page.matches("Many web applications keep").count(), 1);
}

#[test]
fn the_page_of_a_kind_hides_what_is_hidden() {
    let requests = [
        sent("203.0.113.7", "2026-11-25T10:00:00Z", ENV),
        sent(
            "203.0.113.9",
            "2026-11-26T10:00:00Z",
            b"GET /.env HTTP/1.1\r\nHost: 203.0.113.9\r\n\r\n",
        ),
    ];
    let page = kind_page(&requests, "dotenv-file", &pages(true, "honey.example.net")).unwrap();
    for hidden in ["203.0.113.7", "203.0.113.9", "honey.example.net", ":41000"] {
        assert!(!page.contains(hidden), "{hidden}: {page}");
    }
    assert!(page.contains("203.0.113.0&#x2f;24</a> NL <b>×2"), "{page}");
}

#[test]
fn the_page_of_a_kind_whose_title_is_hidden_is_not_there() {
    let raw = b"GET /qqq?a=honey.example.net HTTP/1.1\r\nHost: x.example\r\nUser-Agent: y\r\n\r\n";
    let requests = [sent("203.0.113.7", "2026-11-25T10:00:00Z", raw)];
    let folder = TempDir::new().unwrap();
    let history = history_of(folder.path(), &requests);
    let (kinds, _) = history.questions().kinds(&[], &Privacy::default()).unwrap();
    let name = &kinds[0].name;
    let page = kind_page(&requests, name, &pages(false, "")).unwrap();
    assert!(
        page.contains(&format!("/home/history?kind={name}")),
        "{page}"
    );
    assert!(kind_page(&requests, name, &pages(false, "honey.example.net")).is_none());
}

/// Returns what the collection, a search in it, and the page of a source show of the requests that
/// one source sent before anything was hidden.
fn all_pages(raw: &[u8], query: &str, pages: &Pages) -> [String; 2] {
    let folder = TempDir::new().unwrap();
    let requests = [sent("203.0.113.7", "2026-11-25T10:00:00Z", raw)];
    let history = history_of(folder.path(), &requests);
    let (kinds, _) = history.questions().kinds(&[], pages.privacy()).unwrap();
    let address = pages.privacy().source("203.0.113.7".parse().unwrap()).0;
    let one = history.questions().one_source(address, pages.privacy());
    let one = one.unwrap().unwrap();
    [page(&kinds, query, pages), pages.source(&one).unwrap()]
}

#[test]
fn an_address_that_a_request_claims_is_hidden_in_what_was_written_before() {
    let raw =
        b"GET /198.51.100.9/q HTTP/1.1\r\nHost: 198.51.100.9\r\nUser-Agent: at 198.51.100.9\r\n\
        X-Forwarded-For: 198.51.100.9\r\n\r\n";
    for (masked, is_shown) in [(false, true), (true, false)] {
        let pages = pages(masked, "");
        let [collection, source] = all_pages(raw, "", &pages);
        assert_eq!(
            collection.contains("198.51.100.9"),
            is_shown,
            "{collection}"
        );
        let times = if is_shown { 3 } else { 0 };
        assert!(source.matches("198.51.100.9").count() >= times, "{source}");
        assert_eq!(source.contains("198.51.100.9"), is_shown, "{source}");
    }
    let env = b"GET /.env HTTP/1.1\r\nHost: 198.51.100.9\r\nX-Real-IP: 198.51.100.9\r\n\r\n";
    let requests = [sent("203.0.113.7", "2026-11-25T10:00:00Z", env)];
    let page = kind_page(&requests, "dotenv-file", &pages(true, "")).unwrap();
    assert!(!page.contains("198.51.100.9"), "{page}");
}

#[test]
fn what_was_cut_in_the_middle_of_what_is_hidden_is_not_shown() {
    // Titles are cut at 100 characters, names at 200.
    let target = format!("/{}honey.example.net/x", "q".repeat(85));
    let agent = format!("{}honey.example.net", "z".repeat(190));
    let raw = format!(
        "GET {target} HTTP/1.1\r\nHost: {}.honey.example.net\r\nUser-Agent: {agent}\r\n\r\n",
        "w".repeat(190)
    );
    let hidden = "honey.example.net";
    for (hidden, is_shown) in [("", true), (hidden, false)] {
        let pages = pages(false, hidden);
        let [collection, source] = all_pages(raw.as_bytes(), "", &pages);
        for page in [&collection, &source] {
            assert_eq!(page.contains("honey.exa"), is_shown, "{page}");
            assert_eq!(
                page.contains("something that is not shown"),
                !is_shown,
                "{page}"
            );
        }
        let [found, _] = all_pages(raw.as_bytes(), "q=qqhoney", &pages);
        assert_eq!(
            found.matches("/home/collection/http-").count() > 1,
            is_shown,
            "{found}"
        );
    }
    // Long titles that name nothing hidden stay, and the page of a kind has the title.
    let pages = pages(false, "elsewhere.example");
    let [collection, _] = all_pages(raw.as_bytes(), "", &pages);
    assert!(collection.contains("honey.exa"), "{collection}");
    let requests = [sent("203.0.113.7", "2026-11-25T10:00:00Z", raw.as_bytes())];
    let folder = TempDir::new().unwrap();
    let history = history_of(folder.path(), &requests);
    let (kinds, _) = history.questions().kinds(&[], &Privacy::default()).unwrap();
    let pages = self::pages(false, hidden);
    let page = kind_page(&requests, &kinds[0].name, &pages).unwrap();
    assert!(
        page.contains("qqqqxxxxxxxx") && !page.contains("honey.exa"),
        "{page}"
    );
}
