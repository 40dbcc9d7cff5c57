//! Addresses in a command: words that a program takes for a host or a URL.
//!
//! In: words. Out: whether they are addresses, and their parts. Hosts are defanged, as in all
//! addresses of payloads on the page.

use memchr::{memchr, memmem};

use super::tell::Weight;
use super::words::shown;

const SCHEME_END: &[u8] = b"://";

/// The parts of a URL or a host.
pub(super) struct Address<'a> {
    /// The host, defanged. For FTP and TFTP, ` by FTP` or ` by TFTP` follows.
    pub(super) host: String,
    /// The path, without its first slash.
    pub(super) path: &'a [u8],
}

impl<'a> Address<'a> {
    pub(super) fn of(url: &'a [u8]) -> Self {
        let mut scheme = Vec::new();
        let mut rest = url;
        if let Some(at) = memmem::find(url, SCHEME_END) {
            scheme = url[..at].to_ascii_lowercase();
            rest = &url[at + SCHEME_END.len()..];
        }
        let how = match &*scheme {
            b"ftp" => " by FTP",
            b"tftp" => " by TFTP",
            _ => "",
        };
        let (host, path) = rest.split_at(host_length(rest));
        let host = shown(host).replace('.', "[.]");
        Self {
            host: format!("{host}{how}"),
            path: path.strip_prefix(b"/").unwrap_or(path),
        }
    }

    /// Returns the path as it is shown, or `the page` if it is empty.
    pub(super) fn page(&self) -> String {
        if self.path.is_empty() {
            "the page".to_owned()
        } else {
            shown(self.path)
        }
    }
}

fn host_length(address: &[u8]) -> usize {
    let end = address.iter().position(|byte| b"/?".contains(byte));
    end.unwrap_or(address.len())
}

pub(super) fn is_port(word: &[u8]) -> bool {
    (1..=5).contains(&word.len()) && word.iter().all(u8::is_ascii_digit)
}

pub(super) fn has_scheme(word: &[u8]) -> bool {
    memmem::find(word, SCHEME_END).is_some()
}

/// Tells whether a word may be a host: an IP address, or a name with a dot in it.
pub(super) fn is_host(word: &[u8]) -> bool {
    word.contains(&b'.') && !word.contains(&b'/') && is_address(word)
}

/// Tells whether a program would take a word for an address: it has a scheme, or a dot before any
/// path.
pub(super) fn is_address(word: &[u8]) -> bool {
    if has_scheme(word) {
        return true;
    }
    let host = &word[..host_length(word)];
    let is_named = host.contains(&b'.') && !host.starts_with(b".") && host.len() > 3;
    is_named && host.iter().all(|&byte| is_of_host(byte))
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:[]@$`(){}".contains(&byte)
}

/// Returns how strongly an address suggests a command. Without a scheme, a name may be any word
/// with a dot in it.
pub(super) fn weight_of(url: &[u8]) -> Weight {
    let end = memchr(b'/', url).unwrap_or(url.len());
    let host = &url[..end];
    let is_number = |byte: &u8| byte.is_ascii_digit() || b".:".contains(byte);
    if has_scheme(url) || host.iter().all(is_number) {
        Weight::Much
    } else {
        Weight::Some
    }
}
