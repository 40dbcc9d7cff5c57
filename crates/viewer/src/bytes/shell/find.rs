//! Finds where in a text a command may begin, and where it ends.
//!
//! In: a text of a request. Out: places, each with how strongly its beginning suggests a command.
//! Does not decide whether it is one.

use std::ops::Range;

use memchr::memmem;

use super::line::inner_length;

/// Longest command that is read, in bytes.
const MAX_LINE_BYTES: usize = 4096;
/// Most spaces before the first word of a command.
const MAX_SPACES: usize = 8;
/// Longest name of a program with its path.
const MAX_WORD_BYTES: usize = 64;
/// Bytes before a command that are searched for a word that suggests a command.
const MAX_BEFORE_BYTES: usize = 40;
/// Words that suggest that a command follows.
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
/// Programs with which a command may begin. Other programs are known only within a command.
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
    /// After characters that begin a new command only in a shell (`;`, `|`, `&&`, a backtick, `$(`,
    /// `${IFS}`), or after `shell:` or `exec:`.
    Joined,
    /// At the start of a parameter's value, a string or an element, after a word that suggests a
    /// command.
    Hinted,
    /// At the start of any other value, string or line.
    Plain,
}

/// Where a command may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) range: Range<usize>,
    pub(super) beginning: Beginning,
    /// It is enclosed in quotes, backticks, `$(` and `)`, or `>` and `<`.
    pub(super) is_enclosed: bool,
}

/// Returns the next place at or after `from`. `name` is the name of the parameter whose value the
/// text is. `left` is how many words may still be checked.
pub(super) fn next(
    text: &[u8],
    from: usize,
    name: Option<&[u8]>,
    left: &mut usize,
) -> Option<Place> {
    (from..text.len()).find_map(|at| place(text, at, name, left))
}

/// Returns the command that may begin at this byte; `None` if none can.
fn place(text: &[u8], at: usize, name: Option<&[u8]>, left: &mut usize) -> Option<Place> {
    // Most bytes are within a word, or cannot begin a program's name.
    let first = *text.get(at)?;
    if !is_of_name(first) && !matches!(first, b'/' | b'.' | b'\'' | b'"' | b'\\') {
        return None;
    }
    let before = &text[..at];
    if let Some(&last) = before.last()
        && (is_of_name(last) || matches!(last, b'/' | b'.' | b'-'))
    {
        return None;
    }
    *left = left.checked_sub(1)?;
    let start = start(before, name)?;
    let is_quoted_name = matches!(first, b'\'' | b'"' | b'\\');
    if is_quoted_name && !start.is_joined || !is_program(&text[at..]) {
        return None;
    }
    let rest = &text[at..text.len().min(at + MAX_LINE_BYTES)];
    let closing = match (start.closing, text.first()) {
        // A JSON string ends with a quote, wherever in the string the command begins.
        (None, Some(b'{' | b'[')) => Some(b'"'),
        (closing, _) => closing,
    };
    let is_escaped = before.ends_with(br#"\""#) || before.ends_with(br"\'");
    let length = length(rest, closing, is_escaped);
    Some(Place {
        range: at..at + length,
        beginning: start.beginning(),
        is_enclosed: start.closing.is_some() && length < rest.len(),
    })
}

/// What is before a command.
#[derive(Clone, Copy, Default)]
struct Start<'a> {
    /// Characters that begin a new command only in a shell.
    is_joined: bool,
    /// The bytes that may have a word that suggests a command.
    near: &'a [u8],
    /// The byte that ends the command.
    closing: Option<u8>,
}

impl Start<'_> {
    fn beginning(&self) -> Beginning {
        if self.is_joined {
            Beginning::Joined
        } else if is_hint(self.near) {
            Beginning::Hinted
        } else {
            Beginning::Plain
        }
    }
}

/// Returns how a command after these bytes begins; `None` where none can begin.
fn start<'a>(before: &'a [u8], name: Option<&'a [u8]>) -> Option<Start<'a>> {
    let spaces = before.iter().rev().take_while(|byte| b" \t".contains(byte));
    let spaces = spaces.take(MAX_SPACES + 1).count();
    if spaces > MAX_SPACES {
        return None;
    }
    let before = &before[..before.len() - spaces];
    let plain = Start::default();
    let joined = Start {
        is_joined: true,
        ..plain
    };
    let Some((&last, rest)) = before.split_last() else {
        return Some(Start {
            near: name?,
            ..plain
        });
    };
    match last {
        b';' | b'|' => Some(joined),
        b'`' => Some(Start {
            closing: Some(b'`'),
            ..joined
        }),
        b'(' if rest.ends_with(b"$") => Some(Start {
            closing: Some(b')'),
            ..joined
        }),
        b'&' if rest.ends_with(b"&") => Some(joined),
        b'}' if before.ends_with(b"${IFS}") => Some(joined),
        b'&' | b'\n' => Some(plain),
        b'"' | b'\'' => Some(Start {
            near: tail(rest, MAX_BEFORE_BYTES),
            closing: Some(last),
            ..plain
        }),
        b'=' => Some(Start {
            near: tail(rest, MAX_BEFORE_BYTES / 2),
            ..plain
        }),
        b'>' => Some(Start {
            near: tail(rest, MAX_BEFORE_BYTES / 2),
            closing: Some(b'<'),
            ..plain
        }),
        // A request of Android's debugger.
        b':' if before.ends_with(b"shell:") || before.ends_with(b"exec:") => Some(joined),
        // A line of a crontab.
        b'*' if spaces > 0 && before.ends_with(b"* *") => Some(plain),
        b't' if spaces > 0 && before.ends_with(b"root") => Some(plain),
        _ => None,
    }
}

fn tail(bytes: &[u8], most: usize) -> &[u8] {
    &bytes[bytes.len().saturating_sub(most)..]
}

/// Tells whether these bytes have one of [`HINTS`].
fn is_hint(near: &[u8]) -> bool {
    let near = near.to_ascii_lowercase();
    HINTS.iter().any(|hint| memmem::find(&near, hint).is_some())
}

/// Tells whether the text begins with the whole name of a program. It may have a path, and quotes
/// in it.
fn is_program(text: &[u8]) -> bool {
    // This runs for each word of a long request, so it does not allocate.
    let (mut plain, mut length, mut word) = ([0; MAX_WORD_BYTES], 0, 0);
    for &byte in text.iter().take(MAX_WORD_BYTES) {
        if is_end_of_word(byte) {
            break;
        }
        word += 1;
        if !matches!(byte, b'\'' | b'"' | b'\\') {
            plain[length] = byte.to_ascii_lowercase();
            length += 1;
        }
    }
    let plain = &plain[..length];
    let name = match memchr::memrchr(b'/', plain) {
        Some(slash) => &plain[slash + 1..],
        None => plain,
    };
    let Ok(name) = std::str::from_utf8(name) else {
        return false;
    };
    let is_file = text[..word].starts_with(b"./") && name.len() > 1;
    is_file || PROGRAMS.binary_search(&name).is_ok()
}

/// Tells whether a byte ends the name of a program.
fn is_end_of_word(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t'
            | b'\r'
            | b'\n'
            | b';'
            | b'|'
            | b'&'
            | b'<'
            | b'>'
            | b'('
            | b')'
            | b'`'
            | b'$'
            | b'\0'
            | b'}'
    )
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns the length of a command: up to the byte that closes it, or to bytes that no command has.
/// `is_escaped` says that a closing quote has a `\` before it, as in JSON.
fn length(rest: &[u8], closing: Option<u8>, is_escaped: bool) -> usize {
    let closed = match closing {
        Some(end @ (b')' | b'`')) => inner_length(rest, end),
        Some(quote) => quoted_length(rest, quote, is_escaped),
        None => rest.len(),
    };
    let end = (0..closed).find(|&at| is_end(&rest[at..]));
    end.unwrap_or(closed)
}

/// Returns the length up to the closing quote.
fn quoted_length(rest: &[u8], quote: u8, is_escaped: bool) -> usize {
    let mut before = rest.first().copied();
    for (at, &byte) in rest.iter().enumerate() {
        let has_escape = before == Some(b'\\');
        if byte == quote && has_escape == is_escaped {
            // Without the escape.
            return if is_escaped && at > 0 { at - 1 } else { at };
        }
        before = Some(byte);
    }
    rest.len()
}

/// Tells whether these bytes end any command.
fn is_end(rest: &[u8]) -> bool {
    match rest.first() {
        Some(b'\0') => true,
        Some(b'<') => rest.starts_with(b"</"),
        Some(b'\n') => rest.starts_with(b"\n--"),
        Some(b'\r') => rest.starts_with(b"\r\n\r\n"),
        _ => false,
    }
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
