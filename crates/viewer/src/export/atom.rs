//! New kinds of requests as an Atom feed (RFC 4287).
//!
//! In: kinds as they may be shown. Out: a document with an entry for each kind. An entry never
//! changes, so that a feed reader shows it as new only once. Ids depend on this history, not on the
//! name of this machine.

use std::fmt::Write;

use jiff::Timestamp;
use quick_xml::escape::escape;
use sha2::{Digest, Sha256};

use crate::bytes::printable;

/// Most entries of the feed, and most entries for kinds without a label. Every random request is a
/// kind of its own.
pub(crate) const ENTRIES: usize = 50;
pub(crate) const UNLABELLED_ENTRIES: usize = 15;
/// Longest text of an entry, in characters.
const MAX_CHARS: usize = 800;

/// An entry of the feed: one kind.
#[derive(Debug)]
pub(crate) struct FeedEntry {
    /// Name of the kind.
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) category: &'static str,
    /// Text of the entry, in sentences.
    pub(crate) summary: String,
    pub(crate) first: Timestamp,
}

/// Returns the feed. `era` is different for each history. `host` is the name by which the feed
/// reader knows this machine.
pub(crate) fn feed(entries: &[FeedEntry], era: i64, host: &str) -> String {
    let base = format!("http://{host}/home");
    let base = escape(&base);
    let updated = time(entries.iter().map(|it| it.first).max().unwrap_or_default());
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <feed xmlns=\"http://www.w3.org/2005/Atom\" xml:lang=\"en\">\n\
         <id>{}</id>\n<title>forever200: new kinds of requests</title>\n\
         <subtitle>An entry for each kind that came for the first time</subtitle>\n\
         <updated>{updated}</updated>\n<author><name>forever200</name></author>\n\
         <link rel=\"self\" type=\"application/atom+xml\" href=\"{base}/new.atom\"/>\n\
         <link rel=\"alternate\" type=\"text/html\" href=\"{base}/collection?sort=new\"/>\n",
        urn(era, ""),
    );
    for entry in entries {
        let first = time(entry.first);
        write!(
            xml,
            "<entry>\n<id>{}</id>\n<title>{}</title>\n<published>{first}</published>\n<updated>{first}</updated>\n\
             <link rel=\"alternate\" type=\"text/html\" href=\"{base}/collection/{}\"/>\n\
             <category term=\"{}\"/>\n<summary>{}</summary>\n</entry>\n",
            urn(era, &entry.kind),
            text(&entry.title),
            text(&entry.kind),
            entry.category,
            text(&entry.summary),
        )
        .expect("a String takes every write");
    }
    xml.push_str("</feed>\n");
    xml
}

/// Returns a permanent, unique name: a UUID of version 8 (RFC 9562, 5.8), made from a hash.
fn urn(era: i64, kind: &str) -> String {
    let digest = Sha256::digest(format!("forever200 {era} {kind}"));
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(digest) {
        *byte = hashed;
    }
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut urn = String::from("urn:uuid:");
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            urn.push('-');
        }
        write!(urn, "{byte:02x}").expect("a String takes every write");
    }
    urn
}

/// Returns a time in the format of RFC 3339, as RFC 4287, 3.3 requires.
fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns printable, escaped text. XML 1.0 cannot contain most control characters.
fn text(text: &str) -> String {
    escape(printable::line(text.as_bytes(), MAX_CHARS)).into_owned()
}

#[cfg(test)]
mod tests {
    use quick_xml::events::Event;
    use quick_xml::{Reader, XmlVersion};

    use super::*;

    fn entry(kind: &str, title: &str) -> FeedEntry {
        FeedEntry {
            kind: kind.to_owned(),
            title: title.to_owned(),
            category: "exploit",
            summary: format!("About {title}."),
            first: "2026-10-02T10:11:12.9Z".parse().unwrap(),
        }
    }

    /// Returns the elements that a parser finds, with depth and text.
    fn parse(xml: &str) -> Vec<(usize, String, String)> {
        let mut reader = Reader::from_str(xml);
        let (mut open, mut found) = (Vec::new(), Vec::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => {
                    let name = start.name().as_ref().to_owned();
                    found.push((open.len(), name, String::new()));
                    open.push(found.len() - 1);
                }
                Event::Empty(empty) => {
                    let name = empty.name().as_ref().to_owned();
                    let attributes = empty.attributes().map(|it| it.unwrap());
                    let values = attributes.map(|it| {
                        it.normalized_value(XmlVersion::Explicit1_0)
                            .unwrap()
                            .into_owned()
                    });
                    found.push((open.len(), name, values.collect::<Vec<_>>().join(" ")));
                }
                Event::Text(part) => {
                    if let Some(&at) = open.last() {
                        found[at].2.push_str(&part);
                    }
                }
                Event::GeneralRef(name) => {
                    let text = quick_xml::escape::unescape(&format!("&{};", &*name))
                        .unwrap()
                        .into_owned();
                    found[*open.last().unwrap()].2.push_str(&text);
                }
                Event::End(_) => {
                    open.pop();
                }
                Event::Eof => break,
                _ => {}
            }
        }
        assert!(open.is_empty());
        found
    }

    #[test]
    fn a_feed_is_as_rfc_4287_says() {
        let hostile = "</title><script>\u{202e}\0&\"']]>";
        let entries = [entry("dotenv-file", "Ok"), entry("http-0123", hostile)];
        let xml = feed(&entries, 7, "honey.example:8000");
        let found = parse(&xml);
        let texts = |name: &str, depth: usize| -> Vec<&str> {
            let named = found.iter().filter(|it| it.1 == name && it.0 == depth);
            named.map(|it| it.2.trim()).collect()
        };
        // 4.1.1: exactly one of each, and an author.
        for name in ["id", "title", "updated", "author"] {
            assert_eq!(texts(name, 1).len(), 1, "{name}");
        }
        // 4.1.2: exactly one of each in an entry.
        for name in ["id", "title", "updated", "summary"] {
            assert_eq!(texts(name, 2).len(), 2, "{name}");
        }
        assert_eq!(
            texts("title", 2)[1],
            "</title><script>\\u{202e}\\x00&\"']]>"
        );
        assert_eq!(texts("updated", 1), ["2026-10-02T10:11:12Z"]);
        let links = texts("link", 2);
        assert!(
            links[0].ends_with("http://honey.example:8000/home/collection/dotenv-file"),
            "{links:?}"
        );
        let mut ids = [texts("id", 1), texts("id", 2)].concat();
        assert!(
            ids.iter()
                .all(|id| id.starts_with("urn:uuid:") && id.len() == 45),
            "{ids:?}"
        );
        ids.dedup();
        assert_eq!(ids.len(), 3);
        assert!(
            xml.chars()
                .all(|char| char == '\n' || printable::is_visible(char))
        );
    }

    #[test]
    fn an_id_stays_the_same_and_is_of_one_history() {
        let ids = |era: i64, host: &str| {
            let xml = feed(&[entry("dotenv-file", "x")], era, host);
            parse(&xml)
                .into_iter()
                .filter(|it| it.1 == "id")
                .map(|it| it.2)
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(7, "a.example"), ids(7, "b.example"));
        assert_ne!(ids(7, "a.example"), ids(8, "a.example"));
        assert_eq!(
            feed(&[], 7, "x")
                .matches("<updated>1970-01-01T00:00:00Z")
                .count(),
            1
        );
    }
}
