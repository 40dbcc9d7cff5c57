//! The page in Chromium: `make test-browser`.

mod page;
mod still;
mod zoom;
