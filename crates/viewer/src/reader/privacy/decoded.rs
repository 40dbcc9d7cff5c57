//! What a request hides in an encoding: looked through as it is shown, whatever the encoding was.
//!
//! In: the decoded parts of a record. Out: those that may be shown, with what is to be hidden
//! blanked. A part that the work did not suffice for is left out.

use forever200_decode::{Limits, Part};

use super::blank::{Blanker, MAX_DEPTH};
use super::near::Near;
use super::work::Work;
use super::{Privacy, Senders};

/// Work for each byte that all parts of a record may have: half of what plain text of that length
/// takes.
const WORK_FOR_A_BYTE: usize = 5;

impl Privacy {
    /// Returns what may be shown of the decoded parts of a record. `limits` are those that they
    /// were decoded with.
    #[must_use]
    pub fn show_decoded(&self, senders: &Senders, parts: Vec<Part>, limits: Limits) -> Vec<Part> {
        let Some(mut blanker) = self.blanker(senders) else {
            return parts;
        };
        blanker.work = Work::new(limits.bytes * WORK_FOR_A_BYTE);
        let mut shown = Vec::new();
        for part in parts {
            let part = blanker.part(part);
            if blanker.work.is_short() {
                break;
            }
            shown.extend(part);
        }
        shown
    }
}

impl Blanker<'_> {
    /// Blanks what is to be hidden in a part; `None` where blanking would make something else that
    /// is to be hidden.
    fn part(&mut self, mut part: Part) -> Option<Part> {
        let changed = self.look(&part.bytes, Near::ALL, MAX_DEPTH);
        let what = part.what();
        let is_named = self.look(what.as_bytes(), Near::ALL, MAX_DEPTH).is_some();
        if changed.is_some() || is_named {
            part.forget_details();
        }
        if let Some(changed) = changed {
            part.bytes = changed;
            if self.look(&part.bytes, Near::ALL, MAX_DEPTH).is_some() {
                return None;
            }
        }
        Some(part)
    }
}
