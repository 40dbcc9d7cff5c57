//! Asks a hub how many of its sensors saw the kinds that came to this sensor, and hands the numbers
//! to the viewer.
//!
//! In: the kinds of the history. Out: one value in memcached. If the hub does not answer, it is
//! asked again later, without a warning in the log.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use async_nats::Client;
use forever200_ring::hub_counts::{MOST_KINDS, is_kind};
use forever200_ring::{HubCounts, Store};
use forever200_viewer::history::Outbox;
use tokio::time::sleep;
use tracing::debug;

use crate::answer::MOST_ASKED;
use crate::sensor::Sensor;

/// Time between two rounds of questions.
const ASK_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Asks again and again, for ever.
pub(crate) async fn ask(
    client: &Client,
    sensor: &Sensor,
    folder: &Path,
    store: &Store,
) -> Infallible {
    loop {
        if let Err(error) = ask_once(client, sensor, folder, store).await {
            let error = format!("{error:#}");
            debug!(error, "the hub does not say how many sensors saw a kind");
        }
        sleep(ASK_INTERVAL).await;
    }
}

async fn ask_once(
    client: &Client,
    sensor: &Sensor,
    folder: &Path,
    store: &Store,
) -> anyhow::Result<()> {
    let mut kinds = Outbox::open(folder)?.kinds(MOST_KINDS)?;
    kinds.retain(|kind| is_kind(kind));
    let mut all = HubCounts::default();
    for some in kinds.chunks(MOST_ASKED) {
        let question = some.join("\n");
        let answer = client.request(sensor.kinds_subject(), question.into());
        let answer = answer.await?;
        let said = HubCounts::decode(&answer.payload, MOST_ASKED);
        let said = said.context("its answer cannot be read")?;
        all.of = all.of.max(said.of);
        let asked_for = said
            .kinds
            .into_iter()
            .filter(|(kind, _)| some.contains(kind));
        all.kinds.extend(asked_for);
    }
    if !all.kinds.is_empty() {
        store.write_hub_counts(&all).await?;
    }
    Ok(())
}
