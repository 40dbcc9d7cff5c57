//! What may happen to writers and to their memcached.

use forever200_testkit::Fault;

/// What happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// So many requests come to a writer.
    Requests { writer: usize, count: u64 },
    /// Something goes wrong once on the way between a writer and memcached.
    Fault { writer: usize, fault: Fault },
    /// A writer dies with all that it knows and has not written; another takes its place.
    Crash { writer: usize },
    /// memcached dies and comes back empty.
    Emptied,
    /// All values of memcached are noted.
    Saved,
    /// memcached dies and comes back with the values noted last.
    Reverted,
    /// A reader looks.
    Look,
    /// All faults end, and every writer has a turn.
    Settle,
    /// That, and then the time in which every writer compares memcached with its memory.
    Compare,
    /// So many milliseconds go by.
    Rest(u64),
}
