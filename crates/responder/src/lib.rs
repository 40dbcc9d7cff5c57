//! Bytes in, 200 out.
//!
//! Listens on raw sockets, answers every request with the same [`connection::RESPONSE`], and hands
//! its bytes to a recorder that keeps the last 101 in memcached.
//!
//! Read in the order of a request: [`server`] accepts, [`proxy`] learns where it comes from,
//! [`connection`] answers, [`reading`] waits until it is whole and `room` gives it memory for that,
//! [`recorder`] stores it, normally before the answer. `handshakes` hears what haproxy tells of TLS. The crate `forever200-head` says where a
//! request ends.

pub mod connection;
mod handshakes;
pub mod proxy;
mod rate_limit;
pub mod reading;
pub mod recorder;
mod room;
pub mod server;
mod unix;

pub use server::{Config, Listeners, run};
pub use unix::listen_unix;
