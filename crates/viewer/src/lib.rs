//! The page: what memcached holds, shown to people and programs.
//!
//! Reads the ring for every page and writes nothing. The bytes were written by attackers: they stay
//! bytes until [`printable`] makes them visible, once, and the template escapes them, once.
//!
//! Read in the order of a page: [`web`] routes, [`printable`] makes what the bytes say safe
//! to look at, [`api`] and [`page`] lay them out. [`health`] is the other end: the
//! question that Docker asks.

pub mod api;
pub mod health;
pub mod page;
pub mod printable;
pub mod web;

pub use web::run;
