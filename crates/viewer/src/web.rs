//! HTTP: what each address answers, and to how many at a time.
//!
//! Read in this order: `serve` (connections), `routes`, `handlers` (what each address answers) with `prepared` (whole
//! answers), `streamed` (long ones), `kept` (requests by their number), `history`, `collection`, `sources`, `events`,
//! `metrics` and `explain`; `limits` (turns and room), `cache`,
//! `hosts`, `parameters`, `failure`.

mod cache;
mod collection;
mod events;
mod explain;
mod failure;
mod handlers;
mod history;
mod hosts;
mod kept;
mod limits;
mod metrics;
mod parameters;
mod prepared;
mod routes;
mod serve;
mod sources;
mod state;
mod streamed;

pub use hosts::{Hosts, Names};
pub use limits::{TURNS, stand_back};
pub use serve::run;
