//! Which signatures are tried on which requests.
//!
//! In: the signatures, own and built-in ones. Out: lists of them, by what a request must have for
//! one to apply: a word, or a protocol.

use std::sync::{Arc, OnceLock};

use super::Known;
use crate::built_in::Indexed;
use crate::pattern::Pattern;
use crate::protocol::Protocol;
use crate::recent::Place;
use crate::signature::Signature;

/// The signatures so far, and what they need.
pub(super) struct Lists {
    pub(super) signatures: Vec<Known>,
    /// What is looked for in requests.
    pub(super) literals: Vec<String>,
    anchored: Vec<Anchored>,
    /// Those that need nothing.
    pub(super) always: Vec<usize>,
    /// Those that need a protocol and no word.
    pub(super) speaking: Vec<(Protocol, usize)>,
}

/// A signature that needs a word, each by its number; in order of the words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Anchored {
    word: usize,
    signature: usize,
}

/// The signatures that need a word, those of one word together.
pub(super) struct ByWord {
    pub(super) signatures: Vec<u32>,
    /// Where those of each word begin, and the end of all.
    pub(super) starts: Vec<u32>,
}

impl Lists {
    /// Takes the literals of the built-in signatures, which these know by their numbers.
    pub(super) fn new(literals: Vec<String>) -> Self {
        Self {
            signatures: Vec::new(),
            literals,
            anchored: Vec::new(),
            always: Vec::new(),
            speaking: Vec::new(),
        }
    }

    pub(super) fn add_own(&mut self, signature: Signature) {
        let number = self.signatures.len();
        // Some literals are there twice: each is found.
        match signature.condition.anchors() {
            Some(anchors) => {
                for anchor in anchors {
                    let word = self.literals.len();
                    self.literals.push(anchor);
                    self.need(word, number);
                }
            }
            None => self.always.push(number),
        }
        for words in signature
            .condition
            .patterns()
            .into_iter()
            .filter_map(Pattern::words)
        {
            self.literals.extend(words);
        }
        self.signatures.push(Known::Read(Arc::new(signature)));
    }

    pub(super) fn add_built_in(&mut self, indexed: Indexed) {
        let number = self.signatures.len();
        match indexed.anchors {
            Some(words) => {
                for word in words {
                    self.need(word as usize, number);
                }
            }
            None if indexed.protocols.is_empty() => self.always.push(number),
            None => {
                for protocol in indexed.protocols {
                    self.speaking.push((protocol, number));
                }
            }
        }
        self.signatures.push(Known::Line {
            line: indexed.line,
            condition: OnceLock::new(),
            signature: Place::default(),
        });
    }

    fn need(&mut self, word: usize, signature: usize) {
        self.anchored.push(Anchored { word, signature });
    }

    /// Sorts the signatures that need a word. There are some thousands of words and signatures.
    pub(super) fn by_word(&mut self) -> ByWord {
        self.anchored.sort_unstable();
        let mut starts = Vec::with_capacity(self.literals.len() + 1);
        for word in 0..=self.literals.len() {
            starts.push(self.anchored.partition_point(|it| it.word < word) as u32);
        }
        let signatures = self.anchored.iter().map(|it| it.signature as u32);
        ByWord {
            signatures: signatures.collect(),
            starts,
        }
    }
}
