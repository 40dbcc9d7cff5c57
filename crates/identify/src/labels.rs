//! Labels: what a request is, in words, with the bytes that say so.
//!
//! In: raw bytes, what they speak, where they are from. Out: the signatures that apply, the most
//! specific first. No I/O, no panic; time in proportion to the request.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use forever200_decode::{Limits, Part, decode};

use crate::built_in::{Index, Indexed, Line};
use crate::condition::Condition;
use crate::literals::MAX_ANCHOR_BYTES;
use crate::pattern::{Expressions, Pattern, Search};
use crate::protocol::{Protocol, Recognised, recognise};
use crate::quotation::Quotation;
use crate::recent::{Place, Recent};
use crate::repeats::Repeats;
use crate::sample::Sample;
use crate::signature::{Category, Confidence, Signature, SignatureError, Signatures};
use crate::words::{Numbers, Words};
use crate::{Indicator, Origin, built_in, http, indicator, inside};

/// What signatures say is held of so many, some 1 kB each, that lately applied. What they ask for
/// is kept of all that were ever tried: some 4 MB if it is all of them.
const MAX_SIGNATURES: usize = 256;
/// Expressions that are held compiled for long texts, some 20 kB each.
const MAX_EXPRESSIONS: usize = 128;

/// Knows all signatures and finds those that apply.
pub struct Labeller {
    signatures: Vec<Known>,
    /// Finds words without which some signatures, or expressions of them, cannot apply.
    words: Words,
    /// The signatures that need one of some words, by the words: those of a word are from its place
    /// in `anchors` to the next one's.
    anchored: Vec<u32>,
    anchors: Vec<u32>,
    /// Those that need none, and are tried on every request.
    always: Numbers,
    /// Those that need none, and are tried on every request that speaks this.
    speaking: Vec<(Protocol, usize)>,
    expressions: Expressions,
    recent: Recent<Arc<Signature>>,
    repeats: Repeats,
}

enum Known {
    Read(Arc<Signature>),
    Line {
        line: Line,
        /// Read when first needed, and kept.
        condition: OnceLock<Box<Condition>>,
        signature: Place<Arc<Signature>>,
    },
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
    /// Attacks that are in what it quotes and nowhere else. They say nothing of who sent it, if it
    /// is what it says that it is; anybody can say so.
    pub quoted: Vec<Label>,
    /// The addresses that its payload would have the victim fetch or call.
    pub indicators: Vec<Indicator>,
    /// What it hides in an encoding.
    pub decoded: Vec<Part>,
    /// A signature was given up that would have taken too long, and may apply all the same.
    pub is_partial: bool,
}

impl<'a> Description<'a> {
    fn new(findings: &Findings, http: Option<http::Request<'a>>) -> Self {
        let findings = findings.clone();
        Self {
            http,
            protocol: findings.protocol,
            detail: findings.detail,
            labels: findings.labels,
            quoted: findings.quoted,
            indicators: findings.indicators,
            decoded: findings.decoded,
            is_partial: findings.is_partial,
        }
    }
}

/// What is said of a request, without the parts of it.
#[derive(Clone, Debug)]
pub(crate) struct Findings {
    protocol: Protocol,
    detail: Option<String>,
    labels: Vec<Label>,
    quoted: Vec<Label>,
    indicators: Vec<Indicator>,
    decoded: Vec<Part>,
    is_partial: bool,
}

impl Findings {
    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let part = |part: &Part| size_of::<Part>() + part.bytes.len() + part.steps.len() * 32;
        let indicator = |it: &Indicator| size_of::<Indicator>() + it.address.len();
        let labels = self.labels.iter().chain(&self.quoted);
        let label = |it: &Label| size_of::<Label>() + it.evidence.len() * 16;
        size_of::<Self>()
            + labels.map(label).sum::<usize>()
            + self.decoded.iter().map(part).sum::<usize>()
            + self.indicators.iter().map(indicator).sum::<usize>()
    }
}

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

/// What applies to a request, and what applies to its quotation alone.
struct Labels {
    found: Vec<Label>,
    quoted: Vec<Label>,
}

impl Labeller {
    /// Takes the built-in signatures.
    #[must_use]
    pub fn built_in() -> Self {
        Self::new(Vec::new(), built_in::index())
    }

    /// Takes the signatures of a file beside the built-in ones or in their place, as it says.
    ///
    /// # Errors
    /// The file is not as it should be, or one of its signatures does not apply to an example of
    /// its own.
    pub fn with(file: &str) -> Result<Self, SignatureError> {
        let own = Signatures::parse(file)?;
        let mut built_in = if own.replace {
            built_in::Index::default()
        } else {
            built_in::index()
        };
        let ids: HashSet<String> = own
            .list
            .iter()
            .map(|signature| signature.id.clone())
            .collect();
        built_in
            .lines
            .retain(|known| !ids.contains(&known.line.read().id));
        let labeller = Self::new(own.list, built_in);
        labeller.check_examples()?;
        Ok(labeller)
    }

    pub(crate) fn new(own: Vec<Signature>, built_in: Index) -> Self {
        let mut literals = built_in.literals;
        let (mut anchored, mut signatures) = (Vec::new(), Vec::new());
        let (mut always, mut speaking) = (Vec::new(), Vec::new());
        for signature in own {
            let number = signatures.len();
            // Some are there twice: each is found.
            match signature.condition.anchors() {
                Some(anchors) => {
                    let first = literals.len();
                    literals.extend(anchors);
                    anchored.extend((first..literals.len()).map(|word| (word, number)));
                }
                None => always.push(number),
            }
            let patterns = signature.condition.patterns().into_iter();
            literals.extend(patterns.filter_map(Pattern::words).flatten());
            signatures.push(Known::Read(Arc::new(signature)));
        }
        for Indexed {
            line,
            anchors,
            protocols,
        } in built_in.lines
        {
            let number = signatures.len();
            match anchors {
                Some(anchors) => {
                    anchored.extend(anchors.into_iter().map(|word| (word as usize, number)));
                }
                None if protocols.is_empty() => always.push(number),
                None => speaking.extend(protocols.into_iter().map(|speaks| (speaks, number))),
            }
            signatures.push(Known::Line {
                line,
                condition: OnceLock::new(),
                signature: Place::default(),
            });
        }
        anchored.sort_unstable();
        let first = |word: usize| anchored.partition_point(|&(it, _)| it < word) as u32;
        Self {
            anchors: (0..=literals.len()).map(first).collect(),
            words: Words::new(&literals),
            // There are some thousands of each.
            anchored: anchored
                .into_iter()
                .map(|(_, number)| number as u32)
                .collect(),
            always: Numbers::of(always, signatures.len()),
            speaking,
            expressions: Expressions::new(MAX_EXPRESSIONS),
            recent: Recent::new(MAX_SIGNATURES),
            repeats: Repeats::new(),
            signatures,
        }
    }

    /// Returns all signatures, the own ones first.
    pub fn signatures(&self) -> impl ExactSizeIterator<Item = Arc<Signature>> {
        self.signatures.iter().map(|known| match known {
            Known::Read(signature) => Arc::clone(signature),
            Known::Line { line, .. } => Arc::new(line.read()),
        })
    }

    /// Returns what each of them asks for, in the same order.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.signatures.iter().map(Known::condition)
    }

    /// Returns the signature that is at this place of [`signatures`](Self::signatures).
    #[must_use]
    pub fn signature(&self, index: usize) -> Option<Arc<Signature>> {
        self.signatures.get(index).map(|known| match known {
            Known::Read(signature) => Arc::clone(signature),
            Known::Line { line, .. } => Arc::new(line.read()),
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
                let search = Search::new(&self.expressions, &self.words);
                let sample = Sample::new(&raw, &recognised, http.as_ref(), None, search);
                !self.candidates(&sample).has(index)
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
        let (findings, http) = self.find(raw, origin);
        Description::new(&findings, http)
    }

    /// Describes a request, where the same bytes from the same network were not described lately:
    /// what was said of them then is said again.
    #[must_use]
    pub fn describe_once<'a>(&self, raw: &'a [u8], origin: Option<&Origin>) -> Description<'a> {
        let asn = origin.and_then(|origin| origin.asn);
        let mut http = None;
        let findings = self.repeats.findings(raw, asn, || {
            let (findings, parts) = self.find(raw, origin);
            http = parts;
            findings
        });
        if http.is_none() && findings.protocol == Protocol::Http {
            http = http::parse(raw);
        }
        Description::new(&findings, http)
    }

    /// Finds out what there is to say of a request.
    pub(crate) fn find<'a>(
        &self,
        raw: &'a [u8],
        origin: Option<&Origin>,
    ) -> (Findings, Option<http::Request<'a>>) {
        let recognised = recognise(raw);
        let http = parts(raw, &recognised);
        let search = Search::new(&self.expressions, &self.words);
        let sample = Sample::new(raw, &recognised, http.as_ref(), origin, search);
        let decoded = decode(raw, http.is_some(), Limits::DESCRIBED);
        let Labels { found, quoted } = self.labels(&sample, &decoded);
        let mut indicators = indicator::indicators(raw, sample.request());
        inside::indicators(&decoded, &mut indicators);
        let is_partial = sample.search.has_given_up();
        let findings = Findings {
            protocol: recognised.protocol,
            detail: recognised.detail,
            labels: found,
            quoted,
            indicators,
            decoded,
            is_partial,
        };
        (findings, http)
    }

    fn labels(&self, sample: &Sample<'_>, decoded: &[Part]) -> Labels {
        let candidates = self.candidates(sample);
        let mut found: Vec<_> = candidates
            .iter()
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
        let known = self.signatures.get(index)?;
        let evidence = apart(known.condition().evidence(sample)?);
        let signature = match known {
            Known::Read(signature) => Arc::clone(signature),
            Known::Line {
                line, signature, ..
            } => {
                let held = self.recent.get(signature, || Some(Arc::new(line.read())))?;
                Arc::<Signature>::clone(&held)
            }
        };
        Some(Label {
            signature,
            evidence,
            found_in: None,
            also_fits: false,
        })
    }

    /// Tells whether a request meets what a signature excludes.
    pub(crate) fn is_excluded(&self, index: usize, sample: &Sample<'_>) -> bool {
        let known = self.signatures.get(index);
        known.is_some_and(|known| known.condition().is_excluded(sample))
    }

    /// Finds the signatures that have a word in a decoded part, or ask for an attack that is in it.
    pub(crate) fn anchored_in(&self, inside: &Sample<'_>) -> Numbers {
        let mut seen = Numbers::none(self.words.len());
        for text in inside.request() {
            self.words.look(&text.bytes, &mut seen);
        }
        let mut may_apply = Numbers::none(self.signatures.len());
        self.add_anchored(inside, seen, &mut may_apply);
        may_apply
    }

    /// The signatures that may apply.
    fn candidates(&self, sample: &Sample<'_>) -> Numbers {
        let mut seen = Numbers::none(self.words.len());
        // What is as it was sent is in the whole request.
        let plainer = [
            sample.request(),
            sample.path(),
            sample.query(),
            sample.body(),
        ];
        let headers = sample.headers().iter().map(|(_, views)| &**views);
        let plainer = plainer.into_iter().chain(headers);
        let plainer = plainer.flatten().filter(|text| !text.is_as_sent());
        let sent = sample.request().first().map_or(&[][..], |text| &text.bytes);
        self.words.look(sent, &mut seen);
        for text in plainer {
            for place in text.changed(sent, MAX_ANCHOR_BYTES) {
                self.words.look(&text.bytes[place], &mut seen);
            }
        }
        let mut may_apply = self.always.clone();
        let speaks = sample.recognised.protocol;
        for (_, number) in self
            .speaking
            .iter()
            .filter(|(protocol, _)| *protocol == speaks)
        {
            may_apply.add(*number);
        }
        self.add_anchored(sample, seen, &mut may_apply);
        may_apply
    }

    /// Adds the signatures that need one of the words that were seen. A kind of attack that was
    /// found stands for its literal.
    fn add_anchored(&self, sample: &Sample<'_>, mut seen: Numbers, may_apply: &mut Numbers) {
        for found in sample.attacks() {
            self.words
                .look(found.attack.literal().as_bytes(), &mut seen);
        }
        for word in seen.iter() {
            let (start, end) = (self.anchors[word], self.anchors[word + 1]);
            for number in &self.anchored[start as usize..end as usize] {
                may_apply.add(*number as usize);
            }
        }
        sample.search.note_seen(seen);
    }
}

impl Known {
    fn condition(&self) -> &Condition {
        match self {
            Self::Read(signature) => &signature.condition,
            Self::Line {
                line, condition, ..
            } => condition.get_or_init(|| line.condition()),
        }
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
