//! Pure functions on foreign bytes: made visible, unwrapped, indented.

pub mod decode;
pub mod indent;
pub mod printable;
