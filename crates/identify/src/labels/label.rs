//! One label: a signature that applies, and the bytes that say so.
//!
//! In: the labels of a request. Out: their order, and which of them lead.

use std::ops::Range;
use std::sync::Arc;

use crate::quotation::Quotation;
use crate::signature::{Category, Confidence, Signature};

/// One signature that applies to a request.
#[derive(Clone, Debug)]
pub struct Label {
    /// What it says.
    pub signature: Arc<Signature>,
    /// Ranges of the raw bytes, in order and apart; empty when the source's network is what says
    /// so, or that there is nothing but a request for `/`.
    pub evidence: Vec<Range<usize>>,
    /// What it was found in, where it is in no bytes as they came: the steps of a decoded part, on
    /// one line of text. The evidence is then what the part was decoded from.
    pub found_in: Option<String>,
    /// The label that leads names a weakness of another product, and this one fits the same bytes.
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

    /// It is an attack by what the request quotes alone.
    pub(super) fn is_quoted(&self, quotation: &Quotation) -> bool {
        let signature = &self.signature;
        let is_attack = matches!(
            signature.category,
            Category::Exploit | Category::Webshell | Category::Secrets
        );
        let is_exploit = !signature.cve.is_empty() && signature.confidence == Confidence::Certain;
        is_attack && quotation.holds(&self.evidence, is_exploit)
    }

    /// It is one weakness, not a kind of attack.
    fn names_cve(&self) -> bool {
        !self.signature.generic && !self.signature.cve.is_empty()
    }

    /// One weakness before a kind of attack, the heavier before the lighter, the surer before the
    /// guess.
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

/// The most specific first; of two that weigh the same, the one that is read first.
pub(super) fn in_order(mut labels: Vec<(usize, Label)>) -> Vec<Label> {
    labels.sort_by_key(|(index, label)| (label.rank(), *index));
    labels.into_iter().map(|(_, label)| label).collect()
}

/// Marks CVEs of other products that fit the same bytes, and puts them behind the rest of their
/// category: a request is for one product, and a reader looks at the first.
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
