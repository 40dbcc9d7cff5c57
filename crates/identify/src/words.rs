//! Finds the words of all signatures in a request in one pass.
//!
//! In: the words, then the texts of a request. Out: which of the words are there. A signature, or
//! an expression of one, that needs a word is not tried if the word is not there.

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// An automaton that finds words.
pub(crate) struct Words(AhoCorasick);

/// A set of small numbers, one bit for each.
#[derive(Clone, Debug)]
pub(crate) struct BitSet(Box<[u64]>);

impl Words {
    /// Takes words in lower case, none of them empty. The number of a word is its place in the
    /// list; a word that is there twice has two numbers.
    pub(crate) fn new<T: AsRef<[u8]>>(words: &[T]) -> Self {
        let mut finder = AhoCorasick::builder();
        // Only the first state has a table with one item for each byte. Compared with such tables
        // for the next states too, this takes a quarter of the memory and a twentieth more time.
        let finder = finder
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .dense_depth(1);
        // Words have few bytes, so the automaton stays far below its limits.
        Self(finder.build(words).expect("fewer than 2^31 words"))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.patterns_len()
    }

    /// Adds the numbers of the words that are in a text.
    pub(crate) fn find(&self, text: &[u8], seen: &mut BitSet) {
        for found in self.0.find_overlapping_iter(text) {
            seen.add(found.pattern().as_usize());
        }
    }

    /// Returns the number of a word; `None` if it is not among the words.
    pub(crate) fn number(&self, word: &str) -> Option<u32> {
        let mut found = self.0.find_overlapping_iter(word);
        let whole = found.find(|found| found.len() == word.len())?;
        Some(whole.pattern().as_u32())
    }
}

impl BitSet {
    /// Returns an empty set for numbers below `below`.
    pub(crate) fn none(below: usize) -> Self {
        Self(vec![0; below.div_ceil(64)].into())
    }

    /// Returns a set of these numbers, all below `below`.
    pub(crate) fn of(numbers: impl IntoIterator<Item = usize>, below: usize) -> Self {
        let mut all = Self::none(below);
        numbers.into_iter().for_each(|number| all.add(number));
        all
    }

    pub(crate) fn add(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    pub(crate) fn has(&self, number: usize) -> bool {
        let word = self.0.get(number / 64);
        word.is_some_and(|word| word & 1 << (number % 64) != 0)
    }

    /// Returns the numbers of the set, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(place, &word)| {
            let mut left = word;
            std::iter::from_fn(move || {
                if left == 0 {
                    return None;
                }
                let bit = left.trailing_zeros() as usize;
                left &= left - 1;
                Some(place * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_within_words() {
        let words = Words::new(&["passwd", "etc/pass", "sw", "none"]);
        let mut seen = BitSet::none(words.len());
        words.find(b"/etc/passwd", &mut seen);
        assert_eq!(seen.iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert!(seen.has(2) && !seen.has(3) && !seen.has(1000));
        assert_eq!(words.number("sw"), Some(2));
        assert_eq!(words.number("swd"), None);
    }

    #[test]
    fn every_word_is_found_wherever_it_is() {
        let list = [
            "a", "\0", "ab", "abc", "abcd", "bcdefghi", "cdefghij", "x\0", "abc", "hi", "zzz",
        ];
        let words = Words::new(&list);
        let text = b"x\0abcdefghijk\0hi";
        for (start, end) in
            (0..text.len()).flat_map(|start| (start..=text.len()).map(move |end| (start, end)))
        {
            let text = &text[start..end];
            let mut seen = BitSet::none(words.len());
            words.find(text, &mut seen);
            for (number, word) in list.iter().enumerate() {
                let is_there = text
                    .windows(word.len())
                    .any(|place| place == word.as_bytes());
                assert_eq!(
                    seen.has(number),
                    is_there,
                    "{word:?} in {}",
                    text.escape_ascii()
                );
            }
        }
        assert_eq!(words.number("abcd"), Some(4));
        assert!(words.number("abcdefghi").is_none() && words.number("").is_none());
    }

    #[test]
    fn numbers_are_listed_in_order() {
        let mut numbers = BitSet::none(200);
        for number in [199, 0, 64, 63, 1, 199] {
            numbers.add(number);
        }
        assert_eq!(numbers.iter().collect::<Vec<_>>(), [0, 1, 63, 64, 199]);
    }
}
