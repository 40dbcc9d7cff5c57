//! Texts: bytes as sent or decoded. Each byte knows the raw bytes from which it was made.
//!
//! In: a slice of the raw bytes. Out: what the sender means by it, in lower case, without the
//! escapes that hide it from filters. A match in a text is shown in the raw bytes. Every step takes
//! time in proportion to what it reads.

use std::cell::OnceCell;
use std::ops::Range;

use forever200_decode::lower::lower;
use memchr::memmem;

use crate::program::Bytes;

/// How often percent-encoding is undone: servers undo it once, attackers encode two or three times.
const MAX_DECODINGS: usize = 3;
/// The first bytes of escapes and of look-ups. The `+` of a form is not among them.
const ESCAPES: &[u8] = b"%\\$\xc0\xc1\xe0";
/// Most bytes in a `${…}` that is undone; this bounds the search in each.
const MAX_LOOKUP_BYTES: usize = 128;

/// Bytes in lower case, and for each of them its place in the raw bytes.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) bytes: Vec<u8>,
    spans: Spans,
    present: OnceCell<Bytes>,
}

#[derive(Clone, Debug)]
enum Spans {
    /// Byte `i` is raw byte `start + i`.
    Straight(usize),
    /// Byte `i` was made from the `i`-th of these ranges of the raw bytes.
    Each(Vec<Range<u32>>),
    /// The whole text was decoded from this range of the raw bytes.
    Decoded(Range<usize>),
}

impl Text {
    /// Returns the text of bytes as sent, which begin at `start` of the raw bytes.
    pub(crate) fn raw(bytes: &[u8], start: usize) -> Self {
        Self {
            bytes: lower(bytes),
            spans: Spans::Straight(start),
            present: OnceCell::new(),
        }
    }

    /// Returns the text of bytes that were decoded from a range of the raw bytes.
    pub(crate) fn of_part(bytes: &[u8], place: Range<usize>) -> Self {
        Self {
            bytes: lower(bytes),
            spans: Spans::Decoded(place),
            present: OnceCell::new(),
        }
    }

    /// Returns the set of the bytes that occur in the text.
    pub(crate) fn present(&self) -> &Bytes {
        self.present.get_or_init(|| Bytes::in_text(&self.bytes))
    }

    /// Tells whether the text is the bytes as sent, except for their case.
    pub(crate) fn is_as_sent(&self) -> bool {
        matches!(self.spans, Spans::Straight(_))
    }

    /// Returns the range of the raw bytes from which a range of the text was made.
    pub(crate) fn raw_range(&self, range: Range<usize>) -> Range<usize> {
        match &self.spans {
            Spans::Straight(start) => start + range.start..start + range.end,
            Spans::Decoded(place) => place.clone(),
            Spans::Each(_) if range.is_empty() => 0..0,
            Spans::Each(_) => {
                self.span(range.start).start as usize..self.span(range.end - 1).end as usize
            }
        }
    }

    /// Returns the text without percent-encoding, overlong UTF-8 and Log4j look-ups; `None` if it
    /// has none of these. In a form, `+` is a space.
    pub(crate) fn decoded(&self, is_form: bool) -> Option<Self> {
        // Most texts have no byte with which an escape begins.
        let escapes = Bytes::in_text(ESCAPES);
        let has_escape = self.present().meets(&escapes);
        let has_plus = is_form && memchr::memchr(b'+', &self.bytes).is_some();
        if !has_escape && !has_plus {
            return None;
        }
        let signs = escapes.join(Bytes::in_text(b"+"));
        let mut text: Option<Self> = None;
        for round in 0..MAX_DECODINGS {
            let held = text.as_ref().unwrap_or(self);
            let is_form = is_form && round == 0;
            match held.rewritten(&signs, |rest| escape(rest, is_form)) {
                Some(next) => text = Some(next),
                None => break,
            }
        }
        let held = text.as_ref().unwrap_or(self);
        held.without_lookups().or(text)
    }

    /// Returns a header's value with each fold as one space; `None` if it has no fold.
    pub(crate) fn unfolded(&self) -> Option<Self> {
        self.rewritten(&Bytes::in_text(b" \t\n\x0c\r"), fold)
    }

    /// Returns a path with `\` as `/`, without empty and `.` segments, and with each `..` resolved.
    /// `None` if that changes nothing.
    pub(crate) fn resolved(&self) -> Option<Self> {
        let mut kept: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        for end in (0..=self.bytes.len())
            .filter(|&at| self.bytes.get(at).is_none_or(|byte| b"/\\".contains(byte)))
        {
            match &self.bytes[start..end] {
                b"" | b"." => {}
                b".." => drop(kept.pop()),
                _ => kept.push(start..end),
            }
            start = end + 1;
        }
        let mut builder = Builder::with_capacity(self.bytes.len());
        for segment in kept {
            // The slash before the segment; at the start of the path, the first byte of the
            // segment.
            let slash = segment.start.saturating_sub(1);
            builder.push(b'/', self.span(slash));
            builder.push_part(self, segment);
        }
        if self.bytes.last().is_some_and(|last| b"/\\".contains(last)) {
            builder.push(b'/', self.span(self.bytes.len() - 1));
        }
        Some(builder.text()).filter(|text| text.bytes != self.bytes)
    }

    /// Returns a part of the text.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        let spans = match &self.spans {
            Spans::Straight(start) => Spans::Straight(start + range.start),
            Spans::Each(spans) => Spans::Each(spans[range.clone()].to_vec()),
            Spans::Decoded(place) => Spans::Decoded(place.clone()),
        };
        let bytes = self.bytes[range].to_vec();
        Self {
            bytes,
            spans,
            present: OnceCell::new(),
        }
    }

    /// Returns a string of JSON without its escapes (RFC 8259, 7); `None` if it has none. `\u` is
    /// undone by `decoded`.
    pub(crate) fn unescaped(&self) -> Option<Self> {
        self.rewritten(&Bytes::in_text(b"\\"), |rest| match rest {
            [b'\\', b'n', ..] => Some((b'\n', 2)),
            [b'\\', b'r', ..] => Some((b'\r', 2)),
            [b'\\', b't', ..] => Some((b'\t', 2)),
            [b'\\', sign @ (b'"' | b'\\' | b'/'), ..] => Some((*sign, 2)),
            _ => None,
        })
    }

    /// Returns a text of XML or HTML without its entities for ASCII characters (XML 1.0, 4.1 and
    /// 4.6); `None` if it has none.
    pub(crate) fn without_entities(&self) -> Option<Self> {
        self.rewritten(&Bytes::in_text(b"&"), entity)
    }

    /// Returns this text followed by the other one.
    pub(crate) fn then(&self, next: &Self) -> Self {
        let mut builder = Builder::with_capacity(self.bytes.len() + next.bytes.len());
        for text in [self, next] {
            builder.push_part(text, 0..text.bytes.len());
        }
        builder.text()
    }

    fn span(&self, at: usize) -> Range<u32> {
        match &self.spans {
            Spans::Straight(start) => narrow(start + at)..narrow(start + at + 1),
            Spans::Each(spans) => spans.get(at).cloned().unwrap_or_default(),
            Spans::Decoded(place) => narrow(place.start)..narrow(place.end),
        }
    }

    /// Replaces what `rule` recognises; `None` if there is nothing. `rule` is called where one of
    /// `signs` stands, which is at few places. It gets the rest of the text, and returns the new
    /// byte and the number of bytes that it replaces.
    fn rewritten(
        &self,
        signs: &Bytes,
        rule: impl Fn(&[u8]) -> Option<(u8, usize)>,
    ) -> Option<Self> {
        let next = |from: usize| {
            let mut places = (from..self.bytes.len()).filter(|&at| signs.has(self.bytes[at]));
            places.find_map(|at| Some((at, rule(&self.bytes[at..])?)))
        };
        let mut found = next(0);
        found?;
        let mut builder = Builder::with_capacity(self.bytes.len());
        let mut at = 0;
        while let Some((start, (byte, length))) = found {
            builder.push_part(self, at..start);
            at = start + length;
            let span = self.span(start).start..self.span(at - 1).end;
            builder.push(byte.to_ascii_lowercase(), span);
            found = next(at);
        }
        builder.push_part(self, at..self.bytes.len());
        Some(builder.text())
    }

    /// Returns the ranges that may have words of up to `longest` bytes that are not in `sent`, the
    /// whole request. They are around each byte that was changed, or that follows another byte than
    /// in `sent`.
    pub(crate) fn changed(&self, sent: &[u8], longest: usize) -> Vec<Range<usize>> {
        let length = self.bytes.len();
        let mut places: Vec<Range<usize>> = Vec::new();
        let Spans::Each(spans) = &self.spans else {
            places.push(0..length);
            return places;
        };
        let around = longest.saturating_sub(1);
        let mut before = spans.first().map_or(0, |span| span.start);
        for (at, (span, byte)) in spans.iter().zip(&self.bytes).enumerate() {
            let is_sent = span.end == span.start + 1 && sent.get(span.start as usize) == Some(byte);
            if !is_sent || span.start != before {
                let end = if is_sent { at } else { at + 1 };
                let place = at.saturating_sub(around)..(end + around).min(length);
                match places.last_mut() {
                    Some(last) if place.start <= last.end => last.end = place.end,
                    _ => places.push(place),
                }
            }
            before = span.end;
        }
        places
    }

    /// Undoes what hides `${jndi:` from filters: `${lower:j}`, `${::-j}`, `${env:NOTHING:-j}`.
    ///
    /// Apache Log4j 2, "Lookups": the innermost is replaced first, and a default follows `:-`.
    fn without_lookups(&self) -> Option<Self> {
        memmem::find(&self.bytes, b"${")?;
        let mut builder = Builder::with_capacity(self.bytes.len());
        // Where in the new text each open look-up begins.
        let mut open: Vec<usize> = Vec::new();
        for (at, &byte) in self.bytes.iter().enumerate() {
            if byte == b'{' && builder.bytes.last() == Some(&b'$') {
                open.push(builder.bytes.len() - 1);
            }
            builder.push(byte, self.span(at));
            if byte == b'}'
                && let Some(start) = open.pop()
            {
                builder.undo_lookup(start);
            }
        }
        Some(builder.text()).filter(|text| text.bytes.len() != self.bytes.len())
    }
}

#[derive(Default)]
struct Builder {
    bytes: Vec<u8>,
    spans: Vec<Range<u32>>,
}

impl Builder {
    fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            spans: Vec::with_capacity(bytes),
        }
    }

    fn push(&mut self, byte: u8, span: Range<u32>) {
        self.bytes.push(byte);
        self.spans.push(span);
    }

    /// Adds a part of a text, unchanged.
    fn push_part(&mut self, text: &Text, part: Range<usize>) {
        self.bytes.extend_from_slice(&text.bytes[part.clone()]);
        match &text.spans {
            Spans::Each(spans) => self.spans.extend_from_slice(&spans[part]),
            _ => self.spans.extend(part.map(|at| text.span(at))),
        }
    }

    /// Replaces the look-up `${…}` that begins at `start` and ends here with its value, if the
    /// value is known.
    fn undo_lookup(&mut self, start: usize) {
        let inner = &self.bytes[start + 2..self.bytes.len() - 1];
        if inner.len() > MAX_LOOKUP_BYTES {
            return;
        }
        let value = if let Some(value) = inner
            .strip_prefix(b"lower:")
            .or_else(|| inner.strip_prefix(b"upper:"))
        {
            // U+0131, the dotless i, is I in upper case.
            if value == "ı".as_bytes() {
                b"i".to_vec()
            } else {
                value.to_vec()
            }
        } else if let Some(default) = inner.windows(2).position(|pair| pair == b":-") {
            inner[default + 2..].to_vec()
        } else if let Some(value) = inner
            .strip_prefix(b"date:'")
            .and_then(|value| value.strip_suffix(b"'"))
        {
            value.to_vec()
        } else {
            return;
        };
        let span = self.spans[start].start..self.spans[self.spans.len() - 1].end;
        self.bytes.truncate(start);
        self.spans.truncate(start);
        value
            .into_iter()
            .for_each(|byte| self.push(byte, span.clone()));
    }

    fn text(self) -> Text {
        Text {
            bytes: self.bytes,
            spans: Spans::Each(self.spans),
            present: OnceCell::new(),
        }
    }
}

/// Converts a place. Requests are far below 4 GiB; a place beyond that becomes the last one.
fn narrow(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Reads one fold of a header, white space with a line end in it: the space that replaces it, and
/// its length.
fn fold(rest: &[u8]) -> Option<(u8, usize)> {
    let length = rest
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count();
    rest[..length].contains(&b'\n').then_some((b' ', length))
}

/// Reads one entity: the ASCII character that it means, and the length of the entity.
fn entity(rest: &[u8]) -> Option<(u8, usize)> {
    const LONGEST: usize = 10;
    if rest[0] != b'&' {
        return None;
    }
    let end = rest.iter().take(LONGEST).position(|&byte| byte == b';')?;
    let name = std::str::from_utf8(&rest[1..end]).ok()?;
    let byte = match name {
        "lt" => b'<',
        "gt" => b'>',
        "amp" => b'&',
        "quot" => b'"',
        "apos" => b'\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let number = number
                .strip_prefix('x')
                .map_or_else(|| number.parse(), |hex| u8::from_str_radix(hex, 16));
            number.ok().filter(u8::is_ascii)?
        }
    };
    Some((byte, end + 1))
}

/// Reads one escape: the byte that it means, and the length of the escape.
fn escape(rest: &[u8], is_form: bool) -> Option<(u8, usize)> {
    match rest {
        [b'+', ..] if is_form => Some((b' ', 1)),
        // `%u` is of Microsoft IIS. Full-width characters become the ASCII characters that they
        // look like.
        [b'%', b'u', digits @ ..] | [b'\\', b'u', digits @ ..] => {
            let code = hex(digits.get(..4)?)?;
            let code = if (0xff01..=0xff5e).contains(&code) {
                code - 0xfee0
            } else {
                code
            };
            Some((u8::try_from(code).ok()?, 6))
        }
        [b'%', digits @ ..] => Some((u8::try_from(hex(digits.get(..2)?)?).ok()?, 3)),
        // Overlong UTF-8, which RFC 3629 forbids: two or three bytes for an ASCII character.
        [first @ 0xc0..=0xc1, second @ 0x80..=0xbf, ..] => {
            Some(((first & 1) << 6 | second & 0x3f, 2))
        }
        [0xe0, second @ 0x80..=0x81, third @ 0x80..=0xbf, ..] => {
            Some(((second & 1) << 6 | third & 0x3f, 3))
        }
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, &digit| {
        Some(value * 16 + char::from(digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(raw: &[u8]) -> Option<String> {
        Text::raw(raw, 0)
            .decoded(true)
            .map(|text| String::from_utf8_lossy(&text.bytes).into_owned())
    }

    #[test]
    fn escapes_are_undone_up_to_three_times() {
        for (raw, plain) in [
            (&b"/a%2Fb"[..], Some("/a/b")),
            (b"/%252e%252E/", Some("/../")),
            (b"%25252e", Some(".")),
            (b"%2525252e", Some("%2e")),
            (b"%u002e%uFF0f", Some("./")),
            (b"\xc0\xae\xe0\x80\xaf", Some("./")),
            (b"%c0%af", Some("/")),
            (b"a+B", Some("a b")),
            (b"%zz%", None),
            (b"plain", None),
            (b"", None),
        ] {
            assert_eq!(decoded(raw).as_deref(), plain, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn the_tricks_of_log4shell_are_undone() {
        for raw in [
            "${${lower:J}ndi:${lower:l}dap://x}",
            "${${::-j}${::-n}${::-d}${::-i}:ldap://x}",
            "$%7B${env:NaN:-j}ndi${env:NaN:-:}${env:NaN:-l}dap:%2F%2fx%7d",
            "${${lower:${lower:j}}nd${upper:ı}:ldap://x}",
            "${j${date:'n'}di:ldap://x}",
        ] {
            assert_eq!(
                decoded(raw.as_bytes()).as_deref(),
                Some("${jndi:ldap://x}"),
                "{raw}"
            );
        }
        assert_eq!(decoded(b"${hostName}}}"), None);
    }

    #[test]
    fn a_path_is_resolved() {
        for (raw, plain) in [
            (&b"/a/../b//c/./d"[..], Some("/b/c/d")),
            (b"/../../etc/passwd", Some("/etc/passwd")),
            (b"\\a\\b\\", Some("/a/b/")),
            (b"/a/..;/b", None),
            (b"/a/b/", None),
        ] {
            let resolved = Text::raw(raw, 0)
                .resolved()
                .map(|text| String::from_utf8_lossy(&text.bytes).into_owned());
            assert_eq!(resolved.as_deref(), plain, "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn a_match_is_found_again_in_the_raw_bytes() {
        let raw = b"GET /x/..%2f%65tc";
        let decoded = Text::raw(&raw[4..], 4).decoded(false).unwrap();
        assert_eq!(decoded.bytes, b"/x/../etc");
        assert_eq!(&raw[decoded.raw_range(6..9)], b"%65tc");
        let resolved = decoded.resolved().unwrap();
        assert_eq!(resolved.bytes, b"/etc");
        assert_eq!(&raw[resolved.raw_range(0..4)], b"%2f%65tc");
    }

    #[test]
    fn a_word_that_is_nowhere_as_sent_is_where_the_text_has_changed() {
        const LONGEST: usize = 3;
        for raw in [
            &b"ab%63d+e/../f%25%32e//x\\u0041y\xc0\xaez"[..],
            b"%61%62%63",
            b"plain",
            b"a/../b",
            b"${lower:j}ndi",
            b"a\n b",
        ] {
            let sent = Text::raw(raw, 0);
            let folded = sent.unfolded();
            let decoded = sent.decoded(true);
            let resolved = decoded.as_ref().unwrap_or(&sent).resolved();
            for text in [folded, decoded, resolved].into_iter().flatten() {
                let places = text.changed(&sent.bytes, LONGEST);
                let is_in = |bytes: &[u8], word: &[u8]| memmem::find(bytes, word).is_some();
                for word in (1..=LONGEST).flat_map(|length| text.bytes.windows(length)) {
                    let is_found = places
                        .iter()
                        .any(|place| is_in(&text.bytes[place.clone()], word));
                    let word_of = word.escape_ascii();
                    assert!(
                        is_found || is_in(&sent.bytes, word),
                        "{word_of} of {}",
                        raw.escape_ascii()
                    );
                }
            }
        }
        let long = [&b"%41"[..], &[b'x'; 1000]].concat();
        let text = Text::raw(&long, 0).decoded(false).unwrap();
        let places = text.changed(&long, LONGEST);
        assert_eq!((places.len(), places.first()), (1, Some(&(0..3))));
    }

    #[test]
    fn all_bytes_of_short_and_long_texts_are_noted() {
        for times in [1, 9] {
            for byte in 0..=255u8 {
                let text = [b"a-z\x7f".repeat(times * 30), vec![byte]].concat();
                let present = Bytes::in_text(&text);
                assert!(
                    (0..=255).all(|it| present.has(it) == text.contains(&it)),
                    "{byte}"
                );
            }
        }
    }

    #[test]
    fn nests_of_look_ups_take_no_time() {
        let deep = [b"${".repeat(30_000), b"}".repeat(30_000)].concat();
        Text::raw(&deep, 0).decoded(true);
    }
}
