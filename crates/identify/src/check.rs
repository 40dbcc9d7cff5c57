//! Finds faults that show only when all signatures are compared: `identify --check`.
//!
//! In: all signatures of a [`Labeller`], with their examples. Out: how many there are, which of
//! them have the same match or title, and which examples also get the CVE of another signature.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Deserialize;

use crate::labels::Labeller;
use crate::signature::Signature;

/// The examples and siblings of the built-in signatures, by id; `build.rs` wrote them. Only tests
/// and this module need them.
const EXTRAS: &str = include_str!(concat!(env!("OUT_DIR"), "/extras.json"));

/// The result of a check of all signatures.
#[derive(Debug, Default)]
pub struct Report {
    /// Number of signatures that are written in files.
    pub signatures: usize,
    /// Number of signatures that are made from the list of user agents.
    pub crawlers: usize,
    /// Ids of signatures with the same match.
    pub same_match: Vec<Vec<String>>,
    /// Ids of signatures with the same title.
    pub same_title: Vec<Vec<String>>,
    /// Examples to which a signature with other CVEs applies as well.
    pub foreign: Vec<Foreign>,
}

/// An example to which a signature with other CVEs applies as well.
#[derive(Debug)]
pub struct Foreign {
    /// The signature that has the example.
    pub id: String,
    /// The number of the example in the signature, from 1.
    pub example: usize,
    /// The id of the other signature.
    pub other: String,
    /// The CVEs of the other signature.
    pub cve: Vec<String>,
}

/// The parts of a signature that do not help to recognise.
#[derive(Clone, Deserialize)]
struct Extras {
    #[serde(default)]
    examples: Vec<String>,
    #[serde(default)]
    siblings: Vec<String>,
}

impl Labeller {
    /// Finds signatures with the same match or title, and tries the examples of all that name a
    /// CVE.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        let (mut matches, mut titles) = (BTreeMap::new(), BTreeMap::new());
        let mut written = Vec::new();
        for (signature, condition) in self.signatures().zip(self.conditions()) {
            if signature.is_of_an_agent() {
                report.crawlers += 1;
                continue;
            }
            note(&mut matches, format!("{condition:?}"), &signature);
            note(&mut titles, signature.title.to_lowercase(), &signature);
            written.push(signature);
        }
        report.signatures = written.len();
        report.same_match = twice(matches);
        report.same_title = twice(titles);
        let extras = extras(written.iter().map(AsRef::as_ref));
        for signature in written.iter().filter(|it| !it.cve.is_empty()) {
            self.find_foreign(signature, &extras, &mut report.foreign);
        }
        report
    }

    fn find_foreign(
        &self,
        signature: &Signature,
        extras: &HashMap<String, Extras>,
        all: &mut Vec<Foreign>,
    ) {
        let Some(own) = extras.get(&signature.id) else {
            return;
        };
        let is_sibling = |other: &str| {
            let theirs = extras.get(other).map(|it| &it.siblings);
            own.siblings.iter().any(|id| id == other)
                || theirs.is_some_and(|ids| ids.contains(&signature.id))
        };
        for (example, number) in own.examples.iter().zip(1..) {
            let raw = Signature::example_bytes(example);
            for label in self.describe(&raw, None).labels {
                let other = &label.signature;
                let is_other = other.id != signature.id && !other.cve.is_empty();
                let shares = other.cve.iter().any(|cve| signature.cve.contains(cve));
                if is_other && !shares && !is_sibling(&other.id) {
                    all.push(Foreign {
                        id: signature.id.clone(),
                        example: number,
                        other: other.id.clone(),
                        cve: other.cve.clone(),
                    });
                }
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            signatures,
            crawlers,
            ..
        } = self;
        writeln!(formatter, "{signatures} signatures, {crawlers} crawlers")?;
        for ids in &self.same_match {
            writeln!(formatter, "the same match: {}", ids.join(", "))?;
        }
        for ids in &self.same_title {
            writeln!(formatter, "the same title: {}", ids.join(", "))?;
        }
        for it in &self.foreign {
            let cve = it.cve.join(", ");
            let (id, example, other) = (&it.id, it.example, &it.other);
            writeln!(
                formatter,
                "{id}: example {example} is also {other} ({cve}), which is not listed as a sibling"
            )?;
        }
        Ok(())
    }
}

fn note(ids: &mut BTreeMap<String, Vec<String>>, key: String, signature: &Signature) {
    ids.entry(key).or_default().push(signature.id.clone());
}

fn twice(ids: BTreeMap<String, Vec<String>>) -> Vec<Vec<String>> {
    ids.into_values().filter(|ids| ids.len() > 1).collect()
}

/// Returns examples and siblings of all signatures, by id, whether the signatures are built in or
/// were read from a file.
fn extras<'a>(written: impl Iterator<Item = &'a Signature>) -> HashMap<String, Extras> {
    let mut all: HashMap<String, Extras> = serde_json::from_str(EXTRAS).expect("build.rs wrote it");
    for signature in written.filter(|it| it.line > 0) {
        let own = Extras {
            examples: signature.examples.clone(),
            siblings: signature.siblings.clone(),
        };
        all.insert(signature.id.clone(), own);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_built_in_is_there_twice_or_names_what_is_foreign() {
        let report = Labeller::built_in().report();
        let found = report.to_string();
        assert_eq!(found.lines().count(), 1, "{found}");
        assert_eq!(report.signatures, crate::files::tests::written().len());
    }

    #[test]
    fn a_sibling_that_is_listed_is_there() {
        let written = crate::files::tests::written();
        for signature in &written {
            for sibling in &signature.siblings {
                let is_there = written.iter().any(|other| other.id == *sibling);
                assert!(is_there, "{}: {sibling}", signature.id);
            }
        }
    }

    #[test]
    fn a_double_and_a_foreign_cve_are_told() {
        let entry = |id: &str, cve: &str, rest: &str| {
            format!(
                "[[signature]]\nid = \"{id}\"\ntitle = \"One title\"\ncategory = \"exploit\"\n\
                 cve = [\"{cve}\"]\n\
                 explanation = \"What we look for ourselves, and nobody else in the world does.\"\n\
                 match.path.equals = \"/own\"\nexamples = [\"GET /own HTTP/1.1\"]\n{rest}\n"
            )
        };
        let report = |rest: &str| {
            let one = entry("one", "CVE-2020-0001", "");
            let other = entry("other", "CVE-2020-0002", rest);
            let file = format!("replace = true\n{one}{other}");
            Labeller::with(&file).unwrap().report().to_string()
        };
        let doubles =
            "2 signatures, 0 crawlers\nthe same match: one, other\nthe same title: one, other\n";
        let told = report("");
        assert!(told.starts_with(doubles), "{told}");
        let foreign = "one: example 1 is also other (CVE-2020-0002)";
        assert!(told.contains(foreign), "{told}");
        assert_eq!(report("siblings = [\"one\"]"), doubles);
    }
}
