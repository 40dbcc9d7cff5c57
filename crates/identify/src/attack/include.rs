//! Foreign addresses in a parameter that takes the name of a page of the site.
//!
//! In: the name of a parameter and its value, in lower case. Out: the range of the address. Links
//! and images are foreign addresses as well. So an address counts only if it ends with `?`, which
//! cuts off what a program appends; or if the parameter is named like a path, and the host is a
//! number, the path ends like a program, or the name is a variable's.

use std::ops::Range;

use crate::slice::{ends_with_one, equals_one, run, starts_with_one};

/// Names of parameters that take a page, a file or a folder.
const NAMES: [&str; 22] = [
    "page", "file", "include", "inc", "path", "dir", "root", "template", "tpl", "module", "mod",
    "config", "conf", "lang", "language", "document", "doc", "folder", "basepath", "pg", "class",
    "theme",
];
/// Beginnings of addresses.
const SCHEMES: [&str; 6] = ["http://", "https://", "ftp://", "ftps://", "\\\\", "//"];
/// Endings of files with program text.
const PROGRAMS: [&str; 8] = [".php", ".txt", ".inc", ".asp", ".jsp", ".sh", ".pl", ".xml"];

/// Hosts of the same network, which `address` finds.
const INNER: [&str; 3] = ["127.", "10.", "192.168."];

/// Returns the range of a value that names a foreign page to be run.
pub(crate) fn find(name: &[u8], value: &[u8]) -> Option<Range<usize>> {
    let scheme = scheme(value)?;
    let is_web = scheme != "//";
    let is_cut = value.ends_with(b"?") || value.ends_with(b"?\0");
    if is_web && is_cut || is_of_page(name) && is_foreign(value, scheme, name) {
        return Some(0..value.len());
    }
    None
}

fn scheme(value: &[u8]) -> Option<&'static str> {
    SCHEMES
        .into_iter()
        .find(|scheme| value.starts_with(scheme.as_bytes()))
}

/// Tells whether no page is expected at the address: it is a program, its host is a number, or it
/// is for a variable.
fn is_foreign(value: &[u8], scheme: &str, name: &[u8]) -> bool {
    let path = &value[..run(value, |byte| !b"?\0".contains(byte))];
    let rest = &value[scheme.len()..];
    let host = &rest[..run(rest, |byte| !b"/\\:?".contains(byte))];
    ends_with_one(path, &PROGRAMS)
        || is_foreign_number(host)
        || scheme != "//" && is_bracketed(name)
}

fn is_foreign_number(host: &[u8]) -> bool {
    let length = run(host, |byte| byte.is_ascii_digit() || *byte == b'.');
    length == host.len() && length > 6 && !starts_with_one(host, &INNER)
}

/// Tells whether a word of the name is one for pages; `_`, `-`, brackets, `.` and `$` separate
/// words.
fn is_of_page(name: &[u8]) -> bool {
    let mut words = name.split(|byte| b"_-[].$".contains(byte));
    words.any(|word| equals_one(word, &NAMES))
}

/// Tells whether the name is a variable of the program itself, as `_CONF[path]`.
fn is_bracketed(name: &[u8]) -> bool {
    name.first() == Some(&b'_') && name.contains(&b'[')
}
