//! Runs the parsers of values, and the search for quotations, alone.
//!
//! In: any bytes. Out: what each parser finds in them. This is for the fuzz targets `values` and
//! `quotation`. A [`Labeller`](crate::Labeller) gives a parser only values whose bytes call for it,
//! and tries all signatures too.

use std::ops::Range;
use std::sync::LazyLock;

use crate::pattern::{Expressions, Search};
use crate::quotation::Quotation;
use crate::sample::Sample;
use crate::words::Words;
use crate::{attack, http, recognise};

/// Without any signature.
static EXPRESSIONS: LazyLock<Expressions> = LazyLock::new(|| Expressions::new(1));
static WORDS: LazyLock<Words> = LazyLock::new(|| Words::new(&[""; 0]));

/// What is found in a request without any signature.
#[derive(Debug)]
pub struct Parsed {
    /// The ranges of the raw bytes that are an attack.
    pub attacks: Vec<Range<usize>>,
    /// The ranges of the raw bytes that are a quotation; empty where there is none.
    pub quoted: Vec<Range<usize>>,
}

/// Gives a value to every parser of `attack`, whatever its bytes call for.
///
/// Returns the ranges of the value that they find.
#[must_use]
pub fn value(value: &[u8]) -> Vec<Range<usize>> {
    attack::parse_all(value)
}

/// Splits a request into values, gives them to the parsers, and finds what the request quotes.
///
/// Returns `None` if the bytes are not HTTP.
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
