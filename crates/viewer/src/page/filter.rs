//! Which requests a visitor wants to see: conditions that are asked of entries.
//!
//! In: a [`FilterQuery`]. Out: whether an entry is meant. `query` is the query, `read` reads its
//! values, `term` asks an entry.

mod host;
mod narrow;
mod needles;
mod query;
mod read;
mod term;

use std::net::IpAddr;

use crate::reader::Entry;
use term::{Term, Test};

pub(crate) use host::host_value;
pub use query::{Chip, Condition, Field, FilterQuery, is_condition};
pub use read::switch;
pub(crate) use read::{asn, category, network};

/// By this name a query calls what no label has a category for.
pub const UNRECOGNISED: &str = "unrecognised";

/// Conditions that a request must all meet.
#[derive(Clone, Debug, Default)]
pub struct Filter(Vec<Term>);

impl Filter {
    /// Reads a query; `visitor` is the address of who asks.
    ///
    /// # Errors
    /// A field does not say what it should; the error is a sentence for the visitor.
    pub fn new(query: &FilterQuery, visitor: IpAddr) -> Result<Self, String> {
        let mut terms = Vec::new();
        for condition in query.conditions() {
            let test = read::test(condition.field, &condition.value, visitor)?;
            if let Some(test) = test {
                let excludes = condition.excludes;
                terms.push(Term { test, excludes });
            }
        }
        Ok(Self(terms))
    }

    /// Tells whether a request meets all conditions.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        self.0.iter().all(|term| term.is_met_by(entry))
    }

    /// Tells whether there is any condition.
    #[must_use]
    pub fn chooses(&self) -> bool {
        !self.0.is_empty()
    }

    /// Tells whether text is searched for, which takes longer than all other conditions.
    #[must_use]
    pub fn searches(&self) -> bool {
        self.0.iter().any(|term| matches!(term.test, Test::Text(_)))
    }
}

#[cfg(test)]
mod tests;
