//! A regular expression on bytes.
//!
//! In: what a signature says. Out: matches, in time in proportion to what is searched.

use std::cell::Cell;
use std::error::Error;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

use memchr::memmem;
use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, Compiler, WhichCaptures, pikevm::PikeVM};
use regex_automata::util::syntax;
use serde::Deserialize;

use crate::literals;
use crate::recent::{Place, Recent};

/// Most literals that stand for one regular expression; all are looked for in every request.
const MAX_ANCHORS: usize = 100;
/// Most words that are looked for, one after the other, before the expression; more take longer than it does.
const MAX_WORDS: usize = 4;
/// How often an expression may throw its states away before it gives up, where it made them for fewer bytes each than
/// this: whoever writes the beginning of what it looks for again and again would have it take 13 ms for 64 KiB.
const MAX_CLEARED: usize = 8;
const MIN_BYTES_FOR_A_STATE: usize = 8;
/// Bytes before the end of a match in which its beginning is looked for, which takes up to a microsecond for each.
const MAX_EVIDENCE_BYTES: usize = 2048;
/// What one regular expression may take when compiled: a person's mistake, not a stranger's.
const MAX_REGEX_BYTES: usize = 1 << 20;
/// What its states may take; when there is no more room, they are found anew.
const MAX_STATES_BYTES: usize = 1 << 15;

/// The expressions that are compiled.
pub(crate) type Expressions = Recent<Box<Expression>>;

/// The search for expressions in one request.
pub(crate) struct Search<'a> {
    expressions: &'a Expressions,
    /// One of them found nothing because it would have taken too long.
    has_given_up: Cell<bool>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(expressions: &'a Expressions) -> Self {
        Self {
            expressions,
            has_given_up: Cell::new(false),
        }
    }

    /// Begins another one, in what the request hides.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.expressions)
    }

    /// Notes that another one was given up.
    pub(crate) fn give_up_as(&self, other: &Self) {
        self.has_given_up
            .set(self.has_given_up.get() || other.has_given_up.get());
    }

    pub(crate) fn has_given_up(&self) -> bool {
        self.has_given_up.get()
    }
}

/// A regular expression, compiled when needed and held while it is: each takes some 20 kB, and there are thousands.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Pattern {
    source: Box<str>,
    any_case: bool,
    /// What every match contains one of; empty when there is no such thing. Found when first needed.
    words: OnceLock<Box<[String]>>,
    compiled: Place<Box<Expression>>,
}

/// A pattern, compiled: finds out whether there is a match, state by state, and remembers the states.
#[derive(Debug)]
pub(crate) struct Expression {
    matcher: DFA,
    states: Mutex<Cache>,
}

impl Pattern {
    /// An expression for which case matters.
    pub(crate) fn in_its_case(source: String) -> Self {
        Self {
            any_case: false,
            ..source.into()
        }
    }

    /// Never finds anything if it does not compile, which [`Condition::compile`] would have said.
    pub(crate) fn find(&self, bytes: &[u8], search: &Search<'_>) -> Option<Range<usize>> {
        if !self.may_match(bytes) {
            return None;
        }
        let compile = || self.build().ok().map(Box::new);
        search
            .expressions
            .get(&self.compiled, compile)?
            .find(bytes, &search.has_given_up)
    }

    /// Bytes, not characters; `.` is any byte, for line ends are where attackers put them.
    pub(crate) fn build(&self) -> Result<Expression, String> {
        // What is searched is in lower case: few patterns need both, which double their size.
        let has_upper_case = self.source.contains(|char: char| char.is_ascii_uppercase())
            || self.source.contains("\\x");
        let syntax = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .dot_matches_new_line(true);
        let nfa = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::Implicit);
        let nfa = Compiler::new()
            .syntax(syntax.case_insensitive(self.any_case && has_upper_case))
            .configure(nfa.nfa_size_limit(Some(MAX_REGEX_BYTES)))
            .build(&self.source);
        let limit = DFA::config()
            .cache_capacity(MAX_STATES_BYTES)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(MAX_CLEARED))
            .minimum_bytes_per_state(Some(MIN_BYTES_FOR_A_STATE));
        let matcher = DFA::builder()
            .configure(limit)
            .build_from_nfa(nfa.map_err(|error| reason(&error))?);
        let matcher = matcher.map_err(|error| reason(&error))?;
        let states = Mutex::new(matcher.create_cache());
        Ok(Expression { matcher, states })
    }

    /// Literals of which at least one is in every match, in lower case; `None` when there are none, or too many.
    pub(crate) fn anchors(&self) -> Option<Vec<String>> {
        literals::of_expression(&self.source, MAX_ANCHORS)
    }

    /// Tells without the expression that it does not match, which is so nearly every time.
    fn may_match(&self, bytes: &[u8]) -> bool {
        // The words are in lower case. Bytes that are not meet expressions on user agents alone, few of which are tried.
        let words = || {
            literals::of_expression(&self.source, MAX_WORDS)
                .filter(|_| self.any_case)
                .unwrap_or_default()
                .into()
        };
        let words = self.words.get_or_init(words);
        words.is_empty()
            || words
                .iter()
                .any(|word| memmem::find(bytes, word.as_bytes()).is_some())
    }
}

impl Expression {
    fn find(&self, bytes: &[u8], has_given_up: &Cell<bool>) -> Option<Range<usize>> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        // It counts for as long as it lives: after one long request that threw it away, short ones would be given up.
        if states.clear_count() > 0 {
            states.reset(&self.matcher);
        }
        let found = self.matcher.try_search_fwd(&mut states, &Input::new(bytes));
        let end = found
            .inspect_err(|_| has_given_up.set(true))
            .ok()??
            .offset();
        // Where it begins is asked only of what is found, and not of all that comes before.
        let slow = PikeVM::new_from_nfa(self.matcher.get_nfa().clone()).ok()?;
        let near = end.saturating_sub(MAX_EVIDENCE_BYTES)..end;
        let found = slow.find(
            &mut slow.create_cache(),
            Input::new(bytes).range(near.clone()),
        );
        Some(found.map_or(near, |found| found.range()))
    }
}

/// The innermost error, which says what is wrong with the expression.
fn reason(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), reason)
}

impl From<String> for Pattern {
    fn from(source: String) -> Self {
        Self {
            source: source.into(),
            any_case: true,
            words: OnceLock::new(),
            compiled: Place::default(),
        }
    }
}
