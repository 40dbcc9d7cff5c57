//! The bytes with which matches of a regular expression begin.
//!
//! In: an expression, and a place in a text. Out: whether a match may begin there. An expression of
//! a hundred words takes as long as all of them. At most places, the first three bytes show that
//! none of the words is there.

use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::Extractor;

use crate::program::Bytes;

/// The bytes with which matches of one expression begin.
#[derive(Debug)]
pub(crate) struct Beginning {
    first: Bytes,
    /// First bytes of the beginnings that are shorter than three bytes.
    alone: Bytes,
    /// The other beginnings, three bytes each, sorted.
    triples: Box<[[u8; 3]]>,
}

impl Beginning {
    /// Takes an expression that never matches the empty text, and the bytes with which a match may
    /// begin.
    pub(crate) fn new(hir: &Hir, first: Bytes) -> Self {
        let mut alone = Bytes::default();
        let mut triples = Vec::new();
        let known = Extractor::new().limit_literal_len(3).extract(hir);
        let Some(literals) = known.literals() else {
            // There is no end to the literals.
            return Self {
                first,
                alone: first,
                triples: Box::default(),
            };
        };
        for literal in literals {
            match literal.as_bytes() {
                [a, b, c, ..] => triples.push([*a, *b, *c]),
                [a, ..] => alone.add(*a),
                [] => alone = first,
            }
        }
        triples.sort_unstable();
        triples.dedup();
        Self {
            first,
            alone,
            triples: triples.into(),
        }
    }

    /// Tells whether a match may begin at this place of a text.
    pub(crate) fn is_at(&self, text: &[u8], at: usize) -> bool {
        let Some(&byte) = text.get(at) else {
            return false;
        };
        if self.alone.has(byte) {
            return true;
        }
        if !self.first.has(byte) {
            return false;
        }
        match text[at..] {
            [a, b, c, ..] => self.triples.binary_search(&[a, b, c]).is_ok(),
            _ => false,
        }
    }
}
