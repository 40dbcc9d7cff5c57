//! The page in Chromium: `make test-browser`.

mod never_active;
mod page;
mod still;
mod zoom;
