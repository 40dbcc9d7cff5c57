//! Follows the ring: a record becomes an entry, described once, in a view that all who look share.
//!
//! Read in this order: `follow` (the thread that looks at memcached) with `pulse`, `describer` and
//! `entry` (what is said of one record, with `asked_for`, `claims`, `tls_parts`, `excerpt` and `actions`),
//! `memory` (what the history is given, and gives back) with `pace` (how often to look), `outlets` (what counters and
//! lines are told) with `once` (of each request once), `privacy` (what may be shown of it), `locations` (where it is from),
//! `view` (what visitors get).

mod actions;
pub mod asked_for;
pub mod claims;
pub mod describer;
pub mod entry;
pub mod excerpt;
pub mod follow;
pub mod locations;
pub mod memory;
pub(crate) mod once;
mod outlets;
mod pace;
pub mod privacy;
mod pulse;
pub mod tls_parts;
pub mod view;

pub use describer::Describer;
pub use entry::Entry;
pub use follow::Reader;
pub use view::View;
