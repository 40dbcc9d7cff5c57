//! What a request is, from its bytes alone.
//!
//! In: raw bytes, which may be anything. Out: slices of them and what they mean. No I/O, no panic.
//!
//! Read in this order: [`protocol`], then what each protocol says: [`http`], [`tls`] and its fingerprint [`ja4`].

pub mod http;
pub mod ja4;
pub mod protocol;
pub mod tls;

pub use protocol::Protocol;
