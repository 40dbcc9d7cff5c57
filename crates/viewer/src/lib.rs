//! The page: what memcached holds, shown to people and programs.
//!
//! Reads the ring for everybody who looks. The bytes were written by attackers: they stay bytes until
//! [`bytes::printable`] makes them visible, once, and the template escapes them, once.
//!
//! Read in the order of a request's way: the [`reader`] follows the ring and describes what is new, [`history`] keeps it, [`page`] lays that out
//! for people and [`export`] for programs, [`web`] answers visitors. [`captures`] are lines of JSON, and `metrics` are
//! numbers, for other tools. [`bytes`] are pure functions on foreign bytes.
//! [`command`] is what the program does besides.

pub mod bytes;
pub mod captures;
pub mod command;
pub mod export;
pub mod history;
mod metrics;
pub mod page;
pub mod reader;
pub mod web;
