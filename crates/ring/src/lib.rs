//! Records of requests, the ring of 101 slots, and the store in memcached.
//!
//! The responder writes, the viewer reads. The two share nothing but these formats.
//!
//! - [`record`]: a [`Record`] is one request as stored, a line of JSON and the bytes as they came
//! - [`ring`]: a [`Ring`] is the newest 101 records, in memcached and in the responder's memory
//! - [`counts`]: requests by the minute
//! - [`silent`]: connections that never sent a byte, by port
//! - [`alive`]: sensors of a hub that lately reported that they run
//! - [`hub_counts`]: how many sensors of a hub saw each kind
//! - [`store`]: the [`Store`] moves all of these to and from memcached. It is the only code that
//!   knows memcached
//!
//! Read in this order.

pub mod alive;
pub mod counts;
pub mod hub_counts;
pub mod record;
pub mod ring;
pub mod silent;
pub mod store;

pub use alive::Alive;
pub use counts::Counts;
pub use hub_counts::HubCounts;
pub use record::{Ended, Record, Sent, Tls, Via};
pub use ring::{Ring, SLOTS};
pub use silent::{ByPort, SilentPorts};
pub use store::{Depth, KnownRing, Snapshot, Store, StoreError};
