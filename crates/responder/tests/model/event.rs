//! The events that may happen to writers and to their memcached.

use forever200_testkit::Fault;

/// One event.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// So many requests come to a writer.
    Requests { writer: usize, count: u64 },
    /// The connection between a writer and memcached fails once.
    Fault { writer: usize, fault: Fault },
    /// A writer dies and loses what it has not written; another writer takes its place.
    Crash { writer: usize },
    /// memcached dies and comes back empty.
    Emptied,
    /// All values of memcached are saved.
    Saved,
    /// memcached dies and comes back with the values saved last.
    Reverted,
    /// The reader reads the ring, and checks it.
    Look,
    /// All faults end, and every writer has a turn.
    Settle,
    /// All that `Settle` is, and then the time in which every writer compares memcached with its
    /// memory.
    Compare,
    /// So many milliseconds go by.
    Rest(u64),
}
