//! Views and entries to HTML.

pub mod catalogue;
pub mod chart;
pub(crate) mod collection;
pub mod detail;
pub mod explained;
pub mod filter;
pub mod global;
pub mod history;
pub(crate) mod kind;
pub mod kinds;
pub mod moment;
pub mod pages;
pub mod row;
pub mod sources;
pub mod stats;
pub mod visible;
pub mod wall;
