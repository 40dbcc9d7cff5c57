//! What `forever200-viewer` does when it is not to show the page.

pub mod backup;
pub mod forget;
pub mod health_check;
pub mod identify;
