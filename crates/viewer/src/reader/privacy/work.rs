//! Limits the work for one record. Work is counted, not timed, so that the same bytes always give
//! the same result.

/// The work that is left. Examining one byte takes about one unit.
#[derive(Debug)]
pub(super) struct Work {
    left: usize,
    /// The work did not suffice for everything.
    is_short: bool,
}

impl Work {
    pub(super) fn new(units: usize) -> Self {
        Self {
            left: units,
            is_short: false,
        }
    }

    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Takes this many units. If fewer are left, takes all of them and returns `false`, so that no
    /// further task begins.
    pub(super) fn take(&mut self, units: usize) -> bool {
        match self.left.checked_sub(units) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.left = 0;
                self.is_short = true;
                false
            }
        }
    }

    /// Notes that something was not examined.
    pub(super) fn give_up(&mut self) {
        self.is_short = true;
    }

    /// Tells whether something was not examined.
    pub(super) fn is_short(&self) -> bool {
        self.is_short
    }
}
