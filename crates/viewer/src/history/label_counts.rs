//! How often each label was found.
//!
//! In: the file. Out: for each label that a request had, how many requests with it are kept, and
//! whether it is a kind of the collection. A request counts for each of its labels.

use std::collections::BTreeMap;

use crate::history::Questions;

/// Most sets of labels that are read. A million requests have some thousand.
const MOST_SETS: i64 = 50_000;
/// Most kinds with a label that are read: more than there are labels.
const MOST_KINDS: i64 = 10_000;
/// Counts requests by their set of labels. SQLite reads one index and not the rows, which takes 70
/// ms for a million.
const BY_SET: &str =
    "SELECT found.labels, count(*) FROM request JOIN found ON found.id = request.found
                      GROUP BY request.found LIMIT ?1";
const KINDS: &str = "SELECT name FROM kind WHERE category IS NOT NULL LIMIT ?1";

/// How often a label was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelCount {
    /// Requests that are kept.
    pub(crate) kept: u64,
    /// The collection has a kind of this name, because the label was the first label of a request.
    /// The request may have been deleted since.
    pub(crate) is_kind: bool,
}

/// Counts by the id of the label.
pub(crate) type LabelCounts = BTreeMap<String, LabelCount>;

impl Questions {
    /// Counts the requests that are kept by their labels.
    ///
    /// # Errors
    /// The file cannot be read, or not in time.
    pub(crate) fn label_counts(&self) -> rusqlite::Result<LabelCounts> {
        self.ask(|file| {
            let mut counts = LabelCounts::new();
            let mut sets = file.prepare_cached(BY_SET)?;
            let mut rows = sets.query([MOST_SETS])?;
            while let Some(row) = rows.next()? {
                let (labels, requests): (String, i64) = (row.get(0)?, row.get(1)?);
                for label in labels.split_ascii_whitespace() {
                    let count = counts.entry(label.to_owned()).or_default();
                    count.kept += requests.unsigned_abs();
                }
            }
            let mut kinds = file.prepare_cached(KINDS)?;
            let mut rows = kinds.query([MOST_KINDS])?;
            while let Some(row) = rows.next()? {
                counts.entry(row.get(0)?).or_default().is_kind = true;
            }
            Ok(counts)
        })
    }
}
