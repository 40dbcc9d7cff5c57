//! Foreign bytes as a template takes them: pieces of visible text, made one at a time.
//!
//! In: bytes. Out: a value that a template loops over. All pieces of a request at once would take megabytes.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use forever200_identify::labels::apart;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectExt, ObjectRepr, Serde};

use crate::bytes::printable::{LineFeeds, marked};

/// Bytes to be shown.
#[derive(Debug)]
struct Visible {
    bytes: Bytes,
    /// What to mark, in order and apart.
    evidence: Vec<Range<usize>>,
    line_feeds: LineFeeds,
}

/// Returns bytes as they were sent.
#[must_use]
pub fn sent(bytes: Bytes) -> Value {
    with_evidence(bytes, Vec::new())
}

/// Returns bytes as they were sent, with these ranges marked.
#[must_use]
pub fn with_evidence(bytes: Bytes, evidence: Vec<Range<usize>>) -> Value {
    let (evidence, line_feeds) = (apart(evidence), LineFeeds::Sent);
    Value::from_object(Visible {
        bytes,
        evidence,
        line_feeds,
    })
}

/// Returns text whose line feeds are ours.
#[must_use]
pub fn indented(bytes: Bytes) -> Value {
    let (evidence, line_feeds) = (Vec::new(), LineFeeds::Ours);
    Value::from_object(Visible {
        bytes,
        evidence,
        line_feeds,
    })
}

impl Object for Visible {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_enumerator(|this| {
            let pieces = marked(&this.bytes, &this.evidence, this.line_feeds);
            Box::new(pieces.map(|piece| Value::from(Serde(piece))))
        })
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.bytes.is_empty()
    }
}
