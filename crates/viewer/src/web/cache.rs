//! What was made last, for all who ask for the same.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The last value, with what it was made from.
pub struct Latest<K, V>(Mutex<Option<(K, V)>>);

impl<K: PartialEq, V: Clone> Latest<K, V> {
    /// Holds nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Returns the value for `key`: the last one, or what `make` makes. Two who do not find it at the same time both make
    /// it: nobody waits here for anybody.
    ///
    /// # Errors
    /// `make` failed.
    pub fn get<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        self.get_and_keep(key, |_| true, make)
    }

    /// The same, but keeps only what `is_worth_it`.
    ///
    /// # Errors
    /// `make` failed.
    pub fn get_and_keep<E>(
        &self,
        key: K,
        is_worth_it: impl FnOnce(&V) -> bool,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        if let Some((made_from, value)) = &*self.last()
            && *made_from == key
        {
            return Ok(value.clone());
        }
        let value = make()?;
        *self.last() = is_worth_it(&value).then(|| (key, value.clone()));
        Ok(value)
    }

    fn last(&self) -> MutexGuard<'_, Option<(K, V)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: PartialEq, V: Clone> Default for Latest<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_for_a_key() {
        let (latest, mut made) = (Latest::new(), 0);
        let mut get = |key: &str| {
            let make = || {
                made += 1;
                Ok::<_, ()>(made)
            };
            latest.get(key.to_owned(), make)
        };
        assert_eq!(
            [get("a"), get("a"), get("b"), get("a")],
            [Ok(1), Ok(1), Ok(2), Ok(3)]
        );
        assert_eq!(latest.get("c".to_owned(), || Err("no")), Err("no"));
        assert_eq!(
            latest.get_and_keep("d".to_owned(), |&value| value < 5, || Ok::<_, ()>(5)),
            Ok(5)
        );
        assert_eq!(
            latest.get_and_keep("d".to_owned(), |&value| value < 5, || Ok::<_, ()>(4)),
            Ok(4)
        );
        assert_eq!(latest.get("d".to_owned(), || Err("no")), Ok(4));
    }
}
