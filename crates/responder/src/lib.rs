//! Bytes in, 200 out.
//!
//! Listens on raw sockets, answers every request with the same [`connection::RESPONSE`], and hands
//! its bytes to a recorder that keeps the last 101 in memcached.
//!
//! Read in the order of a request: [`server`] accepts, [`proxy`] learns where it comes from,
//! [`connection`] reads and answers, [`framing`] says when it is whole, [`recorder`] stores it.

pub mod connection;
pub mod framing;
pub mod proxy;
mod rate_limit;
pub mod recorder;
pub mod server;
mod unix;

pub use server::{Config, Listeners, run};
pub use unix::listen_unix;
