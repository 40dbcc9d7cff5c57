//! Program files that are sent to be stored.
//!
//! In: the head of a part of a form, in lower case. Out: its file name, where a web server would
//! run a file with that name, or obey it.

use std::ops::Range;

use memchr::memmem;

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
    // Behind it, not in the quotes of `name="filename"`; `filename*` is RFC 5987's.
    let start = memmem::find_iter(head, b"filename").find_map(|mark| {
        let sign = head[mark + 8..]
            .iter()
            .take(3)
            .position(|&byte| byte == b'=')?;
        Some(mark + 8 + sign + 1)
    })?;
    let rest = &head[start..head.len().min(start + MAX_NAME_BYTES)];
    let quotes = usize::from(rest.first() == Some(&b'"'));
    let length = rest[quotes..]
        .iter()
        .position(|byte| b"\"\r\n".contains(byte))
        .unwrap_or(rest.len() - quotes);
    let place = start + quotes..start + quotes + length;
    is_program(&head[place.clone()]).then_some(place)
}

/// Every ending counts: `shell.php.jpg`, `shell.php;.jpg`, `shell.php%00.gif`, `shell.php::$data`,
/// `shell.php.`.
pub(crate) fn is_program(name: &[u8]) -> bool {
    let name = name
        .rsplit(|byte| b"/\\".contains(byte))
        .next()
        .unwrap_or_default();
    let mut words = name.split(|byte| b".;: \0%$".contains(byte)).skip(1);
    words.any(|word| RUN.iter().any(|known| known.as_bytes() == word))
        || OBEYED.iter().any(|known| known.as_bytes() == name)
}
