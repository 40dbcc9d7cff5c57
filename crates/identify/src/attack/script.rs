//! Script code for a browser: tags, attributes and calls.
//!
//! In: a value in lower case. Out: the bytes that would run. A tag alone runs nothing: it needs a
//! script, an attribute of an event (`on…=`, whatever its name) or an address with `javascript:`.
//!
//! Rules: HTML Living Standard 13.2.5 "Tokenization"; browsers take `/`, form feeds and control
//! characters for spaces between attributes.

use std::ops::{Range, RangeInclusive};

use memchr::memmem;

use super::any::{AnyOf, finder};
use crate::slice::{equals_one, first, last, run, starts_with_one};

/// Bytes of a tag that are looked at.
const MAX_TAG_BYTES: usize = 1024;
/// Tags of a value that are looked at.
const MAX_TAGS: usize = 64;
/// Length of the name of an event, without its `on`.
const EVENT_BYTES: RangeInclusive<usize> = 3..=28;
/// Bytes behind a scheme in which a call is looked for.
const MAX_CALL_BYTES: usize = 120;
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

/// What a plural or a past has behind the parenthesis: `your prompt(s)`, `confirm(ed)`.
const WORD_ENDINGS: [&str; 3] = ["s)", "es)", "ed)"];
/// How the names of events begin, without their `on`: HTML Living Standard 8.1.8.2, the
/// specifications of pointers, animations and touch, and old browsers.
const EVENTS: [&str; 84] = [
    "abort",
    "activate",
    "after",
    "animation",
    "auxclick",
    "before",
    "begin",
    "blur",
    "bounce",
    "cancel",
    "canplay",
    "change",
    "click",
    "close",
    "command",
    "contentvisibility",
    "context",
    "copy",
    "cue",
    "cut",
    "data",
    "dblclick",
    "deactivate",
    "drag",
    "drop",
    "duration",
    "emptied",
    "end",
    "error",
    "filter",
    "finish",
    "focus",
    "form",
    "fullscreen",
    "gesture",
    "gotpointer",
    "hash",
    "help",
    "input",
    "invalid",
    "key",
    "language",
    "load",
    "losecapture",
    "lostpointer",
    "message",
    "mouse",
    "move",
    "offline",
    "online",
    "page",
    "paste",
    "pause",
    "play",
    "pointer",
    "popstate",
    "progress",
    "property",
    "rate",
    "ready",
    "repeat",
    "reset",
    "resize",
    "row",
    "scroll",
    "search",
    "seek",
    "select",
    "show",
    "stalled",
    "start",
    "submit",
    "toggle",
    "wheel",
    "storage",
    "suspend",
    "timeupdate",
    "touch",
    "transition",
    "unhandled",
    "unload",
    "volume",
    "waiting",
    "webkit",
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
    for start in memchr::memchr_iter(b'<', value).take(MAX_TAGS) {
        let rest = first(&value[start + 1..], MAX_TAG_BYTES);
        let end = memchr::memchr(b'>', rest).unwrap_or(rest.len());
        if is_running_tag(&rest[..end], is_page) {
            return Some(start..start + 1 + end);
        }
    }
    None
}

/// A tag, without its `<` and `>`, that runs something by its name or by an event.
fn is_running_tag(tag: &[u8], is_page: bool) -> bool {
    let tag = &tag[run(tag, |byte| b" \0/\t".contains(byte))..];
    let length = run(tag, |byte| byte.is_ascii_alphanumeric() || *byte == b':');
    let (name, behind) = tag.split_at(length);
    if !is_page && equals_one(name, &RUNNING) {
        return true;
    }
    !name.is_empty() && event(behind, is_page).is_some()
}

/// An attribute of an event, behind a space or what browsers take for one.
fn event(tag: &[u8], has_call: bool) -> Option<Range<usize>> {
    for at in memmem::find_iter(tag, b"on").take(MAX_TAGS) {
        let is_apart = match tag[..at].last() {
            Some(byte) => *byte <= b' ' || b"/'\"`;>".contains(byte),
            None => false,
        };
        if is_apart && is_event_with_value(&tag[at + 2..], has_call) {
            return Some(at..tag.len());
        }
    }
    None
}

/// The name of an event, without its `on`, and what is given for it.
fn is_event_with_value(rest: &[u8], has_call: bool) -> bool {
    let length = run(rest, |byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let rest = rest[length..].trim_ascii_start();
    EVENT_BYTES.contains(&length) && rest.starts_with(b"=") && (!has_call || ANY_CALL.is_in(rest))
}

/// An address whose scheme is code; browsers skip white space and control characters in it.
fn address(value: &[u8]) -> Option<Range<usize>> {
    let found = scheme(value).or_else(|| split_scheme(value))?;
    let is_apart = found.start == 0 || !value[found.start - 1].is_ascii_alphanumeric();
    let mut near = first(&value[found.end..], MAX_CALL_BYTES).iter();
    let is_call = near.any(|byte| b"(`=%".contains(byte));
    let is_data = value[found.clone()].starts_with(b"data");
    (is_apart && (is_call || is_data)).then_some(found)
}

fn scheme(value: &[u8]) -> Option<Range<usize>> {
    for scheme in CODE_SCHEMES {
        if let Some(start) = memmem::find(value, scheme.as_bytes()) {
            return Some(start..start + scheme.len());
        }
    }
    None
}

/// `java\nscript:`, with tabs or line ends between any two letters.
fn split_scheme(value: &[u8]) -> Option<Range<usize>> {
    for colon in memchr::memchr_iter(b':', value).take(8) {
        if ends_with_split_name(&value[..colon]) {
            let start = memchr::memrchr(b'j', &value[..colon])?;
            return Some(start..colon + 1);
        }
    }
    None
}

/// The bytes end with `javascript`, whatever browsers skip in it.
fn ends_with_split_name(bytes: &[u8]) -> bool {
    let mut missing = &b"javascript"[..];
    for byte in last(bytes, 64).iter().rev() {
        if b"\t\r\n\0".contains(byte) {
            continue;
        }
        let Some(before) = missing.strip_suffix(&[*byte]) else {
            break;
        };
        missing = before;
    }
    missing.is_empty()
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
    let found = event(near, false).filter(|found| {
        let name = &near[found.start + 2..];
        starts_with_one(name, &EVENTS)
    })?;
    Some(start..start + found.end)
}

fn call(value: &[u8]) -> Option<Range<usize>> {
    if !ANY_CALL.is_in(value) {
        return None;
    }
    for call in CALLS {
        if let Some(start) = memmem::find(value, call.as_bytes())
            && is_apart(&value[..start], b"_")
            && !is_of_sentence(call, &value[..start], &value[start + call.len()..])
        {
            return Some(start..start + call.len());
        }
    }
    None
}

/// A word of a sentence, whose parenthesis is no call. `expression` is one in a style sheet only.
fn is_of_sentence(call: &str, before: &[u8], behind: &[u8]) -> bool {
    if call == "expression(" {
        return !matches!(before.trim_ascii_end(), [.., b':' | b'=']);
    }
    call.ends_with('(') && starts_with_one(behind, &WORD_ENDINGS)
}

/// Nothing stands before a name that would make it a part of a longer one: no letter, no digit, and
/// none of these signs.
fn is_apart(before: &[u8], signs: &[u8]) -> bool {
    match before.last() {
        Some(byte) => !byte.is_ascii_alphanumeric() && !signs.contains(byte),
        None => true,
    }
}

/// A function that is reached by a string: `self["alert"]`, `window[/*x*/'ev'+'al']`,
/// `top[8680439..tostring(30)]`.
fn member(value: &[u8]) -> Option<Range<usize>> {
    for bracket in memchr::memchr_iter(b'[', value).take(MAX_TAGS) {
        if let Some(start) = global_at_end(trimmed(&value[..bracket]))
            && begins_with_text(&value[bracket + 1..])
        {
            return Some(start..bracket + 1);
        }
    }
    None
}

/// Where the name of a browser's object begins that is the last word of the bytes.
fn global_at_end(bytes: &[u8]) -> Option<usize> {
    for name in GLOBALS {
        if let Some(before) = bytes.strip_suffix(name.as_bytes()) {
            return is_apart(before, b"_.[").then_some(before.len());
        }
    }
    None
}

/// A string begins here, maybe behind a comment.
fn begins_with_text(bytes: &[u8]) -> bool {
    let mut rest = bytes.trim_ascii_start();
    if rest.starts_with(b"/*") {
        let Some(end) = memmem::find(rest, b"*/") else {
            return false;
        };
        rest = rest[end + 2..].trim_ascii_start();
    }
    matches!(rest, [b'\'' | b'"' | b'`', ..])
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
