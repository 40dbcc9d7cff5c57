//! Writes records to the store, and puts them back when memcached has lost them.
//!
//! In: records and counts from connections. Out: the ring in memcached.
//!
//! Read in the order of a record: `inbox` takes it from a connection, `writer` numbers and writes
//! it, and `run` is the loop between the two.

mod inbox;
mod run;
mod writer;

pub use inbox::{Number, Recorder};
