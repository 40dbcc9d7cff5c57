//! XML entities and includes whose content is a file or an address, and entities that grow.
//!
//! In: XML in lower case. Out: the declaration. A DOCTYPE that names the file of a public grammar
//! is what many documents begin with, and is none.
//!
//! Rules: XML 1.0 2.8 "Prolog and Document Type Declaration" and 4.2.2 "External Entities";
//! XInclude 1.0; XSLT 1.0 2.6 "Combining Stylesheets".

use std::ops::Range;

use memchr::memmem;

use super::address;
use crate::slice::{contains_one, first, run, starts_with_one};

/// Bytes of a declaration that are looked at.
const MAX_DECLARATION_BYTES: usize = 512;
/// Declarations of one kind that are looked at.
const MAX_DECLARATIONS: usize = 32;
/// References of which one entity consists when it is there to grow.
const MIN_REFERENCES: usize = 3;
/// Entities that are a sign each: XML 1.0 4.6 "Predefined Entities".
const SIGNS: [&str; 5] = ["lt;", "gt;", "amp;", "quot;", "apos;"];
/// Where macOS keeps its grammars; old lists of properties name it.
const APPLE_GRAMMARS: &str = "file://localhost/system/library/dtds/";

/// Returns the bytes of a text that declare such an entity.
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

/// A declaration that begins with a mark; its rest, without `>`, meets a test.
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

/// It has its content from elsewhere, is one for grammars (`%`), or is made of other entities.
fn is_entity(declaration: &[u8]) -> bool {
    const OUTSIDE: [&str; 4] = [" system", " public", "\tsystem", "\nsystem"];
    let name = declaration.trim_ascii_start();
    let is_parameter = name.len() < declaration.len() && name.starts_with(b"%");
    is_parameter
        || contains_one(declaration, &OUTSIDE)
        || references(declaration).take(MIN_REFERENCES).count() == MIN_REFERENCES
}

/// The references to other entities, `&name;`, but not to characters.
fn references(declaration: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'&', declaration).filter(|at| {
        let rest = &declaration[at + 1..];
        let length = run(rest, |byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        length > 0 && rest.get(length) == Some(&b';') && !starts_with_one(rest, &SIGNS)
    })
}

/// The grammar of a DOCTYPE, where it is a file of this machine, an address that only it reaches,
/// or one where nobody publishes a grammar.
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

/// A string in quotes, behind so many others.
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

/// The host of an address is an address of numbers.
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
