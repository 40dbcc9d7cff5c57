//! The arguments of wget and curl.
//!
//! In: words. Out: [`Fetch`]: the URL, and where the download is written to.

use std::slice;

use memchr::memchr;

use super::address::{has_scheme, is_address};
use super::words::is_option;

/// Options of wget and curl whose value may look like the URL.
const WITH_VALUE: [&[u8]; 8] = [
    b"-A",
    b"-H",
    b"-U",
    b"-e",
    b"-u",
    b"--header",
    b"--referer",
    b"--user-agent",
];
/// Options of curl only whose value may look like the URL.
const WITH_VALUE_OF_CURL: [&[u8]; 4] = [b"-b", b"-x", b"--cookie", b"--proxy"];
/// Options with which curl sends something.
const SENDS: [&[u8]; 8] = [
    b"-d",
    b"-F",
    b"-T",
    b"--data",
    b"--data-binary",
    b"--data-raw",
    b"--data-urlencode",
    b"--form",
];

/// The URL, and where the download is written to.
#[derive(Default)]
pub(super) struct Fetch<'a> {
    pub(super) url: Option<&'a [u8]>,
    pub(super) file: Option<&'a [u8]>,
    pub(super) folder: Option<&'a [u8]>,
    pub(super) to_output: bool,
    pub(super) keeps_name: bool,
    pub(super) sends: bool,
}

impl<'a> Fetch<'a> {
    /// Reads the arguments of wget, or of curl.
    pub(super) fn of(words: &'a [Vec<u8>], is_wget: bool) -> Self {
        let mut fetch = Self::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            if is_option(word) {
                fetch.option(word, &mut rest, is_wget);
            } else if is_address(word) {
                fetch.set_url(word);
            }
        }
        fetch
    }

    fn set_url(&mut self, url: &'a [u8]) {
        self.url = self.url.or(Some(url));
    }

    /// Reads an option, and its value from `rest` if it has one.
    fn option(&mut self, word: &'a [u8], rest: &mut slice::Iter<'a, Vec<u8>>, is_wget: bool) {
        let sends = !is_wget && SENDS.contains(&word);
        let is_of_curl = !is_wget && WITH_VALUE_OF_CURL.contains(&word);
        self.sends |= sends;
        if sends || is_of_curl || WITH_VALUE.contains(&word) {
            rest.next();
            return;
        }
        if is_wget && word == b"-P" {
            self.folder = next(rest);
            return;
        }
        if word.starts_with(b"--output") {
            match memchr(b'=', word) {
                Some(at) => self.set_file(Some(&word[at + 1..])),
                None => self.set_file(next(rest)),
            }
            return;
        }
        if word.starts_with(b"--") {
            return;
        }
        let letters = &word[1..];
        let output = if is_wget { b'O' } else { b'o' };
        match memchr(output, letters) {
            // `-oFILE` and `-o FILE`
            Some(at) if at + 1 < letters.len() => self.set_file(Some(&letters[at + 1..])),
            Some(_) => self.set_file(next(rest)),
            None => self.keeps_name |= !is_wget && letters.contains(&b'O'),
        }
    }

    fn set_file(&mut self, file: Option<&'a [u8]>) {
        match file {
            Some(b"-") => self.to_output = true,
            // The sender forgot the file name.
            Some(url) if has_scheme(url) => {
                self.to_output = true;
                self.set_url(url);
            }
            file => self.file = file,
        }
    }
}

fn next<'a>(words: &mut slice::Iter<'a, Vec<u8>>) -> Option<&'a [u8]> {
    Some(words.next()?)
}
