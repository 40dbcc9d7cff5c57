//! Limits the work for one request. The work is counted, so that the same bytes always give the
//! same result.

/// Limits for decoding one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of all parts together.
    pub bytes: usize,
    /// Most units of work: about one for each byte that a decoder reads.
    pub work: usize,
}

impl Limits {
    /// For a request that a visitor opens. It can decompress to a thousand times its length, and
    /// all parts are laid out at each visit.
    pub const SHOWN: Self = Self {
        bytes: 256 * 1024,
        work: 4_000_000,
    };
    /// For each new request: its parts are kept, and searched for labels.
    pub const DESCRIBED: Self = Self {
        bytes: 64 * 1024,
        work: 1_000_000,
    };
}

/// Work that is left.
#[derive(Debug)]
pub(crate) struct Work(usize);

impl Work {
    pub(crate) fn new(units: usize) -> Self {
        Self(units)
    }

    /// Takes so many units. Where fewer are left, takes these and returns `false`, so that no
    /// further work is begun.
    pub(crate) fn take(&mut self, units: usize) -> bool {
        let is_enough = units <= self.0;
        self.0 = self.0.saturating_sub(units);
        is_enough
    }
}
