//! Keeps a limited number of things that were used lately; the others are made again when they are
//! needed.
//!
//! In: the place of a thing, and a function that makes it. Out: the thing. A thing that was not
//! used lately is dropped.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Holds up to `most` things of one type.
///
/// What to drop is chosen by the clock algorithm of F. J. Corbató, "A paging experiment with the
/// Multics system" (1968): a thing that was asked for since the hand last passed it stays for
/// another round. That is as good as dropping the thing that was asked for longest ago, and nothing
/// is moved when a thing is asked for.
pub(crate) struct Recent<T> {
    most: usize,
    held: Mutex<VecDeque<Arc<Held<T>>>>,
}

/// Points to one thing, but does not keep it in memory.
#[derive(Debug)]
pub(crate) struct Place<T>(Mutex<Weak<Held<T>>>);

/// A thing that was used lately.
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

    /// Returns the thing of this place. If it is not in memory, calls `make`; returns `None` if
    /// that makes nothing.
    pub(crate) fn get(
        &self,
        place: &Place<T>,
        make: impl FnOnce() -> Option<T>,
    ) -> Option<Arc<Held<T>>> {
        // Two threads may both make the thing; the place then points to the later one.
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
