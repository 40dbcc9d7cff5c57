//! All that is shown of a request: pages in which nothing is active, JSON that reads back, text that no terminal obeys.
#![no_main]

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use forever200_fuzz::{KNOWLEDGE, choice, entry, html};
use forever200_ring::{Record, Snapshot};
use forever200_viewer::bytes::printable::is_visible;
use forever200_viewer::page::detail::Detail;
use forever200_viewer::page::filter::FilterQuery;
use forever200_viewer::page::pages::Pages;
use forever200_viewer::reader::entry::Entry;
use forever200_viewer::reader::follow::View;
use forever200_viewer::{export::files, export::har, export::json, export::pcap};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static PAGES: LazyLock<Pages> = LazyLock::new(|| Pages::new(Arc::clone(&KNOWLEDGE)));
/// The codes of colour that the text may have when asked for.
const COLOURS: [&str; 5] = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m"];

fuzz_target!(|raw: &[u8]| {
    let entry = Arc::new(entry(7, raw));
    // Twice, so that the rows fold; the version is another each time, so that nothing is taken from before.
    let older = Arc::new(forever200_fuzz::entry(6, raw));
    let view = view(vec![Arc::clone(&entry), older]);
    let entries: Vec<&Entry> = view.entries.iter().map(AsRef::as_ref).collect();
    pages(&view, &entries, raw);
    json(&entry, &entries);
    text(&view, &entries);
    detail(&entry);
    let capture = pcap::capture(entries.iter().map(|entry| &entry.record));
    check_capture(&capture);
});

fn view(entries: Vec<Arc<Entry>>) -> View {
    static VERSION: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let version = VERSION.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut snapshot = Snapshot::default();
    (snapshot.cursor, snapshot.unreadable) = (7, 1);
    View {
        version,
        snapshot,
        entries,
        minute: 29_000_000,
        minutes: [(29_000_000, 7)].into(),
        away: false,
    }
}

fn pages(view: &View, entries: &[&Entry], raw: &[u8]) {
    let entry = entries[0];
    html::check(PAGES.row(entry).expect("a row"));
    let page = PAGES
        .request(view, entry.record.seq, "a.example")
        .expect("a page")
        .expect("it is there");
    html::check(&page);
    assert_eq!(page.matches("<script").count(), 1);
    let asked = String::from_utf8_lossy(&raw[..raw.len().min(64)]).into_owned();
    let asked = if asked.chars().all(is_visible) {
        asked
    } else {
        String::new()
    };
    let query = FilterQuery {
        q: asked.clone(),
        path: asked,
        ..FilterQuery::default()
    };
    let home = PAGES
        .home(view, &query, entries, "a.example")
        .expect("a page")
        .plain
        .clone();
    let home = std::str::from_utf8(&home).expect("text");
    html::check(home);
    assert_eq!(home.matches("<script").count(), 1);
    // Its style is ours, and would be taken for attributes.
    let page = files::html(&PAGES, view, entries).expect("a page");
    let (head, rest) = page.split_once("<style>").expect("a style");
    let (_, rest) = rest.split_once("</style>").expect("its end");
    html::check(&head.replace(
        r#" content="default-src 'none'; style-src 'unsafe-inline'""#,
        "",
    ));
    html::check(rest);
}

fn json(entry: &Entry, entries: &[&Entry]) {
    let line = json::json(entry, true);
    assert!(line.get().chars().all(is_visible), "{line}");
    let value: Value = serde_json::from_str(line.get()).expect("JSON");
    let raw = BASE64_STANDARD
        .decode(value["raw_base64"].as_str().expect("text"))
        .expect("base64");
    assert_eq!(raw, entry.record.raw);
    let record: Record = serde_json::from_str(line.get()).expect("a record");
    assert_eq!(
        Record {
            raw: raw.into(),
            ..record
        },
        entry.record
    );
    let lines = files::ndjson(entries);
    assert_eq!(
        lines
            .lines()
            .filter(|line| serde_json::from_str::<Value>(line).is_ok())
            .count(),
        entries.len()
    );
    let archive: Value = serde_json::from_str(&har::archive(entries)).expect("JSON");
    let expected = if entry.http().is_some() {
        entries.len()
    } else {
        0
    };
    assert_eq!(
        archive["log"]["entries"].as_array().map(Vec::len),
        Some(expected)
    );
}

fn text(view: &View, entries: &[&Entry]) {
    let color = choice(&entries[0].record.raw) % 2 == 1;
    let mut text = files::text(view, entries, color);
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
    let detail = serde_json::to_value(Detail::new(entry, "a.example")).expect("JSON");
    let field = |name: &str| detail[name].as_str().expect("text");
    assert_eq!(
        BASE64_STANDARD.decode(field("base64")).expect("base64"),
        entry.record.raw
    );
    assert_eq!(field("hex").len(), 2 * entry.record.raw.len());
    assert_eq!(
        field("hex_dump").lines().count(),
        entry.record.raw.len().div_ceil(16)
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

/// The packets fill the file, and each is as long as it says.
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
