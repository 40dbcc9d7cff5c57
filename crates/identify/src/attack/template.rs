//! Sums and calls between the marks of a template language.
//!
//! In: a value in lower case. Out: the marks with what is between them. A sum of plain numbers
//! between marks is what testers send to see its result; a name between marks is what templates are
//! full of, and counts only where it leads out of the template: to a class, a process, a global.

use std::ops::Range;

use memchr::memmem;

use super::any::{AnyOf, finder};

/// Bytes between two marks that are looked at.
const MAX_INSIDE_BYTES: usize = 256;
/// Marks of one kind that are tried in a value.
const MAX_MARKS: usize = 4;
/// How template languages mark an expression.
const MARKS: [(&str, &str); 15] = [
    ("{{", "}}"),
    ("${", "}"),
    ("#{", "}"),
    ("*{", "}"),
    ("%{", "}"),
    ("~{", "}"),
    ("<%=", "%>"),
    ("<%", "%>"),
    ("{%", "%}"),
    ("@(", ")"),
    ("[[", "]]"),
    ("{@", "}"),
    ("{php}", "{/php}"),
    ("{=", "}"),
    ("__${", "}__"),
];
/// What leads out of a template.
const NAMES: [&str; 44] = [
    "constructor",
    "__class__",
    "__globals__",
    "__mro__",
    "__subclasses__",
    "__builtins__",
    "getclass",
    "java.lang",
    "java.util",
    "t(java",
    "new java",
    "runtime",
    "processbuilder",
    "classloader",
    "system(",
    "exec(",
    "popen",
    "passthru",
    "shell_exec",
    "eval(",
    "require(",
    "child_process",
    "process.",
    "global.",
    "_self",
    "self.",
    "request.application",
    "lipsum",
    "cycler.",
    "joiner.",
    "config.",
    "app.request",
    "file_get_contents",
    "phpinfo",
    "freemarker",
    "@ognl",
    "#context",
    "_memberaccess",
    "|filter(",
    "|map(",
    "|system",
    "|attr(",
    "file.read",
    "`",
];

static ANY_NAME: AnyOf = AnyOf::new(|| finder(NAMES));
static ANY_MARK: AnyOf = AnyOf::new(|| finder(MARKS.iter().map(|(open, _)| *open)));

/// Returns the bytes of a value that a template language would compute.
pub(crate) fn find(value: &[u8]) -> Option<Range<usize>> {
    let has_mark = ANY_MARK.is_in(value);
    let marked = MARKS
        .iter()
        .filter(|_| has_mark)
        .find_map(|(open, close)| marked(value, open.as_bytes(), close.as_bytes()));
    let list = || memmem::find(value, b"@{[").map(|start| start..start + 3);
    marked.or_else(|| line(value)).or_else(list)
}

fn marked(value: &[u8], open: &[u8], close: &[u8]) -> Option<Range<usize>> {
    let starts = memmem::find_iter(value, open).take(MAX_MARKS);
    starts.into_iter().find_map(|start| {
        let inside = &value[start + open.len()..];
        let inside = &inside[..inside.len().min(MAX_INSIDE_BYTES)];
        let end = memmem::find(inside, close)?;
        let text = &inside[..end];
        let is_expression =
            is_sum(text) || leads_out(text) || is_variable_call(value, open, start, text);
        is_expression.then(|| start..start + open.len() + end + close.len())
    })
}

/// Two numbers with a sign between them, and nothing else: `7*7`, `'7'*7`, `(3+4)`.
fn is_sum(text: &[u8]) -> bool {
    let (mut numbers, mut signs, mut is_in_number) = (0, 0, false);
    for &byte in text {
        let is_digit = byte.is_ascii_digit();
        numbers += usize::from(is_digit && !is_in_number);
        is_in_number = is_digit;
        match byte {
            b'0'..=b'9' | b' ' | b'\'' | b'"' | b'(' | b')' | b'.' | b'=' | b'\\' | b'\t' => {}
            b'*' | b'+' | b'/' | b'%' => signs += 1,
            b'-' if numbers > 0 => signs += 1,
            _ => return false,
        }
    }
    numbers >= 2 && (1..=8).contains(&signs)
}

fn leads_out(text: &[u8]) -> bool {
    ANY_NAME.is_in(text)
}

/// PHP's variables by expression: `${$foo->bar}(200)`, `${'ff'}`.
fn is_variable_call(value: &[u8], open: &[u8], start: usize, text: &[u8]) -> bool {
    if open != b"${" {
        return false;
    }
    let text = text.trim_ascii();
    let behind = value.get(start + open.len() + text.len() + 1);
    let is_string =
        text.len() > 2 && text[0] == b'\'' && text.ends_with(b"'") && !text.contains(&b' ');
    is_string
        || text.starts_with(b"$") && (behind == Some(&b'(') || memmem::find(text, b"->").is_some())
}

/// Mojolicious computes what is between two `%`, which elsewhere is a share: only large products
/// count.
fn line(value: &[u8]) -> Option<Range<usize>> {
    let star = memchr::memchr(b'*', value)?;
    let is_digit = |byte: &&u8| byte.is_ascii_digit();
    let before = value[..star].iter().rev().take_while(is_digit).count();
    let after = value[star + 1..].iter().take_while(is_digit).count();
    let (start, end) = (star.checked_sub(before + 1)?, star + 1 + after);
    let is_marked =
        b"%@".contains(&value[start]) && value.get(end).is_none_or(|byte| b"%\n".contains(byte));
    (before >= 2 && after >= 2 && is_marked).then(|| start..(end + 1).min(value.len()))
}
