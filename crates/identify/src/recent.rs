//! What was of use lately, up to a number; the rest is made again when it is needed.
//!
//! In: a place for a thing, and how the thing is made. Out: the thing, and one that nobody wanted
//! lately is dropped.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Holds so many things of one kind, and no more.
///
/// The one that goes is found as by the clock of F. J. Corbató, "A paging experiment with the
/// Multics system" (1968): who was asked for since the hand last came by stays for another round.
/// That is as good as dropping whatever was asked for longest ago, and nothing needs to be moved
/// when something is asked for.
pub(crate) struct Recent<T> {
    most: usize,
    held: Mutex<VecDeque<Arc<Held<T>>>>,
}

/// Where to look for one thing. Does not hold it.
#[derive(Debug)]
pub(crate) struct Place<T>(Mutex<Weak<Held<T>>>);

/// A thing that was of use lately.
#[derive(Debug)]
pub(crate) struct Held<T> {
    thing: T,
    is_wanted: AtomicBool,
}

impl<T> Recent<T> {
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            most,
            held: Mutex::new(VecDeque::new()),
        }
    }

    /// Returns what belongs in a place: what is there, or else what `make` makes; `None` if it
    /// cannot be made.
    pub(crate) fn get(
        &self,
        place: &Place<T>,
        make: impl FnOnce() -> Option<T>,
    ) -> Option<Arc<Held<T>>> {
        // Two who do not find it at the same time both make it; the later one's stays.
        let there = place
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .upgrade();
        if let Some(held) = there {
            held.is_wanted.store(true, Relaxed);
            return Some(held);
        }
        let made = Arc::new(Held {
            thing: make()?,
            is_wanted: AtomicBool::new(false),
        });
        *place.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&made);
        self.hold(Arc::clone(&made));
        Some(made)
    }

    fn hold(&self, made: Arc<Held<T>>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while held.len() >= self.most
            && let Some(oldest) = held.pop_front()
        {
            if oldest.is_wanted.swap(false, Relaxed) {
                held.push_back(oldest);
            }
        }
        held.push_back(made);
    }
}

impl<T> Default for Place<T> {
    fn default() -> Self {
        Self(Mutex::new(Weak::new()))
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.thing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let recent = Recent::new(2);
        let places: [Place<usize>; 9] = Default::default();
        let is_made = |number: usize| {
            let mut is_made = false;
            let held = recent.get(&places[number], || {
                is_made = true;
                Some(number)
            });
            assert_eq!(held.map(|held| **held), Some(number));
            is_made
        };
        assert!(is_made(0) && !is_made(0));
        for number in 1..9 {
            assert!(is_made(number), "{number}");
            assert!(!is_made(0), "asked for again and again");
        }
        assert!(is_made(1));
        assert!(recent.get(&Place::default(), || None).is_none());
    }
}
