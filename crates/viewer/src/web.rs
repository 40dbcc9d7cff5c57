//! HTTP: what each address answers, and to how many at a time.
//!
//! Read in this order: `serve` (connections), `routes`, `handlers` (what each address answers) with `prepared` (whole
//! answers), `streamed` (long ones) and `events`; `limits` (turns and room), `cache`, `hosts`, `failure`.

pub mod cache;
pub mod events;
pub mod failure;
mod handlers;
pub mod hosts;
pub mod limits;
pub mod prepared;
mod routes;
mod serve;
mod state;
mod streamed;

pub use serve::run;
