//! The viewer: reads the ring, describes each request once, keeps a history, and serves the page.
//!
//! The bytes of requests come from attackers. They stay bytes until [`bytes::printable`] makes them
//! printable, once, and a template escapes them, once.
//!
//! Read in the order of a request's path:
//!
//! - [`reader`] follows the ring: it makes an [`Entry`](reader::Entry) from each record, with a
//!   description, and with everything blanked that must not be shown
//! - [`history`] keeps the original record in SQLite
//! - [`page`] makes HTML from entries, and [`export`] makes files
//! - [`web`] answers visitors
//! - [`captures`] writes lines of JSON, and `metrics` has counters and gauges, for other tools
//! - [`bytes`] has functions without state that read or print bytes of requests
//! - `digits` writes numbers for people, and `rfc3339` times for programs
//! - [`command`] has the subcommands of the program

pub mod bytes;
pub mod captures;
pub mod command;
mod digits;
pub mod export;
pub mod history;
mod metrics;
pub mod page;
pub mod reader;
mod rfc3339;
pub mod web;
