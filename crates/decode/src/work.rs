//! How much may be done for one request, counted, so that the same bytes always come out the same.

/// What may be done, and how much may come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that all parts together may become.
    pub bytes: usize,
    /// Units of work: about one for each byte that a decoder looks at.
    pub work: usize,
}

impl Limits {
    /// For a visitor who looks at a request. It can decompress to a thousand times its length, and
    /// all of that is laid out at each visit.
    pub const SHOWN: Self = Self {
        bytes: 256 * 1024,
        work: 4_000_000,
    };
    /// For each request as it comes: the parts are kept, and looked through for labels.
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

    /// Takes so many units. Where there are not so many it returns `false`, and takes what there
    /// is, so that nothing further is begun.
    pub(crate) fn take(&mut self, units: usize) -> bool {
        let is_enough = units <= self.0;
        self.0 = self.0.saturating_sub(units);
        is_enough
    }
}
