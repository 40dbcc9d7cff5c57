//! What the signatures say now about the labels that give kinds their names.
//!
//! In: all signatures, read once. Out: what lists of kinds show of a label, by its id.

use std::collections::HashMap;
use std::sync::Arc;

use forever200_identify::{Category, Labeller, Signature};

/// What lists show of each label, by id. Each takes some hundred bytes.
#[derive(Debug)]
pub(crate) struct KnownLabels(HashMap<Box<str>, KnownLabel>);

/// What lists show of a label.
#[derive(Debug)]
pub(crate) struct KnownLabel {
    /// The index of its signature in the labeller.
    index: usize,
    pub(crate) title: Box<str>,
    pub(crate) category: Category,
    pub(crate) also: Box<[Category]>,
    pub(crate) product: Option<Box<str>>,
    pub(crate) cve: Box<[Box<str>]>,
    /// The year in which the weakness became known.
    pub(crate) year: Option<u16>,
    /// In how many published logs it is.
    pub(crate) usual: Option<u8>,
}

impl KnownLabels {
    /// Reads all signatures, which takes some ten milliseconds.
    pub(crate) fn new(labeller: &Labeller) -> Self {
        let signatures = labeller.signatures().enumerate();
        let known =
            signatures.map(|(index, it)| (it.id.as_str().into(), KnownLabel::new(index, &it)));
        Self(known.collect())
    }

    /// Returns what lists show of a label; `None` if there is no such label any more.
    pub(crate) fn find(&self, id: &str) -> Option<&KnownLabel> {
        self.0.get(id)
    }
}

impl KnownLabel {
    fn new(index: usize, signature: &Signature) -> Self {
        let cve: Vec<Box<str>> = signature
            .cve
            .iter()
            .map(|cve| cve.as_str().into())
            .collect();
        Self {
            index,
            title: signature.title.as_str().into(),
            category: signature.category,
            also: signature.also.as_slice().into(),
            product: signature.product.as_deref().map(Into::into),
            year: signature
                .year
                .or_else(|| cve.first().and_then(|cve| year_of(cve))),
            cve: cve.into(),
            usual: signature.usual,
        }
    }

    /// Reads the whole signature.
    pub(crate) fn signature(&self, labeller: &Labeller) -> Option<Arc<Signature>> {
        labeller.signature(self.index)
    }

    /// Returns all categories, the main one first.
    pub(crate) fn categories(&self) -> impl Iterator<Item = Category> {
        std::iter::once(self.category).chain(self.also.iter().copied())
    }
}

/// Returns the year in a CVE number.
fn year_of(cve: &str) -> Option<u16> {
    cve.split('-').nth(1)?.parse().ok()
}
