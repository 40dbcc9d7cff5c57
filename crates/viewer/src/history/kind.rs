//! The kind of a request: the unit of the collection.
//!
//! In: the description of a request. Out: a name that stays the same from one version to the next,
//! and a title.

use std::fmt::Write;

use forever200_identify::Category;
use sha2::{Digest, Sha256};

use crate::reader::Entry;

/// How many first bytes are equal in all requests of one kind, if their protocol is unknown.
const ALIKE_BYTES: usize = 16;
/// Most bytes of a method and of a target by which kinds differ.
const TARGET_BYTES: usize = 256;
/// Bytes of the hash in a name, enough to tell thousands of kinds apart.
const HASH_BYTES: usize = 6;
/// Longest title, in characters.
pub(crate) const MAX_TITLE_CHARS: usize = 100;

/// The kind of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The id of its first label; without labels, its protocol and a hash of its shape.
    pub(crate) name: String,
    /// The title of its first label; without labels, the beginning of the request's summary.
    pub(crate) title: String,
    /// The category of its first label; `None` without a label.
    pub(crate) category: Option<Category>,
}

/// The category that a visitor wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantedCategory {
    /// A label has this category.
    Labelled(Category),
    /// There is no label.
    Unrecognised,
}

impl Kind {
    /// Returns the kind of a request. It is computed only once: without a label it takes a hash,
    /// and each visitor who watches may ask for two dozen kinds.
    pub(crate) fn of(entry: &Entry) -> &Self {
        entry.kind.get_or_init(|| Self::new(entry))
    }

    fn new(entry: &Entry) -> Self {
        match entry.labels.first() {
            Some(label) => Self {
                name: label.signature.id.clone(),
                title: label.signature.title.clone(),
                category: Some(label.signature.category),
            },
            None => Self {
                name: format!("{}-{}", entry.protocol.name(), hash(&shape(entry))),
                title: title(&entry.summary),
                category: None,
            },
        }
    }
}

/// Returns the title of a kind without a label, from the summary of its specimen.
pub(crate) fn title(summary: &str) -> String {
    summary.chars().take(MAX_TITLE_CHARS).collect()
}

/// Returns what is equal in all requests of a kind without a label. HTTP requests may differ in
/// digits, in the values of the query, in headers and in the body. TLS hellos may differ if they
/// have the same fingerprint of the client. Other requests may differ after their first bytes.
fn shape(entry: &Entry) -> Vec<u8> {
    if let Some(http) = &entry.http {
        let target = http.target.iter().take(TARGET_BYTES);
        let mut shape = [&http.method[..http.method.len().min(TARGET_BYTES)], b" "].concat();
        shape.extend(without_values(target.copied()));
        return shape;
    }
    let ja4 = entry.hello().and_then(|tls| tls.ja4());
    if let Some(ja4) = ja4 {
        return ja4.as_bytes().to_vec();
    }
    let raw = &entry.record.raw;
    raw[..raw.len().min(ALIKE_BYTES)].to_vec()
}

/// Returns a target without digits and without the values of its query.
fn without_values(target: impl Iterator<Item = u8>) -> Vec<u8> {
    let (mut is_query, mut is_value) = (false, false);
    let mut shape = Vec::new();
    for byte in target {
        match byte {
            b'?' => is_query = true,
            b'&' => is_value = false,
            _ => {}
        }
        if !is_value && !byte.is_ascii_digit() {
            shape.push(byte);
        }
        is_value |= is_query && byte == b'=';
    }
    shape
}

fn hash(shape: &[u8]) -> String {
    let mut text = String::with_capacity(2 * HASH_BYTES);
    for byte in Sha256::digest(shape).iter().take(HASH_BYTES) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::entry::tests::{entry, record};

    fn kind(raw: &[u8]) -> Kind {
        Kind::new(&entry(record(raw)))
    }

    #[test]
    fn a_kind_is_found_out_once() {
        let entry = entry(record(b"GET /qqq HTTP/1.1\r\nHost: x.example\r\n\r\n"));
        let kind = Kind::of(&entry);
        assert_eq!(*kind, Kind::new(&entry));
        assert!(std::ptr::eq(kind, Kind::of(&entry)));
    }

    #[test]
    fn the_first_label_names_a_kind() {
        let kind = kind(b"GET /.env HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(
            (kind.name.as_str(), kind.category),
            ("dotenv-file", Some(Category::Secrets))
        );
    }

    #[test]
    fn without_labels_the_shape_names_a_kind() {
        let name = |target: &str| {
            let kind = kind(
                format!("GET {target} HTTP/1.1\r\nHost: x.example\r\nUser-Agent: y\r\n\r\n")
                    .as_bytes(),
            );
            assert_eq!(kind.category, None, "{target}");
            kind.name
        };
        assert_eq!(name("/qqq/1?a=x&b=y"), name("/qqq/22?a=&b=zz"));
        assert_ne!(name("/qqq/1?a=x&b=y"), name("/qqq/1?a=x&c=y"));
        assert_ne!(name("/qqq"), name("/qqr"));
        assert!(name("/qqq").starts_with("http-"), "{}", name("/qqq"));
    }
}
