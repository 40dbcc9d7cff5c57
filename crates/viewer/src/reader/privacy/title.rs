//! Decides whether titles and other texts of the history may be shown: they may have been written
//! before anything was hidden.
//!
//! In: a title, and the request from which it was made. Out: whether the title may be shown.

use std::net::IpAddr;

use super::near::Near;
use super::work::Work;
use super::{Privacy, Senders, layers};
use crate::history::kind::MAX_TITLE_CHARS;

/// Bytes of a request that are examined if its title is long. A title is made from fewer bytes.
const MAX_LOOKED_AT_BYTES: usize = 4 * 1024;
/// Work for examining one such request, as one page may have two thousand such titles. Plain text
/// of this length takes half of the work.
const WORK: usize = 40_000;

/// A title, and the request from which it was made.
pub(crate) struct Title<'a> {
    pub(crate) text: &'a str,
    /// The source of the request.
    pub(crate) sender: IpAddr,
    /// The request, or its beginning.
    pub(crate) raw: &'a [u8],
    /// The record's `tls` in JSON; empty where the request did not come through TLS.
    pub(crate) tls: &'a str,
}

/// Whether a title may be shown, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TitleShown {
    /// It may be shown.
    Whole,
    /// It is not shown: it was cut, perhaps in the middle of something hidden.
    Cut,
    /// It is not shown: it names something hidden.
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

    /// Tells whether a text may have been cut in the middle of something hidden.
    pub(crate) fn may_be_cut(&self, text: &str, most_chars: usize) -> bool {
        self.hides_anything() && text.chars().count() >= most_chars
    }

    /// Tells whether bytes have something hidden in them, or take too much work to find out.
    fn is_named_in_bytes(&self, senders: &Senders, bytes: &[u8]) -> bool {
        let Some(mut blanker) = self.blanker(senders) else {
            return false;
        };
        blanker.work = Work::new(WORK);
        layers::request(&mut blanker, bytes, Near::ALL).is_some() || blanker.work.is_short()
    }
}
