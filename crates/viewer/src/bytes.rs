//! Pure functions on foreign bytes: judged, made visible, indented, read from what is pasted.

pub mod form;
pub mod hex;
pub mod http2;
pub mod indent;
pub mod pasted;
pub mod printable;
pub mod runs;
pub mod shell;
pub mod text;
