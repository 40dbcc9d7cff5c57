//! Which three bytes in a row payloads contain: for a text that hardly any payload contains, a
//! search need not read them all.
//!
//! In: the payloads of a block of 256 ids. Out: one Bloom filter of their trigrams, and for texts
//! the ids of payloads that may contain them. A block without a filter is read.

use std::ops::{ControlFlow, RangeInclusive};

use forever200_decode::lower;
use memchr::memmem::Finder;
use rusqlite::{Connection, params};

/// Number of ids in one block. The id of a filter is the id of a payload divided by this, without
/// the remainder. docs/history.sql has this number as well.
const IDS: i64 = 256;
/// Filters that are made in one transaction, at most: 1 ms each for payloads of 400 bytes.
const MOST_AT_ONCE: usize = 4;
/// Blocks that are looked at in one transaction, at most.
const MOST_LOOKED_AT: usize = 256;
/// Bits of the largest filter (64 KiB), and of the smallest, as powers of two.
const MOST_BITS_LOG2: u32 = 19;
const LEAST_BITS_LOG2: u32 = 10;
/// A filter is halved only if at most 1 bit in 4 is set afterwards.
const SPARSE: usize = 4;
/// A filter in which more than 1 bit in 2 is set is stored empty, which rules out nothing.
const CROWDED: usize = 2;
/// A filter that takes more than a quarter of the bytes of its payloads is stored empty: noise has
/// more trigrams than any text.
const COSTLY: usize = 4;

/// Adds filters that are missing, of blocks that are full. The first such block is `next` or a
/// later one; afterwards `next` is where to go on.
///
/// # Errors
/// The disk refuses, or somebody has the file locked.
pub(super) fn add_missing(to: &Connection, next: &mut i64) -> rusqlite::Result<()> {
    let mut newest = to.prepare_cached("SELECT coalesce(max(id), 0) FROM payload")?;
    let newest: i64 = newest.query_row([], |row| row.get(0))?;
    let mut is_there = to.prepare_cached("SELECT 1 FROM trigrams WHERE id = ?1")?;
    let mut insert = to.prepare_cached("INSERT INTO trigrams (id, bits) VALUES (?1, ?2)")?;
    let mut made = 0;
    for _ in 0..MOST_LOOKED_AT {
        let block = *next;
        if block >= newest / IDS || made == MOST_AT_ONCE {
            break;
        }
        *next += 1;
        if is_there.exists([block])? {
            continue;
        }
        made += 1;
        if let Some(filter) = Filter::of_block(to, block)? {
            insert.execute(params![block, filter.into_bytes()])?;
        }
    }
    Ok(())
}

/// Visits ranges of ids, the newest first, until `visit` breaks off. Together they have all
/// payloads that may contain one text of each list. The texts are in lower case. For each filter
/// there is a range, which may be empty, so that a visit can watch the time while filters are read.
///
/// # Errors
/// The file cannot be read, or not in time, or a visit fails.
pub(super) fn visit_candidates(
    file: &Connection,
    texts: &[Vec<Finder<'static>>],
    mut visit: impl FnMut(RangeInclusive<i64>) -> rusqlite::Result<ControlFlow<()>>,
) -> rusqlite::Result<ControlFlow<()>> {
    let mut highest = i64::MAX;
    let is_narrowing = |list: &Vec<Finder<'_>>| list.iter().all(|text| text.needle().len() >= 3);
    if texts.iter().any(is_narrowing) {
        let mut filters = file.prepare_cached("SELECT id, bits FROM trigrams ORDER BY id DESC")?;
        let mut rows = filters.query([])?;
        while let Some(row) = rows.next()? {
            let bits = row.get_ref(1)?.as_blob()?;
            let contains = |text: &Finder<'_>| may_have(bits, text.needle());
            let is_candidate = texts.iter().all(|list| list.iter().any(contains));
            let first = row.get::<_, i64>(0)?.saturating_mul(IDS);
            let lowest = if is_candidate {
                first
            } else {
                first.saturating_add(IDS)
            };
            if visit(lowest..=highest)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            highest = first.saturating_sub(1);
        }
    }
    visit(i64::MIN..=highest)
}

/// Tells whether a filter has all trigrams of a text. An empty filter, and one of a size that is no
/// filter's, has all.
fn may_have(bits: &[u8], text: &[u8]) -> bool {
    let count = bits.len() * 8;
    if !count.is_power_of_two() {
        return true;
    }
    text.array_windows().all(|trigram| {
        let bit = hash(*trigram) & (count - 1);
        bits[bit / 8] & (1 << (bit % 8)) != 0
    })
}

/// A Bloom filter with one hash function: a bit is set where one of the trigrams has its number.
/// The number of bits is a power of two. The number of a trigram in a smaller filter is the
/// remainder when its number in a larger filter is divided by the number of bits of the smaller
/// one.
struct Filter {
    bytes: Vec<u8>,
    /// How many bits are set.
    ones: usize,
    /// Length of the payloads.
    payload_bytes: usize,
}

impl Filter {
    /// Returns the filter of a block; `None` where it has no payload.
    fn of_block(file: &Connection, block: i64) -> rusqlite::Result<Option<Self>> {
        let mut payloads =
            file.prepare_cached("SELECT bytes FROM payload WHERE id BETWEEN ?1 AND ?2")?;
        let first = block * IDS;
        let mut rows = payloads.query([first, first + IDS - 1])?;
        let mut filter = None;
        let mut lower = Vec::new();
        while let Some(row) = rows.next()? {
            let filter = filter.get_or_insert_with(Self::largest);
            lower.clear();
            lower::push(&mut lower, row.get_ref(0)?.as_blob()?);
            filter.add(&lower);
            if filter.is_crowded() {
                filter.bytes.clear();
                break;
            }
        }
        Ok(filter)
    }

    fn largest() -> Self {
        Self {
            bytes: vec![0; 1 << (MOST_BITS_LOG2 - 3)],
            ones: 0,
            payload_bytes: 0,
        }
    }

    fn add(&mut self, lower: &[u8]) {
        self.payload_bytes += lower.len();
        let mask = self.bytes.len() * 8 - 1;
        for trigram in lower.array_windows() {
            let bit = hash(*trigram) & mask;
            let byte = &mut self.bytes[bit / 8];
            let is_set = *byte & (1 << (bit % 8)) != 0;
            if !is_set {
                *byte |= 1 << (bit % 8);
                self.ones += 1;
            }
        }
    }

    fn is_crowded(&self) -> bool {
        self.ones * CROWDED > self.bytes.len() * 8
    }

    /// Returns the bits, of the smallest filter that is sparse; none if it would be costly.
    fn into_bytes(mut self) -> Vec<u8> {
        while self.bytes.len() * 8 > 1 << LEAST_BITS_LOG2 {
            let (low, high) = self.bytes.split_at(self.bytes.len() / 2);
            let half: Vec<u8> = low.iter().zip(high).map(|(low, high)| low | high).collect();
            if ones(&half) * SPARSE > half.len() * 8 {
                break;
            }
            self.bytes = half;
        }
        if self.bytes.len() * COSTLY > self.payload_bytes {
            self.bytes.clear();
        }
        self.bytes
    }
}

fn ones(bytes: &[u8]) -> usize {
    bytes.iter().map(|byte| byte.count_ones() as usize).sum()
}

/// Returns the number of a trigram in the largest filter. Knuth's multiplicative hash: The Art of
/// Computer Programming, volume 3, 6.4.
fn hash([first, second, third]: [u8; 3]) -> usize {
    let trigram = u32::from_be_bytes([0, first, second, third]);
    (trigram.wrapping_mul(0x9e37_79b1) >> (u32::BITS - MOST_BITS_LOG2)) as usize
}

#[cfg(test)]
mod tests;
