//! Calculations and calls between the marks of a template language.
//!
//! In: a value in lower case. Out: the range of the marks with the text between them. Testers send
//! a calculation with plain numbers to see its result. Templates are full of names between marks,
//! so a name counts only if it leads out of the template: to a class, a process, a global.

use std::ops::Range;

use memchr::memmem;

use super::any::{AnyOf, finder};
use crate::slice::{contains, first, run, run_at_end};

/// Most bytes between two marks that are read.
const MAX_INSIDE_BYTES: usize = 256;
/// Most marks of one kind that are tried in a value.
const MAX_MARKS: usize = 4;
/// The marks with which template languages enclose an expression.
const MARKS: [(&str, &str); 16] = [
    ("{{", "}}"),
    ("${", "}"),
    ("#{", "}"),
    ("*{", "}"),
    ("@{", "}"),
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
/// The sign with which Perl puts a list into a text.
const PERL_LIST: &[u8] = b"@{[";
/// Names that lead out of a template.
const NAMES: [&str; 49] = [
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
    "getruntime",
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
    "process.env",
    "process.mainmodule",
    "process.binding",
    "process.exec",
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
    "dump(",
    "secret_key",
    "`",
];

/// The beginning of Smarty's variable for the program itself.
const SMARTY: &[u8] = b"{$smarty.";

static ANY_NAME: AnyOf = AnyOf::new(|| finder(NAMES));
static ANY_MARK: AnyOf = AnyOf::new(|| finder(MARKS.iter().map(|(open, _)| *open)));

/// Returns the range of a value that a template language would evaluate.
pub(crate) fn find(value: &[u8]) -> Option<Range<usize>> {
    if ANY_MARK.is_in(value) {
        for (open, close) in MARKS {
            if let Some(found) = marked(value, open.as_bytes(), close.as_bytes()) {
                return Some(found);
            }
        }
    }
    if let Some(found) = line(value).or_else(|| product_of_smarty(value)) {
        return Some(found);
    }
    for mark in [PERL_LIST, SMARTY] {
        if let Some(start) = memmem::find(value, mark) {
            return Some(start..start + mark.len());
        }
    }
    None
}

fn marked(value: &[u8], open: &[u8], close: &[u8]) -> Option<Range<usize>> {
    for start in memmem::find_iter(value, open).take(MAX_MARKS) {
        let behind = &value[start + open.len()..];
        let Some(length) = memmem::find(first(behind, MAX_INSIDE_BYTES), close) else {
            continue;
        };
        let text = &behind[..length];
        if is_sum(text)
            || leads_out(text)
            || open == b"${" && is_variable_call(text.trim_ascii(), &behind[length + close.len()..])
        {
            return Some(start..start + open.len() + length + close.len());
        }
    }
    None
}

/// Finds a value that is only a product between single braces, as Smarty evaluates it: `{7*7}`.
/// Many other texts have single braces.
fn product_of_smarty(value: &[u8]) -> Option<Range<usize>> {
    let inside = value.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let star = memchr::memchr(b'*', inside)?;
    let is_product = is_number(&inside[..star]) && is_number(&inside[star + 1..]);
    is_product.then_some(0..value.len())
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// Tells whether the text is only numbers with signs between them: `7*7`, `'7'*7`, `(3+4)`. A `-`
/// alone does not count, because ranges and dates have it.
fn is_sum(text: &[u8]) -> bool {
    let (mut numbers, mut signs, mut is_in_number) = (0, 0, false);
    for &byte in text {
        let is_digit = byte.is_ascii_digit();
        numbers += usize::from(is_digit && !is_in_number);
        is_in_number = is_digit;
        match byte {
            b'0'..=b'9' | b' ' | b'\'' | b'"' | b'(' | b')' | b'.' | b'=' | b'\\' | b'\t' => {}
            b'*' | b'+' | b'/' | b'%' => signs += 1,
            b'-' if numbers > 0 => {}
            _ => return false,
        }
    }
    numbers >= 2 && (1..=8).contains(&signs)
}

fn leads_out(text: &[u8]) -> bool {
    ANY_NAME.is_in(text)
}

/// Tells whether the text is a PHP variable whose name is an expression: `${$foo->bar}(200)`,
/// `${'ff'}`. `text` is the text between the marks, and `after`
/// is what follows the second mark.
fn is_variable_call(text: &[u8], after: &[u8]) -> bool {
    let is_string = matches!(text, [b'\'', _, .., b'\'']) && !text.contains(&b' ');
    let is_called = after.starts_with(b"(") || contains(text, b"->");
    is_string || text.starts_with(b"$") && is_called
}

/// Finds a product between two `%`, which Mojolicious evaluates. Elsewhere `%` is a percentage, so
/// only large products count.
fn line(value: &[u8]) -> Option<Range<usize>> {
    let star = memchr::memchr(b'*', value)?;
    let before = run_at_end(&value[..star], u8::is_ascii_digit);
    let after = run(&value[star + 1..], u8::is_ascii_digit);
    let start = star.checked_sub(before + 1)?;
    let end = star + 1 + after;
    let is_begun = b"%@".contains(&value[start]);
    let is_ended = matches!(value[end..], [] | [b'%' | b'\n', ..]);
    let is_large = before >= 2 && after >= 2;
    (is_large && is_begun && is_ended).then(|| start..(end + 1).min(value.len()))
}
