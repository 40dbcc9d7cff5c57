//! Rules that tell which sequences of tokens are an attack.
//!
//! In: the tokens of a value. Out: the range of the tokens that make it an attack. Each rule is a
//! way to make a query do more than its author meant; each looks at a few tokens in a row.

use std::ops::Range;

use super::token::{Kind, Token};
use crate::slice::equals_one;

/// Longest comment that only cuts off the rest of a query; longer ones are text.
const MAX_CUT_BYTES: usize = 12;

/// The tokens of a value.
pub(super) struct Tokens<'a> {
    pub(super) list: Vec<Token<'a>>,
    /// True if they begin behind a quote, where the string of a careless program ends.
    pub(super) is_behind_quote: bool,
    /// The place in the value where reading began.
    start: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(list: Vec<Token<'a>>, start: usize, is_behind_quote: bool) -> Self {
        Self {
            list,
            is_behind_quote,
            start,
        }
    }

    /// Returns the range of the value that is an attack.
    pub(super) fn attack(&self) -> Option<Range<usize>> {
        let last = self.list.last()?;
        let first = &self.list[self.start_of_attack()?];
        Some(first.place.start..last.place.end)
    }

    /// Returns the token with which an attack begins.
    fn start_of_attack(&self) -> Option<usize> {
        if self.begins_with_attack() {
            return Some(0);
        }
        (0..self.list.len()).find(|&at| self.is_attack_at(at))
    }

    pub(super) fn kind(&self, at: usize) -> Option<Kind> {
        self.list.get(at).map(|token| token.kind)
    }

    pub(super) fn is(&self, at: usize, word: &str) -> bool {
        self.list.get(at).is_some_and(|token| token.is(word))
    }

    pub(super) fn is_one_of(&self, at: usize, words: &[&str]) -> bool {
        match self.list.get(at) {
            Some(token) => equals_one(token.text, words),
            None => false,
        }
    }

    pub(super) fn skip(&self, mut at: usize, kinds: &[Kind]) -> usize {
        while self.kind(at).is_some_and(|kind| kinds.contains(&kind)) {
            at += 1;
        }
        at
    }

    /// Tells whether an attack begins at the end of the value that the program expects.
    fn begins_with_attack(&self) -> bool {
        if !self.is_behind_quote && self.is_tautology() {
            return true;
        }
        let Some(end) = self.end_of_value() else {
            return false;
        };
        let is_numbered_order = (self.is(end, "order") || self.is(end, "group"))
            && self.is(end + 1, "by")
            && self.kind(end + 2) == Some(Kind::Number)
            && self.is_end(end + 3);
        is_numbered_order
            || self.kind(end) == Some(Kind::Logic) && self.is_condition(end + 1, true)
            || self.is(end, "having") && self.is_condition(end + 1, true)
            || self.is(end, "procedure") && self.kind(end + 1) == Some(Kind::Function)
            || self.is(end, "rlike") && self.kind(end + 1) == Some(Kind::Open)
            || self.kind(end) == Some(Kind::Compare) && self.is_subquery(end + 1)
            || self.is_behind_quote && (self.is_cut(end) || self.is_spliced(end))
    }

    /// Tells whether the whole value compares two numbers: `1=1`.
    fn is_tautology(&self) -> bool {
        self.is_one_of(1, &["=", "==", "!=", "<=>", "<>", "like"])
            && self.kind(0) == Some(Kind::Number)
            && self.kind(2) == Some(Kind::Number)
            && self.is_end(3)
    }

    /// Returns the token behind the value that the program expects. Behind a quote, that value has
    /// ended at once; otherwise it is a number or a string. Closing parentheses are skipped in both
    /// cases.
    fn end_of_value(&self) -> Option<usize> {
        if self.is_behind_quote {
            return Some(self.skip(0, &[Kind::Close]));
        }
        let value = self.skip(0, &[Kind::Operator, Kind::Open]);
        if !self.kind(value)?.is_literal() {
            return None;
        }
        Some(self.skip(value + 1, &[Kind::Close]))
    }

    /// Tells whether the query may end here: no token follows, or one that ends a query.
    pub(super) fn is_end(&self, at: usize) -> bool {
        match self.kind(at) {
            Some(kind) => kind.ends_query(),
            None => true,
        }
    }

    /// Tells whether a comment cuts off what the program appends to the value.
    fn is_cut(&self, at: usize) -> bool {
        let at = self.skip(at, &[Kind::Semicolon]);
        let Some(token) = self.list.get(at) else {
            return false;
        };
        if token.kind != Kind::Comment || token.text.len() > MAX_CUT_BYTES {
            return false;
        }
        let mark = if token.text[0] == b'#' { 1 } else { 2 };
        let text = &token.text[mark..];
        let is_touching = at == 0 && token.place.start == self.start;
        text.iter().all(|byte| b" \t\r\n-+".contains(byte))
            || is_touching && is_word_of_cut(text, mark == 1)
    }

    /// Tells whether two strings are joined or compared, as in `'||'`, `'='` or `'+(select …)+'`.
    fn is_spliced(&self, at: usize) -> bool {
        if !self.is_splice(at) {
            return false;
        }
        let next = self.skip(at + 1, &[Kind::Operator]);
        match self.kind(next) {
            Some(Kind::Text) => true,
            Some(Kind::Function) => self.kind(next + 1) == Some(Kind::Open),
            Some(Kind::Word) => self.kind(next + 1) == Some(Kind::Comment),
            Some(Kind::Open) => {
                self.is_subquery(next) || self.kind(next + 1) == Some(Kind::Function)
            }
            Some(Kind::Number) => match self.kind(next + 1) {
                Some(Kind::Comment | Kind::Logic) => true,
                Some(Kind::Operator) => self.kind(next + 2) == Some(Kind::Text),
                _ => false,
            },
            _ => false,
        }
    }

    /// Tells whether the token is a sign that joins two strings, or compares them.
    fn is_splice(&self, at: usize) -> bool {
        match self.kind(at) {
            Some(Kind::Operator | Kind::Compare) => true,
            Some(Kind::Logic) => self.is_one_of(at, &["||", "&&"]),
            _ => false,
        }
    }

    /// Tells whether a condition follows AND or OR. `is_first` says that the word stands right
    /// behind a value.
    pub(super) fn is_condition(&self, at: usize, is_first: bool) -> bool {
        let at = self.skip_not(at);
        let Some(operand) = self.kind(at) else {
            return false;
        };
        if self.is_select_list(at) || self.is(at, "case") || self.is(at, "exists") {
            return true;
        }
        match operand {
            Kind::Function => is_first && self.kind(at + 1) == Some(Kind::Open),
            Kind::Variable => is_first && !self.is_end(at + 1),
            Kind::Word => self.is_comparison(at, is_first),
            Kind::Number | Kind::Text | Kind::Constant => {
                self.is_comparison(at, is_first) || is_first && self.is_whole_condition(at)
            }
            _ => false,
        }
    }

    /// Tells whether a name or a literal is compared.
    fn is_comparison(&self, operand: usize, is_first: bool) -> bool {
        let sign = self.skip(operand + 1, &[Kind::Close]);
        let is_literal = self.list[operand].kind.is_literal();
        self.kind(sign) == Some(Kind::Compare) && self.is_operand(sign + 1, is_literal, is_first)
    }

    /// Tells whether a literal is a condition alone: the rest is cut off or left open, or it is
    /// part of a sum.
    fn is_whole_condition(&self, literal: usize) -> bool {
        let next = self.skip(literal + 1, &[Kind::Close]);
        let is_sum =
            self.kind(next) == Some(Kind::Operator) && self.kind(next + 1) == Some(Kind::Number);
        is_sum || self.is_cut_or_open(literal, next)
    }

    pub(super) fn skip_not(&self, mut at: usize) -> usize {
        loop {
            let next = self.skip(at, &[Kind::Open, Kind::Operator]);
            let is_not = self.is_one_of(next, &["not", "binary"]);
            if next == at && !is_not {
                return at;
            }
            at = next + usize::from(is_not);
        }
    }

    /// Tells whether the query is cut off behind a literal (`or 1--`), or the literal is left open
    /// because the program closes its quote (`or '1`).
    fn is_cut_or_open(&self, operand: usize, next: usize) -> bool {
        let text = self.list[operand].text;
        match self.kind(next) {
            Some(Kind::Comment) => true,
            Some(Kind::Semicolon) => self.is_behind_quote,
            None if self.is_behind_quote => {
                is_open_number(text) || text == b"true" || self.is_glued(operand)
            }
            _ => false,
        }
    }

    /// Tells whether a word and a quote follow each other without a space, as in `a'or'a`.
    fn is_glued(&self, operand: usize) -> bool {
        let [.., before, operand] = &self.list[..=operand] else {
            return false;
        };
        operand.kind == Kind::Text
            && before.place.end == operand.place.start
            && !operand.text.contains(&b' ')
    }

    /// Tells whether the second operand of a comparison is here. Away from the end of a value, only
    /// two literals count, whose comparison is always true or never; people compare names in
    /// filters.
    fn is_operand(&self, at: usize, is_literal: bool, is_first: bool) -> bool {
        let at = self.skip_not(self.skip(at, &[Kind::Compare]));
        match self.kind(at) {
            None => is_first && self.is_behind_quote,
            Some(Kind::Number | Kind::Text | Kind::Constant) => is_first || is_literal,
            Some(Kind::Word | Kind::Function | Kind::Variable) => is_first,
            _ => self.is_select_list(at),
        }
    }
}

/// Tells whether the text is a word that testers write behind `--`, as in `admin'--x`. Behind `#`
/// it must be one letter, because `#` also begins colours and numbers.
fn is_word_of_cut(text: &[u8], is_hash: bool) -> bool {
    let word = text.trim_ascii();
    let is_short = !is_hash || word.len() == 1 && word[0].is_ascii_alphabetic();
    is_short && word.iter().all(u8::is_ascii_alphanumeric)
}

/// Tells whether the text is a number behind a quote that is not closed.
fn is_open_number(text: &[u8]) -> bool {
    match text {
        [b'\'', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}
