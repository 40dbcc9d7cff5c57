//! Where a request comes from, as far as the address of its source shows.

use serde::Serialize;

/// What is known of an address without a question to another server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// ISO 3166-1 alpha-2 code of the country that the network is registered for.
    pub country: Option<String>,
    /// The English name of the country.
    pub country_name: Option<String>,
    /// Number of the autonomous system that announces the network.
    pub asn: Option<u32>,
    /// Name of the autonomous system.
    pub as_name: Option<String>,
    /// The address is an exit of the Tor network, or another anonymous proxy.
    pub anonymous: bool,
    /// The address is at many places at once.
    pub anycast: bool,
    /// The network is known only for hostile acts.
    pub hostile: bool,
}
