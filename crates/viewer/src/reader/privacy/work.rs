//! How much may be done for one record, counted, so that the same bytes always come out the same.

/// Work that is left, about one unit for each byte that is looked at.
#[derive(Debug)]
pub(super) struct Work {
    left: usize,
    /// There was too little for everything.
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

    /// Takes so many units. If there are fewer, it takes all of them and returns `false`, so that
    /// no other task is begun.
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

    /// Notes that something was not looked through.
    pub(super) fn give_up(&mut self) {
        self.is_short = true;
    }

    /// Tells whether something was not looked through.
    pub(super) fn is_short(&self) -> bool {
        self.is_short
    }
}
