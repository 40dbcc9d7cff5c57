//! Tells whether a request meets a condition.
//!
//! In: a condition and a request. Out: the bytes that meet the condition, or nothing.

use std::ops::Range;

use memchr::memmem;

use crate::attack::{Attack, Place};
use crate::condition::{Attacks, Condition, Lowercase, Test};
use crate::pattern::{Gate, Pattern, Search};
use crate::program::Bytes;
use crate::sample::Sample;
use crate::text::Text;
use crate::whole::completed;

/// Longest value of a parameter that is evidence as a whole.
const MAX_VALUE_BYTES: usize = 200;

/// Ranges of the raw bytes.
pub(crate) type Evidence = Vec<Range<usize>>;

impl Condition {
    /// Returns the bytes that meet the condition, in no order; `None` when it is not met.
    pub(crate) fn evidence(&self, sample: &Sample<'_>) -> Option<Evidence> {
        let recognised = &sample.recognised;
        if !self.protocol.is_empty() && !self.protocol.contains(&recognised.protocol) {
            return None;
        }
        let asn = sample.origin.and_then(|origin| origin.asn);
        if !self.allows_network(asn) {
            return None;
        }
        // The slowest tests come last.
        let mut evidence = Evidence::new();
        self.attack.find(sample, &mut evidence)?;
        self.parts(sample, &mut evidence)?;
        if !self.protocol.is_empty() {
            evidence.push(recognised.evidence.clone());
        }
        if !self.any.is_empty() {
            evidence.extend(self.any.iter().find_map(|group| group.evidence(sample))?);
        }
        if self.excludes(sample) {
            return None;
        }
        Some(evidence)
    }

    /// Tells whether the request meets one of the conditions that must not be met, here or in a
    /// group.
    pub(crate) fn is_excluded(&self, sample: &Sample<'_>) -> bool {
        self.excludes(sample) || self.any.iter().any(|group| group.is_excluded(sample))
    }

    fn excludes(&self, sample: &Sample<'_>) -> bool {
        let mut groups = self.none.iter();
        groups.any(|group| group.evidence(sample).is_some())
    }

    /// Tells whether the condition allows the source's network. An unknown network is allowed only
    /// if the condition names no network at all, neither to require nor to exclude it.
    fn allows_network(&self, asn: Option<u32>) -> bool {
        let Some(asn) = asn else {
            return self.asn.is_empty() && self.asn_not.is_empty();
        };
        let is_asked_for = self.asn.is_empty() || self.asn.contains(&asn);
        is_asked_for && !self.asn_not.contains(&asn)
    }

    /// Adds the bytes that meet the tests of each part; returns `None` if one is not met.
    fn parts(&self, sample: &Sample<'_>, evidence: &mut Evidence) -> Option<()> {
        if let Some(test) = &self.method {
            let method = sample.http.as_ref()?.method;
            test.first_met(sample.method(), sample)?;
            if !every_client_sends(method) {
                evidence.push(sample.place(method));
            }
        }
        // Cheap: without such a header, the other tests need not run.
        for (name, _) in &self.header {
            sample.header(&name.0).next()?;
        }
        if let Some(test) = &self.path {
            evidence.extend(beyond_slash(test.holds(sample.path(), sample)?, sample));
        }
        if let Some(test) = &self.query {
            evidence.extend(test.holds(sample.query(), sample)?);
        }
        if let Some(test) = &self.target {
            evidence.extend(beyond_slash(test.holds(sample.target(), sample)?, sample));
        }
        if let Some(test) = &self.body {
            evidence.extend(test.holds(sample.body(), sample)?);
        }
        if let Some(test) = &self.request {
            evidence.extend(test.holds(sample.request(), sample)?);
        }
        if let Some(pattern) = &self.agent {
            evidence.push(in_agent(pattern, sample)?);
        }
        for (name, test) in &self.header {
            let mut values = sample.header(&name.0);
            evidence.extend(values.find_map(|forms| test.holds(forms, sample))?);
        }
        for (name, test) in &self.parameter {
            evidence.extend(in_parameter(&name.0, test, sample)?);
        }
        Some(())
    }
}

/// Returns what an expression matches in a user agent, whose case is kept.
fn in_agent(pattern: &Pattern, sample: &Sample<'_>) -> Option<Range<usize>> {
    for agent in sample.http?.values(b"user-agent") {
        if let Some(found) = pattern.find(agent, &Bytes::in_text(agent), &sample.search) {
            let start = sample.offset(agent);
            let found = completed(agent, found);
            return Some(start + found.start..start + found.end);
        }
    }
    None
}

/// Returns the evidence in the first parameter with this name that meets the test.
fn in_parameter(name: &str, test: &Test, sample: &Sample<'_>) -> Option<Evidence> {
    for forms in sample.parameter(name) {
        if let Some(evidence) = test.holds(forms, sample) {
            return Some(of_value(evidence, forms));
        }
    }
    None
}

impl Attacks {
    /// Adds the bytes of one attack for each list; returns `None` if a list has no attack in its
    /// part of the request.
    fn find(&self, sample: &Sample<'_>, evidence: &mut Evidence) -> Option<()> {
        let lists = [
            (&self.target, Some(Place::Target)),
            (&self.header, Some(Place::Header)),
            (&self.body, Some(Place::Body)),
            (&self.request, None),
        ];
        for (list, place) in lists {
            if !list.is_empty() {
                evidence.push(attack(list, place, sample)?);
            }
        }
        Some(())
    }
}

/// Returns the bytes of the first attack of these kinds; `place` is where it must be, `None` for
/// anywhere.
fn attack(kinds: &[Attack], place: Option<Place>, sample: &Sample<'_>) -> Option<Range<usize>> {
    for found in sample.attacks() {
        let is_there = place.is_none() || place == Some(found.place);
        if is_there && kinds.contains(&found.attack) {
            return Some(found.evidence.clone());
        }
    }
    None
}

impl Test {
    /// Returns the evidence in the first form that meets the test.
    fn holds(&self, forms: &[Text], sample: &Sample<'_>) -> Option<Evidence> {
        let (text, mut ranges) = self.first_met(forms, sample)?;
        ranges.retain(|range| !range.is_empty());
        for range in &mut ranges {
            *range = text.raw_range(completed(&text.bytes, range.clone()));
        }
        Some(ranges)
    }

    /// Returns the first form that meets the test, and the ranges in it that do.
    fn first_met<'t>(
        &self,
        forms: &'t [Text],
        sample: &Sample<'_>,
    ) -> Option<(&'t Text, Vec<Range<usize>>)> {
        let mut forms = forms.iter();
        forms.find_map(|text| Some((text, self.ranges(text, &sample.search)?)))
    }

    /// The slowest tests come last.
    fn ranges(&self, text: &Text, search: &Search<'_>) -> Option<Vec<Range<usize>>> {
        let bytes = &text.bytes[..];
        let mut found = Vec::new();
        if !self.equals.is_empty() {
            found.push(first_word(&self.equals, bytes, Lowercase::equal)?);
        }
        if !self.starts_with.is_empty() {
            found.push(first_word(&self.starts_with, bytes, Lowercase::at_start)?);
        }
        if !self.ends_with.is_empty() {
            found.push(first_word(&self.ends_with, bytes, Lowercase::at_end)?);
        }
        for word in &*self.contains_all {
            found.push(word.find(bytes)?);
        }
        if !self.contains.is_empty() {
            found.push(first_word(&self.contains, bytes, Lowercase::find)?);
        }
        if !self.regex.is_empty() {
            found.push(self.matched(text, search)?);
        }
        Some(found)
    }

    /// Returns the match of the first expression that has one.
    fn matched(&self, text: &Text, search: &Search<'_>) -> Option<Range<usize>> {
        if self.regex.len() > 1 {
            let gate = || Box::new(Gate::new(&self.regex, search));
            if !self.gate.get_or_init(gate).is_open(text.present(), search) {
                return None;
            }
        }
        let mut patterns = self.regex.iter();
        patterns.find_map(|pattern| pattern.find(&text.bytes, text.present(), search))
    }
}

/// Each function returns the place of the word in the bytes, if it is there.
impl Lowercase {
    fn equal(&self, bytes: &[u8]) -> Option<Range<usize>> {
        (bytes == self.0.as_bytes()).then_some(0..bytes.len())
    }

    fn at_start(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let is_there = bytes.starts_with(self.0.as_bytes());
        is_there.then_some(0..self.0.len())
    }

    fn at_end(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let start = bytes.len().checked_sub(self.0.len())?;
        (&bytes[start..] == self.0.as_bytes()).then_some(start..bytes.len())
    }

    fn find(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let start = memmem::find(bytes, self.0.as_bytes())?;
        Some(start..start + self.0.len())
    }
}

/// Returns the place that `find` gives for the first of the words that it finds.
fn first_word(
    words: &[Lowercase],
    bytes: &[u8],
    find: impl Fn(&Lowercase, &[u8]) -> Option<Range<usize>>,
) -> Option<Range<usize>> {
    words.iter().find_map(|word| find(word, bytes))
}

/// Tells whether every client sends the method; such a method is a condition, but no evidence.
fn every_client_sends(method: &[u8]) -> bool {
    [&b"GET"[..], b"HEAD"].contains(&method)
}

/// Leaves out ranges that are only `/`: every client may send it, so it is no evidence.
fn beyond_slash(evidence: Evidence, sample: &Sample<'_>) -> impl Iterator<Item = Range<usize>> {
    let says_something = |range: &Range<usize>| sample.raw.get(range.clone()) != Some(b"/");
    evidence.into_iter().filter(says_something)
}

/// Returns the evidence of a parameter. If it is empty or single characters, and the value is
/// short, the whole value is the evidence.
fn of_value(evidence: Evidence, forms: &[Text]) -> Evidence {
    let Some(sent) = forms.first() else {
        return evidence;
    };
    let length = sent.bytes.len();
    let is_short = (1..=MAX_VALUE_BYTES).contains(&length);
    if is_short && evidence.iter().all(|range| range.len() <= 1) {
        vec![sent.raw_range(0..length)]
    } else {
        evidence
    }
}
