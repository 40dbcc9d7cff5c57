//! PowerShell's ways to download and run.
//!
//! In: a command line. Out: steps, where one of these ways is in it. PowerShell takes words in any
//! case.

use std::sync::LazyLock;

use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

use super::download::save;
use super::tell::{Told, Weight, shown};

/// One of these is in each of the ways.
const WORDS: [&[u8]; 6] = [
    b"downloadstring",
    b"downloadfile",
    b"invoke-",
    b"iwr",
    b"irm",
    b"start-bits",
];
/// An address in quotes or without.
const URL: &str = r#"['"]?((?:https?|ftp)://[^\s'"()<>|;`]{3,300})['"]?"#;
/// A file in quotes or without.
const FILE: &str = r#"['"]?([^\s'"()<>|;]{1,200})['"]?"#;

struct Ways {
    text: Regex,
    file: Regex,
    request: Regex,
    into: Regex,
    runs: Regex,
    starts: Regex,
}

static WAYS: LazyLock<Ways> = LazyLock::new(|| {
    let compiled = |pattern: &str| {
        let built = RegexBuilder::new(pattern)
            .unicode(false)
            .case_insensitive(true)
            .build();
        built.expect("a test uses it")
    };
    Ways {
        text: compiled(&format!(r"downloadstring\s*\(\s*{URL}")),
        file: compiled(&format!(r"downloadfile\s*\(\s*{URL}\s*,\s*{FILE}")),
        request: compiled(&format!(
            r"\b(?:invoke-webrequest|invoke-restmethod|iwr|irm|start-bitstransfer)\b[^|;]{{0,80}}?{URL}"
        )),
        into: compiled(&format!(r"-(?:outfile|o|destination)\s+{FILE}")),
        runs: compiled(r"\b(?:iex|invoke-expression)\b"),
        starts: compiled(&format!(
            r"\b(?:start-process|saps|start)\s+(?:-filepath\s+)?{FILE}"
        )),
    }
});

/// Tells what a line would do; `false` where it has none of these ways.
pub(super) fn tell(told: &mut Told, line: &[u8]) -> bool {
    let lower = line.to_ascii_lowercase();
    // Seldom: without one of these words, nothing is compiled or searched.
    let has = |word: &&[u8]| memmem::find(&lower, word).is_some();
    if !WORDS.iter().any(has) {
        return false;
    }
    let before = told.steps.len();
    let ways = &*WAYS;
    let runs = ways.runs.is_match(line);
    for found in ways.text.captures_iter(line) {
        save(told, &found[1], None);
    }
    for found in ways.file.captures_iter(line) {
        save(told, &found[1], Some(&found[2]));
    }
    for found in ways.request.captures_iter(line) {
        let into = ways.into.captures(line);
        save(told, &found[1], into.as_ref().map(|into| &into[1]));
    }
    let has_fetched = told.steps.len() > before;
    if !has_fetched {
        return false;
    }
    let started = ways.starts.captures(line);
    if runs {
        told.say(Weight::Much, "runs it".to_owned());
    } else if let Some(started) = started {
        let file = &started[1];
        let what = if told.has_fetched(file) {
            "it".to_owned()
        } else {
            shown(file)
        };
        told.say(Weight::Some, format!("runs {what}"));
    }
    true
}
