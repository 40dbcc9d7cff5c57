//! Foreign addresses where the name of a page of the site belongs.
//!
//! In: the name of a parameter and its value, in lower case. Out: the address. Links and images are
//! foreign addresses as well: it counts only in a parameter that is named like a path, with a host
//! that is a number, with the ending of a program, or with a `?` at its end, which cuts off what a
//! program appends.

use std::ops::Range;

use crate::slice::{ends_with_one, equals_one, run, starts_with_one};

/// Names of parameters that take a page, a file or a folder.
const NAMES: [&str; 22] = [
    "page", "file", "include", "inc", "path", "dir", "root", "template", "tpl", "module", "mod",
    "config", "conf", "lang", "language", "document", "doc", "folder", "basepath", "pg", "class",
    "theme",
];
/// How an address begins.
const SCHEMES: [&str; 6] = ["http://", "https://", "ftp://", "ftps://", "\\\\", "//"];
/// Endings of program text.
const PROGRAMS: [&str; 8] = [".php", ".txt", ".inc", ".asp", ".jsp", ".sh", ".pl", ".xml"];

/// Hosts of the same network: `address` knows them.
const INNER: [&str; 3] = ["127.", "10.", "192.168."];

/// Returns the bytes of a value that name a foreign page to be run.
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

/// An address that no page is expected at: a program, a number, or one for a variable.
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

/// Words of a name are apart by `_`, `-` or brackets.
fn is_of_page(name: &[u8]) -> bool {
    let mut words = name.split(|byte| b"_-[].$".contains(byte));
    words.any(|word| equals_one(word, &NAMES))
}

/// `_CONF[path]`: a variable of the program itself.
fn is_bracketed(name: &[u8]) -> bool {
    name.first() == Some(&b'_') && name.contains(&b'[')
}
