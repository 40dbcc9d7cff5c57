//! Writes a line of JSON for each request to standard output or a file, for other tools. Captures
//! are these lines, which `FOREVER200_CAPTURES` turns on; capture files (pcap) are in
//! `export/pcap.rs`.
//!
//! In: requests and gaps from the viewer's reader, each once and in order. Out: lines. A separate
//! thread writes them from a bounded queue, so that nothing waits for the program that reads the
//! lines. Requests for which the queue has no room are counted as dropped.
//!
//! Read in this order: `target` (where lines go), `queue` (requests that wait), `line` (the content
//! of a line), `writer` (the thread). docs/captures.schema.json describes the format.

mod line;
mod queue;
mod target;
mod writer;

pub(crate) use queue::Offers;
pub use queue::{Captures, Counted};
pub use target::Target;
