//! The literals without which a regular expression cannot match.
//!
//! In: an expression. Out: literals; every match has at least one of them. To look for them is much
//! cheaper than to run the expression, or to compile it.

use std::cmp::Reverse;

use regex_syntax::hir::{Class, Hir, HirKind};

/// Shortest word that is worth a search; shorter ones are in nearly every request.
pub(crate) const MIN_WORD_BYTES: usize = 3;
/// How many bytes of a literal are looked for. A text that begins like a literal is nearly always
/// that literal, and more bytes would take memory.
pub(crate) const MAX_WORD_BYTES: usize = 8;

/// Returns literals in lower case; every match of the expression has at least one of them. Returns
/// `None` if there are none, or more than `most`.
pub(crate) fn of_expression(source: &str, most: usize) -> Option<Vec<String>> {
    let parser = regex_syntax::ParserBuilder::new()
        .utf8(false)
        .unicode(false)
        .build()
        .parse(source);
    required(&parser.ok()?, most)
}

/// Returns words that are looked for in a request before an expression is tried on one of its
/// texts. Every match has at least one of them; they are cut to [`MAX_WORD_BYTES`]. Returns
/// `None` if no words are worth the search.
///
/// The decoded target is not searched, only the decoded path and the decoded query. So a word may
/// not contain a `?`.
pub(crate) fn words_of_expression(source: &str, most: usize) -> Option<Vec<String>> {
    let literals = of_expression(source, most)?;
    let longest = |literal: &String| {
        let pieces = literal.split('?');
        pieces.max_by_key(|piece| piece.len()).map(str::to_owned)
    };
    let words: Vec<_> = literals.iter().filter_map(longest).collect();
    (weakest(&words) >= MIN_WORD_BYTES).then(|| cut(words))
}

/// Returns the set of literals that the fewest requests have.
pub(crate) fn strongest(sets: impl Iterator<Item = Vec<String>>) -> Option<Vec<String>> {
    sets.max_by_key(|literals| {
        (
            weakest(literals).min(MAX_WORD_BYTES),
            Reverse(literals.len()),
        )
    })
}

/// Returns the weight of the weakest literal: its length, or at least [`MIN_WORD_BYTES`] if it has
/// a byte that is rare in ordinary requests.
pub(crate) fn weakest(literals: &[String]) -> usize {
    let weight = |literal: &String| {
        let is_rare = |byte: &u8| b"<>$|`'{}[]\\^~!%\0".contains(byte);
        if literal.as_bytes().iter().any(is_rare) {
            literal.len().max(MIN_WORD_BYTES)
        } else {
            literal.len()
        }
    };
    literals.iter().map(weight).min().unwrap_or_default()
}

/// Cuts literals to the bytes that are looked for, and drops duplicates.
pub(crate) fn cut(mut literals: Vec<String>) -> Vec<String> {
    for literal in &mut literals {
        literal.truncate(literal.floor_char_boundary(MAX_WORD_BYTES));
    }
    literals.sort_unstable();
    literals.dedup();
    literals
}

fn required(hir: &Hir, most: usize) -> Option<Vec<String>> {
    let within = match hir.kind() {
        HirKind::Capture(capture) => required(&capture.sub, most),
        HirKind::Repetition(repetition) if repetition.min > 0 => match repetition.sub.kind() {
            HirKind::Literal(_) => {
                let times = repetition.min.min(MAX_WORD_BYTES as u32) as usize;
                all_texts(&repetition.sub, most)
                    .map(|texts| texts.iter().map(|text| text.repeat(times)).collect())
            }
            _ => required(&repetition.sub, most),
        },
        HirKind::Concat(parts) => strongest(
            runs(parts, most)
                .into_iter()
                .chain(parts.iter().filter_map(|part| required(part, most))),
        ),
        HirKind::Alternation(parts) => parts
            .iter()
            .map(|part| required(part, most))
            .collect::<Option<Vec<_>>>()
            .map(|sets| sets.concat()),
        _ => None,
    };
    let literals = strongest(all_texts(hir, most).into_iter().chain(within))?;
    Some(literals).filter(|literals| weakest(literals) > 0 && literals.len() <= most)
}

/// Returns the texts of neighbouring parts that match few texts each: for `/\.(git|svn)`, these are
/// `/.git` and `/.svn`.
fn runs(parts: &[Hir], most: usize) -> Vec<Vec<String>> {
    let mut runs = vec![vec![String::new()]];
    for part in parts {
        let texts = all_texts(part, most);
        let longer = runs.last().zip(texts.as_ref()).map(|(run, texts)| {
            run.iter()
                .flat_map(|start| texts.iter().map(move |text| format!("{start}{text}")))
                .take(most + 1)
                .collect()
        });
        match longer {
            Some(longer) if Vec::len(&longer) <= most => {
                *runs.last_mut().expect("it begins with one") = longer;
            }
            _ => runs.push(texts.unwrap_or_else(|| vec![String::new()])),
        }
    }
    runs
}

/// Returns all texts that an expression matches, in lower case; `None` if there are more than
/// `most`.
fn all_texts(hir: &Hir, most: usize) -> Option<Vec<String>> {
    let texts = match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => vec![String::new()],
        HirKind::Literal(literal) => vec![String::from_utf8(literal.0.to_ascii_lowercase()).ok()?],
        HirKind::Class(Class::Bytes(class)) => {
            let bytes = class
                .iter()
                .flat_map(|range| range.start()..=range.end())
                .take(most + 1);
            bytes
                .map(|byte| {
                    byte.is_ascii()
                        .then(|| char::from(byte).to_ascii_lowercase().into())
                })
                .collect::<Option<_>>()?
        }
        HirKind::Capture(capture) => all_texts(&capture.sub, most)?,
        HirKind::Repetition(repetition) if (repetition.min, repetition.max) == (0, Some(1)) => {
            [all_texts(&repetition.sub, most)?, vec![String::new()]].concat()
        }
        HirKind::Concat(parts) => <[_; 1]>::try_from(runs(parts, most))
            .ok()
            .map(|[run]| run)?,
        HirKind::Alternation(parts) => parts
            .iter()
            .map(|part| all_texts(part, most))
            .collect::<Option<Vec<_>>>()?
            .concat(),
        _ => return None,
    };
    Some(texts).filter(|texts| texts.len() <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_contains_one_of_its_literals() {
        for (source, literals) in [
            ("union\\s+select", Some(vec!["select"])),
            ("(wget|curl)\\s*x", Some(vec!["wget", "curl"])),
            ("^/ABC(def)?$", Some(vec!["/abc"])),
            (
                "/\\.(git|svn)(/|$)",
                Some(vec!["/.git/", "/.git", "/.svn/", "/.svn"]),
            ),
            ("a[12]b", Some(vec!["a1b", "a2b"])),
            ("a+(xyz){2}", Some(vec!["xyz"])),
            ("[0-9]+", None),
            ("(abc|[0-9]+)", None),
            ("(abc)*", None),
            ("(abc)?", None),
        ] {
            let found = of_expression(source, 4);
            let literals =
                literals.map(|all| all.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(found, literals, "{source}");
        }
    }
}
