//! Shell commands in a value, also where quotes, backslashes and empty variables split their names.
//!
//! In: a value in lower case. Out: the bytes from the sign that begins a command to its name. A
//! command is a known name behind `;`, `|`, `&`, a line end, a backtick or `$(`; one that is also a
//! word of a sentence needs an argument that only a command has, or tricks in its name.
//!
//! Rules: POSIX.1-2024 "Shell Command Language" 2.2 Quoting and 2.6 Word Expansions; Windows `cmd`
//! for `^`.

mod name;
mod words;

use std::ops::Range;

use memchr::memmem;

use self::name::{Name, is_end};
use self::words::{MARKS, SENTENCES};
use super::any::{AnyOf, finder};

/// What of a value is read.
const MAX_VALUE_BYTES: usize = 8 * 1024;
/// Signs that may begin a command, of one value; more are not a command line.
const MAX_STARTS: usize = 48;

static ANY_MARK: AnyOf = AnyOf::new(|| finder(MARKS));

/// Returns the bytes of a value that are a command. `is_command`: the value's name says that it is
/// one, as `cmd`. `is_list`: what clients write of themselves, in which `;` and `|` separate words.
pub(crate) fn find(value: &[u8], is_command: bool, is_list: bool) -> Option<Range<usize>> {
    let value = &value[..value.len().min(MAX_VALUE_BYTES)];
    let has_mark = ANY_MARK.is_in(value);
    let mark = MARKS.iter().filter(|_| has_mark).find_map(|mark| {
        let start = memmem::find(value, mark.as_bytes())?;
        Some(start..start + mark.len())
    });
    mark.or_else(|| assigned(value)).or_else(|| {
        let begins = starts(value)
            .filter(|start| !is_list || start.is_substitution)
            .take(MAX_STARTS);
        let first = std::iter::once(Start {
            at: 0,
            next: 0,
            is_substitution: false,
            is_first: true,
        });
        first
            .chain(begins)
            .find_map(|start| command(value, &start, is_command))
    })
}

/// Where a command may begin.
struct Start {
    /// The sign before it.
    at: usize,
    /// What follows the sign.
    next: usize,
    /// A backtick or `$(`: what is inside is run for its output.
    is_substitution: bool,
    /// There is no sign: it is the beginning of the value.
    is_first: bool,
}

/// A variable that the value sets, where a command stands: `a=id;$a`.
fn assigned(value: &[u8]) -> Option<Range<usize>> {
    memchr::memchr_iter(b'$', value)
        .skip_while(|&at| at == 0)
        .take(8)
        .find_map(|at| {
            let before = value[..at].trim_ascii_end();
            let length = value[at + 1..]
                .iter()
                .take_while(|byte| byte.is_ascii_alphanumeric())
                .count();
            let name = &value[at + 1..at + 1 + length];
            let is_command = matches!(before.last(), Some(b';' | b'|' | b'&'));
            if !is_command || !(1..=16).contains(&length) {
                return None;
            }
            let mut sets = memmem::find_iter(before, name).take(16);
            let is_set = sets.any(|set| before.get(set + length) == Some(&b'='));
            is_set.then(|| at - 1..at + 1 + length)
        })
}

fn starts(value: &[u8]) -> impl Iterator<Item = Start> {
    let is_sign = |at: &usize| b";|&\n`(".contains(&value[*at]);
    (0..value.len()).filter(is_sign).filter_map(|at| {
        let is_substitution = match value[at] {
            b'`' => true,
            b'(' if at > 0 && b"$<>".contains(&value[at - 1]) => true,
            b'(' => return None,
            _ => false,
        };
        Some(Start {
            at,
            next: at + 1,
            is_substitution,
            is_first: false,
        })
    })
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
        name.is_known() && (is_command && name.is_run(rest, false, false) || is_line(&name, rest))
    } else {
        let is_sentence =
            next > start.next && SENTENCES.iter().any(|word| word.as_bytes() == name.text());
        name.is_run(rest, start.is_substitution, is_sentence)
    };
    is_run.then_some(start.at..end)
}

/// The whole value is a command line: a name with an argument that only it has.
fn is_line(name: &Name, rest: &[u8]) -> bool {
    let argument = rest.trim_ascii_start();
    let has_gap = argument.len() < rest.len();
    let is_address = || {
        [&b"http"[..], b"ftp:", b"-"]
            .iter()
            .any(|start| argument.starts_with(start))
    };
    if name.has_tricks || name.has_path && name.is_command() {
        return is_end(rest);
    }
    has_gap
        && match name.text() {
            b"wget" | b"curl" | b"fetch" | b"lwp-download" => is_address(),
            b"cat" | b"tac" | b"head" | b"tail" | b"less" | b"more" | b"rm" | b"ls" => {
                argument.starts_with(b"/etc/")
                    || argument.starts_with(b"-rf /")
                    || argument.starts_with(b"/proc/")
            }
            b"cmd" | b"cmd.exe" => argument.starts_with(b"/c"),
            b"powershell" | b"powershell.exe" | b"pwsh" => argument.starts_with(b"-"),
            b"certutil" | b"certutil.exe" | b"bash" | b"sh" | b"nc" | b"ncat" | b"python"
            | b"perl" | b"php" => argument.starts_with(b"-") && argument.len() > 4,
            _ => false,
        }
}

/// White space, braces and what stands for a space: `${IFS}` is a mark of its own.
fn skip_blanks(value: &[u8], mut at: usize) -> usize {
    while value
        .get(at)
        .is_some_and(|byte| b" \t\r\n{(!&|,@\x0b\x0c".contains(byte))
    {
        at += 1;
    }
    at.min(value.len())
}
