//! Tests of all programs as shipped: haproxy, responder, memcached and viewer under supervisord,
//! with real clients. There is one file for each topic; `--test whole front::` runs one.
//!
//! They are one program, so that it is linked once, and tests that wait do not hold up the others.
//! Tests that measure times are programs of their own, so that fewer tests run beside them.

mod access;
mod addresses;
mod asked_for;
mod attacks;
mod balancer;
mod bombs;
mod captures;
mod claims;
mod collection;
mod composition;
mod documents;
mod every_byte;
mod explain;
mod forget;
mod formats;
mod front;
mod history;
mod history_pages;
mod labels;
mod live;
mod metrics;
mod pages;
mod ports;
mod privacy;
mod proxy;
mod readme;
mod scaling;
mod sensors;
mod shipped;
mod smuggling;
mod sources;
mod times;
mod tls;
mod tools;
mod utf8;
mod wall;
