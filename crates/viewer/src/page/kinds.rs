//! The categories of a kind.
//!
//! In: the name of a kind, which is the id of a signature if the kind has a label, and the category
//! of the kind in the history. Out: whether the kind has some category. A signature may have
//! several, and the history keeps only the first.

use std::collections::HashMap;

use forever200_identify::Category;

use crate::history::WantedCategory;
use crate::page::pages::Pages;

/// Further categories of signatures, besides the first, by the id of the signature.
pub type Also = HashMap<String, Vec<Category>>;

impl Pages {
    /// Tells whether a kind has the category `wanted`. `category` is its category in the history.
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
