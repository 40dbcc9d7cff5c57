//! Real programs for tests: started, owned, and gone when the test ends.
//!
//! Each [`Memcached`] and each [`Stack`] has a loopback address of its own. So each program listens
//! on its usual port, tests run side by side, and a program that was killed comes back at the same
//! address.
//!
//! - programs: [`process`], [`memcached`], [`nats`], [`stack`] (all of forever200), [`container`],
//!   [`browser`], [`tshark`]
//! - clients: [`client`], [`events`], [`load`], [`hostile`] (hostile clients)
//! - faults between two programs: [`proxy`]
//! - data: [`mod@record`], [`heads`] (HTTP heads, and how they must be read), [`probes`] (what
//!   strangers send), [`payloads`] (what must not become active in the page)
//! - a clock that a test can set while programs run: [`clock`]
//! - rows for docs/reliability.md: [`report`]
//!
//! The tests themselves are in `tests/`, one file for each topic; most are in `tests/whole/`.

pub mod browser;
pub mod client;
pub mod clock;
pub mod container;
pub mod events;
pub mod heads;
pub mod hostile;
pub mod load;
pub mod memcached;
pub mod nats;
pub mod payloads;
pub mod probes;
pub mod process;
pub mod proxy;
pub mod record;
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
pub use record::record;
pub use stack::Stack;

/// The answer that the responder always gives. A copy of `RESPONSE` in its `connection.rs`.
pub const RESPONSE: &[u8] = b"HTTP/1.1 200 Ok\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
