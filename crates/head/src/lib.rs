//! One parser for an HTTP/1 head, for all crates that need one.
//!
//! In: the bytes that a client sent, which may be anything. Out: ranges of these bytes, and where
//! the request ends. It allocates only a copy of a folded value, judges nothing, and never panics.
//!
//! Two sides use it, with the same rules:
//!
//! - the responder, while a request arrives: [`Framing`]
//! - all others, when no more bytes come: [`Head`] and [`extent`]
//!
//! The rules are in [`RequestLine`], [`Field`] and [`BodyLength`]. They are RFC 9112's rules for a
//! lenient recipient, because people want to see what was sent, even when it was wrong.
//!
//! Read in this order: `line`, `request_line`, `field`, `head`, `body`, `framing`.

mod body;
mod field;
mod framing;
mod head;
mod line;
mod request_line;

pub use body::{BodyLength, Joined, chunks, joined};
pub use field::{Field, Fields, unfolded};
pub use framing::{Extent, Framing, extent};
pub use head::Head;
pub use request_line::RequestLine;
