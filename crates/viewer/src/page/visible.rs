//! Turns foreign bytes into pieces of visible text for a template, one piece at a time.
//!
//! In: bytes. Out: a value that a template loops over. All pieces of a request at once would take
//! megabytes.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use forever200_identify::labels::merged;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectExt, ObjectRepr, Serde};

use crate::bytes::hex::dump;
use crate::bytes::printable::{LineFeeds, Style, marked};

/// Bytes to be shown, in parts.
#[derive(Debug)]
struct Visible(Vec<Part>);

/// Bytes with one style: all of them are text, or none.
#[derive(Debug)]
struct Part {
    bytes: Bytes,
    /// The ranges to mark: in order, and not overlapping.
    evidence: Vec<Range<usize>>,
    style: Style,
}

/// Bytes to be shown in a hex dump.
#[derive(Debug)]
struct Dump {
    bytes: Bytes,
    /// The ranges to mark: in order, and not overlapping.
    evidence: Vec<Range<usize>>,
}

/// Returns bytes as they were sent.
#[must_use]
pub fn as_sent(bytes: Bytes) -> Value {
    let style = Style::of(&bytes, LineFeeds::Sent);
    visible(vec![Part::new(bytes, style)])
}

/// Returns bytes as they were sent. If they are not text, a long run of one byte is shown as the
/// byte and the length of the run.
#[must_use]
pub fn runs_shortened(bytes: Bytes) -> Value {
    visible(vec![Part::runs_shortened(bytes)])
}

/// Returns a request as it was sent, with the ranges of `evidence` marked. In bytes that are not
/// text, a long run of one byte is shown as the byte and the length of the run. For the head and
/// the rest, it is decided separately whether they are text.
#[must_use]
pub fn request(bytes: &Bytes, head_bytes: usize, evidence: &[Range<usize>]) -> Value {
    let evidence = merged(evidence.to_vec());
    let parts = halves(bytes, head_bytes).map(|(start, bytes)| {
        let end = start + bytes.len();
        let here = evidence
            .iter()
            .map(|range| range.start.clamp(start, end) - start..range.end.clamp(start, end) - start)
            .filter(|range| !range.is_empty());
        Part {
            evidence: here.collect(),
            ..Part::runs_shortened(bytes)
        }
    });
    visible(parts.into())
}

/// Returns a request to be copied as text, with every byte, and with line ends that are not marked.
#[must_use]
pub fn copied(bytes: &Bytes, head_bytes: usize) -> Value {
    let parts = halves(bytes, head_bytes).map(|(_, bytes)| {
        let style = Style::of(&bytes, LineFeeds::Copied);
        Part::new(bytes, style)
    });
    visible(parts.into())
}

/// Returns indented text, whose line feeds were added here.
#[must_use]
pub fn indented(bytes: Bytes) -> Value {
    let style = Style::of(&bytes, LineFeeds::Ours);
    visible(vec![Part::new(bytes, style)])
}

/// Returns the hex dump of bytes, with these ranges marked.
#[must_use]
pub fn hex_dump(bytes: Bytes, evidence: &[Range<usize>]) -> Value {
    let evidence = merged(evidence.to_vec());
    Value::from_object(Dump { bytes, evidence })
}

fn visible(parts: Vec<Part>) -> Value {
    Value::from_object(Visible(parts))
}

/// Returns the head of a request and the rest of it, each with its start.
fn halves(bytes: &Bytes, head_bytes: usize) -> [(usize, Bytes); 2] {
    let at = head_bytes.min(bytes.len());
    [(0, bytes.slice(..at)), (at, bytes.slice(at..))]
}

impl Part {
    fn new(bytes: Bytes, style: Style) -> Self {
        Self {
            bytes,
            evidence: Vec::new(),
            style,
        }
    }

    fn runs_shortened(bytes: Bytes) -> Self {
        let style = Style {
            folds: true,
            ..Style::of(&bytes, LineFeeds::Sent)
        };
        Self::new(bytes, style)
    }
}

impl Object for Visible {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_enumerator(|this| {
            let pieces = this
                .0
                .iter()
                .flat_map(|part| marked(&part.bytes, &part.evidence, part.style));
            Box::new(pieces.map(|piece| Value::from(Serde(piece))))
        })
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.0.iter().any(|part| !part.bytes.is_empty())
    }
}

impl Object for Dump {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_enumerator(|this| {
            let pieces = dump(&this.bytes, &this.evidence);
            Box::new(pieces.map(|piece| Value::from(Serde(piece))))
        })
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.bytes.is_empty()
    }
}
