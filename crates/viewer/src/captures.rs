//! A line of JSON for each request, on standard output or in a file, for other tools.
//!
//! In: requests and gaps from the reader, each once and in order. Out: lines. Nobody waits for whoever reads them: they are
//! written by a thread of its own, behind a queue of so many bytes, and what finds no room there is counted.
//!
//! Read in this order: `target` (where lines go), `queue` (what waits), `line` (what they say), `writer` (the thread).
//! docs/captures.schema.json has their format.

mod line;
mod queue;
mod target;
mod writer;

pub(crate) use queue::Offers;
pub use queue::{Captures, Counted};
pub use target::Target;
