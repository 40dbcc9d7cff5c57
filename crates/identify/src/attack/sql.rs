//! Database commands in a value, recognised by the order of their tokens.
//!
//! In: a value in lower case. Out: the range that is a command. A value is read up to three times,
//! as a database would read it: from its beginning, and from behind the first quote of each kind,
//! where the string of a careless program ends. Words alone are never enough: a sentence with
//! "union" and "select" has no list behind "select".
//!
//! The idea comes from libinjection (Nick Galbreath, "libinjection", Black Hat USA 2012): an attack
//! shows in the kinds of its tokens. The rules here are few and named; there is no list of
//! fingerprints.

mod anywhere;
mod names;
mod rules;
mod token;

use std::ops::Range;

use self::rules::Tokens;

/// Most bytes of a value that are read; a longer query has begun before the end of these.
const MAX_VALUE_BYTES: usize = 4096;

/// Returns the range of a value that is a database command.
pub(crate) fn find(value: &[u8]) -> Option<Range<usize>> {
    let value = &value[..value.len().min(MAX_VALUE_BYTES)];
    let quotes = [b'\'', b'"'].map(|quote| memchr::memchr(quote, value));
    let starts = quotes.into_iter().flatten().map(|quote| (quote + 1, true));
    let mut contexts = std::iter::once((0, false)).chain(starts);
    contexts.find_map(|(start, is_behind_quote)| {
        let tokens = Tokens::new(token::tokens(value, start), start, is_behind_quote);
        let found = tokens.attack()?;
        let first = if is_behind_quote {
            start - 1
        } else {
            found.start
        };
        Some(first..found.end)
    })
}
