//! What describing a record needs: signatures, locations, and what may be shown.

use std::sync::Arc;

use forever200_identify::Labeller;

use crate::reader::locations::Locations;
use crate::reader::privacy::Privacy;

/// What describing needs besides the record.
pub struct Describer {
    /// Finds labels by the signatures.
    pub labeller: Arc<Labeller>,
    /// Finds the countries and networks of addresses.
    pub locations: Locations,
    /// Decides what may be shown of a record.
    pub privacy: Privacy,
}
