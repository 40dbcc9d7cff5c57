//! Views and entries to files and lines that other programs read.

pub mod files;
pub mod har;
pub mod json;
pub mod pcap;
pub mod replay;
