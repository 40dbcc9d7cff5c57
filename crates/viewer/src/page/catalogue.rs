//! What can be recognised, laid out for the page that lists it.
//!
//! In: signatures and the ring. Out: those that are in the ring, or that a visitor looks for, with
//! counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use forever200_identify::{Category, Signature};
use serde::{Deserialize, Serialize};

use crate::reader::View;

/// More than so many are listed by name alone: all of them, in full, take more than a megabyte.
const MAX_CARDS: usize = 60;

/// What a visitor looks for; nothing, for what is in the ring.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct CatalogueQuery {
    /// Text in the title, the id, the product, a CVE number or the explanation, in any case.
    pub q: String,
    /// The name of a category.
    pub category: String,
    /// The id of a signature.
    pub label: String,
}

/// The page's content.
#[derive(Debug, Serialize)]
pub struct Catalogue {
    /// In full.
    cards: Vec<Known>,
    /// By name.
    names: Vec<Known>,
}

#[derive(Debug, Serialize)]
struct Known {
    id: String,
    title: String,
    category: Category,
    product: Option<String>,
    cve: Vec<String>,
    year: Option<u16>,
    explanation: String,
    references: Vec<String>,
    /// How often it is in the ring.
    count: usize,
}

impl CatalogueQuery {
    /// Tells whether nothing is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.q.is_empty() && self.category.is_empty() && self.label.is_empty()
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

/// Tells whether a text of a signature contains one in lower case.
fn has_text(signature: &Signature, wanted: &str) -> bool {
    let always = [&signature.title, &signature.id, &signature.explanation];
    let mut texts = always
        .into_iter()
        .chain(&signature.product)
        .chain(&signature.cve);
    texts.any(|text| text.to_lowercase().contains(wanted))
}

impl Catalogue {
    /// Lays out what is in the ring, the rarest first.
    #[must_use]
    pub fn of_ring(view: &View) -> Self {
        let mut seen: Vec<_> = in_ring(view).into_values().collect();
        seen.sort_by_cached_key(|it| (it.count, it.title.to_lowercase()));
        let names = seen.split_off(seen.len().min(MAX_CARDS));
        Self { cards: seen, names }
    }

    /// Lays out what a visitor looks for, by title.
    #[must_use]
    pub fn of_query(
        signatures: impl Iterator<Item = Arc<Signature>>,
        query: &CatalogueQuery,
        view: &View,
    ) -> Self {
        let mut in_ring = in_ring(view);
        let mut found = Vec::new();
        for signature in signatures.filter(|it| query.is_met_by(it)) {
            let known = in_ring.remove(signature.id.as_str());
            found.push(known.unwrap_or_else(|| Known::new(&signature, 0)));
        }
        found.sort_by_cached_key(|it| it.title.to_lowercase());
        let (cards, names) = if found.len() <= MAX_CARDS {
            (found, Vec::new())
        } else {
            (Vec::new(), found)
        };
        Self { cards, names }
    }
}

impl Known {
    fn new(signature: &Signature, count: usize) -> Self {
        Self {
            id: signature.id.clone(),
            title: signature.title.clone(),
            category: signature.category,
            product: signature.product.clone(),
            cve: signature.cve.clone(),
            year: signature.year,
            explanation: signature.explanation.clone(),
            references: signature.references.clone(),
            count,
        }
    }
}

/// Counts what is in the ring, by id.
fn in_ring(view: &View) -> BTreeMap<&str, Known> {
    let mut seen: BTreeMap<&str, Known> = BTreeMap::new();
    for label in view.entries.iter().flat_map(|entry| &entry.labels) {
        let signature = &label.signature;
        let known = seen.entry(&signature.id);
        let known = known.or_insert_with(|| Known::new(signature, 0));
        known.count += 1;
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
