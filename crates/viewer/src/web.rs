//! HTTP: what each address answers, and to how many visitors at a time.
//!
//! Read in this order:
//!
//! - `serve`: connections; `routes`: addresses and security headers; `state`: what all requests
//!   share
//! - `home`: the list, the wall, and the page of labels; `list`: other formats of the list;
//!   `request`: one request, which `lookup` finds by its number; `history`, `collection`,
//!   `sources`, `sensors`, `events`, `metrics`, `explain` and `status`: the other addresses
//! - `answer`: how an answer is put together; `prepared`: complete answers; `streamed`: long
//!   answers; `cache`: answers that are the same for all
//! - `limits`: queues; `room`: memory; `hosts`, `parameters`: what is refused; `failure`: error
//!   pages

mod answer;
mod cache;
mod collection;
mod events;
mod explain;
mod failure;
mod history;
mod home;
mod hosts;
mod limits;
mod list;
mod lookup;
mod metrics;
mod parameters;
mod prepared;
mod request;
mod room;
mod routes;
mod sensors;
mod serve;
mod sources;
mod state;
mod status;
mod streamed;

pub use hosts::{Hosts, Names};
pub use limits::{THREADS, lower_priority};
pub use serve::run;
