//! What a request hides in an encoding: found, and undone.
//!
//! In: the bytes of a request, which may be anything. Out: the parts that were wrapped, each with how that was.
//! Runs nothing, fetches nothing, and never panics; every depth, number and length has a bound.
//!
//! Read in this order: [`chain`] tries each decoder on each part. What undoes one encoding stands in a
//! file of its own: [`escape`], [`base64`], [`inflate`]. Whoever must look through bytes as
//! thoroughly as they are shown does it with the same functions.

pub mod base64;
pub mod chain;
pub mod escape;
pub mod inflate;

pub use chain::{Decoded, MAX_DECODED_BYTES, MAX_DEPTH, decode, parameters};
