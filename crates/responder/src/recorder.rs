//! Moves records to the store, and makes memcached whole again when it has lost them.
//!
//! In: records and counts from connections. Out: the ring in memcached.
//!
//! Read in the order of a record: `inbox` takes it from a connection, `writer` numbers and writes
//! it, `run` is the loop that ties the two.

mod inbox;
mod run;
mod writer;

pub use inbox::{Number, Recorder};
