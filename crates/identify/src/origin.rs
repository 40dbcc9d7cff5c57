//! Where a request is from, as far as its address tells.

use serde::Serialize;

/// What is known of an address without asking anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// ISO 3166-1 alpha-2 code of the country that the network is registered for.
    pub country: Option<String>,
    /// Its English name.
    pub country_name: Option<String>,
    /// Number of the autonomous system that announces the network.
    pub asn: Option<u32>,
    /// Name of that system.
    pub as_name: Option<String>,
    /// An exit of the Tor network, or another anonymous proxy.
    pub anonymous: bool,
    /// One address in many places at once.
    pub anycast: bool,
    /// A network known for hostile acts alone.
    pub hostile: bool,
}
