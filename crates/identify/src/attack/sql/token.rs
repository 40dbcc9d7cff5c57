//! Splits a value into tokens of SQL, as several databases read it.
//!
//! In: the bytes of a value, in lower case, and the place where a query may go on. Out: tokens.
//! White space and comments between them are left out. The marks of MySQL's `/*!50000 … */` are
//! left out too, but the text inside is read.
//!
//! Rules: MySQL "Lexical structure", PostgreSQL "Lexical structure", Transact-SQL "Comments" and
//! "Identifiers".

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use super::names::{COMPARE, CONSTANTS, KEYWORDS, LOGIC};
use crate::slice::{self, first};

/// Most tokens of one value that are read: an attack shows near its beginning.
const MAX_TOKENS: usize = 96;
/// Most digits of the version in `/*!50000`.
const MAX_VERSION_DIGITS: usize = 6;
/// Longest name between brackets.
const MAX_BRACKETED_BYTES: usize = 64;

/// The kinds of all reserved words. There are eighty: to compare each word of a value with one
/// after the other would take longer.
static MEANINGS: LazyLock<HashMap<&[u8], Kind>> = LazyLock::new(meanings);

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    /// A string, closed or not.
    Text,
    /// NULL, TRUE, FALSE and the like.
    Constant,
    /// A variable such as `@@version`.
    Variable,
    /// A name before a parenthesis.
    Function,
    Word,
    /// A reserved word.
    Keyword,
    /// AND, OR and their signs.
    Logic,
    Compare,
    Operator,
    Open,
    Close,
    Comma,
    Semicolon,
    /// A comment with nothing behind it.
    Comment,
    Other,
}

impl Kind {
    /// Tells whether the token is a literal value.
    pub(super) fn is_literal(self) -> bool {
        matches!(self, Self::Number | Self::Text | Self::Constant)
    }

    /// Tells whether a query may end at this token.
    pub(super) fn ends_query(self) -> bool {
        matches!(
            self,
            Self::Comment | Self::Comma | Self::Semicolon | Self::Logic
        )
    }
}

/// A token, and its place in the value.
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a [u8],
    pub(super) place: Range<usize>,
}

impl Token<'_> {
    pub(super) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Keyword && self.text == word.as_bytes()
    }
}

/// Reads the tokens of `bytes` from `start`.
pub(super) fn tokens(bytes: &[u8], start: usize) -> Vec<Token<'_>> {
    let mut found = Vec::with_capacity(MAX_TOKENS / 4);
    let mut at = start;
    while at < bytes.len() && found.len() < MAX_TOKENS {
        let rest = &bytes[at..];
        if let Some(length) = blank(rest) {
            at += length;
            continue;
        }
        let (kind, length) = token(rest);
        let length = length.clamp(1, rest.len());
        let place = at..at + length;
        found.push(Token {
            kind,
            text: &bytes[place.clone()],
            place,
        });
        at += length;
    }
    found
}

/// Returns the length of white space or a comment, if one comes next. A comment that ends the value
/// is a token.
fn blank(rest: &[u8]) -> Option<usize> {
    match rest {
        [0 | 9..=13 | b' ' | 0xa0, ..] | [b'+', b' ' | b'+', ..] => Some(1),
        [b'/', b'*', b'!', digits @ ..] => {
            let version = first(digits, MAX_VERSION_DIGITS);
            Some(3 + slice::run(version, u8::is_ascii_digit))
        }
        [b'/', b'*', inside @ ..] => {
            let end = memchr::memmem::find(inside, b"*/")? + 4;
            let is_last = rest[end..].iter().all(u8::is_ascii_whitespace);
            (!is_last).then_some(end)
        }
        [b'*', b'/', ..] => Some(2),
        [b'-', b'-', ..] | [b'#', ..] => {
            let end = memchr::memchr(b'\n', rest)? + 1;
            (end < rest.len()).then_some(end)
        }
        _ => None,
    }
}

fn token(rest: &[u8]) -> (Kind, usize) {
    let second = rest.get(1).copied().unwrap_or_default();
    match rest[0] {
        b'-' if second == b'-' => (Kind::Comment, rest.len()),
        b'#' => (Kind::Comment, rest.len()),
        b'/' if second == b'*' => (Kind::Comment, rest.len()),
        quote @ (b'\'' | b'"') => (Kind::Text, string(rest, quote)),
        b'`' => (Kind::Word, string(rest, b'`')),
        b'[' => (Kind::Word, bracketed(rest)),
        b'@' => (Kind::Variable, variable(rest)),
        b'0'..=b'9' => (Kind::Number, number(rest)),
        b'.' if second.is_ascii_digit() => (Kind::Number, 1 + number(&rest[1..])),
        b'a'..=b'z' | b'_' | b'$' | 0xa1.. => word(rest),
        b'(' | b'{' => (Kind::Open, 1),
        b')' | b'}' => (Kind::Close, 1),
        b',' => (Kind::Comma, 1),
        b';' => (Kind::Semicolon, 1),
        sign @ (b'|' | b'&') if sign == second => (Kind::Logic, 2),
        b'=' | b'<' | b'>' => (Kind::Compare, run(rest, b"=<>")),
        b'!' if second == b'=' => (Kind::Compare, 2),
        b'~' if second == b'*' => (Kind::Compare, 2),
        b':' if second == b'=' => (Kind::Compare, 2),
        b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b'&' | b'|' | b'~' | b'!' => (Kind::Operator, 1),
        _ => (Kind::Other, 1),
    }
}

fn run(rest: &[u8], of: &[u8]) -> usize {
    slice::run(rest, |byte| of.contains(byte))
}

/// Returns the length of a string. A quote belongs to it if it is doubled, or behind `\`.
pub(super) fn string(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(found) = memchr::memchr2(quote, b'\\', &rest[at.min(rest.len())..]) {
        at += found;
        let is_twice = rest.get(at + 1) == Some(&quote);
        if rest[at] == quote && !is_twice {
            return at + 1;
        }
        at += 2;
    }
    rest.len()
}

/// Returns the length of `[name]`, or 1 if there is none.
fn bracketed(rest: &[u8]) -> usize {
    let name = slice::run(first(&rest[1..], MAX_BRACKETED_BYTES), |byte| {
        byte.is_ascii_alphanumeric() || b"_ .".contains(byte)
    });
    if name > 0 && rest.get(name + 1) == Some(&b']') {
        name + 2
    } else {
        1
    }
}

fn variable(rest: &[u8]) -> usize {
    let signs = run(rest, b"@");
    match rest.get(signs) {
        Some(&quote @ (b'\'' | b'"' | b'`')) => signs + string(&rest[signs..], quote),
        _ => signs + name(&rest[signs..]),
    }
}

fn name(rest: &[u8]) -> usize {
    slice::run(rest, |byte| {
        byte.is_ascii_alphanumeric() || b"_$.".contains(byte) || *byte > 0xa0
    })
}

/// Returns the length of a number: `0x1f`, `12`, `1.5e3`. Letters behind it do not belong to it:
/// `1union` is two tokens.
fn number(rest: &[u8]) -> usize {
    if let [b'0', b'x', hex @ ..] = rest {
        return 2 + slice::run(hex, u8::is_ascii_hexdigit);
    }
    let mut length = digits(rest);
    if rest.get(length) == Some(&b'.') {
        length += 1 + digits(&rest[length + 1..]);
    }
    if rest.get(length) == Some(&b'e') {
        let sign = usize::from(matches!(rest.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits(&rest[length + 1 + sign..]);
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    length
}

fn digits(rest: &[u8]) -> usize {
    slice::run(rest, u8::is_ascii_digit)
}

fn word(rest: &[u8]) -> (Kind, usize) {
    let length = name(rest);
    let word = &rest[..length];
    if let Some(&quote @ (b'\'' | b'"')) = rest.get(length)
        && (length == 1 || word[0] == b'_')
    {
        return (Kind::Text, length + string(&rest[length..], quote));
    }
    (kind_of_word(word, &rest[length..]), length)
}

fn kind_of_word(word: &[u8], behind: &[u8]) -> Kind {
    match MEANINGS.get(word) {
        None | Some(Kind::Constant) if is_before_parenthesis(behind) => Kind::Function,
        Some(kind) => *kind,
        None => Kind::Word,
    }
}

/// Returns the kinds of all reserved words.
fn meanings() -> HashMap<&'static [u8], Kind> {
    let lists = [
        (&LOGIC[..], Kind::Logic),
        (&COMPARE, Kind::Compare),
        (&KEYWORDS, Kind::Keyword),
        (&CONSTANTS, Kind::Constant),
    ];
    let mut all = HashMap::new();
    for (words, kind) in lists {
        all.extend(words.iter().map(|word| (word.as_bytes(), kind)));
    }
    all
}

fn is_before_parenthesis(mut rest: &[u8]) -> bool {
    while let Some(length) = blank(rest) {
        rest = &rest[length..];
    }
    rest.first() == Some(&b'(')
}
