//! Labels: what a request is, in words, with the bytes that say so.
//!
//! In: raw bytes, their protocol, their source. Out: the signatures that apply, the most specific
//! first. No I/O, no panic; time in proportion to the request.

mod description;
mod label;
mod lists;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use forever200_decode::{Limits, Part, decode};

use crate::built_in::{Index, UnreadSignature};
use crate::condition::Condition;
use crate::literals::MAX_WORD_BYTES;
use crate::pattern::{Expressions, Search};
use crate::protocol::{Protocol, Recognised, recognise};
use crate::quotation::Quotation;
use crate::recent::{Place, Recent};
use crate::repeats::Repeats;
use crate::sample::Sample;
use crate::signature::{Signature, SignatureError, Signatures};
use crate::words::{BitSet, Words};
use crate::{Origin, built_in, http, indicator, inside};

pub use self::description::Description;
pub(crate) use self::description::Findings;
pub use self::label::{Label, merged};
use self::label::{in_order, one_product_leads};
use self::lists::Lists;

/// Number of signatures whose texts (some 1 kB each) stay in memory: the signatures that applied
/// last. A condition stays in memory once it was tried; all conditions together take 4 MB.
const MAX_SIGNATURES: usize = 256;
/// Number of expressions that stay compiled for long texts; each takes some 20 kB.
const MAX_EXPRESSIONS: usize = 128;

/// Holds all signatures, and finds the signatures that apply to a request.
pub struct Labeller {
    signatures: Vec<Known>,
    /// Finds words in a request. A signature or an expression that needs one of them cannot apply
    /// without it.
    words: Words,
    /// Numbers of signatures, grouped by word: the numbers for word `w` are
    /// `by_word[by_word_starts[w]..by_word_starts[w + 1]]`.
    by_word: Vec<u32>,
    by_word_starts: Vec<u32>,
    /// Numbers of the signatures that need no word and are tried on every request.
    always: BitSet,
    /// Numbers of the signatures that need no word and are tried on every request of this protocol.
    by_protocol: Vec<(Protocol, usize)>,
    expressions: Expressions,
    recent: Recent<Arc<Signature>>,
    repeats: Repeats,
}

enum Known {
    Parsed(Arc<Signature>),
    Unparsed {
        unread: UnreadSignature,
        /// Parsed when it is first needed, and then kept.
        condition: OnceLock<Box<Condition>>,
        signature: Place<Arc<Signature>>,
    },
}

/// The labels of a request. Labels that apply only to what the request quotes are in `quoted`.
struct Labels {
    found: Vec<Label>,
    quoted: Vec<Label>,
}

impl Labeller {
    /// Returns a labeller that knows the built-in signatures.
    #[must_use]
    pub fn built_in() -> Self {
        Self::new(Vec::new(), built_in::index())
    }

    /// Returns a labeller that knows the signatures of a file, and the built-in ones too unless the
    /// file replaces them.
    ///
    /// # Errors
    /// The file is not valid, or one of its signatures does not apply to one of its own examples.
    pub fn with(file: &str) -> Result<Self, SignatureError> {
        let own = Signatures::parse(file)?;
        let mut built_in = if own.replace {
            built_in::Index::default()
        } else {
            built_in::index()
        };
        let ids: HashSet<_> = own.list.iter().map(|own| own.id.clone()).collect();
        let signatures = &mut built_in.signatures;
        signatures.retain(|known| !ids.contains(&known.signature.read().id));
        let labeller = Self::new(own.list, built_in);
        labeller.check_examples()?;
        Ok(labeller)
    }

    pub(crate) fn new(own: Vec<Signature>, built_in: Index) -> Self {
        let mut lists = Lists::new(built_in.words);
        for signature in own {
            lists.add_own(signature);
        }
        for indexed in built_in.signatures {
            lists.add_built_in(indexed);
        }
        let by_word = lists.by_word();
        Self {
            words: Words::new(&lists.words),
            by_word: by_word.signatures,
            by_word_starts: by_word.starts,
            always: BitSet::of(lists.always, lists.signatures.len()),
            by_protocol: lists.by_protocol,
            expressions: Expressions::new(MAX_EXPRESSIONS),
            recent: Recent::new(MAX_SIGNATURES),
            repeats: Repeats::new(),
            signatures: lists.signatures,
        }
    }

    /// Returns all signatures: the signatures of a file first, then the built-in ones.
    pub fn signatures(&self) -> impl ExactSizeIterator<Item = Arc<Signature>> {
        self.signatures.iter().map(Known::signature)
    }

    /// Returns the conditions of all signatures, in the order of [`signatures`](Self::signatures).
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.signatures.iter().map(Known::condition)
    }

    /// Returns the signature that is at this place of [`signatures`](Self::signatures).
    #[must_use]
    pub fn signature(&self, index: usize) -> Option<Arc<Signature>> {
        self.signatures.get(index).map(Known::signature)
    }

    /// Tries each signature on its examples. The examples of built-in signatures are not compiled
    /// in, so only a file's own are tried.
    pub(crate) fn check_examples(&self) -> Result<(), SignatureError> {
        for (index, known) in self.signatures.iter().enumerate() {
            let Known::Parsed(signature) = known else {
                continue;
            };
            for example in &signature.examples {
                if !self.applies_to_example(index, &signature.condition, example) {
                    let reason = format!("it does not apply to its example {example:?}");
                    return Err(signature.error(&reason));
                }
            }
        }
        Ok(())
    }

    fn applies_to_example(&self, index: usize, condition: &Condition, example: &str) -> bool {
        let raw = Signature::example_bytes(example);
        let recognised = recognise(&raw);
        let http = parts(&raw, &recognised);
        let search = Search::new(&self.expressions, &self.words);
        let sample = Sample::new(&raw, &recognised, http.as_ref(), None, search);
        self.candidates(&sample).has(index) && condition.evidence(&sample).is_some()
    }

    /// Describes a request.
    #[must_use]
    pub fn describe<'a>(&self, raw: &'a [u8], origin: Option<&Origin>) -> Description<'a> {
        let (findings, http) = self.find(raw, origin);
        Description::new(&findings, http)
    }

    /// Describes a request. If the same bytes from the same network were described lately, uses the
    /// earlier findings.
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

    /// Finds the protocol, labels, addresses and decoded parts of a request.
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
        let mut found = Vec::new();
        for index in candidates.iter() {
            if let Some(label) = self.apply(index, sample) {
                found.push((index, label));
            }
        }
        self.find_inside(sample, decoded, &mut found);
        let quotation = Quotation::of(sample).unwrap_or_default();
        let is_quoted = |(_, label): &mut (usize, Label)| label.is_quoted(&quotation);
        let quoted = in_order(found.extract_if(.., is_quoted).collect());
        let (mut agents, mut labels): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|(_, it)| it.signature.is_of_an_agent());
        // The name of a user agent says nothing new if another label shares evidence with it.
        agents.retain(|(_, agent)| !labels.iter().any(|(_, label)| label.overlaps(agent)));
        labels.append(&mut agents);
        let mut found = in_order(labels);
        one_product_leads(&mut found);
        Labels { found, quoted }
    }

    /// Tries a signature on a request.
    pub(crate) fn apply(&self, index: usize, sample: &Sample<'_>) -> Option<Label> {
        let known = self.signatures.get(index)?;
        let evidence = merged(known.condition().evidence(sample)?);
        let signature = match known {
            Known::Parsed(signature) => Arc::clone(signature),
            Known::Unparsed {
                unread, signature, ..
            } => {
                let held = self
                    .recent
                    .get(signature, || Some(Arc::new(unread.read())))?;
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

    /// Tells whether a request meets one of the conditions that a signature excludes.
    pub(crate) fn is_excluded(&self, index: usize, sample: &Sample<'_>) -> bool {
        let known = self.signatures.get(index);
        known.is_some_and(|known| known.condition().is_excluded(sample))
    }

    /// Returns the signatures one of whose words, or one of whose attacks, is in a decoded part.
    pub(crate) fn with_a_word_in(&self, inside: &Sample<'_>) -> BitSet {
        let mut seen = BitSet::none(self.words.len());
        for text in inside.request() {
            self.words.find(&text.bytes, &mut seen);
        }
        let mut may_apply = BitSet::none(self.signatures.len());
        self.add_by_word(inside, seen, &mut may_apply);
        may_apply
    }

    /// Returns the signatures that may apply.
    fn candidates(&self, sample: &Sample<'_>) -> BitSet {
        let mut seen = BitSet::none(self.words.len());
        // Forms that equal the bytes as sent are searched with the whole request; only changed
        // forms are searched here.
        let decoded_forms = [
            sample.request(),
            sample.path(),
            sample.query(),
            sample.body(),
        ];
        let headers = sample.headers().iter().map(|(_, forms)| &**forms);
        let decoded_forms = decoded_forms.into_iter().chain(headers);
        let decoded_forms = decoded_forms.flatten().filter(|text| !text.is_as_sent());
        let sent = sample.request().first().map_or(&[][..], |text| &text.bytes);
        self.words.find(sent, &mut seen);
        for text in decoded_forms {
            for place in text.changed(sent, MAX_WORD_BYTES) {
                self.words.find(&text.bytes[place], &mut seen);
            }
        }
        let mut may_apply = self.always.clone();
        let protocol = sample.recognised.protocol;
        for (needed, number) in &self.by_protocol {
            if *needed == protocol {
                may_apply.add(*number);
            }
        }
        self.add_by_word(sample, seen, &mut may_apply);
        may_apply
    }

    /// Adds the signatures that need one of the words that were seen. An attack that a parser found
    /// counts as if its literal had been seen.
    fn add_by_word(&self, sample: &Sample<'_>, mut seen: BitSet, may_apply: &mut BitSet) {
        for found in sample.attacks() {
            self.words
                .find(found.attack.literal().as_bytes(), &mut seen);
        }
        for word in seen.iter() {
            let (start, end) = (self.by_word_starts[word], self.by_word_starts[word + 1]);
            for number in &self.by_word[start as usize..end as usize] {
                may_apply.add(*number as usize);
            }
        }
        sample.search.note_seen(seen);
    }
}

impl Known {
    fn signature(&self) -> Arc<Signature> {
        match self {
            Self::Parsed(signature) => Arc::clone(signature),
            Self::Unparsed { unread, .. } => Arc::new(unread.read()),
        }
    }

    fn condition(&self) -> &Condition {
        match self {
            Self::Parsed(signature) => &signature.condition,
            Self::Unparsed {
                unread, condition, ..
            } => condition.get_or_init(|| unread.condition()),
        }
    }
}

/// Returns the parts of an HTTP request; `None` for another protocol.
fn parts<'a>(raw: &'a [u8], recognised: &Recognised) -> Option<http::Request<'a>> {
    match recognised.protocol {
        Protocol::Http => http::parse(raw),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
