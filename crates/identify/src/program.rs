//! A regular expression as a short program, for short texts.
//!
//! In: an expression. Out: a [`Program`], and the leftmost match in a text. It is made in some 20 µs and takes some
//! hundred bytes, so that each is made once and kept. An automaton of `regex-automata` takes five times that to make
//! and 20 kB to keep, and finds where a match ends but not where it begins; it is faster on long texts, and on what is
//! made to be slow, which are left to it.
//!
//! Matching goes one way after the other and remembers at which byte it has chosen at which fork, so that it chooses
//! once at each: R. Cox, "Regular Expression Matching: the Virtual Machine Approach" (2009), "bit-state".

use std::ops::Range;

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};
use regex_syntax::utf8::{Utf8Range, Utf8Sequence, Utf8Sequences};

/// Longest program. A longer one is an expression that repeats many times.
const MAX_STEPS: usize = 4096;
/// Longest text. It is also what is looked at of a longer one to find where a match begins.
pub(crate) const MAX_TEXT_BYTES: usize = 2048;
/// Most pairs of a fork and a byte: 16 kB, which are set to zero for each search.
const MAX_CHOICES: usize = 1 << 17;
/// Sets of bytes of which a text must have one each, that are looked at before a search.
const MAX_NEEDS: usize = 4;
/// Steps that all searches in one request may take together, some nanoseconds each. Real requests take a tenth.
const MAX_WORK: usize = 200_000;

/// Bytes, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes([u64; 4]);

#[derive(Clone, Copy, Debug)]
enum Step {
    Byte(u8),
    /// One byte of the class with this number.
    Class(u32),
    Look(Look),
    /// Goes on at either place, the first one first. `fork` numbers all steps that choose.
    Either {
        first: u32,
        second: u32,
        fork: u32,
    },
    /// Goes on at one of `ways[from..to]`, in order.
    Way {
        from: u32,
        to: u32,
        fork: u32,
    },
    Jump(u32),
    Match,
}

/// A compiled expression.
#[derive(Debug, Default)]
pub(crate) struct Program {
    steps: Box<[Step]>,
    classes: Box<[Bytes]>,
    ways: Box<[u32]>,
    forks: usize,
    /// A match has a byte of each of these; the ones that few texts have stand first.
    needs: Box<[Bytes]>,
    /// What a match begins with; `None` where it may be empty, or begins with a look at what is around it.
    begins: Option<Bytes>,
    /// A match begins at the beginning of the text.
    is_anchored: bool,
    /// Shortest match, and longest text in which there is one.
    shortest: usize,
    longest: usize,
}

/// What is used again for each search of one request.
#[derive(Debug)]
pub(crate) struct Scratch {
    chosen: Vec<u64>,
    /// Where to go on when a way has failed: a step, and a place in the text.
    left: Vec<(u32, u32)>,
    work: usize,
}

/// A search that is left to an automaton.
#[derive(Debug)]
pub(crate) struct TooMuch;

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            chosen: Vec::new(),
            left: Vec::new(),
            work: MAX_WORK,
        }
    }
}

impl Program {
    /// Compiles an expression as it was read; `None` where it is too long, or has what only Unicode has.
    pub(crate) fn new(hir: &Hir) -> Option<Self> {
        let mut compiler = Compiler::default();
        compiler.compile(hir)?;
        compiler.push(Step::Match)?;
        let properties = hir.properties();
        let is_anchored = properties.look_set_prefix().contains(Look::Start);
        let is_whole = is_anchored && properties.look_set_suffix().contains(Look::End);
        let (begins, may_be_empty) = beginning(hir);
        Some(Self {
            steps: compiler.steps.into(),
            classes: compiler.classes.into(),
            ways: compiler.ways.into(),
            forks: compiler.forks as usize,
            needs: needs(hir),
            begins: (!may_be_empty).then_some(begins),
            is_anchored,
            shortest: properties.minimum_len().unwrap_or(0),
            longest: properties
                .maximum_len()
                .filter(|_| is_whole)
                .unwrap_or(usize::MAX),
        })
    }

    /// Tells whether a text with these bytes may have a match. Nine of ten have none that the expression begins with,
    /// or goes on with.
    pub(crate) fn may_match(&self, present: &Bytes) -> bool {
        self.needs.iter().all(|need| need.meets(present))
    }

    /// Bytes of which every match has one, the fewest; `None` where there are none.
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
        let choices = self.forks * (text.len() + 1);
        if text.len() > MAX_TEXT_BYTES || choices > MAX_CHOICES {
            return Err(TooMuch);
        }
        let last = if self.is_anchored {
            0
        } else {
            text.len() - self.shortest
        };
        let mut is_clear = false;
        let mut start = 0;
        while start <= last {
            if let Some(begins) = &self.begins {
                let near = text.get(start..=last.min(text.len().saturating_sub(1)));
                let mut near = near.unwrap_or_default().iter();
                let Some(skipped) = near.position(|&byte| begins.has(byte)) else {
                    return Ok(None);
                };
                start += skipped;
            }
            if !is_clear {
                scratch.chosen.clear();
                scratch.chosen.resize(choices.div_ceil(64), 0);
                is_clear = true;
            }
            if let Some(end) = self.end(text, start, scratch)? {
                return Ok(Some(start..end));
            }
            start += 1;
        }
        Ok(None)
    }

    /// Where the match ends that begins here.
    fn end(
        &self,
        text: &[u8],
        start: usize,
        scratch: &mut Scratch,
    ) -> Result<Option<usize>, TooMuch> {
        scratch.left.clear();
        let (mut step, mut at) = (0, start);
        loop {
            scratch.work = scratch.work.checked_sub(1).ok_or(TooMuch)?;
            let next = match self.steps[step] {
                Step::Byte(byte) => (text.get(at) == Some(&byte)).then_some((step + 1, at + 1)),
                Step::Class(class) => text
                    .get(at)
                    .is_some_and(|&byte| self.classes[class as usize].has(byte))
                    .then_some((step + 1, at + 1)),
                Step::Look(look) => holds(look, text, at).then_some((step + 1, at)),
                Step::Jump(to) => Some((to as usize, at)),
                Step::Either {
                    first,
                    second,
                    fork,
                } => scratch.choose(fork, at, text.len()).then(|| {
                    scratch.left.push((second, at as u32));
                    (first as usize, at)
                }),
                Step::Way { from, to, fork } => {
                    if scratch.choose(fork, at, text.len()) {
                        let ways = &self.ways[from as usize..to as usize];
                        for &way in ways.iter().rev() {
                            if self.may_go(way, text, at) {
                                scratch.left.push((way, at as u32));
                            }
                        }
                    }
                    None
                }
                Step::Match => return Ok(Some(at)),
            };
            let next = next.or_else(|| {
                let (step, at) = scratch.left.pop()?;
                Some((step as usize, at as usize))
            });
            let Some(next) = next else {
                return Ok(None);
            };
            (step, at) = next;
        }
    }

    /// Most ways of an alternation fail at their first byte, and are not begun.
    fn may_go(&self, step: u32, text: &[u8], at: usize) -> bool {
        match self.steps[step as usize] {
            Step::Byte(byte) => text.get(at) == Some(&byte),
            _ => true,
        }
    }
}

impl Scratch {
    /// Notes a choice; tells whether it is the first one there.
    fn choose(&mut self, fork: u32, at: usize, length: usize) -> bool {
        let choice = fork as usize * (length + 1) + at;
        let (word, bit) = (&mut self.chosen[choice / 64], 1 << (choice % 64));
        let is_first = *word & bit == 0;
        *word |= bit;
        is_first
    }

    /// What may still be done, for a search in another part of the same request.
    pub(crate) fn work(&mut self) -> &mut usize {
        &mut self.work
    }
}

impl Bytes {
    /// Those of a text.
    pub(crate) fn in_text(text: &[u8]) -> Self {
        let mut bytes = Self::default();
        text.iter().for_each(|&byte| bytes.add(byte));
        bytes
    }

    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(other.0)
            .any(|(mine, other)| mine & other != 0)
    }

    /// How many texts have one of these, by rule of thumb: letters and digits are everywhere.
    fn weight(&self) -> (bool, u32) {
        let is_usual = |byte: u8| byte.is_ascii_alphanumeric() && self.has(byte);
        let count = self.0.iter().map(|word| word.count_ones()).sum();
        ((0..128).any(is_usual), count)
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] & 1 << (byte % 64) != 0
    }

    fn add(&mut self, byte: u8) {
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

/// Sets of bytes of which every match has one each.
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

/// The bytes that a match may begin with, and whether it may begin with none.
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
        HirKind::Alternation(parts) => parts
            .iter()
            .map(beginning)
            .fold((bytes, false), |(all, any_empty), (first, may_be_empty)| {
                (all.join(first), any_empty || may_be_empty)
            }),
    }
}

/// The sequences of bytes that are the characters of a class in UTF-8.
fn in_utf8(class: &Class) -> Vec<Utf8Sequence> {
    let Class::Unicode(class) = class else {
        return Vec::new();
    };
    let ranges = class.iter();
    ranges
        .flat_map(|range| Utf8Sequences::new(range.start(), range.end()))
        .collect()
}

fn holds(look: Look, text: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| text.get(before));
    let after = text.get(at);
    let is_of_word =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    match look {
        Look::Start => before.is_none(),
        Look::End => after.is_none(),
        Look::StartLF => before.is_none_or(|&byte| byte == b'\n'),
        Look::EndLF => after.is_none_or(|&byte| byte == b'\n'),
        Look::WordAscii => is_of_word(before) != is_of_word(after),
        Look::WordAsciiNegate => is_of_word(before) == is_of_word(after),
        _ => false,
    }
}

#[derive(Default)]
struct Compiler {
    steps: Vec<Step>,
    classes: Vec<Bytes>,
    ways: Vec<u32>,
    forks: u32,
}

impl Compiler {
    fn push(&mut self, step: Step) -> Option<()> {
        self.steps.push(step);
        (self.steps.len() <= MAX_STEPS).then_some(())
    }

    fn here(&self) -> u32 {
        self.steps.len() as u32
    }

    fn fork(&mut self) -> u32 {
        self.forks += 1;
        self.forks - 1
    }

    fn compile(&mut self, hir: &Hir) -> Option<()> {
        match hir.kind() {
            HirKind::Empty => Some(()),
            HirKind::Literal(literal) => {
                let mut bytes = literal.0.iter();
                bytes.try_for_each(|&byte| self.push(Step::Byte(byte)))
            }
            HirKind::Class(class) => match Bytes::of(class) {
                Some(class) => self.class(class),
                None => self.ways(&in_utf8(class), |compiler, way| {
                    way.as_slice().iter().try_for_each(|range| {
                        let mut bytes = Bytes::default();
                        bytes.add_range(range);
                        compiler.class(bytes)
                    })
                }),
            },
            HirKind::Look(look) => {
                let is_known = matches!(
                    look,
                    Look::Start
                        | Look::End
                        | Look::StartLF
                        | Look::EndLF
                        | Look::WordAscii
                        | Look::WordAsciiNegate
                );
                is_known.then(|| self.push(Step::Look(*look)))?
            }
            HirKind::Repetition(repetition) => self.repetition(repetition),
            HirKind::Capture(capture) => self.compile(&capture.sub),
            HirKind::Concat(parts) => parts.iter().try_for_each(|part| self.compile(part)),
            HirKind::Alternation(parts) => self.ways(parts, Self::compile),
        }
    }

    fn class(&mut self, class: Bytes) -> Option<()> {
        let known = self.classes.iter().position(|known| *known == class);
        let number = known.unwrap_or_else(|| {
            self.classes.push(class);
            self.classes.len() - 1
        });
        self.push(Step::Class(number as u32))
    }

    /// One of these, in order.
    fn ways<T>(
        &mut self,
        parts: &[T],
        compile: impl Fn(&mut Self, &T) -> Option<()>,
    ) -> Option<()> {
        let from = self.ways.len() as u32;
        let to = from + parts.len() as u32;
        self.ways.resize(to as usize, 0);
        let fork = self.fork();
        self.push(Step::Way { from, to, fork })?;
        let mut ends = Vec::new();
        for (way, part) in (from..).zip(parts) {
            self.ways[way as usize] = self.here();
            compile(self, part)?;
            ends.push(self.here());
            self.push(Step::Jump(0))?;
        }
        let behind = self.here();
        for end in ends {
            self.steps[end as usize] = Step::Jump(behind);
        }
        Some(())
    }

    fn repetition(&mut self, repetition: &Repetition) -> Option<()> {
        for _ in 0..repetition.min {
            self.compile(&repetition.sub)?;
        }
        let Some(max) = repetition.max else {
            let start = self.here();
            let fork = self.either()?;
            self.compile(&repetition.sub)?;
            self.push(Step::Jump(start))?;
            return self.settle(start, fork, repetition.greedy);
        };
        let mut forks = Vec::new();
        for _ in repetition.min..max {
            forks.push((self.here(), self.either()?));
            self.compile(&repetition.sub)?;
        }
        let mut forks = forks.into_iter();
        forks.try_for_each(|(at, fork)| self.settle(at, fork, repetition.greedy))
    }

    /// Makes room for a choice.
    fn either(&mut self) -> Option<u32> {
        let fork = self.fork();
        self.push(Step::Jump(0))?;
        Some(fork)
    }

    /// The choice is to go on with what follows it, or here.
    fn settle(&mut self, at: u32, fork: u32, is_greedy: bool) -> Option<()> {
        let (more, behind) = (at + 1, self.here());
        let (first, second) = if is_greedy {
            (more, behind)
        } else {
            (behind, more)
        };
        self.steps[at as usize] = Step::Either {
            first,
            second,
            fork,
        };
        Some(())
    }
}
