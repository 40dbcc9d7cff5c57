//! Signatures of crawlers, feed readers, scanners and libraries, by their user agents.
//!
//! In: a user agent of `crawler-user-agents.json`, as `build.rs` writes it. Out: a [`Signature`].
//! The list (MIT, <https://github.com/monperrus/crawler-user-agents>) is unchanged.

use serde::Deserialize;

use crate::condition::Condition;
use crate::signature::{Category, Confidence, Signature};

/// A user agent, as `build.rs` writes it.
#[derive(Deserialize)]
pub(crate) struct Agent {
    id: String,
    pattern: String,
    description: String,
    tag: Option<String>,
}

impl Agent {
    pub(crate) fn signature(self) -> Signature {
        let name = self.name();
        let (category, purpose) = category(self.tag.as_deref().unwrap_or_default());
        let about = if self.description.is_empty() {
            name.as_str()
        } else {
            self.description.trim_end_matches('.')
        };
        let mut explanation =
            format!("{about}. {purpose} The user agent says so; anybody can write that.");
        if explanation.chars().count() > 400 {
            explanation =
                format!("{name}. {purpose} The user agent says so; anybody can write that.");
        }
        Signature {
            id: self.id,
            title: name,
            category,
            also: Vec::new(),
            product: None,
            cve: Vec::new(),
            year: None,
            usual: None,
            confidence: Confidence::Likely,
            generic: false,
            explanation,
            references: Vec::new(),
            examples: Vec::new(),
            siblings: Vec::new(),
            condition: Condition::user_agent(self.pattern),
            line: 0,
        }
    }

    /// Returns the pattern without the signs of a regular expression: `[cC]laude[bB]ot` becomes
    /// `claudebot`.
    fn name(&self) -> String {
        let mut name = String::new();
        // This prefix matches the start of the text, or a space.
        let mut chars = self.pattern.trim_start_matches("(^| )").chars();
        while let Some(char) = chars.next() {
            match char {
                '[' => {
                    let set: Vec<char> = chars.by_ref().take_while(|&char| char != ']').collect();
                    name.extend(set.iter().find(|char| char.is_ascii_alphabetic()));
                }
                '\\' => name.extend(chars.next().filter(|char| !char.is_ascii_alphabetic())),
                '^' | '$' | '(' | ')' | '*' | '+' | '?' => {}
                '|' => break,
                char => name.push(char),
            }
        }
        let name = name
            .trim_matches(|char: char| " /;,:".contains(char))
            .to_owned();
        if name.is_empty() {
            self.pattern.clone()
        } else {
            name
        }
    }
}

/// Returns the category of a tag, and a sentence on what its clients do.
fn category(tag: &str) -> (Category, &'static str) {
    match tag {
        "search-engine" => (
            Category::Crawler,
            "A search engine's crawler reads pages to make them findable.",
        ),
        "seo" => (
            Category::Crawler,
            "It collects pages and links for people who want to be found.",
        ),
        "advertising" => (
            Category::Crawler,
            "It looks at pages on which advertisements are shown.",
        ),
        "social-preview" => (
            Category::Crawler,
            "It fetches a page to show a preview of a link that somebody posted.",
        ),
        "feed-reader" => (Category::Crawler, "It looks for news in a feed."),
        "ai-crawler" => (
            Category::Crawler,
            "It collects pages for an artificial intelligence, or fetches one for its user.",
        ),
        "archiver" => (Category::Crawler, "It keeps copies of pages for later."),
        "academic" => (Category::Crawler, "It collects pages for research."),
        "monitoring" => (
            Category::Monitoring,
            "It looks whether a site is up and well.",
        ),
        "scanner" => (
            Category::Recon,
            "It looks for weaknesses or takes stock of what answers.",
        ),
        "http-library" => (
            Category::Ordinary,
            "A library by which programs fetch pages.",
        ),
        _ => (Category::Ordinary, "A browser that a program steers."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Labeller, built_in};
    use std::collections::HashSet;

    #[derive(Deserialize)]
    struct Crawler {
        pattern: String,
        #[serde(default)]
        instances: Vec<String>,
    }

    /// Returns all crawlers as signatures. The example of each is the first request in the list, or
    /// one made from the pattern.
    fn signatures() -> Vec<Signature> {
        let crawlers: Vec<Crawler> =
            serde_json::from_str(include_str!("../data/crawler-user-agents.json")).unwrap();
        let read = built_in::index()
            .signatures
            .into_iter()
            .map(|it| it.signature.read());
        let signatures: Vec<_> = read.filter(Signature::is_of_an_agent).collect();
        assert_eq!(signatures.len(), crawlers.len());
        let with_example = |(signature, crawler): (Signature, Crawler)| {
            let agent = crawler
                .instances
                .into_iter()
                .next()
                .unwrap_or_else(|| crawler.pattern.replace('\\', "") + "x");
            Signature {
                examples: vec![format!("GET / HTTP/1.1\nUser-Agent: {agent}")],
                ..signature
            }
        };
        signatures
            .into_iter()
            .zip(crawlers)
            .map(with_example)
            .collect()
    }

    #[test]
    fn every_pattern_becomes_a_signature_that_applies_to_its_agent() {
        let signatures = signatures();
        assert!(signatures.len() > 1000);
        for signature in &signatures {
            signature
                .check()
                .unwrap_or_else(|reason| panic!("{}: {reason}", signature.id));
        }
        Labeller::new(signatures, built_in::Index::default())
            .check_examples()
            .unwrap();
    }

    #[test]
    fn names_are_readable() {
        let signatures = signatures();
        let titles: HashSet<&str> = signatures
            .iter()
            .map(|signature| &*signature.title)
            .collect();
        for title in ["Googlebot", "bingbot", "AhrefsBot", "curl", "Wget"] {
            assert!(
                titles.iter().any(|found| found.eq_ignore_ascii_case(title)),
                "{title}"
            );
        }
        assert!(titles.iter().all(|title| !title.contains(['\\', '[', '^'])));
    }
}
