//! Examines the decoded parts of a request before they are shown, whatever the encoding was.
//!
//! In: the decoded parts of a record. Out: the parts that may be shown, blanked where necessary.
//! When no work is left, the remaining parts are left out.

use forever200_decode::{Limits, Part};

use super::blank::{Blanker, MAX_DEPTH};
use super::near::Near;
use super::work::Work;
use super::{Privacy, Senders};

/// Work for each byte of the limit for all parts of a record. Plain text of this length takes twice
/// as much.
const WORK_FOR_A_BYTE: usize = 5;

impl Privacy {
    /// Returns what may be shown of the decoded parts of a record. `limits` are the limits with
    /// which they were decoded.
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
    /// Blanks hidden texts and addresses in a part. Returns `None` where the blanked part still has
    /// one.
    fn part(&mut self, mut part: Part) -> Option<Part> {
        let changed = self.examine(&part.bytes, Near::ALL, MAX_DEPTH);
        let what = part.what();
        let is_named = self
            .examine(what.as_bytes(), Near::ALL, MAX_DEPTH)
            .is_some();
        if changed.is_some() || is_named {
            part.forget_details();
        }
        if let Some(changed) = changed {
            part.bytes = changed;
            if self.examine(&part.bytes, Near::ALL, MAX_DEPTH).is_some() {
                return None;
            }
        }
        Some(part)
    }
}
