//! Checks every form in which a request is shown: pages without active content, JSON that reads
//! back, text without control codes for a terminal.
#![no_main]

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_fuzz::{DESCRIBER, choice, entry, html};
use forever200_ring::{Record, Snapshot};
use forever200_viewer::bytes::printable::is_visible;
use forever200_viewer::export::{Listing, har, html as file, json, ndjson, pcap, text};
use forever200_viewer::page::detail::Detail;
use forever200_viewer::page::filter::FilterQuery;
use forever200_viewer::page::history::HistoryPage;
use forever200_viewer::page::pages::{Neighbours, Pages};
use forever200_viewer::page::row::Row;
use forever200_viewer::reader::{Entry, View};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static PAGES: LazyLock<Arc<Pages>> =
    LazyLock::new(|| Arc::new(Pages::new(Arc::clone(&DESCRIBER), true)));
/// The colour codes that the text may have if colours are wanted.
const COLOURS: [&str; 5] = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m"];

fuzz_target!(|raw: &[u8]| {
    let entry = Arc::new(entry(7, raw));
    // The same request twice, so that the two share a row.
    let older = Arc::new(forever200_fuzz::entry(6, raw));
    let view = view(vec![Arc::clone(&entry), older]);
    pages(&view, raw);
    json(&entry, &view.entries);
    table(&view);
    detail(&entry);
    let capture = pcap::capture(view.entries.iter().map(|entry| &entry.record));
    check_capture(&capture);
});

fn view(entries: Vec<Arc<Entry>>) -> View {
    let mut snapshot = Snapshot::default();
    (snapshot.cursor, snapshot.unreadable) = (7, 1);
    View {
        version: 1,
        snapshot,
        entries,
        is_all_described: true,
        minute: 29_000_000,
        minutes: [(29_000_000, 7)].into(),
        history: None,
        away: None,
    }
}

fn pages(view: &View, raw: &[u8]) {
    let entry = &view.entries[0];
    html::check(as_text(&PAGES.row(entry).expect("a row")));
    let asked = String::from_utf8_lossy(&raw[..raw.len().min(64)]).into_owned();
    let asked = if asked.chars().all(is_visible) {
        asked
    } else {
        String::new()
    };
    let query = FilterQuery::of(&[("q", &asked), ("-path", &asked)]);
    let neighbours = Neighbours {
        older: Some(6),
        others: vec![Arc::clone(&view.entries[1])],
        in_ring: true,
        ..Neighbours::default()
    };
    let page = PAGES
        .request(entry, &neighbours, &query, "a.example")
        .expect("a page");
    html::check(&page);
    let history = HistoryPage {
        query: &query,
        since: &asked,
        until: "",
        entries: &view.entries,
        newer: Some(8),
        older: None,
        is_partial: true,
        oldest: None,
    };
    html::check(&PAGES.history(&history).expect("a page"));
    assert_eq!(page.matches("<script").count(), 1);
    let strip = PAGES.strip(view, &query).expect("a strip");
    let home = PAGES
        .home(view, &query, &view.entries, &strip, "a.example")
        .expect("a page");
    html::check(&home);
    assert_eq!(home.matches("<script").count(), 3);
    html::check(as_text(&PAGES.wall_row(entry).expect("a row")));
    let numbers = PAGES.wall_strip(view).expect("numbers");
    let wall = PAGES
        .wall(view, &query, &view.entries, &numbers)
        .expect("a page");
    html::check(&wall);
    assert_eq!(wall.matches("<script").count(), 2);
    assert_eq!(wall.matches("<a ").count(), 1);
    let now = Timestamp::UNIX_EPOCH;
    let rows: Vec<_> = view.entries.iter().map(|it| Row::new(it, now)).collect();
    // The check would take the style, which is ours, for attributes.
    let page = file::page(&PAGES, 7, &rows).expect("a page");
    let page = page.whole(view.entries.iter().map(AsRef::as_ref));
    let page = as_text(&page);
    let (head, rest) = page.split_once("<style>").expect("a style");
    let (_, rest) = rest.split_once("</style>").expect("its end");
    html::check(&head.replace(
        r#" content="default-src 'none'; style-src 'unsafe-inline'""#,
        "",
    ));
    html::check(rest);
}

fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

fn json(entry: &Entry, entries: &[Arc<Entry>]) {
    let line = json::request(entry, true);
    assert!(line.len() <= json::most_bytes(entry, true));
    let line = as_text(&line);
    assert!(line.chars().all(is_visible), "{line}");
    let value: Value = serde_json::from_str(line).expect("JSON");
    let raw = BASE64_STANDARD
        .decode(value["raw_base64"].as_str().expect("text"))
        .expect("base64");
    assert_eq!(raw, entry.record.raw);
    // The facts about TLS and the sensor have other names here than in the record.
    let mut value = value;
    for field in ["tls", "sensor"] {
        value.as_object_mut().expect("an object").remove(field);
    }
    let record: Record = serde_json::from_value(value).expect("a record");
    assert_eq!(
        Record {
            raw: raw.into(),
            tls: entry.record.tls.clone(),
            sensor: entry.record.sensor.clone(),
            ..record
        },
        entry.record
    );
    let whole = |listing: Listing| {
        let most = entries
            .iter()
            .map(|entry| (listing.most)(entry))
            .sum::<usize>();
        let whole = listing.whole(entries.iter().map(AsRef::as_ref));
        assert!(whole.len() <= most + listing.begin.len() + listing.end.len());
        whole
    };
    let lines = whole(ndjson::lines());
    assert_eq!(
        as_text(&lines)
            .lines()
            .filter(|line| serde_json::from_str::<Value>(line).is_ok())
            .count(),
        entries.len()
    );
    let archive: Value = serde_json::from_slice(&whole(har::archive())).expect("JSON");
    let expected = if entry.http.is_some() {
        entries.len()
    } else {
        0
    };
    assert_eq!(
        archive["log"]["entries"].as_array().map(Vec::len),
        Some(expected)
    );
}

fn table(view: &View) {
    let color = choice(&view.entries[0].record.raw) % 2 == 1;
    let mut text = text::table(view, &view.entries, color);
    if color {
        text = COLOURS
            .iter()
            .fold(text, |text, code| text.replace(code, ""));
    }
    assert!(
        text.chars().all(|char| char == '\n' || is_visible(char)),
        "{text:?}"
    );
}

fn detail(entry: &Entry) {
    let detail = serde_json::to_value(Detail::new(entry, "a.example", &DESCRIBER)).expect("JSON");
    let field = |name: &str| detail[name].as_str().expect("text");
    assert_eq!(
        BASE64_STANDARD.decode(field("base64")).expect("base64"),
        entry.record.raw
    );
    assert_eq!(field("hex").len(), 2 * entry.record.raw.len());
    let dump = text_of(&detail["hex_dump"]);
    assert_eq!(
        dump.lines().map(bytes_of).sum::<usize>(),
        entry.record.raw.len(),
        "{dump}"
    );
    let copied = text_of(&detail["text"]);
    assert!(
        copied.chars().all(|char| char == '\n' || is_visible(char)),
        "{copied:?}"
    );
    let line = detail["replay"]["line"].as_str().expect("text");
    assert!(
        line.bytes().all(|byte| matches!(byte, b' '..=b'~')),
        "{line:?}"
    );
    assert_eq!(
        line.replace(r"'\''", "").matches('\'').count() % 2,
        0,
        "{line}"
    );
}

fn text_of(pieces: &Value) -> String {
    let pieces = pieces.as_array().expect("a list").iter();
    pieces
        .map(|piece| piece["text"].as_str().expect("text"))
        .collect()
}

/// Returns how many bytes a line of a hex dump shows.
fn bytes_of(line: &str) -> usize {
    let bytes = line.get(10..).expect("an offset");
    match bytes.split_once(" × ") {
        Some((count, _)) => count.parse().expect("a number"),
        None => bytes[..49].split_whitespace().count(),
    }
}

/// Checks that the packets fill the file, and that each has the length in its header.
fn check_capture(capture: &[u8]) {
    let mut rest = &capture[24..];
    while let [_, _, _, _, _, _, _, _, a, b, c, d, e, f, g, h, packet @ ..] = rest {
        let (kept, sent) = (
            u32::from_le_bytes([*a, *b, *c, *d]),
            u32::from_le_bytes([*e, *f, *g, *h]),
        );
        assert!(kept == sent && kept <= 1500);
        rest = &packet[kept as usize..];
    }
    assert!(rest.is_empty());
}
