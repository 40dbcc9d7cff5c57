//! Ways out of a folder, and names of files that every system has.
//!
//! In: a value in lower case, decoded. Out: the steps up, or the name. One step up is something
//! that pages write; it counts with a trick in it, behind another, or before the name of a file
//! with secrets.

use std::ops::Range;

use memchr::memmem;

use super::any::{AnyOf, finder};

/// Steps that are counted together.
const MIN_STEPS: usize = 3;
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
/// Endings of files that a page never gives out.
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
/// A step up with something in it that makes filters miss it.
const TRICKS: [&str; 16] = [
    "..;/", "..;\\", ".\\./", "..%5c", "..%2f", "..%c0%af", "0x2e0x2e", "..../", "...\\./",
    "....//", "..0x2f", "..0x5c", ".%00./", "..././", "..;.", "0x5c0x2e",
];

static ANY_FILE: AnyOf = AnyOf::new(|| finder(FILES));
static ANY_TRICK: AnyOf = AnyOf::new(|| finder(TRICKS));

/// Returns the bytes of a value that lead out of its folder. `is_path`: the value is the request's
/// own path.
pub(crate) fn find(value: &[u8], is_path: bool) -> Option<Range<usize>> {
    let found = steps(value, is_path).or_else(|| trick(value));
    if is_path {
        return found;
    }
    found.or_else(|| file(value))
}

/// Steps up: three in a row, or two at the beginning, or one before a file with secrets.
fn steps(value: &[u8], is_path: bool) -> Option<Range<usize>> {
    let mut at = 0;
    while let Some(found) = memmem::find(&value[at..], b"..") {
        let start = at + found;
        let end = run(value, start);
        let steps = value[start..end]
            .iter()
            .filter(|byte| b"/\\".contains(byte))
            .count();
        let is_begun = start == 0 || is_path || b"=:/\\\"'".contains(&value[start - 1]);
        let is_enough = steps >= MIN_STEPS || steps == 2 && is_begun && !is_text(value);
        if is_enough || steps > 0 && is_begun && names_secret(&value[end..]) {
            return Some(start..end);
        }
        at = end.max(start + 2);
    }
    None
}

/// Where steps such as `../`, `..\` and `..//` end.
fn run(value: &[u8], start: usize) -> usize {
    let mut end = start;
    while let [b'.', b'.', b'/' | b'\\', ..] = value[end..] {
        end += 3;
        while value.get(end).is_some_and(|byte| b"/\\".contains(byte)) {
            end += 1;
        }
        while let [b'.', b'/' | b'\\', ..] = value[end..] {
            end += 2;
        }
    }
    end
}

/// A sentence has spaces; a path that is given as a value hardly.
fn is_text(value: &[u8]) -> bool {
    value.iter().take(256).filter(|&&byte| byte == b' ').count() > 2
}

/// A name of a file, and no more, that pages do not give out.
fn names_secret(rest: &[u8]) -> bool {
    let end = rest
        .iter()
        .position(|byte| b" &?#\"'<>;,\0".contains(byte))
        .unwrap_or(rest.len());
    let name = &rest[..end.min(256)];
    SECRETS
        .iter()
        .any(|ending| name.ends_with(ending.as_bytes()))
}

fn trick(value: &[u8]) -> Option<Range<usize>> {
    if !ANY_TRICK.is_in(value) {
        return None;
    }
    TRICKS.iter().find_map(|trick| {
        let start = memmem::find(value, trick.as_bytes())?;
        Some(start..start + trick.len())
    })
}

/// A file of the system, where a value begins with it or climbs to it.
fn file(value: &[u8]) -> Option<Range<usize>> {
    if !ANY_FILE.is_in(value) {
        return None;
    }
    FILES.iter().find_map(|name| {
        let start = memmem::find(value, name.as_bytes())?;
        let before = value[..start].trim_ascii_start();
        let is_begun = before.is_empty()
            || matches!(before, [b'c'..=b'f', b':', ..] if before.len() <= 4)
            || matches!(before, [.., b'=' | b'@' | b'"' | b'\'' | b'/'] if !is_text(value))
            || [&b"file:"[..], b"/", b"..", b"\\"]
                .iter()
                .any(|begin| before.starts_with(begin) && !is_text(value));
        is_begun.then(|| start..start + name.len())
    })
}
