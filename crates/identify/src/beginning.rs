//! What the matches of a regular expression begin with.
//!
//! In: an expression, and a place in a text. Out: whether a match may begin there. An expression of
//! a hundred words takes as long as all of them, and the first three bytes tell of most places that
//! none of the words is there.

use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::Extractor;

use crate::program::Bytes;

/// What matches begin with.
#[derive(Debug)]
pub(crate) struct Beginning {
    first: Bytes,
    /// The first bytes of those of which no more is known.
    alone: Bytes,
    /// The first bytes of the others, in order.
    triples: Box<[[u8; 3]]>,
}

impl Beginning {
    /// Takes an expression that is never empty, and the bytes that it may begin with.
    pub(crate) fn new(hir: &Hir, first: Bytes) -> Self {
        let mut alone = Bytes::default();
        let mut triples = Vec::new();
        let known = Extractor::new().limit_literal_len(3).extract(hir);
        let Some(literals) = known.literals() else {
            // They are without number.
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
