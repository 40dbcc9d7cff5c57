//! A regular expression on bytes, and the literals without which it cannot match.
//!
//! In: what `signatures.toml` says. Out: matches, in time in proportion to what is searched.

use std::ops::Range;
use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind};
use serde::Deserialize;

/// Shortest literal worth looking for before anything else; shorter ones are everywhere.
pub(crate) const MIN_ANCHOR_BYTES: usize = 3;
/// Most literals that stand for one regular expression; all are looked for in every request.
const MAX_ANCHORS: usize = 400;
/// What one regular expression may take when compiled: a person's mistake, not a stranger's.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// A regular expression, compiled when first needed: most never are, and hundreds take megabytes.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Pattern {
    source: String,
    any_case: bool,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// An expression for which case matters.
    pub(crate) fn in_its_case(source: String) -> Self {
        Self { any_case: false, ..source.into() }
    }

    /// Never finds anything if it does not compile, which [`Condition::compile`] would have said.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<Range<usize>> {
        self.compiled.get_or_init(|| self.build().ok()).as_ref()?.find(bytes).map(|found| found.range())
    }

    /// Bytes, not characters; `.` is any byte, for line ends are where attackers put them.
    pub(crate) fn build(&self) -> Result<Regex, String> {
        // What is searched is in lower case: few patterns need both, which double their size.
        let has_upper_case =
            self.source.contains(|char: char| char.is_ascii_uppercase()) || self.source.contains("\\x");
        let mut builder = RegexBuilder::new(&self.source);
        let built = builder
            .case_insensitive(self.any_case && has_upper_case)
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(MAX_REGEX_BYTES);
        built.build().map_err(|error| error.to_string())
    }

    /// Literals of which at least one is in every match; `None` when there are none, or too many.
    pub(crate) fn anchors(&self) -> Option<Vec<String>> {
        let parser = regex_syntax::ParserBuilder::new().utf8(false).unicode(false).build().parse(&self.source);
        required(&parser.ok()?)
    }
}

fn required(hir: &Hir) -> Option<Vec<String>> {
    let literals = match hir.kind() {
        HirKind::Literal(literal) => vec![String::from_utf8(literal.0.to_ascii_lowercase()).ok()?],
        HirKind::Capture(capture) => required(&capture.sub)?,
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&repetition.sub)?,
        HirKind::Concat(parts) => parts.iter().filter_map(required).max_by_key(|literals| weakest(literals))?,
        HirKind::Alternation(parts) => parts.iter().map(required).collect::<Option<Vec<_>>>()?.concat(),
        _ => return None,
    };
    Some(literals).filter(|literals| literals.len() <= MAX_ANCHORS)
}

/// How much the weakest of some literals narrows down: its length, and more with a byte that ordinary
/// requests seldom have.
pub(crate) fn weakest(literals: &[String]) -> usize {
    let weight = |literal: &String| {
        let is_rare = |byte: &u8| b"<>$|`'{}[]\\^~!%\0".contains(byte);
        if literal.as_bytes().iter().any(is_rare) { literal.len().max(MIN_ANCHOR_BYTES) } else { literal.len() }
    };
    literals.iter().map(weight).min().unwrap_or_default()
}

impl From<String> for Pattern {
    fn from(source: String) -> Self {
        Self { source, any_case: true, compiled: OnceLock::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_contains_one_of_its_anchors() {
        for (source, anchors) in [
            ("union\\s+select", Some(vec!["select"])),
            ("(wget|curl)\\s", Some(vec!["wget", "curl"])),
            ("^/ABC(def)?", Some(vec!["/abc"])),
            ("a+(xyz){2}", Some(vec!["xyz"])),
            ("[0-9]+", None),
            ("(abc|[0-9])", None),
            ("(abc)*", None),
        ] {
            let found = Pattern::from(source.to_owned()).anchors();
            let anchors = anchors.map(|all| all.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(found, anchors, "{source}");
        }
    }
}
