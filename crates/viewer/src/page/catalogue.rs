//! What can be recognised, laid out for the page that lists it.
//!
//! In: all signatures and the ring. Out: groups by category, with counts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use forever200_identify::{Category, Signature};
use serde::Serialize;

use crate::reader::View;

/// The signatures of one category.
#[derive(Debug, Serialize)]
pub struct Group {
    category: Category,
    count: usize,
    /// Of weaknesses, habits and tools: laid out in full.
    known: Vec<Known>,
    /// Of user agents alone: many, and soon said.
    agents: Vec<Known>,
}

#[derive(Debug, Serialize)]
struct Known {
    id: String,
    title: String,
    product: Option<String>,
    cve: Vec<String>,
    year: Option<u16>,
    explanation: String,
    references: Vec<String>,
    count: usize,
}

/// Groups signatures by category, in the order of their titles. Of each it keeps what is shown: all of them, whole,
/// take twice as much.
#[must_use]
pub fn known_labels(signatures: impl Iterator<Item = Arc<Signature>>, view: &View) -> Vec<Group> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for label in view.entries.iter().flat_map(|entry| &entry.labels) {
        *counts.entry(&label.signature.id).or_default() += 1;
    }
    let group = |category| Group {
        category,
        count: 0,
        known: Vec::new(),
        agents: Vec::new(),
    };
    let mut groups: BTreeMap<_, _> = Category::ALL
        .map(|category| (category, group(category)))
        .into();
    for signature in signatures {
        let Some(group) = groups.get_mut(&signature.category) else {
            continue;
        };
        let known = Known::new(
            &signature,
            counts.get(&*signature.id).copied().unwrap_or_default(),
        );
        group.count += 1;
        if signature.is_of_an_agent() {
            &mut group.agents
        } else {
            &mut group.known
        }
        .push(known);
    }
    for group in groups.values_mut() {
        group.agents.sort_by_key(|it| it.title.to_lowercase());
        group.known.sort_by_key(|it| it.title.to_lowercase());
    }
    groups
        .into_values()
        .filter(|group| group.count > 0)
        .collect()
}

impl Known {
    fn new(signature: &Signature, count: usize) -> Self {
        Self {
            id: signature.id.clone(),
            title: signature.title.clone(),
            product: signature.product.clone(),
            cve: signature.cve.clone(),
            year: signature.year,
            explanation: signature.explanation.clone(),
            references: signature.references.clone(),
            count,
        }
    }
}
