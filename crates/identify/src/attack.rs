//! Attacks that name no product, such as SQL injection, which small parsers recognise.
//!
//! In: the values of a request: parameters, strings in JSON, texts in XML, parts of forms, headers,
//! the path. Out: the kinds of [`Attack`] in them, each with its place. A signature asks for a kind
//! with `match.attack`, and its other conditions restrict it. Every parser reads lower-case bytes,
//! once from front to back, and at most [`MAX_BYTES`] of a request.
//!
//! Read in this order: `value` and `body` split a request into values, `scan` gives each value to
//! the parsers that its bytes call for. The other files are one parser each.

mod address;
mod any;
mod body;
mod code;
mod entity;
mod include;
mod marker;
mod names;
mod path;
mod scan;
mod script;
mod shell;
mod sql;
mod template;
mod token;
mod upload;
mod value;

use forever200_decode::lower::lower;
use std::ops::Range;

pub(crate) use names::Attack;

use crate::sample::Sample;

/// Most bytes that are read of all values of a request together.
const MAX_BYTES: usize = 32 * 1024;
/// Most values of a request that are read; more are noise.
const MAX_VALUES: usize = 256;

/// The part of a request in which an attack was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Target,
    Header,
    Body,
}

/// An attack in a request.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) attack: Attack,
    pub(crate) place: Place,
    /// The range of the raw bytes that is the attack.
    pub(crate) evidence: Range<usize>,
}

/// Returns the attacks in a request, each kind once for each place.
pub(crate) fn find(sample: &Sample<'_>) -> Vec<Found> {
    let mut scan = scan::Scan::new();
    value::visit(sample, &mut scan);
    scan.found()
}

/// Gives a value to every parser, whatever its bytes call for, and returns what they find.
pub(crate) fn parse_all(value: &[u8]) -> Vec<Range<usize>> {
    let lower = &lower(value)[..];
    let mut found = vec![
        token::find(value),
        path::find(lower, false),
        path::find(lower, true),
        include::find(b"page", lower),
        address::find(lower),
        shell::find(lower, true, false),
        shell::find(lower, false, true),
        code::find(lower),
        sql::find(lower),
        template::find(lower),
        script::find(lower, false),
        script::find(lower, true),
        entity::find(lower),
        upload::find(lower),
        upload::is_program(lower).then_some(0..lower.len()),
    ];
    marker::find(lower, scan::MAX_MARKERS, |_, range| found.push(Some(range)));
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
