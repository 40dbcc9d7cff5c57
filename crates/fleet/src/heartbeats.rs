//! Listens at a hub to the heartbeats of sensors, and tells the viewer which sensors run.
//!
//! In: messages to a subject of each sensor, which the stream does not store. Out: one value in
//! memcached. A sensor's key allows heartbeats only under its own name.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::bail;
use async_nats::Client;
use forever200_ring::alive::MOST_ALIVE;
use forever200_ring::{Alive, Store};
use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::debug;

use crate::patience::Patience;
use crate::sensor::{ALL_ALIVE, Sensor};

/// Shortest time between two writes to memcached.
const WRITE_INTERVAL: Duration = Duration::from_secs(5);

/// Listens to heartbeats for ever. After a failure it starts again, at growing intervals. Nothing
/// else waits for it.
pub(crate) async fn listen(client: &Client, store: Store) -> Infallible {
    let mut patience = Patience::new("no sensor can say that it runs");
    loop {
        let begun = Instant::now();
        let Err(error) = listen_once(client, &store).await;
        patience.wait(&error, begun.elapsed()).await;
    }
}

async fn listen_once(client: &Client, store: &Store) -> anyhow::Result<Infallible> {
    let mut messages = client.subscribe(ALL_ALIVE).await?;
    let mut alive = Alive::new();
    let mut has_changed = false;
    let mut writes = interval(WRITE_INTERVAL);
    writes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else { bail!("the connection is closed") };
                if let Some(sensor) = Sensor::of_alive_subject(&message.subject) {
                    note_alive(&mut alive, &sensor);
                    has_changed = true;
                }
            }
            _ = writes.tick(), if has_changed => {
                // If memcached is away, the next write has everything.
                match store.write_alive(&alive).await {
                    Ok(()) => has_changed = false,
                    Err(error) => debug!(%error, "memcached is unreachable"),
                }
            }
        }
    }
}

/// Notes that a sensor runs. If there are too many, forgets the one that has been silent for
/// longest.
fn note_alive(alive: &mut Alive, sensor: &Sensor) {
    alive.insert(sensor.as_str().to_owned(), Timestamp::now());
    if alive.len() > MOST_ALIVE {
        let oldest = alive.iter().min_by_key(|(_, time)| **time);
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            alive.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_push_out_the_one_that_is_silent_for_longest() {
        let mut alive = Alive::new();
        for number in 0..MOST_ALIVE + 10 {
            note_alive(&mut alive, &format!("sensor-{number}").parse().unwrap());
        }
        assert_eq!(alive.len(), MOST_ALIVE);
        assert!(alive.contains_key("sensor-4105") && !alive.contains_key("sensor-0"));
    }
}
