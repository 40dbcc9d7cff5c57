//! Decides which signatures are tried on which requests.
//!
//! In: the signatures of a file, and the built-in signatures. Out: lists of signatures. A signature
//! of a list is tried if the request has what the list is for, a word or a protocol.
//!
//! A word is a literal that is cut to 8 bytes. A request to which a signature applies has at least
//! one of the words of the signature.

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
    /// The words that are looked for in requests.
    pub(super) words: Vec<String>,
    needs: Vec<Need>,
    /// Numbers of the signatures that need neither a word nor a protocol.
    pub(super) always: Vec<usize>,
    /// Numbers of the signatures that need a protocol and no word.
    pub(super) by_protocol: Vec<(Protocol, usize)>,
}

/// The number of a word, and the number of a signature that needs it. Sorted by words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    word: usize,
    signature: usize,
}

/// The signatures that need a word, grouped by word.
pub(super) struct ByWord {
    pub(super) signatures: Vec<u32>,
    /// For each word, where its signatures begin; then the length of `signatures`.
    pub(super) starts: Vec<u32>,
}

impl Lists {
    /// Returns lists without signatures. `words` are the words of the built-in signatures, which
    /// refer to them by number.
    pub(super) fn new(words: Vec<String>) -> Self {
        Self {
            signatures: Vec::new(),
            words,
            needs: Vec::new(),
            always: Vec::new(),
            by_protocol: Vec::new(),
        }
    }

    pub(super) fn add_own(&mut self, signature: Signature) {
        let number = self.signatures.len();
        // A word may be in the list twice. Both of its numbers are found.
        match signature.condition.words() {
            Some(words) => {
                for word in words {
                    let word_number = self.words.len();
                    self.words.push(word);
                    self.need(word_number, number);
                }
            }
            None => self.always.push(number),
        }
        // No signature needs these words. `Search` uses them to skip expressions.
        for words in signature
            .condition
            .patterns()
            .into_iter()
            .filter_map(Pattern::words)
        {
            self.words.extend(words);
        }
        self.signatures.push(Known::Parsed(Arc::new(signature)));
    }

    pub(super) fn add_built_in(&mut self, indexed: Indexed) {
        let number = self.signatures.len();
        match indexed.words {
            Some(words) => {
                for word in words {
                    self.need(word as usize, number);
                }
            }
            None if indexed.protocols.is_empty() => self.always.push(number),
            None => {
                for protocol in indexed.protocols {
                    self.by_protocol.push((protocol, number));
                }
            }
        }
        self.signatures.push(Known::Unparsed {
            unread: indexed.signature,
            condition: OnceLock::new(),
            signature: Place::default(),
        });
    }

    fn need(&mut self, word: usize, signature: usize) {
        self.needs.push(Need { word, signature });
    }

    /// Returns the signatures that need a word, grouped by word. There are some thousands of words
    /// and of signatures, so 32 bits are enough for their numbers.
    pub(super) fn by_word(&mut self) -> ByWord {
        self.needs.sort_unstable();
        let mut starts = Vec::with_capacity(self.words.len() + 1);
        for word in 0..=self.words.len() {
            starts.push(self.needs.partition_point(|it| it.word < word) as u32);
        }
        let signatures = self.needs.iter().map(|it| it.signature as u32);
        ByWord {
            signatures: signatures.collect(),
            starts,
        }
    }
}
