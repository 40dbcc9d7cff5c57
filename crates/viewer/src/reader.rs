//! Follows the ring: record to entry, described once, to a view that all who look share.

pub mod describer;
pub mod entry;
pub mod follow;
pub mod locations;
pub mod privacy;
