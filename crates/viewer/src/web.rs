//! HTTP: what each address answers, and to how many at a time.

pub mod cache;
pub mod content;
pub mod events;
pub mod failure;
mod handlers;
pub mod pool;
mod routes;

pub use routes::run;
