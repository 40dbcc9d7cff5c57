//! What is kept, and where.
//!
//! The responder turns every request into a [`Record`], a line of JSON and the bytes as they came.
//! The newest 101 records live in a [`Ring`], in memcached and in the responder's memory; the
//! [`Store`] moves them between the two and is the only code that knows memcached.
//!
//! Read in this order: [`record`], [`ring`], [`counts`], [`silent`], [`store`].

pub mod counts;
pub mod record;
pub mod ring;
pub mod silent;
pub mod store;

pub use counts::Counts;
pub use record::{Ended, Record, Sent, Tls, Via};
pub use ring::{Ring, SLOTS};
pub use silent::{ByPort, SilentPorts};
pub use store::{Snapshot, Store, StoreError};
