//! Script code for a browser: tags, attributes and calls.
//!
//! In: a value in lower case. Out: the bytes that would run. A tag alone runs nothing: it needs a
//! script, an attribute of an event (`on…=`, whatever its name) or an address with `javascript:`.
//!
//! Rules: HTML Living Standard 13.2.5 "Tokenization"; browsers take `/`, form feeds and control
//! characters for spaces between attributes.

use std::ops::Range;

use memchr::memmem;

use super::any::{AnyOf, finder};

/// Bytes of a tag that are looked at.
const MAX_TAG_BYTES: usize = 1024;
/// Tags of a value that are looked at.
const MAX_TAGS: usize = 64;
/// Tags that run what is in them, or fetch it.
const RUNNING: [&str; 14] = [
    "script",
    "iframe",
    "object",
    "embed",
    "applet",
    "frameset",
    "frame",
    "base",
    "isindex",
    "meta",
    "xss",
    "style",
    "link",
    "v:vmlframe",
];
/// Schemes of addresses that are code.
const CODE_SCHEMES: [&str; 4] = ["javascript:", "vbscript:", "livescript:", "data:text/html"];
/// Objects of a browser from which every function is reached by name.
const GLOBALS: [&str; 8] = [
    "self",
    "window",
    "top",
    "parent",
    "this",
    "frames",
    "globalthis",
    "document",
];
/// Calls and members that only script code has.
const CALLS: [&str; 36] = [
    "alert(",
    "alert`",
    "prompt(",
    "confirm(",
    "document.cookie",
    "document.domain",
    "document.write",
    "document.location",
    "window.location",
    "string.fromcharcode",
    "eval(atob",
    "settimeout(",
    "fetch(`",
    "[].constructor",
    "[].filter",
    "constructor.constructor",
    "constructor`",
    "-moz-binding",
    "expression(",
    "onerror=",
    "$.getscript(",
    "document.body",
    "document.createelement",
    "setinterval(",
    "new function(",
    "requestanimationframe(",
    "+adw-",
    "[][(![]",
    "(![]+[])",
    "+!![]",
    "!+[]+",
    "btoa(",
    "atob(",
    "reflect.",
    ".call`",
    "url(javascript",
];

static ANY_CALL: AnyOf = AnyOf::new(|| finder(CALLS));

/// Returns the bytes of a value that are script code. `is_page`: the value may be a page of its
/// own, whose tags are no attack: then only what testers write counts.
pub(crate) fn find(value: &[u8], is_page: bool) -> Option<Range<usize>> {
    let found = tags(value, is_page).or_else(|| address(value));
    if is_page {
        return found;
    }
    found
        .or_else(|| attribute(value))
        .or_else(|| call(value))
        .or_else(|| member(value))
}

fn tags(value: &[u8], is_page: bool) -> Option<Range<usize>> {
    let starts = memchr::memchr_iter(b'<', value).take(MAX_TAGS);
    starts.into_iter().find_map(|start| {
        let rest = &value[start + 1..];
        let rest = &rest[..rest.len().min(MAX_TAG_BYTES)];
        let end = memchr::memchr(b'>', rest).unwrap_or(rest.len());
        let tag = &rest[..end];
        let skipped = tag
            .iter()
            .take_while(|byte| b" \0/\t".contains(byte))
            .count();
        let name_end = tag[skipped..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b':');
        let name = &tag[skipped..skipped + name_end.count()];
        let is_running = !is_page && RUNNING.iter().any(|known| known.as_bytes() == name);
        let behind = &tag[skipped + name.len()..];
        let is_event = !name.is_empty() && event(behind, is_page).is_some();
        (is_running || is_event).then(|| start..start + 1 + end)
    })
}

/// An attribute of an event, behind a space or what browsers take for one.
fn event(tag: &[u8], has_call: bool) -> Option<Range<usize>> {
    let found = memmem::find_iter(tag, b"on").take(MAX_TAGS).find(|&at| {
        let before = at.checked_sub(1).map(|before| tag[before]);
        let is_apart = before.is_some_and(|byte| byte <= b' ' || b"/'\"`;>".contains(&byte));
        let name = tag[at + 2..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
            .count();
        let rest = tag[at + 2 + name..].trim_ascii_start();
        let is_known = !has_call || ANY_CALL.is_in(rest);
        is_apart && (3..=28).contains(&name) && rest.first() == Some(&b'=') && is_known
    })?;
    Some(found..tag.len())
}

/// An address whose scheme is code; browsers skip white space and control characters in it.
fn address(value: &[u8]) -> Option<Range<usize>> {
    let found = CODE_SCHEMES.iter().find_map(|scheme| {
        let start = memmem::find(value, scheme.as_bytes())?;
        Some(start..start + scheme.len())
    });
    let found = found.or_else(|| split_scheme(value))?;
    let is_apart = found.start == 0 || !value[found.start - 1].is_ascii_alphanumeric();
    let rest = &value[found.end..];
    let is_call = rest.iter().take(120).any(|byte| b"(`=%".contains(byte))
        || value[found.clone()].starts_with(b"data");
    (is_apart && is_call).then_some(found)
}

/// `java\nscript:`, with tabs or line ends between any two letters.
fn split_scheme(value: &[u8]) -> Option<Range<usize>> {
    let end = memmem::find_iter(value, b":").take(8).find(|&colon| {
        let letters = value[..colon]
            .iter()
            .rev()
            .take(64)
            .filter(|byte| !b"\t\r\n\0".contains(byte));
        letters.take(10).copied().eq(b"tpircsavaj".iter().copied())
    })?;
    let start = memchr::memrchr(b'j', &value[..end])?;
    Some(start..end + 1)
}

/// The attribute that a quote makes room for: `" onfocus=`, `' autofocus onfocus=`.
fn attribute(value: &[u8]) -> Option<Range<usize>> {
    let quote = value.iter().position(|byte| b"'\"`".contains(byte));
    let start = match quote {
        Some(quote) => quote,
        None if value.first().is_some_and(u8::is_ascii_whitespace) => 0,
        None => return None,
    };
    let near = &value[start..value.len().min(start + MAX_TAG_BYTES)];
    let found = event(near, false)?;
    Some(start..start + found.end)
}

fn call(value: &[u8]) -> Option<Range<usize>> {
    if !ANY_CALL.is_in(value) {
        return None;
    }
    CALLS.iter().find_map(|call| {
        let start = memmem::find(value, call.as_bytes())?;
        let is_apart =
            start == 0 || !(value[start - 1].is_ascii_alphanumeric() || value[start - 1] == b'_');
        is_apart.then(|| start..start + call.len())
    })
}

/// A function that is reached by a string: `self["alert"]`, `window[/*x*/'ev'+'al']`,
/// `top[8680439..tostring(30)]`.
fn member(value: &[u8]) -> Option<Range<usize>> {
    memchr::memchr_iter(b'[', value)
        .take(MAX_TAGS)
        .find_map(|bracket| {
            let before = trimmed(&value[..bracket]);
            let name = GLOBALS
                .iter()
                .find(|name| before.ends_with(name.as_bytes()))?;
            let start = before.len() - name.len();
            let is_apart = start == 0
                || !(value[start - 1].is_ascii_alphanumeric()
                    || b"_.[".contains(&value[start - 1]));
            let mut inside = value[bracket + 1..].trim_ascii_start();
            if inside.starts_with(b"/*") {
                inside = &inside[memmem::find(inside, b"*/")? + 2..];
            }
            let is_text = matches!(inside.trim_ascii_start().first(), Some(b'\'' | b'"' | b'`'));
            (is_apart && is_text).then(|| start..bracket + 1)
        })
}

/// Without the spaces, parentheses and comments that stand between a name and its bracket.
fn trimmed(mut before: &[u8]) -> &[u8] {
    for _ in 0..4 {
        before = before.trim_ascii_end();
        before = before.strip_suffix(b")").unwrap_or(before).trim_ascii_end();
        if before.ends_with(b"*/")
            && let Some(start) = memmem::rfind(before, b"/*")
        {
            before = &before[..start];
        }
    }
    before
}
