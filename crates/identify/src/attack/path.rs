//! Steps out of a folder, and names of files that every system has.
//!
//! In: a value in lower case, decoded. Out: the range of the steps, or of the name. Pages write
//! single steps too. So one step counts only with a trick in it, after other steps, or before the
//! name of a file with secrets.

use std::ops::Range;

use memchr::memmem;

use super::any::{AnyOf, finder};
use crate::slice::{self, ends_with_one, first, starts_with_one};

/// This many steps in a row always count.
const MIN_STEPS: usize = 3;
/// How many bytes of a value show whether it is a sentence.
const MAX_TEXT_BYTES: usize = 256;
/// Longest name of a file that is read.
const MAX_NAME_BYTES: usize = 256;
/// Files that exist everywhere, or hold what an attacker wants.
const FILES: [&str; 35] = [
    "/etc/passwd",
    "/etc/shadow",
    "/etc/hosts",
    "/etc/group",
    "/etc/issue",
    "/etc/hostname",
    "/etc/mysql/",
    "/etc/nginx/",
    "/etc/apache2/",
    "/etc/httpd/",
    "/etc/ssh/",
    "/etc/crontab",
    "/proc/self/",
    "/proc/1/",
    "/proc/version",
    "/proc/net/",
    "/proc/cpuinfo",
    "/var/log/",
    "windows/win.ini",
    "windows/system.ini",
    "windows/system32/",
    "winnt/",
    "boot.ini",
    "web-inf/web.xml",
    "meta-inf/",
    "/.ssh/",
    "/.aws/credentials",
    "/root/.",
    "php://filter",
    "/.git/config",
    "/proc/sys/",
    "/proc/interrupts",
    "/sys/class",
    "windows\\win.ini",
    "windows\\system32\\",
];
/// Endings of files that no site gives out.
const SECRETS: [&str; 22] = [
    ".php",
    ".env",
    "web.config",
    ".ini",
    ".conf",
    ".config",
    ".cfg",
    ".properties",
    ".yml",
    ".yaml",
    ".jsp",
    ".aspx",
    ".asp",
    ".log",
    ".db",
    ".sqlite",
    ".sql",
    ".htpasswd",
    ".htaccess",
    ".key",
    ".pem",
    "passwd",
];
/// Steps up that are changed so that filters miss them.
const TRICKS: [&str; 16] = [
    "..;/", "..;\\", ".\\./", "..%5c", "..%2f", "..%c0%af", "0x2e0x2e", "..../", "...\\./",
    "....//", "..0x2f", "..0x5c", ".%00./", "..././", "..;.", "0x5c0x2e",
];

static ANY_FILE_OR_TRICK: AnyOf = AnyOf::new(|| finder(FILES.into_iter().chain(TRICKS)));
static ANY_TRICK: AnyOf = AnyOf::new(|| finder(TRICKS));

/// Returns the range of a value that leads out of its folder. `is_path` says that the value is the
/// path of the request.
pub(crate) fn find(value: &[u8], is_path: bool) -> Option<Range<usize>> {
    if let Some(found) = steps(value, is_path) {
        return Some(found);
    }
    if is_path {
        return ANY_TRICK.is_in(value).then(|| trick(value))?;
    }
    // One search for both: few values have either.
    if !ANY_FILE_OR_TRICK.is_in(value) {
        return None;
    }
    trick(value).or_else(|| file(value))
}

/// Finds steps up: three in a row, two at the beginning, or one before a file with secrets.
fn steps(value: &[u8], is_path: bool) -> Option<Range<usize>> {
    let mut at = 0;
    while let Some(found) = memmem::find(&value[at..], b"..") {
        let start = at + found;
        let end = run(value, start);
        let steps = memchr::memchr2_iter(b'/', b'\\', &value[start..end]).count();
        let is_begun = start == 0 || is_path || b"=:/\\\"'".contains(&value[start - 1]);
        let is_enough = steps >= MIN_STEPS || steps == 2 && is_begun && !is_text(value);
        if is_enough || steps > 0 && is_begun && names_secret(&value[end..]) {
            return Some(start..end);
        }
        at = end.max(start + 2);
    }
    None
}

/// Returns where steps such as `../`, `..\` and `..//` end.
fn run(value: &[u8], start: usize) -> usize {
    let mut end = start;
    while let [b'.', b'.', b'/' | b'\\', ..] = value[end..] {
        end += 3;
        end += slice::run(&value[end..], |byte| b"/\\".contains(byte));
        while let [b'.', b'/' | b'\\', ..] = value[end..] {
            end += 2;
        }
    }
    end
}

/// Tells whether the value is a sentence: it has more than two spaces, which a path hardly has.
fn is_text(value: &[u8]) -> bool {
    memchr::memchr_iter(b' ', first(value, MAX_TEXT_BYTES)).count() > 2
}

/// Tells whether the rest begins with the name of a file that no site gives out.
fn names_secret(rest: &[u8]) -> bool {
    let length = slice::run(rest, |byte| !b" &?#\"'<>;,\0".contains(byte));
    let name = first(&rest[..length], MAX_NAME_BYTES);
    ends_with_one(name, &SECRETS)
}

fn trick(value: &[u8]) -> Option<Range<usize>> {
    for trick in TRICKS {
        if let Some(start) = memmem::find(value, trick.as_bytes()) {
            return Some(start..start + trick.len());
        }
    }
    None
}

/// Finds the path of a system file, if the value begins with it or the text before it leads there.
fn file(value: &[u8]) -> Option<Range<usize>> {
    for name in FILES {
        if let Some(start) = memmem::find(value, name.as_bytes())
            && leads_to_file(value[..start].trim_ascii_start(), value)
        {
            return Some(start..start + name.len());
        }
    }
    None
}

/// Tells whether the text before the name of a file leads to it.
fn leads_to_file(before: &[u8], value: &[u8]) -> bool {
    match before {
        [] => true,
        [b'c'..=b'f', b':', ..] if before.len() <= 4 => true,
        _ => {
            let is_path = matches!(before, [.., b'=' | b'@' | b'"' | b'\'' | b'/'])
                || starts_with_one(before, &["file:", "/", "..", "\\"]);
            is_path && !is_text(value)
        }
    }
}
