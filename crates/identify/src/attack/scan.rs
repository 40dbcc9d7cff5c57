//! Gives each value to the parsers that its bytes call for.
//!
//! In: values, one after the other. Out: the attacks in them. A parser is tried only if the value
//! has a byte of its language, and most values have none.

use std::ops::Range;

use super::{
    Attack, Found, MAX_BYTES, MAX_VALUES, Place, address, code, entity, include, marker, path,
    script, shell, sql, template, upload,
};
use crate::text::Text;

/// Most words of `marker` that are noted in one text.
pub(super) const MAX_MARKERS: usize = 16;
/// A value with this many line ends is a text or a program that somebody stores, and is not parsed.
const MIN_LINES: usize = 5;
/// A value with this many bytes and many spaces is such a text too.
const MIN_TEXT_BYTES: usize = 2048;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A parameter, a field, a string.
    Value,
    /// A string of JSON or a text of XML, which may be a page that somebody stores.
    Text,
    /// The path of the request.
    Path,
    /// A header or a part of one, in the client's own words.
    Header,
    /// A whole part of a request, which contains values. Only words and tags are looked for.
    Whole,
}

/// A value, and its name.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) text: &'a Text,
    pub(super) name: &'a [u8],
    pub(super) kind: Kind,
    pub(super) place: Place,
}

/// The attacks found so far, and how much may still be read.
pub(super) struct Scan {
    found: Vec<Found>,
    bytes: usize,
    values: usize,
}

/// The groups of signs that a value has, one bit for each group.
#[derive(Clone, Copy)]
struct Signs(u16);

impl Signs {
    const QUOTE: u16 = 1;
    const PAREN: u16 = 2;
    const COMPARE: u16 = 4;
    const SEPARATOR: u16 = 8;
    const DOLLAR: u16 = 16;
    const SLASH: u16 = 32;
    const BRACE: u16 = 64;
    const LESS: u16 = 128;
    const BRACKET: u16 = 256;
    const COLON: u16 = 512;
    const SPACE: u16 = 1024;
    const STAR: u16 = 2048;
    const DOT: u16 = 4096;
    const COMMENT: u16 = 8192;

    /// The bits of each byte.
    const TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < table.len() {
            table[byte] = Self::sign(byte as u8);
            byte += 1;
        }
        table
    };

    fn of(bytes: &[u8]) -> Self {
        let mut signs = 0;
        for &byte in bytes {
            signs |= Self::TABLE[usize::from(byte)];
        }
        Self(signs)
    }

    const fn sign(byte: u8) -> u16 {
        match byte {
            b'\'' | b'"' => Self::QUOTE,
            b'(' | b')' => Self::PAREN,
            b'=' | b'>' => Self::COMPARE,
            b'<' => Self::LESS | Self::COMPARE,
            b';' | b'|' | b'&' | b'`' | b'\n' => Self::SEPARATOR,
            b'$' => Self::DOLLAR,
            b'/' | b'\\' => Self::SLASH,
            b'{' | b'}' => Self::BRACE,
            b'[' | b']' => Self::BRACKET,
            b':' => Self::COLON,
            b' ' | b'\t' | 0 => Self::SPACE,
            b'*' => Self::STAR,
            b'.' => Self::DOT,
            b'#' | b'@' => Self::COMMENT,
            _ => 0,
        }
    }

    const fn any(self, of: u16) -> bool {
        self.0 & of != 0
    }
}

impl Scan {
    pub(super) fn new() -> Self {
        Self {
            found: Vec::new(),
            bytes: MAX_BYTES,
            values: MAX_VALUES,
        }
    }

    pub(super) fn found(self) -> Vec<Found> {
        self.found
    }

    /// Reads a value.
    pub(super) fn value(&mut self, value: Value<'_>) {
        let bytes = &value.text.bytes[..value.text.bytes.len().min(self.bytes)];
        if bytes.is_empty() || self.values == 0 {
            return;
        }
        self.bytes -= bytes.len();
        self.values -= 1;
        let signs = Signs::of(bytes);
        match value.kind {
            Kind::Whole => self.whole(value, bytes, signs),
            Kind::Path => {
                self.note(Attack::Path, value, path::find(bytes, true));
                self.languages(value, bytes, signs);
            }
            Kind::Value | Kind::Text | Kind::Header => {
                if !is_text(bytes) {
                    self.one(value, bytes, signs);
                }
            }
        }
    }

    /// Reads the head of a part of a form.
    pub(super) fn head_of_part(&mut self, value: Value<'_>) {
        self.note(Attack::Upload, value, upload::find(&value.text.bytes));
    }

    /// Reads a header that names a file.
    pub(super) fn file_name(&mut self, value: Value<'_>) {
        let length = value.text.bytes.len();
        let found = upload::is_program(&value.text.bytes).then_some(0..length);
        self.note(Attack::Upload, value, found);
    }

    pub(super) fn note(&mut self, attack: Attack, value: Value<'_>, range: Option<Range<usize>>) {
        let Some(range) = range.filter(|range| !range.is_empty()) else {
            return;
        };
        self.push(attack, value.place, value.text.raw_range(range));
    }

    pub(super) fn push(&mut self, attack: Attack, place: Place, evidence: Range<usize>) {
        let is_known = |found: &Found| found.attack == attack && found.place == place;
        if !evidence.is_empty() && !self.found.iter().any(is_known) {
            self.found.push(Found {
                attack,
                place,
                evidence,
            });
        }
    }

    fn one(&mut self, value: Value<'_>, bytes: &[u8], signs: Signs) {
        if signs.any(Signs::SLASH | Signs::DOT) {
            self.note(Attack::Path, value, path::find(bytes, false));
        }
        if signs.any(Signs::COLON | Signs::SLASH) {
            self.note(Attack::Include, value, include::find(value.name, bytes));
        }
        if signs.any(Signs::COLON | Signs::SLASH) && value.kind != Kind::Header {
            self.note(Attack::Address, value, address::find(bytes));
        }
        if signs.any(Signs::SEPARATOR | Signs::DOLLAR | Signs::SPACE) || is_command(value.name) {
            let found = shell::find(bytes, is_command(value.name), value.kind == Kind::Header);
            self.note(Attack::Shell, value, found);
        }
        if signs.any(Signs::PAREN) && value.kind != Kind::Header {
            self.note(Attack::PhpCode, value, code::find(bytes));
        }
        self.languages(value, bytes, signs);
    }

    fn languages(&mut self, value: Value<'_>, bytes: &[u8], signs: Signs) {
        let is_number = bytes[0].is_ascii_digit() || b"-(".contains(&bytes[0]);
        if signs
            .any(Signs::QUOTE | Signs::PAREN | Signs::COMPARE | Signs::SEPARATOR | Signs::COMMENT)
            || is_number && signs.any(Signs::SPACE | Signs::SLASH)
        {
            self.note(Attack::Sql, value, sql::find(bytes));
        }
        if signs.any(Signs::BRACE | Signs::LESS | Signs::BRACKET | Signs::STAR | Signs::PAREN) {
            self.note(Attack::Template, value, template::find(bytes));
        }
        if signs.any(
            Signs::LESS
                | Signs::COMPARE
                | Signs::PAREN
                | Signs::BRACKET
                | Signs::COLON
                | Signs::SEPARATOR,
        ) {
            let is_page = value.kind == Kind::Text;
            self.note(Attack::Script, value, script::find(bytes, is_page));
        }
    }

    fn whole(&mut self, value: Value<'_>, bytes: &[u8], signs: Signs) {
        if signs.any(Signs::LESS) {
            self.note(Attack::Entity, value, entity::find(bytes));
        }
        marker::find(bytes, MAX_MARKERS, |attack, range| {
            let range = value.text.raw_range(range);
            self.push(attack, value.place, range);
        });
    }
}

/// Tells whether the value is a text or a program that somebody stores.
fn is_text(bytes: &[u8]) -> bool {
    let lines = memchr::memchr_iter(b'\n', bytes).take(MIN_LINES).count();
    lines >= MIN_LINES
        || bytes.len() >= MIN_TEXT_BYTES
            && memchr::memchr_iter(b' ', bytes).count() * 12 > bytes.len()
}

/// Tells whether the name says that the value is a command.
fn is_command(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 9] = [
        b"cmd", b"command", b"exec", b"execute", b"shell", b"cmdline", b"run", b"c", b"code",
    ];
    NAMES.contains(&name)
}
