//! Real programs for tests: started, owned, and gone when the test ends.
//!
//! Every [`Memcached`] and every [`Stack`] has a loopback address of its own, so that each listens on
//! the usual ports, tests run side by side, and a program that was killed comes back where it was.
//!
//! Read in this order: [`process`], [`client`], [`events`], [`load`], [`memcached`], [`proxy`], [`stack`],
//! [`container`], [`browser`], [`tshark`], [`report`]. [`heads`] is a table for whoever reads heads.

pub mod browser;
pub mod client;
pub mod container;
pub mod events;
pub mod heads;
pub mod hostile;
pub mod load;
pub mod memcached;
pub mod nats;
pub mod process;
pub mod proxy;
pub mod report;
pub mod stack;
pub mod tshark;

pub use browser::Browser;
pub use client::{Response, connect_from, exchange, exchange_from, get, get_json, request};
pub use container::Container;
pub use load::Load;
pub use memcached::Memcached;
pub use nats::Nats;
pub use process::{loopback, until};
pub use proxy::{Between, Fault};
pub use stack::Stack;

/// What the responder answers, always.
pub const RESPONSE: &[u8] = b"HTTP/1.1 200 Ok\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
