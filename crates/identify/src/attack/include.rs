//! Foreign addresses where the name of a page of the site belongs.
//!
//! In: the name of a parameter and its value, in lower case. Out: the address. Links and images are
//! foreign addresses as well: it counts only in a parameter that is named like a path, with a host
//! that is a number, with the ending of a program, or with a `?` at its end, which cuts off what a
//! program appends.

use std::ops::Range;

/// Names of parameters that take a page, a file or a folder.
const NAMES: [&str; 22] = [
    "page", "file", "include", "inc", "path", "dir", "root", "template", "tpl", "module", "mod",
    "config", "conf", "lang", "language", "document", "doc", "folder", "basepath", "pg", "class",
    "theme",
];
/// Endings of program text.
const PROGRAMS: [&str; 8] = [".php", ".txt", ".inc", ".asp", ".jsp", ".sh", ".pl", ".xml"];

/// Hosts of the same network: `address` knows them.
const INNER: [&str; 3] = ["127.", "10.", "192.168."];

/// Returns the bytes of a value that name a foreign page to be run.
pub(crate) fn find(name: &[u8], value: &[u8]) -> Option<Range<usize>> {
    let scheme = [
        &b"http://"[..],
        b"https://",
        b"ftp://",
        b"ftps://",
        b"\\\\",
        b"//",
    ];
    let scheme = scheme
        .into_iter()
        .find(|scheme| value.starts_with(scheme))?;
    let rest = &value[scheme.len()..];
    let is_cut = matches!(value, [.., b'?'] | [.., b'?', b'\0']);
    let path = value
        .split(|byte| b"?\0".contains(byte))
        .next()
        .unwrap_or_default();
    let is_program = PROGRAMS
        .iter()
        .any(|ending| path.ends_with(ending.as_bytes()));
    let host = rest
        .split(|byte| b"/\\:?".contains(byte))
        .next()
        .unwrap_or_default();
    let is_number = host.len() > 6
        && host
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'.')
        && !INNER.iter().any(|start| host.starts_with(start.as_bytes()));
    let is_named = is_of_page(name);
    let is_web = scheme != b"//";
    (is_web && is_cut || is_named && (is_program || is_number || is_web && is_bracketed(name)))
        .then_some(0..value.len())
}

/// Words of a name are apart by `_`, `-` or brackets.
fn is_of_page(name: &[u8]) -> bool {
    let mut words = name.split(|byte| b"_-[].$".contains(byte));
    words.any(|word| NAMES.iter().any(|known| known.as_bytes() == word))
}

/// `_CONF[path]`: a variable of the program itself.
fn is_bracketed(name: &[u8]) -> bool {
    name.first() == Some(&b'_') && name.contains(&b'[')
}
