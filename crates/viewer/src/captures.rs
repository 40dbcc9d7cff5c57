//! Writes a line of JSON for each request to standard output or a file, for other tools.
//!
//! In: requests and gaps from the viewer's reader, each once and in order. Out: lines. A separate
//! thread writes them from a bounded queue, so that nothing waits for the program that reads the
//! lines. Requests for which the queue has no room are counted as dropped.
//!
//! Read in this order: `target` (where lines go), `queue` (requests that wait), `line` (what a line
//! has), `writer` (the thread). docs/captures.schema.json describes the format.

mod line;
mod queue;
mod target;
mod writer;

pub(crate) use queue::Offers;
pub use queue::{Captures, Counted};
pub use target::Target;
