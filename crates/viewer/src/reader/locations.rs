//! Country and network of addresses, from a database file.
//!
//! In: the database of IPFire Location (<https://location.ipfire.org>, CC BY-SA 4.0), which is
//! Debian's package `libloc-database`. Out: an [`Origin`]. No look-up leaves the machine.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use forever200_identify::Origin;
use tracing::{info, warn};

/// Path of the database in Debian's package `libloc-database`.
pub const DEFAULT_PATH: &str = "/usr/share/libloc-location/location.db";
/// The source of the data, which must be named wherever the data are shown.
pub const ATTRIBUTION: &str = "IP data: IPFire Location, CC BY-SA 4.0";

/// Finds country and network of an address. Without a database, it finds nothing.
#[derive(Default)]
pub struct Locations {
    database: Option<libloc::Locations>,
    /// The database is broken: libloc has panicked, and is not called again.
    broken: AtomicBool,
}

impl Locations {
    /// Opens the database. If that fails, nothing is found for any address.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let database = match catch_unwind(|| libloc::Locations::open(path)) {
            Ok(Ok(database)) => Some(database),
            Ok(Err(error)) => {
                info!(path = %path.display(), %error, "no locations");
                None
            }
            Err(_) => {
                warn!(path = %path.display(), "the database of locations is broken");
                None
            }
        };
        Self {
            database,
            broken: AtomicBool::new(false),
        }
    }

    /// Tells whether there is a database that works.
    #[must_use]
    pub fn are_known(&self) -> bool {
        self.database.is_some() && !self.broken.load(Relaxed)
    }

    /// Returns country and network of an address, if they are known.
    #[must_use]
    pub fn find(&self, ip: IpAddr) -> Option<Origin> {
        let database = self.database.as_ref().filter(|_| self.are_known())?;
        match catch_unwind(AssertUnwindSafe(|| origin(database, ip.to_canonical()))) {
            Ok(origin) => origin,
            Err(_) => {
                // Without the address: logs name no client.
                warn!("the database of locations is broken");
                self.broken.store(true, Relaxed);
                None
            }
        }
    }
}

fn origin(database: &libloc::Locations, ip: IpAddr) -> Option<Origin> {
    let network = database.lookup(ip)?;
    // `XX` and 0 mean unknown; `A1` and the like are no country.
    let country = database.country(network.country_code());
    let asn = Some(network.asn()).filter(|&asn| asn != 0);
    Some(Origin {
        country: country.as_ref().map(|country| country.code().to_owned()),
        country_name: country.map(|country| country.name().to_owned()),
        asn,
        as_name: asn
            .and_then(|asn| database.as_(asn))
            .map(|it| it.name().to_owned()),
        anonymous: network.is_anonymous_proxy(),
        anycast: network.is_anycast(),
        hostile: network.is_drop(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_debians_database() {
        let locations = Locations::open(Path::new(DEFAULT_PATH));
        assert!(locations.are_known(), "no {DEFAULT_PATH}: make install");
        let google = locations.find([8, 8, 8, 8].into()).unwrap();
        assert_eq!(
            (google.country.as_deref(), google.asn, google.anycast),
            (Some("US"), Some(15169), true)
        );
        assert!(google.as_name.unwrap().to_lowercase().contains("google"));
        assert_eq!(
            locations
                .find("::ffff:8.8.8.8".parse().unwrap())
                .unwrap()
                .asn,
            Some(15169)
        );
        assert_eq!(
            locations.find([162, 142, 125, 1].into()).unwrap().asn,
            Some(398_324)
        );
        assert_eq!(locations.find([127, 0, 0, 1].into()), None);
    }

    #[test]
    fn without_a_database_nothing_is_known() {
        for path in ["/nonexistent", "/etc/hostname", "/"] {
            let locations = Locations::open(Path::new(path));
            assert!(!locations.are_known() && locations.find([8, 8, 8, 8].into()).is_none());
        }
    }

    #[test]
    fn a_broken_database_is_survived() {
        let whole = std::fs::read(DEFAULT_PATH).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("location.db");
        // The head stays intact: otherwise the file would not open. The less of it stays, the
        // earlier libloc fails.
        for kept in [4096, whole.len() / 4, whole.len() / 2] {
            let (head, rest) = whole.split_at(kept);
            let broken: Vec<u8> = rest.iter().map(|byte| !byte).collect();
            std::fs::write(&path, [head, &broken].concat()).unwrap();
            let locations = Locations::open(&path);
            for first in 0..=255 {
                let _ = locations.find([first, 8, 8, 8].into());
            }
        }
    }
}
