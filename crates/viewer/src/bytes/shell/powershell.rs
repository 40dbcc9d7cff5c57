//! How PowerShell downloads and runs files.
//!
//! In: a command line. Out: steps, if the line downloads something. PowerShell ignores upper and
//! lower case.

use std::sync::LazyLock;

use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

use super::download;
use super::tell::{Step, Told, Weight};
use super::words::shown;

/// Each of the patterns below for a download contains one of these words.
const WORDS: [&[u8]; 6] = [
    b"downloadstring",
    b"downloadfile",
    b"invoke-",
    b"iwr",
    b"irm",
    b"start-bits",
];
/// Pattern of an address, with or without quotes.
const URL: &str = r#"['"]?((?:https?|ftp)://[^\s'"()<>|;`]{3,300})['"]?"#;
/// Pattern of a file, with or without quotes.
const FILE: &str = r#"['"]?([^\s'"()<>|;]{1,200})['"]?"#;

struct Ways {
    text: Regex,
    file: Regex,
    request: Regex,
    into: Regex,
    runs: Regex,
    starts: Regex,
}

static WAYS: LazyLock<Ways> = LazyLock::new(|| Ways {
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
});

fn compiled(pattern: &str) -> Regex {
    let mut builder = RegexBuilder::new(pattern);
    builder.unicode(false).case_insensitive(true);
    builder.build().expect("a test uses it")
}

/// Adds the steps of a line. Returns `false` if it downloads nothing in one of these ways.
pub(super) fn tell(told: &mut Told, line: &[u8]) -> bool {
    let lower = line.to_ascii_lowercase();
    // Few lines have one of these words. For others, no pattern is compiled or searched.
    if !WORDS
        .iter()
        .any(|word| memmem::find(&lower, word).is_some())
    {
        return false;
    }
    let before = told.steps.len();
    let ways = &*WAYS;
    for found in ways.text.captures_iter(line) {
        let step = download::url(told, &found[1], None);
        told.say(step);
    }
    for found in ways.file.captures_iter(line) {
        let step = download::url(told, &found[1], Some(&found[2]));
        told.say(step);
    }
    for found in ways.request.captures_iter(line) {
        let into = ways.into.captures(line);
        let file = into.as_ref().map(|into| &into[1]);
        let step = download::url(told, &found[1], file);
        told.say(step);
    }
    let has_fetched = told.steps.len() > before;
    if !has_fetched {
        return false;
    }
    if ways.runs.is_match(line) {
        told.say(Step::new(Weight::Much, "runs it"));
    } else if let Some(started) = ways.starts.captures(line) {
        let file = &started[1];
        let step = if told.has_fetched(file) {
            Step::runs_it()
        } else {
            Step::new(Weight::Some, format!("runs {}", shown(file)))
        };
        told.say(step);
    }
    true
}
