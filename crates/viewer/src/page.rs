//! Renders views and entries as HTML.
//!
//! - `pages` renders the `templates`; read it first. `assets` are the style sheets and scripts.
//!   `global` says which addresses may be looked up elsewhere
//! - the list: `row`, `stats` (the numbers at the top), `chart`, and `filter` (which requests are
//!   shown)
//! - one request: `detail`, with `visible` for its bytes; `explained` for a request that a visitor
//!   gives
//! - the other pages: `history` with `moment`, `refused` for a search that cannot be read,
//!   `collection`, `kind` with `kinds`, `sources`, `sensors`, `wall`, and `catalogue` for the
//!   labels
//!
//! Requests are shown from entries, which contain only what may be shown. Kinds, sources and
//! sensors come from the history, which may have been written before anything was hidden. Here they
//! lose what must be hidden now (`Privacy`). The templates escape.

pub mod assets;
pub mod catalogue;
pub mod chart;
pub(crate) mod collection;
pub mod detail;
pub mod explained;
pub mod filter;
pub mod global;
pub mod history;
pub(crate) mod kind;
pub mod kinds;
pub mod moment;
pub mod pages;
pub(crate) mod refused;
pub mod row;
pub mod sensors;
pub mod sources;
pub mod stats;
pub(crate) mod templates;
pub mod visible;
pub mod wall;
