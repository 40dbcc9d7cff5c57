//! PHP calls that hide the name of their function, or that are a whole value.
//!
//! In: a value in lower case. Out: the range of the call. A page that evaluates its parameters runs
//! `(system)(ls)`, `$f(1)` and `system(ls)` alike. In a sentence, other words stand around a name
//! and its parenthesis.
//!
//! Rules: PHP manual, "Variable functions" and "Variable variables".

use std::ops::Range;

use crate::slice::{contains_one, equals_one, first, last, run};

/// Longest value that may be one call.
const MAX_CALL_BYTES: usize = 512;
/// Longest name, with the signs that hide it.
const MAX_NAME_BYTES: usize = 64;
/// Functions that run something, read something or show something.
const FUNCTIONS: [&str; 44] = [
    "system",
    "exec",
    "shell_exec",
    "passthru",
    "popen",
    "proc_open",
    "pcntl_exec",
    "eval",
    "assert",
    "phpinfo",
    "php_uname",
    "phpversion",
    "phpcredits",
    "posix_getegid",
    "posix_getpwuid",
    "posix_getuid",
    "getenv",
    "get_defined_vars",
    "get_defined_functions",
    "get_defined_constants",
    "get_current_user",
    "getcwd",
    "scandir",
    "opendir",
    "readfile",
    "file_get_contents",
    "file_put_contents",
    "fopen",
    "unlink",
    "highlight_file",
    "show_source",
    "call_user_func",
    "call_user_func_array",
    "create_function",
    "include",
    "require",
    "var_dump",
    "print_r",
    "base64_decode",
    "gzinflate",
    "str_rot13",
    "md5_file",
    "sys_get_temp_dir",
    "disk_free_space",
];

/// Returns the range of a value that is such a call.
pub(crate) fn find(value: &[u8]) -> Option<Range<usize>> {
    let text = value.trim_ascii();
    let text = text.strip_suffix(b";").unwrap_or(text).trim_ascii_end();
    if text.len() > MAX_CALL_BYTES || !text.contains(&b'(') {
        return None;
    }
    let is_call = is_hidden(text) || is_variable(text) || is_function(text);
    is_call.then_some(0..value.len())
}

/// Tells whether the text is a call with a hidden name: `(system)(ls)`, `('sys'.'tem')('ls')`,
/// `"system"(ls)`, `[system][0](ls)`.
fn is_hidden(text: &[u8]) -> bool {
    if !b"(['\"".contains(&text[0]) || text.last() != Some(&b')') {
        return false;
    }
    let length = run(first(text, MAX_NAME_BYTES), |byte| {
        byte.is_ascii_alphanumeric() || b"_'\".()[] +\\$/*".contains(byte)
    });
    let Some(open) = memchr::memrchr(b'(', &text[1..length]) else {
        return false;
    };
    let before = text[..1 + open].trim_ascii_end();
    let is_closed = match (before[0], before[before.len() - 1]) {
        (b'(', b')') | (b'(', b']') => true,
        (b'[', b']') => contains_one(before, &["[0", "0]"]),
        (b'\'', b'\'') | (b'"', b'"') => before.len() > 4 && !before.contains(&b' '),
        _ => false,
    };
    let letters = before.iter().filter(|byte| byte.is_ascii_alphabetic());
    is_closed && letters.count() > 2 && !before.contains(&b'$')
}

/// Tells whether the text is a variable, its index, and arguments: `$f(1)`, `$_[0](1)`, `$a['b']
/// (1)`.
fn is_variable(text: &[u8]) -> bool {
    let Some(name) = text.strip_prefix(b"$") else {
        return false;
    };
    if !matches!(name, [b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$', ..]) {
        return false;
    }
    let length = run(first(name, MAX_NAME_BYTES), |byte| {
        byte.is_ascii_alphanumeric() || b"_$@+!-[]{}'\"".contains(byte)
    });
    let (name, mut rest) = name.split_at(length);
    if contains_one(name, &["[", "{", "_"]) {
        rest = rest.trim_ascii_start();
    }
    rest.starts_with(b"(") && rest.ends_with(b")")
}

fn is_function(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"@").unwrap_or(text);
    let length = run(text, |byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let (name, rest) = text.split_at(length);
    let rest = rest.trim_ascii_start();
    equals_one(name, &FUNCTIONS) && rest.starts_with(b"(") && last(rest, 4).contains(&b')')
}
