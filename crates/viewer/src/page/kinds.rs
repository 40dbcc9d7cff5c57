//! Of which categories a kind is.
//!
//! In: its name, which is the id of a signature, and the category that the history has for it. Out:
//! whether it is of some category: a signature may be of several, and the history keeps the first.

use std::collections::HashMap;

use forever200_identify::Category;

use crate::history::WantedCategory;
use crate::page::pages::Pages;

/// Categories of signatures beside the first, by their id.
pub type Also = HashMap<String, Vec<Category>>;

impl Pages {
    /// Tells whether a kind is of a category, by its name and that of its own category.
    pub(crate) fn is_of(&self, name: &str, category: Option<&str>, wanted: WantedCategory) -> bool {
        match (wanted, category) {
            (WantedCategory::Unrecognised, own) => own.is_none(),
            (WantedCategory::Labelled(_), None) => false,
            (WantedCategory::Labelled(wanted), Some(own)) => {
                own == wanted.name() || self.also(name).contains(&wanted)
            }
        }
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
