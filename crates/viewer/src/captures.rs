//! A line of JSON for each request, on standard output or in a file, for other tools.
//!
//! In: requests and gaps from the reader, each once and in order. Out: lines. Nothing waits for the
//! reader of the lines: a separate thread writes them from a bounded queue, and what does not fit
//! is counted.
//!
//! Read in this order: `target` (where lines go), `queue` (what waits), `line` (what a line has),
//! `writer` (the thread). docs/captures.schema.json describes the format.

mod line;
mod queue;
mod target;
mod writer;

pub(crate) use queue::Offers;
pub use queue::{Captures, Counted};
pub use target::Target;
