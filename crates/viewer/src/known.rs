//! What can be recognised, laid out for the page that lists it.
//!
//! In: all signatures and the ring. Out: groups by category, with counts.

use std::collections::HashMap;
use std::sync::Arc;

use forever200_identify::{Category, Signature};
use serde::Serialize;

use crate::feed::View;

/// The signatures of one category.
#[derive(Debug, Serialize)]
pub struct Group<'a> {
    category: Category,
    count: usize,
    /// Of weaknesses, habits and tools: laid out in full.
    known: Vec<Known<'a>>,
    /// Of user agents alone: many, and soon said.
    agents: Vec<Known<'a>>,
}

#[derive(Debug, Serialize)]
struct Known<'a> {
    id: &'a str,
    title: &'a str,
    product: Option<&'a str>,
    cve: &'a [String],
    year: Option<u16>,
    explanation: &'a str,
    references: &'a [String],
    count: usize,
}

/// Groups signatures by category, in the order of their titles.
#[must_use]
pub fn known_labels<'a>(signatures: &'a [Arc<Signature>], view: &View) -> Vec<Group<'a>> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for label in view.entries.iter().flat_map(|entry| &entry.labels) {
        *counts.entry(&label.signature.id).or_default() += 1;
    }
    let known = |signature: &'a Arc<Signature>| Known {
        id: &signature.id,
        title: &signature.title,
        product: signature.product.as_deref(),
        cve: &signature.cve,
        year: signature.year,
        explanation: &signature.explanation,
        references: &signature.references,
        count: counts.get(&*signature.id).copied().unwrap_or_default(),
    };
    let of = |category: Category| {
        let of_it = signatures.iter().filter(move |it| it.category == category);
        let (mut agents, mut full): (Vec<_>, Vec<_>) = of_it.partition(|it| it.is_of_an_agent());
        agents.sort_by_key(|it| it.title.to_lowercase());
        full.sort_by_key(|it| it.title.to_lowercase());
        Group {
            category,
            count: agents.len() + full.len(),
            known: full.into_iter().map(known).collect(),
            agents: agents.into_iter().map(known).collect(),
        }
    };
    Category::ALL.into_iter().map(of).filter(|group| group.count > 0).collect()
}
