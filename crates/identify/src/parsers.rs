//! The parsers of values and the look for quotations, alone.
//!
//! In: any bytes. Out: what each of them says of these bytes. This is for the fuzz targets
//! `values` and `quotation`: through [`Labeller`](crate::Labeller) a parser only gets what its
//! bytes call for, with all signatures behind it.

use std::ops::Range;
use std::sync::LazyLock;

use crate::pattern::{Expressions, Search};
use crate::quotation::Quotation;
use crate::sample::Sample;
use crate::words::Words;
use crate::{attack, http, recognise};

/// No signature is looked for.
static EXPRESSIONS: LazyLock<Expressions> = LazyLock::new(|| Expressions::new(1));
static WORDS: LazyLock<Words> = LazyLock::new(|| Words::new(&[""; 0]));

/// What is found in a request without any signature.
#[derive(Debug)]
pub struct Parsed {
    /// The raw bytes of each kind of attack.
    pub attacks: Vec<Range<usize>>,
    /// The raw bytes that are a quotation.
    pub quoted: Vec<Range<usize>>,
}

/// Gives a value to every parser of `attack`, whatever its bytes call for.
///
/// Returns the ranges of the value that they find.
#[must_use]
pub fn value(value: &[u8]) -> Vec<Range<usize>> {
    attack::parse_all(value)
}

/// Splits a request into values, gives them to the parsers, and looks for what it quotes.
///
/// Returns `None` for what is not HTTP.
#[must_use]
pub fn request(raw: &[u8]) -> Option<Parsed> {
    let recognised = recognise(raw);
    let http = http::parse(raw)?;
    let search = Search::new(&EXPRESSIONS, &WORDS);
    let sample = Sample::new(raw, &recognised, Some(&http), None, search);
    let attacks = sample.attacks().iter().map(|found| found.evidence.clone());
    let quotation = Quotation::of(&sample).unwrap_or_default();
    Some(Parsed {
        attacks: attacks.collect(),
        quoted: quotation.ranges().into(),
    })
}
