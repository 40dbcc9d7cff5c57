//! The labels that can be recognised, laid out for the page that lists them.
//!
//! In: signatures, the ring, and the counts of the history. Out: the labels that are in the ring,
//! or that meet a query, with counts.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use forever200_identify::{Category, Signature};
use serde::{Deserialize, Serialize};

use crate::history::label_counts::LabelCounts;
use crate::reader::View;

/// Most labels that are shown in full. Others are listed by name only, because all labels in full
/// take more than a megabyte.
const MAX_CARDS: usize = 60;
/// The name of the order in which the label that was seen the most comes first.
const SEEN: &str = "seen";

/// The query of the page. If it is empty, the page shows the labels in the ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct CatalogueQuery {
    /// Text in the title, the id, the product, a CVE number or the explanation, in upper or lower
    /// case.
    pub q: String,
    /// The name of a category.
    pub category: String,
    /// The id of a signature.
    pub label: String,
    /// `seen`: the label that was seen the most comes first; else the order is by title.
    pub sort: String,
}

/// The page's content.
#[derive(Debug, Serialize)]
pub struct Catalogue {
    /// Labels that are shown in full.
    cards: Vec<LabelRow>,
    /// Labels that are listed by name.
    names: Vec<LabelRow>,
    /// How many of these labels were seen.
    seen: usize,
}

/// A label on the page.
#[derive(Debug, Serialize)]
struct LabelRow {
    id: String,
    title: String,
    category: Category,
    product: Option<String>,
    cve: Vec<String>,
    year: Option<u16>,
    explanation: String,
    references: Vec<String>,
    /// How many requests in the ring have the label.
    count: usize,
    /// The number of the newest of these requests.
    newest: u64,
    /// How many requests in the history have the label.
    kept: u64,
    /// The label is a kind of the collection.
    is_kind: bool,
}

impl CatalogueQuery {
    /// Refuses an unknown order.
    ///
    /// # Errors
    /// The error is a sentence for the visitor.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.sort.is_empty() || self.sort == SEEN {
            Ok(())
        } else {
            Err("sort: expected seen, or nothing".to_owned())
        }
    }

    /// Tells whether the query is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    fn is_met_by(&self, signature: &Signature) -> bool {
        if !self.label.is_empty() && signature.id != self.label {
            return false;
        }
        let mut categories = signature.categories();
        if !self.category.is_empty() && !categories.any(|it| it.name() == self.category) {
            return false;
        }
        has_text(signature, &self.q.trim().to_lowercase())
    }
}

/// Tells whether a text of a signature contains `wanted`, which is in lower case.
fn has_text(signature: &Signature, wanted: &str) -> bool {
    let always = [&signature.title, &signature.id, &signature.explanation];
    let mut texts = always
        .into_iter()
        .chain(&signature.product)
        .chain(&signature.cve);
    texts.any(|text| text.to_lowercase().contains(wanted))
}

impl Catalogue {
    /// Lays out the labels in the ring: the rarest first and, among equally rare ones, the newest.
    #[must_use]
    pub(crate) fn of_ring(view: &View, counts: &LabelCounts) -> Self {
        let mut seen: Vec<_> = in_ring(view).into_values().collect();
        seen.sort_by_cached_key(|it| (it.count, Reverse(it.newest), it.title.to_lowercase()));
        for row in &mut seen {
            row.add_counts(counts);
        }
        let names = seen.split_off(seen.len().min(MAX_CARDS));
        Self {
            seen: seen.len() + names.len(),
            cards: seen,
            names,
        }
    }

    /// Lays out the labels that meet a query.
    #[must_use]
    pub(crate) fn of_query(
        signatures: impl Iterator<Item = Arc<Signature>>,
        query: &CatalogueQuery,
        view: &View,
        counts: &LabelCounts,
    ) -> Self {
        let mut in_ring = in_ring(view);
        let mut found = Vec::new();
        for signature in signatures.filter(|it| query.is_met_by(it)) {
            let row = in_ring.remove(signature.id.as_str());
            let mut row = row.unwrap_or_else(|| LabelRow::new(&signature));
            row.add_counts(counts);
            found.push(row);
        }
        let seen = found.iter().filter(|it| it.was_seen()).count();
        let by_seen = query.sort == SEEN;
        found.sort_by_cached_key(|it| {
            let most_seen = by_seen.then(|| Reverse(it.seen()));
            (most_seen, it.title.to_lowercase())
        });
        let (cards, names) = if found.len() <= MAX_CARDS {
            (found, Vec::new())
        } else {
            (Vec::new(), found)
        };
        Self { cards, names, seen }
    }
}

impl LabelRow {
    fn new(signature: &Signature) -> Self {
        Self {
            id: signature.id.clone(),
            title: signature.title.clone(),
            category: signature.category,
            product: signature.product.clone(),
            cve: signature.cve.clone(),
            year: signature.year,
            explanation: signature.explanation.clone(),
            references: signature.references.clone(),
            count: 0,
            newest: 0,
            kept: 0,
            is_kind: false,
        }
    }

    fn add_counts(&mut self, counts: &LabelCounts) {
        let count = counts.get(&self.id).copied().unwrap_or_default();
        self.kept = count.kept;
        self.is_kind = count.is_kind;
    }

    /// Returns how often a label was seen, in the history or in the ring, and whether it is a kind.
    /// Without a history only the ring counts, and new requests are not in the history yet. A label
    /// that is only a kind was seen as well.
    fn seen(&self) -> (u64, bool) {
        (self.kept.max(self.count as u64), self.is_kind)
    }

    /// Tells whether a label was seen at all.
    fn was_seen(&self) -> bool {
        self.seen() > (0, false)
    }
}

/// Counts the labels in the ring, by id.
fn in_ring(view: &View) -> BTreeMap<&str, LabelRow> {
    let mut seen: BTreeMap<&str, LabelRow> = BTreeMap::new();
    for entry in &view.entries {
        for label in &entry.labels {
            let signature = &label.signature;
            let row = seen.entry(&signature.id);
            let row = row.or_insert_with(|| LabelRow::new(signature));
            row.count += 1;
            row.newest = row.newest.max(entry.record.seq);
        }
    }
    seen
}

/// Returns the number of signatures of each category.
#[must_use]
pub fn sizes(signatures: impl Iterator<Item = Arc<Signature>>) -> Vec<(Category, usize)> {
    let mut sizes: BTreeMap<_, usize> = BTreeMap::new();
    for signature in signatures {
        for category in signature.categories() {
            *sizes.entry(category).or_default() += 1;
        }
    }
    sizes.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use forever200_ring::Record;

    use super::*;
    use crate::reader::entry::tests::{entry, record};

    #[test]
    fn of_labels_that_are_equally_rare_the_newest_comes_first() {
        let requests: [&[u8]; 4] = [
            b"GET /.env HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /wp-login.php HTTP/1.1\r\nHost: x\r\n\r\n",
            b"SSH-2.0-x\r\n",
            b"SSH-2.0-x\r\n",
        ];
        let mut entries = Vec::new();
        for (seq, raw) in (1..).zip(requests) {
            let record = Record { seq, ..record(raw) };
            entries.insert(0, Arc::new(entry(record)));
        }
        let first = |seq: u64| {
            let of_seq = entries.iter().find(|it| it.record.seq == seq).unwrap();
            of_seq.labels[0].signature.id.clone()
        };
        let (dotenv, login, ssh) = (first(1), first(2), first(4));
        let view = View {
            entries,
            ..View::nothing()
        };
        let catalogue = Catalogue::of_ring(&view, &LabelCounts::new());
        let ids: Vec<_> = catalogue.cards.iter().map(|it| it.id.clone()).collect();
        let at = |id: &str| ids.iter().position(|it| it == id).unwrap();
        // By title, it would be the other way round.
        assert!(at(&login) < at(&dotenv), "{ids:?}");
        assert!(at(&dotenv) < at(&ssh), "{ids:?}");
    }
}
