//! The page in Chromium: `make test-browser`.

mod list;
mod never_active;
mod page;
mod still;
mod zoom;
