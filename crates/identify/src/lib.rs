//! What a request is, from its bytes alone.
//!
//! In: raw bytes, which may be anything, and what is known about their source. Out: slices of these
//! bytes, and what they mean. No I/O, no panic.
//!
//! Which protocol it is, and what the protocol says:
//!
//! - [`protocol`] recognises the protocol by the first bytes
//! - [`http`] and [`tls`] read the two most frequent ones, and [`ja4`] is the fingerprint of a TLS
//!   client
//!
//! What the request is for:
//!
//! - [`labels`] tries all signatures and returns the labels; read it first
//! - [`signature`] is one signature, as it is written in the folder `signatures`; `crawlers` makes
//!   more from a list of user agents
//! - `condition` is the `match` of a signature, and `evidence` evaluates it; `sample` has the parts
//!   of a request, each as sent and decoded; `text` makes the decoded forms of a part; `whole`
//!   completes the word in which evidence was found
//! - `literals` says which words are in every request that meets a condition; `words` finds the
//!   words of all signatures in one pass, so that few conditions are evaluated; `program` and
//!   `pattern` run regular expressions; `beginning` tells where a match may begin; `recent` keeps
//!   what was used lately
//! - `build.rs` compiles the signatures into the program, and `built_in` reads a signature when it
//!   is first needed
//! - `attack` has small parsers for attacks without a product, such as SQL injection
//! - `quotation` recognises requests that only quote an attack, such as webhooks; it has nothing to
//!   do with quoted-printable, which `forever200-decode` decodes
//! - `inside` finds labels and addresses in decoded parts (the crate `forever200-decode`)
//! - `slice` has small helpers for slices of bytes
//! - `repeats` remembers the results for the same bytes
//!
//! Moreover, [`origin`] has the country and the network of a source, [`indicator`] finds addresses
//! in a payload, [`check`] finds mistakes in signatures, and [`parsers`] gives bytes to the parsers
//! alone, for fuzzing.

pub mod check;
pub mod http;
pub mod indicator;
pub mod ja4;
pub mod labels;
pub mod origin;
#[doc(hidden)]
pub mod parsers;
pub mod protocol;
pub mod signature;
pub mod tls;

mod attack;
mod beginning;
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
mod slice;
mod text;
mod whole;
mod words;

pub use indicator::Indicator;
pub use labels::{Label, Labeller};
pub use origin::Origin;
pub use protocol::{Protocol, Recognised, recognise};
pub use signature::{Category, Confidence, Signature, cve_record};
