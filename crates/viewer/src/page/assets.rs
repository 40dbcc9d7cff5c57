//! The style sheets, the scripts and the icon, which are part of the program.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The style sheet of all pages.
pub const STYLE: &str = include_str!("../../static/style.css");
/// The script of all pages: the keyboard, and copying.
pub const SCRIPT: &str = include_str!("../../static/script.js");
/// The stream of events, for the scripts of the list and the wall.
pub const LIVE_SCRIPT: &str = include_str!("../../static/live.js");
/// The script of the list, which adds new requests.
pub const LIST_SCRIPT: &str = include_str!("../../static/list.js");
/// The style sheet of the wall, in addition to that of all pages.
pub const WALL_STYLE: &str = include_str!("../../static/wall.css");
/// The script of the wall, which adds new requests.
pub const WALL_SCRIPT: &str = include_str!("../../static/wall.js");
/// The icon. Without one on the page, browsers ask for /favicon.ico, which would be recorded.
pub const ICON: &str = include_str!("../../static/icon.svg");

/// Returns the address of an asset. It has a hash of the content, so that it changes with it.
pub(super) fn address(name: &str, content: &str) -> String {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("/home/static/{name}?v={:08x}", hasher.finish() as u32)
}
