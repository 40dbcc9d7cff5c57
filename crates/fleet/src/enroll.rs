//! Makes a key for a sensor or a hub, and tells where its two halves go.

use std::fmt;

use anyhow::Context;
use nkeys::KeyPair;

use crate::sensor::{ALL_ALIVE, ALL_KINDS, ALL_LAST_MESSAGES, ALL_REQUESTS, Sensor};

/// What the owner of the servers needs to let a sensor or a hub in.
///
/// On the servers, each sensor has an account of its own. The account imports four subjects from
/// the hub's account: for requests, for heartbeats, for the question about the sensor's last
/// message, and for the question how many sensors saw a kind. One account for all, with
/// permissions, would not be enough. The servers check the subject of a message, but not its reply
/// subject. There a sensor could name the subject of another sensor, or one that deletes, and the
/// server itself would write to it.
pub struct Enrolment {
    name: String,
    /// The secret half of the key.
    seed: String,
    /// The entry in the servers' list of accounts.
    account: String,
}

impl Enrolment {
    /// Makes a key for a sensor, and the account for this sensor alone.
    ///
    /// # Errors
    /// A key has no secret half, which does not happen.
    pub fn of_sensor(sensor: &Sensor) -> anyhow::Result<Self> {
        let (nkey, seed) = new_key()?;
        let imports: String = [
            sensor.subject(),
            sensor.alive_subject(),
            sensor.last_message(),
            sensor.kinds_subject(),
        ]
        .map(|subject| format!("{{ service: {{ account: {HUB}, subject: \"{subject}\" }} }}"))
        .join(", ");
        Ok(Self {
            name: sensor.to_string(),
            seed,
            account: format!(
                "\"{sensor}\": {{ users: [{{ nkey: {nkey} }}], limits: {{ max_connections: \
                 {MOST_CONNECTIONS}, max_subscriptions: {MOST_SUBSCRIPTIONS} }}, imports: [{imports}] }}"
            ),
        })
    }

    /// Makes a key for hubs, which may do everything in the account that has the stream.
    ///
    /// # Errors
    /// A key has no secret half, which does not happen.
    pub fn of_hub() -> anyhow::Result<Self> {
        let (nkey, seed) = new_key()?;
        let exports: String = [ALL_REQUESTS, ALL_ALIVE, ALL_LAST_MESSAGES, ALL_KINDS]
            .map(|subject| format!("{{ service: \"{subject}\" }}"))
            .join(", ");
        Ok(Self {
            name: "the hub".to_owned(),
            seed,
            account: format!(
                "{HUB}: {{ jetstream: enabled, users: [{{ nkey: {nkey} }}], exports: [{exports}] }}"
            ),
        })
    }
}

/// Most connections of a sensor to the servers. The publisher has one and `check` another; one that
/// was cut may remain for some minutes.
const MOST_CONNECTIONS: u32 = 8;
/// Most subscriptions of each connection. Our program has one. Each takes some of the servers'
/// memory.
const MOST_SUBSCRIPTIONS: u32 = 16;
/// The account of the hubs. No sensor has such a name.
const HUB: &str = "HUB";

/// Returns the public and the secret half of a new key.
fn new_key() -> anyhow::Result<(String, String)> {
    let key = KeyPair::new_user();
    let seed = key.seed().ok().context("a key without a seed")?;
    Ok((key.public_key(), seed))
}

impl fmt::Display for Enrolment {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            to,
            "# {}: for the list of accounts of each server",
            self.name
        )?;
        writeln!(to, "{}", self.account)?;
        writeln!(
            to,
            "# {}: for its file FOREVER200_HUB_KEY, and for nobody else",
            self.name
        )?;
        writeln!(to, "{}", self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_the_subjects_of_its_sensor_alone() {
        let enrolment = Enrolment::of_sensor(&"berlin-1".parse().unwrap()).unwrap();
        assert!(enrolment.seed.starts_with("SU"));
        let account = enrolment.account;
        assert!(
            account.starts_with("\"berlin-1\": { users: [{ nkey: U"),
            "{account}"
        );
        let subjects: Vec<_> = account.split("subject: \"").skip(1).collect();
        assert_eq!(subjects.len(), 4, "{account}");
        assert!(subjects[0].starts_with("forever200.berlin-1\""));
        assert!(subjects[1].starts_with("forever200.berlin-1.alive\""));
        assert!(subjects[2].starts_with("$JS.API.DIRECT.GET.forever200.forever200.berlin-1\""));
        assert!(subjects[3].starts_with("forever200.berlin-1.kinds\""));
        assert!(!account.contains(&enrolment.seed));
    }
}
