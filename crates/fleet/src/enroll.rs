//! Makes a key for a sensor, and says where its two halves go.

use std::fmt;

use anyhow::Context;
use nkeys::KeyPair;

use crate::sensor::{ALL_ALIVE, ALL_KINDS, ALL_LAST_MESSAGES, ALL_REQUESTS, Sensor};

/// What an owner does to let a sensor or a hub in.
///
/// Each sensor is in an account of the servers of its own, which has four subjects of the hub's:
/// where it sends requests, where it says that it runs, where it asks for its last message, and
/// where it asks how many sensors saw a kind. Permissions in one account for all would not do. The
/// servers check the subject of a message, and not the one to which its answer goes: a sensor that
/// names another's subject there, or one that deletes, has the server itself write to it.
pub struct Enrolment {
    name: String,
    /// The secret half of the key.
    seed: String,
    /// The entry in the servers' list of accounts.
    account: String,
}

impl Enrolment {
    /// Draws a key for a sensor, and the account that it is alone in.
    ///
    /// # Errors
    /// A key has no secret half, which does not happen.
    pub fn of_sensor(sensor: &Sensor) -> anyhow::Result<Self> {
        let (nkey, seed) = draw()?;
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

    /// Draws a key for hubs, which may do everything in the account that has the stream.
    ///
    /// # Errors
    /// A key has no secret half, which does not happen.
    pub fn of_hub() -> anyhow::Result<Self> {
        let (nkey, seed) = draw()?;
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

/// Connections of a sensor to the servers, at most: its publisher has one, `check` another, and one
/// that was cut may be there for some minutes more.
const MOST_CONNECTIONS: u32 = 8;
/// Subscriptions of each of them, at most: ours has one. Each takes some of the servers' memory.
const MOST_SUBSCRIPTIONS: u32 = 16;
/// The account of the hubs. No sensor has such a name.
const HUB: &str = "HUB";

/// Returns the public and the secret half of a new key.
fn draw() -> anyhow::Result<(String, String)> {
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
