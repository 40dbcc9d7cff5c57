//! The words of all signatures, looked for in a request all at once.
//!
//! In: the words, then the texts of a request. Out: which of the words are there. What needs a word that is not there
//! need not be tried: a signature, or an expression of one.
//!
//! A word has at most eight bytes, so that it is a number, and a table of numbers tells whether one is a word. At each
//! byte of a text, the three bytes that begin there say which lengths are to be tried; mostly none is. With an
//! automaton of the same words the program took 9 ms to begin, and takes 3.

/// Longest word; of a longer one, so much is looked for.
const MAX_WORD_BYTES: usize = 8;
/// Bytes that tell which lengths are tried.
const BEGINNING_BYTES: usize = 3;
/// Beginnings are told apart by so many bits of a hash: 32 kB, which stay in the processor's cache.
const BEGINNING_BITS: u32 = 15;

/// Finds words.
pub(crate) struct Words {
    /// For each beginning, by its hash, the lengths of the words that begin so: a bit for each, from the lowest.
    lengths: Box<[u8]>,
    /// The same for words that are shorter than a beginning, by their first byte.
    short: Box<[u8; 256]>,
    /// The words, each at its hash or in the next free place. At least a quarter is free.
    table: Box<[Option<Word>]>,
    /// The table's length is two to the power of this.
    bits: u32,
    count: usize,
}

/// A word, and its number.
#[derive(Clone, Copy)]
struct Word {
    bytes: u64,
    length: u8,
    number: u32,
}

/// Numbers of which some are there, a bit for each.
#[derive(Clone, Debug)]
pub(crate) struct Numbers(Box<[u64]>);

impl Words {
    /// Takes words in lower case, whose numbers are their places. One that is there twice has two.
    pub(crate) fn new<T: AsRef<[u8]>>(words: &[T]) -> Self {
        let bits = (words.len() * 4 / 3 + 2).next_power_of_two().ilog2();
        let mut all = Self {
            lengths: vec![0; 1 << BEGINNING_BITS].into(),
            short: Box::new([0; 256]),
            table: vec![None; 1 << bits].into(),
            bits,
            count: words.len(),
        };
        for (word, number) in words.iter().zip(0..) {
            let word = word.as_ref();
            all.add(&word[..word.len().min(MAX_WORD_BYTES)], number);
        }
        all
    }

    fn add(&mut self, word: &[u8], number: u32) {
        let Some(bit) = word.len().checked_sub(1).map(|bit| 1 << bit) else {
            return;
        };
        let bytes = first_bytes(word);
        if word.len() < BEGINNING_BYTES {
            self.short[usize::from(word[0])] |= bit;
        } else {
            self.lengths[beginning(bytes)] |= bit;
        }
        let mut place = self.place(bytes, word.len());
        while self.table[place].is_some() {
            place = self.next(place);
        }
        self.table[place] = Some(Word {
            bytes,
            length: word.len() as u8,
            number,
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds the words that are in a text.
    pub(crate) fn look(&self, text: &[u8], seen: &mut Numbers) {
        for (at, &first) in text.iter().enumerate() {
            let rest = &text[at..];
            let bytes = first_bytes(rest);
            let mut lengths = self.short[usize::from(first)] | self.lengths[beginning(bytes)];
            while lengths != 0 {
                let length = lengths.trailing_zeros() as usize + 1;
                lengths &= lengths - 1;
                if length <= rest.len() {
                    self.find(cut(bytes, length), length, |number| {
                        seen.add(number as usize);
                    });
                }
            }
        }
    }

    /// Returns the number of a word; `None` where nobody looks for it.
    pub(crate) fn number(&self, word: &str) -> Option<u32> {
        let mut found = None;
        if word.len() <= MAX_WORD_BYTES {
            let bytes = first_bytes(word.as_bytes());
            self.find(bytes, word.len(), |number| found = Some(number));
        }
        found
    }

    /// Calls `found` with the numbers of a word.
    fn find(&self, bytes: u64, length: usize, mut found: impl FnMut(u32)) {
        let mut place = self.place(bytes, length);
        while let Some(word) = &self.table[place] {
            if word.bytes == bytes && usize::from(word.length) == length {
                found(word.number);
            }
            place = self.next(place);
        }
    }

    /// Where a word is, or behind there.
    fn place(&self, bytes: u64, length: usize) -> usize {
        hash(bytes ^ length as u64, self.bits)
    }

    fn next(&self, place: usize) -> usize {
        (place + 1) & (self.table.len() - 1)
    }
}

/// The first eight bytes, the first one lowest; 0 for those behind the end.
fn first_bytes(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => {
            let mut eight = [0; MAX_WORD_BYTES];
            eight[..text.len()].copy_from_slice(text);
            u64::from_le_bytes(eight)
        }
    }
}

/// The first of these bytes.
fn cut(bytes: u64, length: usize) -> u64 {
    bytes & u64::MAX >> (8 * (MAX_WORD_BYTES - length))
}

fn beginning(bytes: u64) -> usize {
    hash(cut(bytes, BEGINNING_BYTES), BEGINNING_BITS)
}

/// Multiplies by 2^64 divided by the golden ratio: D. E. Knuth, "The Art of Computer Programming" 3, 6.4. The upper bits
/// of the product are of all bytes.
fn hash(bytes: u64, bits: u32) -> usize {
    (bytes.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - bits)) as usize
}

impl Numbers {
    /// None of the numbers below this.
    pub(crate) fn none(below: usize) -> Self {
        Self(vec![0; below.div_ceil(64)].into())
    }

    /// Some of the numbers below this.
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

    /// Those that are there, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(place, &word)| {
            let first = Some(word).filter(|&word| word != 0);
            let rest =
                std::iter::successors(first, |word| Some(word & (word - 1)).filter(|&it| it != 0));
            rest.map(move |word| place * 64 + word.trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_within_words() {
        let words = Words::new(&["passwd", "etc/pass", "sw", "none"]);
        let mut seen = Numbers::none(words.len());
        words.look(b"/etc/passwd", &mut seen);
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
            let mut seen = Numbers::none(words.len());
            words.look(text, &mut seen);
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
        let mut numbers = Numbers::none(200);
        for number in [199, 0, 64, 63, 1, 199] {
            numbers.add(number);
        }
        assert_eq!(numbers.iter().collect::<Vec<_>>(), [0, 1, 63, 64, 199]);
    }
}
