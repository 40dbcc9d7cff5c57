//! The subcommands of `forever200-viewer`: `backup`, `forget`, `health` and `identify`.

pub mod backup;
pub mod forget;
pub mod health_check;
pub mod identify;
