//! What records are described with: what can be recognised, and where addresses are.

use std::sync::Arc;

use forever200_identify::labels::Description;
use forever200_identify::{Labeller, Origin};
use forever200_ring::Record;

use crate::locations::Locations;

/// All that is known before a request comes.
pub struct Knowledge {
    /// What can be recognised.
    pub labeller: Arc<Labeller>,
    /// Where addresses are.
    pub locations: Locations,
}

impl Knowledge {
    /// Says what a record is, and where it is from.
    #[must_use]
    pub fn describe(&self, record: &Record) -> (Description, Option<Origin>) {
        let origin = self.locations.find(record.src_ip);
        (self.labeller.describe(&record.raw, origin.as_ref()), origin)
    }
}
