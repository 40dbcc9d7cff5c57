//! Shell commands in a value, also where quotes, backslashes and empty variables split their names.
//!
//! In: a value in lower case. Out: the range from the sign that begins a command to its name. A
//! command is a known name behind `;`, `|`, `&`, a line end, a backtick or `$(`. A name that is
//! also an ordinary word needs an argument that only a command has, or tricks in its name.
//!
//! Rules: POSIX.1-2024 "Shell Command Language" 2.2 Quoting and 2.6 Word Expansions; Windows `cmd`
//! for `^`.

mod name;
mod place;
mod words;

use std::ops::{Range, RangeInclusive};

use memchr::memmem;

use self::name::{Name, is_end};
use self::place::Place;
use self::words::MARKS;
use super::any::{AnyOf, finder};
use crate::slice::{first, run, starts_with_one};

/// Most bytes of a value that are read.
const MAX_VALUE_BYTES: usize = 8 * 1024;
/// Most signs of one value behind which a command is looked for; a value with more is no command
/// line.
const MAX_STARTS: usize = 48;
/// Most variables of one value that are checked, and most places at which one of them may be set.
const MAX_VARIABLES: usize = 8;
const MAX_NAMES: usize = 16;
/// Length of the name of a variable.
const VARIABLE_BYTES: RangeInclusive<usize> = 1..=16;

static ANY_MARK: AnyOf = AnyOf::new(|| finder(MARKS));

/// Returns the range of a value that is a command. `is_command` says that the value has the name of
/// a command, such as `cmd`. `is_list` says that `;` and `|` separate words in it, as in headers.
pub(crate) fn find(value: &[u8], is_command: bool, is_list: bool) -> Option<Range<usize>> {
    let value = first(value, MAX_VALUE_BYTES);
    if let Some(found) = mark(value).or_else(|| assigned(value)) {
        return Some(found);
    }
    if let Some(found) = command(value, &Start::OF_VALUE, is_command) {
        return Some(found);
    }
    let mut left = MAX_STARTS;
    for at in 0..value.len() {
        let Some(start) = Start::behind(value, at) else {
            continue;
        };
        if is_list && !start.is_substitution {
            continue;
        }
        if left == 0 {
            return None;
        }
        left -= 1;
        if let Some(found) = command(value, &start, is_command) {
            return Some(found);
        }
    }
    None
}

/// Finds a text that only command lines have.
fn mark(value: &[u8]) -> Option<Range<usize>> {
    if !ANY_MARK.is_in(value) {
        return None;
    }
    for mark in MARKS {
        if let Some(start) = memmem::find(value, mark.as_bytes()) {
            return Some(start..start + mark.len());
        }
    }
    None
}

/// A place where a command may begin.
struct Start {
    /// The place of the sign before the command.
    at: usize,
    /// The place behind the sign.
    next: usize,
    /// True if the sign is a backtick or `$(`: the command inside is run for its output.
    is_substitution: bool,
    /// True if there is no sign, because it is the beginning of the value.
    is_first: bool,
}

impl Start {
    const OF_VALUE: Self = Self {
        at: 0,
        next: 0,
        is_substitution: false,
        is_first: true,
    };

    /// Returns the place behind the sign at `at`; `None` if the byte there is no such sign.
    fn behind(value: &[u8], at: usize) -> Option<Self> {
        let is_substitution = match value[at] {
            b';' | b'|' | b'&' | b'\n' => false,
            b'`' => true,
            b'(' if at > 0 && b"$<>".contains(&value[at - 1]) => true,
            _ => return None,
        };
        Some(Self {
            at,
            next: at + 1,
            is_substitution,
            is_first: false,
        })
    }
}

/// Finds a variable in place of a command, if the value sets it: `a=id;$a`.
fn assigned(value: &[u8]) -> Option<Range<usize>> {
    let behind_first = value.get(1..)?;
    for found in memchr::memchr_iter(b'$', behind_first).take(MAX_VARIABLES) {
        let at = found + 1;
        let before = value[..at].trim_ascii_end();
        let rest = &value[at + 1..];
        let name = &rest[..run(rest, u8::is_ascii_alphanumeric)];
        let is_command = matches!(before, [.., b';' | b'|' | b'&']);
        let is_name = VARIABLE_BYTES.contains(&name.len());
        if is_command && is_name && sets(before, name) {
            return Some(at - 1..at + 1 + name.len());
        }
    }
    None
}

/// Tells whether a variable of this name gets a value.
fn sets(text: &[u8], name: &[u8]) -> bool {
    let mut places = memmem::find_iter(text, name).take(MAX_NAMES);
    places.any(|start| text.get(start + name.len()) == Some(&b'='))
}

fn command(value: &[u8], start: &Start, is_command: bool) -> Option<Range<usize>> {
    let next = skip_blanks(value, start.next);
    let mut name = Name::read(&value[next..]);
    let mut from = next;
    if matches!(
        name.text(),
        b"sudo" | b"exec" | b"eval" | b"nohup" | b"time" | b"command" | b"env"
    ) {
        let inner = skip_blanks(value, next + name.length);
        let second = Name::read(&value[inner.min(value.len())..]);
        if second.is_known() {
            (name, from) = (second, inner);
        }
    }
    let end = from + name.length;
    let rest = &value[end.min(value.len())..];
    let is_expanded = start.is_first && value.first() == Some(&b'{') && name.is_command();
    let is_run = if is_expanded {
        b",}".contains(rest.first().unwrap_or(&b' '))
    } else if start.is_first {
        name.is_known()
            && (is_command && name.is_run(rest, &Place::default()) || is_line(&name, rest))
    } else if !name.is_known() {
        false
    } else {
        let mut place = Place::new(value, start.at, start.next, next);
        place.is_substitution = start.is_substitution;
        name.is_run(rest, &place)
    };
    is_run.then_some(start.at..end)
}

/// Tells whether the whole value is a command line: a name with an argument that only this command
/// has.
fn is_line(name: &Name, rest: &[u8]) -> bool {
    let argument = rest.trim_ascii_start();
    let has_gap = argument.len() < rest.len();
    if name.has_tricks || name.has_path && name.is_command() {
        return is_end(rest);
    }
    has_gap
        && match name.text() {
            b"wget" | b"curl" | b"fetch" | b"lwp-download" => {
                starts_with_one(argument, &["http", "ftp:", "-"])
            }
            b"cat" | b"tac" | b"head" | b"tail" | b"less" | b"more" | b"rm" | b"ls" => {
                starts_with_one(argument, &["/etc/", "-rf /", "/proc/"])
            }
            b"cmd" | b"cmd.exe" => argument.starts_with(b"/c"),
            b"powershell" | b"powershell.exe" | b"pwsh" => argument.starts_with(b"-"),
            b"certutil" | b"certutil.exe" | b"bash" | b"sh" | b"nc" | b"ncat" | b"python"
            | b"perl" | b"php" => argument.starts_with(b"-") && argument.len() > 4,
            _ => false,
        }
}

/// Skips white space, braces and signs before a command. `${IFS}` is one of the `MARKS`.
fn skip_blanks(value: &[u8], mut at: usize) -> usize {
    while value
        .get(at)
        .is_some_and(|byte| b" \t\r\n{(!&|,@\x0b\x0c".contains(byte))
    {
        at += 1;
    }
    at.min(value.len())
}
