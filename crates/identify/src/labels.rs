//! Labels: what a request is, in words, with the bytes that say so.
//!
//! In: raw bytes, what they speak, where they are from. Out: the signatures that apply, the most
//! specific first. No I/O, no panic; time in proportion to the request.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::AhoCorasick;

use crate::protocol::Protocol;
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
    ///
    /// # Errors
    /// Never, as a test shows.
    pub fn built_in() -> Result<Self, SignatureError> {
        Self::with(None)
    }

    /// Takes the built-in signatures and those of a file, or the file's alone, as it says.
    ///
    /// # Errors
    /// The file is not as it should be, or one of its signatures does not apply to its own example.
    pub fn with(file: Option<&str>) -> Result<Self, SignatureError> {
        let own = file.map(Signatures::parse).transpose()?;
        let mut list = match &own {
            Some(own) if own.replace => Vec::new(),
            _ => Signatures::trusted(BUILT_IN)?.list.into_iter().chain(crawlers::signatures()).collect(),
        };
        if let Some(own) = own {
            let ids: HashSet<&String> = own.list.iter().map(|signature| &signature.id).collect();
            list.retain(|signature: &Signature| !ids.contains(&signature.id));
            list.splice(0..0, own.list);
        }
        Ok(Self::new(list))
    }

    fn new(list: Vec<Signature>) -> Self {
        let mut by_literal: HashMap<String, Vec<usize>> = HashMap::new();
        let mut always = Vec::new();
        for (index, signature) in list.iter().enumerate() {
            match signature.condition.anchors() {
                Some(literals) => {
                    literals.into_iter().for_each(|literal| by_literal.entry(literal).or_default().push(index))
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

    /// Tries each signature on its own examples.
    ///
    /// # Errors
    /// One of them does not apply to an example of its own.
    pub fn check_examples(&self) -> Result<(), SignatureError> {
        for signature in &self.signatures {
            let is_missed = |example: &&String| {
                let labels = self.describe(&Signature::example_bytes(example), None).labels;
                labels.iter().all(|label| label.signature.id != signature.id)
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
        let protocol = Protocol::of(raw);
        let sample = Sample::new(raw, protocol, origin);
        Description { protocol, labels: self.labels(&sample), indicators: indicator::indicators(sample.request()) }
    }

    fn labels(&self, sample: &Sample<'_>) -> Vec<Label> {
        let mut labels: Vec<(usize, Label)> = self
            .candidates(sample)
            .into_iter()
            .filter_map(|index| {
                let signature = &self.signatures[index];
                let evidence = signature.condition.evidence(sample)?;
                Some((index, Label { signature: Arc::clone(signature), evidence: apart(evidence) }))
            })
            .collect();
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
    /// One weakness before a kind of attack, the heavier before the lighter, the surer before the guess.
    fn rank(&self) -> impl Ord + use<> {
        let signature = &self.signature;
        (signature.category, signature.generic, signature.confidence, signature.cve.is_empty())
    }
}

/// Joins ranges that touch, in order.
fn apart(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
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
