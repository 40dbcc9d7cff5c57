//! Whether a request meets a condition.
//!
//! In: a condition and a request. Out: the bytes that meet it, or that it is not met.

use std::ops::Range;

use memchr::memmem;

use crate::attack::Place;
use crate::condition::{Attacks, Condition, Lowercase, Test};
use crate::pattern::{Gate, Search};
use crate::program::Bytes;
use crate::sample::Sample;
use crate::text::Text;
use crate::whole::whole;

/// Longest value of a parameter that is evidence as a whole.
const MAX_VALUE_BYTES: usize = 200;

/// Ranges of the raw bytes.
pub(crate) type Evidence = Vec<Range<usize>>;

impl Condition {
    /// Returns the bytes that meet the condition, in no order; `None` when it is not met.
    pub(crate) fn evidence(&self, sample: &Sample<'_>) -> Option<Evidence> {
        let speaks = &sample.recognised;
        if !self.protocol.is_empty() && !self.protocol.contains(&speaks.protocol) {
            return None;
        }
        let asn = sample.origin.and_then(|origin| origin.asn);
        let is_met = self.asn.is_empty() || asn.is_some_and(|asn| self.asn.contains(&asn));
        let is_shut_out =
            !self.asn_not.is_empty() && asn.is_none_or(|asn| self.asn_not.contains(&asn));
        if !is_met || is_shut_out {
            return None;
        }
        let mut evidence = self.parts(sample)?;
        if !self.protocol.is_empty() {
            evidence.push(speaks.evidence.clone());
        }
        self.attack.find(sample, &mut evidence)?;
        if !self.any.is_empty() {
            evidence.extend(self.any.iter().find_map(|group| group.evidence(sample))?);
        }
        self.none
            .iter()
            .all(|group| group.evidence(sample).is_none())
            .then_some(evidence)
    }

    /// Tells whether the request meets one of the conditions that must not be met.
    pub(crate) fn is_excluded(&self, sample: &Sample<'_>) -> bool {
        let mut none = self.none.iter();
        none.any(|group| group.evidence(sample).is_some())
            || self.any.iter().any(|group| group.is_excluded(sample))
    }

    fn parts(&self, sample: &Sample<'_>) -> Option<Evidence> {
        let mut evidence = Evidence::new();
        if let Some(test) = &self.method {
            let method = sample.http.as_ref()?.method;
            test.holds(sample.method(), sample)?;
            if !is_said_by_all(method) {
                let start = sample.offset(method);
                evidence.push(start..start + method.len());
            }
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
            let agents = sample
                .http
                .iter()
                .flat_map(|http| http.values(b"user-agent"));
            evidence.push(agents.into_iter().find_map(|agent| {
                let start = sample.offset(agent);
                let found = pattern.find(agent, &Bytes::in_text(agent), &sample.search)?;
                let found = whole(agent, found);
                Some(start + found.start..start + found.end)
            })?);
        }
        for (name, test) in &self.header {
            evidence.extend(
                sample
                    .header(&name.0)
                    .find_map(|views| test.holds(views, sample))?,
            );
        }
        for (name, test) in &self.parameter {
            evidence.extend(
                sample
                    .parameter(&name.0)
                    .find_map(|views| of_value(test.holds(views, sample)?, views))?,
            );
        }
        Some(evidence)
    }
}

impl Attacks {
    /// Adds what is one of the kinds that each list asks for; `None` where there is none.
    fn find(&self, sample: &Sample<'_>, evidence: &mut Evidence) -> Option<()> {
        let lists = [
            (&self.target, Some(Place::Target)),
            (&self.header, Some(Place::Header)),
            (&self.body, Some(Place::Body)),
            (&self.request, None),
        ];
        for (list, place) in lists.into_iter().filter(|(list, _)| !list.is_empty()) {
            let mut all = sample.attacks().iter();
            let found = all.find(|found| {
                list.contains(&found.attack) && place.is_none_or(|place| place == found.place)
            })?;
            evidence.push(found.evidence.clone());
        }
        Some(())
    }
}

impl Test {
    /// The evidence in the first form that meets the test.
    fn holds(&self, views: &[Text], sample: &Sample<'_>) -> Option<Evidence> {
        views.iter().find_map(|text| {
            let ranges = self.ranges(text, &sample.search)?;
            Some(
                ranges
                    .into_iter()
                    .filter(|range| !range.is_empty())
                    .map(|range| text.raw_range(whole(&text.bytes, range)))
                    .collect(),
            )
        })
    }

    /// What takes longest is tried last.
    fn ranges(&self, text: &Text, search: &Search<'_>) -> Option<Vec<Range<usize>>> {
        let bytes = &text.bytes[..];
        let (mut found, end) = (Vec::new(), bytes.len());
        found.extend(one_of(&self.equals, |word| {
            (bytes == word.0.as_bytes()).then_some(0..end)
        })?);
        found.extend(one_of(&self.starts_with, |word| {
            bytes
                .starts_with(word.0.as_bytes())
                .then_some(0..word.0.len())
        })?);
        found.extend(one_of(&self.ends_with, |word| {
            bytes
                .ends_with(word.0.as_bytes())
                .then(|| end - word.0.len()..end)
        })?);
        for word in &*self.contains_all {
            found.push(word.find(bytes)?);
        }
        found.extend(one_of(&self.contains, |word| word.find(bytes))?);
        if self.regex.len() > 1 {
            let gate = || Box::new(Gate::new(&self.regex, search));
            if !self.gate.get_or_init(gate).is_open(text.present(), search) {
                return None;
            }
        }
        found.extend(one_of(&self.regex, |pattern| {
            pattern.find(bytes, text.present(), search)
        })?);
        Some(found)
    }
}

impl Lowercase {
    fn find(&self, bytes: &[u8]) -> Option<Range<usize>> {
        memmem::find(bytes, self.0.as_bytes()).map(|start| start..start + self.0.len())
    }
}

/// Every client sends it: that it is there is a condition and no evidence.
fn is_said_by_all(method: &[u8]) -> bool {
    [&b"GET"[..], b"HEAD"].contains(&method)
}

/// Nor is a path that is no more than `/`.
fn beyond_slash(evidence: Evidence, sample: &Sample<'_>) -> impl Iterator<Item = Range<usize>> {
    let says_something = |range: &Range<usize>| sample.raw.get(range.clone()) != Some(b"/");
    evidence.into_iter().filter(says_something)
}

/// Of a parameter, the value, where the evidence is that it is there or has a single character in
/// it, and it is short.
fn of_value(evidence: Evidence, views: &[Text]) -> Option<Evidence> {
    let is_little = evidence.iter().all(|range| range.len() <= 1);
    let whole = views.first().filter(|sent| {
        let length = sent.bytes.len();
        is_little && (1..=MAX_VALUE_BYTES).contains(&length)
    });
    Some(whole.map_or(evidence, |sent| vec![sent.raw_range(0..sent.bytes.len())]))
}

/// Finds one of these; asks for nothing where there are none.
fn one_of<T>(all: &[T], find: impl Fn(&T) -> Option<Range<usize>>) -> Option<Option<Range<usize>>> {
    if all.is_empty() {
        Some(None)
    } else {
        all.iter().find_map(find).map(Some)
    }
}
