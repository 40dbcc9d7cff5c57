//! A regular expression on bytes.
//!
//! In: the expression of a signature. Out: matches. A search takes time in proportion to the text.

use std::cell::{Cell, OnceCell, RefCell};
use std::error::Error;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

use memchr::memmem;
use regex_automata::Input;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, Compiler, WhichCaptures, pikevm::PikeVM};
use regex_automata::util::syntax;
use serde::Deserialize;

use crate::literals::{self, MAX_WORD_BYTES};
use crate::program::{Bytes, MAX_TEXT_BYTES, Program, Scratch, prefilter};
use crate::recent::{Place, Recent};
use crate::words::{BitSet, Words};

/// Most literals that are kept for one regular expression; each of them is looked for in every
/// request.
const MAX_LITERALS: usize = 100;
/// How often an expression may clear its cache of states. After that it gives up if it searched
/// fewer than `MIN_BYTES_FOR_A_STATE` bytes for each state. Without this limit, a request that
/// repeats the beginning of what the expression looks for would take 13 ms for 64 KiB.
const MAX_CLEARED: usize = 8;
const MIN_BYTES_FOR_A_STATE: usize = 8;
/// Most bytes of a compiled regular expression. The limit is for mistakes in a signature, not for
/// attacks.
const MAX_REGEX_BYTES: usize = 1 << 20;
/// Most bytes of the cache of its states; a full cache is cleared, and the states are made again.
const MAX_STATES_BYTES: usize = 1 << 15;

/// The compiled expressions that were used lately.
pub(crate) type Expressions = Recent<Box<Expression>>;

/// The searches for all expressions in one request, or in one decoded part of it.
pub(crate) struct Search<'a> {
    expressions: &'a Expressions,
    words: &'a Words,
    /// The words that are in the request. Until they were looked for, every word may be there.
    seen: OnceCell<BitSet>,
    /// The search in the request, if this search is in a decoded part of it.
    outer: Option<&'a Self>,
    scratch: RefCell<Scratch>,
    /// True if an expression was given up because it would have taken too long.
    has_given_up: Cell<bool>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(expressions: &'a Expressions, words: &'a Words) -> Self {
        Self {
            expressions,
            words,
            seen: OnceCell::new(),
            outer: None,
            scratch: RefCell::new(Scratch::new()),
            has_given_up: Cell::new(false),
        }
    }

    /// Returns a search in a decoded part of the request.
    pub(crate) fn another(&self) -> Search<'_> {
        let another = Search {
            outer: Some(self),
            ..Search::new(self.expressions, self.words)
        };
        let work_left = self.scratch.borrow().work_left();
        another.scratch.borrow_mut().set_work_left(work_left);
        another
    }

    /// Notes which words are in the searched texts.
    pub(crate) fn note_seen(&self, words: BitSet) {
        // It is set only once.
        let _ = self.seen.set(words);
    }

    /// Tells whether one of these words may be in the searched texts, or in the request around
    /// them.
    fn may_have(&self, words: impl Iterator<Item = u32> + Clone) -> bool {
        let is_here = match self.seen.get() {
            Some(seen) => words.clone().any(|word| seen.has(word as usize)),
            None => true,
        };
        is_here || self.outer.is_some_and(|outer| outer.may_have(words))
    }

    /// Takes over the work that another search left, and whether it has given up.
    pub(crate) fn add(&self, other: &Search<'_>) {
        let work_left = other.scratch.borrow().work_left();
        self.scratch.borrow_mut().set_work_left(work_left);
        self.has_given_up
            .set(self.has_given_up.get() || other.has_given_up.get());
    }

    pub(crate) fn has_given_up(&self) -> bool {
        self.has_given_up.get()
    }
}

/// A regular expression. Its program takes 2 kB on average; it is made when it is first needed, and
/// kept. All programs together would take 6 MB. The automaton for long texts takes some 20 kB and
/// is kept while it is used.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Pattern {
    source: Box<str>,
    any_case: bool,
    /// Words; every match has at least one of them. Empty if there are none. Found when they are
    /// first needed.
    words: OnceLock<Box<[Word]>>,
    /// `None` inside if the expression is too large for a program.
    program: OnceLock<Option<Box<Program>>>,
    compiled: Place<Box<Expression>>,
}

/// A word that a match needs: its number in [`Words`], and its bytes.
#[derive(Clone, Copy, Debug)]
struct Word {
    number: u32,
    length: u8,
    bytes: [u8; MAX_WORD_BYTES],
}

/// A pattern compiled to an automaton, which makes its states during searches and keeps them.
#[derive(Debug)]
pub(crate) struct Expression {
    matcher: DFA,
    states: Mutex<Cache>,
}

/// A check that rules out many expressions at once. It is open if one of `words` may be in the
/// request, or one of `bytes` is in the text.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Words that the expressions need.
    words: Box<[u32]>,
    /// Bytes that the expressions without words need; `None` if one of these needs no bytes either.
    bytes: Option<Bytes>,
}

impl Gate {
    /// Makes the gate of some expressions.
    pub(crate) fn new(patterns: &[Pattern], search: &Search<'_>) -> Self {
        let (mut all, mut bytes) = (Vec::new(), Some(Bytes::default()));
        for pattern in patterns {
            let words = pattern.known_words(search);
            if words.is_empty() {
                let need = pattern.program().and_then(Program::need);
                bytes = bytes.zip(need).map(|(bytes, need)| bytes.join(need));
            } else {
                all.extend(words.iter().map(|word| word.number));
            }
        }
        all.sort_unstable();
        all.dedup();
        let words = all.into();
        Self { words, bytes }
    }

    /// Tells whether one of the expressions may match a text with these bytes.
    pub(crate) fn is_open(&self, present: &Bytes, search: &Search<'_>) -> bool {
        self.bytes.is_none_or(|bytes| bytes.meets(present))
            || search.may_have(self.words.iter().copied())
    }
}

impl Pattern {
    /// Returns an expression for which case matters.
    pub(crate) fn in_its_case(source: String) -> Self {
        Self {
            any_case: false,
            ..source.into()
        }
    }

    /// Returns the match of the expression in some bytes; `present` are the bytes that occur in
    /// them. An expression that does not compile finds nothing, but [`Condition::compile`] refuses
    /// such expressions.
    pub(crate) fn find(
        &self,
        bytes: &[u8],
        present: &Bytes,
        search: &Search<'_>,
    ) -> Option<Range<usize>> {
        let words = self.known_words(search);
        let numbers = words.iter().map(|word| word.number);
        if !words.is_empty() && !search.may_have(numbers) {
            return None;
        }
        let program = self.program();
        if program.is_some_and(|program| !program.may_match(present)) {
            return None;
        }
        // A word that was seen may be in another part of the request. User agents keep their case,
        // so their lower-case words are not looked for here.
        if self.any_case && !is_one_in(words, bytes, search) {
            return None;
        }
        if let Some(program) = program
            && let Ok(found) = program.find(bytes, &mut search.scratch.borrow_mut())
        {
            return found;
        }
        let compile = || self.build().ok().map(Box::new);
        search
            .expressions
            .get(&self.compiled, compile)?
            .find(bytes, &search.has_given_up)
    }

    /// Compiles the automaton for texts of any length.
    pub(crate) fn build(&self) -> Result<Expression, String> {
        let nfa = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::Implicit);
        let read =
            syntax::parse_with(&self.source, &self.syntax()).map_err(|error| reason(&error))?;
        let nfa = Compiler::new()
            .configure(nfa.nfa_size_limit(Some(MAX_REGEX_BYTES)))
            .build_from_hir(&read);
        let limit = DFA::config()
            .cache_capacity(MAX_STATES_BYTES)
            .skip_cache_capacity_check(true)
            .prefilter(prefilter(&read))
            .minimum_cache_clear_count(Some(MAX_CLEARED))
            .minimum_bytes_per_state(Some(MIN_BYTES_FOR_A_STATE));
        let matcher = DFA::builder()
            .configure(limit)
            .build_from_nfa(nfa.map_err(|error| reason(&error))?);
        let matcher = matcher.map_err(|error| reason(&error))?;
        let states = Mutex::new(matcher.create_cache());
        Ok(Expression { matcher, states })
    }

    /// Returns how the expression is read: it matches bytes, not characters. `.` matches any byte,
    /// because attackers put line ends where filters do not expect them.
    fn syntax(&self) -> syntax::Config {
        // The searched texts are in lower case. Few patterns need both cases, which double their
        // size.
        let has_upper_case = self.source.contains(|char: char| char.is_ascii_uppercase())
            || self.source.contains("\\x");
        syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .dot_matches_new_line(true)
            .case_insensitive(self.any_case && has_upper_case)
    }

    fn program(&self) -> Option<&Program> {
        let make = || {
            let read = syntax::parse_with(&self.source, &self.syntax()).ok()?;
            Program::new(&read).map(Box::new)
        };
        self.program.get_or_init(make).as_deref()
    }

    /// Returns literals in lower case; every match has at least one of them. Returns `None` if
    /// there are none, or too many.
    pub(crate) fn literals(&self) -> Option<Vec<String>> {
        literals::of_expression(&self.source, MAX_LITERALS)
    }

    /// Returns the words to look for before the expression is tried, in lower case; every match has
    /// at least one of them.
    pub(crate) fn words(&self) -> Option<Vec<String>> {
        literals::words_of_expression(&self.source, MAX_LITERALS)
    }

    fn known_words(&self, search: &Search<'_>) -> &[Word] {
        self.words.get_or_init(|| self.numbers(search.words))
    }

    /// Returns the words of the expression with their numbers; empty if one of them has no number.
    fn numbers(&self, known: &Words) -> Box<[Word]> {
        let words = self.words().unwrap_or_default();
        let numbers = words
            .iter()
            .map(|word| Word::new(known.number(word)?, word));
        numbers.collect::<Option<_>>().unwrap_or_default()
    }
}

impl Word {
    fn new(number: u32, word: &str) -> Option<Self> {
        let mut bytes = [0; MAX_WORD_BYTES];
        bytes
            .get_mut(..word.len())?
            .copy_from_slice(word.as_bytes());
        Some(Self {
            number,
            length: u8::try_from(word.len()).ok()?,
            bytes,
        })
    }

    fn is_in(&self, text: &[u8]) -> bool {
        memmem::find(text, &self.bytes[..usize::from(self.length)]).is_some()
    }
}

/// Tells whether a text has one of the words that a match needs. Most words are nowhere in the
/// request, and are not looked for in the text.
fn is_one_in(words: &[Word], text: &[u8], search: &Search<'_>) -> bool {
    let is_there = |word: &Word| search.may_have([word.number].into_iter()) && word.is_in(text);
    words.is_empty() || words.iter().any(is_there)
}

impl Expression {
    fn find(&self, bytes: &[u8], has_given_up: &Cell<bool>) -> Option<Range<usize>> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        // The cache counts how often it was cleared in its whole life. Without a reset, after one
        // long request that cleared it, searches in short requests would be given up.
        if states.clear_count() > 0 {
            states.reset(&self.matcher);
        }
        let found = self.matcher.try_search_fwd(&mut states, &Input::new(bytes));
        let end = found
            .inspect_err(|_| has_given_up.set(true))
            .ok()??
            .offset();
        // The automaton returns only the end of the match. Its start is searched in the bytes just
        // before the end.
        let slow = PikeVM::new_from_nfa(self.matcher.get_nfa().clone()).ok()?;
        let near = end.saturating_sub(MAX_TEXT_BYTES)..end;
        let found = slow.find(
            &mut slow.create_cache(),
            Input::new(bytes).range(near.clone()),
        );
        Some(found.map_or(near, |found| found.range()))
    }
}

/// Returns the message of the innermost error, which says what is wrong with the expression.
fn reason(error: &dyn Error) -> String {
    error.source().map_or_else(|| error.to_string(), reason)
}

impl From<String> for Pattern {
    fn from(source: String) -> Self {
        Self {
            source: source.into(),
            any_case: true,
            words: OnceLock::new(),
            program: OnceLock::new(),
            compiled: Place::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::written;
    use crate::signature::Signature;

    /// Compares the two ways to search for an expression, and the checks before them.
    fn compare(pattern: &Pattern, text: &[u8]) {
        let has_given_up = Cell::new(false);
        let expected = pattern.build().unwrap().find(text, &has_given_up);
        let lower = text.to_ascii_lowercase();
        let is_there = |word: &String| {
            let mut places = lower.windows(word.len());
            places.any(|place| place == word.as_bytes())
        };
        if expected.is_some() {
            let words = pattern.words().unwrap_or_default();
            assert!(
                words.is_empty() || words.iter().any(is_there),
                "{pattern:?}"
            );
        }
        let program = pattern.program().unwrap();
        let may_match = program.may_match(&Bytes::in_text(text));
        assert!(may_match || expected.is_none(), "{pattern:?}");
        // A search that is too much for a program is left to the automaton.
        if let Ok(found) = program.find(text, &mut Scratch::new()) {
            let text = text.escape_ascii();
            assert_eq!(found, expected, "{} in {text}", pattern.source);
        }
    }

    #[test]
    fn a_program_finds_what_the_automaton_finds() {
        let all: Vec<u8> = (0..=255).collect();
        for signature in written() {
            let mut texts = vec![Vec::new(), b"\n".to_vec(), all.clone()];
            for example in &signature.examples {
                let raw = Signature::example_bytes(example).to_ascii_lowercase();
                let target = raw.split(|&byte| byte == b' ').nth(1);
                texts.push(target.unwrap_or_default().to_vec());
                texts.push(raw);
            }
            for pattern in signature.condition.patterns() {
                for text in texts.iter().filter(|text| text.len() <= MAX_TEXT_BYTES) {
                    compare(pattern, text);
                }
            }
        }
    }

    #[test]
    fn the_leftmost_match_is_found_and_of_those_the_preferred_one() {
        for source in [
            "a|ab",
            "ab|a",
            "(a|ab)(c|bcd)",
            "a*?b",
            "a{2,4}",
            "a{2,4}?",
            "(a*)*b",
            "(a|b*)*c",
            "^a$",
            "\\bab\\b",
            "\\Bab",
            "(?m)^b$",
            "(^|x)b",
            "x*",
            "(?i)AB",
            "[^a]b",
            "(a|b|)c",
            ".{3}",
            "(\\r|\\x{560a})b",
            "a.*b.*c",
            "(ab?)+?c",
            "abc|b|bb|cab",
            "(ab|aab) ?a?b",
            "(aab|abab|x)b?$",
        ] {
            let pattern = Pattern::from(source.to_owned());
            for text in [
                "",
                "a",
                "ab",
                "abc",
                "abcd",
                "xab",
                "ab b",
                "a\nb\nc",
                "aaaaab",
                "xxb",
                "AB ab",
                "aab abab c",
                "\u{560a}b",
                "\rb",
                "cab",
                "bbbb",
                "aaac",
            ] {
                compare(&pattern, text.as_bytes());
            }
        }
    }

    #[test]
    fn a_search_that_is_too_much_is_left_to_the_automaton() {
        let expression = syntax::parse_with("(a|b|ab)*c", &syntax::Config::new()).unwrap();
        let program = Program::new(&expression).unwrap();
        let long = vec![b'a'; MAX_TEXT_BYTES + 1];
        assert!(program.find(&long, &mut Scratch::new()).is_err());
        let mut scratch = Scratch::new();
        scratch.set_work_left(100);
        assert!(program.find(&[b'a'; 1000], &mut scratch).is_err());
        assert!(matches!(
            program.find(b"abc", &mut Scratch::new()),
            Ok(Some(_))
        ));
    }
}
