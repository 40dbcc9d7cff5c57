//! HTTP: what each address answers, and to how many visitors at a time.
//!
//! Read in this order:
//!
//! - `serve`: connections; `routes`: addresses and security headers; `state`: what all requests
//!   share
//! - `handlers`: the list and its formats; `kept`: one request by its number; `history`,
//!   `collection`, `sources`, `sensors`, `events`, `metrics` and `explain`: the other addresses
//! - `prepared`: complete answers; `streamed`: long answers; `cache`: answers that are the same for
//!   all
//! - `limits`: queues and memory; `hosts`, `parameters`: what is refused; `failure`: error pages

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
mod sensors;
mod serve;
mod sources;
mod state;
mod streamed;

pub use hosts::{Hosts, Names};
pub use limits::{TURNS, stand_back};
pub use serve::run;
