//! Follows the ring: each record is described once and becomes an entry of a view that all visitors
//! share.
//!
//! Read in this order:
//!
//! - `follow`: the thread that reads memcached; `pulse` and `pace` say when, `minutes` reads the
//!   counts of the last day, `history_link` writes to the history and restores memcached from it
//! - `for_visitors`: how visitors get the newest view
//! - `describer` and `entry`: the description of one record, with `asked_for`, `claims`,
//!   `tls_parts`, `sensor`, `excerpt` and `actions`
//! - `privacy`: what must be blanked or masked; `locations`: country and network
//! - `view`: the ring at one moment, for visitors
//! - `outlets`: counters and lines get each request; `once` makes sure that each gets it once

mod actions;
pub mod asked_for;
pub mod claims;
pub mod describer;
pub mod entry;
pub mod excerpt;
mod follow;
pub mod for_visitors;
pub mod history_link;
pub mod locations;
mod minutes;
pub(crate) mod once;
mod outlets;
mod pace;
pub mod privacy;
mod pulse;
pub mod sensor;
pub mod tls_parts;
pub mod view;

pub use describer::Describer;
pub use entry::Entry;
pub use for_visitors::Reader;
pub use view::View;
