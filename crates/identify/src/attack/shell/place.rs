//! The surroundings of a command's name: the bytes between a sign and the name, and before the
//! sign.
//!
//! In: a value, a sign in it, and the name behind the sign. Out: facts that tell a command from a
//! word of a heading or a list. People write `Volumes | Docker Docs`; attackers write
//! `127.0.0.1|id`.

use super::name::Name;
use crate::slice::{contains, run};

/// Most bytes before a sign that are read.
const MAX_BEFORE_BYTES: usize = 256;

/// The surroundings of a place where a command may stand.
#[derive(Default)]
pub(super) struct Place {
    /// The sign is a backtick or `$(`: the command inside is run for its output.
    pub(super) is_substitution: bool,
    /// The sign is a line end.
    pub(super) is_line: bool,
    /// A brace is before the name; in it, a comma replaces a space.
    pub(super) is_in_brace: bool,
    /// A word of a sentence is before the sign.
    pub(super) is_behind_word: bool,
    /// The sign stands between two spaces behind a word, as in `Kids & more`.
    pub(super) is_heading: bool,
    has_blank: bool,
}

impl Place {
    /// Reads the surroundings: the sign is at `at`, the bytes behind it begin at `next`, and the
    /// name at `name`.
    pub(super) fn new(value: &[u8], at: usize, next: usize, name: usize) -> Self {
        let has_blank = value[next..name].iter().any(|byte| b" \t".contains(byte));
        let before = &value[at.saturating_sub(MAX_BEFORE_BYTES)..at];
        let word = last_word(before);
        let is_behind_word = word.is_some();
        let is_behind_long_word = word.is_some_and(|word| word.len() > 1);
        let has_blank_before = before.last().is_some_and(u8::is_ascii_whitespace);
        Self {
            is_line: value[at] == b'\n',
            is_in_brace: name > 0 && value[name - 1] == b'{',
            is_heading: has_blank
                && has_blank_before
                && is_behind_long_word
                && b"|&".contains(&value[at]),
            is_behind_word,
            has_blank,
            is_substitution: false,
        }
    }

    /// Tells whether a space or a line end is before the name, as in sentences.
    pub(super) fn is_apart(&self) -> bool {
        self.has_blank || self.is_line
    }
}

/// Returns the last word before a sign; `None` if it is an address, a path, a number alone, or the
/// argument of a command.
fn last_word(before: &[u8]) -> Option<&[u8]> {
    let is_sign = |byte: &u8| b";|&\n\r \t".contains(byte);
    let end = before.iter().rposition(|byte| !is_sign(byte))? + 1;
    let start = before[..end]
        .iter()
        .rposition(|byte| b";|&\n".contains(byte));
    let part = before[start.map_or(0, |sign| sign + 1)..end].trim_ascii();
    let blank = part.iter().rposition(u8::is_ascii_whitespace);
    let word = &part[blank.map_or(0, |blank| blank + 1)..];
    let is_number = word.iter().all(u8::is_ascii_digit);
    let first = &part[..run(part, |byte| !byte.is_ascii_whitespace())];
    let is_given = blank.is_some() && !is_number && Name::read(first).is_known();
    let is_value = is_number && blank.is_none();
    (!is_given && !is_value && !is_technical(word)).then_some(word)
}

/// Tells whether the word has a sign that no word of a sentence has, or is the name or address of a
/// machine.
fn is_technical(word: &[u8]) -> bool {
    const MARKS: &[u8] = b"/:$`=\\\"'@%";
    let is_marked = word.starts_with(b"-") || word.iter().any(|byte| MARKS.contains(byte));
    let word = word.trim_ascii_end();
    let is_name = contains(word, b".js") || contains(word, b".net");
    let dot = memchr::memchr(b'.', word);
    let is_dotted = dot.is_some_and(|dot| dot > 0 && dot + 1 < word.len());
    is_marked || is_dotted && !is_name
}
