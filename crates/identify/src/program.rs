//! A regular expression, compiled for short texts.
//!
//! In: an expression. Out: a [`Program`], and the leftmost match in a text. To make a program takes
//! a fifth of the time of an automaton, and it finds both the beginning and the end of a match. A
//! search visits each state at each byte at most once. A search that would still take too long is
//! left to the automaton.
//!
//! Before a search, the text is checked for bytes that every match has: nine of ten texts lack
//! some.

use std::ops::Range;

use regex_automata::nfa::thompson::backtrack::{BoundedBacktracker, Cache, Config};
use regex_automata::nfa::thompson::{self, Compiler, WhichCaptures};
use regex_automata::util::prefilter::Prefilter;
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::{Class, Hir, HirKind, Look};
use regex_syntax::utf8::{Utf8Range, Utf8Sequence, Utf8Sequences};

use crate::beginning::Beginning;

/// Most bytes of a compiled program. A larger one is an expression with many repetitions.
const MAX_PROGRAM_BYTES: usize = 1 << 17;
/// Longest text that a program searches. In a longer text, the start of a match is searched in this
/// many bytes before its end.
pub(crate) const MAX_TEXT_BYTES: usize = 2048;
/// Most bytes with which a search remembers the states that it visited at each byte of the text,
/// one bit for each pair.
const MAX_VISITED_BYTES: usize = 1 << 15;
/// Most memory of the prefilter, which finds the literals with which matches begin.
const MAX_PREFILTER_BYTES: usize = 4096;
/// Shortest text whose bytes are collected in a table; to make and to read the table takes time.
const MIN_TABLE_BYTES: usize = 256;
/// Most places where a match may begin that are tried one by one. The rest of the text is searched
/// at once: that search also looks at the bytes between such places, but visits each of them only
/// once.
const MAX_STARTS: usize = 4;
/// Most sets of bytes that are checked before a search; a match has a byte of each set.
const MAX_NEEDS: usize = 4;
/// Most pairs of a state and a byte that all searches in one request may visit together; each takes
/// some nanoseconds.
const MAX_WORK: usize = 2_000_000;

/// A set of byte values, one bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes([u64; 4]);

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Program {
    matcher: BoundedBacktracker,
    /// Sets of bytes. A match has a byte of each set; the sets that few texts meet stand first.
    needs: Box<[Bytes]>,
    /// The bytes with which a match may begin; `None` if a match may be empty.
    begins: Option<Beginning>,
    /// True if every match begins at the beginning of the text.
    is_anchored: bool,
    /// The length of the shortest match, and of the longest text in which there is one.
    shortest: usize,
    longest: usize,
}

/// What all searches in one request share: a buffer, and the work that is left to them.
#[derive(Debug)]
pub(crate) struct Scratch {
    visited: Option<Cache>,
    work: usize,
}

/// The error of a search that is left to the automaton because it would take too long.
#[derive(Debug)]
pub(crate) struct TooMuch;

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            visited: None,
            work: MAX_WORK,
        }
    }

    /// Returns the work that is left, for a search in another part of the same request.
    pub(crate) fn work_left(&self) -> usize {
        self.work
    }

    /// Sets the work that another search has left.
    pub(crate) fn set_work_left(&mut self, work: usize) {
        self.work = work;
    }

    /// Returns the buffer, emptied, to search with this matcher.
    fn visited(&mut self, matcher: &BoundedBacktracker) -> &mut Cache {
        match &mut self.visited {
            Some(visited) => {
                visited.reset(matcher);
                visited
            }
            none => none.insert(matcher.create_cache()),
        }
    }
}

impl Program {
    /// Compiles a parsed expression; `None` if it is too large.
    pub(crate) fn new(hir: &Hir) -> Option<Self> {
        let nfa = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::Implicit)
            .nfa_size_limit(Some(MAX_PROGRAM_BYTES));
        let nfa = Compiler::new().configure(nfa).build_from_hir(hir).ok()?;
        let config = Config::new()
            .visited_capacity(MAX_VISITED_BYTES)
            .prefilter(prefilter(hir));
        let mut builder = BoundedBacktracker::builder();
        let matcher = builder.configure(config).build_from_nfa(nfa).ok()?;
        let properties = hir.properties();
        let is_anchored = properties.look_set_prefix().contains(Look::Start);
        let is_whole = is_anchored && properties.look_set_suffix().contains(Look::End);
        let (begins, may_be_empty) = beginning(hir);
        Some(Self {
            matcher,
            needs: needs(hir),
            begins: (!may_be_empty).then(|| Beginning::new(hir, begins)),
            is_anchored,
            shortest: properties.minimum_len().unwrap_or(0),
            longest: properties
                .maximum_len()
                .filter(|_| is_whole)
                .unwrap_or(usize::MAX),
        })
    }

    /// Tells whether a text with these bytes may have a match.
    pub(crate) fn may_match(&self, present: &Bytes) -> bool {
        self.needs.iter().all(|need| need.meets(present))
    }

    /// Returns the first of the sets of bytes that a match needs; `None` if it needs none.
    pub(crate) fn need(&self) -> Option<Bytes> {
        self.needs.first().copied()
    }

    /// Finds the leftmost match.
    pub(crate) fn find(
        &self,
        text: &[u8],
        scratch: &mut Scratch,
    ) -> Result<Option<Range<usize>>, TooMuch> {
        if text.len() < self.shortest || text.len() > self.longest {
            return Ok(None);
        }
        let Some(begins) = &self.begins else {
            return self.search(text, 0, self.anchored(), scratch);
        };
        let places = if self.is_anchored { 1 } else { text.len() };
        let mut starts = (0..places).filter(|&at| begins.is_at(text, at));
        for start in starts.by_ref().take(MAX_STARTS) {
            let found = self.search(text, start, Anchored::Yes, scratch)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        match starts.next() {
            Some(start) => self.search(text, start, Anchored::No, scratch),
            None => Ok(None),
        }
    }

    /// Finds the leftmost match from `start` on; if `anchored`, only a match that begins at
    /// `start`.
    fn search(
        &self,
        text: &[u8],
        start: usize,
        anchored: Anchored,
        scratch: &mut Scratch,
    ) -> Result<Option<Range<usize>>, TooMuch> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TooMuch);
        }
        let pairs = self.matcher.get_nfa().states().len() * (text.len() - start + 1);
        scratch.work = scratch.work.checked_sub(pairs).ok_or(TooMuch)?;
        let input = Input::new(text).range(start..).anchored(anchored);
        let visited = scratch.visited(&self.matcher);
        let found = self.matcher.try_find(visited, input).map_err(|_| TooMuch)?;
        Ok(found.map(|found| found.range()))
    }

    fn anchored(&self) -> Anchored {
        if self.is_anchored {
            Anchored::Yes
        } else {
            Anchored::No
        }
    }
}

impl Bytes {
    /// Returns the set of the bytes in a text.
    pub(crate) fn in_text(text: &[u8]) -> Self {
        if text.len() < MIN_TABLE_BYTES {
            let mut bytes = Self::default();
            text.iter().for_each(|&byte| bytes.add(byte));
            return bytes;
        }
        // A table is filled faster than single bits, because each bit waits for the one before.
        let mut is_there = [false; 256];
        text.iter()
            .for_each(|&byte| is_there[usize::from(byte)] = true);
        let mut words = is_there.chunks_exact(64);
        Self(std::array::from_fn(|_| {
            let word = words.next().unwrap_or_default().iter().rev();
            word.fold(0, |bits, &is_there| bits << 1 | u64::from(is_there))
        }))
    }

    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(other.0)
            .any(|(mine, other)| mine & other != 0)
    }

    /// Returns a rough estimate of how many texts have one of these bytes: letters and digits are
    /// everywhere.
    fn weight(&self) -> (bool, u32) {
        let is_usual = |byte: u8| byte.is_ascii_alphanumeric() && self.has(byte);
        let count = self.0.iter().map(|word| word.count_ones()).sum();
        ((0..128).any(is_usual), count)
    }

    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] & 1 << (byte % 64) != 0
    }

    pub(crate) fn add(&mut self, byte: u8) {
        self.0[usize::from(byte / 64)] |= 1 << (byte % 64);
    }

    fn add_range(&mut self, range: &Utf8Range) {
        (range.start..=range.end).for_each(|byte| self.add(byte));
    }

    pub(crate) fn join(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    fn of(class: &Class) -> Option<Self> {
        let class = match class {
            Class::Bytes(class) => class.clone(),
            Class::Unicode(class) => class.to_byte_class()?,
        };
        let mut bytes = Self::default();
        for range in class.iter() {
            (range.start()..=range.end()).for_each(|byte| bytes.add(byte));
        }
        Some(bytes)
    }
}

/// Returns a prefilter, which finds the literals with which matches begin, so that an expression is
/// tried only there. Returns `None` if there are no such literals, or if to find them takes too
/// much time or memory.
pub(crate) fn prefilter(hir: &Hir) -> Option<Prefilter> {
    let found = Prefilter::from_hir_prefix(MatchKind::LeftmostFirst, hir)?;
    (found.is_fast() && found.memory_usage() <= MAX_PREFILTER_BYTES).then_some(found)
}

/// Returns sets of bytes; every match has a byte of each set.
fn needs(hir: &Hir) -> Box<[Bytes]> {
    let mut all = Vec::new();
    add_needs(hir, &mut all);
    all.sort_by_key(Bytes::weight);
    all.dedup();
    all.truncate(MAX_NEEDS);
    all.into()
}

fn add_needs(hir: &Hir, all: &mut Vec<Bytes>) {
    match hir.kind() {
        HirKind::Literal(literal) => {
            all.extend(literal.0.iter().map(|&byte| Bytes::in_text(&[byte])));
        }
        HirKind::Repetition(repetition) if repetition.min > 0 => add_needs(&repetition.sub, all),
        HirKind::Capture(capture) => add_needs(&capture.sub, all),
        HirKind::Concat(parts) => parts.iter().for_each(|part| add_needs(part, all)),
        HirKind::Class(_) | HirKind::Alternation(_) => {
            let (begins, may_be_empty) = beginning(hir);
            if !may_be_empty {
                all.push(begins);
            }
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Repetition(_) => {}
    }
}

/// Returns the bytes with which a match may begin, and whether a match may be empty.
fn beginning(hir: &Hir) -> (Bytes, bool) {
    let mut bytes = Bytes::default();
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => (bytes, true),
        HirKind::Literal(literal) => {
            literal
                .0
                .first()
                .into_iter()
                .for_each(|&byte| bytes.add(byte));
            (bytes, literal.0.is_empty())
        }
        HirKind::Class(class) => match Bytes::of(class) {
            Some(bytes) => (bytes, false),
            None => {
                for way in in_utf8(class) {
                    way.as_slice()[..1]
                        .iter()
                        .for_each(|range| bytes.add_range(range));
                }
                (bytes, false)
            }
        },
        HirKind::Repetition(repetition) => {
            let (bytes, may_be_empty) = beginning(&repetition.sub);
            (bytes, may_be_empty || repetition.min == 0)
        }
        HirKind::Capture(capture) => beginning(&capture.sub),
        HirKind::Concat(parts) => {
            for part in parts {
                let (first, may_be_empty) = beginning(part);
                bytes = bytes.join(first);
                if !may_be_empty {
                    return (bytes, false);
                }
            }
            (bytes, true)
        }
        HirKind::Alternation(parts) => {
            let mut one_may_be_empty = false;
            for part in parts {
                let (first, may_be_empty) = beginning(part);
                bytes = bytes.join(first);
                one_may_be_empty |= may_be_empty;
            }
            (bytes, one_may_be_empty)
        }
    }
}

/// Returns the sequences of bytes that are the characters of a class in UTF-8.
fn in_utf8(class: &Class) -> Vec<Utf8Sequence> {
    let Class::Unicode(class) = class else {
        return Vec::new();
    };
    let ranges = class.iter();
    ranges
        .flat_map(|range| Utf8Sequences::new(range.start(), range.end()))
        .collect()
}
