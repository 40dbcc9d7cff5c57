//! Which requests a visitor wants to see: conditions that entries must meet.
//!
//! In: a [`FilterQuery`]. Out: whether an entry matches. `query` is the query, `read` reads its
//! values, `term` checks an entry.

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
pub use query::{AskedCondition, Chip, Field, FilterQuery, is_condition};
pub use read::switch;
pub(crate) use read::{asn, category, network};

/// The name in a query for requests without a category.
pub const UNRECOGNISED: &str = "unrecognised";

/// Conditions. A request matches if it meets all of them.
#[derive(Clone, Debug, Default)]
pub struct Filter(Vec<Term>);

impl Filter {
    /// Reads a query. `visitor` is the visitor's own address.
    ///
    /// # Errors
    /// A value cannot be read; the error is a sentence for the visitor.
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
