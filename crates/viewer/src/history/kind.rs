//! What a request is an example of: the unit of the collection.
//!
//! In: what is said of a request. Out: a name that stays the same from one version to the next, and a title.

use forever200_identify::{Category, Label, Protocol};

/// What a request is an example of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The id of its first label; without labels, `protocol:` and what it speaks.
    pub(crate) name: String,
    /// In words.
    pub(crate) title: String,
    /// What it is for; `None` without a label.
    pub(crate) category: Option<Category>,
}

impl Kind {
    /// Returns the kind of a request with these labels, the most specific first.
    pub(crate) fn new(labels: &[Label], protocol: Protocol) -> Self {
        if let Some(label) = labels.first() {
            return Self {
                name: label.signature.id.clone(),
                title: label.signature.title.clone(),
                category: Some(label.signature.category),
            };
        }
        Self {
            name: format!("protocol:{}", protocol.name()),
            title: format!("{} without a label", protocol.name()),
            category: None,
        }
    }
}
