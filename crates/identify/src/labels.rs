//! Labels: what a request is, in words, with the bytes that say so.
//!
//! In: raw bytes, what they speak, where they are from. Out: the signatures that apply, the most
//! specific first. No I/O, no panic; time in proportion to the request.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::AhoCorasick;

use crate::protocol::{Protocol, recognise};
use crate::sample::Sample;
use crate::signature::{Signature, SignatureError, Signatures};
use crate::text::Text;
use crate::{Indicator, Origin, crawlers, indicator};

/// The signatures that come with the program.
const BUILT_IN: &str = include_str!("../signatures.toml");

/// Knows all signatures and finds those that apply.
pub struct Labeller {
    signatures: Vec<Arc<Signature>>,
    /// Finds literals without which some signatures cannot apply.
    anchors: AhoCorasick,
    /// The signatures of each literal.
    anchored: Vec<Vec<usize>>,
    /// The signatures without one, tried on every request.
    always: Vec<usize>,
}

/// What a request is.
#[derive(Clone, Debug)]
pub struct Description {
    /// What it speaks.
    pub protocol: Protocol,
    /// What its first bytes say of themselves, on one line of printable ASCII.
    pub detail: Option<String>,
    /// What it is for and who sent it, the most specific first.
    pub labels: Vec<Label>,
    /// The addresses that its payload would have the victim fetch or call.
    pub indicators: Vec<Indicator>,
}

/// One signature that applies to a request.
#[derive(Clone, Debug)]
pub struct Label {
    /// What it says.
    pub signature: Arc<Signature>,
    /// Ranges of the raw bytes, in order and apart; empty when the source's network is what says so.
    pub evidence: Vec<Range<usize>>,
}

impl Labeller {
    /// Takes the built-in signatures.
    #[must_use]
    pub fn built_in() -> Self {
        Self::new(built_in())
    }

    /// Takes the signatures of a file beside the built-in ones or in their place, as it says.
    ///
    /// # Errors
    /// The file is not as it should be, or one of its signatures does not apply to an example of its own.
    pub fn with(file: &str) -> Result<Self, SignatureError> {
        let own = Signatures::parse(file)?;
        let ids: HashSet<String> = own.list.iter().map(|signature| signature.id.clone()).collect();
        let mut list = own.list;
        if !own.replace {
            list.extend(built_in().into_iter().filter(|signature| !ids.contains(&signature.id)));
        }
        let labeller = Self::new(list);
        labeller.check_examples()?;
        Ok(labeller)
    }

    fn new(list: Vec<Signature>) -> Self {
        let mut by_literal: HashMap<String, Vec<usize>> = HashMap::new();
        let mut always = Vec::new();
        for (index, signature) in list.iter().enumerate() {
            match signature.condition.anchors() {
                Some(literals) => {
                    for literal in literals {
                        by_literal.entry(literal).or_default().push(index);
                    }
                }
                None => always.push(index),
            }
        }
        let (literals, anchored): (Vec<_>, Vec<_>) = by_literal.into_iter().unzip();
        Self {
            // Literals of a few bytes each: far from the limits of the automaton.
            anchors: AhoCorasick::new(literals).expect("fewer than 2^31 literals"),
            anchored,
            always,
            signatures: list.into_iter().map(Arc::new).collect(),
        }
    }

    /// Returns all signatures, the own ones first.
    #[must_use]
    pub fn signatures(&self) -> &[Arc<Signature>] {
        &self.signatures
    }

    /// Tries each signature on its examples.
    fn check_examples(&self) -> Result<(), SignatureError> {
        for (index, signature) in self.signatures.iter().enumerate() {
            let is_missed = |example: &&String| {
                let raw = Signature::example_bytes(example);
                let recognised = recognise(&raw);
                let sample = Sample::new(&raw, &recognised, None);
                !self.candidates(&sample).contains(&index) || signature.condition.evidence(&sample).is_none()
            };
            if let Some(example) = signature.examples.iter().find(is_missed) {
                return Err(signature.error(&format!("it does not apply to its example {example:?}")));
            }
        }
        Ok(())
    }

    /// Describes a request.
    #[must_use]
    pub fn describe(&self, raw: &[u8], origin: Option<&Origin>) -> Description {
        let recognised = recognise(raw);
        let sample = Sample::new(raw, &recognised, origin);
        let (labels, indicators) = (self.labels(&sample), indicator::indicators(raw, sample.request()));
        Description { protocol: recognised.protocol, detail: recognised.detail, labels, indicators }
    }

    fn labels(&self, sample: &Sample<'_>) -> Vec<Label> {
        let apply = |index: usize| {
            let signature = &self.signatures[index];
            let evidence = signature.condition.evidence(sample)?;
            Some((index, Label { signature: Arc::clone(signature), evidence: apart(evidence) }))
        };
        let found = self.candidates(sample).into_iter().filter_map(apply);
        let (mut agents, mut labels): (Vec<_>, Vec<_>) = found.partition(|(_, it)| it.signature.is_of_an_agent());
        // Of a user agent that is known by more than its name, the name alone says nothing new.
        agents.retain(|(_, agent)| !labels.iter().any(|(_, label)| label.overlaps(agent)));
        labels.append(&mut agents);
        labels.sort_by_key(|(index, label)| (label.rank(), *index));
        labels.into_iter().map(|(_, label)| label).collect()
    }

    /// The signatures that may apply, each once, in order.
    fn candidates(&self, sample: &Sample<'_>) -> Vec<usize> {
        let mut may_apply = vec![false; self.signatures.len()];
        self.always.iter().for_each(|&index| may_apply[index] = true);
        let mut look = |texts: &[Text]| {
            for text in texts {
                for found in self.anchors.find_overlapping_iter(&text.bytes) {
                    self.anchored[found.pattern().as_usize()].iter().for_each(|&index| may_apply[index] = true);
                }
            }
        };
        look(&sample.request()[..1]);
        look(sample.request().get(1..).unwrap_or_default());
        look(sample.path().get(1..).unwrap_or_default());
        look(sample.query().get(1..).unwrap_or_default());
        look(sample.body().get(1..).unwrap_or_default());
        sample.headers().iter().for_each(|(_, views)| look(views.get(1..).unwrap_or_default()));
        (0..may_apply.len()).filter(|&index| may_apply[index]).collect()
    }
}

impl Label {
    fn overlaps(&self, other: &Self) -> bool {
        let mut pairs = self.evidence.iter().flat_map(|a| other.evidence.iter().map(move |b| (a, b)));
        pairs.any(|(a, b)| a.start < b.end && b.start < a.end)
    }

    /// One weakness before a kind of attack, the heavier before the lighter, the surer before the guess.
    fn rank(&self) -> impl Ord + use<> {
        let signature = &self.signature;
        (signature.category, signature.generic, signature.confidence, signature.cve.is_empty())
    }
}

fn built_in() -> Vec<Signature> {
    Signatures::trusted(BUILT_IN).into_iter().chain(crawlers::signatures()).collect()
}

/// Joins ranges that touch, in order.
#[must_use]
pub fn apart(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut apart: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    apart
}

#[cfg(test)]
mod tests;
