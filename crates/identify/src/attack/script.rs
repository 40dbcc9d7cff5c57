//! Script code for a browser: tags, attributes and calls.
//!
//! In: a value in lower case. Out: the range that would run. A tag alone runs nothing: it needs a
//! script, the attribute of an event (`on…=`, with any name) or an address with `javascript:`.
//!
//! Rules: HTML Living Standard 13.2.5 "Tokenization"; browsers read `/`, form feeds and control
//! characters for spaces between attributes.

use std::ops::{Range, RangeInclusive};

use memchr::memmem;

use super::any::{AnyOf, finder};
use crate::slice::{equals_one, first, last, run, starts_with_one};

/// Most bytes of a tag that are read.
const MAX_TAG_BYTES: usize = 1024;
/// Most tags of a value that are read.
const MAX_TAGS: usize = 64;
/// Length of the name of an event, without its `on`.
const EVENT_BYTES: RangeInclusive<usize> = 3..=28;
/// How many bytes behind a scheme are searched for a call.
const MAX_CALL_BYTES: usize = 120;
/// Tags that run their content, or load it.
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
/// Schemes whose addresses are code.
const CODE_SCHEMES: [&str; 4] = ["javascript:", "vbscript:", "livescript:", "data:text/html"];
/// Objects of a browser through which every function can be reached by name.
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

/// Endings of a plural or a past behind the parenthesis: `your prompt(s)`, `confirm(ed)`.
const WORD_ENDINGS: [&str; 3] = ["s)", "es)", "ed)"];
/// Beginnings of the names of events, without their `on`: HTML Living Standard 8.1.8.2, the
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

/// Returns the range of a value that is script code. `is_page` says that the value may be a page of
/// its own, whose tags are no attack; then only code with a typical call counts.
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

/// Tells whether a tag, without its `<` and `>`, runs something by its name or by an event.
fn is_running_tag(tag: &[u8], is_page: bool) -> bool {
    let tag = &tag[run(tag, |byte| b" \0/\t".contains(byte))..];
    let length = run(tag, |byte| byte.is_ascii_alphanumeric() || *byte == b':');
    let (name, behind) = tag.split_at(length);
    if !is_page && equals_one(name, &RUNNING) {
        return true;
    }
    !name.is_empty() && event(behind, is_page).is_some()
}

/// Finds the attribute of an event, behind a space or a sign that browsers read as one.
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

/// Tells whether the rest begins with the name of an event, without its `on`, and a value for it.
fn is_event_with_value(rest: &[u8], has_call: bool) -> bool {
    let length = run(rest, |byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let rest = rest[length..].trim_ascii_start();
    EVENT_BYTES.contains(&length) && rest.starts_with(b"=") && (!has_call || ANY_CALL.is_in(rest))
}

/// Finds an address whose scheme is code; browsers skip white space and control characters in it.
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

/// Finds `java\nscript:`, with tabs, line ends or NULs between any two letters.
fn split_scheme(value: &[u8]) -> Option<Range<usize>> {
    for colon in memchr::memchr_iter(b':', value).take(8) {
        if ends_with_split_name(&value[..colon]) {
            let start = memchr::memrchr(b'j', &value[..colon])?;
            return Some(start..colon + 1);
        }
    }
    None
}

/// Tells whether the bytes end with `javascript`, without the bytes that browsers skip.
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

/// Finds the attribute of an event behind a quote that ends another attribute: `" onfocus=`, `'
/// autofocus onfocus=`.
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

/// Tells whether the call is a word of a sentence with a parenthesis behind it. `expression` is a
/// call only in a style sheet.
fn is_of_sentence(call: &str, before: &[u8], behind: &[u8]) -> bool {
    if call == "expression(" {
        return !matches!(before.trim_ascii_end(), [.., b':' | b'=']);
    }
    call.ends_with('(') && starts_with_one(behind, &WORD_ENDINGS)
}

/// Tells whether a name stands alone: no letter, digit or one of these signs is before it.
fn is_apart(before: &[u8], signs: &[u8]) -> bool {
    match before.last() {
        Some(byte) => !byte.is_ascii_alphanumeric() && !signs.contains(byte),
        None => true,
    }
}

/// Finds a function that is reached by a string: `self["alert"]`, `window[/*x*/'ev'+'al']`,
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

/// Returns where the name of a browser's object begins, if it is the last word of the bytes.
fn global_at_end(bytes: &[u8]) -> Option<usize> {
    for name in GLOBALS {
        if let Some(before) = bytes.strip_suffix(name.as_bytes()) {
            return is_apart(before, b"_.[").then_some(before.len());
        }
    }
    None
}

/// Tells whether a string begins here, or behind a comment.
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

/// Returns the bytes without the spaces, parentheses and comments at their end, which may stand
/// between a name and its bracket.
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
