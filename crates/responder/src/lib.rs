//! Answers every request with 200, and records it.
//!
//! Accepts connections, answers every request with the same [`connection::RESPONSE`], and gives the
//! request's bytes to a recorder, which keeps the last 101 requests in memcached.
//!
//! Read in the order of a request:
//!
//! - [`server`] accepts the connection
//! - [`proxy`] reads the PROXY header, for the client's address
//! - [`connection`] handles one connection: read, record, answer
//! - [`reading`] reads until the request is complete; the crate `forever200-head` says where it
//!   ends
//! - `room` limits the memory of unfinished requests
//! - [`recorder`] writes records to memcached, normally before the answer
//!
//! `handshakes` reads the lines that haproxy sends about TLS handshakes. `unix` makes the socket
//! for a haproxy on the same machine. `log_limit` limits how often an event is logged.

pub mod connection;
mod handshakes;
mod log_limit;
pub mod proxy;
pub mod reading;
pub mod recorder;
mod room;
pub mod server;
mod unix;

pub use server::{Config, Listeners, run};
pub use unix::listen_unix;
