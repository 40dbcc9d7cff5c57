//! Sequences of tokens that are an attack anywhere in a value.
//!
//! In: the tokens of a value, and a place among them. Out: whether a clause, a call, a statement or
//! a query begins there that only attackers write.

use super::names::{CATALOGUES, HARMFUL_ANYWHERE, HARMFUL_AS_VALUE, OBJECTS, PROBES, WAITS};
use super::rules::Tokens;
use super::token::Kind;
use crate::slice::starts_with_one;

impl Tokens<'_> {
    /// Tells whether an attack begins at this token; these rules hold anywhere in a value.
    pub(super) fn is_attack_at(&self, at: usize) -> bool {
        let Some(token) = self.list.get(at) else {
            return false;
        };
        match token.kind {
            Kind::Keyword => self.is_clause(at),
            Kind::Function => self.is_call(at),
            Kind::Logic => at > 0 && self.is_condition(at + 1, false),
            Kind::Semicolon => self.is_statement(at + 1),
            Kind::Open => self.is_before_query(at) && self.is_subquery(at),
            Kind::Word => self.is_catalogue(at),
            Kind::Variable => self.is_global(at),
            _ => false,
        }
    }

    /// Tells whether a variable of the server stands in place of a value.
    fn is_global(&self, at: usize) -> bool {
        let text = self.list[at].text;
        text.starts_with(b"@@")
            && text.len() > 4
            && (self.is_behind_quote || at == 0 || self.is_before_query(at))
    }

    fn is_clause(&self, at: usize) -> bool {
        match self.list[at].text {
            b"union" | b"except" | b"intersect" => self.is_union(at),
            b"waitfor" => self.is(at + 1, "delay") || self.is(at + 1, "time"),
            b"into" => {
                let is_file = self.is(at + 1, "outfile") || self.is(at + 1, "dumpfile");
                is_file && self.kind(at + 2) == Some(Kind::Text)
            }
            b"case" => self.is(at + 1, "when") && self.is_literal_condition(at + 2),
            b"select" => self.is_query(at),
            b"exec" | b"execute" => self.is_procedure(at + 1),
            _ => false,
        }
    }

    fn is_union(&self, at: usize) -> bool {
        let next = at + 1;
        let is_all = self.is_one_of(next, &["all", "distinct", "distinctrow"]);
        let select = self.skip(next + usize::from(is_all), &[Kind::Open]);
        if self.is(select, "select") {
            let is_whole = self.is_behind_quote && at == 0 && self.is_end(select + 1);
            return is_all || is_whole || self.is_select_list(select);
        }
        self.is(next, "values") && self.kind(next + 1) == Some(Kind::Open)
    }

    /// Tells whether SELECT stands here with a list behind it. A single word behind it is not
    /// enough: sentences have that.
    pub(super) fn is_select_list(&self, at: usize) -> bool {
        if !self.is(at, "select") {
            return false;
        }
        let mut list = at + 1;
        while self.is_one_of(list, &["all", "distinct", "distinctrow", "top"]) {
            list += 1;
        }
        let list = self.skip(list, &[Kind::Open]);
        let next = self.kind(list + 1);
        match self.kind(list) {
            Some(Kind::Number) => next != Some(Kind::Word),
            Some(Kind::Text) => is_short(self.list[list].text),
            Some(Kind::Constant | Kind::Variable | Kind::Function) => true,
            Some(Kind::Operator) => true,
            Some(Kind::Keyword) if next == Some(Kind::Open) => true,
            Some(Kind::Word | Kind::Keyword) => {
                matches!(next, Some(Kind::Comma | Kind::Comment | Kind::Logic))
            }
            _ => false,
        }
    }

    /// Tells whether a harmful query stands here: it begins the value and calls a function or reads
    /// a variable without FROM, or it calls a function that waits or leaks data.
    fn is_query(&self, at: usize) -> bool {
        let is_probe = at == 0
            && matches!(self.kind(1), Some(Kind::Function | Kind::Variable))
            && !self.has_from(1);
        if is_probe {
            return true;
        }
        let mut behind = at + 1..self.list.len();
        self.is_select_list(at) && behind.any(|at| self.is_harm(at))
    }

    /// Tells whether the token is a function that waits, or one that is harmful wherever it stands.
    fn is_harm(&self, at: usize) -> bool {
        self.kind(at) == Some(Kind::Function)
            && (self.is_one_of(at, &WAITS) || self.is_one_of(at, &HARMFUL_ANYWHERE))
    }

    /// Tells whether FROM stands here or somewhere behind.
    fn has_from(&self, at: usize) -> bool {
        self.list[at..].iter().any(|token| token.is("from"))
    }

    pub(super) fn is_subquery(&self, at: usize) -> bool {
        let select = self.skip(at, &[Kind::Open]);
        if !(self.kind(at) == Some(Kind::Open) && self.is(select, "select")) {
            return false;
        }
        self.is_select_list(select) || self.has_from(select + 1)
    }

    /// Tells whether a value may stand here: the token before it is no word of a sentence.
    fn is_before_query(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1).and_then(|before| self.list.get(before)) else {
            return true;
        };
        match before.kind {
            Kind::Word | Kind::Constant | Kind::Comment | Kind::Other => false,
            Kind::Keyword => !self.is_one_of(at - 1, &["as", "time", "user", "use", "table"]),
            _ => true,
        }
    }

    fn is_call(&self, at: usize) -> bool {
        if self.kind(at + 1) != Some(Kind::Open) || !self.is_before_query(at) {
            return false;
        }
        let is_empty = self.kind(at + 2) == Some(Kind::Close);
        if self.is_one_of(at, &WAITS) {
            let is_glued = self.list[at].place.end == self.list[at + 1].place.start;
            return !is_empty && (is_glued || self.kind(at + 2) == Some(Kind::Number));
        }
        let text = self.list[at].text;
        if text.starts_with(b"xp_") || text.starts_with(b"sp_oa") {
            return true;
        }
        if self.is_one_of(at, &HARMFUL_ANYWHERE) || self.is_one_of(at, &HARMFUL_AS_VALUE) {
            return !is_empty;
        }
        self.is_one_of(at, &PROBES) && self.is_probe(at + 2)
    }

    /// Tells whether the arguments of a function show that it probes: a query, a comparison of
    /// literals, another such function, or characters by number.
    fn is_probe(&self, at: usize) -> bool {
        let is_query = self.is_select_list(self.skip(at, &[Kind::Open]));
        let is_nested = self.kind(at) == Some(Kind::Function)
            && (self.is_one_of(at, &PROBES)
                || self.is_one_of(at, &["database", "version", "user", "md5"]));
        let is_hexadecimal = match self.list.get(at) {
            Some(token) => token.text.starts_with(b"0x") && token.text.len() > 4,
            None => false,
        };
        is_query
            || is_nested
            || is_hexadecimal
            || self.is_joined(at)
            || self.is_literal_condition(at)
    }

    /// Tells whether a number ends a call, and another call follows.
    fn is_joined(&self, at: usize) -> bool {
        let sign = self.kind(at + 2);
        self.kind(at) == Some(Kind::Number)
            && self.kind(at + 1) == Some(Kind::Close)
            && matches!(sign, Some(Kind::Logic | Kind::Operator | Kind::Comma))
            && self.kind(at + 3) == Some(Kind::Function)
    }

    /// Tells whether two literals are compared, which no person asks.
    pub(super) fn is_literal_condition(&self, at: usize) -> bool {
        let at = self.skip_not(at);
        if self.is_select_list(at) {
            return true;
        }
        matches!(self.kind(at), Some(Kind::Number | Kind::Text))
            && self.kind(at + 1) == Some(Kind::Compare)
            && matches!(self.kind(at + 2), Some(Kind::Number | Kind::Text))
    }

    fn is_statement(&self, at: usize) -> bool {
        let Some(token) = self.list.get(at) else {
            return false;
        };
        let next = self.kind(at + 1);
        match token.text {
            b"select" => {
                self.is_select_list(at) || self.kind(at + 2).is_some() && self.is(at + 2, "from")
            }
            b"insert" => self.is(at + 1, "into"),
            b"update" => next == Some(Kind::Word) && self.is(at + 2, "set"),
            b"delete" => self.is(at + 1, "from"),
            b"drop" | b"alter" | b"create" | b"truncate" => self.is_one_of(at + 1, &OBJECTS),
            b"declare" => matches!(next, Some(Kind::Variable | Kind::Word)),
            b"exec" | b"execute" => {
                matches!(next, Some(Kind::Function | Kind::Open | Kind::Variable))
                    || self.is_procedure(at + 1)
            }
            b"waitfor" => self.is(at + 1, "delay"),
            b"set" => next == Some(Kind::Variable),
            b"shutdown" => self.is_end(at + 1),
            b"copy" => self.list[at..].iter().any(|token| token.text == b"program"),
            b"if" => next == Some(Kind::Open) && self.is_literal_condition(at + 2),
            _ => false,
        }
    }

    /// Tells whether the token is a procedure of SQL Server itself.
    fn is_procedure(&self, at: usize) -> bool {
        let Some(token) = self.list.get(at) else {
            return false;
        };
        let owner = memchr::memrchr(b'.', token.text).map_or(0, |dot| dot + 1);
        starts_with_one(&token.text[owner..], &["xp_", "sp_"])
    }

    /// Tells whether the token is a table that describes the database, and stands where a table is
    /// read.
    fn is_catalogue(&self, at: usize) -> bool {
        let text = self.list[at].text;
        let is_read = at > 0 && (self.is(at - 1, "from") || self.kind(at - 1) == Some(Kind::Comma));
        is_read && describes_database(text) || text.starts_with(b"xp_cmdshell")
    }
}

/// Tells whether the table is one of the catalogues, or is in a schema of the list, whose name ends
/// with a dot.
fn describes_database(table: &[u8]) -> bool {
    for name in CATALOGUES {
        let Some(rest) = table.strip_prefix(name.as_bytes()) else {
            continue;
        };
        let is_schema = name.ends_with('.');
        let is_whole = rest.is_empty();
        if is_schema != is_whole {
            return true;
        }
    }
    false
}

/// Tells whether a string ends, or has no spaces; the rest of a sentence behind a quote does
/// neither.
fn is_short(text: &[u8]) -> bool {
    text.len() > 1 && text.last() == text.first() || !text.contains(&b' ')
}
