//! Which orders of tokens are an attack.
//!
//! In: the tokens of a value. Out: the bytes of those that make it one. Each rule is a way to make
//! a query do more than its author meant; each looks at a few tokens in a row.

use std::ops::Range;

use super::token::{Kind, Token};

/// Longest comment that does nothing but cut the rest of a query off; longer ones are text.
const MAX_CUT_BYTES: usize = 12;

/// The tokens of a value.
pub(super) struct Tokens<'a> {
    pub(super) list: Vec<Token<'a>>,
    /// They begin behind a quote, where the string of a careless program ends.
    pub(super) is_behind_quote: bool,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(list: Vec<Token<'a>>, is_behind_quote: bool) -> Self {
        Self {
            list,
            is_behind_quote,
        }
    }

    /// Returns the bytes that are an attack.
    pub(super) fn attack(&self) -> Option<Range<usize>> {
        let whole = 0..self.list.len();
        let first = self.first().filter(|_| self.begins_with_attack());
        let found = first.map(|_| whole.clone()).or_else(|| {
            whole
                .clone()
                .find(|&at| self.is_attack_at(at))
                .map(|at| at..whole.end)
        })?;
        let (first, last) = (self.list.get(found.start)?, self.list.last()?);
        Some(first.place.start..last.place.end)
    }

    pub(super) fn first(&self) -> Option<&Token<'a>> {
        self.list.first()
    }

    pub(super) fn kind(&self, at: usize) -> Option<Kind> {
        self.list.get(at).map(|token| token.kind)
    }

    pub(super) fn is(&self, at: usize, word: &str) -> bool {
        self.list.get(at).is_some_and(|token| token.is(word))
    }

    pub(super) fn is_one_of(&self, at: usize, words: &[&str]) -> bool {
        let text = self.list.get(at).map(|token| token.text);
        text.is_some_and(|text| words.iter().any(|word| word.as_bytes() == text))
    }

    pub(super) fn skip(&self, mut at: usize, kinds: &[Kind]) -> usize {
        while self.kind(at).is_some_and(|kind| kinds.contains(&kind)) {
            at += 1;
        }
        at
    }

    /// Rules for the place where a value ends and what was added to it begins.
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

    /// The whole value compares two numbers: `1=1`.
    fn is_tautology(&self) -> bool {
        let sign = self.list.get(1).map(|token| token.text);
        let is_equal = sign
            .is_some_and(|sign| [&b"="[..], b"==", b"!=", b"<=>", b"<>", b"like"].contains(&sign));
        let is_number = |at| self.kind(at) == Some(Kind::Number);
        is_equal && is_number(0) && is_number(2) && self.is_end(3)
    }

    /// Where the value ends: behind a quote at once, else behind a number or string; behind
    /// parentheses in both cases.
    fn end_of_value(&self) -> Option<usize> {
        let value = if self.is_behind_quote {
            0
        } else {
            let signs = self.skip(0, &[Kind::Operator, Kind::Open]);
            let is_value = matches!(
                self.kind(signs)?,
                Kind::Number | Kind::Text | Kind::Constant
            );
            is_value.then_some(signs + 1)?
        };
        Some(self.skip(value, &[Kind::Close]))
    }

    /// Nothing but signs that end a query follows.
    pub(super) fn is_end(&self, at: usize) -> bool {
        let kind = self.kind(at);
        matches!(
            kind,
            None | Some(Kind::Comment | Kind::Comma | Kind::Semicolon | Kind::Logic)
        )
    }

    /// A comment that cuts off what the program has behind the value.
    fn is_cut(&self, at: usize) -> bool {
        let at = self.skip(at, &[Kind::Semicolon]);
        let Some(token) = self
            .list
            .get(at)
            .filter(|token| token.kind == Kind::Comment)
        else {
            return false;
        };
        let is_colour = token.text[0] == b'#' && token.text.trim_ascii_end().len() > 2;
        token.text.len() <= MAX_CUT_BYTES && !is_colour
    }

    /// Two strings with a sign between them, as `'||'`, `'='` or `'+(select …)+'`.
    fn is_spliced(&self, at: usize) -> bool {
        let sign = self.list.get(at);
        let is_sign = |token: &Token<'_>| {
            matches!(token.kind, Kind::Operator | Kind::Compare)
                || token.text == b"||"
                || token.text == b"&&"
        };
        if !sign.is_some_and(is_sign) {
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
            Some(Kind::Number) => {
                let behind = self.list.get(next + 1);
                behind.is_some_and(|token| {
                    matches!(token.kind, Kind::Comment | Kind::Logic)
                        || token.kind == Kind::Operator && self.kind(next + 2) == Some(Kind::Text)
                })
            }
            _ => false,
        }
    }

    /// What follows AND or OR is a condition. `is_first`: the word stands right behind a value.
    pub(super) fn is_condition(&self, at: usize, is_first: bool) -> bool {
        let at = self.skip_not(at);
        let Some(operand) = self.kind(at) else {
            return false;
        };
        if self.is_select_list(at) || self.is(at, "case") || self.is(at, "exists") {
            return true;
        }
        let is_literal = matches!(operand, Kind::Number | Kind::Text | Kind::Constant);
        match operand {
            Kind::Function => is_first && self.kind(at + 1) == Some(Kind::Open),
            Kind::Variable => is_first && !self.is_end(at + 1),
            Kind::Number | Kind::Text | Kind::Constant | Kind::Word => {
                let next = self.skip(at + 1, &[Kind::Close]);
                let is_compared = self.kind(next) == Some(Kind::Compare)
                    && self.is_operand(next + 1, is_literal, is_first);
                is_compared
                    || is_first && is_literal && self.is_cut_or_open(at, next)
                    || is_first
                        && is_literal
                        && self.kind(next) == Some(Kind::Operator)
                        && self.kind(next + 1) == Some(Kind::Number)
            }
            _ => false,
        }
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

    /// `or 1--`, or `or '1` whose quote the program closes.
    fn is_cut_or_open(&self, operand: usize, next: usize) -> bool {
        let text = self.list[operand].text;
        let is_open_number = text[0] == b'\''
            && text.len() > 1
            && text[1..].iter().all(|byte| byte.is_ascii_digit());
        match self.kind(next) {
            Some(Kind::Comment) => true,
            Some(Kind::Semicolon) => self.is_behind_quote,
            None if self.is_behind_quote => {
                is_open_number || text == b"true" || self.is_glued(operand)
            }
            _ => false,
        }
    }

    /// A quote, a word and a quote without a space, as in `a'or'a`.
    fn is_glued(&self, operand: usize) -> bool {
        let (Some(before), operand) = (operand.checked_sub(1), &self.list[operand]) else {
            return false;
        };
        let before = &self.list[before];
        operand.kind == Kind::Text
            && before.place.end == operand.place.start
            && !operand.text.contains(&b' ')
    }

    /// The other side of a comparison. Away from the end of a value, only two literals are a
    /// condition that is always true or never; names are compared in filters that people write.
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
