//! The page: what memcached holds, shown to people and programs.
//!
//! Reads the ring for everybody who looks and writes nothing. The bytes were written by attackers: they
//! stay bytes until [`printable`] makes them visible, once, and the template escapes them, once.
//!
//! Read in the order of a page: [`web`] routes to the handlers, [`feed`] reads the ring, [`privacy`] says what may be
//! shown of a record, [`entry`] describes that, [`filter`] chooses, [`printable`] makes bytes safe to look at,
//! [`page`] lays out [`row`]s with [`stats`] and [`chart`]s at the top, [`content`] is sent to many, and [`latest`]
//! spares making it twice; [`detail`] with [`decode`], [`indent`] and [`replay`] is the page of one request. [`api`]
//! and [`events`] are for programs, [`export`], [`har`] and [`pcap`] to take along. [`failure`] is what there is
//! instead of a page, [`aside`] where the long work is done. [`command`] is what the program does besides.

pub mod api;
pub mod aside;
pub mod chart;
pub mod command;
pub mod content;
pub mod decode;
pub mod detail;
pub mod entry;
pub mod events;
pub mod export;
pub mod failure;
pub mod feed;
pub mod filter;
pub mod har;
pub mod identify;
pub mod indent;
pub mod knowledge;
pub mod known;
pub mod latest;
pub mod locations;
pub mod page;
pub mod pcap;
pub mod printable;
pub mod privacy;
pub mod replay;
pub mod row;
pub mod stats;
pub mod web;

mod handlers;

pub use web::run;
