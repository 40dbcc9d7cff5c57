//! Tests what each parser finds and what it must not find: attacks, and texts of people and
//! programs that look like attacks.

mod addresses;
mod bounds;
mod languages;
mod objects;
mod shells;
mod sqls;

use std::ops::Range;

/// Checks that a parser finds all attacks and none of the others.
fn check(parser: impl Fn(&[u8]) -> Option<Range<usize>>, attacks: &[&str], others: &[&str]) {
    assert!(
        attacks.len() >= 20 && others.len() >= 20,
        "{} and {}",
        attacks.len(),
        others.len()
    );
    let finds = |value: &&&str| parser(value.to_ascii_lowercase().as_bytes()).is_some();
    let missed: Vec<_> = attacks.iter().filter(|value| !finds(value)).collect();
    let alarmed: Vec<_> = others.iter().filter(finds).collect();
    assert!(
        missed.is_empty() && alarmed.is_empty(),
        "missed: {missed:#?}, alarmed: {alarmed:#?}"
    );
}
