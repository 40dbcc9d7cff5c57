//! Where in a text a command may begin, and where it ends.
//!
//! In: a text of a request. Out: places, each with how much they say for a command. Judges no
//! command.

use std::ops::Range;

use super::line::inner_length;

/// Longest command that is read, in bytes.
const MAX_LINE_BYTES: usize = 4096;
/// Spaces between what begins a command and its first word.
const MAX_SPACES: usize = 8;
/// Longest name of a program with its path.
const MAX_WORD_BYTES: usize = 64;
/// What is looked at before a command for a word that says that one follows.
const MAX_BEFORE_BYTES: usize = 40;
/// Words that say that a command follows.
const HINTS: [&[u8]; 10] = [
    b"cmd",
    b"exec",
    b"command",
    b"system",
    b"popen",
    b"passthru",
    b"shell",
    b"runtime",
    b"process",
    b"eval",
];
/// Programs with which a command may begin. Others are read inside of one.
const PROGRAMS: &[&str] = &[
    "ash",
    "bash",
    "bitsadmin",
    "busybox",
    "cat",
    "cd",
    "certutil",
    "chmod",
    "cmd",
    "cmd.exe",
    "curl",
    "dash",
    "dig",
    "echo",
    "env",
    "ftpget",
    "head",
    "host",
    "hostname",
    "id",
    "iex",
    "ifconfig",
    "ipconfig",
    "kill",
    "killall",
    "ls",
    "mkdir",
    "mkfifo",
    "mknod",
    "mv",
    "nc",
    "ncat",
    "netcat",
    "nohup",
    "nslookup",
    "perl",
    "php",
    "ping",
    "pkill",
    "powershell",
    "powershell.exe",
    "printf",
    "ps",
    "pwd",
    "python",
    "python2",
    "python3",
    "rm",
    "setsid",
    "sh",
    "sleep",
    "sudo",
    "telnet",
    "tftp",
    "type",
    "uname",
    "wget",
    "whoami",
];

/// How a command begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Behind what only a shell takes for an end: `;`, `|`, `&&`, a backtick, `$(`.
    Joined,
    /// With the value of a parameter, a string, a line, behind a word that says that a command
    /// follows.
    Hinted,
    /// With any other value, string or line.
    Plain,
}

/// Where a command may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) range: Range<usize>,
    pub(super) beginning: Beginning,
    /// It begins with a quote or a backtick, and ends with the same.
    pub(super) is_enclosed: bool,
}

/// Returns the next place at or behind `from`. `name` is that of the parameter whose value the text
/// is; `left` is how many words may still be looked at.
pub(super) fn next(
    text: &[u8],
    from: usize,
    name: Option<&[u8]>,
    left: &mut usize,
) -> Option<Place> {
    (from..text.len()).find_map(|at| place(text, at, name, left))
}

/// A command that begins at this byte; `None` where none does.
fn place(text: &[u8], at: usize, name: Option<&[u8]>, left: &mut usize) -> Option<Place> {
    // Most bytes are the middle of a word, or nothing that a program's name begins with.
    let first = text
        .get(at)
        .filter(|byte| is_of_name(**byte) || b"/.'\"\\".contains(byte))?;
    let before = &text[..at];
    if before
        .last()
        .is_some_and(|byte| is_of_name(*byte) || b"/.-".contains(byte))
    {
        return None;
    }
    *left = left.checked_sub(1)?;
    let (beginning, closing) = beginning(before, name)?;
    let is_quoted_name = b"'\"\\".contains(first);
    if is_quoted_name && beginning != Beginning::Joined || !is_program(&text[at..]) {
        return None;
    }
    let rest = &text[at..text.len().min(at + MAX_LINE_BYTES)];
    // A string of JSON ends with a quote, wherever in it the command begins.
    let in_json = text
        .first()
        .filter(|first| b"{[".contains(first))
        .map(|_| b'"');
    let is_escaped = before.ends_with(br#"\""#) || before.ends_with(br"\'");
    let length = length(rest, closing.or(in_json), is_escaped);
    Some(Place {
        range: at..at + length,
        beginning,
        is_enclosed: closing.is_some() && length < rest.len(),
    })
}

/// How what follows these bytes begins, and what ends it; `None` where no command begins.
fn beginning(before: &[u8], name: Option<&[u8]>) -> Option<(Beginning, Option<u8>)> {
    let spaces = before.iter().rev().take_while(|byte| b" \t".contains(byte));
    let spaces = spaces.count();
    let before = &before[..before.len() - spaces];
    if spaces > MAX_SPACES {
        return None;
    }
    let named = |name: &[u8]| {
        if is_hint(name) {
            Beginning::Hinted
        } else {
            Beginning::Plain
        }
    };
    let Some((&last, rest)) = before.split_last() else {
        return name.map(|name| (named(name), None));
    };
    let is_after = |words: &[&[u8]]| words.iter().any(|word| before.ends_with(word));
    match last {
        b';' | b'|' => Some((Beginning::Joined, None)),
        b'`' => Some((Beginning::Joined, Some(b'`'))),
        b'(' if rest.ends_with(b"$") => Some((Beginning::Joined, Some(b')'))),
        b'&' if rest.ends_with(b"&") => Some((Beginning::Joined, None)),
        b'}' if is_after(&[b"${IFS}"]) => Some((Beginning::Joined, None)),
        b'&' | b'\n' => Some((Beginning::Plain, None)),
        b'"' | b'\'' => {
            let start = rest.len().saturating_sub(MAX_BEFORE_BYTES);
            Some((named(&rest[start..]), Some(last)))
        }
        b'=' | b'>' => {
            let start = rest.len().saturating_sub(MAX_BEFORE_BYTES / 2);
            Some((named(&rest[start..]), (last == b'>').then_some(b'<')))
        }
        // Android's debugger, and a table of what is run when.
        _ if is_after(&[b"shell:", b"exec:"]) => Some((Beginning::Joined, None)),
        _ if spaces > 0 && is_after(&[b"* *", b"root"]) => Some((Beginning::Plain, None)),
        _ => None,
    }
}

/// Tells whether the last word says that a command follows.
fn is_hint(before: &[u8]) -> bool {
    let before = before.to_ascii_lowercase();
    let has = |word: &&[u8]| before.windows(word.len()).any(|window| window == *word);
    HINTS.iter().any(has)
}

/// Tells whether the name of a program stands here, with or without a path, quotes in it or not,
/// and ends.
fn is_program(text: &[u8]) -> bool {
    let text = &text[..text.len().min(MAX_WORD_BYTES)];
    let end = |byte: &u8| b" \t\r\n;|&<>()`$\0}".contains(byte);
    let word = text.split(end).next().unwrap_or_default();
    let is_kept = |byte: &&u8| !b"'\"\\".contains(byte);
    let plain: Vec<u8> = word.iter().filter(is_kept).copied().collect();
    let name = plain
        .rsplit(|&byte| byte == b'/')
        .next()
        .unwrap_or_default();
    let Ok(name) = std::str::from_utf8(name) else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    let is_file = word.starts_with(b"./") && name.len() > 1;
    PROGRAMS.binary_search(&&*name).is_ok() || is_file
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where a command ends: at what closes it, or at what no shell has.
/// `is_escaped`: a quote that closes it has a `\` before it, as in JSON.
fn length(rest: &[u8], closing: Option<u8>, is_escaped: bool) -> usize {
    let closed = match closing {
        Some(b')' | b'`') => inner_length(rest, closing.unwrap_or_default()),
        Some(quote) => {
            let is_end = |at: &usize| {
                let has_escape = rest[at.saturating_sub(1)] == b'\\';
                rest[*at] == quote && has_escape == is_escaped
            };
            let end = (0..rest.len()).find(is_end).unwrap_or(rest.len());
            // Without the escape.
            end - usize::from(is_escaped && (1..rest.len()).contains(&end))
        }
        None => rest.len(),
    };
    let ends = |at: &usize| {
        let rest = &rest[*at..];
        match rest.first() {
            Some(b'\0') => true,
            Some(b'<') => rest.starts_with(b"</"),
            Some(b'\n') => rest.starts_with(b"\n--"),
            Some(b'\r') => rest.starts_with(b"\r\n\r\n"),
            _ => false,
        }
    };
    (0..closed).find(ends).unwrap_or(closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, name: Option<&str>) -> Vec<(String, Beginning)> {
        let mut found = Vec::new();
        let (mut from, mut left) = (0, 100);
        while let Some(place) = next(text.as_bytes(), from, name.map(str::as_bytes), &mut left) {
            from = place.range.end;
            found.push((text[place.range].to_owned(), place.beginning));
        }
        found
    }

    #[test]
    fn the_programs_are_in_order() {
        assert!(PROGRAMS.is_sorted());
    }

    #[test]
    fn commands_begin_behind_what_begins_them() {
        for (text, name, command, beginning) in [
            ("x;wget y", None, "wget y", Beginning::Joined),
            ("x`wget y`z", None, "wget y", Beginning::Joined),
            (
                "$(/bin/busybox wget y)z",
                None,
                "/bin/busybox wget y",
                Beginning::Joined,
            ),
            ("<a>cd /tmp; x</a>", None, "cd /tmp; x", Beginning::Plain),
            ("{\"cmd\":\"wget y\"}", None, "wget y", Beginning::Hinted),
            ("('id')", None, "id", Beginning::Plain),
            ("wget y", Some("q"), "wget y", Beginning::Plain),
            ("wget y", Some("cmd"), "wget y", Beginning::Hinted),
            (";w'g'et y", None, "w'g'et y", Beginning::Joined),
        ] {
            assert_eq!(
                found(text, name),
                [(command.to_owned(), beginning)],
                "{text}"
            );
        }
        for (text, name) in [
            ("wget y", None),
            ("a wget y", Some("q")),
            (";wgets", None),
            (";id=5", None),
            ("/id", None),
            ("catalog", Some("q")),
            ("5", Some("cat")),
        ] {
            assert_eq!(found(text, name), [], "{text}");
        }
    }
}
