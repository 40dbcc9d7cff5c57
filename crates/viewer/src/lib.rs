//! The page: what memcached holds, shown to people and programs.
//!
//! Reads the ring for every page and writes nothing. The bytes were written by attackers: they stay
//! bytes until [`printable`] makes them visible, once, and the template escapes them, once.
//!
//! Read in the order of a page: [`web`] routes, [`http`] finds the parts of a request, [`printable`]
//! makes them safe to look at, [`api`] and [`page`] lay them out. [`health`] is the other end: the
//! question that Docker asks.

pub mod api;
pub mod health;
pub mod http;
pub mod page;
pub mod printable;
pub mod web;

pub use web::run;
