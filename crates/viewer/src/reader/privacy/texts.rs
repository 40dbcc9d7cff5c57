//! The texts to hide: names and other texts, and addresses.
//!
//! In: the operator's list. Out: where bytes have one of the texts, in upper or lower case (ASCII),
//! plain or as a name in a DNS message. `addresses` finds addresses, `blank` undoes encodings.

use std::str::FromStr;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::addresses::Addresses;
use super::blank::{Found, Written};
use super::work::Work;

/// Shortest text that can be hidden. Shorter texts would be found everywhere.
const MIN_TEXT_BYTES: usize = 4;
/// Longest text that can be hidden. Longer texts are no names: RFC 1035, 2.3.4.
const MAX_TEXT_BYTES: usize = 255;
/// Most texts: more than the names and addresses of one machine.
const MAX_TEXTS: usize = 64;
/// Up to this many bytes of texts, the search uses a table of at most a megabyte and takes a fifth
/// of the time.
const MAX_TABLE_BYTES: usize = 4096;

/// The texts that an operator wants hidden, as `--hide` lists them.
#[derive(Clone, Default)]
pub struct Hidden {
    texts: Option<Arc<Texts>>,
    count: usize,
}

/// Work for a text that is found, beside its bytes.
const FOUND_WORK: usize = 16;

/// Texts to hide.
pub(super) struct Texts {
    pub(super) addresses: Addresses,
    /// One of the texts has a space.
    pub(super) has_space: bool,
    finder: AhoCorasick,
    /// For each pattern of `finder`: the positions of length bytes, if it is a name as in DNS
    /// messages.
    gaps: Vec<Vec<usize>>,
}

impl Hidden {
    pub(super) fn texts(&self) -> Option<&Texts> {
        self.texts.as_deref()
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }
}

impl FromStr for Hidden {
    type Err = String;

    /// Reads texts separated by commas. An empty list hides nothing.
    fn from_str(list: &str) -> Result<Self, String> {
        if list.trim().is_empty() {
            return Ok(Self::default());
        }
        let texts: Vec<_> = list.split(',').map(str::trim).collect();
        for text in &texts {
            if !(MIN_TEXT_BYTES..=MAX_TEXT_BYTES).contains(&text.len()) {
                return Err(format!(
                    "expected texts of {MIN_TEXT_BYTES} to {MAX_TEXT_BYTES} bytes, not {text:?}"
                ));
            }
        }
        if texts.len() > MAX_TEXTS {
            return Err(format!(
                "expected at most {MAX_TEXTS} texts, not {}",
                texts.len()
            ));
        }
        Ok(Self {
            texts: Some(Arc::new(Texts::new(&texts))),
            count: texts.len(),
        })
    }
}

impl Texts {
    fn new(texts: &[&str]) -> Self {
        let mut addresses = Addresses::default();
        let mut forms = Vec::new();
        let mut gaps = Vec::new();
        for text in texts {
            if let Ok(address) = text.parse() {
                addresses.add(&[address]);
                continue;
            }
            forms.push(text.as_bytes().to_vec());
            gaps.push(Vec::new());
            if text.contains('.') {
                let (form, lengths) = as_name(text.as_bytes());
                forms.push(form);
                gaps.push(lengths);
            }
        }
        let bytes: usize = forms.iter().map(Vec::len).sum();
        let kind = (bytes <= MAX_TABLE_BYTES).then_some(AhoCorasickKind::DFA);
        let finder = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(kind)
            .build(forms);
        Self {
            addresses,
            has_space: texts.iter().any(|text| text.contains(' ')),
            finder: finder.expect("a few thousand short forms fit"),
            gaps,
        }
    }

    /// Finds all texts, also overlapping ones. When no work is left, the rest of the bytes counts
    /// as found.
    pub(super) fn find<'a>(&'a self, bytes: &[u8], work: &mut Work, all: &mut Vec<Found<'a>>) {
        // Most bytes have none of the texts: this check takes half the time.
        if self.gaps.is_empty() || !self.finder.is_match(bytes) {
            return;
        }
        for found in self.finder.find_overlapping_iter(bytes) {
            let lengths = &self.gaps[found.pattern().as_usize()];
            let written = match lengths.is_empty() {
                true => Written::Text,
                false => Written::Name(lengths),
            };
            let range = found.range();
            if !work.take(FOUND_WORK + range.len()) {
                let (range, written) = (range.start..bytes.len(), Written::Text);
                all.push(Found { range, written });
                break;
            }
            all.push(Found { range, written });
        }
    }
}

/// Returns a name as in DNS messages, with a length instead of each dot (RFC 1035, 3.1), and the
/// positions of the lengths. The lengths are not blanked: many names have the same ones.
fn as_name(text: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let mut form = text.to_vec();
    let mut lengths = Vec::new();
    let mut at = 0;
    for label in text.split(|&byte| byte == b'.') {
        if at > 0 {
            form[at - 1] = label.len() as u8;
            lengths.push(at - 1);
        }
        at += label.len() + 1;
    }
    (form, lengths)
}
