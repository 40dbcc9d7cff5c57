//! Finds and undoes the encodings that hide something in a request.
//!
//! In: the bytes of a request, which may be anything. Out: the decoded parts, each with the steps
//! that led to it. Runs nothing, fetches nothing, and never panics. Every depth, number and length
//! has a limit, and the work has one too.
//!
//! - `chain` tries each decoder on each part of a request; read it first
//! - `work` counts the work, and [`Limits`] bound it
//! - `header` reads what the headers say about wrappings
//! - `part` defines a decoded [`Part`], and [`kind`] says what its bytes are
//!
//! Each decoder has a file:
//!
//! - for all bytes of a part: `coding` (gzip, deflate, Brotli, Zstandard) with [`inflate`] (gzip,
//!   zlib), `utf16` (UTF-16)
//! - for text that is rewritten: `url` (`%41`), `entity` (`&#46;`), `literal` (`\x2e`, `\u002e`),
//!   `quoted` (quoted-printable)
//! - for a run inside a text: `run` with [`base64`], and `hex` (`0x77676574`)
//! - for the parts of a form: [`multipart`]
//!
//! The viewer's privacy also uses [`escape`], [`base64`] and [`inflate`], to find hidden texts and
//! to write other text in their place. [`lower`] serves every search.

pub mod base64;
mod chain;
mod coding;
mod entity;
pub mod escape;
mod header;
mod hex;
pub mod inflate;
pub mod kind;
mod literal;
pub mod lower;
pub mod multipart;
mod part;
mod quoted;
mod run;
mod url;
mod utf16;
mod work;

pub use chain::{MAX_DEPTH, MAX_PARTS, decode};
pub use kind::ContentKind;
pub use part::{Part, Step};
pub use url::parameters;
pub use work::Limits;
