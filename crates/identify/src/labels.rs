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
        let (labels, indicators) = (self.labels(&sample), indicator::indicators(sample.request()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Category;

    /// Words that only specialists know; the explanations do without.
    const JARGON: [&str; 14] = [
        "rce",
        "lfi",
        "rfi",
        "ssrf",
        "xxe",
        "ssti",
        "poc",
        "ioc",
        "deserialization",
        "unauthenticated",
        "pre-auth",
        "preauth",
        "unauth",
        "payloads",
    ];

    const OWN: &str = r#"
        [[signature]]
        id = "own"
        title = "Ours"
        category = "recon"
        explanation = "What we look for ourselves, and nobody else in the world does."
        match.path.equals = "/own"
        examples = ["GET /own HTTP/1.1"]
    "#;

    fn ids(labeller: &Labeller, raw: &[u8]) -> Vec<String> {
        labeller.describe(raw, None).labels.iter().map(|label| label.signature.id.clone()).collect()
    }

    #[test]
    fn every_built_in_signature_is_as_it_should_be() {
        let signatures = Signatures::parse(BUILT_IN).unwrap_or_else(|error| panic!("signatures.toml, {error}"));
        assert!(signatures.list.len() >= 400, "{}", signatures.list.len());
        for signature in &signatures.list {
            let (id, explanation) = (&signature.id, signature.explanation.to_lowercase());
            assert!(!signature.examples.is_empty(), "{id}: no example");
            assert!(explanation.ends_with(['.', '!', '?']), "{id}: {explanation}");
            let jargon = explanation.split(|char: char| !char.is_alphanumeric() && char != '-');
            let jargon: Vec<_> = jargon.filter(|word| JARGON.contains(word)).collect();
            assert!(jargon.is_empty(), "{id}: {jargon:?}");
        }
    }

    #[test]
    fn every_signature_applies_to_its_examples() {
        let signatures = Signatures::parse(BUILT_IN).unwrap().list;
        // What the program takes without looking is what a careful look finds.
        assert_eq!(Signatures::trusted(BUILT_IN).len(), signatures.len());
        let labeller = Labeller::new(signatures.into_iter().chain(crawlers::signatures()).collect());
        labeller.check_examples().unwrap();
        let mut ids = HashSet::new();
        let twice = labeller.signatures().iter().map(|it| &it.id).filter(|id| !ids.insert(*id)).collect::<Vec<_>>();
        assert!(twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn a_file_extends_or_replaces() {
        let extended = Labeller::with(OWN).unwrap();
        assert!(extended.signatures().len() > 400);
        assert!(ids(&extended, b"GET /own HTTP/1.1\r\n\r\n").contains(&"own".to_owned()));
        let replaced = Labeller::with(&format!("replace = true\n{OWN}")).unwrap();
        assert_eq!(replaced.signatures().len(), 1);
        // One of its own with the id of a built-in one stands in its place.
        let id = &Signatures::trusted(BUILT_IN)[0].id.clone();
        let same = Labeller::with(&OWN.replace("\"own\"", &format!("\"{id}\""))).unwrap();
        assert_eq!(same.signatures().iter().filter(|signature| signature.id == *id).count(), 1);
        assert_eq!(same.signatures()[0].title, "Ours");
    }

    #[test]
    fn a_broken_file_is_refused_with_line_and_reason() {
        for (broken, line, reason) in [
            (OWN.replace("\"own\"", "\"Own!\""), 2, "Own!: id: "),
            (OWN.replace("category = \"recon\"", "category = \"evil\""), 5, "unknown variant `evil`"),
            (OWN.replace("match.path.equals", "match.path.equal"), 7, "unknown field `equal`"),
            (OWN.replace("match.path.equals = \"/own\"", "match.path.regex = \"(\""), 2, "own: regex parse error"),
            (OWN.replace("match.path.equals = \"/own\"", "match = {}"), 2, "own: match: "),
            (
                OWN.replace("What we look for ourselves, and nobody else in the world does.", "x"),
                2,
                "own: explanation: ",
            ),
            (OWN.replace("examples", "cve = [\"CVE-21-1\"]\nexamples"), 2, "own: cve: CVE-21-1"),
            (OWN.replace("examples", "references = [\"http://x\"]\nexamples"), 2, "own: references: http://x"),
            (format!("{OWN}{OWN}"), 10, "own: another signature has this id"),
            (OWN.replace("GET /own", "GET /other"), 2, "own: it does not apply to its example"),
            ("[[signature]".to_owned(), 1, ""),
        ] {
            let Err(error) = Labeller::with(&broken) else { panic!("taken: {broken}") };
            assert!(error.line == line && error.reason.starts_with(reason), "{error} for {broken}");
        }
    }

    #[test]
    fn the_most_specific_comes_first() {
        let labeller = Labeller::built_in();
        let raw = b"GET /cgi-bin/luci/;stok=/locale?form=country&operation=write&country=$(id) HTTP/1.1\r\nUser-Agent: Go-http-client/1.1\r\n\r\n";
        let labels = labeller.describe(raw, None).labels;
        let first = &labels[0].signature;
        assert_eq!((first.category, &*first.cve), (Category::Exploit, &["CVE-2023-1389".to_owned()][..]));
        assert_eq!(labels.last().unwrap().signature.category, Category::Ordinary);
        let evidence: Vec<_> = labels[0].evidence.iter().map(|range| &raw[range.clone()]).collect();
        assert!(evidence.iter().any(|bytes| bytes.starts_with(b"/cgi-bin/luci/;stok=/locale")), "{evidence:?}");
    }

    #[test]
    fn the_network_tells_who_lies() {
        let labeller = Labeller::built_in();
        let raw = b"GET / HTTP/1.1\r\nUser-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)\r\n\r\n";
        let ids_from = |asn| {
            let origin = Origin { asn: Some(asn), ..Origin::default() };
            let labels = labeller.describe(raw, Some(&origin)).labels;
            labels.iter().map(|label| label.signature.id.clone()).collect::<Vec<_>>()
        };
        assert!(ids_from(64496).contains(&"googlebot-false-claim".to_owned()));
        assert!(!ids_from(15169).contains(&"googlebot-false-claim".to_owned()));
        assert!(ids_from(398_324).iter().any(|id| id.contains("censys")));
        assert!(!ids(&labeller, raw).contains(&"googlebot-false-claim".to_owned()));
    }

    #[test]
    fn no_bytes_panic_and_evidence_lies_within_them() {
        let labeller = Labeller::built_in();
        let mut random = 1_u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        let signatures = Signatures::parse(BUILT_IN).unwrap().list;
        let examples = signatures.iter().flat_map(|signature| &signature.examples);
        for example in examples.map(|example| Signature::example_bytes(example)) {
            for _ in 0..4 {
                let mut raw = example[..next(example.len() + 1)].to_vec();
                for _ in 0..next(4) {
                    let at = next(raw.len() + 1);
                    raw.splice(at..at, *b"\xff%2\0".get(next(4)..).and_then(<[u8]>::first_chunk::<1>).unwrap_or(b"$"));
                }
                for label in labeller.describe(&raw, None).labels {
                    assert!(label.evidence.iter().all(|range| range.start < range.end && range.end <= raw.len()));
                }
            }
        }
    }
}
