//! Makes a key for a sensor, and says where its two halves go.

use std::fmt;

use anyhow::Context;
use nkeys::KeyPair;

use crate::sensor::Sensor;

/// What an owner does to let a sensor or a hub in.
pub struct Enrolment {
    name: String,
    /// The secret half of the key.
    seed: String,
    /// The entry in the server's list of users.
    user: String,
}

impl Enrolment {
    /// Draws a key for a sensor, which may write to its own subject, ask for the last message
    /// there, say that it runs, and nothing else.
    ///
    /// # Errors
    /// A key has no secret half, which does not happen.
    pub fn of_sensor(sensor: &Sensor) -> anyhow::Result<Self> {
        let publish = [
            sensor.subject(),
            sensor.alive_subject(),
            sensor.last_message(),
        ];
        let subscribe = [format!("{}.>", sensor.inbox())];
        // A list of texts in Rust is one in the server's configuration as well.
        let permissions = format!(
            ", permissions: {{ publish: {{ allow: {publish:?} }}, subscribe: {{ allow: {subscribe:?} }} }}"
        );
        Self::draw(sensor.to_string(), &permissions)
    }

    /// Draws a key for a hub, which may do everything.
    ///
    /// # Errors
    /// A key has no secret half, which does not happen.
    pub fn of_hub() -> anyhow::Result<Self> {
        Self::draw("the hub".to_owned(), "")
    }

    fn draw(name: String, permissions: &str) -> anyhow::Result<Self> {
        let key = KeyPair::new_user();
        let seed = key.seed().ok().context("a key without a seed")?;
        Ok(Self {
            name,
            seed,
            user: format!("{{ nkey: {}{permissions} }}", key.public_key()),
        })
    }
}

impl fmt::Display for Enrolment {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "# {}: for the list of users of each server", self.name)?;
        writeln!(to, "{}", self.user)?;
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
    fn a_sensor_may_publish_to_its_own_subject_alone() {
        let enrolment = Enrolment::of_sensor(&"berlin-1".parse().unwrap()).unwrap();
        assert!(enrolment.seed.starts_with("SU"));
        let user = enrolment.user;
        let allowed = r#"publish: { allow: ["forever200.berlin-1", "forever200.berlin-1.alive", "$JS.API.DIRECT.GET.forever200.forever200.berlin-1"] }, subscribe: { allow: ["_INBOX.berlin-1.>"] }"#;
        assert!(user.contains(allowed), "{user}");
        assert!(!user.contains(&enrolment.seed));
    }
}
