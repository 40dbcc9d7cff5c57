//! One label: a signature that applies, and the bytes that show it.
//!
//! In: the labels of a request. Out: their order, and which of them come first.

use std::ops::Range;
use std::sync::Arc;

use crate::quotation::Quotation;
use crate::signature::{Category, Confidence, Signature};

/// One signature that applies to a request.
#[derive(Clone, Debug)]
pub struct Label {
    /// The signature that applies.
    pub signature: Arc<Signature>,
    /// Ranges of the raw bytes, in order and without overlap. Empty if the label is based on the
    /// source's network, or on a request for `/` and nothing else.
    pub evidence: Vec<Range<usize>>,
    /// The steps of the decoded part in which the label was found, on one line of text. The
    /// evidence is then the bytes from which the part was decoded. `None` if the label was found in
    /// the bytes as sent.
    pub found_in: Option<String>,
    /// True if the first label with a CVE is for another product, and this label fits the same
    /// bytes.
    pub also_fits: bool,
}

impl Label {
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        for mine in &self.evidence {
            for theirs in &other.evidence {
                if mine.start < theirs.end && theirs.start < mine.end {
                    return true;
                }
            }
        }
        false
    }

    /// Tells whether the label is an attack that is only in what the request quotes.
    pub(super) fn is_quoted(&self, quotation: &Quotation) -> bool {
        let signature = &self.signature;
        let is_attack = matches!(
            signature.category,
            Category::Exploit | Category::Webshell | Category::Secrets
        );
        let is_certain_cve =
            !signature.cve.is_empty() && signature.confidence == Confidence::Certain;
        is_attack && quotation.holds(&self.evidence, is_certain_cve)
    }

    /// Tells whether the label names a CVE and is not a kind of attack.
    fn names_cve(&self) -> bool {
        !self.signature.generic && !self.signature.cve.is_empty()
    }

    /// Returns the key by which labels are sorted: the heavier category first, one weakness before
    /// a kind of attack, the surer before the guess.
    fn rank(&self) -> impl Ord + use<> {
        let signature = &self.signature;
        (
            signature.category,
            signature.generic,
            signature.confidence,
            signature.cve.is_empty(),
        )
    }
}

/// Sorts labels, the most specific first. If two weigh the same, the one whose signature is read
/// first comes first.
pub(super) fn in_order(mut labels: Vec<(usize, Label)>) -> Vec<Label> {
    labels.sort_by_key(|(index, label)| (label.rank(), *index));
    labels.into_iter().map(|(_, label)| label).collect()
}

/// Marks CVEs of other products that fit the same bytes, and moves them to the end of their
/// category. A request is for one product, and a person reads the first label.
pub(super) fn one_product_leads(labels: &mut [Label]) {
    let Some(first) = labels.iter().find(|label| label.names_cve()).cloned() else {
        return;
    };
    for label in &mut *labels {
        let is_other = label.signature.product != first.signature.product;
        label.also_fits = is_other && label.names_cve() && label.overlaps(&first);
    }
    labels.sort_by_key(|label| (label.signature.category, label.also_fits));
}

/// Joins ranges that touch or overlap, and returns all of them in order.
#[must_use]
pub fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}
