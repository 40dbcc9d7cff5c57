//! Work that takes long, beside the one thread on which all else happens.
//!
//! In: what is to be done. Out: its result, later. Nobody else waits for it, on a machine with one core neither.

use std::panic::resume_unwind;
use std::thread::available_parallelism;

use tokio::task::spawn_blocking;

/// Most threads that work aside: the cores, but two at least, for one may be making a file of all requests.
#[must_use]
pub fn threads() -> usize {
    available_parallelism().map_or(2, usize::from).max(2)
}

/// Does `work` on another thread; after other such work, when all are taken. Goes on when nobody waits for it any more.
///
/// # Panics
/// `work` does.
pub async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => resume_unwind(error.into_panic()),
    }
}
