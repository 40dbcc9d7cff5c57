//! Functions without state on bytes of requests.
//!
//! - to show them: `printable` (the only place where bytes become text), `hex`, `indent`, `runs`
//! - to read them: `form`, `http2`, `text`, `pasted` (a request that a visitor pastes), `access_log`
//!   (a line of a web server's log)
//! - `shell`: what a command line would do, in words

pub(crate) mod access_log;
pub mod form;
pub mod hex;
pub mod http2;
pub mod indent;
pub mod pasted;
pub mod printable;
pub mod runs;
pub mod shell;
pub mod text;
