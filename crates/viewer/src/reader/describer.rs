//! What records are described with: what can be recognised, where addresses are, and what may be shown.

use std::sync::Arc;

use forever200_identify::labels::Description;
use forever200_identify::{Labeller, Origin};
use forever200_ring::Record;

use crate::reader::locations::Locations;
use crate::reader::privacy::{Privacy, Shown};

/// All that is known before a request comes.
pub struct Knowledge {
    /// What can be recognised.
    pub labeller: Arc<Labeller>,
    /// Where addresses are.
    pub locations: Locations,
    /// What may be shown of a record.
    pub privacy: Privacy,
}

impl Knowledge {
    /// Says what may be shown of a record, what that is, and where it is from.
    ///
    /// Country and network are those of the whole address, which they do not give away.
    #[must_use]
    pub fn describe(&self, record: &Record) -> (Shown, Description, Option<Origin>) {
        let origin = self.locations.find(record.src_ip);
        let shown = self.privacy.show(record);
        let description = self.labeller.describe(&shown.record.raw, origin.as_ref());
        (shown, description, origin)
    }
}
