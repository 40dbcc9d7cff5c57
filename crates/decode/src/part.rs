//! A part of a request that was wrapped, and the way to it.

use std::fmt::{self, Display, Formatter, Write};
use std::ops::Range;

use crate::kind::ContentKind;

/// Longest detail of a step, in characters.
const MAX_DETAIL_CHARS: usize = 60;
/// Longest beginning of a run that a step shows, in characters.
const MAX_RUN_CHARS: usize = 20;

/// Where something was, or how it was wrapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The name of the step.
    pub name: &'static str,
    /// What distinguishes the step from others of the same name, printable: the name of a header or
    /// of a part, or the beginning of a run.
    pub detail: String,
}

impl Step {
    /// The name of the step for the target of a request.
    pub const TARGET: &str = "target";
    /// The name of the step for the body of a request.
    pub const BODY: &str = "body";
    /// The name of a step that undoes URL encoding.
    pub const URL_DECODED: &str = "URL-decoded";
    /// The name of a step that undoes base64.
    pub const BASE64: &str = "base64";

    pub(crate) fn new(name: &'static str, detail: &[u8]) -> Self {
        let detail = line(detail, MAX_DETAIL_CHARS);
        Self { name, detail }
    }

    /// Returns a step that decodes only a run of the bytes.
    pub(crate) fn of_run(name: &'static str, run: &[u8]) -> Self {
        let detail = line(run, MAX_RUN_CHARS);
        Self { name, detail }
    }
}

impl Display for Step {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)?;
        if !self.name.is_empty() && !self.detail.is_empty() {
            formatter.write_char(' ')?;
        }
        formatter.write_str(&self.detail)
    }
}

/// Bytes that were wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where the bytes were, and how they were wrapped, the outermost step first.
    pub steps: Vec<Step>,
    /// The bytes, decoded.
    pub bytes: Vec<u8>,
    /// The place in the request where the wrapped bytes are.
    pub place: Range<usize>,
    /// The part is the body as it is meant: without its chunks and codings.
    pub is_body: bool,
}

impl Part {
    /// Returns where the bytes were and how they were wrapped, in printable ASCII, but for the
    /// ellipsis of a long detail.
    #[must_use]
    pub fn what(&self) -> String {
        let steps: Vec<_> = self.steps.iter().map(Step::to_string).collect();
        steps.join(", ")
    }

    /// Tells what the bytes are.
    #[must_use]
    pub fn kind(&self) -> ContentKind {
        ContentKind::of(&self.bytes)
    }

    /// Tells whether nothing but URL encoding was undone.
    #[must_use]
    pub fn is_url_decoded_alone(&self) -> bool {
        self.steps
            .iter()
            .skip(1)
            .all(|step| step.name == Step::URL_DECODED)
    }

    /// Clears the detail of each step but the first: these details quote bytes of the request.
    pub fn forget_details(&mut self) {
        for step in self.steps.iter_mut().skip(1) {
            step.detail.clear();
        }
    }
}

/// The way to some bytes.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) steps: Vec<Step>,
    pub(crate) place: Range<usize>,
    /// The bytes are those of the place, as they were sent.
    pub(crate) is_as_sent: bool,
    pub(crate) is_body: bool,
}

impl Way {
    /// Returns the way to a piece of the request as it was sent.
    pub(crate) fn new(step: Step, place: Range<usize>) -> Self {
        Self {
            steps: vec![step],
            place,
            is_as_sent: true,
            is_body: false,
        }
    }

    /// Returns the way to the content of all the bytes. `is_body` stays as it was.
    pub(crate) fn inside(&self, how: &'static str) -> Self {
        let mut way = self.clone();
        way.steps.push(Step::new(how, b""));
        way.is_as_sent = false;
        way
    }

    /// Returns the way to the decoded bytes of a run, which may be all of the bytes.
    pub(crate) fn to(&self, run: Range<usize>, step: Step) -> Self {
        let mut way = self.clone();
        way.steps.push(step);
        if self.is_as_sent {
            way.place = self.place.start + run.start..self.place.start + run.end;
        }
        way.is_as_sent = false;
        way.is_body = false;
        way
    }
}

/// Returns where a slice of `bytes` begins in them.
pub(crate) fn offset(bytes: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize)
        .saturating_sub(bytes.as_ptr() as usize)
        .min(bytes.len())
}

/// Returns bytes as one line of printable ASCII of at most `max_chars` characters. An ellipsis
/// shows that the rest is left out.
fn line(bytes: &[u8], max_chars: usize) -> String {
    let shown = &bytes[..bytes.len().min(max_chars)];
    let mut line = shown.escape_ascii().to_string();
    if line.len() > max_chars || shown.len() < bytes.len() {
        line.truncate(max_chars.saturating_sub(1));
        line.push('…');
    }
    line
}
