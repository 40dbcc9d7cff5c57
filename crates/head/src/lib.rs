//! One reading of an HTTP/1 head, for all who need one.
//!
//! In: the bytes that a client sent, which may be anything. Out: ranges of these bytes, and where
//! the request ends. Allocates nothing but a
//! copy of a folded value, judges nothing, and never panics.
//!
//! The responder asks [`Framing`] while a request arrives; everybody else asks [`Head`] and
//! [`extent`] when it is there. Both rest on the same three rules, which are in [`RequestLine`],
//! [`Field`] and [`BodyLength`]. They are those of RFC 9112 where it tells a recipient how to be
//! lenient, because people want to see what was sent and not that it was wrong.
//!
//! Read in this order: `line`, `request_line`, `field`, `head`, `body`, `framing`.

mod body;
mod field;
mod framing;
mod head;
mod line;
mod request_line;

pub use body::{BodyLength, chunks};
pub use field::{Field, Fields, unfolded};
pub use framing::{Extent, Framing, extent};
pub use head::Head;
pub use request_line::RequestLine;
