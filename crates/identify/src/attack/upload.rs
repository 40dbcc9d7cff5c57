//! Uploads of program files.
//!
//! In: the head of a part of a form, in lower case. Out: the range of its file name, if a web
//! server would run a file with that name, or read its settings from it.

use std::ops::Range;

use memchr::memmem;

use crate::slice::{contains, equals_one, first, run};

/// Longest file name that is read.
const MAX_NAME_BYTES: usize = 255;
/// Endings of files that a web server runs.
const RUN: [&str; 25] = [
    "php", "php3", "php4", "php5", "php7", "php8", "phps", "phtml", "pht", "phpt", "phar", "jsp",
    "jspx", "jspf", "jsw", "jsv", "asp", "aspx", "ashx", "asmx", "asa", "cfm", "cfml", "shtml",
    "cgi",
];
/// The ending of an archive with a program. It counts only as the last ending, because it is a word
/// as well.
const ARCHIVE: &[u8] = b"war";
/// An ending that IIS runs like `asp`. But people also use it for certificates.
const CERTIFICATE: &[u8] = b"cer";
/// Files from which a web server reads settings.
const OBEYED: [&str; 3] = [".htaccess", ".user.ini", "web.config"];

/// Returns the range of the name of a program file in the head of a part.
pub(crate) fn find(head: &[u8]) -> Option<Range<usize>> {
    let start = start_of_name(head)?;
    let rest = first(&head[start..], MAX_NAME_BYTES);
    let quotes = usize::from(rest.starts_with(b"\""));
    let length = run(&rest[quotes..], |byte| !b"\"\r\n".contains(byte));
    let place = start + quotes..start + quotes + length;
    let name = &head[place.clone()];
    let is_run = is_program(name) || ends_as_certificate(name) && is_disguised(head);
    is_run.then_some(place)
}

/// Returns where the value of `filename` begins, or that of `filename*` (RFC 5987). The `=` must be
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

/// Tells whether the name is the name of a program. Every ending counts: `shell.php.jpg`,
/// `shell.php;.jpg`, `shell.php%00.gif`, `shell.php::$data`, `shell.php.`. A space does not end an
/// ending, or `intro to php.pdf` would be a program.
pub(crate) fn is_program(name: &[u8]) -> bool {
    let folders = memchr::memrchr2(b'/', b'\\', name).map_or(0, |slash| slash + 1);
    let name = &name[folders..];
    let mut endings = endings(name).peekable();
    while let Some(ending) = endings.next() {
        let is_last = endings.peek().is_none();
        if equals_one(ending, &RUN)
            || ending == ARCHIVE && is_last
            || ending == CERTIFICATE && !is_last
        {
            return true;
        }
    }
    equals_one(name, &OBEYED)
}

fn ends_as_certificate(name: &[u8]) -> bool {
    endings(name).last() == Some(CERTIFICATE)
}

/// Tells whether the part says that it is an image, or has no type; browsers always send the type.
fn is_disguised(head: &[u8]) -> bool {
    !contains(head, b"content-type:") || contains(head, b"image/")
}

/// Returns the texts behind each sign that ends a name for some program, without the end that
/// Windows drops.
fn endings(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let words = name.split(|byte| b".;:\0".contains(byte)).skip(1);
    words.map(|word| {
        let end = memchr::memchr(b'%', word).filter(|at| is_cut(&word[*at..]));
        word[..end.unwrap_or(word.len())].trim_ascii_end()
    })
}

/// Tells whether the text begins with a control character in percent-encoding, or is a space in it.
fn is_cut(rest: &[u8]) -> bool {
    rest.starts_with(b"%0") || rest == b"%20"
}
