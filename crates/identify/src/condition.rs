//! The `match` of a signature: what a request must be like for the signature to apply.
//!
//! In: a `match`, as written. Out: a [`Condition`], and literals; every request that meets the
//! condition has at least one of them. Looks at no request, so that `build.rs` can use it too.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, IntoDeserializer, SeqAccess, Visitor};

use crate::attack::Attack;
use crate::literals::{MIN_WORD_BYTES, cut, strongest, weakest};
use crate::pattern::{Gate, Pattern};
use crate::protocol::Protocol;

/// Headers that are in so many requests that their names narrow nothing down.
const USUAL_HEADERS: [&str; 15] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "origin",
    "referer",
    "upgrade-insecure-requests",
    "user-agent",
    "x-forwarded-for",
];

/// Tests, each with the name of its header or parameter, sorted by name. A map would take 1.4 kB
/// even for one test.
pub(crate) type Named = Box<[(Lowercase, Test)]>;

/// A condition. Every field that is set must hold. Lists are boxed slices: vectors reserve room for
/// more, which would take half a megabyte in all.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Condition {
    pub(crate) method: Option<Box<Test>>,
    pub(crate) path: Option<Box<Test>>,
    pub(crate) query: Option<Box<Test>>,
    pub(crate) target: Option<Box<Test>>,
    #[serde(deserialize_with = "named")]
    pub(crate) parameter: Named,
    #[serde(deserialize_with = "named")]
    pub(crate) header: Named,
    pub(crate) body: Option<Box<Test>>,
    pub(crate) request: Option<Box<Test>>,
    pub(crate) attack: Attacks,
    pub(crate) protocol: Vec<Protocol>,
    pub(crate) asn: Vec<u32>,
    pub(crate) asn_not: Vec<u32>,
    /// At least one of these must hold, if there is any.
    pub(crate) any: Box<[Self]>,
    /// None of these may hold.
    pub(crate) none: Box<[Self]>,
    /// An expression for the user agent; case matters.
    #[serde(skip)]
    pub(crate) agent: Option<Box<Pattern>>,
}

/// Kinds of attack in parts of the request. For each list that is not empty, a parser must find one
/// of its kinds in that part.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Attacks {
    pub(crate) target: Box<[Attack]>,
    pub(crate) header: Box<[Attack]>,
    pub(crate) body: Box<[Attack]>,
    /// Anywhere in the request.
    pub(crate) request: Box<[Attack]>,
}

/// What a part of a request must be like. Every field that is set must hold in the same form of the
/// part.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Test {
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) equals: Box<[Lowercase]>,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) starts_with: Box<[Lowercase]>,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) ends_with: Box<[Lowercase]>,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) contains: Box<[Lowercase]>,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) contains_all: Box<[Lowercase]>,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) regex: Box<[Pattern]>,
    pub(crate) exists: bool,
    /// A check that shows that none of the expressions can match; made when it is first needed.
    #[serde(skip)]
    pub(crate) gate: OnceLock<Box<Gate>>,
}

impl Condition {
    /// Returns a condition on the user agent alone, for which case matters.
    pub(crate) fn user_agent(pattern: String) -> Self {
        Self {
            agent: Some(Box::new(Pattern::in_its_case(pattern))),
            ..Self::default()
        }
    }

    /// Tells whether the condition asks for nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.tests().next().is_none()
            && self.attack.lists().next().is_none()
            && self.agent.is_none()
            && self.protocol.is_empty()
            && self.asn.is_empty()
            && self.asn_not.is_empty()
            && self.any.is_empty()
    }

    /// Tells whether [`user_agent`](Self::user_agent) made the condition.
    pub(crate) fn is_of_an_agent(&self) -> bool {
        self.agent.is_some()
    }

    fn tests(&self) -> impl Iterator<Item = &Test> {
        let parts = [
            &self.method,
            &self.path,
            &self.query,
            &self.target,
            &self.body,
            &self.request,
        ];
        parts
            .into_iter()
            .flatten()
            .map(AsRef::as_ref)
            .chain(self.parameter.iter().map(|(_, test)| test))
            .chain(self.header.iter().map(|(_, test)| test))
    }

    /// Returns words; every request that meets the condition has at least one of them. Returns
    /// `None` if no words are worth the search.
    pub(crate) fn words(&self) -> Option<Vec<String>> {
        self.values().or_else(|| self.rare_headers())
    }

    /// Returns the best words that are not names of headers; `None` if none are worth the search.
    fn values(&self) -> Option<Vec<String>> {
        let names = self.parameter.iter();
        let names = names.map(|(name, _)| vec![name.0.to_string()]);
        let any = self
            .any
            .iter()
            .map(Self::values)
            .collect::<Option<Vec<_>>>()
            .filter(|groups| !groups.is_empty());
        let agent = self.agent.as_ref().and_then(|pattern| pattern.literals());
        let sets = self
            .tests()
            .flat_map(Test::literals)
            .chain(names)
            .chain(self.attack.literals())
            .chain(agent)
            .chain(any.map(|groups| groups.concat()));
        strongest(sets)
            .filter(|literals| weakest(literals) >= MIN_WORD_BYTES)
            .map(cut)
    }

    /// Returns the name of a header that the condition asks for and few requests have. A decoded
    /// part has no headers of its own, so a literal of a value is better.
    fn rare_headers(&self) -> Option<Vec<String>> {
        for (name, _) in &self.header {
            let is_rare = !USUAL_HEADERS.contains(&&*name.0);
            if is_rare && name.0.len() >= MIN_WORD_BYTES {
                return Some(cut(vec![name.0.to_string()]));
            }
        }
        let groups = self.any.iter().map(Self::words);
        let groups = groups.collect::<Option<Vec<_>>>()?.concat();
        (!groups.is_empty()).then(|| cut(groups))
    }

    /// Returns all expressions of the condition and of its groups.
    pub(crate) fn patterns(&self) -> Vec<&Pattern> {
        let own = self.tests().flat_map(|test| &*test.regex);
        let inner = self.any.iter().chain(&*self.none);
        let agent = self.agent.as_deref().into_iter();
        own.chain(agent)
            .chain(inner.flat_map(Self::patterns))
            .collect()
    }

    /// Compiles all expressions, to find errors now. Otherwise an expression is compiled when it is
    /// first needed.
    pub(crate) fn compile(&self) -> Result<(), String> {
        self.tests()
            .flat_map(|test| &*test.regex)
            .try_for_each(|pattern| pattern.build().map(|_| ()))?;
        self.any
            .iter()
            .chain(&*self.none)
            .try_for_each(Self::compile)
    }
}

impl Attacks {
    /// Returns the lists that are not empty.
    pub(crate) fn lists(&self) -> impl Iterator<Item = &[Attack]> {
        let all = [&self.target, &self.header, &self.body, &self.request];
        all.into_iter()
            .map(|list| &**list)
            .filter(|list| !list.is_empty())
    }

    fn literals(&self) -> impl Iterator<Item = Vec<String>> {
        self.lists()
            .map(|list| list.iter().map(|attack| attack.literal()).collect())
    }
}

impl Test {
    fn literals(&self) -> Vec<Vec<String>> {
        let texts = |words: &[Lowercase]| {
            words
                .iter()
                .map(|word| word.0.to_string())
                .collect::<Vec<_>>()
        };
        let mut sets: Vec<_> = [
            &self.equals,
            &self.starts_with,
            &self.ends_with,
            &self.contains,
        ]
        .map(|words| texts(words))
        .into();
        sets.extend(
            self.contains_all
                .iter()
                .map(|word| vec![word.0.to_string()]),
        );
        sets.extend(
            self.regex
                .iter()
                .map(Pattern::literals)
                .collect::<Option<Vec<_>>>()
                .map(|all| all.concat()),
        );
        sets.retain(|set| !set.is_empty());
        sets
    }
}

/// Text in lower case, for comparison with texts in lower case.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(from = "String")]
pub(crate) struct Lowercase(pub(crate) Box<str>);

impl From<String> for Lowercase {
    fn from(text: String) -> Self {
        Self(text.to_ascii_lowercase().into())
    }
}

fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Named, D::Error> {
    let tests = BTreeMap::<Lowercase, Test>::deserialize(deserializer)?;
    Ok(tests.into_iter().collect())
}

/// Reads a value, or a list of them.
fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Box<[T]>, D::Error> {
    struct OneOrMany<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Box<[T]>;
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("text, or a list of texts")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            T::deserialize(text.into_deserializer()).map(|value| [value].into())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Box::deserialize(SeqAccessDeserializer::new(list))
        }
    }
    deserializer.deserialize_any(OneOrMany(std::marker::PhantomData))
}
