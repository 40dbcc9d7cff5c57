//! What a request is, from its bytes alone.
//!
//! In: raw bytes, which may be anything, and what is known of their source. Out: slices of them and what
//! they mean. No I/O, no panic.
//!
//! Read in this order: [`protocol`], then what each protocol says: [`http`], [`tls`] and its fingerprint
//! [`ja4`]. Then what it is for: [`labels`] tries each [`signature`] of the folder `signatures` and of the
//! crawlers whose literals are there. `build.rs` has laid them out; each is read when first needed. A
//! signature's condition looks at the parts of a request as sent and in plainer forms. `words` finds the
//! literals of all of them at once; `program` runs what expressions are left on short texts.
//! `attack` finds what names no product, by small parsers; `quotation` knows who only quotes.
//! `repeats` knows what was found out about the same bytes before. [`check`] says what is wrong with signatures as a whole.
//! [`indicator`] finds the addresses in a payload. `inside` looks for both in what a request hides in an
//! encoding, as `forever200-decode` undoes it.

pub mod check;
pub mod http;
pub mod indicator;
pub mod ja4;
pub mod labels;
pub mod origin;
pub mod protocol;
pub mod signature;
pub mod tls;

mod attack;
mod built_in;
mod condition;
mod crawlers;
mod evidence;
#[cfg(test)]
mod files;
mod inside;
mod literals;
mod pattern;
mod program;
mod quotation;
mod recent;
mod repeats;
mod sample;
mod text;
mod whole;
mod words;

pub use indicator::Indicator;
pub use labels::{Label, Labeller};
pub use origin::Origin;
pub use protocol::{Protocol, Recognised, recognise};
pub use signature::{Category, Confidence, Signature};
