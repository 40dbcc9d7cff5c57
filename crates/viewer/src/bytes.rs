//! Pure functions on foreign bytes: made visible, unwrapped, indented, read from what is pasted.

pub mod decode;
pub mod indent;
pub mod pasted;
pub mod printable;
