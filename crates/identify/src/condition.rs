//! What a request must be like for a signature to apply: the `match` of `signatures.toml`.
//!
//! In: a condition as written, and a request. Out: the bytes that meet it, or that it is not met.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use memchr::memmem;
use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, IntoDeserializer, SeqAccess, Visitor};

use crate::pattern::{MIN_ANCHOR_BYTES, Pattern, weakest};
use crate::protocol::Protocol;
use crate::sample::Sample;
use crate::text::Text;

/// Evidence: ranges of the raw bytes.
pub(crate) type Evidence = Vec<Range<usize>>;

/// A condition; every field that is there must hold.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Condition {
    method: Option<Box<Test>>,
    path: Option<Box<Test>>,
    query: Option<Box<Test>>,
    target: Option<Box<Test>>,
    parameter: BTreeMap<Lowercase, Test>,
    header: BTreeMap<Lowercase, Test>,
    body: Option<Box<Test>>,
    request: Option<Box<Test>>,
    protocol: Vec<Protocol>,
    asn: Vec<u32>,
    asn_not: Vec<u32>,
    /// At least one of these must hold, if there is any.
    any: Vec<Self>,
    /// None of these may hold.
    none: Vec<Self>,
    /// What the user agent is like, in its case.
    #[serde(skip)]
    agent: Option<Box<Pattern>>,
}

/// What a part of a request must be like; each field that is there must hold, in the same form of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Test {
    #[serde(deserialize_with = "one_or_many")]
    equals: Vec<Lowercase>,
    #[serde(deserialize_with = "one_or_many")]
    starts_with: Vec<Lowercase>,
    #[serde(deserialize_with = "one_or_many")]
    ends_with: Vec<Lowercase>,
    #[serde(deserialize_with = "one_or_many")]
    contains: Vec<Lowercase>,
    #[serde(deserialize_with = "one_or_many")]
    contains_all: Vec<Lowercase>,
    #[serde(deserialize_with = "one_or_many")]
    regex: Vec<Pattern>,
    exists: bool,
}

impl Condition {
    /// A condition on the user agent alone, in which case matters.
    pub(crate) fn user_agent(pattern: String) -> Self {
        Self { agent: Some(Box::new(Pattern::in_its_case(pattern))), ..Self::default() }
    }

    /// Returns the bytes that meet the condition, in no order; `None` when it is not met.
    pub(crate) fn evidence(&self, sample: &Sample<'_>) -> Option<Evidence> {
        let speaks = &sample.recognised;
        if !self.protocol.is_empty() && !self.protocol.contains(&speaks.protocol) {
            return None;
        }
        let asn = sample.origin.and_then(|origin| origin.asn);
        if !self.asn.is_empty() && !asn.is_some_and(|asn| self.asn.contains(&asn))
            || !self.asn_not.is_empty() && asn.is_none_or(|asn| self.asn_not.contains(&asn))
        {
            return None;
        }
        let mut evidence = self.parts(sample)?;
        if !self.protocol.is_empty() {
            evidence.push(speaks.evidence.clone());
        }
        if !self.any.is_empty() {
            evidence.extend(self.any.iter().find_map(|group| group.evidence(sample))?);
        }
        self.none.iter().all(|group| group.evidence(sample).is_none()).then_some(evidence)
    }

    fn parts(&self, sample: &Sample<'_>) -> Option<Evidence> {
        let mut evidence = Evidence::new();
        if let Some(test) = &self.method {
            let method = Text::raw(sample.http.as_ref()?.method, 0);
            // The method is at the very start, but for empty lines before it.
            let start = sample.raw.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or_default();
            test.holds(&[method])?;
            evidence.push(start..start + sample.http.as_ref()?.method.len());
        }
        if let Some(test) = &self.path {
            evidence.extend(test.holds(sample.path())?);
        }
        if let Some(test) = &self.query {
            evidence.extend(test.holds(sample.query())?);
        }
        if let Some(test) = &self.target {
            evidence.extend(test.holds(sample.target())?);
        }
        if let Some(test) = &self.body {
            evidence.extend(test.holds(sample.body())?);
        }
        if let Some(test) = &self.request {
            evidence.extend(test.holds(sample.request())?);
        }
        if let Some(pattern) = &self.agent {
            let agents = sample.http.iter().flat_map(|http| http.values(b"user-agent"));
            evidence.push(agents.into_iter().find_map(|agent| {
                let start = sample.offset(agent);
                pattern.find(agent).map(|found| start + found.start..start + found.end)
            })?);
        }
        for (name, test) in &self.header {
            evidence.extend(sample.header(&name.0).find_map(|views| test.holds(views))?);
        }
        for (name, test) in &self.parameter {
            evidence.extend(sample.parameter(&name.0).find_map(|views| test.holds(views))?);
        }
        Some(evidence)
    }

    /// Tells whether it asks for nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.tests().next().is_none()
            && self.agent.is_none()
            && self.protocol.is_empty()
            && self.asn.is_empty()
            && self.asn_not.is_empty()
            && self.any.is_empty()
    }

    /// Tells whether [`user_agent`](Self::user_agent) made it.
    pub(crate) fn is_of_an_agent(&self) -> bool {
        self.agent.is_some()
    }

    fn tests(&self) -> impl Iterator<Item = &Test> {
        let parts = [&self.method, &self.path, &self.query, &self.target, &self.body, &self.request];
        parts.into_iter().flatten().map(AsRef::as_ref).chain(self.parameter.values()).chain(self.header.values())
    }

    /// Returns literals of which at least one is in every request that meets the condition; `None` when
    /// there are none that are worth it.
    pub(crate) fn anchors(&self) -> Option<Vec<String>> {
        let names = self.parameter.keys().map(|name| vec![name.0.clone()]);
        let any = self.any.iter().map(Self::anchors).collect::<Option<Vec<_>>>().filter(|groups| !groups.is_empty());
        self.tests()
            .flat_map(Test::anchors)
            .chain(names)
            .chain(self.agent.as_ref().and_then(|pattern| pattern.anchors()))
            .chain(any.map(|groups| groups.concat()))
            .max_by_key(|literals| weakest(literals))
            .filter(|literals| weakest(literals) >= MIN_ANCHOR_BYTES)
    }

    /// Compiles all expressions now, which is otherwise done when one is first needed.
    pub(crate) fn compile(&self) -> Result<(), String> {
        self.tests().flat_map(|test| &test.regex).try_for_each(|pattern| pattern.build().map(|_| ()))?;
        self.any.iter().chain(&self.none).try_for_each(Self::compile)
    }
}

impl Test {
    /// The evidence in the first form that meets the test.
    fn holds(&self, views: &[Text]) -> Option<Evidence> {
        views.iter().find_map(|text| {
            let ranges = self.ranges(&text.bytes)?;
            Some(ranges.into_iter().filter(|range| !range.is_empty()).map(|range| text.raw_range(range)).collect())
        })
    }

    /// What takes longest is tried last.
    fn ranges(&self, bytes: &[u8]) -> Option<Vec<Range<usize>>> {
        let (mut found, end) = (Vec::new(), bytes.len());
        found.extend(one_of(&self.equals, |word| (bytes == word.0.as_bytes()).then_some(0..end))?);
        found
            .extend(one_of(&self.starts_with, |word| bytes.starts_with(word.0.as_bytes()).then_some(0..word.0.len()))?);
        found.extend(one_of(&self.ends_with, |word| {
            bytes.ends_with(word.0.as_bytes()).then(|| end - word.0.len()..end)
        })?);
        for word in &self.contains_all {
            found.push(word.find(bytes)?);
        }
        found.extend(one_of(&self.contains, |word| word.find(bytes))?);
        found.extend(one_of(&self.regex, |pattern| pattern.find(bytes))?);
        Some(found)
    }

    fn anchors(&self) -> Vec<Vec<String>> {
        let texts = |words: &Vec<Lowercase>| words.iter().map(|word| word.0.clone()).collect::<Vec<_>>();
        let mut sets: Vec<_> = [&self.equals, &self.starts_with, &self.ends_with, &self.contains].map(texts).into();
        sets.extend(self.contains_all.iter().map(|word| vec![word.0.clone()]));
        sets.extend(self.regex.iter().map(Pattern::anchors).collect::<Option<Vec<_>>>().map(|all| all.concat()));
        sets.retain(|set| !set.is_empty());
        sets
    }
}

/// Finds one of these; asks for nothing where there are none.
fn one_of<T>(all: &[T], find: impl Fn(&T) -> Option<Range<usize>>) -> Option<Option<Range<usize>>> {
    if all.is_empty() { Some(None) } else { all.iter().find_map(find).map(Some) }
}

/// Text in lower case, as it is compared.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(from = "String")]
struct Lowercase(String);

impl Lowercase {
    fn find(&self, bytes: &[u8]) -> Option<Range<usize>> {
        memmem::find(bytes, self.0.as_bytes()).map(|start| start..start + self.0.len())
    }
}

impl From<String> for Lowercase {
    fn from(text: String) -> Self {
        Self(text.to_ascii_lowercase())
    }
}

/// Reads a value, or a list of them.
fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct OneOrMany<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("text, or a list of texts")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            T::deserialize(text.into_deserializer()).map(|value| vec![value])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }
    deserializer.deserialize_any(OneOrMany(std::marker::PhantomData))
}
