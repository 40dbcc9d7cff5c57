//! Of which categories a kind is.
//!
//! In: its name, which is the id of a signature, and the category that the history has for it. Out:
//! whether it is of some category: a signature may be of several, and the history keeps the first.

use std::collections::HashMap;

use forever200_identify::Category;

use crate::page::pages::Pages;

/// Categories of signatures beside the first, by their id.
pub type Also = HashMap<String, Vec<Category>>;

impl Pages {
    /// Tells whether a kind is of this category; of `None`, whether no label has one for it.
    pub(crate) fn is_of(
        &self,
        name: &str,
        category: Option<&str>,
        wanted: Option<Category>,
    ) -> bool {
        let Some(wanted) = wanted else {
            return category.is_none();
        };
        category == Some(wanted.name()) || category.is_some() && self.also(name).contains(&wanted)
    }

    fn also(&self, name: &str) -> &[Category] {
        let also = self.also.get_or_init(|| {
            let signatures = self.describer.labeller.signatures();
            let several = signatures.filter(|signature| !signature.also.is_empty());
            several
                .map(|signature| (signature.id.clone(), signature.also.clone()))
                .collect()
        });
        also.get(name).map_or(&[], Vec::as_slice)
    }
}
