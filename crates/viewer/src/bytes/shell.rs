//! Says in words what a command line in a request would do.
//!
//! In: the decoded texts of a request. Out: [`Action`]s, such as "goes to /tmp, downloads jaws from
//! 198[.]51[.]100[.]9, runs it". Runs nothing, sends nothing, and decodes only what a shell itself
//! would decode. Ordinary words are not taken for a command: it is better to miss a command than to
//! raise a false alarm.
//!
//! Read in this order: this file, `find` (where commands may be), `line` (splits a command line),
//! `tell` (says what it would do). Then what each program does: `download` (with `fetch`),
//! `connect`, `program` (with `nested` and `files`), `powershell`. `words` and `address` read one
//! word.

use std::borrow::Cow;

use memchr::memmem;
use serde::Serialize;

use crate::bytes::printable;
use find::{Beginning, Place};
use tell::{Told, tell};

mod address;
mod connect;
mod download;
mod fetch;
mod files;
mod find;
mod line;
mod nested;
mod powershell;
mod program;
mod tell;
mod words;

/// Most commands of a request, and most places at which a command is looked for.
const MAX_ACTIONS: usize = 6;
const MAX_PLACES: usize = 64;
/// Most words that are checked for the beginning of a command.
const MAX_WORDS: usize = 4000;
/// Longest command that is shown, in characters.
const MAX_COMMAND_CHARS: usize = 300;

/// A command and what it would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Action {
    /// The part of the command that is understood, as one printable line.
    pub command: String,
    /// What the command would do, in order: printable, with hosts defanged.
    pub steps: Vec<String>,
}

/// A text in which commands may be.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// The text.
    pub bytes: &'a [u8],
    /// The name of the parameter whose value this text is. With a name, a command may begin at the
    /// start of the text.
    pub name: Option<&'a [u8]>,
}

impl Action {
    /// Returns the steps as one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        self.steps.join(", ")
    }
}

/// Returns the commands in the texts, each once. `is_attack` says that the request is known as an
/// attack: then weaker evidence is enough for a command.
#[must_use]
pub fn actions<'a>(texts: impl IntoIterator<Item = Text<'a>>, is_attack: bool) -> Vec<Action> {
    let mut actions: Vec<Action> = Vec::new();
    let mut places = 0;
    let mut words_left = MAX_WORDS;
    for text in texts {
        let mut from = 0;
        while let Some(place) = find::next(text.bytes, from, text.name, &mut words_left) {
            if places == MAX_PLACES {
                return actions;
            }
            places += 1;
            // If this is no command, one may begin inside.
            from = place.range.start + 1;
            let line = unescaped(&text.bytes[place.range.clone()]);
            let told = tell(&line);
            if is_believed(&place, &told, text, is_attack) {
                from = place.range.end;
                keep(&mut actions, action(&line, told));
            }
        }
    }
    actions
}

/// Tells whether a place has a command, and not words that look like one.
fn is_believed(place: &Place, told: &Told, text: Text<'_>, is_attack: bool) -> bool {
    let is_whole = place.is_enclosed || place.range == (0..text.bytes.len());
    let least = match place.beginning {
        Beginning::Joined if is_attack => 1,
        Beginning::Joined => 2,
        Beginning::Hinted if is_whole => 1,
        Beginning::Hinted => 2,
        Beginning::Plain if is_attack => 2,
        Beginning::Plain => 3,
    };
    !told.steps.is_empty() && told.weight >= least
}

/// Undoes JSON escapes such as `\u0026`, which may be characters with a meaning for a shell.
fn unescaped(line: &[u8]) -> Cow<'_, [u8]> {
    let mut rest = line;
    let mut plain = Vec::new();
    while let Some(at) = memmem::find(rest, br"\u00") {
        let digits = at + 4;
        plain.extend_from_slice(&rest[..at]);
        match rest.get(digits..digits + 2).and_then(byte_of) {
            Some(byte) => {
                plain.push(byte);
                rest = &rest[digits + 2..];
            }
            None => {
                plain.extend_from_slice(&rest[at..digits]);
                rest = &rest[digits..];
            }
        }
    }
    if rest.len() == line.len() {
        Cow::Borrowed(line)
    } else {
        plain.extend_from_slice(rest);
        Cow::Owned(plain)
    }
}

/// Returns the byte that two hexadecimal digits mean.
fn byte_of(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(digits, 16).ok()
}

fn action(line: &[u8], told: Told) -> Action {
    let command = line.get(..told.end).unwrap_or(line).trim_ascii();
    Action {
        command: printable::line(command, MAX_COMMAND_CHARS),
        steps: told.steps,
    }
}

/// Keeps a new action. The same command may be in the request and in a decoded part of it: then the
/// longer action is kept.
fn keep(actions: &mut Vec<Action>, new: Action) {
    let sentence = new.sentence();
    let is_part = |held: &Action| held.sentence().contains(&sentence);
    if actions.iter().any(is_part) {
        return;
    }
    let has_part = |held: &Action| sentence.contains(&held.sentence());
    match actions.iter().position(has_part) {
        Some(at) => actions[at] = new,
        None if actions.len() < MAX_ACTIONS => actions.push(new),
        None => {}
    }
}

#[cfg(test)]
mod tests;
