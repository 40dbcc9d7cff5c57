//! Titles and other texts that the history has: they may have been made before anything was hidden.
//!
//! In: a title, and the request of which it is the beginning. Out: whether it may be shown.

use std::net::IpAddr;

use super::near::Near;
use super::work::Work;
use super::{Privacy, Senders, layers};
use crate::history::kind::MAX_TITLE_CHARS;

/// What is looked through of a request with a long title: a title is made of less.
const MAX_LOOKED_AT_BYTES: usize = 4 * 1024;
/// Work for that: there may be two thousand such titles on one page. Plain text of this length
/// takes half of it.
const WORK: usize = 40_000;

/// A title, and what it was made of.
pub(crate) struct Title<'a> {
    pub(crate) text: &'a str,
    /// Who sent the request.
    pub(crate) sender: IpAddr,
    /// The request, or its beginning.
    pub(crate) raw: &'a [u8],
    /// The TLS that it came through, in JSON; empty where there was none.
    pub(crate) tls: &'a str,
}

/// What may be shown of a title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TitleShown {
    /// All of it.
    Whole,
    /// Nothing: it was cut, perhaps in the middle of what is hidden.
    Cut,
    /// Nothing: it names what is hidden.
    Named,
}

impl Privacy {
    /// Tells whether a title may be shown.
    pub(crate) fn title(&self, title: &Title<'_>) -> TitleShown {
        if !self.hides_anything() {
            return TitleShown::Whole;
        }
        let senders = self.senders(title.sender, title.raw);
        if self.is_named_in(&senders, title.text) {
            return TitleShown::Named;
        }
        let is_cut = title.text.chars().count() >= MAX_TITLE_CHARS;
        let beginning = &title.raw[..title.raw.len().min(MAX_LOOKED_AT_BYTES)];
        let is_secret = |bytes| self.is_named_in_bytes(&senders, bytes);
        if is_cut && (is_secret(beginning) || is_secret(title.tls.as_bytes())) {
            return TitleShown::Cut;
        }
        TitleShown::Whole
    }

    /// Tells whether a text may have been cut, perhaps in the middle of what is hidden.
    pub(crate) fn may_be_cut(&self, text: &str, most_chars: usize) -> bool {
        self.hides_anything() && text.chars().count() >= most_chars
    }

    /// Tells whether bytes have what is hidden, or take too much work to know.
    fn is_named_in_bytes(&self, senders: &Senders, bytes: &[u8]) -> bool {
        let Some(mut blanker) = self.blanker(senders) else {
            return false;
        };
        blanker.work = Work::new(WORK);
        layers::request(&mut blanker, bytes, Near::ALL).is_some() || blanker.work.is_short()
    }
}
