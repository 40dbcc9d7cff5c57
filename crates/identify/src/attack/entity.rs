//! XML entities and includes that load a file or an address, and entities that expand to much text.
//!
//! In: XML in lower case. Out: the range of the declaration. Many documents begin with a DOCTYPE
//! that names the file of a public grammar; that does not count.
//!
//! Rules: XML 1.0 2.8 "Prolog and Document Type Declaration" and 4.2.2 "External Entities";
//! XInclude 1.0; XSLT 1.0 2.6 "Combining Stylesheets".

use std::ops::Range;

use memchr::memmem;

use super::address;
use crate::slice::{contains_one, first, run, starts_with_one};

/// Most bytes of a declaration that are read.
const MAX_DECLARATION_BYTES: usize = 512;
/// Most declarations of one kind that are read.
const MAX_DECLARATIONS: usize = 32;
/// An entity with this many references to others is made to expand.
const MIN_REFERENCES: usize = 3;
/// Entities that mean one character each: XML 1.0, 4.6 "Predefined Entities".
const SIGNS: [&str; 5] = ["lt;", "gt;", "amp;", "quot;", "apos;"];
/// The folder where macOS keeps its grammars; old property lists name it.
const APPLE_GRAMMARS: &str = "file://localhost/system/library/dtds/";

/// Returns the range of a text that declares such an entity.
pub(crate) fn find(text: &[u8]) -> Option<Range<usize>> {
    const INCLUDED: &[&str] = &["href=\"http", "href=\"file"];
    let has = |words: &'static [&str]| move |declaration: &[u8]| contains_one(declaration, words);
    declared(text, "<!entity", is_entity)
        .or_else(|| {
            let included = has(&["href=\"file", "href='file", "href=\"http", "href='http"]);
            declared(text, ":include", included)
        })
        .or_else(|| declared(text, "<xi:include", has(&["href"])))
        .or_else(|| declared(text, "<!doctype", is_foreign_grammar))
        .or_else(|| declared(text, "<xsl:include", has(INCLUDED)))
        .or_else(|| declared(text, "<xsl:import", has(INCLUDED)))
}

/// Returns the range of the first declaration that begins with `mark` and whose rest, without `>`,
/// meets a test.
fn declared(text: &[u8], mark: &str, is_it: impl Fn(&[u8]) -> bool) -> Option<Range<usize>> {
    for start in memmem::find_iter(text, mark.as_bytes()).take(MAX_DECLARATIONS) {
        let rest = first(&text[start..], MAX_DECLARATION_BYTES);
        let end = memchr::memchr(b'>', rest).unwrap_or(rest.len());
        if end >= mark.len() && is_it(&rest[mark.len()..end]) {
            return Some(start..start + end);
        }
    }
    None
}

/// Tells whether the entity loads its content, is for grammars (`%`), or is made of other entities.
fn is_entity(declaration: &[u8]) -> bool {
    const OUTSIDE: [&str; 4] = [" system", " public", "\tsystem", "\nsystem"];
    let name = declaration.trim_ascii_start();
    let is_parameter = name.len() < declaration.len() && name.starts_with(b"%");
    is_parameter
        || contains_one(declaration, &OUTSIDE)
        || references(declaration).take(MIN_REFERENCES).count() == MIN_REFERENCES
}

/// Returns the places of references to other entities, `&name;`; those to characters do not count.
fn references(declaration: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'&', declaration).filter(|at| {
        let rest = &declaration[at + 1..];
        let length = run(rest, |byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        length > 0 && rest.get(length) == Some(&b';') && !starts_with_one(rest, &SIGNS)
    })
}

/// Tells whether a DOCTYPE names a grammar in a file of this machine, at an address that only this
/// machine reaches, or where nobody publishes grammars.
fn is_foreign_grammar(declaration: &[u8]) -> bool {
    let end = memchr::memchr(b'[', declaration).unwrap_or(declaration.len());
    let head = &declaration[..end];
    let is_public = memmem::find(head, b" public ").is_some();
    let Some(system) = quoted(head, usize::from(is_public)) else {
        return false;
    };
    if starts_with_one(system, &[APPLE_GRAMMARS, "about:"]) {
        return false;
    }
    address::find(system).is_some()
        || starts_with_one(system, &["file:", "ftp:", "http://127", "http://localhost"])
        || has_numeric_host(system)
        || !is_public && !system.ends_with(b".dtd")
}

/// Returns a string in quotes, after `skipped` others.
fn quoted(text: &[u8], skipped: usize) -> Option<&[u8]> {
    let mut rest = text;
    let mut left = skipped;
    loop {
        let start = memchr::memchr2(b'"', b'\'', rest)?;
        let inside = &rest[start + 1..];
        let end = memchr::memchr(rest[start], inside)?;
        if left == 0 {
            return Some(&inside[..end]);
        }
        left -= 1;
        rest = &inside[end + 1..];
    }
}

/// Tells whether the host of an address is a number.
fn has_numeric_host(address: &[u8]) -> bool {
    let Some(start) = memmem::find(address, b"://") else {
        return false;
    };
    let host = &address[start + 3..];
    let length = run(host, |byte| !b":/?#".contains(byte));
    length > 0
        && host[..length]
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'.')
}
