//! Labels: what a request is, in words, with the bytes that say so.
//!
//! In: raw bytes, what they speak, where they are from. Out: the signatures that apply, the most
//! specific first. No I/O, no panic; time in proportion to the request.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use forever200_decode::{Limits, Part, decode};

use crate::built_in::Line;
use crate::pattern::Expressions;
use crate::protocol::{Protocol, Recognised, recognise};
use crate::quotation::Quotation;
use crate::recent::{Place, Recent};
use crate::sample::Sample;
use crate::signature::{Category, Confidence, Signature, SignatureError, Signatures};
use crate::text::Text;
use crate::{Indicator, Origin, built_in, http, indicator, inside};

/// Signatures that are held read, some 1.5 kB each, beside those that are tried on every request.
const MAX_SIGNATURES: usize = 256;
/// Expressions that are held compiled, some 20 kB each: the thirty that every request is held against, and what lately
/// found something to do.
const MAX_EXPRESSIONS: usize = 128;

/// Knows all signatures and finds those that apply.
pub struct Labeller {
    signatures: Vec<Known>,
    /// Finds literals without which some signatures cannot apply.
    anchors: AhoCorasick,
    /// The signature of each literal. One that several have is there for each.
    anchored: Vec<u32>,
    /// Which signatures have none, and are tried on every request.
    always: Vec<bool>,
    expressions: Expressions,
    recent: Recent<Arc<Signature>>,
}

enum Known {
    Read(Arc<Signature>),
    Line(Line, Place<Arc<Signature>>),
}

/// What a request is.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    /// The parts of an HTTP request; `None` for other protocols.
    pub http: Option<http::Request<'a>>,
    /// What it speaks.
    pub protocol: Protocol,
    /// What its first bytes say of themselves, on one line of printable ASCII.
    pub detail: Option<String>,
    /// What it is for and who sent it, the most specific first.
    pub labels: Vec<Label>,
    /// Attacks that are in what it quotes and nowhere else. They say nothing of who sent it, if it is
    /// what it says that it is; anybody can say so.
    pub quoted: Vec<Label>,
    /// The addresses that its payload would have the victim fetch or call.
    pub indicators: Vec<Indicator>,
    /// What it hides in an encoding.
    pub decoded: Vec<Part>,
    /// A signature was given up that would have taken too long, and may apply all the same.
    pub is_partial: bool,
}

/// One signature that applies to a request.
#[derive(Clone, Debug)]
pub struct Label {
    /// What it says.
    pub signature: Arc<Signature>,
    /// Ranges of the raw bytes, in order and apart; empty when the source's network is what says so, or that there is
    /// nothing but a request for `/`.
    pub evidence: Vec<Range<usize>>,
    /// What it was found in, where it is in no bytes as they came: the steps of a decoded part, on one line of text.
    /// The evidence is then what the part was decoded from.
    pub found_in: Option<String>,
    /// The label that leads names a weakness of another product, and this one fits the same bytes.
    pub also_fits: bool,
}

/// What applies to a request, and what applies to its quotation alone.
struct Labels {
    found: Vec<Label>,
    quoted: Vec<Label>,
}

impl Labeller {
    /// Takes the built-in signatures.
    #[must_use]
    pub fn built_in() -> Self {
        Self::new(Vec::new(), built_in::lines())
    }

    /// Takes the signatures of a file beside the built-in ones or in their place, as it says.
    ///
    /// # Errors
    /// The file is not as it should be, or one of its signatures does not apply to an example of its own.
    pub fn with(file: &str) -> Result<Self, SignatureError> {
        let own = Signatures::parse(file)?;
        let mut built_in = if own.replace {
            Vec::new()
        } else {
            built_in::lines()
        };
        let ids: HashSet<String> = own
            .list
            .iter()
            .map(|signature| signature.id.clone())
            .collect();
        built_in.retain(|(line, _)| !ids.contains(&line.read().id));
        let labeller = Self::new(own.list, built_in);
        labeller.check_examples()?;
        Ok(labeller)
    }

    pub(crate) fn new(own: Vec<Signature>, built_in: Vec<(Line, Option<Vec<String>>)>) -> Self {
        let own = own.into_iter().map(|signature| {
            (
                signature.condition.anchors(),
                Known::Read(Arc::new(signature)),
            )
        });
        let built_in = built_in.into_iter().map(|(line, anchors)| match anchors {
            Some(anchors) => (Some(anchors), Known::Line(line, Place::default())),
            None => (None, Known::Read(Arc::new(line.read()))),
        });
        let (mut literals, mut always, mut signatures) = (Vec::new(), Vec::new(), Vec::new());
        for ((anchors, signature), index) in own.chain(built_in).zip(0..) {
            always.push(anchors.is_none());
            literals.extend(
                anchors
                    .into_iter()
                    .flatten()
                    .map(|literal| (literal, index)),
            );
            signatures.push(signature);
        }
        let mut finder = AhoCorasick::builder();
        // A table of all bytes for the first of a literal alone: a quarter of the memory, a twentieth more time.
        let finder = finder
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .dense_depth(1);
        Self {
            // Literals of a few bytes each: far from the limits of the automaton.
            anchors: finder
                .build(literals.iter().map(|(literal, _)| literal))
                .expect("fewer than 2^31 literals"),
            anchored: literals.iter().map(|&(_, index)| index).collect(),
            always,
            expressions: Expressions::new(MAX_EXPRESSIONS),
            recent: Recent::new(MAX_SIGNATURES),
            signatures,
        }
    }

    /// Returns all signatures, the own ones first.
    pub fn signatures(&self) -> impl ExactSizeIterator<Item = Arc<Signature>> {
        self.signatures.iter().map(|known| match known {
            Known::Read(signature) => Arc::clone(signature),
            Known::Line(line, _) => Arc::new(line.read()),
        })
    }

    /// Returns the signature that is at this place of [`signatures`](Self::signatures).
    #[must_use]
    pub fn signature(&self, index: usize) -> Option<Arc<Signature>> {
        self.signatures.get(index).map(|known| match known {
            Known::Read(signature) => Arc::clone(signature),
            Known::Line(line, _) => Arc::new(line.read()),
        })
    }

    /// Tries each signature on its examples. Those of the built-in ones are not in the program.
    pub(crate) fn check_examples(&self) -> Result<(), SignatureError> {
        for (index, known) in self.signatures.iter().enumerate() {
            let Known::Read(signature) = known else {
                continue;
            };
            let is_missed = |example: &&String| {
                let raw = Signature::example_bytes(example);
                let recognised = recognise(&raw);
                let http = parts(&raw, &recognised);
                let sample = Sample::new(&raw, &recognised, http.as_ref(), None, &self.expressions);
                !self.candidates(&sample).contains(&index)
                    || signature.condition.evidence(&sample).is_none()
            };
            if let Some(example) = signature.examples.iter().find(is_missed) {
                return Err(
                    signature.error(&format!("it does not apply to its example {example:?}"))
                );
            }
        }
        Ok(())
    }

    /// Describes a request.
    #[must_use]
    pub fn describe<'a>(&self, raw: &'a [u8], origin: Option<&Origin>) -> Description<'a> {
        let recognised = recognise(raw);
        let http = parts(raw, &recognised);
        let sample = Sample::new(raw, &recognised, http.as_ref(), origin, &self.expressions);
        let decoded = decode(raw, http.is_some(), Limits::DESCRIBED);
        let Labels { found, quoted } = self.labels(&sample, &decoded);
        let mut indicators = indicator::indicators(raw, sample.request());
        inside::indicators(&decoded, &mut indicators);
        let is_partial = sample.search.has_given_up();
        Description {
            http,
            protocol: recognised.protocol,
            detail: recognised.detail,
            labels: found,
            quoted,
            indicators,
            decoded,
            is_partial,
        }
    }

    fn labels(&self, sample: &Sample<'_>, decoded: &[Part]) -> Labels {
        let candidates = self.candidates(sample).into_iter();
        let mut found: Vec<_> = candidates
            .filter_map(|index| Some((index, self.apply(index, sample)?)))
            .collect();
        self.look_inside(sample, decoded, &mut found);
        let quotation = Quotation::of(sample).unwrap_or_default();
        let is_quoted = |(_, label): &mut (usize, Label)| label.is_quoted(&quotation);
        let quoted = in_order(found.extract_if(.., is_quoted).collect());
        let (mut agents, mut labels): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|(_, it)| it.signature.is_of_an_agent());
        // Of a user agent that is known by more than its name, the name alone says nothing new.
        agents.retain(|(_, agent)| !labels.iter().any(|(_, label)| label.overlaps(agent)));
        labels.append(&mut agents);
        let mut found = in_order(labels);
        one_product_leads(&mut found);
        Labels { found, quoted }
    }

    /// Tries a signature on a request.
    pub(crate) fn apply(&self, index: usize, sample: &Sample<'_>) -> Option<Label> {
        let signature = match self.signatures.get(index)? {
            Known::Read(signature) => Arc::clone(signature),
            Known::Line(line, place) => {
                let held = self.recent.get(place, || Some(Arc::new(line.read())))?;
                Arc::<Signature>::clone(&held)
            }
        };
        let evidence = apart(signature.condition.evidence(sample)?);
        Some(Label {
            signature,
            evidence,
            found_in: None,
            also_fits: false,
        })
    }

    /// Finds the signatures that have a literal in a decoded part, or ask for an attack that is in it.
    pub(crate) fn anchored_in(&self, inside: &Sample<'_>) -> Vec<usize> {
        let mut may_apply = vec![false; self.signatures.len()];
        for text in inside.request() {
            self.look(text, &mut may_apply);
        }
        self.look_for_attacks(inside, &mut may_apply);
        (0..may_apply.len())
            .filter(|&index| may_apply[index])
            .collect()
    }

    fn look(&self, text: &Text, may_apply: &mut [bool]) {
        for found in self.anchors.find_overlapping_iter(&text.bytes) {
            may_apply[self.anchored[found.pattern().as_usize()] as usize] = true;
        }
    }

    /// A kind of attack that was found stands for its literal.
    fn look_for_attacks(&self, sample: &Sample<'_>, may_apply: &mut [bool]) {
        for found in sample.attacks() {
            self.look(&Text::raw(found.attack.literal().as_bytes(), 0), may_apply);
        }
    }

    /// The signatures that may apply, each once, in order.
    fn candidates(&self, sample: &Sample<'_>) -> Vec<usize> {
        let mut may_apply = self.always.clone();
        let mut look = |texts: &[Text]| {
            for text in texts {
                self.look(text, &mut may_apply);
            }
        };
        look(&sample.request()[..1]);
        look(sample.request().get(1..).unwrap_or_default());
        look(sample.path().get(1..).unwrap_or_default());
        look(sample.query().get(1..).unwrap_or_default());
        look(sample.body().get(1..).unwrap_or_default());
        sample
            .headers()
            .iter()
            .for_each(|(_, views)| look(views.get(1..).unwrap_or_default()));
        self.look_for_attacks(sample, &mut may_apply);
        (0..may_apply.len())
            .filter(|&index| may_apply[index])
            .collect()
    }
}

impl Label {
    fn overlaps(&self, other: &Self) -> bool {
        let mut pairs = self
            .evidence
            .iter()
            .flat_map(|a| other.evidence.iter().map(move |b| (a, b)));
        pairs.any(|(a, b)| a.start < b.end && b.start < a.end)
    }

    /// It is an attack by what the request quotes alone.
    fn is_quoted(&self, quotation: &Quotation) -> bool {
        let signature = &self.signature;
        let is_attack = matches!(
            signature.category,
            Category::Exploit | Category::Webshell | Category::Secrets
        );
        let is_exploit = !signature.cve.is_empty() && signature.confidence == Confidence::Certain;
        is_attack && quotation.holds(&self.evidence, is_exploit)
    }

    /// One weakness before a kind of attack, the heavier before the lighter, the surer before the guess.
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
fn in_order(mut labels: Vec<(usize, Label)>) -> Vec<Label> {
    labels.sort_by_key(|(index, label)| (label.rank(), *index));
    labels.into_iter().map(|(_, label)| label).collect()
}

/// Marks CVEs of other products that fit the same bytes, and puts them behind the rest of their
/// category: a request is for one product, and a reader looks at the first.
fn one_product_leads(labels: &mut [Label]) {
    let names_cve = |label: &&Label| !label.signature.generic && !label.signature.cve.is_empty();
    let Some(first) = labels.iter().find(names_cve).cloned() else {
        return;
    };
    for label in &mut *labels {
        let is_other = label.signature.product != first.signature.product;
        label.also_fits = is_other && names_cve(&&*label) && label.overlaps(&first);
    }
    labels.sort_by_key(|label| (label.signature.category, label.also_fits));
}

/// Finds the parts of what speaks HTTP.
fn parts<'a>(raw: &'a [u8], recognised: &Recognised) -> Option<http::Request<'a>> {
    match recognised.protocol {
        Protocol::Http => http::parse(raw),
        _ => None,
    }
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
