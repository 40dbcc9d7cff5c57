//! What a request hides in an encoding: found, and undone.
//!
//! In: the bytes of a request, which may be anything. Out: the parts that were wrapped, each with the
//! steps that led to it. Runs nothing, fetches nothing, and never panics; every depth, number and length
//! has a bound, and so has the work.
//!
//! Read in this order: [`chain`] tries each decoder on each part of a request, and counts the [`work`]; a
//! [`part`] is what comes out, and its [`kind`] what it is. What undoes one encoding stands in a file of its own:
//! [`coding`] with [`inflate`] and [`utf16`] open all of the bytes; [`url`], [`entity`], [`literal`] and
//! [`quoted`] rewrite text; [`run`](mod@run) with [`base64`], and [`hex`], find runs in it; [`multipart`] takes a
//! body apart. [`escape`], [`base64`] and [`inflate`] are also for those who must look through bytes and write
//! others in their place.

pub mod base64;
pub mod chain;
pub mod coding;
pub mod entity;
pub mod escape;
pub mod hex;
pub mod inflate;
pub mod kind;
pub mod literal;
pub mod multipart;
pub mod part;
pub mod quoted;
pub mod run;
pub mod url;
pub mod utf16;
pub mod work;

pub use chain::{MAX_DEPTH, MAX_PARTS, decode};
pub use kind::Kind;
pub use part::{Part, Step};
pub use url::parameters;
pub use work::Limits;
