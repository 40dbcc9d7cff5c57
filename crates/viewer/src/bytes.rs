//! Pure functions on foreign bytes: judged, made visible, unwrapped, indented, read from what is
//! pasted.

pub mod decode;
pub mod hex;
pub mod indent;
pub mod pasted;
pub mod printable;
pub mod runs;
pub mod shell;
pub mod text;
