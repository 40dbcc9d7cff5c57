//! What records are described with: what can be recognised, where addresses are, and what may be
//! shown.

use std::sync::Arc;

use forever200_identify::Labeller;

use crate::reader::locations::Locations;
use crate::reader::privacy::Privacy;

/// All that is known before a request comes.
pub struct Describer {
    /// What can be recognised.
    pub labeller: Arc<Labeller>,
    /// Where addresses are.
    pub locations: Locations,
    /// What may be shown of a record.
    pub privacy: Privacy,
}
