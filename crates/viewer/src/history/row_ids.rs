//! A set of ids of rows of one table, in little memory: a million ids that follow each other take
//! half a megabyte.

use std::collections::HashMap;

/// Ids in one word.
const BITS: i64 = u64::BITS as i64;

/// A set of ids, with one bit for each. A word has the bits of 64 ids. Only words with a bit that
/// is set are stored, so ids that are far apart take no more memory than in a set of numbers.
#[derive(Debug, Default)]
pub(super) struct RowIds {
    words: HashMap<i64, u64>,
}

impl RowIds {
    pub(super) fn insert(&mut self, id: i64) {
        let (word, bit) = place(id);
        *self.words.entry(word).or_default() |= bit;
    }

    pub(super) fn contains(&self, id: i64) -> bool {
        let (word, bit) = place(id);
        self.words.get(&word).is_some_and(|bits| bits & bit != 0)
    }

    /// Returns how many ids the set has.
    pub(super) fn len(&self) -> usize {
        let ones = self.words.values().map(|bits| bits.count_ones() as usize);
        ones.sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = i64> {
        self.words.iter().flat_map(|(&word, &bits)| {
            let is_set = move |bit: &i64| bits >> bit & 1 == 1;
            (0..BITS).filter(is_set).map(move |bit| word * BITS + bit)
        })
    }

    /// Keeps the ids that `other` has as well.
    pub(super) fn intersect(&mut self, other: &Self) {
        self.words.retain(|word, bits| {
            *bits &= other.words.get(word).copied().unwrap_or_default();
            *bits != 0
        });
    }

    /// Adds the ids of `other`.
    pub(super) fn unite(&mut self, other: &Self) {
        for (word, bits) in &other.words {
            *self.words.entry(*word).or_default() |= bits;
        }
    }
}

impl FromIterator<i64> for RowIds {
    fn from_iter<T: IntoIterator<Item = i64>>(ids: T) -> Self {
        let mut rows = Self::default();
        ids.into_iter().for_each(|id| rows.insert(id));
        rows
    }
}

/// Returns the word of an id, and its bit in that word.
fn place(id: i64) -> (i64, u64) {
    (id.div_euclid(BITS), 1 << id.rem_euclid(BITS))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_the_set_of_its_numbers() {
        let numbers = [
            0,
            1,
            63,
            64,
            65,
            200,
            -1,
            -64,
            -65,
            i64::MAX,
            i64::MIN,
            1,
            64,
        ];
        let rows: RowIds = numbers.into_iter().collect();
        let set = BTreeSet::from(numbers);
        assert_eq!(rows.iter().collect::<BTreeSet<_>>(), set);
        assert_eq!(rows.len(), set.len());
        for id in -300..300 {
            assert_eq!(rows.contains(id), set.contains(&id), "{id}");
        }
    }

    #[test]
    fn sets_meet_and_join() {
        let of = |ids: &[i64]| ids.iter().copied().collect::<RowIds>();
        let mut rows = of(&[1, 2, 100, 1000]);
        rows.intersect(&of(&[2, 3, 1000, 5000]));
        assert_eq!(rows.len(), 2);
        assert!(rows.contains(2) && rows.contains(1000) && !rows.contains(3));
        rows.unite(&of(&[2, 3, 5000]));
        let all: BTreeSet<i64> = rows.iter().collect();
        assert_eq!((rows.len(), all), (4, BTreeSet::from([2, 3, 1000, 5000])));
    }

    #[test]
    fn a_million_rows_that_follow_each_other_take_few_words() {
        let rows: RowIds = (1..=1_000_000).collect();
        assert_eq!((rows.len(), rows.words.len()), (1_000_000, 15_626));
    }
}
