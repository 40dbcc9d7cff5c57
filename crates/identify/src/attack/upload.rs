//! Program files that are sent to be stored.
//!
//! In: the head of a part of a form, in lower case. Out: its file name, where a web server would
//! run a file with that name, or obey it.

use std::ops::Range;

use memchr::memmem;

use crate::slice::{equals_one, first, run};

/// Longest file name that is read.
const MAX_NAME_BYTES: usize = 255;
/// Endings of files that a web server runs.
const RUN: [&str; 27] = [
    "php", "php3", "php4", "php5", "php7", "php8", "phps", "phtml", "pht", "phpt", "phar", "jsp",
    "jspx", "jspf", "jsw", "jsv", "asp", "aspx", "ashx", "asmx", "asa", "cer", "cfm", "cfml",
    "shtml", "war", "cgi",
];
/// Files that a web server obeys.
const OBEYED: [&str; 3] = [".htaccess", ".user.ini", "web.config"];

/// Returns where the name of a program file is in the head of a part.
pub(crate) fn find(head: &[u8]) -> Option<Range<usize>> {
    let start = start_of_name(head)?;
    let rest = first(&head[start..], MAX_NAME_BYTES);
    let quotes = usize::from(rest.starts_with(b"\""));
    let length = run(&rest[quotes..], |byte| !b"\"\r\n".contains(byte));
    let place = start + quotes..start + quotes + length;
    is_program(&head[place.clone()]).then_some(place)
}

/// Where what is given as `filename` begins, or as `filename*`, which is RFC 5987's. The sign is
/// near: the word may also be in the quotes of `name="filename"`.
fn start_of_name(head: &[u8]) -> Option<usize> {
    for mark in memmem::find_iter(head, b"filename") {
        let behind = mark + b"filename".len();
        if let Some(sign) = memchr::memchr(b'=', first(&head[behind..], 3)) {
            return Some(behind + sign + 1);
        }
    }
    None
}

/// Every ending counts: `shell.php.jpg`, `shell.php;.jpg`, `shell.php%00.gif`, `shell.php::$data`,
/// `shell.php.`.
pub(crate) fn is_program(name: &[u8]) -> bool {
    let folders = memchr::memrchr2(b'/', b'\\', name).map_or(0, |slash| slash + 1);
    let name = &name[folders..];
    let mut words = name.split(|byte| b".;: \0%$".contains(byte)).skip(1);
    words.any(|word| equals_one(word, &RUN)) || equals_one(name, &OBEYED)
}
